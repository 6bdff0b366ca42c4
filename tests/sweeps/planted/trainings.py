"""Small trainings: a few samples, a few weights, a few steps, of each kind of model and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.tasks import layers as of
from xframe.tasks import losses
from xframe.tasks.initial import initial_weights
from xframe.tasks.optimizers import SGD, Rule
from xframe.tasks.task import Task

SAMPLES = 40


@dataclass(frozen=True)
class Training:
    """A task and a plan."""

    task: Task
    plan: TrainingPlan

    def by(self, rule: Rule) -> Training:
        """The same with that rule."""
        return replace(self, task=replace(self.task, optimizer=rule))

    def lossy(self, loss: Any) -> Training:
        """The same with that loss."""
        return replace(self, task=replace(self.task, loss=loss))

    def planned(self, **fields: Any) -> Training:
        """The same with these fields of its plan."""
        return replace(self, plan=TrainingPlan.from_mapping({**self.plan.to_dict(), **fields}))

    def over(self, *layers: of.Layer) -> Training:
        """The same with these layers, and weights for them."""
        task = self.task
        assert task.input_shape is not None
        held = weights(layers, task.input_shape, 1)
        return replace(self, task=replace(task, layers=layers, initial_weights=lambda: _copies(held)))


def weights(layers: tuple[of.Layer, ...], shape: tuple[int, ...], seed: int) -> dict[str, NDArray[Any]]:
    """Initial weights none of which is alike, so that a wrong place shows: biases and scales too."""
    draws = np.random.default_rng(seed)
    held = initial_weights(layers, shape, seed)
    for name, values in held.items():
        part = name.rpartition("/")[2]
        if values.dtype.kind == "f" and values.ndim == 1 and part != "slope":
            spread = draws.uniform(0.5, 1.5, values.shape) if part == "variance" else draws.normal(0, 0.2, values.shape)
            held[name] = (spread if part == "variance" else values + spread).astype(np.float32)
    return held


def _copies(held: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: values.copy() for name, values in held.items()}


def training(
    name: str,
    layers: tuple[of.Layer, ...],
    features: NDArray[Any],
    targets: NDArray[Any],
    loss: Any,
    *,
    rule: Rule | None = None,
    seed: int = 0,
    **fields: Any,
) -> Training:
    """Of these data, in few steps."""
    shape = tuple(int(size) for size in features.shape[1:])
    held = weights(layers, shape, seed)
    task = Task(
        name=name,
        num_samples=len(features),
        load=lambda: (features, targets),
        initial_weights=lambda: _copies(held),
        loss=loss,
        optimizer=rule or SGD(0.05),
        layers=layers,
        input_shape=shape,
    )
    return Training(task, TrainingPlan.from_mapping({"batch_size": 8, "epochs": 3, **fields}))


def _data() -> dict[str, Any]:
    draws = np.random.default_rng(7)
    return {
        "features": draws.normal(size=(SAMPLES, 6)),
        "classes": draws.integers(0, 4, SAMPLES),
        "numbers": draws.normal(size=(SAMPLES, 2)),
        "one": draws.normal(size=(SAMPLES, 1)),
        "bits": draws.integers(0, 2, (SAMPLES, 1)).astype(float),
        "images": draws.normal(size=(SAMPLES, 6, 6, 2)),
        "rows": draws.normal(size=(SAMPLES, 5, 3)),
        "letters": draws.integers(0, 7, (SAMPLES, 5)),
        "next": draws.integers(0, 4, (SAMPLES, 5)),
        "padded": np.where(np.arange(5) < draws.integers(1, 5, (SAMPLES, 1)), draws.integers(0, 4, (SAMPLES, 5)), -1),
    }


DATA = _data()
MLP = training("mlp", (of.Dense(5, "tanh"), of.Dense(4)), DATA["features"], DATA["classes"], losses.CrossEntropy())
REGRESSION = training(
    "regression", (of.Dense(5, "tanh"), of.Dense(2)), DATA["features"], DATA["numbers"], losses.SquaredError()
)
ONE = training("one", (of.Dense(5, "tanh"), of.Dense(1)), DATA["features"], DATA["one"], losses.SquaredError())
BITS = training("bits", (of.Dense(5, "tanh"), of.Dense(1)), DATA["features"], DATA["bits"], losses.BinaryCrossEntropy())
SQUARE = training(
    "square",
    (of.Dense(6, "tanh"), of.Dense(6, "tanh"), of.Dense(4)),
    DATA["features"],
    DATA["classes"],
    losses.CrossEntropy(),
)
IMAGES = training(
    "images",
    (of.Conv2D(4, 3, "tanh"), of.Flatten(), of.Dense(4)),
    DATA["images"],
    DATA["classes"],
    losses.CrossEntropy(),
)
ROWS = training("rows", (of.LSTM(4), of.Dense(4)), DATA["rows"], DATA["classes"], losses.CrossEntropy())
TEXT = training(
    "text",
    (of.Embedding(7, 4), of.TransformerBlock(2, 6), of.Dense(4)),
    DATA["letters"],
    DATA["next"],
    losses.CrossEntropy(),
)
PADDED = training(
    "padded",
    (of.Embedding(7, 4), of.TransformerBlock(2, 6), of.Dense(4)),
    DATA["letters"],
    DATA["padded"],
    losses.CrossEntropy(ignored=-1),
)
