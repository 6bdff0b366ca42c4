"""Losses, data, precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sweeps.planted.declaring import other_batches, other_task, tampered
from sweeps.planted.trainings import BITS, DATA, MLP, ONE, PADDED, REGRESSION, TEXT, Training, training
from xframe.tasks import layers as of
from xframe.tasks import losses
from xframe.tasks.losses import BinaryCrossEntropy, CrossEntropy, Loss

NUMPY, TORCH = ("numpy",), ("torch",)


def loss(name: str, training: Training, own: Loss, other: Loss, *causes: str, tensor: str = "*") -> None:
    """A loss for which another one stands."""
    other_task(name, training.lossy(own), lambda task: replace(task, loss=other), "loss", tensor, *causes)


WEIGHTED = CrossEntropy(class_weights=(1.0, 2.0, 0.5, 3.0), reduction="weighted_mean")
REDUCTION, OTHER = "loss-reduction", "other-loss"
PROBABLE = training(
    "probable",
    (of.Dense(5, "tanh"), of.Dense(4, "sigmoid")),
    DATA["features"],
    DATA["classes"],
    CrossEntropy(outputs="probabilities"),
)
loss(
    "probabilities as logits",
    PROBABLE,
    CrossEntropy(outputs="probabilities"),
    CrossEntropy(),
    "outputs-taken-as-logits",
)
loss(
    "logits as probabilities",
    PROBABLE,
    CrossEntropy(),
    CrossEntropy(outputs="probabilities"),
    "outputs-taken-as-probabilities",
)
SURE = training(
    "sure",
    (of.Dense(5, "tanh"), of.Dense(1, "sigmoid")),
    DATA["features"],
    DATA["bits"],
    BinaryCrossEntropy(outputs="probabilities"),
)
loss(
    "a sigmoid's output as a logit",
    SURE,
    BinaryCrossEntropy(outputs="probabilities"),
    BinaryCrossEntropy(),
    "outputs-taken-as-logits",
)
loss("no label smoothing", MLP, CrossEntropy(label_smoothing=0.1), CrossEntropy(), "label-smoothing")
loss(
    "label smoothing .11", MLP, CrossEntropy(label_smoothing=0.1), CrossEntropy(label_smoothing=0.11), "label-smoothing"
)
loss(
    "smoothing over K - 1",  # s / (K - 1) for the others is s · K / (K - 1) over all
    MLP,
    CrossEntropy(label_smoothing=0.1),
    CrossEntropy(label_smoothing=0.1 * 4 / 3),
    "label-smoothing-over-others",
)
loss(
    "class weights by N",
    MLP,
    WEIGHTED,
    replace(WEIGHTED, reduction="mean"),
    "class-weights-normalised",
)
loss(
    "class weights scaled",
    MLP,
    replace(WEIGHTED, reduction="mean"),
    replace(WEIGHTED, reduction="mean", class_weights=(1 / 1.625, 2 / 1.625, 0.5 / 1.625, 3 / 1.625)),
    "class-weights-normalised",
)
loss("no class weights", MLP, WEIGHTED, replace(WEIGHTED, class_weights=()), "class-weights-absent")
loss("no weight of positives", BITS, BinaryCrossEntropy(pos_weight=3.0), BinaryCrossEntropy(), "class-weights-absent")
loss("summed", MLP, CrossEntropy(), CrossEntropy(reduction="sum"), REDUCTION)
loss("summed over places", TEXT, CrossEntropy(), CrossEntropy(reduction="batch_mean"), REDUCTION)
loss("one term summed", REGRESSION, losses.SquaredError(), losses.SquaredError(reduction="batch_mean"), REDUCTION)
loss("padding counted", PADDED, CrossEntropy(ignored=-1), CrossEntropy(ignored=-1, reduction="batch_mean"), REDUCTION)
loss("absolute error", REGRESSION, losses.SquaredError(), losses.AbsoluteError(), OTHER)
loss("Huber for squares", REGRESSION, losses.SquaredError(), losses.Huber(), OTHER)
loss("Huber for smooth L1", REGRESSION, losses.SmoothL1(beta=0.5), losses.Huber(delta=0.5), OTHER, "loss-scaled")
loss("log cosh for squares", REGRESSION, losses.SquaredError(), losses.LogCosh(), OTHER)


def _replace_loss(step: Any, loss: Callable[..., Any]) -> None:
    step.loss = loss
    if hasattr(step, "forward"):  # torch's hot path has the loss in it
        from xframe_torch.step import forward

        step.forward = forward(step, step.runtime.loop)


def other_loss(
    name: str, training: Training, made: Callable[[Callable[..., Any]], Callable[..., Any]], *causes: str, **facts: Any
) -> None:
    """NumPy's loss, which gives its value and its slope, or torch's, replaced by what ``made`` makes of it."""

    def change(step: Any) -> None:
        _replace_loss(step, made(step.loss))

    tampered(name, training, change, "loss", "*", *causes, **facts)


def _scaled(factor: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def made(own: Callable[..., Any]) -> Callable[..., Any]:
        def computed(outputs: Any, targets: Any) -> Any:
            value, slope = own(outputs, targets)
            return factor * value, (factor * slope).astype(outputs.dtype)

        return computed

    return made


other_loss("half the squared error", REGRESSION, _scaled(0.5), "loss-scaled", sides=NUMPY)
other_loss("loss 1.0001 times", MLP, _scaled(1.0001), "loss-scaled", sides=NUMPY)
other_loss(
    "loss over k once more", MLP.planned(gradient_accumulation_steps=3), _scaled(1 / 3), "loss-scaled", sides=NUMPY
)


def _padded_length(own: Callable[..., Any]) -> Callable[..., Any]:
    """The sum over what is not ignored, divided by all places."""

    def computed(outputs: Any, targets: Any) -> Any:
        value, slope = own(outputs, targets)
        share = (targets != -1).mean()
        return value * share, (slope * share).astype(outputs.dtype)

    return computed


other_loss(
    "masked mean over the padded length", PADDED, _padded_length, REDUCTION, "ignored-labels-counted", sides=NUMPY
)


def _twice(own: Callable[..., Any]) -> Callable[..., Any]:
    return lambda outputs, targets: own(outputs.softmax(-1), targets)


def _broadcast(own: Callable[..., Any]) -> Callable[..., Any]:
    return lambda outputs, targets: ((outputs - targets.reshape(-1)) ** 2).mean()


other_loss("softmax twice", MLP, _twice, "softmax-twice", sides=TORCH)
other_loss("(B, 1) against (B,)", ONE, _broadcast, "targets-broadcast", sides=TORCH)


def _penalised(step: Any) -> None:
    own, parameters = step.loss, step.parameters
    _replace_loss(step, lambda outputs, targets: own(outputs, targets) + 0.005 * sum((p**2).sum() for p in parameters))


tampered("L2 in the loss", MLP, _penalised, "loss", "loss", "added-penalty", sides=TORCH)

# Data


def data(name: str, training: Training, change: Callable[[Any], Any], tensor: str, *causes: str, **facts: Any) -> None:
    """Batches whose features or targets are changed."""
    other_batches(name, training, change, "batch", tensor, *causes, **facts)


def features(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Batches with other features."""
    return lambda batch: batch._replace(features=change(batch.features))


