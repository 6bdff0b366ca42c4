"""The one neutral layer that is lowered, Dense: forward and backward by hand. Others are refused in ``check``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.tasks.layers import Dense

Array = NDArray[Any]


def forward(layer: Dense, name: str, parameters: dict[str, Array], inputs: Array) -> Array:
    """The layer's output."""
    z: Array = inputs @ parameters[f"{name}/kernel"]
    if layer.use_bias:
        z = z + parameters[f"{name}/bias"]
    if layer.activation == "relu":
        return np.maximum(z, 0)
    return np.tanh(z) if layer.activation == "tanh" else z


def backward(
    layer: Dense, name: str, parameters: dict[str, Array], inputs: Array, output: Array, gradient: Array
) -> tuple[dict[str, Array], Array]:
    """The gradients of its weights and of its inputs, from that of its output."""
    if layer.activation == "relu":
        gradient = gradient * (output > 0)
    elif layer.activation == "tanh":
        gradient = gradient * (1 - output**2)
    gradients = {f"{name}/kernel": inputs.T @ gradient}
    if layer.use_bias:
        gradients[f"{name}/bias"] = gradient.sum(axis=0)
    return gradients, gradient @ parameters[f"{name}/kernel"].T
