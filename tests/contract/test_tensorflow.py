"""The contract suite, bound to the tensorflow adapter."""

from pathlib import Path

from xframe.testing import AdapterContract


class TestTensorflow(AdapterContract):
    adapter = "tensorflow"
    twin = Path(__file__).parents[1] / "native" / "tensorflow_digits.py"
