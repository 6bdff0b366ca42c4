"""Dropout by the masks that all frameworks have."""

from __future__ import annotations

import numpy as np

from xframe.tasks import layers
from xframe.tasks.layers.dropout import spread
from xframe_numpy.layers.layer import Array, Lowering, Passed, Weights


def _dropout(layer: layers.Dropout, weights: Weights, x: Array, training: bool) -> Passed:
    if not training:
        return Passed(x, lambda gradient: ({}, gradient))
    elements = spread(np.arange(x[0].size, dtype=np.int64))
    kept = layer.mask.kept(weights["step"], np.arange(len(x), dtype=np.int64)[:, None], elements)
    factors = kept.reshape(x.shape).astype(x.dtype) * x.dtype.type(1 / (1 - layer.rate))
    return Passed(x * factors, lambda gradient: ({}, gradient * factors), {"step": weights["step"] + 1})


LOWER: dict[type[layers.Layer], Lowering] = {layers.Dropout: _dropout}
