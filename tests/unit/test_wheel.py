"""The built wheel: what it puts into site-packages, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

from xframe.tasks.layers import KINDS

ROOT = Path(__file__).parents[2]


def test_top_level_of_the_wheel(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    packages = {"xframe", "xframe_numpy", "xframe_torch", "xframe_tensorflow"}
    assert {name.partition("/")[0] for name in names} == {*packages, "xframe_toolkit-0.1.0.dist-info"}
    for package in packages:
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names
    assert "xframe = xframe.cli.app:main" in entry_points
    assert "torch = xframe_torch:TorchAdapter" in entry_points


def test_adapters_is_a_folder_and_no_package():
    assert not (ROOT / "adapters" / "__init__.py").exists()
    names = {
        folder.name: {path.name for path in folder.glob("*.py")} for folder in (ROOT / "adapters").glob("xframe_*")
    }
    same = {"adapter", "pipeline", "model", "optimizers", "losses", "step", "state", "stages", "evidence", "validation"}
    same |= {"bench"}
    assert len(names) == 3
    seen = {"identity.py", "settings.py", "pairing.py"}  # of what is seen of a framework's own objects from outside
    # tf.data has the plan's order in operations of its own
    seen.add("replicas.py")
    beside = {"xframe_numpy": set(), "xframe_torch": seen, "xframe_tensorflow": {*seen, "order.py"}}
    for adapter, files in names.items():
        own = beside[adapter]
        assert files == {"__init__.py", *own, *(f"{name}.py" for name in same)}, "the same file names in each adapter"
    families = {name: {path.stem for path in (ROOT / "adapters" / name / "layers").glob("*.py")} for name in names}
    common = {"__init__", "layer", *(kind.__module__.rpartition(".")[2] for kind in KINDS)}
    assert families == {name: common | ({"window"} if name == "xframe_numpy" else set()) for name in names}
    loops = {name: {path.stem for path in (ROOT / "adapters" / name / "loops").glob("*.py")} for name in names}
    assert loops["xframe_tensorflow"] == {"__init__", "block", "fit", "fit_kept", "function", "rings"}
    trainers = {"loader", "lightning", "transformers", "accelerate", "ignite"}
    assert loops["xframe_torch"] == {"__init__", "settings", "watched", *trainers}
