"""Runs the scripts on TensorFlow, bare and then watched, and writes down what they left."""

import contextlib
import io
import json
import random
import runpy
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import xframe

BOUND = keras.losses.mean_squared_error  # before anything is watched
WRITTEN = Path(__file__).with_name("written")
folder, names = Path(sys.argv[1]), sys.argv[2:]


def run(name):
    """What the script left, what it printed, and the random numbers drawn after it."""
    keras.utils.set_random_seed(7)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        left = runpy.run_path(str(WRITTEN / f"{name}.py"))
    of_numpy = np.random.random()  # noqa: NPY002
    drawn = random.random(), of_numpy, float(tf.random.uniform([])), float(keras.random.uniform([]))
    return left, printed.getvalue(), drawn


def again(folder):
    """Records twice what was traced, trained and left before, and what is replaced is put back each time."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(BOUND(y, model(x)))
        model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    places = [
        (tf.GradientTape, "gradient"),
        (keras.layers.Layer, "__call__"),
        (keras.Model, "fit"),
        (type(step), "__call__"),
    ]
    before = [getattr(owner, name) for owner, name in places]
    losses = {}
    for name in ("first", "second"):
        model.fit(x, y, verbose=0)
        step(tf.constant(x), tf.constant(y))
        with xframe.watch(folder / f"{name}.trace"):
            losses[name] = [float(step(tf.constant(x), tf.constant(y))) for _ in range(3)]
            losses[name] += model.fit(x, y, batch_size=8, verbose=0).history["loss"]
            losses[name] += [float(step.get_concrete_function(tf.constant(x), tf.constant(y))(x, y)) for _ in range(2)]
        step(tf.constant(x), tf.constant(y))
    return {"losses": losses, "put_back": [getattr(owner, name) for owner, name in places] == before}


facts = {}
for name in names:
    bare, printed, drawn = run(name)
    with xframe.watch(folder / f"{name}.trace"):
        left, printed_too, drawn_too = run(name)
    weights = zip(bare["weights"], left["weights"], strict=True)
    kept = ("steps", "ids", "means", "validations", "attempts", "norms")
    facts[name] = {
        "same_weights": all(np.array_equal(a, b) for a, b in weights),
        "same_print": [line for line in printed.splitlines() if "step" not in line]
        == [line for line in printed_too.splitlines() if "step" not in line],  # Keras prints how long a step took
        "same_numbers": drawn == drawn_too,
        **{key: left[key] for key in kept if key in left},
    }
facts["again"] = again(folder)
(folder / "left.json").write_text(json.dumps(facts, default=lambda value: np.asarray(value).tolist()))
