"""The model: neutral layers lowered to Keras layers, or the user's own Keras model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.runtime import storage
from xframe.task import Task, match
from xframe_tensorflow.layers import lower


class Model:
    """A Keras model, and where its weights are by canonical name."""

    def __init__(self, task: Task, precision: str) -> None:
        self.storage = storage(precision)
        initial = task.weights()
        own = task.builders.get("tensorflow")
        built = lower(task.placed(initial), self.storage) if own is None else own()
        self.module = built.module
        self.parameters = match(task, "tensorflow", built, self.module.trainable_variables)
        for name, (variable, axes) in self.parameters.items():
            values = initial[name] if axes is None else initial[name].transpose(axes)
            variable.assign(values.astype(self.storage))

    def weights(self) -> dict[str, NDArray[Any]]:
        found = {}
        for name, (variable, axes) in self.parameters.items():
            values = np.array(variable.numpy()).astype(self.storage)  # NumPy itself has no bfloat16
            found[name] = values if axes is None else values.transpose(np.argsort(axes))
        return found
