"""Losses, and accuracy, in graph: Keras' own where that is the loss, else TensorFlow's operations put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from xframe.tasks import losses
from xframe.tasks.losses import BinaryCrossEntropy, CrossEntropy, Elementwise, Loss

_REDUCTIONS = {"mean": "sum_over_batch_size", "weighted_mean": "mean_with_sample_weight", "sum": "sum"}
_KERAS = ("MeanSquaredError", "MeanAbsoluteError", "KLDivergence", "Poisson", "Hinge", "SquaredHinge")
_EPSILON = 1e-7  # Keras' own


def accuracy(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The share of targets that get the greatest output, in float64."""
    predicted = tf.argmax(outputs, axis=-1)
    right = tf.math.count_nonzero(predicted == tf.reshape(targets, tf.shape(predicted)))
    return right / tf.size(predicted, tf.int64)


def lowered(loss: Loss | str, *, weighted: bool = False) -> Any:
    """The loss as a function of targets and outputs, in floatx, whatever the outputs are in.

    Args:
        loss: a loss, or the word that is short for it.
        weighted: whether the function takes the samples' weights too, one a sample or one an item.
    """
    loss = losses.of(loss)
    if not weighted:
        for word, make in _PLAIN.items():
            if losses.named(word) == loss:
                return make()
    return _Lowered(loss, None if weighted else _native(loss))


class _Lowered(keras.losses.Loss):  # type: ignore[misc]
    """One of Keras' losses given what it takes for that loss, or a composition; as fit takes losses."""

    def __init__(self, loss: Loss, native: Any) -> None:
        super().__init__(name=type(loss).__name__)
        self.loss, self.native = loss, native

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        # The identity: Keras computes from the logits where it sees that probabilities come from a softmax.
        outputs = tf.identity(tf.cast(y_pred, self.dtype))
        # Keras takes a single class for an axis too many, or warns of it.
        if self.native is None or sample_weight is not None or outputs.shape[-1] == 1:
            return _composed(self.loss, tf.convert_to_tensor(y_true), outputs, sample_weight)
        if isinstance(self.loss, CrossEntropy) and self.loss.targets == "classes":
            targets = tf.reshape(y_true, tf.shape(outputs)[:-1])
            targets.set_shape(outputs.shape[:-1])
        else:
            targets = tf.reshape(y_true, tf.shape(outputs))
            targets.set_shape(outputs.shape)
        return self.native(targets, outputs)


def _native(loss: Loss) -> Any:
    """Keras' own loss, where it is this one in all but rounding."""
    reduction = _REDUCTIONS.get(loss.reduction)
    if reduction is None:
        return None
    if isinstance(loss, CrossEntropy):
        return _native_cross_entropy(loss, reduction)
    rows = isinstance(loss, Elementwise) and loss.items == "rows"
    if not rows and (loss.reduction == "sum" or isinstance(loss, losses.KLDivergence)):
        return None
    if isinstance(loss, BinaryCrossEntropy):
        logits = loss.outputs == "logits"
        if loss.pos_weight != 1 or not (logits or (loss.guard == "clip" and loss.clip == _EPSILON)):
            return None
        return keras.losses.BinaryCrossentropy(logits, loss.label_smoothing, reduction=reduction)
    if isinstance(loss, losses.Huber):
        return keras.losses.Huber(loss.delta, reduction)
    if not isinstance(loss, Elementwise):
        return None
    formula = replace(loss, reduction="mean", empty="zero", items="rows")
    name = next((name for name in _KERAS if losses.named(f"keras.{name}") == formula), None)
    return name and getattr(keras.losses, name)(reduction=reduction)


def _native_cross_entropy(loss: CrossEntropy, reduction: str) -> Any:
    logits, classes = loss.outputs == "logits", loss.targets == "classes"
    order = "after" if classes else "before"
    if loss.class_weights or not (
        logits or (loss.outputs == "probabilities" and loss.clip == _EPSILON and loss.normalization == order)
    ):
        return None
    if not classes:
        return keras.losses.CategoricalCrossentropy(logits, loss.label_smoothing, reduction=reduction)
    if loss.label_smoothing or (loss.ignored is not None and loss.empty == "nan"):
        return None
    return keras.losses.SparseCategoricalCrossentropy(logits, loss.ignored, reduction)


