"""The training step: loss, its gradient, and SGD."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.running.steering import Window
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task
from xframe_numpy.layers import Array
from xframe_numpy.model import Model
from xframe_numpy.pipeline import Batch


class Optimizer:
    """v ← momentum·v + g;  w ← w − learning_rate·v. Counts the updates it has applied to the weights."""

    evidence = "optimizer's counter, raised where the weights are written"

    def __init__(self, rule: SGD) -> None:
        self.rule = rule
        self.learning_rate, self.momentum, self.weight_decay = rule.rate(0), rule.momentum, rule.weight_decay
        self.velocity: dict[str, Array] = {}
        self.applied = self.attempts = 0

    def apply(self, parameters: dict[str, Array], gradients: dict[str, Array]) -> None:
        self.attempts += 1
        for name, gradient in clipped(gradients, self.rule).items():
            change = gradient + self.weight_decay * parameters[name] if self.weight_decay else gradient
            if self.momentum:
                change = self.velocity[name] = self.momentum * self.velocity.get(name, 0) + change
            parameters[name] -= self.learning_rate * change
        self.applied += bool(gradients)


def clipped(gradients: dict[str, Array], rule: SGD) -> dict[str, Array]:
    """The gradients as the rule's clipping leaves them."""
    if rule.clip_value is not None:
        return {name: np.clip(g, -rule.clip_value, rule.clip_value) for name, g in gradients.items()}
    squares = {name: np.sum(g**2) for name, g in gradients.items()}
    if rule.clip_norm is not None:
        return {name: _shortened(g, np.sqrt(squares[name]), rule.clip_norm) for name, g in gradients.items()}
    if rule.clip_global_norm is not None:
        norm = np.sqrt(sum(squares.values()))
        return {name: _shortened(g, norm, rule.clip_global_norm) for name, g in gradients.items()}
    return gradients


def _shortened(gradient: Array, norm: Any, most: float) -> Array:
    shorter: Array = gradient * (most / norm) if norm > most else gradient
    return shorter


class TrainStep:
    """One training step: forward, loss, backward, and the update when it is due.

    Attributes:
        accuracy: of the last step, if the task asks for it.
    """

    def __init__(self, model: Model, task: Task, plan: TrainingPlan) -> None:
        self.model, self.loss, self.rate = model, task.loss, task.optimizer.rate
        self.updates = Optimizer(task.optimizer)
        self.window = Window(plan)
        self.summed: dict[str, Array] = {}
        self.scheduled, self.measured = task.optimizer.scheduled, "accuracy" in task.metrics
        self.accuracy: float | None = None

    @property
    def learning_rate(self) -> float:
        return self.updates.learning_rate

    def __call__(self, batch: Batch) -> float:
        if self.scheduled:
            self.updates.learning_rate = self.rate(self.window.tick(batch.place))
        loss, gradients = self.gradients(batch)
        rows = len(batch.ids)
        if (weight := self.window.weight(rows)) != 1:
            gradients = {name: weight * gradient for name, gradient in gradients.items()}
        if not self.window.fresh:
            gradients = {name: self.summed[name] + gradient for name, gradient in gradients.items()}
        self.summed = gradients
        divisor = self.window.close(batch.place, rows)
        if divisor is not None:
            mean = gradients if divisor == 1 else {name: total / divisor for name, total in gradients.items()}
            self.updates.apply(self.model.parameters, mean)
        return loss

    def gradients(self, batch: Batch) -> tuple[float, dict[str, Array]]:
        outputs = self.model.forward(batch.features)
        loss, gradient = loss_and_gradient(self.loss, outputs[-1], batch.targets)
        if self.measured:
            self.accuracy = accuracy(outputs[-1], batch.targets)
        return loss, self.model.backward(outputs, gradient)


def accuracy(outputs: Array, targets: NDArray[Any]) -> float:
    """The share of targets that get the greatest output."""
    return float((outputs.argmax(axis=-1) == targets).mean())


def loss_and_gradient(kind: str, output: Array, targets: NDArray[Any]) -> tuple[float, Array]:
    """The loss and its gradient at the output."""
    if kind == "negative_sum":
        return float(-output.sum()), np.full_like(output, -1)
    if kind == "mean_squared_error":
        difference = output - targets.reshape(output.shape)
        return float((difference**2).mean()), 2 * difference / difference.size
    shifted = output - output.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(targets))
    probabilities = exponentials / sums
    probabilities[rows, targets] -= 1
    return float((np.log(sums[:, 0]) - shifted[rows, targets]).mean()), probabilities / len(targets)
