"""Sweeps on clusters that are started here: a sweep that is killed there goes on, and its table is that of a local one.

Needs the extras ray and dask; ``make trainers`` runs it.
"""

import importlib.util
import shutil
import time

import pytest
from sweeps.grids import alive, differs, done, log, start, steady

HERE = all(importlib.util.find_spec(name) for name in ("ray", "distributed"))
pytestmark = pytest.mark.skipif(not HERE, reason="needs ray and dask: pip install 'xframe-toolkit[ray,dask]'")

GRID = """
[plan]
epochs = 1
batch_size = 400
[run]
adapter = "numpy"
[grid]
seed = [0, 1, 2, 3]
"""
PATIENCE = 120.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder, and the table of an undisturbed local sweep in it."""
    folder = tmp_path_factory.mktemp("engines")
    (folder / "grid.toml").write_text(GRID)
    assert start(folder, "whole", "local").wait() == 0, log(folder, "whole")
    return folder, steady(folder / "whole")


def test_a_sweep_that_is_killed_on_ray_goes_on(whole):
    folder, expected = whole
    process, began = start(folder, "ray", "ray", "ray"), time.monotonic()
    while not (before := done(folder / "ray")):
        assert process.poll() is None, log(folder, "ray")
        assert time.monotonic() < began + PATIENCE
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert len(before) < len(expected)
    assert start(folder, "ray", "ray", "ray").wait() == 0, log(folder, "ray")
    assert differs(expected, steady(folder / "ray")) is None
    after = done(folder / "ray")
    assert {trial: after[trial] for trial in before} == before  # none of them was run again
    assert alive("ray", "xframe/running/guard.py") == []  # ray's own agents leave later


def test_a_sweep_that_was_begun_here_goes_on_with_dask(whole):
    folder, expected = whole
    shutil.copytree(folder / "whole", folder / "dask")
    rows = sorted((folder / "dask" / "rows").iterdir())
    for row in rows[:3]:
        row.unlink()
    assert start(folder, "dask", "dask", "dask").wait() == 0, log(folder, "dask")
    assert differs(expected, steady(folder / "dask")) is None
    assert rows[3].stat().st_mtime_ns == done(folder / "dask")[rows[3].stem]
