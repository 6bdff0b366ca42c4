"""A fixture for conftest.py: the bare twins of the contract suite run in processes that are forked, see ``forks``."""

from collections.abc import Iterator
from unittest import mock

import forks
import pytest

from xframe.testing.contract import observing


@pytest.fixture(scope="session", autouse=True)
def bare_twins_are_forked() -> Iterator[None]:
    with forks.running() as run, mock.patch.object(observing, "run_script", run):
        yield
