"""The pipeline: tf.data draws the passes' orders, cuts them into batches and gathers the samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from xframe.plan import TrainingPlan


class Batch(NamedTuple):
    """Features and targets with the ids that stand beside them."""

    epoch: int
    step_in_epoch: int
    features: tf.Tensor
    targets: tf.Tensor
    ids: tf.Tensor

    def take(self, rows: Any) -> Batch:
        """The same batch with its samples picked by position."""
        features, targets, ids = (tf.gather(values, rows) for values in self[2:])
        return self._replace(features=features, targets=targets, ids=ids)


class Pipeline:
    """Iterates over the batches of a run."""

    def __init__(self, plan: TrainingPlan, features: NDArray[Any], targets: NDArray[Any]) -> None:
        order = plan.sample_order(len(features))
        with tf.device("/CPU:0"):
            x, y = tf.constant(features), tf.constant(targets)

        def passes() -> Iterator[tuple[int, NDArray[np.int64]]]:
            for epoch in count() if plan.epochs is None else range(plan.epochs):
                yield epoch, order.ids(epoch)

        def batches(epoch: tf.Tensor, ids: tf.Tensor) -> tf.data.Dataset:
            cut = tf.data.Dataset.from_tensor_slices(ids).batch(
                plan.batch_size, drop_remainder=plan.remainder == "drop"
            )
            return cut.enumerate().map(lambda i, k: (epoch, i, tf.gather(x, k), tf.gather(y, k), k))

        signature = tf.TensorSpec([], tf.int64), tf.TensorSpec([len(features)], tf.int64)
        dataset = tf.data.Dataset.from_generator(passes, output_signature=signature).flat_map(batches)
        for limit in (plan.limits.steps, plan.limits.updates):
            if limit is not None:
                dataset = dataset.take(limit)  # here each step is followed by its update
        self.dataset = dataset.prefetch(2)

    def __iter__(self) -> Iterator[Batch]:
        for epoch, i, *tensors in self.dataset:
            yield Batch(int(epoch), int(i), *tensors)
