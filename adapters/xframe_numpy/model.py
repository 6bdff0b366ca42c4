"""The model: dense layers one after the other, and back."""

from __future__ import annotations

import numpy as np

from xframe.tasks.layers import Dense
from xframe.tasks.task import Task
from xframe_numpy.layers import Array, backward, forward


class Model:
    """Weights by canonical name, in the run's precision."""

    def __init__(self, task: Task, precision: str) -> None:
        initial = task.weights()
        self.layers = [(layer, name) for layer, name, *_ in task.placed(initial) if isinstance(layer, Dense)]
        self.parameters = {name: np.array(values, dtype=precision) for name, values in initial.items()}
        self.final = self.parameters  # what a run ends with

    def forward(self, features: Array) -> list[Array]:
        """The input and every layer's output."""
        outputs = [features.reshape(len(features), -1)]
        for layer, name in self.layers:
            outputs.append(forward(layer, name, self.parameters, outputs[-1]))
        return outputs

    def backward(self, outputs: list[Array], gradient: Array) -> dict[str, Array]:
        """Gradients of all parameters, from the loss's gradient at the last output."""
        gradients: dict[str, Array] = {}
        for i, (layer, name) in reversed(list(enumerate(self.layers))):
            of_layer, gradient = backward(layer, name, self.parameters, outputs[i], outputs[i + 1], gradient)
            gradients |= of_layer
        return gradients

    def weights(self) -> dict[str, Array]:
        """A copy of the weights that a run ends with, by canonical name."""
        return {name: values.copy() for name, values in self.final.items()}
