"""The training step in graph: GradientTape and a Keras optimizer. Loops call it, or make it part of their graph."""

from __future__ import annotations

import tensorflow as tf

from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Seen
from xframe.tasks.task import Task
from xframe_tensorflow.evidence import STEP, UpdateCounter
from xframe_tensorflow.losses import accuracy, lowered
from xframe_tensorflow.model import Model
from xframe_tensorflow.optimizers import average_step, lower, read_average, set_rate


class TrainStep:
    """One training step, in graph. Ids go through it beside the data; the counter is read after an update that is due.

    ``step`` is for plans without accumulation; else each step is ``add``, and ``apply`` follows where an update is due.
    """

    evidence: str | None = STEP

    def __init__(self, model: Model, task: Task, plan: TrainingPlan, precision: str) -> None:
        self.model, self.rule, self.precision = model, task.optimizer, precision
        self.loss = lowered(task.loss)
        self.measures_accuracy = "accuracy" in task.metrics
        variables, average = model.module.trainable_variables, task.optimizer.average
        self.make_optimizer()
        self.accumulates = plan.gradient_accumulation_steps > 1
        self.averages_steps = self.accumulates and average is not None and average.clock == "steps"
        self.summed = [tf.Variable(tf.zeros_like(v.value), trainable=False) for v in variables if self.accumulates]

    def make_optimizer(self, *, slots_are_exact: bool = False) -> None:
        """The optimizer of the rule, and what counts its updates."""
        model, rule = self.model, self.rule
        self.optimizer = lower(rule, self.precision, model.trained, slots_are_exact=slots_are_exact)
        self.optimizer.build(model.module.trainable_variables)
        if rule.average is not None and rule.average.final:
            model.final = lambda: read_average(self.optimizer, model.trained)
        self.updates = UpdateCounter(self.optimizer, self.precision)

    def gradients(self, features: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor | None]:
        """Loss, gradients and accuracy. The gradients are those of the scaled loss, if it is scaled."""
        loss, gradients, outputs = self.computed(features, targets)
        return loss, gradients, accuracy(targets, outputs) if self.measures_accuracy else None

    def computed(self, features: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Loss, gradients and outputs."""
        with tf.GradientTape() as tape:
            outputs = self.model.module(features, training=True)
            loss = self.loss(targets, outputs)
            scaled = self.optimizer.scale_loss(loss)
        # An embedding's come as slices, whose norm Keras' clipping would take before equal ids are added up.
        gradients = list(map(tf.convert_to_tensor, tape.gradient(scaled, self.model.module.trainable_variables)))
        return loss, gradients, outputs

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
        self.add_up(gradients, weight, fresh)
        updates, attempts = self.updates.read()
        return Seen(ids, updates, loss, self.optimizer.learning_rate + 0, right, attempts)

    def apply(self, divisor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The update with what was added; returns the counters."""
        return self.update(self.divided(divisor))

    def add_up(self, gradients: list[tf.Tensor], weight: tf.Tensor, fresh: tf.Tensor) -> None:
        """Adds gradients to those of their window."""
        for total, gradient in zip(self.summed, gradients, strict=True):
            summand = tf.cast(weight, total.dtype) * gradient
            total.assign(tf.where(fresh, summand, total + summand))

    def divided(self, divisor: tf.Tensor) -> list[tf.Tensor]:
        """What was added, by that."""
        return [total / tf.cast(divisor, total.dtype) for total in self.summed]

    def leave(self) -> tuple[tf.Tensor, tf.Tensor | None]:
        """What a step does that only accumulates; returns the counters."""
        if self.averages_steps:
            average_step(self.optimizer)
        return self.updates.read()

    def update(self, gradients: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The update with those gradients; returns the counters."""
        self.optimizer.apply_gradients(zip(gradients, self.model.module.trainable_variables, strict=True))
        self.updates.attempt()
        return self.updates.read()
