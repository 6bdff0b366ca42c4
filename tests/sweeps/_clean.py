"""Clean runs: two equal trainings of random data, model, rule, precision and batch size, in two frameworks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sweeps.planted.trainings import weights
from xframe.plan.training_plan import TrainingPlan
from xframe.running.runtime import Runtime
from xframe.tasks import layers as of
from xframe.tasks import losses, optimizers
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import SGD, Average
from xframe.tasks.schedules import Cosine
from xframe.tasks.task import Task

Draws = np.random.Generator
PAIRS = (("numpy", "torch"), ("torch", "numpy"))
TENSORFLOW = ("torch", "tensorflow")


@dataclass(frozen=True)
class Clean:
    """Two sides of one training."""

    name: str
    sides: tuple[str, str]
    task: Task
    plan: TrainingPlan
    runtime: Runtime


def drawn(draws: Draws, tensorflow: float = 0.0) -> Clean:
    """One at random; one in twelve is on digits, and of these one in four in the setting in which training is chaos."""
    if draws.random() < 1 / 12:
        return _of_digits(draws)
    task, shown = _task(draws)
    plan = _plan(draws, task.num_samples)
    if of.BatchNorm() in task.layers:  # a single row has no variance
        plan = replace(plan, batch_size=max(plan.batch_size, 2), remainder="drop")
    precision = str(draws.choice(["float32", "float32", "float64"]))
    sides = TENSORFLOW if draws.random() < tensorflow else PAIRS[int(draws.integers(2))]
    name = f"{'/'.join(sides)} {precision} {shown} {task.optimizer!r} {plan.to_dict()}"
    return Clean(name, sides, task, plan, Runtime(device="cpu", threads=1, precision=precision))  # type: ignore[arg-type]


def _of_digits(draws: Draws) -> Clean:
    chaos = draws.random() < 0.25
    rate, momentum, steps = (0.1, 0.9, 500) if chaos else (0.05, 0.9, 120)
    size = 32 if chaos else int(draws.choice([1, 2, 6, 6, 6, 17]))
    task = replace(find_task("digits-mlp"), optimizer=SGD(rate, momentum=momentum))
    plan = TrainingPlan(batch_size=size, steps=steps, seed=int(draws.integers(1 << 16)))
    name = f"digits-mlp at batch {size}, rate {rate}, {steps} steps, seed {plan.seed}"
    return Clean(name, PAIRS[int(draws.integers(2))], task, plan, Runtime(device="cpu", threads=1))


def _task(draws: Draws) -> tuple[Task, str]:
    layers, shape, kind = _model(draws)
    count = int(draws.integers(12, 60))
    outputs = 4 if kind != "numbers" else 2
    features: Any = draws.normal(0, float(draws.choice([0.1, 1, 1, 5])), (count, *shape))
    targets: Any = draws.integers(0, outputs, count)
    if kind == "letters":
        features, targets = draws.integers(0, 7, (count, *shape)), draws.integers(0, outputs, (count, *shape))
    if kind == "numbers":
        targets = draws.normal(size=(count, outputs))
    held = weights(layers, shape, int(draws.integers(1 << 16)))
    task = Task(
        name="clean",
        num_samples=count,
        load=lambda: (features, targets),
        initial_weights=lambda: {name: values.copy() for name, values in held.items()},
        loss=_loss(draws, kind),
        optimizer=_rule(draws),
        layers=layers,
        input_shape=shape,
    )
    return task, " ".join(map(repr, layers)) + f" {task.loss!r}"


def _model(draws: Draws) -> tuple[tuple[of.Layer, ...], tuple[int, ...], str]:
    kind = str(draws.choice(["classes", "numbers", "images", "rows", "letters"]))
    function = str(draws.choice(["relu", "tanh", "gelu", "silu", "sigmoid", "softplus"]))
    wide = int(draws.integers(1, 12))
    if kind in ("classes", "numbers"):
        last = of.Dense(4 if kind == "classes" else 2)
        norms: list[tuple[of.Layer, ...]] = [
            (),
            (of.BatchNorm(),),
            (of.LayerNorm(),),
            (of.Dropout(0.3, seed=1),),
            (of.LeakyReLU(0.2),),
        ]
        norm = norms[int(draws.integers(len(norms)))]
        if norm and isinstance(norm[0], of.LayerNorm):
            wide += 2
        return (of.Dense(wide, function), *norm, last), (int(draws.integers(1, 20)),), kind  # type: ignore[arg-type]
    if kind == "images":
        conv = of.Conv2D(3, 3, function, strides=int(draws.integers(1, 3)))  # type: ignore[arg-type]
        pool: tuple[of.Layer, ...] = ((), (of.AveragePool2D(2, 2, "same"),), (of.BatchNorm(),))[int(draws.integers(3))]
        return (conv, *pool, of.Flatten(), of.Dense(4)), (6, 6, 2), kind
    if kind == "rows":
        cell = (of.LSTM(3), of.GRU(3), of.SimpleRNN(3), of.GRU(3, reset_after=False))[int(draws.integers(4))]
        return (cell, of.Dense(4)), (5, 3), kind
    return (of.Embedding(7, 4), of.Position(), of.TransformerBlock(2, 6), of.Dense(4)), (5,), kind


def _loss(draws: Draws, kind: str) -> losses.Loss:
    if kind == "numbers":
        chosen = (losses.SquaredError(), losses.Huber(), losses.LogCosh(), losses.SmoothL1(beta=0.5))
        return chosen[int(draws.integers(len(chosen)))]
    weighted = losses.CrossEntropy(class_weights=(1.0, 2.0, 0.5, 3.0), reduction="weighted_mean")
    several = (losses.CrossEntropy(), losses.CrossEntropy(label_smoothing=0.1), weighted)
    return several[int(draws.integers(len(several)))]


def _rule(draws: Draws) -> optimizers.Rule:
    """Any by name, some with decay, clipping, an average or a schedule."""
    names = optimizers.names()
    name = names[int(draws.integers(len(names)))]
    changes: dict[str, Any] = {}
    if draws.random() < 0.3:
        changes["weight_decay"] = 0.02
    if draws.random() < 0.3:
        changes[str(draws.choice(["clip_norm", "clip_global_norm", "clip_value"]))] = 0.1
    if draws.random() < 0.2:
        changes["average"] = Average(0.9)
    if draws.random() < 0.2:
        changes["learning_rate"] = Cosine(0.02, ticks=30)
    return optimizers.named(name, changes)


def _plan(draws: Draws, count: int) -> TrainingPlan:
    return TrainingPlan(
        batch_size=int(draws.choice([1, 1, 2, 3, 6, 8, min(count, 17)])),
        steps=int(draws.integers(6, 40)),
        gradient_accumulation_steps=int(draws.choice([1, 1, 2, 3])),
        seed=int(draws.integers(1 << 16)),
    )
