"""The loop ``fit``: Keras' own ``Model.fit``, data handling and callbacks, seen from inside its training step.

The plan's numbers go to ``fit`` as a user would write them. What Keras makes of them is its own doing: where its
epochs, exhaustion or accumulation part from the plan, the run shows it, and a comparison says where.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from xframe.plan import TrainingPlan
from xframe.recorder import Recorder
from xframe.task import Task
from xframe_tensorflow.model import Model
from xframe_tensorflow.step import _LOSSES as LOSSES

_ROWS, _IDS = 1024, 1 << 20  # that a ring holds at most


def dataset(plan: TrainingPlan, features: NDArray[Any], targets: NDArray[Any]) -> tf.data.Dataset:
    """(x, y, id) in batches, a pass for each iteration; for ``repeat`` one after the other without end.

    The id of a row that only fills a batch up comes as its complement, a negative number.
    """
    num_samples, size, drop = len(features), plan.batch_size, plan.remainder == "drop"
    order, begun = plan.sample_order(num_samples), count()
    filling = -num_samples % size if plan.remainder == "pad" else 0
    endless = plan.steps_per_epoch is not None and plan.on_exhaustion in ("repeat", None)
    with tf.device("/CPU:0"):
        x, y = tf.constant(features), tf.constant(targets)

    def one_pass() -> Iterator[NDArray[np.int64]]:
        ids = order.ids(next(begun))  # only now: Keras makes an iterator at an epoch's end that it never draws from
        yield np.concatenate([ids, ~np.resize(ids, filling)])

    def samples(ids: tf.Tensor) -> tuple[tf.Tensor, ...]:
        rows = tf.maximum(ids, tf.bitwise.invert(ids))
        return tf.gather(x, rows), tf.gather(y, rows), ids

    def in_batches(ids: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(ids).batch(size, drop_remainder=drop)

    orders = tf.data.Dataset.from_generator(one_pass, output_signature=tf.TensorSpec([None], tf.int64))
    orders = orders.repeat() if endless else orders
    if plan.remainder == "carry":
        batches = orders.flat_map(tf.data.Dataset.from_tensor_slices).batch(size)
    else:
        batches = orders.flat_map(in_batches)
    length = num_samples // size if drop else -(-num_samples // size)
    known = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY if endless else length)
    return batches.map(samples).prefetch(2).apply(known)


def validation_dataset(size: int, features: NDArray[Any], targets: NDArray[Any]) -> tf.data.Dataset:
    """(x, y, id) in batches, in the stored order."""
    with tf.device("/CPU:0"):
        return tf.data.Dataset.from_tensor_slices((features, targets, np.arange(len(features)))).batch(size)


class Rows(NamedTuple):
    """What a ring held: the batches' ids one after the other, and a column for each thing seen."""

    ids: NDArray[np.int64]
    sizes: NDArray[np.int64]
    padding: NDArray[np.int64]
    updates: NDArray[np.int64]
    numbers: NDArray[np.float64]


