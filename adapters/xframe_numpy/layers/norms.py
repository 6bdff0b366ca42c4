"""Normalisation, by the statistics of a batch or of each sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xframe.tasks import layers
from xframe_numpy.layers.layer import Array, Lowering, Passed, Weights

Axes = tuple[int, ...]


def normalised(x: Array, epsilon: float, axes: Axes) -> tuple[Array, Callable[[Array], Array]]:
    """``(x − m) / √(v + epsilon)`` with mean and variance over these axes; and given the gradient of it that of x."""
    deviation = 1 / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)
    y: Array = (x - x.mean(axis=axes, keepdims=True)) * deviation

    def back(gradient: Array) -> Array:
        along = gradient.mean(axis=axes, keepdims=True) + y * (gradient * y).mean(axis=axes, keepdims=True)
        of_x: Array = deviation * (gradient - along)
        return of_x

    return y, back


def _scaled(weights: Weights, y: Array, before: Callable[[Array], Array]) -> Passed:
    """``y · scale + bias`` over the last axis, with what comes before it on the way back."""
    scale, others = weights["scale"], tuple(range(y.ndim - 1))

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        of_weights = {"scale": (gradient * y).sum(axis=others), "bias": gradient.sum(axis=others)}
        return {name: of_weights[name] for name in of_weights if name in weights}, before(gradient * scale)

    return Passed(y * scale + weights["bias"] if "bias" in weights else y * scale, back)


def _batch_norm(layer: layers.BatchNorm, weights: Weights, x: Array, training: bool) -> Passed:
    axes = tuple(range(x.ndim - 1))
    if training:
        passed = _scaled(weights, *normalised(x, layer.epsilon, axes))
        seen = {"mean": x.mean(axis=axes), "variance": x.var(axis=axes)}
        keep = layer.momentum
        return passed._replace(moved={name: keep * weights[name] + (1 - keep) * seen[name] for name in seen})
    deviation = 1 / np.sqrt(weights["variance"] + layer.epsilon)
    return _scaled(weights, (x - weights["mean"]) * deviation, lambda gradient: gradient * deviation)


def layer_norm(layer: layers.LayerNorm, weights: Weights, x: Array, training: bool) -> Passed:
    """Of each place's own mean and variance."""
    return _scaled(weights, *normalised(x, layer.epsilon, (-1,)))


def _group_norm(layer: layers.GroupNorm, weights: Weights, x: Array, training: bool) -> Passed:
    groups = (len(x), -1, layer.groups, x.shape[-1] // layer.groups)
    y, before = normalised(x.reshape(groups), layer.epsilon, (1, 3))
    return _scaled(weights, y.reshape(x.shape), lambda gradient: before(gradient.reshape(groups)).reshape(x.shape))


def _rms_norm(layer: layers.RMSNorm, weights: Weights, x: Array, training: bool) -> Passed:
    deviation = 1 / np.sqrt((x**2).mean(axis=-1, keepdims=True) + layer.epsilon)
    y = x * deviation

    def before(gradient: Array) -> Array:
        of_x: Array = deviation * (gradient - y * (gradient * y).mean(axis=-1, keepdims=True))
        return of_x

    return _scaled(weights, y, before)


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: layer_norm,
    layers.GroupNorm: _group_norm,
    layers.RMSNorm: _rms_norm,
}
