"""The contract suite, bound to Keras' own fit; and where fit parts from a plan, a comparison says where and why."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from xframe_tensorflow import TensorflowAdapter
from xxhash import xxh3_128_hexdigest

from xframe import compare
from xframe.plan.stopping import EarlyStopping
from xframe.plan.training_plan import TrainingPlan
from xframe.running.registry import load
from xframe.running.runtime import Runtime
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import SGD
from xframe.tasks.schedules import Step
from xframe.testing import AdapterContract
from xframe.testing.contract import LEDGER, NUMBER_PLANS, PLANS, observe
from xframe.testing.contract.features import small

CPU = Runtime(device="cpu", loop="fit")


def follows(plan):
    """Keras' epochs go on with the pass, or end where the data do; its windows go on over every end, and are left open
    at the last; and an iteration is a pass, so that without steps_per_epoch no batch straddles two."""
    windows = plan.gradient_accumulation_steps == 1 or (
        plan.accumulation_remainder == "carry" and plan.accumulation_at_end == "drop"
    )
    epochs = plan.steps_per_epoch is None or (plan.epoch_iterator == "continue" and plan.on_exhaustion != "stop")
    return windows and epochs and not load("tensorflow").check(plan, small(), CPU)


def made(**fields):
    return TrainingPlan.from_mapping({"batch_size": 5, **fields})


GOES_ON = {"steps_per_epoch": 3, "epoch_iterator": "continue"}
CARRIED = {"accumulation_remainder": "carry", "loss_normalization": "window"}
OWN = (
    made(epochs=3, **GOES_ON),
    made(epochs=4, **GOES_ON, on_exhaustion="short_epoch"),
    made(epochs=4, **{**GOES_ON, "steps_per_epoch": 7}, on_exhaustion="short_epoch"),
    made(epochs=3, **GOES_ON, remainder="drop"),
    made(epochs=4, **GOES_ON, remainder="pad"),
    made(epochs=5, **GOES_ON, remainder="carry"),
    made(epochs=4, steps_per_epoch=3, epoch_iterator="continue", gradient_accumulation_steps=2, **CARRIED),
    made(epochs=4, **GOES_ON, on_exhaustion="short_epoch", gradient_accumulation_steps=2, **CARRIED),
    made(updates=4, gradient_accumulation_steps=3, **CARRIED),
    made(steps=11, updates=4, gradient_accumulation_steps=3, accumulation_remainder="carry"),
)
PARTING = tuple(plan for plan in PLANS if not follows(plan) and not load("tensorflow").check(plan, LEDGER, CPU))


@pytest.mark.sweep(fewest=3)
class TestTensorflowFit(AdapterContract):
    adapter, loop = "tensorflow", "fit"
    twin = Path(__file__).parents[1] / "native" / "keras_fit_digits.py"
    plans = tuple(plan for plan in (*PLANS, *OWN) if follows(plan))
    number_plans = (
        NUMBER_PLANS[0],
        made(batch_size=64, epochs=4, gradient_accumulation_steps=2, **CARRIED),
        made(batch_size=64, epochs=5, steps_per_epoch=20, epoch_iterator="continue", on_exhaustion="short_epoch"),
    )

    def follows(self, plan):
        return follows(plan)

    def pairs(self):
        return {"gradient_accumulation_steps": 2, **CARRIED}


def test_keras_follows_its_own_plans_all():
    assert all(follows(plan) for plan in OWN)
    assert len(TestTensorflowFit.plans) > len(OWN) + 10
    assert len(PARTING) > 5


@pytest.mark.parametrize("plan", PARTING, ids=str)
def test_a_plan_that_keras_does_not_follow_never_passes(plan, tmp_path):
    assert not compare(observe(load("tensorflow"), plan, LEDGER, tmp_path / "fit.trace", loop="fit"))


WINDOWS = {"gradient_accumulation_steps": 3}


@pytest.mark.parametrize(
    ("plan", "check", "step", "cause"),
    [
        (made(epochs=3, steps_per_epoch=3), "boundaries", 3, "epoch-iterator"),
        (made(epochs=3, steps_per_epoch=7, on_exhaustion="stop"), "steps", 5, "short-epoch"),
        (made(epochs=3, **WINDOWS), "updates", 4, "leftover-carried"),
        (made(epochs=3, **WINDOWS, accumulation_remainder="drop"), "updates", 5, "leftover-carried"),
        (made(epochs=3, **WINDOWS, accumulation_remainder="leak"), "updates", 5, "leftover-carried"),
        (made(epochs=2, **WINDOWS, **CARRIED, accumulation_at_end="flush"), "updates", 9, "window-at-training-end"),
    ],
    ids=["restart", "exhaustion-stop", "flush", "drop", "leak", "flush-at-end"],
)
def test_where_keras_parts_from_a_plan_is_found_and_explained(plan, check, step, cause, tmp_path):
    comparison = compare(observe(load("tensorflow"), plan, LEDGER, tmp_path / "fit.trace", loop="fit"))
    differs_at(comparison, check, step)
    assert comparison.causes[0].name == cause


def differs_at(comparison, check, step):
    first = comparison.first_difference
    assert first is not None
    assert (first["check"], first["step"]) == (check, step), comparison


class OfUnknownCardinality(TensorflowAdapter):
    """A filter that lets everything through: from then on nobody knows how long a pass is."""

    def fit_data(self, plan, task, runtime):
        return super().fit_data(plan, task, runtime).filter(lambda *_: True)


def test_unknown_cardinality_shows(tmp_path):
    """At each exhaustion Keras runs a step without data: the count of updates goes up, and nothing is updated."""
    trace = observe(OfUnknownCardinality(), made(epochs=3), LEDGER, tmp_path / "fit.trace", loop="fit")
    comparison = compare(trace)
    differs_at(comparison, "updates", 5)
    assert [cause.name for cause in comparison.causes] == ["counted-without-update"]
    assert "assert_cardinality" in comparison.causes[0].fix["keras"]
    assert trace.column("updates").tolist() == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17]
    assert LEDGER.audit(trace, trace.weights()), "the weights don't spell what the counter says"


def test_unknown_cardinality_shifts_windows(tmp_path):
    """The step without data is one of a window's three, so the update comes a step early."""
    plan = made(epochs=3, **WINDOWS, **CARRIED)
    trace = observe(OfUnknownCardinality(), plan, LEDGER, tmp_path / "fit.trace", loop="fit")
    differs_at(compare(trace), "updates", 7)


