"""A run of several replicas that stops, or is killed, goes on as if it had not, in any number of replicas."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from checkpointed import differences

from xframe.errors import StateError, TraceError, UsageError
from xframe.plan.training_plan import TrainingPlan
from xframe.running.checkpoints import Wanted, read_checkpoint
from xframe.running.request import Request
from xframe.running.resuming import require_resumable, resumed
from xframe.running.standing import check_standing, expected
from xframe.running.states import read_content, write_state
from xframe.tasks.lookup import find_task
from xframe.trace.trace import Trace

PLAN = TrainingPlan(
    batch_size=64,
    epochs=2,
    gradient_accumulation_steps=3,
    accumulation_remainder="carry",
    replicas=2,
    validation_every=2,
    validation_unit="steps",
    early_stopping_patience=9,
    restore_best=True,
)
FITTED = TrainingPlan(batch_size=64, epochs=1, replicas=2, replica_gradients="replicas")
STEPS, STOPPED = 12, 4  # in a window, and behind a validation
FAULTY = """
import os, signal
from xframe.running import registry


class Faulty(type(registry.load("torch"))):
    name = "faulty"

    def train_step(self, plan, task, runtime):
        step = super().train_step(plan, task, runtime)
        made = type(step).__call__

        class Killed(type(step)):
            def __call__(self, batch):
                if self.window.steps == 7:
                    os.kill(os.getpid(), signal.SIGKILL)
                return made(self, batch)

        if runtime.replica.index == 1:
            step.__class__ = Killed
        return step
"""


def command(folder, *words, environment=None):
    """``xframe run`` there."""
    ran = [sys.executable, "-m", "xframe", "run", *words, "--device", "cpu", "--threads", "1"]
    return subprocess.run(
        ran, cwd=folder, capture_output=True, text=True, timeout=150, check=False, env=environment or os.environ
    )


def trained(folder, out, *words, environment=None):
    done = command(folder, *words, "--out", out, environment=environment)
    assert done.returncode == 0, done.stderr
    return Trace.open(folder / out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a plan, its whole run, and one that stopped, with its checkpoint."""
    folder = tmp_path_factory.mktemp("replicas")
    (folder / "plan.toml").write_text(PLAN.to_toml())
    begin = ("plan.toml", "--task", "diabetes-regression", "--adapter", "torch")
    trained(folder, "whole.trace", *begin)
    trained(folder, "a.trace", *begin, "--checkpoint", "a.st", "--stop-after", str(STOPPED))
    return folder


def going(folder, fields=None, **given):
    return resumed(Wanted(resume=str(folder / "a.st")), {"out": folder / "new.trace", **given}, fields or {}, None)


@pytest.mark.costly
def test_a_run_of_replicas_that_stops_goes_on_as_if_it_had_not(folder):
    whole, a = Trace.open(folder / "whole.trace"), Trace.open(folder / "a.trace")
    assert (whole.num_rows, a.num_rows, a.ending, len(a.replicas)) == (STEPS, STOPPED, "stopped as asked", 2)
    _, of = read_checkpoint(folder / "a.st")
    assert of.replica == {"index": 0, "of": 2}
    assert of.certificate == Trace.open(folder / "a.trace" / "0.trace").certificate != a.certificate
    trained(folder, "b.trace", "--resume", "a.st", "--checkpoint", "b.st", "--stop-after", "8")
    c = trained(folder, "c.trace", "--resume", "b.st")  # the checkpoint of a run that had gone on
    assert differences(whole, c) == []


