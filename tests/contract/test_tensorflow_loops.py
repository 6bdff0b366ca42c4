"""What is particular to the tensorflow adapter's loops: blocks of any size, workers, skipped updates."""

import functools
from dataclasses import replace

import numpy as np
import pytest

import xframe
from xframe.running import registry
from xframe.tasks import optimizers
from xframe.tasks import schedules as schedule
from xframe.tasks.lookup import find_task
from xframe.testing import observe
from xframe.testing.contract import LEDGER

LOOPS = ("block", "function", "xla")
DIGITS = find_task("digits-mlp")
FEATURES, TARGETS = DIGITS.load()
SMALL = replace(  # 200 samples to train on, 97 to validate on
    DIGITS,
    num_samples=200,
    load=lambda: (FEATURES[:200], TARGETS[:200]),
    validation=lambda: (FEATURES[-97:], TARGETS[-97:]),
    num_validation=97,
    metrics=("accuracy",),
)
VALIDATES = {"validation_every": 7, "validation_unit": "steps", "validation_batch_size": 30}


def trained(plan, task, folder, *, loop, precision="float32"):
    folder.mkdir(exist_ok=True)
    count = len(list(folder.iterdir()))
    return observe(registry.load("tensorflow"), plan, task, folder / f"{count}.trace", precision=precision, loop=loop)


def same(first, second):
    assert first.certificate == second.certificate
    assert first.end["weights"] == second.end["weights"]
    for column in ("loss", "lr", "accuracy", "update_attempts"):
        assert np.array_equal(first.column(column), second.column(column), equal_nan=column == "accuracy"), column
    assert [(v.after, v.loss, v.accuracy) for v in first.validations] == [
        (v.after, v.loss, v.accuracy) for v in second.validations
    ]


BLOCKS = {
    "whole passes": {"epochs": 4, **VALIDATES},
    "carried": {"epochs": 9, "remainder": "carry", "steps_per_epoch": 5, "gradient_accumulation_steps": 3, **VALIDATES},
}
SCHEDULED = replace(SMALL, optimizer=replace(SMALL.optimizer, learning_rate=schedule.Cosine(0.1, 20)))


@pytest.fixture(scope="module")
def by_steps(tmp_path_factory):
    """The plan and the run of the loop ``function``, by their names."""

    @functools.cache
    def run(name):
        plan = xframe.TrainingPlan.from_mapping({"batch_size": 32, **BLOCKS[name]})
        return plan, trained(plan, SCHEDULED, tmp_path_factory.mktemp("steps"), loop="function")

    return run


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize(("fewest", "most", "most_bytes"), [(1, 1, 1 << 25), (3, 5, 1 << 25), (50, 50, 64 * 4 * 90)])
def test_a_block_of_any_size_is_as_good_as_steps(by_steps, name, fewest, most, most_bytes, tmp_path, monkeypatch):
    registry.load("tensorflow").probe()  # imports keras with the right backend
    from xframe_tensorflow.loops import block

    plan, single = by_steps(name)
    monkeypatch.setattr(block, "_FEWEST", fewest)
    monkeypatch.setattr(block, "_MOST", most)
    monkeypatch.setattr(block, "MOST_BYTES", most_bytes)
    same(single, trained(plan, SCHEDULED, tmp_path, loop="block"))
    assert len(single.validations) > 3


@pytest.mark.parametrize("loop", ["block", "function", "fit"])
def test_an_iterator_that_is_given_up_waits_for_no_thread_that_tunes(loop, tmp_path, monkeypatch):
    import tensorflow as tf

    begun, begin = [], tf.data.Dataset.__iter__

    def iterated(dataset):
        begun.append(dataset.options().autotune.enabled)
        return begin(dataset)

    monkeypatch.setattr(tf.data.Dataset, "__iter__", iterated)
    every = VALIDATES | ({"validation_every": 1, "validation_unit": "epochs"} if loop == "fit" else {})
    trained(xframe.TrainingPlan(batch_size=32, epochs=2, **every), SMALL, tmp_path, loop=loop)
    assert len(begun) >= 2
    assert not any(each is not False for each in begun)


@pytest.mark.parametrize("loop", LOOPS)
def test_workers_keep_the_order(loop, tmp_path):
    plan = xframe.TrainingPlan(batch_size=4, epochs=3)
    alone = trained(plan, LEDGER, tmp_path, loop=loop)
    runtime = xframe.Runtime(device="cpu", precision="float64", threads=1, loop=loop, workers=3)
    with xframe.record(tmp_path / "workers.trace", plan=plan, num_samples=LEDGER.num_samples) as recorder:
        recorder.weights(registry.load("tensorflow").run(plan, LEDGER, runtime, recorder))
    helped = xframe.Trace.open(tmp_path / "workers.trace")
    assert helped.certificate == alone.certificate
    assert LEDGER.audit(helped, helped.weights()) == []


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("window", [1, 2])
def test_an_update_that_overflows_is_tried_and_not_applied(loop, window, tmp_path):
    """float16 ends at 65,504: the batch with sample 7 has gradients beyond it."""
    features = np.array(FEATURES[:200])
    features[7] *= 3e4
    task = replace(SMALL, load=lambda: (features, TARGETS[:200]))
    windows = {"gradient_accumulation_steps": window} if window > 1 else {}
    plan = xframe.TrainingPlan(batch_size=40, epochs=2, order="sequential", **windows)
    trace = trained(plan, task, tmp_path, loop=loop, precision="mixed_float16")
    attempts, updates = trace.column("update_attempts"), trace.column("updates")
    planned = [step.update for step in plan.each_step(200)]
    assert attempts.tolist() == planned
    hit = [step.index for step in plan.each_step(200) if 7 in step.sample_ids]
    skipped = [planned.index(planned[k + window - 1]) for k in hit]
    assert (attempts - updates).tolist() == [sum(at <= k for at in skipped) for k in range(len(planned))]


