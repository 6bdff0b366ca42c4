"""Sees a training by Keras' ``fit`` and ``train_on_batch`` on TensorFlow from outside, inside its training step.

What is replaced, and put back afterwards: the trainer's ``fit``, ``make_train_function`` and the epoch iterator it
makes, and the callbacks' ``on_epoch_begin``. Arrays given to ``fit`` take each row's index along, from Keras' own
shuffle into the step. What is written down stands after the model's own operations: nothing random is numbered anew.
"""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.tensorflow import trainer as trainers
from keras.src.callbacks.callback_list import CallbackList
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

from xframe.errors import UsageError, Verbatim
from xframe.recording.attach.instruments import refuse_untested
from xframe.recording.attach.machine import Machine
from xframe.recording.recorder import FLUSH_SECONDS
from xframe_tensorflow.evidence import FIT

TESTED = ("3.15.",)
_ROWS, _IDS = 1024, 1 << 18  # that a ring holds at most
_OURS = "xframe_data", "xframe_ids"
_HEAD = 5  # size, epoch, updates, rate, loss


class KerasInstrument:
    """Gives a machine what happens in Keras, from ``attach`` until ``detach``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._undo: list[Callable[[], object]] = []
        self._fitting: keras.Model | None = None  # the model whose iterator is to be made
        self._rings: weakref.WeakKeyDictionary[keras.Model, Ring] = weakref.WeakKeyDictionary()

    def attach(self) -> None:
        """From now on.

        Raises:
            UsageError: of this version nobody has tried what is replaced.
        """
        refuse_untested("keras", keras.__version__, TESTED)
        if keras.backend.backend() != "tensorflow":
            return
        trainer = trainers.TensorFlowTrainer
        self._replace(trainer, "fit", self._seen_fit)
        self._replace(trainer, "make_train_function", self._seen_make)
        self._replace(trainers.TFEpochIterator, "__init__", self._seen_iterator)
        self._replace(CallbackList, "on_epoch_begin", self._seen_epoch)
        self.machine.before_end.append(self._bring_all_home)

    def detach(self) -> None:
        """No longer, and everything is as it was."""
        self._bring_all_home()
        while self._undo:
            self._undo.pop()()
        for model, ring in list(self._rings.items()):
            ring.release(model)

    def _replace(self, owner: Any, name: str, seen: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        own, original = vars(owner).get(name), getattr(owner, name)
        setattr(owner, name, functools.wraps(original)(seen(original)))
        self._undo.append(lambda: delattr(owner, name) if own is None else setattr(owner, name, own))

    def _bring_all_home(self) -> None:
        for ring in list(self._rings.values()):
            ring.bring_home()

    def _seen_fit(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def fit(model: keras.Model, *args: Any, **kwargs: Any) -> Any:
            if model.distribute_strategy.num_replicas_in_sync > 1:
                raise UsageError(
                    "a training on several replicas cannot be recorded",
                    got=Verbatim(f"{model.distribute_strategy.num_replicas_in_sync} replicas"),
                    expected="one",
                )
            self._fitting = model
            try:
                return original(model, *args, **kwargs)
            finally:
                self._fitting = None
                if model in self._rings:
                    self._rings[model].bring_home()

        return fit

    def _seen_iterator(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def init(iterator: Any, *args: Any, **kwargs: Any) -> None:
            model, self._fitting = self._fitting, None
            if model is None:  # of an evaluation
                original(iterator, *args, **kwargs)
                return
            given = ArrayDataAdapter.get_tf_dataset
            ring = self._ring(model)

            def with_ids(adapter: Any) -> Any:
                ring.take_batches_of(adapter._batch_size)
                adapter._inputs = dict(zip(_OURS, (adapter._inputs, np.arange(adapter._num_samples)), strict=True))
                return given(adapter)

            ArrayDataAdapter.get_tf_dataset = with_ids
            try:
                original(iterator, *args, **kwargs)
            finally:
                ArrayDataAdapter.get_tf_dataset = given

        return init

    def _seen_epoch(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def on_epoch_begin(callbacks: Any, epoch: int, logs: Any = None) -> Any:
            returned = original(callbacks, epoch, logs)
            if callbacks._model in self._rings:
                self._rings[callbacks._model].begin_epoch(epoch)
            return returned

        return on_epoch_begin

    def _seen_make(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def make_train_function(model: keras.Model, force: bool = False) -> Any:
            if model.train_function is not None and not force:
                return original(model, force)
            ring = self._ring(model)
            ring.watch(model)
            original(model, force)
            model.train_function = ring.counting(model.train_function, model.steps_per_execution)
            return model.train_function

        return make_train_function

    def _ring(self, model: keras.Model) -> Ring:
        if model not in self._rings:
            self._rings[model] = Ring(model, self.machine)
        return self._rings[model]


class Ring:
    """Rows that one model's graph writes where it runs, and that come home in blocks."""

    def __init__(self, model: keras.Model, machine: Machine) -> None:
        self.machine = machine
        self.width = 0  # ids that a row has place for
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        self.optimizer = optimizer
        self.epoch = tf.Variable(-1, dtype=tf.int64)
        self.before = tf.Variable(int(optimizer.iterations), dtype=tf.int64)  # updates before the step
        self.first = int(optimizer.iterations)
        self._rows = tf.Variable(0, dtype=tf.int64)
        self._table: tf.Variable | None = None
        self._waiting = 0
        self._next_home = time.monotonic() + FLUSH_SECONDS
        self._last = (-1, 0)  # the last epoch that came home, and its steps so far
        self._watched = False
        self.machine.evidence = FIT

    def take_batches_of(self, size: int) -> None:
        """From now on rows may have that many ids."""
        self.bring_home()
        if size > self.width:
            self.width, self._table = size, None

    @property
    def capacity(self) -> int:
        """Rows that it holds."""
        return max(1, min(_ROWS, _IDS // max(self.width, 1)))

    def watch(self, model: keras.Model) -> None:
        """Each training step that is built from now on leaves a row."""
        self._make_table()
        if self._watched:
            return
        self._watched = True
        step, compute_loss, seen = model.train_step, model.compute_loss, {}

        def seen_loss(*args: Any, **kwargs: Any) -> Any:
            loss = compute_loss(*args, **kwargs)
            seen["loss"] = loss
            return loss

        def seen_step(data: Any) -> Any:
            ids = None
            if isinstance(data, dict) and tuple(sorted(data)) == tuple(sorted(_OURS)):
                data, ids = (data[name] for name in _OURS)
            seen.clear()
            logs = step(data)
            self._write(data, ids, seen.get("loss"))
            return logs

        model.compute_loss, model.train_step = seen_loss, seen_step

    def release(self, model: keras.Model) -> None:
        """The model's own methods again."""
        for name in ("compute_loss", "train_step"):
            vars(model).pop(name, None)
        model.train_function = None

    def _make_table(self) -> None:
        if self._table is None:
            # One table for all, the numbers as their bits: each further write in a step would cost as much as this one.
            self._table = tf.Variable(tf.zeros([self.capacity * (_HEAD + self.width)], tf.int64))

    def _write(self, data: Any, ids: Any, loss: Any) -> None:
        """One row, in the graph, after all that the step does."""
        assert self._table is not None
        schedule: Any = getattr(self.optimizer, "_learning_rate", None)
        scheduled = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
        rate = schedule(self.before) if scheduled else tf.identity(self.optimizer.learning_rate)
        updates = tf.cast(tf.identity(self.optimizer.iterations), tf.int64)
        leaf = next(leaf for leaf in tf.nest.flatten(data) if leaf is not None)
        size = tf.shape(leaf, tf.int64)[0]
        numbers = [
            tf.cast(rate, tf.float64),
            tf.constant(np.nan, tf.float64) if loss is None else tf.cast(loss, tf.float64),
        ]
        bits = tf.bitcast(tf.stack(numbers), tf.int64)
        listed = tf.fill([0], tf.constant(0, tf.int64)) if ids is None else tf.cast(ids, tf.int64)
        with tf.control_dependencies([leaf]):  # a step that gets no data is no row
            row = self._rows.assign_add(1) - 1
        width = _HEAD + self.width
        values = tf.concat([[size, self.epoch, updates], bits, listed], axis=0)
        places = row * width + tf.range(tf.size(values, tf.int64), dtype=tf.int64)
        tf.raw_ops.ResourceScatterUpdate(resource=self._table.handle, indices=places, updates=values)
        self.before.assign(updates)

    def counting(self, function: Callable[[Any], Any], steps: int) -> Callable[[Any], Any]:
        """The training function, before which rows come home in time."""

        def counted(iterator: Any) -> Any:
            if self._waiting + steps > self.capacity or time.monotonic() > self._next_home:
                self.bring_home()
            self._waiting += steps
            return function(iterator)

        return counted

    def begin_epoch(self, epoch: int) -> None:
        """Rows are of this epoch from now on."""
        self.epoch.assign(epoch)

    def bring_home(self) -> None:
        """Hands the machine what is in the ring."""
        self._waiting, self._next_home = 0, time.monotonic() + FLUSH_SECONDS
        rows, width = int(self._rows), _HEAD + self.width
        if not rows or self._table is None:
            return
        table = self._table[: rows * width].numpy().reshape(rows, width)
        self._rows.assign(0)
        sizes, epochs, updates, *bits = table[:, :_HEAD].T
        rates, losses = (column.copy().view(np.float64) for column in bits)
        there = np.arange(self.width) < sizes[:, None]
        labels = {} if (epochs < 0).any() else {"epoch": epochs, "step_in_epoch": self._places(epochs)}
        self.machine.rows(
            ids=table[:, _HEAD:][there] if self.width else None,
            batch_sizes=sizes,
            updates=updates - self.first,
            loss=np.ma.masked_invalid(losses) if np.isnan(losses).all() else losses,
            lr=rates,
            **labels,
        )

    def _places(self, epochs: Any) -> Any:
        """Of each row, counted from its epoch's first; an epoch that began in an earlier block goes on."""
        inside = np.arange(len(epochs)) - np.searchsorted(epochs, epochs)
        epoch, steps = self._last
        inside[epochs == epoch] += steps
        self._last = (epochs[-1], inside[-1] + 1)
        return inside
