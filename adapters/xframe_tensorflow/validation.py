"""Validation: the validation samples in their stored order, in batches, the last of which may be short.

As in a block of training steps, tf.data delivers the samples of many batches, and the graph cuts them. Only the means
are left to be taken at home.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf

from xframe.plan.training_plan import TrainingPlan
from xframe.running.runtime import Runtime
from xframe.tasks import losses
from xframe.tasks.task import Task
from xframe_tensorflow.losses import accuracy, lowered
from xframe_tensorflow.model import Model
from xframe_tensorflow.pipeline import MOST_BYTES, ahead, resident


def validator(plan: TrainingPlan, task: Task, runtime: Runtime, model: Model) -> Callable[[], dict[str, Any]] | None:
    """One validation at each call, as the arguments of ``recorder.validation``; None if the plan has none."""
    if plan.validation_every is None:
        return None
    size, loss = plan.validation_batch_size or plan.batch_size, lowered(task.loss)
    features, targets = task.validation_data(runtime.precision)
    rule = losses.of(task.loss)
    shares = [rule.share(targets[i : i + size]) for i in range(0, len(targets), size)]
    at_once = size * max(1, MOST_BYTES // (size * features[0].nbytes))  # samples
    tensors = resident(features, targets, runtime.precision)

    def measure(start: tf.Tensor, features: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Rows, loss and, if the task asks for it, accuracy of the batch that starts there."""
        features, targets = features[start : start + size], targets[start : start + size]
        outputs = model.module(features, training=False)
        measured = [tf.shape(targets)[0], loss(targets, outputs)]
        if "accuracy" in task.metrics:
            measured.append(accuracy(targets, outputs))
        return tf.stack([tf.cast(value, tf.float64) for value in measured])

    def measure_all(features: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        starts = tf.range(0, tf.shape(targets)[0], size)
        return tf.map_fn(
            lambda start: measure(start, features, targets),
            starts,
            parallel_iterations=1,
            fn_output_signature=tf.float64,
        )

    starts = tf.data.Dataset.range(0, len(features), at_once)
    samples = starts.map(lambda start: tuple(values[start : start + at_once] for values in tensors))
    endless = iter(ahead(samples.repeat(), 1))  # one for all validations: to make an iterator takes milliseconds
    measured = tf.function(measure_all, reduce_retracing=True, autograph=False)

    def validate() -> dict[str, Any]:
        blocks = [(ids, measured(x, y)) for x, y, ids in islice(endless, int(starts.cardinality()))]
        rows, *values = tf.concat([batches for _, batches in blocks], axis=0).numpy().T  # fetched at once
        # By sample, not by batch: a short last batch counts for less.
        means = {name: np.average(each, weights=rows) for name, each in zip(("loss", "accuracy"), values, strict=False)}
        if not rule.even:
            kept, counts = losses.counted(values[0], shares)
            means["loss"] = np.average(kept, weights=counts)
        return {**means, "ids": tf.concat([ids for ids, _ in blocks], axis=0), "batch_sizes": rows}

    return validate
