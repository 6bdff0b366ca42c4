"""The loops people use with TensorFlow, for ``xframe bench``: written as their tutorials write them.

None records anything. Each is a function of a workload and a gate that trains for ever and meets the gate after each
epoch. What they import they import when they run, since the list of them is made where no framework may be loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from xframe.bench.worker import THREADS, Gate, Loop, Workload
from xframe.tasks.builtin import bench_mlp
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task


def loops(task: Task) -> tuple[Loop, ...]:
    """The loops that can train this task: all of them the perceptron, the bare ones what has a model here."""
    if task.name not in _MODELS:
        return ()
    return tuple(loop for loop in _LOOPS if loop.bare or task.name == bench_mlp.task.name)


def _mlp() -> Any:
    import keras

    inputs, hidden, outputs = bench_mlp.SIZES
    return keras.Sequential(
        [keras.Input((inputs,)), keras.layers.Dense(hidden, activation="relu"), keras.layers.Dense(outputs)]
    )


def _cnn() -> Any:
    import keras
    from keras import layers

    first = layers.Conv2D(16, 3, padding="same", use_bias=False), layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    second = layers.Conv2D(32, 3, padding="same", activation="tanh"), layers.AveragePooling2D(2)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            *(*first, layers.Activation("tanh"), layers.AveragePooling2D(2)),
            *(*second, layers.Flatten(), layers.Dense(10)),
        ]
    )


_MODELS = {bench_mlp.task.name: _mlp, "digits-cnn": _cnn}  # by task


def _parts(workload: Workload) -> tuple[Any, ...]:
    """Features, targets, model, optimizer and loss."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    tf.config.set_visible_devices([], "GPU")
    keras.utils.set_random_seed(0)
    rule = workload.task.optimizer
    assert isinstance(rule, SGD)
    optimizer = keras.optimizers.SGD(rule.rate(0), momentum=rule.momentum)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return *workload.data(), _MODELS[workload.task.name](), optimizer, loss_fn


def _train_step(model: Any, optimizer: Any, loss_fn: Any) -> Callable[[Any, Any], None]:
    import tensorflow as tf

    def train_step(x: Any, y: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    return train_step


def _graph(workload: Workload, gate: Gate) -> None:
    x, y, model, optimizer, loss_fn = _parts(workload)
    import tensorflow as tf

    features, targets = tf.constant(x), tf.constant(y)
    optimizer.build(model.trainable_variables)
    train_step = _train_step(model, optimizer, loss_fn)
    size, steps = workload.batch_size, len(workload.starts)

    @tf.function  # type: ignore[untyped-decorator]
    def epoch() -> None:
        order = tf.random.shuffle(tf.range(workload.num_samples))
        for i in tf.range(steps):
            chosen = order[i * size : (i + 1) * size]
            train_step(tf.gather(features, chosen), tf.gather(targets, chosen))

    while True:
        epoch()
        gate.meet(steps)


def _function(workload: Workload, gate: Gate, *, ready: bool = True) -> None:
    x, y, *parts = _parts(workload)
    import tensorflow as tf

    train_step = tf.function(_train_step(*parts), reduce_retracing=True)
    if ready:
        batches = [tuple(tf.constant(v[k : k + workload.batch_size]) for v in (x, y)) for k in workload.starts]
    else:
        samples = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(workload.num_samples)
        batches = samples.batch(workload.batch_size).prefetch(2)
    while True:
        for features, targets in batches:
            train_step(features, targets)
        gate.meet(len(workload.starts))


def _fit(workload: Workload, gate: Gate, parts: Any, *data: Any, steps: int | None = None, **compiled: Any) -> None:
    import keras

    class AtGate(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, *_: Any) -> None:
            gate.meet(len(workload.starts))

    model, optimizer, loss_fn = parts
    model.compile(optimizer, loss_fn, jit_compile=False, **compiled)
    size = workload.batch_size if len(data) == 2 else None
    model.fit(*data, batch_size=size, steps_per_epoch=steps, epochs=10**9, verbose=0, callbacks=[AtGate()])


def _fit_arrays(workload: Workload, gate: Gate, **compiled: Any) -> None:
    x, y, *parts = _parts(workload)
    _fit(workload, gate, parts, x, y, **compiled)


def _fit_batched(workload: Workload, gate: Gate) -> None:
    x, y, *parts = _parts(workload)
    import tensorflow as tf

    steps, size = len(workload.starts), workload.batch_size
    batches = tf.data.Dataset.from_tensor_slices((x.reshape(steps, size, *x.shape[1:]), y.reshape(steps, size)))
    _fit(workload, gate, parts, batches.shuffle(steps).repeat().prefetch(2), steps=steps)


def _fit_gathered(workload: Workload, gate: Gate) -> None:
    x, y, *parts = _parts(workload)
    import numpy as np
    import tensorflow as tf

    features, targets = tf.constant(x), tf.constant(y)
    random = np.random.RandomState(0)

    def order() -> Iterator[Any]:
        yield random.permutation(workload.num_samples)

    ids = tf.data.Dataset.from_generator(order, output_signature=tf.TensorSpec([workload.num_samples], tf.int64))
    batches = ids.flat_map(lambda order: tf.data.Dataset.from_tensor_slices(order).batch(workload.batch_size))
    gathered = batches.map(lambda chosen: (tf.gather(features, chosen), tf.gather(targets, chosen))).prefetch(2)
    known = tf.data.experimental.assert_cardinality(len(workload.starts))
    _fit(workload, gate, parts, gathered.apply(known))


_data = partial(_function, ready=False)
_LOOPS = (
    Loop("tensorflow-graph", "a whole epoch in one graph", _graph, base=True, bare=True, twin_of=("block",)),
    Loop("tensorflow-function", "bare tf.function loop, batches ready", _function, bare=True),
    Loop(
        "tensorflow-data",
        "tf.function loop over tf.data",
        _data,
        bare=True,
        twin_of=("function",),
    ),
    Loop("keras-fit", "Keras fit on arrays", _fit_arrays),
    Loop("keras-fit-32", "the same, steps_per_execution=32", partial(_fit_arrays, steps_per_execution=32)),
    Loop("keras-fit-batched", "Keras fit on batches ready in tf.data", _fit_batched),
    Loop("keras-fit-gathered", "Keras fit, tf.data gathers each batch", _fit_gathered, bare=True, twin_of=("fit",)),
)
