"""What is seen of Keras' own training step, from inside it: rows that the graph writes and that come home in blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from xframe_tensorflow.replicas import mark_of, replica_here

_ROWS, _IDS = 1024, 1 << 20  # that a ring holds at most


class Rows(NamedTuple):
    """What a ring held: the batches' ids one after the other, and a column for each thing seen."""

    ids: NDArray[np.int64]
    sizes: NDArray[np.int64]
    padding: NDArray[np.int64]
    epochs: NDArray[np.int64]
    updates: NDArray[np.int64]
    numbers: dict[str, NDArray[np.float64]]


class Ring:
    """Rows that a graph writes where it runs, and that come home in blocks."""

    def __init__(self, batch_size: int, *numbers: str) -> None:
        self.capacity = max(1, min(_ROWS, _IDS // batch_size))
        self.epoch = tf.Variable(0, dtype=tf.int64)
        self._numbers, self._head = numbers, 3 + len(numbers)
        self._columns = tf.range(self._head + batch_size, dtype=tf.int64)
        self._rows = tf.Variable(0, dtype=tf.int64)
        # One table for all, the numbers as their bits: each further write in a step would cost as much as this one.
        self._table = tf.Variable(tf.zeros([self.capacity * len(self._columns)], tf.int64))

    def write(self, ids: tf.Tensor, updates: tf.Tensor, numbers: Mapping[str, tf.Tensor]) -> None:
        """One row, from inside a graph, with the numbers that were announced."""
        size = tf.shape(ids, tf.int64)[0]
        with tf.control_dependencies([ids]):  # a step that gets no data is no row
            row = self._rows.assign_add(1) - 1
        bits = tf.bitcast(tf.stack([tf.cast(numbers[name], tf.float64) for name in self._numbers]), tf.int64)
        values = tf.concat([[size, self.epoch, updates], bits, ids], axis=0)
        places = row * len(self._columns) + self._columns[: self._head + size]
        tf.raw_ops.ResourceScatterUpdate(resource=self._table.handle, indices=places, updates=values)

    def take(self) -> Rows:
        """All rows since the last time."""
        rows, width = int(self._rows), len(self._columns)
        table = self._table[: rows * width].numpy().reshape(rows, width)
        self._rows.assign(0)
        sizes, epochs, updates, *bits = table[:, : self._head].T
        numbers = {name: column.copy().view(np.float64) for name, column in zip(self._numbers, bits, strict=True)}
        batches = table[:, self._head :]
        there, fills = np.arange(batches.shape[1]) < sizes[:, None], batches < 0
        ids, padding = np.where(fills, ~batches, batches)[there], np.sum(there & fills, axis=1)
        return Rows(ids, sizes, padding, epochs, updates, numbers)


def placed_ring(device: str | None, *announced: Any) -> Ring:
    """A ring on that device, the default one if it is None."""
    with tf.device(device):
        return Ring(*announced)


def watch(model: keras.Model, train: Sequence[Ring], test: Sequence[Ring], seen_by: Callable[..., Any]) -> None:
    """From now on the model takes (x, y, id), and each of its steps leaves a row in its replica's ring.

    A row has the loss of its own batch, where Keras' logs have the mean since the epoch began, the rate that the step
    went by, and the updates after it. ``seen_by`` returns of targets, outputs and loss what is to be seen.
    """
    compute_loss, seen = model.compute_loss, [dict[str, tf.Tensor]() for _ in train]

    def seen_loss(x: Any, y: Any, y_pred: Any, sample_weight: Any = None, training: bool = True) -> tf.Tensor:
        loss = compute_loss(x, y, y_pred, sample_weight, training=training)
        if not tf.distribute.in_cross_replica_context():  # where Keras builds itself, on the mean of slices
            seen[replica_here()] = seen_by(y, y_pred, loss)
        return loss

    def watched(step: Callable[[Any], Any], rings: Sequence[Ring]) -> Callable[[Any], Any]:
        def seen_step(data: tuple[tf.Tensor, ...]) -> Any:
            x, y, ids = data  # Keras would take the third for sample weights
            replica, rate = replica_here(), tf.identity(model.optimizer.learning_rate)
            logs = step((x, y))
            numbers = {"lr": rate, **seen[replica]}
            if len(rings) > 1:
                numbers["weights_mark"] = mark_of(model)
            rings[replica].write(ids, tf.identity(model.optimizer.iterations), numbers)
            return logs

        return seen_step

    model.compute_loss = seen_loss
    model.train_step, model.test_step = watched(model.train_step, train), watched(model.test_step, test)


def joined(rows: Sequence[Rows]) -> NDArray[np.int64]:
    """The batches' ids one after the other, each replica's slice after that of the one before."""
    slices = [np.split(one.ids, np.cumsum(one.sizes)[:-1]) for one in rows]
    return np.concatenate([each for batch in zip(*slices, strict=True) for each in batch])
