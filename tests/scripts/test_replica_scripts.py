"""What goes wrong where several processes train is found in their scripts as they are, and named."""

import os
import subprocess
import sys

import pytest
from pages import ROOT

from scripts.replicas.judging import judged
from scripts.replicas.table import FOUND

TORCH = [row for script, row in FOUND if script == "torch_ddp"]


@pytest.fixture(scope="module")
def recorded(request, tmp_path_factory):
    """A folder with all that is compared here: one process of its own, and one run of two ranks."""
    folder = tmp_path_factory.mktemp("replicas")
    asked = {item.callspec.params["row"] for item in request.session.items if item.path == request.path}
    against = [FOUND["torch_ddp", row].against.partition("-") for row in asked]
    alone = sorted({row for script, _, row in against if script == "torch_alone"})
    ranks = [row for row in TORCH if row in asked | {row for script, _, row in against if script == "torch_ddp"}]
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for before, script, rows in (([], "torch_alone", alone), (launcher, "torch_ddp", ranks)):
        command = [sys.executable, *before, "-m", "scripts.replicas.running", str(folder), script, *rows]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
        assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.sweep(fewest=2)
@pytest.mark.parametrize("row", TORCH)
def test_a_slip_between_two_ranks_is_found_at_its_step_and_named(recorded, row):
    assert judged(recorded, "torch_ddp", row) == ""
    assert judged(recorded, "torch_ddp", row, turned=True) == ""
