"""The contract suite, bound to the torch adapter."""

from pathlib import Path

from xframe.testing import AdapterContract


class TestTorch(AdapterContract):
    adapter = "torch"
    twin = Path(__file__).parents[1] / "native" / "torch_digits.py"


class TestTorchCompile(AdapterContract):
    adapter = "torch"
    loop = "compile"
    twin = Path(__file__).parents[1] / "native" / "torch_digits.py"
