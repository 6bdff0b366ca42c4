"""The evidence that an update was applied: the optimizer's own counter, read inside the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

STEP = "optimizer.iterations, read inside the step after the update"
FIT = "optimizer.iterations, read inside Keras' training step after its update"

_MARKED = 1024  # elements of a weight that are looked at


def weights_mark(weights: Sequence[Any]) -> tf.Tensor:
    """The squares of each weight's first elements, added up: replicas alike have the same.

    Squares, since a softmax's weights move so that their sum stays.
    """
    heads = [tf.reshape(weight, [-1])[:_MARKED] for weight in weights]
    return tf.add_n([tf.reduce_sum(tf.square(tf.cast(head, tf.float64))) for head in heads])


class UpdateCounter:
    """Updates of one optimizer; in graph.

    Under a scaled loss the inner optimizer's ``iterations`` stand still where an update is skipped, so they count what
    was applied. Only there can updates tried be more than that, and have a counter of their own.
    """

    def __init__(self, optimizer: Any, precision: str) -> None:
        self.optimizer = optimizer
        self.attempts = tf.Variable(0, dtype=tf.int64, trainable=False) if precision == "mixed_float16" else None

    def attempt(self) -> None:
        """An update was tried."""
        if self.attempts is not None:
            self.attempts.assign_add(1)

    def read(self) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Updates applied so far, and tried if these can be more."""
        return self.optimizer.iterations.value + 0, None if self.attempts is None else self.attempts + 0
