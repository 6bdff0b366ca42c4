"""The TensorFlow side: Keras' fit, GradientTape loops over epochs, and one over a stream without end."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"  # read when keras is imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import xframe
from pairs import drawing
from pairs.noting import Notes
from pairs.script import Script, data, rate_of, weights

Schedule = keras.optimizers.schedules.LearningRateSchedule


class OneCycle(Schedule):
    """Up along half a cosine and down along another, as a user writes it in float32."""

    def __init__(self, peak: float, ticks: int) -> None:
        self.peak, self.ticks = peak, ticks

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        top = 0.3 * self.ticks - 1
        start, final = self.peak / 25, self.peak / 25e4
        up = start + (self.peak - start) * (1 - tf.cos(math.pi * step / top)) / 2
        share = tf.minimum((step - top) / (self.ticks - 1 - top), 1.0)
        down = final + (self.peak - final) * (1 + tf.cos(math.pi * share)) / 2
        return tf.where(step <= top, up, down)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "ticks": self.ticks}


def rate_for(script: Script) -> Any:
    """A rate, or a schedule of Keras' own."""
    ticks, rate, factor, kinds = script.ticks, script.rate, script.factor, keras.optimizers.schedules
    warm = max(ticks // 5, 1)
    if script.schedule == "constant" or script.clock == "epochs":
        return rate
    schedules: dict[str, Callable[[], Any]] = {
        "step": lambda: kinds.ExponentialDecay(rate, ticks, factor, staircase=True),
        "exponential": lambda: kinds.ExponentialDecay(rate, ticks, factor),
        "piecewise": lambda: kinds.PiecewiseConstantDecay(
            [ticks // 2 - 1, ticks - 1], [rate, rate * factor, rate * factor**2]
        ),
        "polynomial": lambda: kinds.PolynomialDecay(rate, ticks, end_learning_rate=0.0, power=2.0),
        "inverse time": lambda: kinds.InverseTimeDecay(rate, ticks, factor),
        "cosine": lambda: kinds.CosineDecay(rate, ticks),
        "restarts": lambda: kinds.CosineDecayRestarts(rate, ticks, t_mul=1.0),
        "warmup": lambda: kinds.CosineDecay(0.1 * rate, ticks - warm, warmup_target=rate, warmup_steps=warm),
        "one cycle": lambda: OneCycle(rate, ticks),
    }
    return schedules[script.schedule]()


def optimizer_for(script: Script, *, accumulates: bool = False) -> keras.optimizers.Optimizer:
    rate, window = rate_for(script), script.window if accumulates and script.window > 1 else None
    if script.optimizer == "sgd":
        return keras.optimizers.SGD(
            rate, momentum=script.momentum, nesterov=script.nesterov, gradient_accumulation_steps=window
        )
    shared = {"beta_1": script.beta, "epsilon": script.epsilon, "gradient_accumulation_steps": window}
    if script.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=script.decay, **shared)
    return keras.optimizers.Adam(rate, **shared)


def loss_for(script: Script) -> Callable[[Any, Any], Any]:
    if not script.smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=not script.softmax)
    smooth = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=script.smoothing)
    return lambda y, output: smooth(tf.one_hot(tf.cast(tf.reshape(y, [-1]), tf.int32), 10), output)


class WithIds(keras.Sequential):
    """A model whose batches carry their samples' ids in the place of sample weights."""

    seen: tf.Variable

    def train_step(self, batch: Any) -> Any:
        x, y, ids = batch
        self.seen.assign(tf.reshape(tf.cast(ids, tf.int64), [-1]))
        return super().train_step((x, y))


def model_for(script: Script, kind: type[keras.Sequential] = keras.Sequential) -> keras.Sequential:
    first = [keras.layers.Dense(32, activation=script.activation)]
    if script.model == "lstm":
        first = [keras.layers.Reshape((8, 8)), keras.layers.LSTM(32, unroll=True)]
    last = [keras.layers.Softmax()] if script.softmax else []
    model = kind([keras.Input((64,)), *first, keras.layers.Dense(10), *last])
    model.set_weights(list(weights(script).values()))
    return model


# Data


def samples(script: Script) -> tuple[Any, Any, Any]:
    x, y, _, _ = data(script)
    return x, y, np.arange(len(x))


