"""One value for each window or each whole image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xframe.tasks import layers
from xframe_numpy.layers.layer import Array, Lowering, Passed, Weights
from xframe_numpy.layers.window import Windows, inner, padded


def _windows(layer: layers.MaxPool2D | layers.AveragePool2D, x: Array) -> Windows:
    high, wide, _ = layer.outputs(x.shape[1:])
    return Windows((layer.size, layer.size), layer.step, 1, (high, wide))


def _max_pool(layer: layers.MaxPool2D, weights: Weights, x: Array, training: bool) -> Passed:
    windows, pads = _windows(layer, x), layer.pads(x.shape[1:])
    wide = padded(x, pads, -math.inf)
    stacked = np.stack([view for _, view in windows.views(wide)])
    first = stacked.argmax(axis=0)

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        of_wide = np.zeros_like(wide)
        for number, (_, into) in enumerate(windows.views(of_wide)):
            into += gradient * (first == number)
        return {}, inner(of_wide, pads)

    return Passed(stacked.max(axis=0), back)


def _average_pool(layer: layers.AveragePool2D, weights: Weights, x: Array, training: bool) -> Passed:
    windows, pads = _windows(layer, x), layer.pads(x.shape[1:])
    wide: Array = padded(x, pads)
    high, along = layer.present(x.shape[1:])
    counts = layer.size**2 if layer.count_padding else np.multiply.outer(high, along).astype(x.dtype)[..., None]
    total: Any = sum(view for _, view in windows.views(wide))

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        of_wide = np.zeros_like(wide)
        for _, into in windows.views(of_wide):
            into += gradient / counts
        return {}, inner(of_wide, pads)

    return Passed(total / counts, back)


def _global_average_pool(layer: layers.GlobalAveragePool2D, weights: Weights, x: Array, training: bool) -> Passed:
    places = x.shape[1] * x.shape[2]

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        return {}, np.broadcast_to(gradient[:, None, None] / places, x.shape)

    return Passed(x.mean(axis=(1, 2)), back)


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.MaxPool2D: _max_pool,
    layers.AveragePool2D: _average_pool,
    layers.GlobalAveragePool2D: _global_average_pool,
}
