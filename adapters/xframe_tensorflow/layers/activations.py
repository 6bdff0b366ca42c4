"""Functions of each element. Keras' own where their constants are exact in every precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from xframe.tasks import layers
from xframe.tasks.layers import Shape
from xframe_tensorflow.layers.layer import Lowered, Lowering, applied

_ROOT, _BEND = math.sqrt(2 / math.pi), 0.044715


def _constant(value: float, x: Any) -> Any:
    return tf.constant(value, x.dtype)


def _gelu(x: Any) -> Any:
    return 0.5 * x * (1 + tf.math.erf(x * _constant(math.sqrt(0.5), x)))


def _gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1 + tf.tanh(_constant(_ROOT, x) * (x + _constant(_BEND, x) * x * x * x)))


# What Keras takes as ``activation``.
ACTIVATIONS: Mapping[str, str | Callable[[Any], Any]] = {
    **{name: name for name in ("linear", "relu", "tanh", "sigmoid", "softplus", "silu", "elu")},
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}


def _leaky_relu(layer: layers.LeakyReLU, inputs: Shape, x: Any) -> Lowered:
    return applied(keras.layers.Activation(lambda x: tf.where(x > 0, x, _constant(layer.slope, x) * x)), x)


def _elu(layer: layers.ELU, inputs: Shape, x: Any) -> Lowered:
    def elu(x: Any) -> Any:
        return tf.where(x > 0, x, _constant(layer.alpha, x) * tf.nn.elu(x))

    return applied(keras.layers.Activation(elu), x)


class _PReLU(keras.layers.Layer):  # type: ignore[misc]
    """With slopes by the last axes; Keras' own keep an axis of length 1 for each that is shared."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def build(self, shape: Any) -> None:
        self.slope = self.add_weight(shape=self.shape, initializer="zeros")

    def call(self, x: Any) -> Any:
        return tf.where(x > 0, x, self.slope * x)


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.Activation: lambda layer, _, x: applied(keras.layers.Activation(ACTIVATIONS[layer.function]), x),
    layers.LeakyReLU: _leaky_relu,
    layers.ELU: _elu,
    layers.PReLU: lambda layer, inputs, x: applied(_PReLU(layer.weights(inputs)["slope"]), x, slope="slope"),
}
