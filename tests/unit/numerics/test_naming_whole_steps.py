"""One step of torch beside NumPy's, its stages fed: a planted change fails where it is first, and is named first."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from sweeps.resumed import made

from xframe.numerics.judging import judge_step
from xframe.numerics.naming.causes import explain
from xframe.plan.training_plan import TrainingPlan
from xframe.running.resync import FED
from xframe.state.record import Record
from xframe.tasks import layers, losses, optimizers
from xframe.tasks.layers import place
from xframe.tasks.task import Task

PLAN = TrainingPlan(batch_size=16, steps=5)


def task(model, shape, loss="softmax_cross_entropy"):
    rng, count = np.random.default_rng(0), 64
    x = rng.normal(size=(count, *shape)).astype("f4")
    y = rng.integers(0, 3, count) if "cross" in loss else rng.normal(size=count).astype("f4")
    weights = {
        f"{one.name}/{name}": (rng.normal(size=size) * 0.4 + (name == "scale")).astype("f4")
        for one in place(model, shape)
        for name, size in one.weights.items()
        if name not in one.layer.buffers
    }
    rule = optimizers.named("keras.adamw")
    return Task("planted", count, lambda: (x, y), lambda: weights, loss, rule, layers=model, input_shape=shape)


CNN = task(
    (
        *(layers.Conv2D(4, 3, "relu", strides=2), layers.BatchNorm(), layers.Flatten(), layers.Dense(6, "gelu")),
        *(layers.Dropout(0.3, seed=1), layers.Dense(3)),
    ),
    (6, 6, 2),
)
RNN = task(
    (layers.LSTM(5, return_sequences=True), layers.GRU(4), layers.LayerNorm(), layers.Dense(3)),
    (7, 4),
)
REGRESSION = task((layers.Dense(6, "tanh"), layers.Dense(1)), (4,), "mean_squared_error")


def layer(number, **fields):
    """Another setting of a layer."""
    return lambda task: replace(
        task, layers=tuple(replace(one, **fields) if at == number else one for at, one in enumerate(task.layers))
    )


def loss(other):
    return lambda task: replace(task, loss=other)


def evaluating(step):
    step.model.layers["batchnorm_0"].part.eval()


def swapped(step):
    """The LSTM's f and g."""
    own = step.model.layers["lstm_0"].part.recurrent
    places = torch.cat([torch.arange(5) + 5 * gate for gate in (0, 2, 1, 3)])

    def forward(x):
        weights = [one[places] for one in (own.weight_ih_l0, own.weight_hh_l0, own.bias_ih_l0, own.bias_hh_l0)]
        zero = torch.zeros(1, len(x), 5, dtype=x.dtype)
        return torch._VF.lstm(x, (zero, zero), weights, True, 1, 0.0, True, False, True)

    own.forward = forward


def loss_as(function):
    def change(step):
        own = step.loss
        step.loss = lambda outputs, targets: function(own, outputs, targets)

    return change


PLANTED = {  # by cause: the task, what torch makes of it otherwise, and the stage and tensor that fail first
    "padding-side": (CNN, layer(0, padding=1), "forward", "conv2d_0/outputs"),
    "norm-epsilon": (CNN, layer(1, epsilon=1e-3), "forward", "batchnorm_0/outputs"),
    "norm-epsilon of a LayerNorm": (RNN, layer(2, epsilon=1e-3), "forward", "layernorm_0/outputs"),
    "running-momentum-inverted": (CNN, layer(1, momentum=0.1), "buffers", "batchnorm_0/mean"),
    "gelu-form": (CNN, layer(3, activation="gelu_tanh"), "forward", "dense_0/outputs"),
    "dropout-rate": (CNN, layer(4, rate=0.7), "forward", "dropout_0/outputs"),
    "dropout-mask": (CNN, layer(4, seed=9), "forward", "dropout_0/outputs"),
    "evaluation-mode": (CNN, evaluating, "forward", "batchnorm_0/outputs"),
    "gates-swapped": (RNN, swapped, "forward", "lstm_0/outputs"),
    "label-smoothing": (CNN, loss(losses.CrossEntropy(label_smoothing=0.1)), "loss", "loss"),
    "loss-reduction": (CNN, loss(losses.CrossEntropy(reduction="sum")), "loss", "loss"),
    "other-loss": (REGRESSION, loss("mean_absolute_error"), "loss", "loss"),
    "softmax-twice": (CNN, loss_as(lambda own, x, y: own(x.softmax(-1), y)), "loss", "loss"),
    "loss-scaled": (REGRESSION, loss_as(lambda own, x, y: own(x, y) / 2), "loss", "loss"),
    "targets-broadcast": (REGRESSION, loss_as(lambda own, x, y: ((x - y) ** 2).mean()), "loss", "loss"),
}


def recorded(step, batch, given):
    before = step.state()
    return Record(0, before, step.stages(batch, given), step.state())


def pair(task, change=None):
    """NumPy's record of a first step, and torch's that is fed with it."""
    drives = [made("numpy", PLAN, task, "float64"), None]
    planted = change is not None and change.__name__ not in ("evaluating", "swapped", "change")
    drives[1] = made("torch", PLAN, change(task) if planted else task, "float64")
    if change is not None and not planted:
        change(drives[1].train_step)
    (first,), (second,) = (islice(drive.batches, 1) for drive in drives)
    reference = recorded(drives[0].train_step, first, {})
    given = {stage: reference.stages[stage] for stage in FED if stage in reference.stages}
    return reference, recorded(drives[1].train_step, second, given)


@pytest.mark.sweep
@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_change_is_found_and_named_first(what):
    task, change, stage, tensor = PLANTED[what]
    reference, candidate = pair(task, change)
    distances = judge_step(reference, candidate)
    first = next(one for one in distances if not one.ok)
    assert (first.stage, first.tensor) == (stage, tensor)
    (cause, *_) = explain(reference, candidate, distances, task, names=("numpy", "torch"))
    assert (cause.name, cause.certainty) == (what.partition(" ")[0], "proven")
    assert "torch computes it" in cause.sentence


@pytest.mark.parametrize("task", [CNN, RNN, REGRESSION])
def test_a_clean_step_is_not(task):
    reference, candidate = pair(task)
    distances = judge_step(reference, candidate)
    assert all(one.ok for one in distances)
    assert explain(reference, candidate, distances, task) == ()
    assert explain(reference, candidate, (), task) == ()
