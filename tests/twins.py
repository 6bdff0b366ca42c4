"""A fixture for conftest.py: the bare twins of the contract suite run in processes that are forked, see ``forks``."""

import atexit
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from unittest import mock

import forks
import pytest

from xframe.testing.contract import observing


@pytest.fixture(scope="session", autouse=True)
def bare_twins_are_forked() -> Iterator[None]:
    with mock.patch.object(observing, "run_script", _forked()):
        yield


@cache
def _forked() -> Callable[..., object]:
    """What runs a script: the same for all folders whose conftest.py has the fixture, so that they share parents."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(forks.running())
