"""The bare twins are what they claim to be: short, and free of xframe."""

import ast
import os
from pathlib import Path

import forks
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


def test_forked_scripts_share_no_more_than_what_they_import(tmp_path):
    """Each is a process of its own, and how it failed is reported."""
    (tmp_path / "first.py").write_text("import json, sys\njson.left = sys.argv[1]\nprint(sys.modules['__main__'])")
    (tmp_path / "second.py").write_text("import json\nassert not hasattr(json, 'left')\nraise SystemExit(json.absent)")
    with forks.running() as run:
        first, second = (
            run(str(tmp_path / f"{name}.py"), "it", environment=os.environ) for name in ("first", "second")
        )
    assert (first.returncode, second.returncode) == (0, 1), first.stderr
    assert "no attribute 'absent'" in second.stderr
