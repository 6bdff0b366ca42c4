"""Keras 2's own ``Model.fit`` (tf_keras), seen from inside its training step. The task and its reports: keras_fit."""

from __future__ import annotations

from functools import cache
from typing import Any

import tensorflow as tf
import tf_keras
from keras_fit import DATASETS, KerasObserved, Watch, batches, one_hot, width_for
from numpy.typing import NDArray

DATA = ("arrays", *DATASETS, "sequence", "generator", "generator-repeat")


class WatchedSGD(tf_keras.optimizers.SGD):
    def update_step(self, gradient: Any, variable: Any) -> None:
        with tf.control_dependencies([tf.numpy_function(self.watch.gradient, [gradient], [])]):
            super().update_step(gradient, variable)


class WatchedModel(tf_keras.Sequential):
    def train_step(self, batch: Any) -> Any:
        _, ids = batch
        iterations = tf.identity(self.optimizer.iterations)
        logs = super().train_step(batch)
        tf.numpy_function(self.watch.step, [ids, iterations, self.trainable_variables[0]], [])
        return logs


class Batches(tf_keras.utils.Sequence):
    def __init__(self, x: NDArray[Any], ids: NDArray[Any], size: int) -> None:
        self.batches = list(batches(x, ids, size, endless=False))

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], ...]:
        return self.batches[index]


def run_keras2(
    num_samples: int,
    *,
    data: str,
    batch_size: int,
    epochs: int,
    steps_per_epoch: int | None = None,
    steps_per_execution: int = 1,
    **others: Any,
) -> KerasObserved:
    """One fit, ``others`` as it takes them.

    ``data`` is one of ``DATA``; Keras 2 refuses endless data sets without steps_per_epoch.
    """
    if data == "generator-repeat" and steps_per_epoch is None:
        raise ValueError(f"Keras 2 trains for ever on {data} without steps_per_epoch")
    model = _model(width_for(num_samples), steps_per_execution)
    model.watch.begin(num_samples)

    x, ids = one_hot(num_samples)
    if data == "arrays":
        source = {"x": x, "y": ids, "batch_size": batch_size}
    elif data == "sequence":
        source = {"x": Batches(x, ids, batch_size)}
    elif data.startswith("generator"):
        source = {"x": batches(x, ids, batch_size, endless=data == "generator-repeat")}
    else:
        source = {"x": DATASETS[data](tf.data.Dataset.from_tensor_slices((x, ids)), batch_size)}
    model.fit(**source, epochs=epochs, steps_per_epoch=steps_per_epoch, shuffle=False, verbose=0, **others)
    return model.watch.end(int(model.optimizer.iterations))


@cache
def _model(width: int, steps_per_execution: int) -> WatchedModel:
    layers = [tf_keras.Input((width,)), tf_keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    model = WatchedModel(layers)
    optimizer = WatchedSGD(1.0, jit_compile=False)  # XLA has no place for the reports
    model.compile(
        optimizer,
        loss=lambda ids, outputs: -outputs,
        steps_per_execution=steps_per_execution,
        jit_compile=False,
    )
    optimizer.build(model.trainable_variables)
    # A fit that runs out of data in an epoch's last dispatch leaves that one's length behind for the next fit.
    model.watch = optimizer.watch = Watch((*model.variables, *optimizer.variables, model._steps_per_execution))
    return model
