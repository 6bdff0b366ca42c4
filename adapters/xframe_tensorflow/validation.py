"""Validation: the validation samples in their stored order, in batches, the last of which may be short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from xframe.plan import TrainingPlan
from xframe.runtime import Runtime
from xframe.task import Task
from xframe_tensorflow.model import Model
from xframe_tensorflow.pipeline import resident
from xframe_tensorflow.step import LOSSES, accuracy


def validation_dataset(plan: TrainingPlan, task: Task, runtime: Runtime) -> tf.data.Dataset:
    """(x, y, id) in batches."""
    size = plan.validation_batch_size
    tensors = resident(*task.validation_data(runtime.precision), runtime.precision)
    starts = tf.data.Dataset.range(0, task.num_validation, size)
    return starts.map(lambda start: tuple(values[start : start + size] for values in tensors)).prefetch(2)


def validator(plan: TrainingPlan, task: Task, runtime: Runtime, model: Model) -> Callable[[], dict[str, Any]] | None:
    """One validation at each call, as the arguments of ``recorder.validation``; None if the plan has none."""
    if plan.validation_every is None:
        return None
    loss, batches = LOSSES[task.loss](), validation_dataset(plan, task, runtime)

    def evaluate(features: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, ...]:
        outputs = model.module(features, training=False)
        measured = tf.cast(loss(targets, outputs), tf.float64)
        return (measured, accuracy(targets, outputs)) if "accuracy" in task.metrics else (measured,)

    evaluated = tf.function(evaluate, reduce_retracing=True)

    def validate() -> dict[str, Any]:
        ids, measured = [], []
        for features, targets, chosen in batches:
            measured.append(evaluated(features, targets))
            ids.append(chosen)
        sizes = [len(chosen) for chosen in ids]
        # One fetch. By sample, not by batch: a short last batch counts for less.
        means = np.average(tf.convert_to_tensor(measured).numpy(), axis=0, weights=sizes)
        found = dict(zip(("loss", "accuracy"), means.tolist(), strict=False))
        return {**found, "ids": tf.concat(ids, axis=0), "batch_sizes": sizes}

    return validate