class Items(NamedTuple):
    """Each item's loss and, where classes matter, its weight.

    ``weighed``: the losses have that weight in them, so that only ``reduction`` needs it. ``valid``: not ignored.
    """

    losses: tf.Tensor
    weights: tf.Tensor | None = None
    weighed: bool = False
    valid: tf.Tensor | None = None


def _composed(loss: Loss, targets: tf.Tensor, outputs: tf.Tensor, sample: tf.Tensor | None) -> tf.Tensor:
    items = _items(loss, targets, outputs)
    values, factors = items.losses, tf.ones_like(items.losses)
    if items.valid is not None:
        values, factors = tf.where(items.valid, values, 0), tf.cast(items.valid, values.dtype)
    counts = factors
    if sample is not None:
        sample = tf.cast(sample, values.dtype)
        missing = [1] * (len(values.shape) - len(sample.shape))
        factors = factors * tf.reshape(
            sample, tf.concat([tf.shape(sample), missing], 0) if missing else tf.shape(sample)
        )
    each = factors if items.weights is None else factors * items.weights
    total = tf.reduce_sum(values * (factors if items.weighed else each))
    if loss.reduction == "sum":
        return total
    total /= tf.distribute.get_strategy().num_replicas_in_sync  # as Keras does with each mean
    if loss.reduction == "batch_mean":
        return total / tf.cast(tf.shape(outputs)[0], total.dtype)
    divisor = tf.reduce_sum(counts if loss.reduction == "mean" else each)
    return total / tf.where(
        divisor == 0, tf.constant(math.nan if loss.empty == "nan" else math.inf, total.dtype), divisor
    )


def _items(loss: Loss, targets: tf.Tensor, x: tf.Tensor) -> Items:
    if isinstance(loss, CrossEntropy):
        return _cross_entropy(loss, targets, x)
    if isinstance(loss, losses.NegativeSum):
        return Items(-x)
    y = tf.cast(tf.reshape(targets, tf.shape(x)), x.dtype)
    if isinstance(loss, losses.CosineSimilarity):
        least = loss.epsilon**2
        along, towards = (
            one / tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(one), -1, keepdims=True), least)) for one in (x, y)
        )
        return Items(-tf.reduce_sum(along * towards, -1))
    values = _ELEMENTS[type(loss)](loss, x, y)
    if not isinstance(loss, Elementwise) or loss.items == "elements":
        return Items(values)
    return Items((tf.reduce_sum if isinstance(loss, losses.KLDivergence) else tf.reduce_mean)(values, -1))


def _cross_entropy(loss: CrossEntropy, targets: tf.Tensor, x: tf.Tensor) -> Items:
    valid, weights, classes = None, None, x.shape[-1]
    if loss.targets == "classes":
        of = tf.cast(tf.reshape(targets, tf.shape(x)[:-1]), tf.int64)
        if loss.ignored is not None:
            valid = of != loss.ignored
            of = tf.where(valid, of, 0)
        y = tf.one_hot(of, classes, dtype=x.dtype)
    else:
        y = tf.cast(tf.reshape(targets, tf.shape(x)), x.dtype)
        of = tf.argmax(y, -1)
    if loss.label_smoothing:
        y = y * (1 - loss.label_smoothing) + loss.label_smoothing / classes
    weighed = loss.weighing == "terms"
    if loss.class_weights:
        by_class = tf.constant(loss.class_weights, x.dtype)
        y = y * by_class if weighed else y
        weights = tf.gather(by_class, of) if not weighed or loss.targets == "classes" else None
    if loss.outputs == "log_probabilities":
        x = tf.where(y == 0, tf.zeros_like(x), x)  # a log of 0 counts nothing there
    return Items(-tf.reduce_sum(y * _log_probabilities(loss, x), -1), weights, weighed, valid)


def _log_probabilities(loss: CrossEntropy, x: tf.Tensor) -> tf.Tensor:
    if loss.outputs == "logits":
        return tf.nn.log_softmax(x)
    if loss.outputs == "log_probabilities":
        return x
    if loss.normalization == "before":
        x = x / tf.reduce_sum(x, -1, keepdims=True)
    p = tf.clip_by_value(x, loss.clip, 1 - loss.clip)
    logs = tf.math.log(p)
    return logs - tf.math.log(tf.reduce_sum(p, -1, keepdims=True)) if loss.normalization == "after" else logs