@pytest.mark.costly
@pytest.mark.thorough
def test_one_process_goes_on_with_replicas_and_replicas_with_one_process(folder):
    whole = Trace.open(folder / "whole.trace")
    trained(folder, "one.trace", "--resume", "a.st", "--replicas", "1", "--checkpoint", "one.st", "--stop-after", "7")
    again = trained(folder, "three.trace", "--resume", "one.st", "--replicas", "3")
    assert (again.certificate, again.plan.replicas) == (whole.certificate, 3)
    assert np.allclose(again.column("loss"), whole.column("loss"), rtol=1e-5)
    assert whole.weights().keys() == again.weights().keys()
    for name, values in whole.weights().items():
        assert np.allclose(values, again.weights()[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.costly
@pytest.mark.thorough
def test_nothing_is_lost_or_made_twice_where_a_replica_is_killed(folder):
    site = folder / "site"
    metadata = site / "faulty-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "faulty.py").write_text(FAULTY)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[xframe.adapters]\nfaulty = faulty:Faulty\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    words = ("plan.toml", "--task", "diabetes-regression", "--adapter", "faulty", "--out", "killed.trace")
    killed = command(
        folder,
        *(*words, "--checkpoint", "killed.st", "--checkpoint-every", "3"),
        environment=environment,
    )
    assert killed.returncode == 3
    assert "replica 1 of worker 'faulty' was killed by SIGKILL" in killed.stderr
    assert read_checkpoint(folder / "killed.st")[1].steps == 6
    assert Trace.open(folder / "killed.trace").num_rows >= 6
    rest = trained(folder, "rest.trace", "--resume", "killed.st", "--adapter", "torch", environment=environment)
    assert differences(Trace.open(folder / "whole.trace"), rest) == []


@pytest.mark.costly
@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"replicas": 4, "replica_remainder": "pad"}, "would make other steps"),
        ({"replica_gradients": "replicas"}, "would make other steps"),
        ({"replicas": 1, "batch_size": 32}, "--batch-size contradicts the checkpoint"),
    ],
)
def test_what_makes_other_steps_is_refused(folder, fields, what):
    with pytest.raises(UsageError, match=what):
        going(folder, fields)


def test_the_rows_of_the_same_steps_may_be_dealt_otherwise(folder):
    assert going(folder, {"replica_split": "interleaved"}).plan.replica_split == "interleaved"
    assert going(folder, {"replicas": 1, "epochs": 3}).plan.to_dict().items() >= {"epochs": 3, "batch_size": 64}.items()
    assert going(folder).plan == PLAN


def test_a_folder_without_a_replica_or_with_another_runs_is_refused(folder, tmp_path):
    for name in ("a.trace", "a.st"):
        (shutil.copytree if (folder / name).is_dir() else shutil.copy)(folder / name, tmp_path / name)
    (tmp_path / "a.trace" / "1.trace").rename(tmp_path / "1.trace")
    with pytest.raises(TraceError, match="1 of 2 replicas are there"):
        going(tmp_path)
    (tmp_path / "1.trace").rename(tmp_path / "a.trace" / "1.trace")
    assert going(tmp_path).plan == PLAN
    shutil.copy(folder / "whole.trace" / "0.trace", tmp_path / "a.trace" / "0.trace")
    with pytest.raises((TraceError, StateError)):
        going(tmp_path)


@pytest.mark.parametrize("replica", [None, {"index": 1, "of": 2}, {"index": 0, "of": 3}, {"index": 0, "of": "2"}])
def test_a_head_that_states_another_replica_is_refused(folder, replica):
    content = read_content(folder / "a.st")
    edited = folder / "edited.st"
    write_state(edited, content.state, {**content.run, "replica": replica})
    with pytest.raises(StateError):
        resumed(Wanted(resume=str(edited)), {"out": folder / "new.trace"}, {}, None)


@pytest.mark.parametrize("remainder", ["pad", "drop"])
def test_where_a_run_stands_whose_passes_are_made_even(folder, remainder):
    state, of = read_checkpoint(folder / "a.st")
    plan = TrainingPlan.from_mapping({**PLAN.to_dict(), "replicas": 4, "replica_remainder": remainder})
    samples = find_task("diabetes-regression").num_samples
    at = expected(plan, samples, STOPPED).to_dict()
    assert at["window"] == state.position["window"]
    with pytest.raises(StateError, match="at most the 12"):
        check_standing("a.st", state, replace(of, steps=13), plan, samples)


def test_loops_that_keep_no_state_of_replicas_are_refused_by_name():
    require_resumable(Request(plan=PLAN, adapters=("torch", "tensorflow:function")))
    able = "expected one of .*torch:eager.*"
    with pytest.raises(UsageError, match="'torch:fsdp' keeps no checkpoints: got loop fsdp, .*" + able):
        require_resumable(Request(plan=PLAN, adapters=("torch:fsdp",)))
    with pytest.raises(UsageError, match="'tensorflow:fit' .* optimizer for each, .*" + able) as refused:
        require_resumable(Request(plan=FITTED, adapters=("tensorflow:fit",)))
    assert "tensorflow:function" in refused.value.expected
    assert "tensorflow:block" not in refused.value.expected
