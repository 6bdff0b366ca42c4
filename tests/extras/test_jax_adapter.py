"""docs/examples/xframe_jax, a third party's adapter: built, unpacked beside xframe, bound to the contract suite."""

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from pages import Commands, Walk

pytest.importorskip("jax", reason="the example adapter needs jax, which make trainers installs")

from xframe.running import registry

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "xframe_jax"
sys.path.insert(0, str(EXAMPLE / "tests"))
from test_jax_contract import TestJax  # noqa: E402, F401  its tests run here


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """As pip leaves it, in a folder of its own: what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=EXAMPLE, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    path = os.pathsep.join(filter(None, (str(folder / "site"), os.environ.get("PYTHONPATH"))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.syspath_prepend(folder / "site")
        registry.available.cache_clear()
        yield
    registry.available.cache_clear()


def test_it_is_found_by_its_entry_point():
    adapter = registry.load("jax")
    assert type(adapter).__module__ == "xframe_jax"
    assert not Path(sys.modules["xframe_jax"].__file__).is_relative_to(ROOT)


def test_it_does_its_own_counting():
    """It imports nothing that xframe's own adapters may not import either."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (forbidden,) = (c["forbidden_modules"] for c in contracts if c["name"] == "Adapters do their own counting")
    imported = {
        name
        for file in (EXAMPLE / "xframe_jax").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
        )
    }
    assert "xframe.running.steering" in imported
    assert not [one for one in imported for name in forbidden if one and (one == name or one.startswith(f"{name}."))]


def test_it_is_short():
    assert sum(len(file.read_text().splitlines()) for file in (EXAMPLE / "xframe_jax").glob("*.py")) < 250


def test_the_page_about_it(tmp_path):
    Walk(ROOT / "docs" / "howto" / "adapter.md", tmp_path, Commands())()
