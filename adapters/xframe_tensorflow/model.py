"""The model: neutral layers lowered to Keras layers, or the user's own Keras model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.precision import storage
from xframe.tasks.builders import match
from xframe.tasks.task import Task
from xframe_tensorflow.layers import lower


def float_type(precision: str) -> str:
    """What features, and the weights that layers make, are held in; under mixed_float16, layers cast both down."""
    return precision if precision == "bfloat16" else storage(precision)


class Model:
    """A Keras model, and where its weights are by canonical name."""

    def __init__(self, task: Task, precision: str) -> None:
        initial = task.weights()
        own = task.builders.get("tensorflow")
        built = lower(task.placed(initial), float_type(precision)) if own is None else own()
        self.module = built.module
        trainable = self.module.trainable_variables
        self.parameters = match(built, trainable, initial, task=task.name, framework="tensorflow")
        for name, (variable, axes) in self.parameters.items():
            values = initial[name] if axes is None else initial[name].transpose(axes)
            variable.assign(values.astype(storage(precision)))

    def weights(self) -> dict[str, NDArray[Any]]:
        """A copy of the weights by canonical name, as the task has them."""
        weights = {}
        for name, (variable, axes) in self.parameters.items():
            values = np.array(variable.numpy())
            if values.dtype.kind not in "iufb":  # bfloat16; every value is a float32 too
                values = values.astype(np.float32)
            weights[name] = values if axes is None else values.transpose(np.argsort(axes))
        return weights
