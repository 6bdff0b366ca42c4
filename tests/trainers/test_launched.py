"""Trainers' scripts under launchers, as they are: their processes are one run, of the steps of the trainer's plan."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import xframe

WRITTEN = Path(__file__).parent / "written"
LAUNCHERS = {
    "accelerate": ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"],
    "transformers": ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
}
ARGUMENTS = {
    "accelerate": {"batch_size": 10, "epochs": 2, "num_processes": 2},
    "transformers": {"per_device_train_batch_size": 10, "num_train_epochs": 2, "world_size": 2},
}

pytestmark = pytest.mark.thorough


def recorded(out, *command):
    """What a script left that was recorded, and how its process ended."""
    record = [sys.executable, "-m", "xframe", "record", "--out", str(out), "--", sys.executable, "-m", *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(record, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-4000:]
    return xframe.Trace.open(out)


@pytest.mark.parametrize("trainer", LAUNCHERS)
def test_two_processes_are_recorded_as_the_plan_of_the_trainer_says(tmp_path, trainer):
    trace = recorded(tmp_path / "a.trace", *LAUNCHERS[trainer], str(WRITTEN / f"with_{trainer}.py"))
    plan = xframe.TrainingPlan.like(trainer, num_samples=103, gradient_accumulation_steps=4, **ARGUMENTS[trainer])
    assert [one.metadata["replica"]["split"] for one in trace.replicas] == [plan.replica_split] * 2
    due, made = plan.counts(num_samples=103), trace.counts()
    assert (made.num_steps, made.num_updates, made.num_epochs) == (due.num_steps, due.num_updates, due.num_epochs)
    comparison = xframe.compare(trace, plan=plan, num_samples=103, order="coverage")
    assert comparison, comparison


def test_accelerate_starts_one_process_on_the_cpu_unless_it_is_told_of_several(tmp_path):
    command = ["accelerate.commands.launch", "--cpu", "--num_processes", "2", str(WRITTEN / "with_accelerate.py")]
    trace = recorded(tmp_path / "a.trace", *command)
    assert (trace.replicas, trace.num_rows) == ((), 22)
