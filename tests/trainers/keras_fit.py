"""Keras 3's own ``Model.fit`` on TensorFlow, seen from inside its training step.

A linear model has one weight per sample, and the sample's input is that weight's unit vector, so a gradient names
the samples it came from. The ids recorded are those that stand beside these inputs in the training step, and an
update is one that the optimizer made: its gradients are taken where it applies them, and must add up to the weights.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"  # read when keras is imported

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from observed import Observed

DATASETS: dict[str, Callable[[tf.data.Dataset, int], tf.data.Dataset]] = {
    "dataset": lambda rows, size: rows.batch(size),
    "dataset-drop": lambda rows, size: rows.batch(size, drop_remainder=True),
    "dataset-repeat": lambda rows, size: rows.batch(size).repeat(),
    "dataset-drop-repeat": lambda rows, size: rows.batch(size, drop_remainder=True).repeat(),
    "repeat-batch": lambda rows, size: rows.repeat().batch(size),
    "dataset-repeat-2": lambda rows, size: rows.batch(size).repeat(2),
    "repeat-2-batch": lambda rows, size: rows.repeat(2).batch(size),
    "dataset-unknown": lambda rows, size: rows.batch(size).filter(lambda *_: True),  # of unknown cardinality
}
DATA = ("arrays", *DATASETS, "pydataset", "pydataset-workers", "generator", "generator-repeat")
ENDLESS = ("dataset-repeat", "dataset-drop-repeat", "repeat-batch", "generator-repeat")


@dataclass
class KerasObserved(Observed):
    """Also what ``optimizer.iterations`` had come to before the next step, or after the last one's fit."""

    iterations: list[int] = field(default_factory=list)


class Watch:
    """Receives what a graph reports. A model is traced once and used for many runs, each from the same start."""

    def __init__(self, variables: Iterable[Any]) -> None:
        self.start = [(variable, variable.numpy()) for variable in variables]

    def begin(self, num_samples: int) -> None:
        for variable, value in self.start:
            variable.assign(value)
        self.num_samples = num_samples
        self.seen = KerasObserved()
        self.weights: list[NDArray[np.float64]] = []

    def gradient(self, gradient: NDArray[np.float32]) -> None:
        self.seen.gradients.append(-gradient[: self.num_samples, 0].astype(np.float64))

    def step(self, ids: NDArray[np.int64], iterations: np.int64, weights: NDArray[np.float32]) -> None:
        """``iterations`` as the step began, ``weights`` as it ended."""
        self.seen.ids.append(ids.ravel().tolist())
        self.seen.updates.append(len(self.seen.gradients))
        self.seen.iterations.append(int(iterations))
        self.weights.append(weights[: self.num_samples, 0].astype(np.float64))

    def end(self, iterations: int) -> KerasObserved:
        seen = self.seen
        seen.iterations = [*seen.iterations[1:], iterations] if seen.ids else []
        weights = np.reshape(self.weights, (-1, self.num_samples))
        spelled = np.cumsum([np.zeros(self.num_samples), *seen.gradients], axis=0)[seen.updates]
        np.testing.assert_allclose(weights, spelled, atol=1e-4, err_msg="updates seen are not what moved the weights")
        return seen


class WatchedSGD(keras.optimizers.SGD):
    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        # The update waits for its report, and the step reports the weights after it: so the order is the real one.
        with tf.control_dependencies([tf.numpy_function(self.watch.gradient, [gradient], [])]):
            super().update_step(gradient, variable, learning_rate)


class WatchedModel(keras.Sequential):
    def train_step(self, batch: Any) -> Any:
        _, ids = batch
        iterations = tf.identity(self.optimizer.iterations)
        logs = super().train_step(batch)
        tf.numpy_function(self.watch.step, [ids, iterations, self.trainable_variables[0].value], [])
        return logs


class Batches(keras.utils.PyDataset):
    def __init__(self, x: NDArray[Any], ids: NDArray[Any], size: int, workers: int) -> None:
        super().__init__(workers=workers)
        self.batches = list(batches(x, ids, size, endless=False))

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], ...]:
        return self.batches[index]


def one_hot(num_samples: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Inputs and ids. The model is made somewhat too wide, so that it and what was traced serve many sizes."""
    return np.eye(num_samples, width_for(num_samples), dtype=np.float32), np.arange(num_samples)[:, None]


def width_for(num_samples: int) -> int:
    return -(-num_samples // 64) * 64


def batches(x: NDArray[Any], ids: NDArray[Any], size: int, endless: bool) -> Iterator[tuple[NDArray[Any], ...]]:
    while True:
        for start in range(0, len(x), size):
            yield x[start : start + size], ids[start : start + size]
        if not endless:
            return


def run_keras(
    num_samples: int,
    *,
    data: str,
    batch_size: int,
    epochs: int,
    steps_per_epoch: int | None = None,
    gradient_accumulation_steps: int | None = None,
    steps_per_execution: int = 1,
    **others: Any,
) -> KerasObserved:
    """One fit, ``others`` as it takes them.

    ``data`` is one of ``DATA``; with those of ``ENDLESS``, fit never ends without steps_per_epoch.
    """
    if data in ENDLESS and steps_per_epoch is None:
        raise ValueError(f"Keras 3 trains for ever on {data} without steps_per_epoch")
    accumulate = None if gradient_accumulation_steps == 1 else gradient_accumulation_steps  # Keras refuses 1
    model = _model(width_for(num_samples), accumulate, steps_per_execution)
    model.watch.begin(num_samples)

    x, ids = one_hot(num_samples)
    if data == "arrays":
        source = {"x": x, "y": ids, "batch_size": batch_size}
    elif data.startswith("pydataset"):
        source = {"x": Batches(x, ids, batch_size, workers=2 if data == "pydataset-workers" else 1)}
    elif data.startswith("generator"):
        source = {"x": batches(x, ids, batch_size, endless=data in ENDLESS)}
    else:
        source = {"x": DATASETS[data](tf.data.Dataset.from_tensor_slices((x, ids)), batch_size)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        model.fit(**source, epochs=epochs, steps_per_epoch=steps_per_epoch, shuffle=False, verbose=0, **others)
    return model.watch.end(int(model.optimizer.iterations))


@cache
def _model(width: int, accumulate: int | None, steps_per_execution: int) -> WatchedModel:
    layers = [keras.Input((width,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    model = WatchedModel(layers)
    optimizer = WatchedSGD(1.0, gradient_accumulation_steps=accumulate)
    model.compile(
        optimizer,
        loss=lambda ids, outputs: -outputs,
        steps_per_execution=steps_per_execution,
        jit_compile=False,  # XLA has no place for the reports
    )
    optimizer.build(model.trainable_variables)
    model.watch = optimizer.watch = Watch((*model.variables, *optimizer.variables))
    return model
