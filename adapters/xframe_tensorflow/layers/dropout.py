"""Dropout by the masks that all frameworks have, computed in graph where the data are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xframe.tasks import layers
from xframe.tasks.layers import Shape
from xframe.tasks.layers.dropout import spread
from xframe_tensorflow.layers.layer import Lowering, applied


class Dropout(keras.layers.Layer):  # type: ignore[misc]
    """Multiplies by the step's mask.

    Attributes:
        rows: gives which of the step's rows are in the batch, in graph; None if all are.
    """

    rows: Callable[[], tf.Tensor] | None = None

    def __init__(self, layer: layers.Dropout, inputs: Shape) -> None:
        super().__init__()
        self.mask, self.factor = layer.mask, 1 / (1 - layer.rate)
        self.elements = spread(np.arange(math.prod(inputs), dtype=np.int64))

    def build(self, shape: Any) -> None:
        self.step = self.add_weight(shape=(), dtype="int64", initializer="zeros", trainable=False, name="step")

    def call(self, x: Any, training: bool = False) -> Any:
        if not training:
            return x
        rows = tf.range(tf.shape(x, tf.int64)[0]) if self.rows is None else self.rows()
        kept = self.mask.kept(
            tf.convert_to_tensor(self.step), rows[:, None], tf.constant(self.elements), tf.bitwise.right_shift
        )
        self.tick()
        return x * (tf.cast(tf.reshape(kept, tf.shape(x)), x.dtype) * tf.constant(self.factor, x.dtype))

    def tick(self) -> None:
        """The step's mask was used."""
        self.step.assign_add(1)


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.Dropout: lambda layer, inputs, x: applied(Dropout(layer, inputs), x, step="step")
}
