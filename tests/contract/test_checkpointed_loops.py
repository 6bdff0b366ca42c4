"""Loops that keep checkpoints: from any step each goes on to the bits of the run that never stopped.

Over random plans, rules and steps by ``python -m sweeps resumed``.
"""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from checkpointed import differences, run
from sweeps.resumed import sums_in_one_order

import xframe
from xframe.errors import UsageError
from xframe.plan.training_plan import TrainingPlan
from xframe.running.request import Request
from xframe.running.resuming import require_resumable
from xframe.running.states import read_content
from xframe.tasks import optimizers
from xframe.tasks.lookup import find_task
from xframe.tasks.task import Task

PLAN = TrainingPlan(
    batch_size=60,
    epochs=2,
    gradient_accumulation_steps=3,
    accumulation_remainder="carry",
    validation_every=2,
    validation_unit="updates",
    early_stopping_patience=9,
    restore_best=True,
)
TASK = replace(find_task("diabetes-regression"), optimizer=optimizers.named("momentum"))


@pytest.fixture(autouse=True)
def one_order(request):
    """Of TensorFlow's sums, for as long as a test trains in it."""
    with sums_in_one_order() if "tensorflow" in request.node.name else nullcontext():
        yield


@pytest.mark.sweep(fewest=2)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("torch", "torch"),
        ("tensorflow:block", "tensorflow:block"),
        ("tensorflow:block", "tensorflow:function"),
        ("tensorflow:function", "tensorflow:block"),
    ],
)
def test_a_loop_goes_on(tmp_path, first, second):
    whole = run(PLAN, tmp_path / "whole.trace", second, TASK)
    assert len(whole.validations) > 1
    run(PLAN, tmp_path / "a.trace", first, TASK, file=tmp_path / "st", every=2, stop_after=5)
    state = xframe.read_state(tmp_path / "st")
    assert state.gradients
    # Keras holds a velocity times the rate; as it does, too, it comes back to the bit.
    assert bool(state.native) == first.startswith("tensorflow")
    b = run(PLAN, tmp_path / "b.trace", second, TASK, resume=tmp_path / "st")
    assert differences(whole, b) == []


FITS = {
    "early stopping": TrainingPlan(
        batch_size=100, epochs=2, validation_every=1, early_stopping_patience=2, restore_best=True
    ),
    "windows": TrainingPlan(
        batch_size=100,
        epochs=2,
        gradient_accumulation_steps=3,
        accumulation_remainder="carry",
        accumulation_at_end="drop",
    ),
    "its own epochs": TrainingPlan(
        batch_size=60, epochs=2, steps_per_epoch=4, epoch_iterator="continue", validation_every=1, remainder="pad"
    ),
}


@pytest.mark.sweep(fewest=1)
@pytest.mark.parametrize(("name", "step"), [("early stopping", 4), ("windows", 2), ("its own epochs", 5)])
def test_keras_fit_goes_on_with_tensorflow(tmp_path, name, step):
    """In the middle of an epoch, and at its end."""
    plan, loop = FITS[name], "tensorflow:fit"
    whole = run(plan, tmp_path / "whole.trace", loop, TASK)
    a = run(plan, tmp_path / "a.trace", loop, TASK, file=tmp_path / "st", every=1, stop_after=step)
    assert (a.num_rows, a.ending) == (step, "stopped as asked")
    assert differences(whole, run(plan, tmp_path / "b.trace", loop, TASK, resume=tmp_path / "st")) == []


@pytest.mark.sweep(fewest=1)
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize(("name", "step"), [("windows", 2), ("windows", 7), ("early stopping", 4)])
def test_averages_in_keras_fit_go_on_with_tensorflow(tmp_path, name, step, final):
    """Before the first update too; the weights that a run ends with are the state's averages, or beside them."""
    plan, loop = FITS[name], "tensorflow:fit"
    plan = replace(plan, restore_best=plan.restore_best and not final)
    task = replace(TASK, optimizer=optimizers.named("adam", {"average": optimizers.Average(0.9, final=final)}))
    whole = run(plan, tmp_path / "whole.trace", loop, task)
    run(plan, tmp_path / "a.trace", loop, task, file=tmp_path / "st", stop_after=step)
    state = xframe.read_state(tmp_path / "st")
    moved = state.numbers["updates"] > 1  # the average is the weights up to the first update and after it
    assert moved == any(values.tobytes() != state.parameters[n].tobytes() for n, values in state.average.items())
    ended = run(plan, tmp_path / "b.trace", loop, task, resume=tmp_path / "st", file=tmp_path / "end")
    assert differences(whole, ended) == []
    state = xframe.read_state(tmp_path / "end")
    held = state.best if plan.restore_best else state.average if final else state.parameters
    assert held.keys() == ended.weights().keys()
    for weight, values in ended.weights().items():
        assert values.tobytes() == held[weight].tobytes(), weight


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"gradient_accumulation_steps": 2}, "windows go on over every end"),
        ({"steps_per_epoch": 3}, "go on with the data"),
    ],
)
def test_what_keras_fit_cannot_keep_is_refused_by_name(fields, why):
    plan = TrainingPlan(batch_size=60, epochs=2, **fields)
    with pytest.raises(UsageError, match=f"'tensorflow:fit' keeps no checkpoints of this run.*{why}"):
        require_resumable(Request(plan=plan, task="diabetes-regression", adapters=("tensorflow:fit",), device="cpu"))


def torch_drops():
    import torch

    torch.manual_seed(0)
    linear = torch.nn.Linear(5, 1)
    return xframe.NativeModel(torch.nn.Sequential(torch.nn.Dropout(0.3), linear), parameters(linear))


def parameters(linear):
    return {"dense_0/kernel": xframe.Parameter(linear.weight, (1, 0)), "dense_0/bias": xframe.Parameter(linear.bias)}


def keras_drops():
    import keras

    dense = keras.layers.Dense(1)
    module = keras.Sequential([keras.Input((5,)), keras.layers.Dropout(0.3, seed=0), dense])
    return xframe.NativeModel(
        module, {"dense_0/kernel": xframe.Parameter(dense.kernel), "dense_0/bias": xframe.Parameter(dense.bias)}
    )


def drops():
    """A task whose modules are its own and draw random numbers."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 5)).astype("float32")
    weights = {"dense_0/kernel": np.zeros((5, 1), "float32"), "dense_0/bias": np.zeros(1, "float32")}
    return Task(
        name="drops",
        load=lambda: (features, features[:, :1].copy()),
        num_samples=100,
        initial_weights=lambda: weights,
        loss="mean_squared_error",
        optimizer=optimizers.SGD(0.1),
        builders={"torch": torch_drops, "tensorflow": keras_drops},
    )


@pytest.mark.sweep(fewest=1)
@pytest.mark.parametrize("label", ["torch", "tensorflow:block"])
def test_a_modules_own_random_numbers_go_on(tmp_path, label):
    plan, task = TrainingPlan(batch_size=20, steps=8), drops()
    whole = run(plan, tmp_path / "whole.trace", label, task)
    run(plan, tmp_path / "a.trace", label, task, file=tmp_path / "st", stop_after=4)
    assert any("random" in name for name in xframe.read_state(tmp_path / "st").native)
    assert differences(whole, run(plan, tmp_path / "b.trace", label, task, resume=tmp_path / "st")) == []
    state, head = read_content(tmp_path / "st")[:2]
    xframe.write_state(tmp_path / "st", replace(state, native={}), head)
    assert "loss" in differences(whole, run(plan, tmp_path / "c.trace", label, task, resume=tmp_path / "st"))
