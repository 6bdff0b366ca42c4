"""The contract suite, bound to each loop of the tensorflow adapter."""

from pathlib import Path

import pytest

from xframe.testing import AdapterContract
from xframe.testing.contract import PLANS

TWIN = Path(__file__).parents[1] / "native" / "tensorflow_digits.py"


@pytest.mark.sweep(fewest=3)
class TestBlock(AdapterContract):
    adapter, loop, twin = "tensorflow", "block", TWIN


@pytest.mark.sweep(fewest=3)
class TestFunction(AdapterContract):
    adapter, loop, twin = "tensorflow", "function", TWIN


@pytest.mark.costly
class TestXla(AdapterContract):
    """Its pipeline and windows are those of ``function``: every third plan suffices, and a share of all else.

    Each is compiled again.
    """

    adapter, loop, twin = "tensorflow", "xla", TWIN
    plans = PLANS[::3]
