"""The training step: GradientTape and a Keras optimizer, in a tf.function of its own or as part of a block's graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from xframe.plan.training_plan import TrainingPlan
from xframe.precision import storage
from xframe.running.steering import Window
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task
from xframe_tensorflow.model import Model
from xframe_tensorflow.pipeline import Batch


class Seen(NamedTuple):
    """What one step saw and did, as tensors from inside it."""

    ids: tf.Tensor
    updates: tf.Tensor
    loss: tf.Tensor
    learning_rate: tf.Tensor
    accuracy: tf.Tensor | None = None
    update_attempts: tf.Tensor | None = None


def make_optimizer(rule: SGD, precision: str, *, window: int = 1) -> Any:
    """Keras' SGD with that rule, which clips first and decays then; under mixed_float16 with a scaled loss.

    With a window of more than a step Keras itself sums gradients up and means them.
    """

    def exact(value: float | None) -> Any:
        # Keras casts Python floats through float32; NumPy's keep their precision.
        return np.float64(value) if precision == "float64" and value is not None else value

    optimizer = keras.optimizers.SGD(
        learning_rate=exact(rule.rate(0)),
        momentum=exact(rule.momentum) if rule.momentum else 0.0,
        weight_decay=exact(rule.weight_decay) if rule.weight_decay else None,
        clipvalue=exact(rule.clip_value),
        clipnorm=exact(rule.clip_norm),
        global_clipnorm=exact(rule.clip_global_norm),
        gradient_accumulation_steps=window if window > 1 else None,
    )
    if precision != "mixed_float16":
        return optimizer
    # It calls the inner optimizer only where all gradients are finite, so the inner one's ``iterations``, which its
    # own property of that name returns, stand still when an update is skipped: they count what was applied.
    return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000)


def set_rate(optimizer: Any, rate: tf.Tensor) -> None:
    """Gives the optimizer that learning rate. In graph.

    Keras' velocity holds −rate·v for the rule's v, the sum of gradients. So when the rate changes, it must change
    with it; at an equal rate it is multiplied by 1. From a rate of 0 no velocity comes back, so ``check`` refuses it.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    change = tf.math.divide_no_nan(rate, tf.convert_to_tensor(inner.learning_rate))
    for velocity in inner.momentums:
        velocity.assign(velocity * tf.cast(change, velocity.dtype))
    inner.learning_rate.assign(rate)


def accuracy(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The share of targets that get the greatest output, in float64."""
    predicted = tf.argmax(outputs, axis=-1)
    right = tf.math.count_nonzero(predicted == tf.reshape(targets, tf.shape(predicted)))
    return right / tf.size(predicted, tf.int64)


class TrainStep:
    """One training step. Ids go through it beside the data; the counter is read after the update, if one is due."""

    evidence = "optimizer.iterations, read inside the step after the update"

    def __init__(
        self, model: Model, task: Task, plan: TrainingPlan, precision: str, *, jit_compile: bool = False
    ) -> None:
        self.model, self.rule, self.precision = model, task.optimizer, precision
        self.loss = LOSSES[task.loss]()
        self.measures_accuracy = "accuracy" in task.metrics
        variables = model.module.trainable_variables
        self.optimizer = make_optimizer(task.optimizer, precision)
        self.optimizer.build(variables)
        # Only where a loss is scaled is an update skipped.
        self.attempts = tf.Variable(0, dtype=tf.int64, trainable=False) if precision == "mixed_float16" else None
        self.window = Window(plan)
        self.accumulates = plan.gradient_accumulation_steps > 1
        self.summed = [tf.Variable(tf.zeros_like(v.value), trainable=False) for v in variables if self.accumulates]
        self._step, self._add, self._apply = (
            tf.function(function, reduce_retracing=True, jit_compile=jit_compile or None)
            for function in (self.step, self.add, self.apply)
        )

    def __call__(self, batch: Batch) -> Seen:
        place, features, targets, ids = batch
        rows = len(ids)
        rate = self.number(self.rule.rate(self.window.tick(place))) if self.rule.scheduled else None
        if not self.accumulates:
            self.window.close(place, rows)
            return Seen(*self._step(features, targets, ids, rate))
        weight, fresh = self.number(self.window.weight(rows)), tf.constant(self.window.fresh)
        seen = Seen(*self._add(features, targets, ids, rate, weight, fresh))
        divisor = self.window.close(place, rows)
        if divisor is None:
            return seen
        updates, attempts = self._apply(self.number(divisor))
        return seen._replace(updates=updates, update_attempts=attempts)

    def number(self, value: float) -> tf.Tensor:
        return tf.constant(value, storage(self.precision))

    def gradients(self, features: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor | None]:
        """Loss, gradients and accuracy. The gradients are those of the scaled loss, if it is scaled."""
        with tf.GradientTape() as tape:
            outputs = self.model.module(features, training=True)
            loss = self.loss(targets, outputs)
            scaled = self.optimizer.scale_loss(loss)
        # An embedding's come as slices, whose norm Keras' clipping would take before equal ids are added up.
        gradients = list(map(tf.convert_to_tensor, tape.gradient(scaled, self.model.module.trainable_variables)))
        return loss, gradients, accuracy(targets, outputs) if self.measures_accuracy else None

    def step(self, features: tf.Tensor, targets: tf.Tensor, ids: tf.Tensor, rate: tf.Tensor | None) -> Seen:
        """A step that is followed by its update."""
        if rate is not None:
            set_rate(self.optimizer, rate)
        loss, gradients, right = self.gradients(features, targets)
        updates, attempts = self.update(gradients)
        return Seen(ids, updates, loss, self.optimizer.learning_rate + 0, right, attempts)

    def add(
        self,
        features: tf.Tensor,
        targets: tf.Tensor,
        ids: tf.Tensor,
        rate: tf.Tensor | None,
        weight: tf.Tensor,
        fresh: tf.Tensor,
    ) -> Seen:
        """A step whose gradient is added to those of its window."""
        if rate is not None:
            set_rate(self.optimizer, rate)
        loss, gradients, right = self.gradients(features, targets)
        for total, gradient in zip(self.summed, gradients, strict=True):
            part = tf.cast(weight, total.dtype) * gradient
            total.assign(tf.where(fresh, part, total + part))
        updates, attempts = self.counters()
        return Seen(ids, updates, loss, self.optimizer.learning_rate + 0, right, attempts)

    def apply(self, divisor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The update with what was added; returns the counters."""
        return self.update([total / tf.cast(divisor, total.dtype) for total in self.summed])

    def update(self, gradients: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The update with those gradients; returns the counters."""
        self.optimizer.apply_gradients(zip(gradients, self.model.module.trainable_variables, strict=True))
        if self.attempts is not None:
            self.attempts.assign_add(1)
        return self.counters()

    def counters(self) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Updates applied, and tried if these can be others."""
        return self.optimizer.iterations.value + 0, None if self.attempts is None else self.attempts + 0


def _negative_sum() -> Any:
    def loss(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(tf.cast(outputs, keras.config.floatx()))

    return loss


LOSSES: dict[str, Any] = {  # they compute in floatx, whatever the outputs are in
    "softmax_cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "mean_squared_error": keras.losses.MeanSquaredError,
    "negative_sum": _negative_sum,
}
