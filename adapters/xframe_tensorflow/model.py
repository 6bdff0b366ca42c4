"""The model: neutral layers lowered to Keras layers, or the user's own Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.precision import storage
from xframe.tasks.builders import Inner, match, paired
from xframe.tasks.task import Task
from xframe_tensorflow.layers import lower
from xframe_tensorflow.pairing import described, inner


def float_type(precision: str) -> str:
    """What features, and the weights that layers make, are held in; under mixed_float16, layers cast both down."""
    return precision if precision == "bfloat16" else storage(precision)


class Model:
    """A Keras model, and where its weights are by canonical name."""

    def __init__(self, task: Task, precision: str) -> None:
        initial = task.weights()
        own = task.builders.get("tensorflow")
        layers: Mapping[str, Inner] | None = None
        if own is None:
            built, layers = lower(task.placed(initial), float_type(precision))
        else:
            built = paired(own(), described, initial)
        self.module = built.module
        trainable = self.module.trainable_variables
        self.parameters = match(built, trainable, initial, task=task.name, framework="tensorflow")
        self.layers = inner(self.module, self.parameters) if layers is None else layers
        names = {id(variable): name for name, (variable, _) in self.parameters.items()}
        self.trained = {names[id(variable)]: self.parameters[names[id(variable)]] for variable in trainable}
        self.final: Callable[[], dict[str, NDArray[Any]]] = dict  # weights that a run ends with instead of these
        for name, (variable, axes) in self.parameters.items():
            values = initial[name]
            assign(variable, values if values.dtype.kind in "iu" else values.astype(storage(precision)), axes)

    def weights(self) -> dict[str, NDArray[Any]]:
        """A copy of the weights that a run ends with, by canonical name, as the task has them."""
        return {name: canonical(*parameter) for name, parameter in self.parameters.items()} | self.final()

    def copies(self, replicas: int) -> list[dict[str, NDArray[Any]]]:
        """The same of each replica, where a strategy has a copy of the model on each one's device."""
        return [
            {name: canonical(variable.value.values[index], axes) for name, (variable, axes) in self.parameters.items()}
            for index in range(replicas)
        ]


def canonical(variable: Any, axes: tuple[int, ...] | None) -> NDArray[Any]:
    """A copy of a variable's values in the canonical layout; of bfloat16 as float32, which has every value of it."""
    values = np.array(variable.numpy())
    if values.dtype.kind not in "iufb":
        values = values.astype(np.float32)
    return values if axes is None else values.transpose(np.argsort(axes))


def assign(variable: Any, values: NDArray[Any], axes: tuple[int, ...] | None) -> None:
    """Sets a variable to values in the canonical layout."""
    variable.assign(values if axes is None else values.transpose(axes))
