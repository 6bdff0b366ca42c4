"""The training in JAX: a model of dense layers, a jitted gradient, a jitted update, validation."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Batch, Seen
from xframe.running.steering import Window
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task

ACTIVATIONS = {"linear": lambda z: z, "relu": jax.nn.relu, "tanh": jnp.tanh}
LOSSES = {
    "softmax_cross_entropy": lambda outputs, targets: (
        -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(outputs), targets[:, None], axis=1))
    ),
    "mean_squared_error": lambda outputs, targets: jnp.mean((outputs - targets.reshape(outputs.shape)) ** 2),
    "negative_sum": lambda outputs, targets: -jnp.sum(outputs),
}


@cache
def compiled_loss(layers: tuple[Any, ...], loss: str) -> tuple[Any, Any]:
    """Of parameters, features and targets: loss and outputs, and the same with the gradients. For all runs alike."""

    def forward(parameters: Any, features: Any, targets: Any) -> tuple[Any, Any]:
        values = features.reshape(len(features), -1)
        for layer, name in layers:
            values = values @ parameters[f"{name}/kernel"]
            values = values + parameters[f"{name}/bias"] if layer.use_bias else values
            values = ACTIVATIONS[layer.activation](values)
        return LOSSES[loss](values, targets), values

    return jax.jit(forward), jax.jit(jax.value_and_grad(forward, has_aux=True))


@cache
def compiled_update(rule: SGD) -> Any:
    """Of parameters, optimizer state, gradients and learning rate: new parameters and state, which counts updates."""

    def update(parameters: Any, state: Any, gradients: Any, rate: Any) -> tuple[Any, Any]:
        gradients = clipped(gradients, rule)
        if rule.weight_decay:
            gradients = jax.tree.map(lambda g, w: g + rule.weight_decay * w, gradients, parameters)
        velocity = jax.tree.map(lambda v, g: rule.momentum * v + g, state["velocity"], gradients)
        parameters = jax.tree.map(lambda w, v: w - rate * v, parameters, velocity)
        return parameters, {"velocity": velocity, "updates": state["updates"] + 1}

    return jax.jit(update)


def clipped(gradients: Any, rule: SGD) -> Any:
    """The gradients as the rule's clipping leaves them."""
    if rule.clip_value is not None:
        return jax.tree.map(lambda g: jnp.clip(g, -rule.clip_value, rule.clip_value), gradients)
    norms = jax.tree.map(jnp.linalg.norm, gradients)
    if rule.clip_global_norm is not None:
        together = jnp.sqrt(sum(norm**2 for norm in norms.values()))
        norms = dict.fromkeys(norms, together)
    most = rule.clip_norm or rule.clip_global_norm
    if most is None:
        return gradients
    return jax.tree.map(lambda g, norm: g * jnp.where(norm > most, most / norm, 1), gradients, norms)


class Model:
    """The weights by canonical name, in the run's precision, and the functions over them."""

    def __init__(self, task: Task, precision: str) -> None:
        initial = task.weights()
        layers = tuple((layer, name) for layer, name, *_ in task.placed(initial))
        self.parameters = {name: jnp.asarray(values, dtype=precision) for name, values in initial.items()}
        self.loss, self.gradients = compiled_loss(layers, task.loss)

    def weights(self) -> dict[str, Any]:
        """A copy of the weights."""
        return {name: np.array(values) for name, values in self.parameters.items()}


class TrainStep:
    """One training step: the gradient, added to those of the window, and the update when it is due."""

    evidence: str | None = "counter in the optimizer's state, raised where the weights are computed"

    def __init__(self, model: Model, task: Task, plan: TrainingPlan) -> None:
        self.model, self.rule, self.window = model, task.optimizer, Window(plan)
        self.update, self.measured = compiled_update(task.optimizer), "accuracy" in task.metrics
        self.state = {"velocity": jax.tree.map(jnp.zeros_like, model.parameters), "updates": jnp.zeros((), jnp.int32)}
        self.summed: Any = None

    def __call__(self, batch: Batch) -> Seen:
        rate, rows, model = self.rule.rate(self.window.tick(batch.place)), len(batch.ids), self.model
        (loss, outputs), gradients = model.gradients(model.parameters, batch.features, batch.targets)
        if (weight := self.window.weight(rows)) != 1:
            gradients = jax.tree.map(lambda g: weight * g, gradients)
        self.summed = gradients if self.window.fresh else jax.tree.map(jnp.add, self.summed, gradients)
        divisor = self.window.close(batch.place, rows)
        if divisor is not None:
            mean = self.summed if divisor == 1 else jax.tree.map(lambda g: g / divisor, self.summed)
            model.parameters, self.state = self.update(model.parameters, self.state, mean, rate)
        accuracy = share_right(outputs, batch.targets) if self.measured else None
        return Seen(batch.ids, self.state["updates"], loss, rate, accuracy)


class Validator:
    """Each call is one validation of the model as it is, averaged by sample."""

    def __init__(self, plan: TrainingPlan, task: Task, precision: str, model: Model) -> None:
        self.model, self.metrics, self.size = model, task.metrics, plan.validation_batch_size or plan.batch_size
        self.features, self.targets = task.validation_data(precision)

    def __call__(self) -> dict[str, Any]:
        ids = np.arange(len(self.features))
        batches = [ids[start : start + self.size] for start in range(0, len(ids), self.size)]
        sizes, losses, accuracies = [len(batch) for batch in batches], [], []
        for batch in batches:
            targets = self.targets[batch]
            loss, outputs = self.model.loss(self.model.parameters, self.features[batch], targets)
            losses.append(float(loss))
            accuracies.append(share_right(outputs, targets) if self.metrics else 0.0)
        accuracy = float(np.average(accuracies, weights=sizes)) if self.metrics else None
        return {
            "loss": float(np.average(losses, weights=sizes)),
            "accuracy": accuracy,
            "ids": ids,
            "batch_sizes": sizes,
        }


def share_right(outputs: Any, targets: Any) -> float:
    """The share of targets that get the greatest output."""
    return float((np.asarray(outputs).argmax(axis=-1) == targets).mean())
