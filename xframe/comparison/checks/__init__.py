"""The checks, one file each. They are found by walking this folder; a new one is a new file; see ``check``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection
from functools import cache

from xframe.comparison.check import Check


@cache
def every() -> tuple[type[Check], ...]:
    """All checks, by rank."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    checks = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Check) and value.__module__ == module.__name__
        if hasattr(value, "name")  # else what several share
    ]
    return tuple(sorted(checks, key=lambda check: check.rank))


def of(order: str) -> tuple[type[Check], ...]:
    """The checks of a comparison ``exact`` or by ``coverage``, by rank."""
    return tuple(check for check in every() if order in check.orders)


def unjudged(known: Collection[str]) -> tuple[str, ...]:
    """The checks that a run leaves unjudged, at some steps at least, which knows only these columns in every step."""
    return tuple(check.name for check in of("exact") if check.rests_on is not None and check.rests_on not in known)


def names() -> tuple[str, ...]:
    """The names of the checks that every comparison has, by rank."""
    return tuple(check.name for check in of("exact") if not check.optional)
