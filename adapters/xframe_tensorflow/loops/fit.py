"""The loop ``fit``: Keras' own ``Model.fit``, with its data handling and callbacks, seen from inside its training step.

The plan's numbers go to ``fit`` as a user would write them. What Keras makes of them is its own doing: where its
epochs, exhaustion or accumulation differ from the plan the run shows it, and a comparison says where.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import chain, count
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from xframe.files.limits import LARGEST
from xframe.plan.replicas import rows_of_pass
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import FLUSH_SECONDS, Recorder
from xframe.running.checkpoints import NONE, Checkpoints
from xframe.running.runtime import Runtime
from xframe.running.steering import START, WalkState
from xframe.tasks import losses
from xframe.tasks.task import Task
from xframe_tensorflow.evidence import FIT
from xframe_tensorflow.loops.fit_kept import AtEpochsEnd, Kept, Stopping
from xframe_tensorflow.loops.rings import Ring, Rows, joined, placed_ring, watch
from xframe_tensorflow.losses import accuracy, lowered
from xframe_tensorflow.model import Model
from xframe_tensorflow.optimizers import lower, set_rate
from xframe_tensorflow.pipeline import ahead, resident, taker
from xframe_tensorflow.replicas import mirrored, refuse_what_is_not_the_whole_steps


def dataset(plan: TrainingPlan, task: Task, runtime: Runtime, start: WalkState = START) -> tf.data.Dataset:
    """(x, y, id) in batches: a pass for each iteration, or where data never run out, one after the other.

    The id of a row that only fills a batch up comes as its complement, a negative number. What comes first is the rest
    of a pass if it is to start there; the iteration is the only one then, unless data never run out.
    """
    size, drop = plan.batch_size, plan.remainder == "drop"
    take = taker(task.samples(runtime.precision), runtime)
    order = plan.sample_order(task.num_samples)
    begun: Iterator[int] = count(start.pass_index)
    if plan.replicas > 1:  # under a strategy Keras first draws a batch of an iterator of its own, to build the model
        begun = chain([start.pass_index], begun)
    rows = rows_of_pass(plan, task.num_samples)
    rows += -rows % size if plan.remainder == "pad" else 0
    endless = plan.steps_per_epoch is not None and plan.on_exhaustion in ("repeat", None)

    def one_pass() -> Iterator[int]:
        yield next(begun)  # only now: Keras makes an iterator at each epoch's end that it draws nothing from

    def ids_of(index: NDArray[np.int64]) -> NDArray[np.int64]:
        ids = order.ids(int(index))
        whole = np.concatenate([ids[:rows], ~np.resize(ids, max(0, rows - len(ids)))])
        return whole[start.offset if index == start.pass_index else 0 :]

    def in_batches(chosen: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(chosen).batch(size, drop_remainder=drop)

    def samples(chosen: tf.Tensor) -> tuple[tf.Tensor, ...]:
        x, y, _ = take(tf.where(chosen < 0, ~chosen, chosen) if rows > task.num_samples else chosen)
        return x, y, chosen

    if endless:
        passes = tf.data.Dataset.range(start.pass_index, LARGEST)
    else:
        passes = tf.data.Dataset.from_generator(one_pass, output_signature=tf.TensorSpec([], tf.int64))
    orders = passes.map(lambda index: tf.ensure_shape(tf.numpy_function(ids_of, [index], tf.int64), [None]))
    if plan.remainder == "carry":
        batches = orders.flat_map(tf.data.Dataset.from_tensor_slices).batch(size)
    else:
        batches = orders.flat_map(in_batches)
    batches = batches.map(samples, num_parallel_calls=runtime.workers or None)
    rows_left = rows - start.offset
    length = rows_left // size if drop else -(-rows_left // size)
    known = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY if endless else length)
    return ahead(batches).apply(known)


def validation_dataset(plan: TrainingPlan, task: Task, runtime: Runtime) -> tf.data.Dataset:
    """(x, y, id) in batches, in the stored order."""
    tensors = resident(*task.validation_data(runtime.precision), runtime.precision)
    return ahead(tf.data.Dataset.from_tensor_slices(tensors).batch(plan.validation_batch_size))


class Observer(keras.callbacks.Callback):  # type: ignore[misc]
    """Brings home what was seen, sets a schedule's rate, and ends training at the plan's limits of steps and updates.

    Between steps it acts before one, never after: ``on_train_batch_end`` would make Keras fetch the logs each step.

    Attributes:
        validates: Keras' ``validation_freq``: the epoch now, from 1, if there is to be a validation after it.
    """

    def __init__(
        self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Any, train: list[Ring], test: list[Ring]
    ) -> None:
        super().__init__()
        self.plan, self.rule, self.recorder = plan, task.optimizer, recorder
        self.parts = [recorder] if plan.replicas == 1 else recorder.parts
        self.sums = losses.of(task.loss).reduction == "sum"
        self.train, self.test = train, test
        self.validates: list[int] = []
        self.epoch = self.waiting = 0  # waiting: steps that are in the ring
        self.next_home = time.monotonic() + FLUSH_SECONDS
        self.seen = (-1, 0)  # the last epoch that came home, and its steps so far
        self.tested: list[list[Rows]] = []
        self.kept: Kept | None = None
        self.begun = 0  # steps made before this run went on
        self.rate = self.rule.rate(0)  # the optimizer's now
        # Only where a loss is scaled is an update skipped, and then with its step, not with its window.
        self.skips = runtime.precision == "mixed_float16" and plan.gradient_accumulation_steps == 1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch
        for ring in self.train:
            ring.epoch.assign(epoch)
        every = self.plan.validation_every
        self.validate(every is not None and ((epoch + 1) % every == 0 or epoch + 1 == self.plan.epochs))

    def keep(self, kept: Kept) -> None:
        """Keeps checkpoints, and begins where the run does."""
        self.kept, self.rate = kept, kept.train_step.rate
        self.begun, self.at_end = kept.before, AtEpochsEnd(kept, self)
        self.seen = (kept.begins.epoch, kept.begins.step_in_epoch)

    def look_after(self, kept: Kept) -> None:
        """Before a step: keeps the state that is due, and has the step that is to be the last be it."""
        steps, _ = self.made
        if steps == kept.checkpoints.due:
            self.bring_home()
            kept.take(steps, self.rate)
        if (within := kept.stops_within_its_epoch(steps + 1)) is not None:
            self.at_end.stops = self.model.stop_training = True
            if within:
                self.validate(due=False)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.kept is not None:
            self.look_after(self.kept)
        if self.waiting == self.train[0].capacity or time.monotonic() > self.next_home:
            self.bring_home()
        if self.rule.scheduled:
            self.set_rate()
        self.waiting += 1
        steps, updates = self.made
        if steps == self.plan.limits.steps or updates == self.plan.limits.updates:
            self.model.stop_training = True  # Keras looks at it after the step
            self.validate(self.plan.validation_every is not None)

    def on_test_begin(self, logs: Any = None) -> None:
        self.bring_home()
        self.tested = []

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch and batch % self.test[0].capacity == 0:
            self.tested.append([ring.take() for ring in self.test])

    def on_test_end(self, logs: Any = None) -> None:
        self.tested.append([ring.take() for ring in self.test])
        if self.kept is not None:
            self.kept.validated(logs)
        self.recorder.validation(
            loss=logs["loss"],
            accuracy=logs.get("accuracy"),
            ids=np.concatenate([joined(rows) for rows in self.tested]),
            batch_sizes=np.concatenate([sum(one.sizes for one in rows) for rows in self.tested]),
        )

    @property
    def made(self) -> tuple[int, int]:
        """Steps begun, and updates tried in them; Keras' windows go on from epoch to epoch."""
        steps = self.begun + self.recorder.num_steps + self.waiting
        return steps, steps // self.plan.gradient_accumulation_steps

    def set_rate(self) -> None:
        """Sets the rate of the step that is to be made."""
        steps, updates = self.made
        clock = self.plan.schedule_clock
        rate = self.rule.rate(self.epoch if clock == "epochs" else steps if clock == "steps" else updates)
        if rate != self.rate:
            set_rate(self.model.optimizer, tf.constant(rate, keras.config.floatx()))
            self.rate = rate

    def bring_home(self) -> None:
        """Hands the recorder what is in the ring."""
        before, seen = self.begun + self.recorder.num_steps, [ring.take() for ring in self.train]
        rows, inside = np.arange(len(seen[0].sizes)), self.step_in_epoch(seen[0].epochs)
        of_step = sum(one.sizes for one in seen)
        for part, one in zip(self.parts, seen, strict=True):
            if self.sums and len(seen) > 1:  # as the mean by rows over all replicas is to be the step's
                one.numbers["loss"] *= of_step / np.maximum(one.sizes, 1)
            part.block(
                ids=one.ids,
                batch_sizes=one.sizes,
                updates=one.updates,
                update_attempts=before + rows + 1 if self.skips else None,
                epoch=one.epochs,
                step_in_epoch=inside,
                padding=one.padding,
                **one.numbers,
            )
        self.waiting, self.next_home = 0, time.monotonic() + FLUSH_SECONDS

    def step_in_epoch(self, epochs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each row, counted from its epoch's first; an epoch that began in an earlier block goes on."""
        inside = np.arange(len(epochs)) - np.searchsorted(epochs, epochs)
        if len(epochs):
            epoch, steps = self.seen
            inside[epochs == epoch] += steps
            self.seen = (epochs[-1], inside[-1] + 1)
        return inside

    def validate(self, due: bool) -> None:
        """Whether Keras is to validate after this epoch."""
        self.validates[:] = [self.epoch + 1] if due else []


class Fit:
    """The task's model, compiled and watched."""

    def __init__(
        self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder, checkpoints: Checkpoints = NONE
    ) -> None:
        self.plan, measured = plan, "accuracy" in task.metrics
        strategy = mirrored(plan.replicas, runtime.device) if plan.replicas > 1 else None
        with nullcontext() if strategy is None else strategy.scope():
            self.model = Model(task, runtime.precision)
            self.model.module.compile(
                lower(task.optimizer, runtime.precision, self.model.trained, window=plan.gradient_accumulation_steps),
                lowered(task.loss),
                metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")] if measured else None,
            )
        if strategy is not None:
            refuse_what_is_not_the_whole_steps(self.model, task)
        scale = 1 if losses.of(task.loss).reduction == "sum" else plan.replicas  # by which Keras divides each mean

        def seen_by(y: tf.Tensor, y_pred: tf.Tensor, loss: tf.Tensor) -> dict[str, tf.Tensor]:
            seen = {"loss": loss * scale, **({"accuracy": accuracy(y, y_pred)} if measured else {})}
            if strategy is None:
                return seen
            return {name: tf.where(tf.shape(y_pred)[0] > 0, one, tf.zeros_like(one)) for name, one in seen.items()}

        names = ("lr", "loss", *(["accuracy"] if measured else []), *(["weights_mark"] if strategy else []))
        devices = (None,) if strategy is None else strategy.extended.worker_devices
        train, test = (
            [placed_ring(device, size, *names) for device in devices]
            for size in (plan.batch_size, plan.validation_batch_size or 1)
        )
        watch(self.model.module, train, test, seen_by)
        recorder.evidence = FIT
        self.observer = Observer(plan, task, runtime, recorder, train, test)
        self.validation = None if plan.validation_every is None else validation_dataset(plan, task, runtime)
        self.kept: Kept | None = None
        if checkpoints is not NONE:
            self.kept = Kept(plan, task, runtime.precision, self.model, recorder, checkpoints)
            self.observer.keep(self.kept)

    def __call__(self, data: Callable[[WalkState], tf.data.Dataset]) -> Any:
        """Trains on the data from there on; returns the final weights, of several replicas a list of each one's."""
        plan, kept, callbacks = self.plan, self.kept, [self.observer]
        if plan.early_stopping_patience is not None:
            kind = keras.callbacks.EarlyStopping if kept is None else Stopping
            callbacks.append(
                kind(
                    monitor=f"val_{plan.early_stopping_monitor}",
                    mode=plan.early_stopping_mode,
                    patience=plan.early_stopping_patience,
                    min_delta=plan.early_stopping_min_delta,
                    baseline=plan.early_stopping_baseline,
                    restore_best_weights=plan.restore_best,
                )
            )
        if kept is None:
            self.fit(data(START), callbacks)
            return self.model.weights() if plan.replicas == 1 else self.model.copies(plan.replicas)
        if plan.early_stopping_patience is not None:
            kept.restore_stopping(callbacks[-1])
        callbacks.append(self.observer.at_end)
        if not kept.state().over:
            self.go_on(kept.begins, data, callbacks)
        if not kept.checkpoints.stopped:
            kept.end(self.observer.made[0], self.observer.rate)
        return kept.weights()

    def go_on(self, start: WalkState, data: Callable[[WalkState], tf.data.Dataset], callbacks: list[Any]) -> None:
        """From mid-epoch Keras trains on the epoch's rest first."""
        epoch, inside, length = start.epoch, start.step_in_epoch, self.plan.steps_per_epoch
        if inside:
            self.fit(data(start), callbacks, epoch, epoch + 1, None if length is None else length - inside)
            if self.model.module.stop_training:
                return
            assert self.kept is not None
            self.kept.made(self.observer.made[0])
            start, epoch = self.kept.walked(), epoch + 1
        self.fit(data(start), callbacks, epoch, steps_per_epoch=length)

    def fit(
        self,
        data: tf.data.Dataset,
        callbacks: list[Any],
        first: int = 0,
        last: int | None = None,
        steps_per_epoch: int | None = None,
    ) -> None:
        """Keras' own, for those epochs; by default all that the plan allows."""
        epochs, steps, updates = self.plan.limits
        at_most = (steps, updates and updates * self.plan.gradient_accumulation_steps)  # epochs: none without a step
        last = last or epochs or min(limit for limit in at_most if limit is not None)
        if first >= last:
            return
        with warnings.catch_warnings():
            # What they say is in the trace: a pass was over before its epoch, an epoch had no validation.
            warnings.filterwarnings("ignore", message="Your input ran out of data")
            warnings.filterwarnings("ignore", message="Early stopping conditioned on metric")
            try:
                self.model.module.fit(
                    data,
                    initial_epoch=first,
                    epochs=last,
                    steps_per_epoch=steps_per_epoch or self.plan.steps_per_epoch,
                    validation_data=self.validation,
                    validation_freq=self.observer.validates,
                    callbacks=callbacks,
                    shuffle=False,  # Keras would warn that it can't
                    verbose=0,
                )
            finally:
                self.observer.bring_home()
