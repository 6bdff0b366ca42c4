"""Replicas of a run: where they meet, and their common gradient.

Under MultiWorkerMirroredStrategy each is a process, which deals itself its own rows of the plan's batches, and computes
their loss and gradients in ``strategy.run``, where Keras divides a mean by the number of replicas. The framework's own
all-reduce adds the gradients up, once in each step. As Keras' optimizers would add them up again there, they make their
update outside, on variables that each worker has for itself: these begin alike, and get the same sum. So a window is
divided and clipped after the sum.

Under MirroredStrategy all are in one process, and all is Keras' own.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import keras
import tensorflow as tf

from xframe.errors import UsageError, Verbatim
from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Batch, Seen
from xframe.running.runtime import Replica
from xframe.tasks import losses
from xframe.tasks.task import Task
from xframe_tensorflow.evidence import weights_mark
from xframe_tensorflow.layers.dropout import Dropout
from xframe_tensorflow.loops.function import FunctionStep
from xframe_tensorflow.model import Model
from xframe_tensorflow.pipeline import dealt

_JOINED = dict[tuple[str, ...], tf.distribute.Strategy]()  # by the workers' addresses; a process can join but once
_GONE = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
)


def joined(replica: Replica) -> tf.distribute.Strategy:
    """The strategy of all of them, once they are there; to be made before any operation, and kept by its process."""
    if replica.addresses not in _JOINED:
        replica.arrive()
        _JOINED[replica.addresses] = _worker(replica)
    return _JOINED[replica.addresses]


def _worker(replica: Replica) -> tf.distribute.Strategy:
    from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
    from tensorflow.python.eager import context

    of_all = {"worker": list(replica.addresses)}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": of_all, "task": {"type": "worker", "index": replica.index}})
    context.context().configure_coordination_service(  # as the strategy would, but not without end
        "standalone",
        "/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=max(1, round(1000 * replica.patience)),
        coordinated_jobs=[CoordinatedJob(name="worker", num_tasks=replica.of)],
    )
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=replica.patience)
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def left_alone(error: Exception) -> bool:
    """Whether an error only says that another replica is gone, or was not heard of for too long."""
    return isinstance(error, _GONE) or (isinstance(error, tf.errors.OpError) and "ollective" in str(error))


def refuse_what_is_not_the_whole_steps(model: Model, task: Task) -> None:
    """Of a task's own model: what its text does not show before it is made."""
    if "tensorflow" not in task.builders:
        return
    for layer in model.module._flatten_layers(include_self=False):
        drawing = getattr(layer, "seed_generator", None) is not None or bool(getattr(layer, "dropout", False))
        if drawing or isinstance(layer, keras.layers.BatchNormalization):
            what = "draws random numbers, each replica others" if drawing else "has statistics of a replica's own rows"
            raise UsageError(
                f"replicas of task {task.name!r} are not the run that one process makes",
                got=Verbatim(f"{layer.name}, a {type(layer).__name__}, which {what}"),
                expected="a model whose outputs for a sample depend on that sample alone",
            )


def mark_of(module: keras.Model) -> tf.Tensor:
    """See ``Recorder.step``; in graph."""
    return weights_mark([variable.value for variable in module.trainable_variables])


def mirrored(replicas: int, device: str) -> tf.distribute.Strategy:
    """The strategy of that many replicas in this process; to be made before any operation."""
    if device == "cpu":
        (cpu,) = tf.config.list_physical_devices("CPU")
        with contextlib.suppress(RuntimeError):  # there were operations, and the devices are what they are
            logical = [tf.config.LogicalDeviceConfiguration() for _ in range(replicas)]
            tf.config.set_logical_device_configuration(cpu, logical)
    kind = "CPU" if device == "cpu" else "GPU"
    there = tf.config.list_logical_devices(kind)
    if len(there) < replicas:
        raise UsageError(
            "each replica needs a device of its own",
            got=Verbatim(f"{len(there)} {kind}"),
            expected=f"{replicas} of them",
            remedy="Use fewer replicas, or the loop 'function', which has a process for each.",
        )
    return tf.distribute.MirroredStrategy([f"{kind}:{index}" for index in range(replicas)])


