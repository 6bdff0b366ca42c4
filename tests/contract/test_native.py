"""The bare twins are what they claim to be: short, and free of xframe."""

import ast
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[1] / "native"


@pytest.mark.parametrize("name", ["numpy", "torch", "tensorflow", "keras_fit"])
def test_a_bare_twin_is_short_and_bare(name):
    text = (NATIVE / f"{name}_digits.py").read_text()
    assert len(text.splitlines()) <= 40
    nodes = list(ast.walk(ast.parse(text)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported
    assert not [module for module in imported if module.startswith("xframe")]
