"""The model: layers one after the other, and back."""

from __future__ import annotations

from collections.abc import MutableMapping

import numpy as np

from xframe.tasks.task import Task
from xframe_numpy.layers import LOWER, Array, Passed


class Model:
    """Weights by canonical name, those that are no whole numbers in the run's precision; ``trained`` have gradients."""

    def __init__(self, task: Task, precision: str) -> None:
        initial = task.weights()
        self.placed = task.placed(initial)
        self.parameters = {
            name: np.array(values, dtype=values.dtype if values.dtype.kind in "iu" else precision)
            for name, values in initial.items()
        }
        buffers = {f"{name}/{weight}" for layer, name, *_ in self.placed for weight in layer.buffers}
        self.trained = {name: values for name, values in self.parameters.items() if name not in buffers}
        self.final: MutableMapping[str, Array] = self.parameters  # what a run ends with

    def forward(self, features: Array, *, training: bool = False) -> list[Passed]:
        """What each layer gives, with its way back."""
        x, passed = features.reshape(len(features), *self.placed[0].inputs), []
        for layer, name, _, own in self.placed:
            weights = {weight: self.parameters[f"{name}/{weight}"] for weight in own}
            passed.append(LOWER[type(layer)](layer, weights, x, training))
            x = passed[-1].outputs
        return passed

    def backward(self, passed: list[Passed], gradient: Array) -> dict[str, Array]:
        """Gradients of all parameters that have one, from the loss's gradient at the last output."""
        gradients: dict[str, Array] = {}
        for (_, name, *_), one in zip(reversed(self.placed), reversed(passed), strict=True):
            of_weights, gradient = one.back(gradient)
            gradients |= {f"{name}/{weight}": values for weight, values in of_weights.items()}
        return gradients

    def move(self, passed: list[Passed]) -> None:
        """Changes what a training step changes without a gradient."""
        for (_, name, *_), one in zip(self.placed, passed, strict=True):
            for weight, values in one.moved.items():
                self.parameters[f"{name}/{weight}"][...] = values

    def weights(self) -> dict[str, Array]:
        """A copy of the weights that a run ends with, by canonical name."""
        return {name: values.copy() for name, values in self.final.items()}
