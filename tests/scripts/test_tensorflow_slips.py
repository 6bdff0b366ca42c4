"""What goes wrong between TensorFlow workers is found in scripts that are recorded as users do it, and named."""

import os
import subprocess
import sys

import pytest
from pages import ROOT

import xframe
from scripts.replicas.judging import judged
from scripts.replicas.table import FOUND

WORKERS = [row for script, row in FOUND if script == "tensorflow_workers"]


@pytest.fixture(scope="module")
def recorded(request, tmp_path_factory):
    """A folder with all that is compared here: runs of one process, and of two workers."""
    folder = tmp_path_factory.mktemp("workers")
    asked = {item.callspec.params["row"] for item in request.session.items if item.path == request.path}
    alone = sorted({FOUND["tensorflow_workers", row].against.partition("-")[2] for row in asked})
    rows = {"tensorflow_alone": alone, "tensorflow_workers": [row for row in WORKERS if row in asked]}
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    record = [sys.executable, "-m", "xframe", "record", "--out", str(folder / "none.trace"), "--", sys.executable]
    command = [*record, "-m", "scripts.replicas.forking", str(folder)]
    for script, of_script in rows.items():
        done = subprocess.run(
            [*command, script, *of_script], env=environment, capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.costly
@pytest.mark.sweep(fewest=1)
@pytest.mark.thorough
@pytest.mark.parametrize("row", WORKERS)
def test_a_slip_between_two_workers_is_found_at_its_step_and_named(recorded, row):
    run = xframe.Trace.open(recorded / f"tensorflow_workers-{row}.trace")
    assert (len(run.replicas), run.ending) == (2, "complete")
    assert judged(recorded, "tensorflow_workers", row) == ""
