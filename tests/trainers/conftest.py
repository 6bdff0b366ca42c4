"""Bare twins run in processes that are forked, see ``forks``. Accelerate's state is one for the whole process."""

import sys

import pytest
from twins import bare_twins_are_forked  # noqa: F401


@pytest.fixture(autouse=True)
def _no_window_is_open():
    """A test may end in the midst of an accumulation window, in which the next one's optimizers would not step."""
    if "accelerate" in sys.modules:
        from accelerate.state import GradientState

        GradientState._reset_state()
