"""The model: layers one after the other, and back."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

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
        self.lowered = [  # weights are only ever changed in place, so that they are looked up once
            (LOWER[type(layer)], layer, {weight: self.parameters[f"{name}/{weight}"] for weight in own}, f"{name}/")
            for layer, name, _, own in self.placed
        ]
        self.shape = self.placed[0].inputs if self.placed else ()
        self.final: MutableMapping[str, Array] = self.parameters  # what a run ends with

    def forward(
        self, features: Array, *, training: bool = False, seen: Callable[[str, Array], Array] | None = None
    ) -> list[Passed]:
        """What each layer gives, with its way back; ``seen``, of a layer's name and outputs, what the next takes."""
        x, passed = features.reshape(len(features), *self.shape), []
        for function, layer, weights, prefix in self.lowered:
            one = function(layer, weights, x, training)
            passed.append(one)
            x = one.outputs if seen is None else seen(prefix[:-1], one.outputs)
        return passed

    def backward(self, passed: list[Passed], gradient: Array) -> dict[str, Array]:
        """Gradients of all parameters that have one, from the loss's gradient at the last output."""
        gradients: dict[str, Array] = {}
        for (_, _, _, prefix), one in zip(reversed(self.lowered), reversed(passed), strict=True):
            of_weights, gradient = one.back(gradient)
            for weight, values in of_weights.items():
                gradients[prefix + weight] = values
        return gradients

    def move(self, passed: list[Passed]) -> None:
        """Changes what a training step changes without a gradient."""
        for (_, _, weights, _), one in zip(self.lowered, passed, strict=True):
            for weight, values in one.moved.items():
                weights[weight][...] = values

    def weights(self) -> dict[str, Array]:
        """A copy of the weights that a run ends with, by canonical name."""
        return {name: values.copy() for name, values in self.final.items()}
