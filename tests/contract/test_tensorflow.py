"""The contract suite, bound to each loop of the tensorflow adapter."""

from pathlib import Path

from xframe.testing import AdapterContract

TWIN = Path(__file__).parents[1] / "native" / "tensorflow_digits.py"


class TestBlock(AdapterContract):
    adapter, loop, twin = "tensorflow", "block", TWIN


class TestFunction(AdapterContract):
    adapter, loop, twin = "tensorflow", "function", TWIN


class TestXla(AdapterContract):
    adapter, loop, twin = "tensorflow", "xla", TWIN
