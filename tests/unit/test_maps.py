"""The maps in the folders' docstrings, by which a newcomer finds where something belongs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import xframe

ROOT = Path(xframe.__file__).parent.parent
FOLDERS = sorted(one.parent for top in ("xframe", "adapters") for one in (ROOT / top).rglob("__init__.py"))
# One file a thing, all of one kind: the folder's text says what a new one is.
ALIKE = {
    "causes",
    "checks",
    "presets",
    "builtin",
    "logs",
    "exports",
    "loops",
    "faults",
    "xframe_torch",
    "xframe_tensorflow",
}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda one: one.relative_to(ROOT).as_posix())
def test_a_map_names_every_file_and_no_other(folder):
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    parts = {one.stem for one in folder.glob("*.py")} | {one.parent.name for one in folder.glob("*/__init__.py")}
    assert text
    listed = {name for name in re.findall(r"(?<![/`.\w])(\w+)\.py\b", text) if f"``{name}" not in text}
    assert listed <= parts
    if folder.name not in ALIKE and folder != ROOT / "xframe":
        unnamed = {name for name in parts - {"__init__", "__main__"} if not re.search(rf"\b{name}\b", text)}
        assert not unnamed
