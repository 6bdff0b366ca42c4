"""A training's state: exported, kept in a file and imported, it goes on to the same bits as if it had not stopped.

All adapters, tasks, rules and precisions are drawn from by ``python -m sweeps resumed``.
"""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from sweeps.resumed import checked, made, stopped, sums_in_one_order

import xframe
from xframe.plan.training_plan import TrainingPlan
from xframe.tasks import optimizers
from xframe.tasks.lookup import find_task
from xframe.tasks.schedules import Cosine

ACCUMULATES = TrainingPlan(
    batch_size=60, steps=10, gradient_accumulation_steps=4, accumulation_remainder="carry", schedule_clock="steps"
)
RULES = ("sgd", "keras.sgd", "momentum", "nesterov", "amsgrad", "adamw", "keras.adamw", "nadam", "adamax", "rmsprop")
RULES += ("keras.rmsprop", "adagrad", "adadelta", "adafactor", "lion")


@pytest.fixture(autouse=True)
def one_order(request):
    """Of TensorFlow's sums, for as long as a test trains in it."""
    with sums_in_one_order() if "tensorflow" in request.node.name else nullcontext():
        yield


def of_rule(name, task="diabetes-regression", **settings):
    """A task with that rule, at a rate that changes."""
    rule = optimizers.named(name)
    return replace(find_task(task), optimizer=replace(rule, learning_rate=Cosine(rule.rate(0), ticks=20), **settings))


@pytest.mark.parametrize("adapter", ["numpy", "torch"])
@pytest.mark.parametrize("name", RULES)
def test_a_training_goes_on(tmp_path, adapter, name):
    assert checked(adapter, ACCUMULATES, of_rule(name), tmp_path / "s", at=6) == []


@pytest.mark.parametrize(
    ("adapter", "task", "precision", "name"),
    [
        ("torch", "digits-cnn", "bfloat16", "adamw"),
        ("torch", "tiny-transformer", "mixed_float16", "momentum"),
        ("tensorflow", "digits-cnn", "bfloat16", "keras.rmsprop"),
        ("tensorflow", "diabetes-regression", "mixed_float16", "momentum"),
    ],
)
def test_buffers_scales_and_bfloat16_go_on(tmp_path, adapter, task, precision, name):
    plan = replace(ACCUMULATES, batch_size=20, steps=5)
    assert checked(adapter, plan, of_rule(name, task), tmp_path / "s", precision, at=3) == []
    state = xframe.read_state(tmp_path / "s")
    assert bool(state.buffers) == (task == "digits-cnn")
    assert ("loss_scale" in state.numbers) == (precision == "mixed_float16")
    assert state.gradients.keys() == state.parameters.keys()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_state_goes_from_numpy_to_torch_and_back(name, precision):
    """What one exports after it imported the other's is the same bits."""
    _round("torch", name, precision)


def test_a_state_goes_from_numpy_to_tensorflow_and_back():
    _round("tensorflow", "nadam", "float32")


def _round(other, name, precision):
    task = of_rule(name)
    state = stopped(made("numpy", ACCUMULATES, task, precision), 6).export()
    assert state.gradients
    assert state.numbers["updates"] == 1
    for adapter in (other, "numpy"):
        drive = made(adapter, ACCUMULATES, task, precision)
        drive.resume(state)
        back = drive.export()
        assert state.differences(back) == []
        state = back


@pytest.mark.parametrize("adapter", ["numpy", "torch"])
def test_an_average_and_groups_go_on(tmp_path, adapter):
    groups = (optimizers.Group(("*/bias",), rate_factor=2.0, weight_decay=0.0),)
    average = optimizers.Average(0.9, clock="steps", final=True)
    task = of_rule("adamw", groups=groups, average=average, clip_global_norm=0.1)
    assert checked(adapter, ACCUMULATES, task, tmp_path / "s", "float64") == []
    assert xframe.read_state(tmp_path / "s").average


def test_a_state_that_does_not_fit_changes_nothing():
    state = stopped(made("numpy", ACCUMULATES, of_rule("momentum")), 6).export()
    other = made("numpy", ACCUMULATES, of_rule("adam"))
    before = other.export()
    wrong = {
        "no gradients": replace(state, gradients={}),
        "a rule": state,
        "no position": replace(before, position=None),
        "a bad position": replace(before, position={**before.position, "walk": {"epoch": -1}}),
        "an array": replace(before, parameters={}),
        "best": replace(before, best={"x": np.zeros(1)}),
    }
    for one in wrong.values():
        with pytest.raises(xframe.StateError):
            other.resume(one)
        assert before.differences(other.export()) == []
