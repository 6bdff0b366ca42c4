"""Bare twins run in processes that are forked, see ``forks``."""

from twins import bare_twins_are_forked  # noqa: F401
