"""The training step: a tf.function with GradientTape and a Keras optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from xframe.plan import TrainingPlan
from xframe.steering import Window
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
    """One training step. Ids go through it beside the data; the counter is read after the update, if one is due."""

    evidence = "optimizer.iterations, read inside the step after the update"

    def __init__(self, model: Model, task: Task, plan: TrainingPlan, precision: str) -> None:
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
        variables = model.module.trainable_variables
        self.optimizer.build(variables)
        self.window = Window(plan)
        self.accumulates = plan.gradient_accumulation_steps > 1
        self.summed = [tf.Variable(tf.zeros_like(v.value), trainable=False) for v in variables if self.accumulates]
        self._step = tf.function(self.step, reduce_retracing=True)
        self._add = tf.function(self.add, reduce_retracing=True)
        self._apply = tf.function(self.apply)

    def __call__(self, batch: Batch) -> Seen:
        rows = len(batch.ids)
        if not self.accumulates:
            self.window.close(batch.place, rows)
            return Seen(*self._step(batch.features, batch.targets, batch.ids))
        weight = tf.constant(self.window.weight(rows), self.summed[0].dtype)
        seen = Seen(*self._add(batch.features, batch.targets, batch.ids, weight, self.window.fresh))
        divisor = self.window.close(batch.place, rows)
        if divisor is None:
            return seen
        return seen._replace(updates=self._apply(tf.constant(divisor, self.summed[0].dtype)))

    def gradients(self, features: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            loss = self.loss(targets, self.model.module(features, training=True))
        return loss, tape.gradient(loss, self.model.module.trainable_variables)

    def step(self, features: tf.Tensor, targets: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """A step that is followed by its update."""
        loss, gradients = self.gradients(features, targets)
        self.optimizer.apply_gradients(zip(gradients, self.model.module.trainable_variables, strict=True))
        return ids, self.optimizer.iterations.value + 0, loss, self.optimizer.learning_rate + 0

    def add(
        self, features: tf.Tensor, targets: tf.Tensor, ids: tf.Tensor, weight: tf.Tensor, fresh: bool
    ) -> tuple[tf.Tensor, ...]:
        """A step whose gradient is added to those of its window."""
        loss, gradients = self.gradients(features, targets)
        for total, gradient in zip(self.summed, gradients, strict=True):
            if fresh:
                total.assign(weight * gradient)
            else:
                total.assign_add(weight * gradient)
        return ids, self.optimizer.iterations.value + 0, loss, self.optimizer.learning_rate + 0

    def apply(self, divisor: tf.Tensor) -> tf.Tensor:
        """The update with what was added."""
        gradients = [total / divisor for total in self.summed]
        self.optimizer.apply_gradients(zip(gradients, self.model.module.trainable_variables, strict=True))
        return self.optimizer.iterations.value + 0


def _negative_sum() -> Any:
    def loss(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(outputs)

    return loss


_LOSSES: dict[str, Any] = {
    "softmax_cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "mean_squared_error": keras.losses.MeanSquaredError,
    "negative_sum": _negative_sum,
}
