"""Products and tables."""

from __future__ import annotations

from typing import Any

import keras

from xframe.tasks import layers
from xframe.tasks.layers import Shape
from xframe_tensorflow.layers.activations import ACTIVATIONS
from xframe_tensorflow.layers.layer import Lowered, Lowering, applied


def dense(layer: layers.Dense, inputs: Shape, x: Any) -> Lowered:
    """A product over the last axis."""
    native = keras.layers.Dense(
        layer.units, activation=ACTIVATIONS[layer.activation], use_bias=layer.use_bias, kernel_initializer="zeros"
    )
    return applied(native, x, kernel="kernel", **({"bias": "bias"} if layer.use_bias else {}))


def _embedding(layer: layers.Embedding, inputs: Shape, x: Any) -> Lowered:
    embedding = keras.layers.Embedding(layer.vocabulary, layer.units, embeddings_initializer="zeros")
    return applied(embedding, x, table="embeddings")


class _Position(keras.layers.Layer):  # type: ignore[misc]
    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=shape[1:], initializer="zeros")

    def call(self, x: Any) -> Any:
        return x + self.table


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.Dense: dense,
    layers.Flatten: lambda layer, _, x: applied(keras.layers.Flatten(), x),
    layers.Embedding: _embedding,
    layers.Position: lambda layer, _, x: applied(_Position(), x, table="table"),
}