@pytest.mark.parametrize("loop", LOOPS)
def test_bfloat16_is_near_float32(loop, tmp_path):
    plan = xframe.TrainingPlan(batch_size=32, epochs=2, validation_every=1)
    coarse, fine = (trained(plan, SMALL, tmp_path, loop=loop, precision=name) for name in ("bfloat16", "float32"))
    assert coarse.certificate == fine.certificate
    assert np.array_equal(coarse.column("lr"), fine.column("lr"))
    assert not np.array_equal(coarse.column("loss"), fine.column("loss"))
    np.testing.assert_allclose(coarse.column("loss"), fine.column("loss"), rtol=0.02)
    for name, values in fine.weights().items():
        assert coarse.weights()[name].dtype == np.float32
        np.testing.assert_allclose(coarse.weights()[name], values, atol=0.02)


def test_a_velocity_is_not_lost_at_a_rate_of_zero(tmp_path):
    """Keras' own holds the rate; a rate that rises from 0 takes an optimizer whose velocity is free of it."""
    rising = replace(DIGITS, optimizer=xframe.SGD(schedule.Warmup(5, schedule.Constant(0.1)), momentum=0.9))
    plan = xframe.TrainingPlan(batch_size=64, steps=12)
    assert registry.load("tensorflow").check(plan, rising, xframe.Runtime(device="cpu")) == []
    runs = [
        observe(registry.load(name), plan, rising, tmp_path / f"{name}.trace", precision="float64")
        for name in ("tensorflow", "numpy")
    ]
    for name, values in runs[1].weights().items():
        np.testing.assert_allclose(runs[0].weights()[name], values, rtol=1e-12, atol=1e-14)


RULED = {
    "groups, averaged by steps": optimizers.named(
        "adam",
        {
            "weight_decay": 0.1,
            "clip_global_norm": 0.3,
            "groups": (optimizers.Group(("*/bias",), weight_decay=0.0), optimizers.Group(("dense_1/*",), 0.5)),
            "average": optimizers.Average(0.9, clock="steps", final=True),
        },
    ),
    "averaged by updates": optimizers.named("keras.adamw", {"average": optimizers.Average(0.9, final=True)}),
    "averaged beside": optimizers.named("torch.rmsprop", {"epsilon": 1e-4, "average": optimizers.Average(0.9)}),
}


@pytest.mark.sweep(fewest=3)
@pytest.mark.parametrize(("name", "window"), [(name, window) for window in (2, 1) for name in RULED])
def test_a_rule_trains_as_in_numpy_whatever_the_loop(name, window, tmp_path):
    """Averages by either clock, and at the end in the weights' place or not; Keras' fit has a clock of its own."""
    task = replace(DIGITS, optimizer=RULED[name])
    plan = xframe.TrainingPlan.from_mapping({"batch_size": 64, "steps": 12, "gradient_accumulation_steps": window})
    reference = observe(registry.load("numpy"), plan, task, tmp_path / "numpy.trace", precision="float64")
    for loop in ("block", "function", "fit") if window > 1 else ("fit",):
        run = trained(plan, task, tmp_path, loop=loop, precision="float64")
        assert run.column("updates").tolist() == reference.column("updates").tolist()
        for weight, values in reference.weights().items():
            np.testing.assert_allclose(run.weights()[weight], values, rtol=1e-12, atol=1e-14, err_msg=loop)


@pytest.mark.parametrize("loop", ["fit", "block"])
def test_an_average_is_the_weights_up_to_the_first_update(tmp_path, loop):
    """Keras' own is zero there, and at the end ``fit`` puts it in the weights' place."""
    task = replace(DIGITS, optimizer=RULED["averaged by updates"])
    fields = {"batch_size": 64, "steps": 2, "gradient_accumulation_steps": 3, "accumulation_at_end": "drop"}
    run = trained(xframe.TrainingPlan.from_mapping(fields), task, tmp_path, loop=loop)
    assert run.column("updates").tolist() == [0, 0]
    for weight, values in task.weights().items():
        assert run.weights()[weight].tobytes() == values.astype("float32").tobytes(), weight


def test_what_no_optimizer_of_keras_computes_is_refused():
    class Own(optimizers.Rule):
        """A rule that nobody knows."""

    plan = xframe.TrainingPlan.from_mapping(
        {"batch_size": 32, "epochs": 2, "validation_every": 1, "early_stopping_patience": 1, "restore_best": True}
    )
    averaged = optimizers.named("adam", {"average": optimizers.Average(0.9, final=True)})
    for rule, reason in (
        (optimizers.Lion(0.1, beta1=0.0), "beta1 of 0"),
        (Own(0.1), "rule Own is not one of its rules"),
        (averaged, "not averaged"),
    ):
        (refused,) = registry.load("tensorflow").check(
            plan, replace(DIGITS, optimizer=rule), xframe.Runtime(device="cpu", loop="fit")
        )
        assert reason in refused
