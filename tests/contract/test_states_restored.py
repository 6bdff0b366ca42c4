"""A training's state: exported, kept in a file and imported, it goes on to the same bits as if it had not stopped."""

from dataclasses import replace

import numpy as np
import pytest

import xframe
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.drive import Drive
from xframe.running.runtime import Runtime
from xframe.tasks import optimizers
from xframe.tasks.lookup import BUILT_IN, find_task
from xframe.tasks.schedules import Cosine

ACCUMULATES = TrainingPlan(
    batch_size=300, epochs=2, gradient_accumulation_steps=4, accumulation_remainder="carry", schedule_clock="steps"
)
EACH = TrainingPlan(batch_size=500, epochs=2)
RULES = ("sgd", "keras.sgd", "momentum", "nesterov", "amsgrad", "adamw", "keras.adamw", "nadam", "adamax", "rmsprop")
RULES += ("keras.rmsprop", "adagrad", "adadelta", "adafactor", "lion")


class Recorder:
    """Keeps the rows."""

    def __init__(self):
        self.rows = []

    def step(self, *, ids, updates, lr, **_):
        self.rows.append((np.asarray(ids).tolist(), int(getattr(updates, "applied", updates)), float(lr)))

    def validation(self, **_):
        pass


def made(adapter, plan, task, precision="float32"):
    runtime = Runtime(device="cpu", precision=precision, threads=1, loop=getattr(adapter, "stepwise", None))
    return Drive(adapter, plan, task, runtime, Recorder())


def stopped(drive, k):
    """The drive after k steps."""
    over = drive.course.over
    drive.course.over = lambda place, window: over(place, window) or window.steps == k
    drive.course.validate = drive.course.validate or dict  # else the window alone decides
    drive.course.due = lambda place, window: False
    drive()
    return drive


def checked(adapter, plan, task, path, precision="float32", at=5):
    """Trains whole, and in two runs with the state's file between them; returns the state in that file."""
    whole = made(adapter, plan, task, precision)
    weights = whole()
    first = stopped(made(adapter, plan, task, precision), at)
    state = first.export()
    xframe.write_state(path, state)
    second = made(adapter, plan, task, precision)
    second.resume(xframe.read_state(path, second.train_step.state()))
    assert state.differences(second.export()) == []
    final = second()
    assert {name: values.tobytes() for name, values in final.items()} == {
        name: values.tobytes() for name, values in weights.items()
    }
    assert whole.export().differences(second.export()) == []
    assert first.recorder.rows + second.recorder.rows == whole.recorder.rows
    return state


def of_rule(name, **settings):
    """The digits task with that rule, at a rate that changes and with all that a rule may have."""
    kind = optimizers.named(name)
    rate = Cosine(kind.rate(0), ticks=20)
    return replace(find_task("digits-mlp"), optimizer=replace(kind, learning_rate=rate, **settings))


@pytest.mark.parametrize("name", RULES)
def test_a_training_goes_on_in_numpy(tmp_path, name):
    adapter = registry.load("numpy")
    state = checked(adapter, ACCUMULATES, of_rule(name), tmp_path / "s")
    assert state.gradients
    assert state.numbers["updates"] == 1
    assert state.slots.keys() <= set(optimizers.named(name).kept())


@pytest.mark.parametrize("name", RULES)
def test_a_training_goes_on_in_torch(tmp_path, name):
    state = checked(registry.load("torch"), ACCUMULATES, of_rule(name), tmp_path / "s")
    assert state.gradients


TASKS = [(task, precision) for task in BUILT_IN for precision in ("float64", "bfloat16", "mixed_float16")]
TASKS.remove(("rows-lstm", "mixed_float16"))  # which torch has no kernel for


@pytest.mark.parametrize(("task", "precision"), TASKS)
def test_every_task_goes_on_in_torch(tmp_path, task, precision):
    adapter, plan = registry.load("torch"), TrainingPlan(batch_size=40, steps=5, gradient_accumulation_steps=2)
    state = checked(adapter, plan, find_task(task), tmp_path / "s", precision, at=3)
    assert bool(state.buffers) == (task == "digits-cnn")
    assert ("loss_scale" in state.numbers) == (precision == "mixed_float16")


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_state_goes_from_numpy_to_torch_and_back(name, precision):
    """Each has all of it, and goes on from it: what one exports after the other's import is the same bits."""
    task = of_rule(name)
    state = stopped(made(registry.load("numpy"), ACCUMULATES, task, precision), 6).export()
    for adapter in ("torch", "numpy"):
        drive = made(registry.load(adapter), ACCUMULATES, task, precision)
        drive.resume(state)
        back = drive.export()
        assert state.differences(back) == []
        state = back


@pytest.mark.parametrize("adapter", ["numpy", "torch"])
def test_an_average_and_groups_go_on(tmp_path, adapter):
    groups = (optimizers.Group(("*/bias",), rate_factor=2.0, weight_decay=0.0),)
    average = optimizers.Average(0.9, clock="steps", final=True)
    task = of_rule("adamw", groups=groups, average=average, clip_global_norm=0.1)
    assert checked(registry.load(adapter), ACCUMULATES, task, tmp_path / "s", "float64").average


def test_a_state_that_does_not_fit_changes_nothing():
    adapter = registry.load("numpy")
    whole = stopped(made(adapter, ACCUMULATES, of_rule("momentum")), 6)
    state = whole.export()
    other = made(adapter, ACCUMULATES, of_rule("adam"))
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