class Ring:
    """Rows that a graph writes on its device, and that come home in blocks."""

    def __init__(self, batch_size: int, num_numbers: int) -> None:
        self.batch_size, self.rows = batch_size, max(1, min(_ROWS, _IDS // batch_size))
        self._next = tf.Variable(0, dtype=tf.int64)
        self._ids = tf.Variable(tf.zeros([self.rows * batch_size], tf.int64))
        self._counts = tf.Variable(tf.zeros([self.rows, 2], tf.int64))  # size, updates
        self._numbers = tf.Variable(tf.zeros([self.rows, num_numbers], tf.float64))

    def write(self, ids: tf.Tensor, updates: tf.Tensor, *numbers: tf.Tensor) -> None:
        """One row, from inside a graph."""
        size = tf.shape(ids, tf.int64)[0]
        with tf.control_dependencies([ids]):  # else a step that gets no data would count as a row
            row = self._next.assign_add(1) - 1
        put = tf.raw_ops.ResourceScatterUpdate
        put(resource=self._ids.handle, indices=row * self.batch_size + tf.range(size), updates=ids)
        put(resource=self._counts.handle, indices=row, updates=tf.stack([size, tf.cast(updates, tf.int64)]))
        put(resource=self._numbers.handle, indices=row, updates=tf.stack([tf.cast(n, tf.float64) for n in numbers]))

    def take(self) -> Rows:
        """All rows since the last time."""
        rows = int(self._next)
        self._next.assign(0)
        sizes, updates = self._counts[:rows].numpy().T
        batches = self._ids[: rows * self.batch_size].numpy().reshape(rows, self.batch_size)
        there = np.arange(self.batch_size) < sizes[:, None]
        padding = np.sum(there & (batches < 0), axis=1)
        ids = np.maximum(batches, ~batches)[there]
        return Rows(ids, sizes, padding, updates, self._numbers[:rows].numpy())


def watch(model: keras.Model, train: Ring, test: Ring, accuracy: bool) -> None:
    """From now on the model takes (x, y, id), and each of its steps leaves a row in a ring.

    A row has the loss of that batch, where Keras' logs have the mean since the epoch began, the rate that the step
    went by, and the updates after it.
    """
    compute_loss, seen = model.compute_loss, {}

    def seen_loss(x: Any, y: Any, y_pred: Any, sample_weight: Any = None, training: bool = True) -> tf.Tensor:
        seen["loss"] = compute_loss(x, y, y_pred, sample_weight, training=training)
        if accuracy:
            seen["accuracy"] = tf.reduce_mean(keras.metrics.sparse_categorical_accuracy(y, y_pred))
        return seen["loss"]

    def watched(step: Callable[[Any], Any], ring: Ring) -> Callable[[Any], Any]:
        def seen_step(data: tuple[tf.Tensor, ...]) -> Any:
            x, y, ids = data  # Keras would take the third for sample weights
            rate = tf.identity(model.optimizer.learning_rate)
            logs = step((x, y))
            ring.write(ids, tf.identity(model.optimizer.iterations), rate, *seen.values())
            return logs

        return seen_step

    model.compute_loss = seen_loss
    model.train_step, model.test_step = watched(model.train_step, train), watched(model.test_step, test)


class Observer(keras.callbacks.Callback):
    """Brings home what was seen, sets a schedule's rate, and ends training at the plan's limits.

    All this before a step, not after: a callback that has ``on_train_batch_end`` makes Keras fetch the logs each step.

    Attributes:
        validates: the epoch now, from 1, if Keras is to validate after it: its ``validation_freq``.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        task: Task,
        recorder: Recorder,
        optimizer: Any,
        rings: tuple[Ring, Ring],
        exact: Callable[[float], Any],
    ) -> None:
        super().__init__()
        ring, tested = rings
        self.optimizer, self.exact, self.rate = optimizer, exact, task.optimizer.rate(0)
        self.plan, self.task, self.recorder, self.ring, self.tested = plan, task, recorder, ring, tested
        self.validates: list[int] = []
        self.epoch = self.step_in_epoch = self.waiting = 0
        self._validation: list[Rows] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch, self.step_in_epoch = epoch, 0
        every = self.plan.validation_every
        self._validate(every is not None and ((epoch + 1) % every == 0 or epoch + 1 == self.plan.epochs))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.waiting == self.ring.rows:
            self.bring_home()
        if self.task.optimizer.scheduled:
            self.schedule()
        self.waiting += 1
        limits = self.plan.limits
        if self.steps == limits.steps or self.attempts == limits.updates:
            self.model.stop_training = True  # looked at after the step
            self._validate(self.plan.validation_every is not None)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.bring_home()

    def on_test_begin(self, logs: Any = None) -> None:
        self.bring_home()
        self._validation = []

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch and batch % self.tested.rows == 0:
            self._validation.append(self.tested.take())

    def on_test_end(self, logs: Any = None) -> None:
        self._validation.append(self.tested.take())
        self.recorder.validation(
            loss=logs["loss"],
            accuracy=logs.get("accuracy"),
            ids=np.concatenate([rows.ids for rows in self._validation]),
            batch_sizes=np.concatenate([rows.sizes for rows in self._validation]),
        )

    @property
    def steps(self) -> int:
        return self.recorder.num_steps + self.waiting

    @property
    def attempts(self) -> int:
        """Updates tried so far; Keras' windows go on from epoch to epoch."""
        return self.steps // self.plan.gradient_accumulation_steps

    def schedule(self) -> None:
        """Sets the rate of the step that follows. Keras' velocity holds the rate, so it goes along."""
        clock = self.plan.schedule_clock
        rule = self.task.optimizer
        rate = rule.rate(self.epoch if clock == "epochs" else self.steps if clock == "steps" else self.attempts)
        if rate != self.rate:
            self.optimizer.learning_rate = self.exact(rate)
            for velocity in self.optimizer.momentums if self.rate else ():
                velocity.assign(velocity * self.exact(rate / self.rate))
            self.rate = rate

    def bring_home(self) -> None:
        seen, self.waiting = self.ring.take(), 0
        rows, first = len(seen.sizes), self.step_in_epoch
        self.step_in_epoch += rows
        rate, loss, *accuracy = seen.numbers.T
        self.recorder.block(
            ids=seen.ids,
            batch_sizes=seen.sizes,
            updates=seen.updates,
            loss=loss,
            lr=rate,
            epoch=np.full(rows, self.epoch),
            step_in_epoch=np.arange(first, first + rows),
            padding=seen.padding,
            accuracy=accuracy[0] if accuracy else None,
        )

    def _validate(self, due: bool) -> None:
        self.validates[:] = [self.epoch + 1] if due else []


def fit(
    plan: TrainingPlan,
    task: Task,
    precision: str,
    recorder: Recorder,
    data: tf.data.Dataset,
) -> dict[str, NDArray[Any]]:
    """Compiles the task's model, fits it to the data, and returns its weights."""
    model, rule = Model(task, precision), task.optimizer
    module, k = model.module, plan.gradient_accumulation_steps

    def exact(value: float) -> Any:
        # Keras casts Python floats through float32; NumPy's keep their precision.
        return np.float64(value) if precision == "float64" else value

    optimizer = keras.optimizers.SGD(
        learning_rate=exact(rule.rate(0)),
        momentum=exact(rule.momentum) if rule.momentum else 0.0,
        weight_decay=exact(rule.weight_decay) if rule.weight_decay else None,
        clipvalue=rule.clip_value,
        clipnorm=rule.clip_norm,
        global_clipnorm=rule.clip_global_norm,
        gradient_accumulation_steps=k if k > 1 else None,
    )
    accuracy = "accuracy" in task.metrics
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")] if accuracy else []
    module.compile(optimizer, LOSSES[task.loss](), metrics=metrics)
    rings = tuple(Ring(size, 3 if accuracy else 2) for size in (plan.batch_size, plan.validation_batch_size or 1))
    watch(module, *rings, accuracy)
    recorder.evidence = "optimizer.iterations, read inside the training step after its update"
    observer = Observer(plan, task, recorder, optimizer, rings, exact)
    callbacks, validation = [observer], None
    if plan.validation_every is not None:
        validation = validation_dataset(plan.validation_batch_size, *task.validation_data(precision))
    if plan.early_stopping_patience is not None:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor=f"val_{plan.early_stopping_monitor}",
                min_delta=plan.early_stopping_min_delta,
                patience=plan.early_stopping_patience,
                mode=plan.early_stopping_mode,
                baseline=plan.early_stopping_baseline,
                restore_best_weights=plan.restore_best,
            )
        )
    with warnings.catch_warnings():
        # What they say is in the trace: that a pass was over before its epoch, and an epoch without validation.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        warnings.filterwarnings("ignore", message="Early stopping conditioned on metric")
        module.fit(
            data,
            epochs=plan.epochs or plan.step_limit or plan.updates * k,  # no epoch is without a step
            steps_per_epoch=plan.steps_per_epoch,
            validation_data=validation,
            validation_freq=observer.validates,
            callbacks=callbacks,
            shuffle=False,  # the data set is in order as it is
            verbose=0,
        )
    return model.weights()
