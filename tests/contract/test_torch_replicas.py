"""Replicas of torch's loops are one process's run: all that a plan and a task can ask of them, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sweeps.replicated import Processes, _parted, _ranks

from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.tasks import losses
from xframe.tasks.layers import BatchNorm, Dense
from xframe.tasks.lookup import find_task
from xframe.trace.trace import Trace

SAMPLES = 45


@pytest.fixture(scope="module")
def eager():
    processes = Processes("torch")
    yield processes
    processes.end()


@pytest.fixture(scope="module")
def fsdp():
    processes = Processes("torch", "fsdp")
    yield processes
    processes.end()


STOPPING = {"validation_every": 2, "validation_unit": "steps", "early_stopping_patience": 1, "restore_best": True}


@pytest.mark.costly
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("task", "fields", "optimizer"),
    [
        ("digits-mlp", {"replica_split": "interleaved"}, "adam"),
        ("digits-mlp", {"gradient_accumulation_steps": 2, "loss_normalization": "samples"}, "sgd clip_global_norm=0.5"),
        ("digits-mlp", {"replica_split": "dealt", **STOPPING}, "adamw learning_rate=0.05"),
        ("diabetes-regression", {"replica_split": "dealt"}, None),
        ("tiny-transformer", {"replica_split": "interleaved"}, None),
        ("rows-lstm", {}, "keras.nadam"),
        ("with-dropout", {"replica_split": "dealt"}, None),
    ],
    ids=["adam", "accumulated", "stopped-early", "regression", "transformer", "lstm", "dropout"],
)
def test_one_and_several(tmp_path, eager, task, fields, optimizer):
    """Batches of 8 over 3 replicas: 3, 3 and 2 rows; the last one of 5 samples has them as 2, 2, 1 or 3, 2, 0."""
    own = {name: value for name, value in fields.items() if not name.startswith("replica_")}
    one = TrainingPlan(batch_size=8, epochs=1, **own)
    shared = TrainingPlan(batch_size=8, epochs=1, replicas=3, **fields)
    alone, three = (
        eager.run(plan, SAMPLES, tmp_path / f"{plan.replicas}.trace", task, optimizer=optimizer)
        for plan in (one, shared)
    )
    assert alone.num_rows > 2
    assert np.isfinite(alone.column("loss")).all()
    assert alone.certificate == three.certificate
    assert [*_parted(alone, three), *_ranks(three, shared)] == []
    assert bool(alone.validations) == bool(own.get("validation_every"))
    for ours, theirs in zip(three.validations, alone.validations, strict=True):
        assert np.isclose(ours.loss, theirs.loss, rtol=1e-9)


@pytest.mark.costly
@pytest.mark.thorough
@pytest.mark.parametrize(
    "optimizer", ["sgd momentum=0.9 nesterov=true clip_norm=0.3", "adam", "adamw clip_global_norm=0.5", "rmsprop"]
)
def test_parts_of_parameters(tmp_path, eager, fsdp, optimizer):
    """Each replica keeps a part of every parameter, of some an empty one: the run is that of eager."""
    plan = TrainingPlan(batch_size=8, epochs=1, replicas=3, replica_split="dealt", gradient_accumulation_steps=2)
    whole, parts = (
        processes.run(plan, SAMPLES, tmp_path / f"{name}.trace", "digits-mlp", optimizer=optimizer)
        for name, processes in (("eager", eager), ("fsdp", fsdp))
    )
    assert whole.certificate == parts.certificate
    assert [*_parted(whole, parts), *_ranks(parts, plan)] == []
    assert {name: values.shape for name, values in (parts.weights() or {}).items()} == {
        name: values.shape for name, values in find_task("digits-mlp").weights().items()
    }


@pytest.mark.costly
@pytest.mark.thorough
def test_what_parts_have_no_rule_for_is_refused(tmp_path, fsdp):
    plan = TrainingPlan(batch_size=8, epochs=1, replicas=2)
    with pytest.raises(RuntimeError, match=r"loop 'fsdp' has no such update rule .* Use the loop eager"):
        fsdp.run(plan, SAMPLES, tmp_path / "nadam.trace", "digits-mlp", optimizer="nadam")


@pytest.mark.parametrize(
    ("task", "fields", "runtime", "reason"),
    [
        (
            find_task("digits-mlp"),
            {},
            {"loop": "compile"},
            "its loop 'compile' runs no replicas; those that do are eager, fsdp",
        ),
        (find_task("digits-mlp"), {}, {"loop": "fsdp", "precision": "mixed_float16"}, "loop 'fsdp' scales no loss"),
        (find_task("digits-mlp"), {"replicas": 1}, {"loop": "fsdp"}, "among replicas, and the plan has one"),
    ],
)
def test_refusals(task, fields, runtime, reason):
    plan = TrainingPlan.from_mapping({"batch_size": 8, "epochs": 1, "replicas": 2, **fields})
    (said,) = registry.load("torch").check(plan, task, Runtime(**runtime))
    assert reason in said


def test_what_is_not_put_together_from_the_replicas_own_is_refused():
    torch, plan = registry.load("torch"), TrainingPlan(batch_size=8, epochs=1, replicas=2)
    task = find_task("digits-mlp")
    normed = replace(task, layers=(Dense(32), BatchNorm(), Dense(10)))
    (said,) = torch.check(plan, normed, Runtime())
    assert "BatchNorm has the statistics of each one's own rows" in said
    uneven = replace(task, loss=losses.CrossEntropy(ignored=3), metrics=())
    (said,) = torch.check(plan, uneven, Runtime())
    assert "its samples do not count alike" in said
    assert torch.check(replace(plan, replica_gradients="replicas"), uneven, Runtime()) == []


@pytest.mark.costly
@pytest.mark.thorough
def test_the_command(tmp_path):
    """Two loops, a worker for each replica of each: one certificate, and the verdict claims no step made again."""
    words = ["verify", "--adapters", "torch,torch:fsdp", "--replicas", "2", "--epochs", "1", "--out", "out", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "xframe", *words], cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["verdict"], said["structure"]) == ("passed", "identical")
    assert set(said["runs"]) == {"torch", "torch:fsdp"}
    assert len(set(said["certificates"].values())) == 1
    assert any("not made again" in json.dumps(line) for line in said["explanation"])
    folder = tmp_path / "out"
    assert {file.name for file in folder.glob("*.trace")} == {"torch.trace", "torch-fsdp.trace"}
    assert {file.name for file in folder.glob("*.log")} == {
        f"{name}-{index}.log" for name in ("torch", "torch-fsdp") for index in range(2)
    }
    trace = Trace.open(folder / "torch.trace")
    tokens = {replica.metadata["replica"]["run"]["token"] for replica in trace.replicas}
    assert len(tokens) == 1  # that of one run
    assert [rank.facts.loop for rank in trace.replicas] == ["eager", "eager"]
    assert np.isfinite(trace.replicas[1].column("weights_mark")).all()
    assert trace.replicas[0].column("weights_mark").tobytes() == trace.replicas[1].column("weights_mark").tobytes()
    assert done.stderr.count("trace complete") == 2, "a line a run"
