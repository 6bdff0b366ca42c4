"""The contract suite, bound to the numpy adapter."""

from pathlib import Path

from xframe.testing import AdapterContract


class TestNumpy(AdapterContract):
    adapter = "numpy"
    twin = Path(__file__).parents[1] / "native" / "numpy_digits.py"
