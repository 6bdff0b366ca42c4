"""Scripts under launchers as they are: ``xframe record`` finds the ranks, and what goes wrong between them is named."""

import sys
from pathlib import Path

import pytest

import xframe
from xframe.cli.app import execute

SCRIPTS = Path(__file__).parent / "replicas"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
WORKERS = [sys.executable, str(SCRIPTS / "workers.py")]

pytestmark = [pytest.mark.costly, pytest.mark.thorough]


def record(folder, launcher, script, *edits):
    """The folder of traces that a launched script leaves, with these edits in it."""
    text = (SCRIPTS / f"{script}.py").read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    place = folder / f"{script}{len(edits)}.py"
    place.write_text(text)
    out = place.with_suffix(".trace")
    assert execute(["record", "--out", str(out), "--", *launcher, str(place)]) == 0
    return out


def test_ranks_of_torchrun_are_recorded_as_one_run(tmp_path, capfd):
    out = record(tmp_path, TORCHRUN, "torch_ddp")
    assert "xframe: 18 steps recorded in" in (said := capfd.readouterr().err)
    assert "by 2 replicas" in said
    run = xframe.Trace.open(out)
    assert (run.num_rows, len(run.replicas), run.complete) == (18, 2, True)
    assert {one.metadata["replica"]["split"] for one in run.replicas} == {"interleaved"}
    marks = [one.frame()["weights_mark"].tolist() for one in run.replicas]
    assert marks[0] == marks[1]
    assert len(set(marks[0])) == 18


def test_workers_of_tensorflow_that_shuffle_on_their_own_are_named(tmp_path, capfd):
    right = record(tmp_path, WORKERS, "tensorflow_workers")
    assert "18 steps recorded in" in capfd.readouterr().err
    wrong = record(tmp_path, WORKERS, "tensorflow_workers", ("seed=1)", "seed=1 + strategy.cluster_resolver.task_id)"))
    runs = [xframe.Trace.open(one) for one in (right, wrong)]
    assert [{one.metadata["replica"]["split"] for one in run.replicas} for run in runs] == [{"slices"}] * 2
    marks = [one.frame()["weights_mark"].tolist() for one in runs[0].replicas]
    assert marks[0] == marks[1]
    comparison = xframe.compare(*runs)
    assert comparison.first_difference["check"] == "boundaries"
    assert comparison.causes[0].name == "replicas-of-different-orders"
