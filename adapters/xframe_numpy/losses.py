"""Losses, each with its gradient at the outputs, and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe_numpy.layers import Array


def accuracy(outputs: Array, targets: NDArray[Any]) -> float:
    """The share of targets that get the greatest output."""
    return float((outputs.argmax(axis=-1) == targets).mean())


def _softmax_cross_entropy(outputs: Array, targets: NDArray[Any]) -> tuple[float, Array]:
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


LOSSES: Mapping[str, Callable[[Array, NDArray[Any]], tuple[float, Array]]] = {
    "softmax_cross_entropy": _softmax_cross_entropy,
    "mean_squared_error": _mean_squared_error,
    "negative_sum": _negative_sum,
}
