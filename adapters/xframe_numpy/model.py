"""The model: dense layers, forward and backward by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.layers import Dense
from xframe.task import Task

Array = NDArray[Any]


class Model:
    """Weights by canonical name, in the run's precision."""

    def __init__(self, task: Task, precision: str) -> None:
        self.layers = [layer for layer in task.layers if isinstance(layer, Dense)]  # others are refused before
        self.parameters = {name: np.array(values, dtype=precision) for name, values in task.weights().items()}

    def forward(self, features: Array) -> list[Array]:
        """The input and every layer's output."""
        outputs = [features.reshape(len(features), -1)]
        for i, layer in enumerate(self.layers):
            z = outputs[-1] @ self.parameters[f"dense_{i}/kernel"]
            if layer.use_bias:
                z = z + self.parameters[f"dense_{i}/bias"]
            if layer.activation == "relu":
                z = np.maximum(z, 0)
            elif layer.activation == "tanh":
                z = np.tanh(z)
            outputs.append(z)
        return outputs

    def backward(self, outputs: list[Array], gradient: Array) -> dict[str, Array]:
        """Gradients of all parameters, from the loss's gradient at the last output."""
        gradients = {}
        for i in reversed(range(len(self.layers))):
            layer, inputs, output = self.layers[i], outputs[i], outputs[i + 1]
            if layer.activation == "relu":
                gradient = gradient * (output > 0)
            elif layer.activation == "tanh":
                gradient = gradient * (1 - output**2)
            gradients[f"dense_{i}/kernel"] = inputs.T @ gradient
            if layer.use_bias:
                gradients[f"dense_{i}/bias"] = gradient.sum(axis=0)
            gradient = gradient @ self.parameters[f"dense_{i}/kernel"].T
        return gradients

    def weights(self) -> dict[str, Array]:
        return {name: values.copy() for name, values in self.parameters.items()}
