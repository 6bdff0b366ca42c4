"""One value for each window or each whole image."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xframe.tasks import layers
from xframe.tasks.layers import Shape
from xframe_tensorflow.layers.layer import IMAGES, Lowered, Lowering, applied


class _Padded(keras.layers.Layer):  # type: ignore[misc]
    """Something added at the ends of both axes."""

    def __init__(self, pads: Any, value: float) -> None:
        super().__init__()
        self.pads, self.value = [(0, 0), *pads, (0, 0)], value

    def call(self, x: Any) -> Any:
        return tf.pad(x, self.pads, constant_values=tf.constant(self.value, x.dtype))


class _Times(keras.layers.Layer):  # type: ignore[misc]
    """Each place times its factor, the same in all channels."""

    def __init__(self, factors: Any) -> None:
        super().__init__()
        self.factors = factors[..., None]

    def call(self, x: Any) -> Any:
        return x * tf.constant(self.factors, x.dtype)


def _max_pool(layer: layers.MaxPool2D, inputs: Shape, x: Any) -> Lowered:
    if isinstance(layer.padding, str):
        return applied(keras.layers.MaxPooling2D(layer.size, layer.step, layer.padding, **IMAGES), x)
    x = _Padded(layer.pads(inputs), -math.inf)(x) if layer.padding else x
    return applied(keras.layers.MaxPooling2D(layer.size, layer.step, **IMAGES), x)


def _average_pool(layer: layers.AveragePool2D, inputs: Shape, x: Any) -> Lowered:
    if layer.padding in ("valid", 0) or (layer.padding == "same" and not layer.count_padding):
        return applied(keras.layers.AveragePooling2D(layer.size, layer.step, layer.padding or "valid", **IMAGES), x)
    outputs = keras.layers.AveragePooling2D(layer.size, layer.step, **IMAGES)(_Padded(layer.pads(inputs), 0)(x))
    if layer.count_padding:
        return outputs, {}
    return applied(_Times(layer.size**2 / np.multiply.outer(*layer.present(inputs))), outputs)


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.MaxPool2D: _max_pool,
    layers.AveragePool2D: _average_pool,
    layers.GlobalAveragePool2D: lambda layer, _, x: applied(keras.layers.GlobalAveragePooling2D(**IMAGES), x),
}
