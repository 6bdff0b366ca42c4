"""The contract suite, bound to the JAX adapter."""

from pathlib import Path

from xframe.testing import AdapterContract


class TestJax(AdapterContract):
    adapter = "jax"
    twin = Path(__file__).with_name("jax_digits.py")
