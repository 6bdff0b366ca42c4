"""Losses, and accuracy, in graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf


def accuracy(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The share of targets that get the greatest output, in float64."""
    predicted = tf.argmax(outputs, axis=-1)
    right = tf.math.count_nonzero(predicted == tf.reshape(targets, tf.shape(predicted)))
    return right / tf.size(predicted, tf.int64)


def _negative_sum() -> Any:
    def loss(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(tf.cast(outputs, keras.config.floatx()))

    return loss


LOSSES: Mapping[str, Callable[[], Any]] = {  # they compute in floatx, whatever the outputs are in
    "softmax_cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "mean_squared_error": keras.losses.MeanSquaredError,
    "negative_sum": _negative_sum,
}
