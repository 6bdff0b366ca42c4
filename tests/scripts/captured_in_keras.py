"""Trains in Keras and TensorFlow, bare and then with updates captured, and writes down what each left."""

import json
import os
import sys
from pathlib import Path
from unittest import mock

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf
from xframe_tensorflow.instruments import computed

import xframe

folder = Path(sys.argv[1])
draw = np.random.default_rng(0)
X, Y = draw.random((48, 6)), draw.integers(0, 3, 48)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
dense = keras.layers.Dense


def model_of(dtype="float32", *layers):
    inside = layers or (dense(8, "relu", dtype=dtype), dense(3, dtype=dtype))
    return keras.Sequential([keras.Input((6,), dtype=dtype), *inside])


def fit():
    """Several steps in each execution, buffers, dropout, clipping by Keras, weights of samples."""
    layers = dense(8), keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.Dropout(0.3), dense(3)
    model = model_of("float32", *layers)
    optimizer = keras.optimizers.Adam(0.01, global_clipnorm=0.1)
    model.compile(optimizer, LOSS, steps_per_execution=3)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, sample_weight=np.linspace(0.5, 1, 48))
    return model


def accumulated():
    """``train_on_batch``, two calls an update, a rate that decays, weights that decay."""
    model = keras.Sequential([dense(8, "relu"), dense(3)])  # which Keras builds as it trains
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9, gradient_accumulation_steps=2), LOSS)
    for start in range(0, 48, 8):
        model.train_on_batch(X[start : start + 8], Y[start : start + 8])
    return model


def function():
    """A tape in a ``tf.function``, the script clips."""
    model = model_of("float64")
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=True))
        grads, _ = tf.clip_by_global_norm(tape.gradient(loss, model.trainable_variables), 0.05)
        optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))

    for x, y in tf.data.Dataset.from_tensor_slices((X, Y)).batch(8):
        step(x, y)
    return model


def eager():
    """A tape by hand, in float64."""
    model = model_of("float64")
    optimizer = keras.optimizers.Adam(np.float64(0.01))
    for x, y in tf.data.Dataset.from_tensor_slices((X, Y)).batch(8):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return model


def by_turns():
    """By hand: a batch that is left out, a window of two tapes, and a second model that judges the first."""
    model, judge = (
        model_of("float64"),
        keras.Sequential([keras.Input((3,), dtype="float64"), dense(1, dtype="float64")]),
    )
    one, other = keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.1)
    for start in range(0, 48, 16):
        with tf.GradientTape():
            LOSS(Y[:4], model(X[:4], training=True))
        total = [tf.zeros_like(variable) for variable in model.trainable_variables]
        for half in (start, start + 8):
            with tf.GradientTape() as tape:
                loss = LOSS(Y[half : half + 8], model(X[half : half + 8], training=True))
            grads = tape.gradient(loss, model.trainable_variables)
            total = [summed + grad / 2 for summed, grad in zip(total, grads, strict=True)]
        one.apply(total, model.trainable_variables)
        with tf.GradientTape() as tape, tf.GradientTape() as inner:
            made = model(X[start : start + 8], training=True)
            real, fake = judge(tf.one_hot(Y[:8], 3, dtype="float64")), judge(made)
            fooled = keras.losses.MeanSquaredError()(tf.ones_like(fake), fake)
            told = keras.losses.MeanSquaredError()(tf.ones_like(real), real)
            told += keras.losses.MeanSquaredError()(tf.zeros_like(fake), fake)
        grads, others = (
            tape.gradient(fooled, model.trainable_variables),
            inner.gradient(told, judge.trainable_variables),
        )
        one.apply(grads, model.trainable_variables)
        other.apply(others, judge.trainable_variables)
    return model


def apart():
    """Gradients in a ``tf.function``; the script adds up those of two batches, and applies them outside."""
    model = model_of("float64")
    optimizer = keras.optimizers.SGD(0.5)

    @tf.function
    def gradients_of(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=True))
        return tape.gradient(loss, model.trainable_variables)

    for start in range(0, 48, 16):
        both = [
            gradients_of(tf.constant(X[one : one + 8]), tf.constant(Y[one : one + 8])) for one in (start, start + 8)
        ]
        optimizer.apply([(a + b) / 2 for a, b in zip(*both, strict=True)], model.trainable_variables)
    return model


def scaled():
    """A scaled loss, and rows of a table."""
    model = keras.Sequential(
        [keras.Input((6,), dtype="int32"), keras.layers.Embedding(9, 4), keras.layers.Flatten(), dense(3)]
    )
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)), LOSS)
    model.fit((X * 9).astype("int32"), Y, batch_size=16, epochs=1, verbose=0)
    return model


def jit():
    """Compiled by XLA."""
    model = model_of()
    model.compile("sgd", LOSS, jit_compile=True)
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0)
    return model


def by_itself():
    """The script moves its weights without an optimizer."""
    model = model_of()
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss = LOSS(Y, model(X, training=True))
        for variable, grad in zip(model.weights, tape.gradient(loss, model.weights), strict=True):
            variable.assign_sub(0.1 * grad)
    return model


def failing():
    """What goes wrong in the capturing."""
    with mock.patch.object(computed, "layer_facts", side_effect=OSError("an odd layer")):
        return eager()


left = {}
for one in (fit, accumulated, function, eager, by_turns, apart, scaled, jit, by_itself, failing):
    ends = []
    for capture in (0, 2) if one not in (eager, by_turns, apart, scaled, jit, by_itself, failing) else (2,):
        keras.utils.set_random_seed(7)
        with xframe.watch(folder / f"{one.__name__}-{capture}.trace", capture=capture):
            model = one()
        ends.append([*(np.asarray(weight) for weight in model.weights), np.asarray(tf.random.uniform([]))])
    left[one.__name__] = all(np.array_equal(*pair) for pair in zip(*ends, strict=True)) if len(ends) > 1 else None
(folder / "left.json").write_text(json.dumps(left))
