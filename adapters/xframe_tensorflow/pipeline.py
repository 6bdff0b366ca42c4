"""The pipeline: tf.data draws the passes' orders, cuts them into batches and gathers the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from xframe.plan.replicas import rows_of_pass
from xframe.plan.training_plan import TrainingPlan
from xframe.running import drive
from xframe.running.runtime import Runtime
from xframe.running.steering import pass_indices
from xframe.tasks.data import Samples
from xframe_tensorflow.model import float_type

_BLOCK = 1 << 16  # ids made at once
MOST_BYTES = 1 << 25  # of features of several batches in one element; a few elements are ready at a time


class Batch(drive.Batch):
    """One whose samples are picked as TensorFlow does it."""

    def take(self, rows: Any) -> Batch:
        """The same batch with its samples picked by position."""
        features, targets, ids = (tf.gather(values, rows) for values in self[1:])
        return self._replace(features=features, targets=targets, ids=ids)


class Pipeline(drive.Batches):
    """Iterates over the batches of a run."""

    kind: Callable[..., Any] = Batch

    def __init__(self, plan: TrainingPlan, samples: Samples, runtime: Runtime) -> None:
        super().__init__(plan, len(samples))
        self.begins = (0, 0)  # the pass that the next iterator begins with, and the offset in it
        order = plan.sample_order(len(samples))

        def from_there() -> Iterator[tuple[NDArray[np.int64], int]]:
            first_pass, offset = self.begins
            for pass_index in pass_indices(plan, first_pass):
                yield np.roll(order.ids(pass_index), -offset) if offset else order.ids(pass_index), offset
                offset = 0

        signature = tf.TensorSpec([len(samples)], tf.int64), tf.TensorSpec([], tf.int64)
        orders = tf.data.Dataset.from_generator(from_there, output_signature=signature)
        batches = _cut(orders, plan, len(samples))
        if (replica := runtime.replica) is not None:
            batches = batches.map(lambda ids: (dealt(ids, plan, replica.index), tf.shape(ids)[0]))
        self.dataset = ahead(gathered(batches, samples, runtime))

    def begin(self, first_pass: int, offset: int) -> Iterator[tuple[tf.Tensor, ...]]:
        self.begins = first_pass, offset
        return iter(self.dataset)


class ReplicaPipeline(Pipeline):
    """Iterates over a replica's own rows of the batches of a run, beside which stand how many rows these have."""

    @staticmethod
    def rows(batch: tuple[Any, ...]) -> int:
        return int(batch[1])

    @staticmethod
    def kind(place: Any, *batch: Any) -> Batch:
        return Batch(place, *batch[0])


def resident(features: NDArray[Any], targets: NDArray[Any], precision: str) -> tuple[tf.Tensor, ...]:
    """Features, targets and ids as tensors, where tf.data works."""

    def held(values: NDArray[Any]) -> tf.Tensor:
        return tf.cast(values, float_type(precision)) if values.dtype.kind == "f" else tf.constant(values)

    with tf.device("/CPU:0"):
        return held(features), held(targets), tf.range(len(features), dtype=tf.int64)


def taker(samples: Samples, runtime: Runtime) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """What gives the features, targets and ids at some rows, inside tf.data."""
    precision = runtime.precision
    if samples.arrays is not None:
        tensors = resident(*samples.arrays, precision)
        return lambda chosen: tuple(tf.gather(values, chosen) for values in tensors)
    like = samples.take(np.zeros(1, np.int64))

    def take(chosen: tf.Tensor) -> tuple[tf.Tensor, ...]:
        taken = tf.numpy_function(samples.take, [chosen], [tf.as_dtype(values.dtype) for values in like])
        for values, one in zip(taken, like, strict=True):
            values.set_shape([None, *one.shape[1:]])
        return (*(tf.cast(v, float_type(precision)) if v.dtype.is_floating else v for v in taken), chosen)

    return take


def gathered(rows: tf.data.Dataset, samples: Samples, runtime: Runtime) -> tf.data.Dataset:
    """The samples at those rows: features, targets and ids; with workers, some elements ahead at once.

    What stands beside the rows in an element stays beside the samples.
    """
    take, workers = taker(samples, runtime), runtime.workers

    def gather(chosen: tf.Tensor, *rest: Any) -> tuple[Any, ...]:
        return (take(chosen), *rest) if rest else take(chosen)

    return rows.map(gather, **({"num_parallel_calls": workers, "deterministic": True} if workers else {}))


def ahead(elements: tf.data.Dataset, most: int = 2) -> tf.data.Dataset:
    """The same elements, as many of them ready before they are asked for.

    Nothing in them is left to tf.data to tune, so it must not: where an iterator is given up before its end, the thread
    that tunes is sometimes not woken, and TensorFlow 2.21 then waits for it up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return elements.prefetch(most).with_options(options)


def index_dataset(plan: TrainingPlan, num_samples: int, start: tuple[int, int]) -> tf.data.Dataset:
    """Sample ids one by one, a pass for each iteration. See ``xframe.index_dataset``."""
    first_pass, position = start
    order, passes = plan.sample_order(num_samples), count(first_pass)

    def blocks() -> Iterator[NDArray[np.int64]]:
        pass_index = next(passes)
        for begin in range(position if pass_index == first_pass else 0, num_samples, _BLOCK):
            yield order.ids(pass_index, np.arange(begin, min(begin + _BLOCK, num_samples), dtype=np.int64))

    ids = tf.data.Dataset.from_generator(blocks, output_signature=tf.TensorSpec([None], tf.int64))
    ids = ids.flat_map(tf.data.Dataset.from_tensor_slices)
    return ids if position else ids.apply(tf.data.experimental.assert_cardinality(num_samples))


def _cut(orders: tf.data.Dataset, plan: TrainingPlan, num_samples: int) -> tf.data.Dataset:
    """The passes as batches of ids, by the plan's remainder policy.

    ``orders`` has of each pass its ids, from where it is to begin round to there, and how many come before that.
    """
    size, carry = plan.batch_size, plan.remainder == "carry"
    rows = rows_of_pass(plan, num_samples)
    rows += -rows % size if plan.remainder == "pad" else 0

    def one_pass(ids: tf.Tensor, before: tf.Tensor) -> tf.data.Dataset:
        if rows > num_samples:
            return tf.data.Dataset.from_tensor_slices(ids).repeat().take(rows - before)
        return tf.data.Dataset.from_tensor_slices(ids[: rows - before])

    if carry:
        return orders.flat_map(one_pass).batch(size)
    drop = plan.remainder == "drop"
    return orders.flat_map(lambda ids, before: one_pass(ids, before).batch(size, drop_remainder=drop))


def dealt(rows: tf.Tensor, plan: TrainingPlan, replica: int) -> tf.Tensor:
    """Those of a step's rows that a replica has; in graph."""
    if plan.replica_split == "interleaved":
        return rows[replica :: plan.replicas]
    whole = plan.batch_size if plan.replica_split == "dealt" else tf.shape(rows)[0]
    each = -(-whole // plan.replicas)
    return rows[replica * each : (replica + 1) * each]