def test_unknown_cardinality_leaves_epochs_empty(tmp_path):
    """Epochs of just a pass: Keras learns of its end only as the next begins, which so has no step."""
    plan = made(epochs=4, steps_per_epoch=5, epoch_iterator="continue", on_exhaustion="short_epoch")
    trace = observe(OfUnknownCardinality(), plan, LEDGER, tmp_path / "fit.trace", loop="fit")
    comparison = compare(trace)
    differs_at(comparison, "updates", 5)
    assert trace.column("epoch").tolist() == [0] * 5 + [2] * 5
    assert [check.name for check in comparison.checks if check.result == "fail"] == ["steps", "updates", "epochs"]


def load_validation():
    features, targets = find_task("digits-mlp").load()
    return features[:300, ::-1].copy(), targets[:300]


WATCHED = replace(
    find_task("digits-mlp"), validation=load_validation, num_validation=300, metrics=("accuracy",), name="watched"
)


def validated(weights):
    """(loss, accuracy) on the validation samples, written out."""
    features, targets = load_validation()
    hidden = np.maximum(features @ weights["dense_0/kernel"] + weights["dense_0/bias"], 0)
    outputs = hidden @ weights["dense_1/kernel"] + weights["dense_1/bias"]
    exponents = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    likelihood = (exponents / exponents.sum(axis=1, keepdims=True))[np.arange(300), targets]
    return -np.log(likelihood).mean(), (outputs.argmax(axis=1) == targets).mean()


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({"epochs": 3, "validation_every": 2}, [58, 87]),
        ({"steps": 40, "validation_every": 1}, [29, 40]),
        ({"steps": 5, "validation_every": 3}, [5]),
        ({"epochs": 4, "validation_every": 3, "steps_per_epoch": 10, "epoch_iterator": "continue"}, [30, 40]),
    ],
)
def test_validation_is_keras_own(fields, steps, tmp_path):
    plan = TrainingPlan(batch_size=64, validation_batch_size=128, **fields)
    trace = observe(load("tensorflow"), plan, WATCHED, tmp_path / "fit.trace", loop="fit", precision="float32")
    assert [validation.after for validation in trace.validations] == steps
    assert {(validation.num_samples, validation.num_batches) for validation in trace.validations} == {(300, 3)}
    assert {validation.ids_digest for validation in trace.validations} == {xxh3_128_hexdigest(np.arange(300).tobytes())}
    last = trace.validations[-1]
    np.testing.assert_allclose((last.loss, last.accuracy), validated(trace.weights()), rtol=1e-5)
    assert set(trace.column("accuracy") * trace.column("batch_size") % 1) == {0}


@pytest.mark.parametrize("restore", [False, True])
@pytest.mark.parametrize("monitor", ["loss", "accuracy"])
def test_early_stopping_is_the_plans_rule(monitor, restore, tmp_path):
    """Keras' own callback decides; the neutral rule, shown the same values, decides the same."""
    plan = TrainingPlan(
        batch_size=64,
        epochs=60,
        validation_every=2,
        early_stopping_patience=2,
        early_stopping_monitor=monitor,
        early_stopping_min_delta=0.03,
        restore_best=restore,
    )
    trace = observe(load("tensorflow"), plan, WATCHED, tmp_path / "fit.trace", loop="fit", precision="float32")
    rule = EarlyStopping(plan)
    decisions = [rule.see(getattr(validation, monitor)) for validation in trace.validations]
    assert [decision.stops for decision in decisions] == [False] * (len(decisions) - 1) + [True]
    assert trace.num_rows == 2 * 29 * len(decisions) < 60 * 29
    kept = trace.validations[rule.state().best_validation if restore else -1]
    np.testing.assert_allclose((kept.loss, kept.accuracy), validated(trace.weights()), rtol=1e-5)


