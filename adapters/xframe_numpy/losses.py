"""Losses, each with its gradient at the outputs, and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xframe.tasks import losses
from xframe.tasks.losses import Elementwise, Loss
from xframe_numpy.layers import Array

Lowered: TypeAlias = Callable[..., tuple[float, Array]]


def accuracy(outputs: Array, targets: NDArray[Any]) -> float:
    """The share of targets that get the greatest output."""
    return float((outputs.argmax(axis=-1) == targets).mean())


def lowered(loss: Loss | str, *, weighted: bool = False) -> Lowered:
    """The loss and its gradient at the outputs as a function of outputs and targets: in float64 the reference of all.

    Args:
        loss: a loss, or the word that is short for it.
        weighted: whether the function takes the samples' weights too, one a sample or one an item.
    """
    loss = losses.of(loss)
    if not weighted:
        for word, function in _PLAIN.items():
            if losses.named(word) == loss:
                return function
    return partial(_computed, loss)


class Items(NamedTuple):
    """Each item's loss, its slope by each of the outputs, and where classes matter, each item's weight.

    ``weighed``: the losses have that weight in them, so that only ``reduction`` needs it. ``valid``: not ignored.
    """

    losses: Array
    slopes: Array
    weights: Array | None = None
    weighed: bool = False
    valid: NDArray[np.bool_] | None = None


def _computed(loss: Loss, outputs: Array, targets: NDArray[Any], weights: Array | None = None) -> tuple[float, Array]:
    items = _items(loss, outputs, targets)
    shape = items.losses.shape
    valid = np.ones(shape, bool) if items.valid is None else items.valid
    sample = np.ones(shape, outputs.dtype)
    if weights is not None:
        sample = sample * np.reshape(weights, weights.shape + (1,) * (len(shape) - weights.ndim))
    each = sample if items.weights is None else sample * items.weights
    factors = np.where(valid, sample if items.weighed else each, 0)
    divisor = {
        "sum": 1.0,
        "batch_mean": len(outputs),
        "mean": np.count_nonzero(valid),
        "weighted_mean": each[valid].sum(),
    }[loss.reduction]
    if not divisor:
        divisor = np.nan if loss.empty == "nan" else np.inf
    losses_ = np.where(valid, items.losses, 0)  # those ignored may be nan
    shares = (factors / divisor).astype(outputs.dtype)
    missing = outputs.ndim - len(shape)
    wide, there = (np.reshape(one, shape + (1,) * missing) for one in (shares, valid))
    return float((factors * losses_).sum() / divisor), np.where(there, items.slopes * wide, 0).astype(outputs.dtype)


def _items(loss: Loss, outputs: Array, targets: NDArray[Any]) -> Items:
    if isinstance(loss, losses.CrossEntropy):
        return _cross_entropy(loss, outputs, targets)
    if isinstance(loss, losses.NegativeSum):
        return Items(-outputs, np.full_like(outputs, -1))
    reshaped = targets.reshape(outputs.shape).astype(outputs.dtype)
    if isinstance(loss, losses.CosineSimilarity):
        return _cosine_similarity(loss, outputs, reshaped)
    values, slopes = _ELEMENTS[type(loss)](loss, outputs, reshaped)
    if not isinstance(loss, Elementwise) or loss.items == "elements":
        return Items(values, slopes)
    if isinstance(loss, losses.KLDivergence):
        return Items(values.sum(axis=-1), slopes)
    return Items(values.mean(axis=-1), slopes / outputs.shape[-1])


def _cross_entropy(loss: losses.CrossEntropy, x: Array, targets: NDArray[Any]) -> Items:
    classes, valid, weights = x.shape[-1], None, None
    if loss.targets == "classes":
        of = targets.reshape(x.shape[:-1]).astype(np.int64)
        if loss.ignored is not None:
            valid = of != loss.ignored
            of = np.where(valid, of, 0)
        y = np.eye(classes, dtype=x.dtype)[of]
    else:
        y = targets.reshape(x.shape).astype(x.dtype)
        of = y.argmax(axis=-1)
    if loss.label_smoothing:
        y = y * (1 - loss.label_smoothing) + loss.label_smoothing / classes
    weighed = loss.weighing == "terms"
    if loss.class_weights:
        by_class = np.array(loss.class_weights, x.dtype)
        y = y * by_class if weighed else y
        weights = by_class[of] if not weighed or loss.targets == "classes" else None
    values, slopes = _LOGARITHMS[loss.outputs](loss, x, y)
    return Items(values, slopes, weights, weighed, valid)


def _of_logits(_: losses.CrossEntropy, x: Array, y: Array) -> tuple[Array, Array]:
    shifted = x - x.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=-1, keepdims=True)
    return (y * (np.log(sums) - shifted)).sum(axis=-1), exponentials / sums * y.sum(axis=-1, keepdims=True) - y


def _of_log_probabilities(_: losses.CrossEntropy, x: Array, y: Array) -> tuple[Array, Array]:
    return -(y * np.where(y == 0, 0, x)).sum(axis=-1), -y


def _of_probabilities(loss: losses.CrossEntropy, x: Array, y: Array) -> tuple[Array, Array]:
    total = x.sum(axis=-1, keepdims=True) if loss.normalization == "before" else np.ones_like(x[..., :1])
    p, inside = _clipped(x / total, loss.clip, 1 - loss.clip)
    values, slopes = -(y * np.log(p)).sum(axis=-1), np.where(inside, -y / p, 0)
    if loss.normalization == "before":
        slopes = (slopes - (slopes * x / total).sum(axis=-1, keepdims=True)) / total
    if loss.normalization == "after":
        sums, given = p.sum(axis=-1), y.sum(axis=-1)
        values = values + given * np.log(sums)
        slopes = slopes + np.where(inside, (given / sums)[..., None], 0)
    return values, slopes


_LOGARITHMS: Mapping[str, Callable[[Any, Array, Array], tuple[Array, Array]]] = {
    "logits": _of_logits,
    "log_probabilities": _of_log_probabilities,
    "probabilities": _of_probabilities,
}


def _clipped(p: Array, least: float, most: float) -> tuple[Array, NDArray[np.bool_]]:
    low, high = p.dtype.type(least), p.dtype.type(most)
    return np.clip(p, low, high), (p >= low) & (p <= high)


def _binary_cross_entropy(loss: losses.BinaryCrossEntropy, x: Array, y: Array) -> tuple[Array, Array]:
    if loss.label_smoothing:
        y = y * (1 - loss.label_smoothing) + 0.5 * loss.label_smoothing
    if loss.outputs == "logits":
        small, weight = np.exp(-np.abs(x)), 1 + (loss.pos_weight - 1) * y
        negative = np.where(x >= 0, small, 1) / (1 + small)  # sigmoid(−x)
        rest = (1 - y) * x + weight * np.maximum(-x, 0)
        return rest + weight * np.log1p(small), (1 - y) - weight * negative
    with np.errstate(divide="ignore"):
        if loss.guard == "floor":
            x = np.where((x >= 0) & (x <= 1), x, np.nan)
            logs = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
            slopes = (x - y) / np.maximum(x * (1 - x), float(np.float32(1e-12)))
        else:
            p, inside = _clipped(x, loss.clip, 1 - loss.clip)
            logs = np.log(p), np.log1p(-p)
            slopes = np.where(inside, (1 - y) / (1 - p) - y / p, 0)
    return -y * logs[0] - (1 - y) * logs[1], slopes


def _squared_error(_: Loss, x: Array, y: Array) -> tuple[Array, Array]:
    return (x - y) ** 2, 2 * (x - y)


def _absolute_error(_: Loss, x: Array, y: Array) -> tuple[Array, Array]:
    return np.abs(x - y), np.sign(x - y)


def _huber(loss: losses.Huber, x: Array, y: Array) -> tuple[Array, Array]:
    off, delta = np.abs(x - y), loss.delta
    near = off <= delta
    return np.where(near, 0.5 * off**2, delta * (off - 0.5 * delta)), np.clip(x - y, -delta, delta)


def _smooth_l1(loss: losses.SmoothL1, x: Array, y: Array) -> tuple[Array, Array]:
    off, beta = np.abs(x - y), loss.beta
    if not beta:
        return off, np.sign(x - y)
    near = off < beta
    return np.where(near, 0.5 * off**2 / beta, off - 0.5 * beta), np.where(near, (x - y) / beta, np.sign(x - y))


def _log_cosh(_: Loss, x: Array, y: Array) -> tuple[Array, Array]:
    off = np.abs(x - y)
    near = 0.5 * np.log1p(np.sinh(np.minimum(off, 1)) ** 2)  # keeps the digits of a small one
    return np.where(off < 1, near, off + np.log1p(np.exp(-2 * off)) - np.log(2)), np.tanh(x - y)


def _kl_divergence(loss: losses.KLDivergence, x: Array, y: Array) -> tuple[Array, Array]:
    if loss.targets == "log_probabilities":
        return np.exp(y) * (y - x), -np.exp(y)
    if loss.outputs == "log_probabilities":
        return np.where(y == 0, 0, y * np.log(np.where(y == 0, 1, y)) - y * np.where(y == 0, 0, x)), -y
    (p, inside), (y, _) = _clipped(x, loss.clip, 1), _clipped(y, loss.clip, 1)
    return y * np.log(y / p), np.where(inside, -y / p, 0)


def _poisson(loss: losses.Poisson, x: Array, y: Array) -> tuple[Array, Array]:
    logs = loss.outputs == "log_rates"
    values = np.exp(x) - y * x if logs else x - y * np.log(x + loss.epsilon)
    if loss.full:
        large = np.where(y > 1, y, 1)
        values = values + np.where(y > 1, large * np.log(large) - large + 0.5 * np.log(2 * np.pi * large), 0)
    return values, np.exp(x) - y if logs else 1 - y / (x + loss.epsilon)


def _hinge(loss: losses.Hinge, x: Array, y: Array) -> tuple[Array, Array]:
    if loss.targets == "any" and np.all((y == 0) | (y == 1)):
        y = 2 * y - 1
    short = 1 - y * x
    values = np.maximum(short, 0)
    return (values**2, -2 * y * values) if loss.squared else (values, np.where(short >= 0, -y, 0))


def _cosine_similarity(loss: losses.CosineSimilarity, x: Array, y: Array) -> Items:
    norms = [np.linalg.norm(one, axis=-1, keepdims=True) for one in (x, y)]
    (over_x, over_y) = (np.maximum(norm, x.dtype.type(loss.epsilon)) for norm in norms)
    along, towards = x / over_x, y / over_y
    cosines = (along * towards).sum(axis=-1, keepdims=True)
    turned = np.where(norms[0] >= loss.epsilon, cosines * along, 0)
    return Items(-cosines[..., 0], (turned - towards) / over_x)


_ELEMENTS: Mapping[type[Loss], Callable[[Any, Array, Array], tuple[Array, Array]]] = {
    losses.BinaryCrossEntropy: _binary_cross_entropy,
    losses.SquaredError: _squared_error,
    losses.AbsoluteError: _absolute_error,
    losses.Huber: _huber,
    losses.SmoothL1: _smooth_l1,
    losses.LogCosh: _log_cosh,
    losses.KLDivergence: _kl_divergence,
    losses.Poisson: _poisson,
    losses.Hinge: _hinge,
}


def _softmax_cross_entropy(outputs: Array, targets: NDArray[Any]) -> tuple[float, Array]:
    if outputs.ndim != 2 or targets.ndim != 1:
        return _computed(losses.CrossEntropy(), outputs, targets)
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(targets))
    probabilities = exponentials / sums
    probabilities[rows, targets] -= 1
    return float((np.log(sums[:, 0]) - shifted[rows, targets]).mean()), probabilities / len(targets)


def _mean_squared_error(outputs: Array, targets: NDArray[Any]) -> tuple[float, Array]:
    difference = outputs - targets.reshape(outputs.shape)
    return float((difference**2).mean()), 2 * difference / difference.size


def _negative_sum(outputs: Array, targets: NDArray[Any]) -> tuple[float, Array]:
    return float(-outputs.sum()), np.full_like(outputs, -1)


_PLAIN: Mapping[str, Lowered] = {  # in fewer operations
    "softmax_cross_entropy": _softmax_cross_entropy,
    "mean_squared_error": _mean_squared_error,
    "negative_sum": _negative_sum,
}
