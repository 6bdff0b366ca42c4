"""The model: neutral layers lowered to Keras layers, or the user's own Keras model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from xframe.runtime import storage
from xframe.task import NativeModel, Parameter, Task, match


def float_type(precision: str) -> str:
    """What features, and the weights that layers make, are held in; under mixed_float16, layers cast both down."""
    return precision if precision == "bfloat16" else storage(precision)


class Model:
    """A Keras model, and where its weights are by canonical name."""

    def __init__(self, task: Task, precision: str) -> None:
        initial = task.weights()
        own = task.builders.get("tensorflow")
        built = _lower(task, initial, precision) if own is None else own()
        self.module = built.module
        self.parameters = match(task, "tensorflow", built, self.module.trainable_variables)
        for name, (variable, axes) in self.parameters.items():
            values = initial[name] if axes is None else initial[name].transpose(axes)
            variable.assign(values.astype(storage(precision)))

    def weights(self) -> dict[str, NDArray[Any]]:
        found = {}
        for name, (variable, axes) in self.parameters.items():
            values = np.array(variable.numpy())
            if values.dtype.kind not in "iufb":  # bfloat16; every value is a float32 too
                values = values.astype(np.float32)
            found[name] = values if axes is None else values.transpose(np.argsort(axes))
        return found


def _lower(task: Task, initial: dict[str, NDArray[Any]], precision: str) -> NativeModel:
    shape = (initial["dense_0/kernel"].shape[0],)
    layers = []
    for layer in task.layers:
        # "zeros": no random number is drawn for weights that are copied in.
        dense = keras.layers.Dense(
            layer.units, activation=layer.activation, use_bias=layer.use_bias, kernel_initializer="zeros"
        )
        layers.append(dense)
    model = keras.Sequential([keras.Input(shape, dtype=float_type(precision)), *layers])
    parameters = {}
    for i, (layer, dense) in enumerate(zip(task.layers, layers, strict=True)):
        parameters[f"dense_{i}/kernel"] = Parameter(dense.kernel)
        if layer.use_bias:
            parameters[f"dense_{i}/bias"] = Parameter(dense.bias)
    return NativeModel(model, parameters)