def dataset(script: Script) -> tf.data.Dataset:
    """Batches of one pass; iterated over again, those of the next."""
    x, y, ids = samples(script)
    if script.order == "own" and native(script) is not None:
        rows = native(script)
    elif script.order == "plan" and not script.drawn and script.last != "pad":
        rows = xframe.index_dataset(drawing.order_of(script), script.n)
    else:
        orders = drawing.orders(script)
        whole = tf.TensorSpec((None,), tf.int64)
        rows = tf.data.Dataset.from_generator(lambda: iter([next(orders)]), output_signature=whole).unbatch()
    found = rows.map(lambda i: (tf.gather(x, i), tf.gather(y, i), tf.gather(ids, i)))
    return found.batch(script.batch, drop_remainder=script.last == "drop")


def native(script: Script) -> tf.data.Dataset | None:
    """Ids as tf.data itself shuffles them, or forgets to."""
    rows = tf.data.Dataset.range(script.n)
    if not script.drawn:
        return rows.shuffle(script.n, seed=script.seed, reshuffle_each_iteration=True)
    if script.drawn[0] == "buffer":
        return rows.shuffle(script.drawn[1], seed=script.seed)
    if script.drawn[0] == "one order":
        return rows.shuffle(script.n, seed=script.seed, reshuffle_each_iteration=False)
    return rows if script.drawn[0] == "sequential" else None


def length(script: Script) -> int:
    """Batches of a pass as the script draws it."""
    order = next(drawing.orders(script))
    return len(drawing.sizes(script, order))


# Keras' fit


class Recording(keras.callbacks.Callback):
    """Records each step of fit; Keras' own logs have the mean since the epoch began, unless metrics are reset."""

    def __init__(self, script: Script, notes: Notes) -> None:
        super().__init__()
        self.script, self.notes = script, notes
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.script.note_loss != "logs":
            self.model.reset_metrics()
        optimizer = self.model.optimizer
        self.rate, self.updates = float(optimizer.learning_rate), int(optimizer.iterations)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        self.notes.step(
            ids=self.model.seen,
            loss=logs["loss"],
            accuracy=logs.get("accuracy"),
            updates=(self.updates, int(optimizer.iterations)),
            rate=(self.rate, float(optimizer.learning_rate)),
            epoch=self.epoch,
        )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.script.patience is not None:
            self.notes.validation(logs["val_loss"], logs["val_accuracy"])


def by_fit(script: Script, path: str) -> None:
    model = model_for(script, WithIds)
    model.seen = tf.Variable(np.zeros(0, np.int64), shape=(None,), trainable=False)
    model.compile(optimizer_for(script, accumulates=True), loss_for(script), metrics=["accuracy"], jit_compile=False)
    _, _, validation_x, validation_y = data(script)
    options: dict[str, Any] = {"epochs": script.epochs, "verbose": 0}
    with Notes(script, path) as notes:
        callbacks: list[Any] = [Recording(script, notes)]
        if script.clock == "epochs" and script.schedule != "constant":
            callbacks.insert(0, keras.callbacks.LearningRateScheduler(lambda epoch: rate_of(script, epoch)))
        if script.patience is not None:
            options |= {"validation_data": (validation_x, validation_y), "validation_batch_size": script.batch}
            callbacks.append(
                keras.callbacks.EarlyStopping("val_loss", patience=script.patience, restore_best_weights=script.restore)
            )
        if script.order == "own" and not script.drawn:
            keras.utils.set_random_seed(script.seed)
            x, y, ids = (part[: script.n] for part in samples(script))
            model.fit(x, y, sample_weight=ids, batch_size=script.batch, callbacks=callbacks, **options)
        else:
            batches = dataset(script).apply(tf.data.experimental.assert_cardinality(length(script)))
            model.fit(batches, shuffle=False, callbacks=callbacks, **options)
        notes.weights(dict(zip(weights(script), model.get_weights(), strict=True)))


# GradientTape


