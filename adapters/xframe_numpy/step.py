"""The training step: loss, its gradient, and SGD."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.plan import TrainingPlan
from xframe.steering import Window
from xframe.task import SGD, Task
from xframe_numpy.layers import Array
from xframe_numpy.model import Model
from xframe_numpy.pipeline import Batch


class Optimizer:
    """v ← momentum·v + g;  w ← w − learning_rate·v. Counts the updates it has applied to the weights."""

    evidence = "optimizer's counter, raised where the weights are written"

    def __init__(self, rule: SGD) -> None:
        self.learning_rate, self.momentum, self.weight_decay = rule.learning_rate, rule.momentum, rule.weight_decay
        self.velocity: dict[str, Array] = {}
        self.applied = self.attempts = 0

    def apply(self, parameters: dict[str, Array], gradients: dict[str, Array]) -> None:
        self.attempts += 1
        for name, gradient in gradients.items():
            change = gradient + self.weight_decay * parameters[name] if self.weight_decay else gradient
            if self.momentum:
                change = self.velocity[name] = self.momentum * self.velocity.get(name, 0) + change
            parameters[name] -= self.learning_rate * change
        self.applied += bool(gradients)


class TrainStep:
    """One training step: forward, loss, backward, and the update when it is due."""

    def __init__(self, model: Model, task: Task, plan: TrainingPlan) -> None:
        self.model, self.loss = model, task.loss
        self.updates = Optimizer(task.optimizer)
        self.window = Window(plan)
        self.summed: dict[str, Array] = {}

    @property
    def learning_rate(self) -> float:
        return self.updates.learning_rate

    def __call__(self, batch: Batch) -> float:
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
        loss, gradient = _loss(self.loss, outputs[-1], batch.targets)
        return loss, self.model.backward(outputs, gradient)


def _loss(kind: str, output: Array, targets: NDArray[Any]) -> tuple[float, Array]:
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