@pytest.mark.sweep(fewest=5)
@pytest.mark.parametrize(
    ("clock", "tick"),
    [("updates", lambda step: step // 2), ("steps", lambda step: step), ("epochs", lambda step: step // 29)],
)
@pytest.mark.parametrize("clip", [{}, {"clip_global_norm": 0.3}, {"clip_norm": 0.2}, {"clip_value": 0.01}], ids=str)
def test_a_schedule_ticks_by_any_clock(clock, tick, clip, tmp_path):
    """The rates are the schedule's; and with momentum and clipping it ends where a loop of one's own ends."""
    rate = Step(initial=0.1, factor=0.5, every=3 if clock != "epochs" else 1)
    task = replace(WATCHED, optimizer=SGD(learning_rate=rate, momentum=0.9, **clip))
    plan = made(batch_size=64, epochs=2, gradient_accumulation_steps=2, **CARRIED, schedule_clock=clock)
    runs = [observe(load("tensorflow"), plan, task, tmp_path / loop, loop=loop) for loop in ("function", "fit")]
    assert runs[1].column("lr").tolist() == [rate(tick(step)) for step in range(58)]
    assert compare(*runs), compare(*runs)


@pytest.mark.parametrize("precision", ["bfloat16", "mixed_float16"])
def test_low_precision_is_that_of_the_other_loops(precision, tmp_path):
    plan = made(batch_size=64, epochs=2, validation_every=1)
    own, fit = (
        observe(load("tensorflow"), plan, WATCHED, tmp_path / loop, loop=loop, precision=precision)
        for loop in ("function", "fit")
    )
    assert own.certificate == fit.certificate
    for name in ("update_attempts", "lr", "loss", "accuracy"):
        assert np.array_equal(own.column(name), fit.column(name), equal_nan=True), name
    assert own.end["weights"] == fit.end["weights"]
    np.testing.assert_allclose(*([v.loss for v in run.validations] for run in (own, fit)), rtol=1e-6)


def test_a_skipped_update_shows(tmp_path):
    """A feature that overflows in float16: Keras leaves the update out, and its counter stands."""

    def load_overflow():
        features, targets = find_task("digits-mlp").load()
        features = np.where(np.arange(len(features))[:, None] == 640, 60000.0, features)
        return features, targets

    task, plan = replace(WATCHED, load=load_overflow), made(batch_size=64, steps=15, order="sequential")
    trace = observe(load("tensorflow"), plan, task, tmp_path / "fit.trace", loop="fit", precision="mixed_float16")
    assert trace.column("updates").tolist() == [*range(1, 11), 10, 11, 12, 13, 14]
    assert trace.column("update_attempts").tolist() == list(range(1, 16))


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"remainder": "carry", "epochs": 2}, "no batch straddles two"),
        ({"epochs": 2, **WINDOWS, "loss_normalization": "sum"}, "loss_normalization 'sum'"),
        ({"epochs": 2, **WINDOWS, "loss_normalization": "samples"}, "loss_normalization 'samples'"),
        ({"epochs": 2, "validation_every": 7, "validation_unit": "steps"}, "not after steps"),
        ({"epochs": 2, "validation_every": 1, "early_stopping_patience": 1}, "compares in float32"),
    ],
)
def test_what_keras_cannot_do_is_refused_by_name(fields, refusal):
    (reason,) = load("tensorflow").check(made(**fields), WATCHED, replace(CPU, precision="float64"))
    assert refusal in reason


def test_rows_come_home_in_blocks_of_any_size(tmp_path, monkeypatch):
    """A ring that is full in the middle of an epoch, and in the middle of a validation."""
    load("tensorflow").probe()
    monkeypatch.setattr(importlib.import_module("xframe_tensorflow.loops.rings"), "_ROWS", 4)
    plan = made(batch_size=64, epochs=2, remainder="pad", validation_every=1, validation_batch_size=32)
    trace = observe(load("tensorflow"), plan, WATCHED, tmp_path / "fit.trace", loop="fit")
    assert compare(trace), compare(trace)
    assert trace.column("padding").tolist() == 2 * [*[0] * 28, 59]
    assert {validation.num_batches for validation in trace.validations} == {10}
    assert {validation.ids_digest for validation in trace.validations} == {xxh3_128_hexdigest(np.arange(300).tobytes())}