class Training:
    """Model, optimizer, loss and the step of a loop of one's own, in a tf.function."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.model, self.loss_fn, self.optimizer = model_for(script), loss_for(script), optimizer_for(script)
        self.variables = self.model.trainable_variables
        self.optimizer.build(self.variables)
        self.sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.variables]
        self.train_step = tf.function(self._train_step, reduce_retracing=True)
        self.backward = tf.function(self._backward, reduce_retracing=True)
        self.apply = tf.function(self._apply)
        self.open = self.steps = 0

    def _train_step(self, x: Any, y: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            output = self.model(x, training=True)
            loss = self.loss_fn(y, output)
        gradients = self._clipped(tape.gradient(loss, self.variables))
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        return loss, self._accuracy(y, output)

    def _backward(self, x: Any, y: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            output = self.model(x, training=True)
            loss = self.loss_fn(y, output)
        for total, gradient in zip(self.sums, tape.gradient(loss, self.variables), strict=True):
            total.assign_add(gradient / self.script.window)
        return loss, self._accuracy(y, output)

    def _apply(self) -> None:
        gradients = self._clipped([tf.identity(one) for one in self.sums])
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        for total in self.sums:
            total.assign(tf.zeros_like(total))

    def _clipped(self, gradients: Any) -> Any:
        if self.script.clip == "global":
            return tf.clip_by_global_norm(gradients, self.script.norm)[0]
        return (
            [tf.clip_by_norm(one, self.script.norm) for one in gradients] if self.script.clip == "tensor" else gradients
        )

    def _accuracy(self, y: Any, output: Any) -> Any:
        right = tf.argmax(output, 1, output_type=tf.int64) == tf.cast(y, tf.int64)
        return tf.reduce_mean(tf.cast(right, tf.float32))

    def step(self, notes: Notes, x: Any, y: Any, ids: Any, *, epoch: int, last: bool) -> None:
        """One training step, recorded."""
        optimizer, script = self.optimizer, self.script
        rate, before = float(optimizer.learning_rate), int(optimizer.iterations)
        if script.window == 1:
            loss, accuracy = self.train_step(x, y)
        else:
            loss, accuracy = self.backward(x, y)
            self.open += 1
            if self.open == script.window or (last and script.leftover == "flush"):
                self.apply()
                self.open = 0
            elif last and script.leftover in ("drop", "leak"):
                self.open = 0
                for total in self.sums if script.leftover == "drop" else ():
                    total.assign(tf.zeros_like(total))
        self.steps += 1
        notes.step(
            ids=ids,
            loss=loss,
            updates=(before, int(optimizer.iterations)),
            rate=(rate, float(optimizer.learning_rate)),
            epoch=epoch,
            accuracy=float(accuracy),
        )

    def end(self, notes: Notes) -> None:
        notes.weights(dict(zip(weights(self.script), self.model.get_weights(), strict=True)))


def by_tape(script: Script, path: str) -> None:
    training, batches = Training(script), drawing.Batches(script)
    passes = dataset(script)
    best, waited = math.inf, 0
    kept: Any = None
    with Notes(script, path) as notes:
        for epoch in range(script.epochs):
            if script.clock == "epochs" and script.schedule != "constant":
                training.optimizer.learning_rate.assign(rate_of(script, epoch))
            for (x, y, ids), last in with_last(itertools.islice(batches.of(passes), script.per_epoch)):
                training.step(notes, x, y, ids, epoch=epoch, last=last)
            if script.patience is None:
                continue
            loss = validate(training, notes)
            waited = 0 if loss < best else waited + 1
            if loss < best:
                best, kept = loss, training.model.get_weights()
            if waited >= script.patience:
                break
        if script.restore and kept is not None:
            training.model.set_weights(kept)
        training.end(notes)


def validate(training: Training, notes: Notes) -> float:
    _, _, x, y = data(training.script)
    output = training.model(x, training=False)
    loss = float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, output))
    notes.validation(loss, float(np.mean(np.argmax(output, 1) == y)))
    return loss


def by_stream(script: Script, path: str) -> None:
    training = Training(script)
    assert script.steps is not None
    with Notes(script, path) as notes:
        for x, y, ids in drawing.Batches(script).of(endless(script).take(script.steps + 2)):
            training.step(notes, x, y, ids, epoch=0, last=False)
            if training.steps == script.steps:
                break
        training.end(notes)


def endless(script: Script) -> tf.data.Dataset:
    """Repeated before it is batched, or after."""
    if script.last != "carry":
        return dataset(script).repeat()
    return dataset(script).unbatch().repeat().batch(script.batch)


def with_last(batches: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Each, and whether it is the last."""
    batches, ahead = itertools.tee(batches)
    next(ahead, None)
    for batch, more in itertools.zip_longest(batches, ahead):
        yield batch, more is None


def run(script: Script, path: str) -> None:
    """Trains and records."""
    {"fit": by_fit, "tape": by_tape, "tape stream": by_stream}[script.loop](script, path)
