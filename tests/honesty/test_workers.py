"""The harness end to end, with a third party's adapter that cheats or dies in mid-run.

The adapter is installed as any distribution is: a folder on the path with a module and metadata that
name an entry point. Everything runs in subprocesses, as a user would run it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from xframe_numpy import NumpyAdapter

from xframe.cli import app as cli
from xframe.plan.training_plan import TrainingPlan
from xframe.tasks.lookup import find_task
from xframe.testing import observe
from xframe.trace.trace import Trace

MODULE = """
import os
import signal

from xframe_numpy import NumpyAdapter


class Cheat(NumpyAdapter):
    name = "cheat"

    def pipeline(self, plan, task, runtime):
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
{body}
"""
HONEST = "            yield batch"
DROPS = "            if i != 3: yield batch"
# Rows reach the file every 1,000 steps; a run that dies after 1,500 has 1,000 of them there.
DIES_AT = 1500
RAISES = f"            if i == {DIES_AT}: raise RuntimeError('out of luck')\n            yield batch"
KILLED = f"            if i == {DIES_AT}: os.kill(os.getpid(), signal.SIGKILL)\n            yield batch"

# Waits until another run is complete, and records what that one did, weights and all, without training.
COPIES = """            yield batch

    def run(self, plan, task, runtime, recorder):
        import pathlib, time
        import xframe

        own = recorder._writer.path
        for _ in range(100):
            time.sleep(0.05)
            for place in (own.parent, own.parent.parent, pathlib.Path("out")):
                for other in set(place.glob("*.trace")) - {own}:
                    copied = xframe.Trace.open(other)
                    if other.absolute() == own or not copied.complete:
                        continue
                    names = ("ids", "updates", "loss", "lr", "accuracy", "epoch", "step_in_epoch", "padding")
                    columns = {name: copied.column(name) for name in names}
                    recorder.block(batch_sizes=copied.column("batch_size"), **columns)
                    return copied.weights()
        raise RuntimeError("nothing to copy")
"""

Verify = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """Installs an adapter ``cheat`` with that body in its pipeline and runs ``xframe verify`` with it."""

    def run(body: str, *options: str) -> subprocess.CompletedProcess[str]:
        site = tmp_path / "site"
        metadata = site / "cheat-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / "cheat.py").write_text(MODULE.format(body=body))
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: cheat\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[xframe.adapters]\ncheat = cheat:Cheat\n")
        command = [sys.executable, "-m", "xframe", "verify", *options, "--out", str(tmp_path / "out")]
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False
        )

    return run


def test_a_third_partys_honest_adapter_passes(verify: Verify) -> None:
    done = verify(HONEST, "--adapters", "numpy,cheat", "--epochs", "1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["verdict"] == "passed"
    assert told["structure"] == "identical"
    assert told["first_difference"] is None
    # 1,797 digits in batches of 64: 28 full ones and one of 5.
    assert {name: counts["num_steps"] for name, counts in told["runs"].items()} == {"numpy": 29, "cheat": 29}


def test_a_third_partys_cheat_is_caught(verify: Verify) -> None:
    done = verify(DROPS, "--adapters", "numpy,cheat", "--epochs", "1", "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["verdict"] == "failed"
    assert told["structure"] == "different"
    found = {check["name"]: check["first"] for check in told["checks"] if check["result"] == "fail"}
    assert found == {"steps": 28, "boundaries": 3, "epochs": 3}
    difference = told["first_difference"]
    assert (difference["step"], difference["check"]) == (3, "boundaries")
    assert difference["names"] == {"reference": "numpy", "candidate": "cheat"}
    assert difference["reference"]["ids_digest"] == difference["expected"]["ids_digest"]
    assert difference["candidate"]["ids_digest"] != difference["expected"]["ids_digest"]
    assert {name: counts["num_steps"] for name, counts in told["runs"].items()} == {"numpy": 29, "cheat": 28}


def test_a_third_partys_cheat_finds_no_other_run_to_copy(verify: Verify, tmp_path: Path) -> None:
    """While they go on no run can name another's files; when all have ended they are in the run's folder."""
    done = verify(COPIES, "--adapters", "numpy,cheat", "--epochs", "1")
    assert done.returncode == 3, done.stdout
    assert "RuntimeError: nothing to copy" in done.stderr
    left = {file.name for file in (tmp_path / "out").iterdir()}
    assert left == {"plan.toml", "numpy.trace", "numpy.weights.safetensors", "numpy.log", "cheat.trace", "cheat.log"}
    assert Trace.open(tmp_path / "out" / "numpy.trace").complete


@pytest.mark.parametrize(
    ("body", "says", "ending", "rows"),
    [
        pytest.param(RAISES, "RuntimeError: out of luck", "interrupted by RuntimeError", DIES_AT, id="raises"),
        pytest.param(KILLED, "SIGKILL", "truncated", 1000, id="killed"),
    ],
)
def test_a_worker_that_dies_is_told_and_its_trace_stays(
    verify: Verify,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    body: str,
    says: str,
    ending: str,
    rows: int,
) -> None:
    """Exit code 3, one message that names worker, cause and files, and all rows that reached the file."""
    done = verify(body, "--adapters", "cheat", "--batch-size", "1", "--epochs", "1", "--json")
    assert done.returncode == 3, done.stderr
    assert "worker 'cheat'" in json.loads(done.stdout)["error"]["what"]
    assert "Traceback" not in done.stderr
    messages = [line for line in done.stderr.splitlines() if line.startswith("xframe: ")]
    assert len(messages) == 1, done.stderr
    message = done.stderr[done.stderr.index("xframe: ") :]
    path = tmp_path / "out" / "cheat.trace"
    for part in ("worker 'cheat'", says, str(path), str(path.with_suffix(".log"))):
        assert part in message
    trace = Trace.open(path)
    assert trace.ending == ending
    assert rows <= trace.num_rows <= DIES_AT
    assert trace.counts().num_updates == trace.num_rows  # each step recorded came with its update
    assert not trace.complete

    # Cut short is no difference, and no pass: against a whole run it is inconclusive.
    whole, plan = tmp_path / "whole.trace", TrainingPlan(batch_size=1, epochs=1)
    observe(NumpyAdapter(), plan, find_task("digits-mlp"), whole, precision="float32")
    assert cli.execute(["compare", str(whole), str(path), "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "inconclusive"
    assert told["endings"] == {"numpy": "complete", "cheat": ending}
    assert told["first_difference"] is None
    results = {check["name"]: check["result"] for check in told["checks"]}
    assert (results["steps"], results["boundaries"], results["updates"]) == ("not judged", "pass", "pass")
