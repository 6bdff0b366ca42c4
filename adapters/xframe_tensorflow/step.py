"""The training step: a tf.function with GradientTape and a Keras optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from xframe.task import Task
from xframe_tensorflow.model import Model
from xframe_tensorflow.pipeline import Batch


class Seen(NamedTuple):
    """What one step saw and did, as tensors from inside it."""

    ids: tf.Tensor
    updates: tf.Tensor
    loss: tf.Tensor
    learning_rate: tf.Tensor


class TrainStep:
    """One training step. Ids go through it beside the data; the counter is read after the update."""

    evidence = "optimizer.iterations, read inside the step after the update"

    def __init__(self, model: Model, task: Task, precision: str) -> None:
        self.model = model
        self.loss = _LOSSES[task.loss]()
        rule = task.optimizer

        def exact(value: float) -> Any:
            # Keras casts Python floats through float32; NumPy's keep their precision.
            return np.float64(value) if precision == "float64" else value

        self.optimizer = keras.optimizers.SGD(
            learning_rate=exact(rule.learning_rate),
            momentum=exact(rule.momentum) if rule.momentum else 0.0,
            weight_decay=exact(rule.weight_decay) if rule.weight_decay else None,
        )
        self.optimizer.build(model.module.trainable_variables)
        self._step = tf.function(self.step, reduce_retracing=True)

    def __call__(self, batch: Batch) -> Seen:
        return Seen(*self._step(batch.features, batch.targets, batch.ids))

    def step(self, features: tf.Tensor, targets: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, ...]:
        variables = self.model.module.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.loss(targets, self.model.module(features, training=True))
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return ids, self.optimizer.iterations.value + 0, loss, self.optimizer.learning_rate + 0


def _negative_sum() -> Any:
    def loss(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(outputs)

    return loss


_LOSSES: dict[str, Any] = {
    "softmax_cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "mean_squared_error": keras.losses.MeanSquaredError,
    "negative_sum": _negative_sum,
}