def replica_here() -> int:
    """The index of the replica whose step is traced."""
    return int(tf.distribute.get_replica_context()._replica_id)


class ReplicaStep(FunctionStep):
    """The training step of one of several replicas."""

    def __init__(
        self, strategy: tf.distribute.Strategy, model: Model, task: Task, plan: TrainingPlan, precision: str, index: int
    ) -> None:
        self.strategy, self.plan, self.sums = strategy, plan, losses.of(task.loss).reduction == "sum"
        refuse_what_is_not_the_whole_steps(model, task)
        self.step_rows = tf.Variable(0, dtype=tf.int64, trainable=False)
        layers = model.module._flatten_layers(include_self=False)
        self.dropouts = [layer for layer in layers if isinstance(layer, Dropout)]
        for dropout in self.dropouts:
            dropout.rows = lambda: dealt(tf.range(self.step_rows), plan, index)
        super().__init__(model, task, plan, precision)
        self._mark = tf.function(lambda: mark_of(model.module), autograph=False)
        self._meet = tf.function(lambda: strategy.run(_sum_of_ones), autograph=False)

    def __call__(self, batch: Batch) -> Seen:
        self.step_rows.assign(batch.place.rows)
        return super().__call__(batch)._replace(weights_mark=self._mark())

    def rows(self, batch: Batch) -> int:
        return batch.place.rows

    def gradients(self, features: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor | None]:
        loss, gradients, right = self.strategy.run(self.added_up, args=(features, targets))
        return loss, gradients, right

    def added_up(self, features: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor | None]:
        """What the replica has of its own rows, and the step's gradients; where the strategy runs it."""
        own, replicas = tf.shape(features, tf.int64)[0], self.plan.replicas

        def of_rows() -> list[Any]:
            loss, gradients, right = FunctionStep.gradients(self, features, targets)
            return [loss if self.sums else loss * replicas, *gradients, *([] if right is None else [right])]

        loss, *gradients = tf.cond(own > 0, of_rows, self._of_none)
        right = gradients.pop() if self.measures_accuracy else None
        share = tf.cast(own, tf.float64) / tf.cast(self.step_rows, tf.float64)
        weight, by_rows = tf.ones([], tf.float64), self.plan.replica_gradients == "rows"
        if by_rows != self.sums:  # else it is what Keras makes of it: the mean of means, or the sum of sums
            weight = share * replicas if by_rows else weight / replicas
        if by_rows and self.sums:  # as the mean by rows over all replicas is to be the step's
            loss = tf.where(own > 0, loss / tf.cast(share, loss.dtype), loss)
        context = tf.distribute.get_replica_context()
        wide = [_wide(gradient) for gradient in gradients]
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, [one * tf.cast(weight, one.dtype) for one in wide])
        return loss, [tf.cast(one, like.dtype) for one, like in zip(summed, gradients, strict=True)], right

    def _of_none(self) -> list[Any]:
        """What a replica without a row has."""
        for dropout in self.dropouts:
            dropout.tick()
        gradients = [tf.zeros(one.shape, one.value.dtype) for one in self.model.module.trainable_variables]
        return [self.number(0.0), *gradients, *([tf.zeros([], tf.float64)] if self.measures_accuracy else [])]

    def meet(self) -> None:
        """Waits until all replicas have come here; at the end too, since one that leaves sooner is missed."""
        self._meet()


def _sum_of_ones() -> tf.Tensor:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.ones([]))


def _wide(values: tf.Tensor) -> tf.Tensor:
    """In a type in which a weight is not rounded."""
    return tf.cast(values, tf.float32) if values.dtype == tf.bfloat16 else values
