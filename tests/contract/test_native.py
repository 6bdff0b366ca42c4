"""The bare twins are what they claim to be: short, and free of xframe."""

import ast
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[1] / "native"


TWINS = ("numpy_digits", "torch_digits", "tensorflow_digits", "keras_fit_digits", "torch_cnn", "tensorflow_cnn")


@pytest.mark.parametrize("name", TWINS)
def test_a_bare_twin_is_short_and_bare(name):
    text = (NATIVE / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 40
    nodes = list(ast.walk(ast.parse(text)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported
    assert not [module for module in imported if module.startswith("xframe")]
