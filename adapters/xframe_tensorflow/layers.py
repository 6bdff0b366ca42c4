"""Neutral layers lowered to Keras layers, one function each: what they give, and where their weights are.

Initial weights are "zeros" or Keras' ones, and seeds are given: no random number is drawn for weights that are copied
in. Keras casts Python floats through float32, NumPy's keep their precision; hence ``np.float64``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from xframe.tasks import layers
from xframe.tasks.builders import NativeModel, Parameter
from xframe.tasks.layers import Placed, Shape

Lowered = tuple[Any, Mapping[str, Any]]
_IMAGES: dict[str, Any] = {"data_format": "channels_last"}


def lower(placed: list[Placed], precision: str) -> NativeModel:
    """The layers one after the other, weights by canonical name; features that are no integers in that precision."""
    tokens = isinstance(placed[0].layer, layers.Embedding)
    given = outputs = keras.Input(placed[0].inputs, dtype="int64" if tokens else precision)
    parameters: dict[str, Parameter] = {}
    for layer, name, inputs, _ in placed:
        outputs, weights = _LOWER[type(layer)](layer, inputs, outputs)
        parameters |= {f"{name}/{weight}": Parameter(variable) for weight, variable in weights.items()}
    return NativeModel(keras.Model(given, outputs), parameters)


def _applied(native: Any, x: Any, **weights: str) -> Lowered:
    """What a Keras layer gives for x, and its variables: by the weights' own names, the attributes that hold them."""
    outputs = native(x)  # makes the variables
    return outputs, {name: getattr(native, attribute) for name, attribute in weights.items()}


def _dense(layer: layers.Dense, inputs: Shape, x: Any) -> Lowered:
    dense = keras.layers.Dense(
        layer.units, activation=layer.activation, use_bias=layer.use_bias, kernel_initializer="zeros"
    )
    return _applied(dense, x, kernel="kernel", **({"bias": "bias"} if layer.use_bias else {}))


def _conv2d(layer: layers.Conv2D, inputs: Shape, x: Any) -> Lowered:
    conv = keras.layers.Conv2D(
        layer.filters,
        layer.kernel_size,
        padding=layer.padding,
        activation=layer.activation,
        use_bias=layer.use_bias,
        kernel_initializer="zeros",
        **_IMAGES,
    )
    return _applied(conv, x, kernel="kernel", **({"bias": "bias"} if layer.use_bias else {}))


def _batch_norm(layer: layers.BatchNorm, inputs: Shape, x: Any) -> Lowered:
    norm = keras.layers.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon)
    return _applied(norm, x, scale="gamma", bias="beta", mean="moving_mean", variance="moving_variance")


def _layer_norm(layer: layers.LayerNorm, inputs: Shape, x: Any) -> Lowered:
    return _applied(keras.layers.LayerNormalization(epsilon=layer.epsilon), x, scale="gamma", bias="beta")


def _embedding(layer: layers.Embedding, inputs: Shape, x: Any) -> Lowered:
    embedding = keras.layers.Embedding(layer.vocabulary, layer.units, embeddings_initializer="zeros")
    return _applied(embedding, x, table="embeddings")


class _Position(keras.layers.Layer):  # type: ignore[misc]
    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=shape[1:], initializer="zeros")

    def call(self, x: Any) -> Any:
        return x + self.table


def _lstm(layer: layers.LSTM, inputs: Shape, x: Any) -> Lowered:
    lstm = keras.layers.LSTM(layer.units, kernel_initializer="zeros", recurrent_initializer="zeros", seed=0)
    outputs = lstm(x)
    return outputs, {"kernel": lstm.cell.kernel, "recurrent": lstm.cell.recurrent_kernel, "bias": lstm.cell.bias}


def _transformer_block(layer: layers.TransformerBlock, inputs: Shape, x: Any) -> Lowered:
    """Of Dense layers over ``dot_product_attention``: MultiHeadAttention rounds 1 / √d to float32."""
    length, units = inputs
    weights = {}

    def normed(x: Any, name: str) -> Any:
        outputs, own = _layer_norm(layers.LayerNorm(layer.epsilon), inputs, x)
        weights.update({f"{name}_{weight}": variable for weight, variable in own.items()})
        return outputs

    def product(x: Any, name: str, dense: layers.Dense) -> Any:
        outputs, own = _dense(dense, inputs, x)
        weights.update({name if weight == "kernel" else f"{name}_bias": variable for weight, variable in own.items()})
        return outputs

    def split(x: Any) -> Any:
        return keras.layers.Reshape((length, layer.heads, units // layer.heads))(x)

    plain = layers.Dense(units, use_bias=False)
    h = normed(x, "norm_1")
    query, key, value = (split(product(h, name, plain)) for name in ("query", "key", "value"))
    scale = np.float64((units / layer.heads) ** -0.5)
    mixed = keras.ops.dot_product_attention(query, key, value, is_causal=True, scale=scale)
    x = x + product(keras.layers.Reshape(inputs)(mixed), "output", plain)
    h = keras.activations.silu(product(normed(x, "norm_2"), "up", layers.Dense(layer.hidden)))
    return x + product(h, "down", layers.Dense(units)), weights


_LOWER: dict[type[layers.Layer], Callable[[Any, Shape, Any], Lowered]] = {
    layers.Dense: _dense,
    layers.Activation: lambda layer, _, x: _applied(keras.layers.Activation(layer.function), x),
    layers.Flatten: lambda layer, _, x: _applied(keras.layers.Flatten(), x),
    layers.Conv2D: _conv2d,
    layers.MaxPool2D: lambda layer, _, x: _applied(keras.layers.MaxPooling2D(layer.size, **_IMAGES), x),
    layers.AveragePool2D: lambda layer, _, x: _applied(keras.layers.AveragePooling2D(layer.size, **_IMAGES), x),
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: _layer_norm,
    layers.Embedding: _embedding,
    layers.Position: lambda layer, _, x: _applied(_Position(), x, table="table"),
    layers.LSTM: _lstm,
    layers.TransformerBlock: _transformer_block,
}