SCALED = "features-scaled"
data("features times 255", MLP, features(lambda x: x * 255), "features", SCALED)
data("features over 255", MLP, features(lambda x: x / 255), "features", SCALED)
data("features normalised", MLP, features(lambda x: (x - 0.5) * 2), "features", SCALED, "features-shifted")
data(
    "features of half precision",
    MLP,
    features(lambda x: x.astype(np.float16).astype(x.dtype)),
    "features",
    "features-rounded",
    sides=NUMPY,
)
data(
    "features of other rows", MLP, features(lambda x: x[::-1].copy()), "features", "features-of-other-rows", sides=NUMPY
)
data(
    "targets of other rows",
    MLP,
    lambda batch: batch._replace(targets=np.roll(batch.targets, 1)),
    "targets",
    "targets-of-other-rows",
    sides=NUMPY,
)
data(
    "a target shifted",
    MLP,
    lambda batch: batch._replace(targets=(batch.targets + 1) % 4),
    "targets",
    "targets-renumbered",
    sides=NUMPY,
)

# Precision


def _in_float32(step: Any) -> None:
    function, layer, own, prefix = step.model.lowered[0]

    def rounded(layer: Any, weights: Any, x: Any, training: bool) -> Any:
        passed = function(
            layer, {name: w.astype(np.float32) for name, w in weights.items()}, x.astype(np.float32), training
        )
        return passed._replace(
            outputs=passed.outputs.astype(x.dtype),
            back=lambda gradient: passed.back(gradient),
        )

    step.model.lowered[0] = (rounded, layer, own, prefix)


tampered("a layer in float32", MLP, _in_float32, "forward", "dense_0/outputs", "lower-precision", sides=NUMPY)


def _updates_in_float32(step: Any) -> None:
    plain = step.optimizer.formula
    step.optimizer.formula = lambda rule, w, g, *rest: plain(rule, w, g, *rest).astype(np.float32).astype(w.dtype)


tampered("an update in float32", MLP, _updates_in_float32, "update", "*", sides=NUMPY)
