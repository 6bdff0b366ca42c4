"""Early stopping: decisions on paper, against Keras' own, where validations are due, and where they stop a run."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xframe
from xframe.plan.stopping import EarlyStopping
from xframe.plan.training_plan import TrainingPlan
from xframe.plan.validation import closest, due, stopped_after
from xframe.running import registry
from xframe.running.steering import Course, Window, walk
from xframe.trace.trace import Validation


@pytest.fixture(scope="module", autouse=True)
def threads():
    """TensorFlow takes its threads before its first operation, and other tests of this process want one."""
    registry.load("tensorflow").configure(xframe.Runtime(device="cpu", threads=1))


def plan_of(**fields):
    return TrainingPlan(**{"batch_size": 4, "epochs": 9, "validation_every": 1, **fields})


def stops(values, **fields):
    """After which validation training stops, and the best one."""
    stopping = EarlyStopping(plan_of(**fields))
    for i, value in enumerate(values):
        if stopping.see(value).stops:
            return i, stopping.state().best_validation
    return None, stopping.state().best_validation


@pytest.mark.parametrize(
    ("values", "fields", "expected"),
    [
        ([3, 2, 1, 0], {}, (None, 3)),
        ([1, 2, 3, 4], {}, (2, 0)),
        ([1, 2, 0.5, 3, 4], {}, (4, 2)),
        ([1, 1, 1], {}, (2, 0)),
        ([1, 0.95, 0.9, 0.5], {"early_stopping_min_delta": 0.1}, (2, 0)),
        ([1, 2, 3], {"early_stopping_mode": "max"}, (None, 2)),
        ([3, 2, 1], {"early_stopping_monitor": "accuracy"}, (2, 0)),
        ([1, math.nan, math.nan], {}, (2, 0)),
        ([5, 4, 3, 3, 2], {"early_stopping_baseline": 1.0}, (3, 2)),
        ([5, 4, 0.5, 3, 2], {"early_stopping_baseline": 1.0}, (4, 2)),
    ],
)
def test_on_paper(values, fields, expected):
    assert stops(values, early_stopping_patience=2, **fields) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.integers(1, 4),
    st.sampled_from([0.0, 1.0, 2.5]),
    st.sampled_from([None, 3.0]),
    st.sampled_from(["min", "max"]),
)
def test_it_is_keras_rule(values, patience, min_delta, baseline, mode):
    import keras

    class Model:
        stop_training = False

    fields = {"patience": patience, "min_delta": min_delta, "baseline": baseline, "mode": mode}
    callback = keras.callbacks.EarlyStopping(monitor="val_loss", **fields)
    callback.set_model(Model())
    callback.on_train_begin()
    keras_stop = None
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_loss": float(value)})
        if callback.model.stop_training:
            keras_stop = epoch, callback.best_epoch
            break
    own_stop = stops(values, **{f"early_stopping_{name}": value for name, value in fields.items()})
    assert own_stop == (keras_stop or (None, callback.best_epoch))


def test_how_close_a_decision_was():
    plan = plan_of(early_stopping_patience=1, early_stopping_min_delta=0.1)
    validations = [Validation(after, loss=loss) for after, loss in ((3, 1.0), (6, 0.85), (9, 0.749), (12, 0.7))]
    assert stopped_after(plan, validations) == 12
    index, margin = closest(plan, validations)
    assert (index, margin) == (2, pytest.approx(0.001))
    assert closest(plan, validations[:1]) is None


def test_nothing_stops_a_run_without_validations():
    assert stopped_after(plan_of(early_stopping_patience=1), []) is None
    assert stopped_after(plan_of(), [Validation(3, loss=1.0)]) is None


PLANS = [
    {"validation_every": every, "validation_unit": unit, **fields}
    for unit in ("steps", "updates", "epochs")
    for every in (1, 2, 3, 100)
    for fields in (
        {},
        {"gradient_accumulation_steps": 2},
        {"remainder": "carry", "batch_size": 7},
        {"remainder": "carry", "batch_size": 31},
        {"steps_per_epoch": 2},
        {"steps_per_epoch": 4, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"},
        {"epochs": None, "steps": 11},
        {"epochs": None, "updates": 4, "gradient_accumulation_steps": 3},
        {"gradient_accumulation_steps": 4, "accumulation_remainder": "carry", "accumulation_at_end": "flush"},
    )
]


@pytest.mark.parametrize("fields", PLANS, ids=str)
def test_adapters_validate_when_the_plan_says(fields):
    """What ``Course`` does between steps, against the plan's own arithmetic."""
    plan, n, validated = plan_of(**fields), 10, []

    class Recorder:
        def validation(self, **_):
            validated.append(window.steps)

    def passes(first, offset):
        assert offset == 0
        rest = np.zeros(0, dtype=np.int64)
        p = first
        while plan.steps_per_epoch is not None or plan.epochs is None or p < plan.epochs:
            stream = np.concatenate([rest, np.arange(n)])
            whole = len(stream) - len(stream) % plan.batch_size
            yield from ((stream[i : i + plan.batch_size],) for i in range(0, whole, plan.batch_size))
            rest = stream[whole:]
            if plan.remainder == "keep" and len(rest):
                yield (rest,)
                rest = rest[:0]
            p += 1
        if len(rest):
            yield (rest,)

    window = Window(plan)
    course = Course(plan, Recorder(), lambda: {"loss": 0.0}, dict)
    for place, (ids,) in walk(plan, n, passes):
        window.close(place, len(ids))
        if course.over(place, window):
            break
    assert validated == due(plan, n).tolist()
    assert validated[-1] == plan.counts(n).num_steps
