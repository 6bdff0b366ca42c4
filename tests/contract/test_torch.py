"""The contract suite, bound to each loop of the torch adapter that runs without CUDA."""

from pathlib import Path

import pytest

from xframe.testing import AdapterContract
from xframe.testing.contract import PLANS

TWIN = Path(__file__).parents[1] / "native" / "torch_digits.py"


@pytest.mark.sweep(fewest=3)
class TestEager(AdapterContract):
    adapter, loop, twin = "torch", "eager", TWIN


@pytest.mark.costly
class TestCompile(AdapterContract):
    """Its pipeline and windows are those of ``eager``: every third plan suffices, and a share of all else.

    Each is compiled again.
    """

    adapter, loop, twin = "torch", "compile", TWIN
    plans = PLANS[::3]