def _binary_cross_entropy(loss: BinaryCrossEntropy, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    if loss.label_smoothing:
        y = y * (1 - loss.label_smoothing) + 0.5 * loss.label_smoothing
    if loss.outputs == "logits":  # TensorFlow's own with pos_weight has another gradient at 0
        return (1 - y) * x + (1 + (loss.pos_weight - 1) * y) * tf.nn.softplus(-x)
    if loss.guard == "floor":
        return _floored(x, y)
    p = tf.clip_by_value(x, loss.clip, 1 - loss.clip)
    return -y * tf.math.log(p) - (1 - y) * tf.math.log1p(-p)


def _floored(outputs: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    least = float(np.float32(1e-12))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def floored(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        x = tf.where((x >= 0) & (x <= 1), x, np.nan)
        value = -y * tf.maximum(tf.math.log(x), -100) - (1 - y) * tf.maximum(tf.math.log1p(-x), -100)
        return value, lambda slope: slope * (x - y) / tf.maximum(x * (1 - x), least)

    return floored(outputs)


def _squared_error(_: Loss, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.math.squared_difference(x, y)


def _absolute_error(_: Loss, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.abs(x - y)


def _huber(loss: losses.Huber, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    off, delta = tf.abs(x - y), loss.delta
    return tf.where(off <= delta, 0.5 * tf.square(off), delta * (off - 0.5 * delta))


def _smooth_l1(loss: losses.SmoothL1, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    off, beta = tf.abs(x - y), loss.beta
    return tf.where(off < beta, 0.5 * tf.square(off) / beta, off - 0.5 * beta) if beta else off


def _log_cosh(_: Loss, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    # Keras' has log 2 in float32 whatever the precision, and loses the digits of a small difference.
    off = tf.abs(x - y)
    near = 0.5 * tf.math.log1p(tf.square(tf.sinh(tf.minimum(off, 1))))
    return tf.where(off < 1, near, off + tf.math.log1p(tf.exp(-2 * off)) - math.log(2))


def _kl_divergence(loss: losses.KLDivergence, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    if loss.targets == "log_probabilities":
        return tf.exp(y) * (y - x)
    if loss.outputs == "log_probabilities":
        return tf.math.xlogy(y, y) - y * tf.where(y == 0, tf.zeros_like(x), x)
    p, y = tf.clip_by_value(x, loss.clip, 1), tf.clip_by_value(y, loss.clip, 1)
    return y * tf.math.log(y / p)


def _poisson(loss: losses.Poisson, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    values = tf.exp(x) - y * x if loss.outputs == "log_rates" else x - y * tf.math.log(x + loss.epsilon)
    if loss.full:
        large = tf.where(y > 1, y, tf.ones_like(y))
        stirling = large * tf.math.log(large) - large + 0.5 * tf.math.log(2 * math.pi * large)
        values += tf.where(y > 1, stirling, 0)
    return values


def _hinge(loss: losses.Hinge, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    if loss.targets == "any":
        y = tf.where(tf.reduce_all((y == 0) | (y == 1)), 2 * y - 1, y)
    short = tf.maximum(1 - y * x, 0)
    return tf.square(short) if loss.squared else short


_ELEMENTS: Mapping[type[Loss], Callable[[Any, tf.Tensor, tf.Tensor], tf.Tensor]] = {
    BinaryCrossEntropy: _binary_cross_entropy,
    losses.SquaredError: _squared_error,
    losses.AbsoluteError: _absolute_error,
    losses.Huber: _huber,
    losses.SmoothL1: _smooth_l1,
    losses.LogCosh: _log_cosh,
    losses.KLDivergence: _kl_divergence,
    losses.Poisson: _poisson,
    losses.Hinge: _hinge,
}


def _negative_sum() -> Any:
    def loss(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(tf.cast(outputs, keras.config.floatx()))

    return loss


_PLAIN: Mapping[str, Callable[[], Any]] = {  # called as they are
    "softmax_cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "mean_squared_error": keras.losses.MeanSquaredError,
    "negative_sum": _negative_sum,
}
