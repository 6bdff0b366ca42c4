"""The contract suite, bound to each loop of the tensorflow adapter."""

from pathlib import Path

import pytest

from xframe.testing import AdapterContract
from xframe.testing.contract import PLANS

pytestmark = pytest.mark.sweep
TWIN = Path(__file__).parents[1] / "native" / "tensorflow_digits.py"


class TestBlock(AdapterContract):
    adapter, loop, twin = "tensorflow", "block", TWIN


class TestFunction(AdapterContract):
    adapter, loop, twin = "tensorflow", "function", TWIN


class TestXla(AdapterContract):
    """Its pipeline and windows are those of ``function``: every third plan suffices, since each is compiled again."""

    adapter, loop, twin = "tensorflow", "xla", TWIN
    plans = PLANS[::3]
