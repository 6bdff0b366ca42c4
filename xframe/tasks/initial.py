"""Initial weights and data that are the same on every machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.tasks.layers import LSTM, Layer, Shape, place

_ONES = ("scale", "variance", "norm_1_scale", "norm_2_scale")
_TABLE, _SLOPE = 0.1, 0.25


def initial_weights(layers: Sequence[Layer], inputs: Shape, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Kernels by Glorot; tables uniform; scales, variances and an LSTM's forget bias 1; slopes 1/4; others 0."""
    random = np.random.RandomState(seed)  # the one stream NumPy promises never to change
    weights: dict[str, NDArray[Any]] = {}
    for layer, name, _, own in place(layers, inputs):
        for weight, shape in own.items():
            if weight in _ONES:
                values = np.ones(shape)
            elif weight == "slope":
                values = np.full(shape, _SLOPE)
            elif len(shape) <= 1:
                values = np.zeros(shape)
            else:
                area = math.prod(shape[:-2])
                limit = _TABLE if weight == "table" else math.sqrt(6 / (area * (shape[-2] + shape[-1])))
                values = random.uniform(-limit, limit, shape)
            weights[f"{name}/{weight}"] = values.astype(np.int64 if weight == "step" else np.float32)
        if isinstance(layer, LSTM):
            weights[f"{name}/bias"][layer.units : 2 * layer.units] = 1
    return weights


def split(rows: NDArray[Any], validation: bool) -> NDArray[Any]:
    """Every fifth row, from the first, is for validation; or the others, to train on."""
    chosen: NDArray[Any] = rows[(np.arange(len(rows)) % 5 == 0) == validation]
    return chosen


def standardised(values: NDArray[Any]) -> NDArray[Any]:
    """Each column less its mean, by its deviation; both rounded, so that no machine's way of summing shows."""
    mean, deviation = values.mean(axis=0).round(2), values.std(axis=0).round(2)
    result: NDArray[Any] = (values - mean) / deviation
    return result
