"""What an optimizer of xframe_tensorflow.optim costs beside Keras' own of that name: updates in graph, and ``fit``.

Segments of the two alternate; a ratio is of two neighbouring segments' processor time, on one thread.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

MOST = 1.15  # times the native one
UPDATES, WIDTH = 50, 48  # in a segment; of each layer


def pairs() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Keras' own optimizer and the drop-in, by name; with weight decay where that is what differs."""
    import keras
    from xframe_tensorflow import optim

    own = keras.optimizers
    return {
        "SGD momentum": (lambda: own.SGD(1e-3, momentum=0.9), lambda: optim.TorchSGD(momentum=0.9)),
        "SGD decay": (
            lambda: own.SGD(1e-3, 0.9, weight_decay=0.1),
            lambda: optim.TorchSGD(1e-3, 0.9, weight_decay=0.1),
        ),
        "Adam": (own.Adam, optim.TorchAdam),
        "Adam amsgrad": (lambda: own.Adam(amsgrad=True), lambda: optim.TorchAdam(amsgrad=True)),
        "Adam decay": (lambda: own.Adam(weight_decay=0.1), lambda: optim.TorchAdam(weight_decay=0.1)),
        "AdamW": (own.AdamW, optim.TorchAdamW),
        "NAdam": (own.Nadam, optim.TorchNAdam),
        "Adamax": (own.Adamax, optim.TorchAdamax),
        "RMSprop": (own.RMSprop, optim.TorchRMSprop),
        "RMSprop momentum": (lambda: own.RMSprop(momentum=0.9), lambda: optim.TorchRMSprop(momentum=0.9)),
        "Adagrad": (own.Adagrad, optim.TorchAdagrad),
        "Adafactor": (own.Adafactor, optim.TorchAdafactor),
    }


def in_graph(make: Callable[[], Any], tensors: int) -> Callable[[], None]:
    """A segment of updates of that many tensors, in a tf.function."""
    import keras
    import tensorflow as tf

    shapes = [(WIDTH, WIDTH) if i % 2 == 0 else (WIDTH,) for i in range(tensors)]
    variables = [keras.Variable(tf.random.normal(shape, seed=1)) for shape in shapes]
    gradients = [tf.random.normal(shape, seed=2) for shape in shapes]
    optimizer = make()
    optimizer.build(variables)

    @tf.function  # autograph makes the loop a graph's
    def segment() -> None:
        for _ in tf.range(UPDATES):
            optimizer.apply(gradients, variables)

    return segment


def in_fit(make: Callable[[], Any], tensors: int) -> Callable[[], None]:
    """A segment of ``fit`` of a model of that many tensors."""
    import keras
    import numpy as np

    layers = [keras.layers.Dense(WIDTH, activation="relu") for _ in range(tensors // 2)]
    model = keras.Sequential([keras.Input((WIDTH,)), *layers])
    model.compile(make(), "mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(UPDATES * 8, WIDTH)).astype(np.float32)
    return lambda: model.fit(x, x, batch_size=8, verbose=0, shuffle=False) and None


def ratios(native: Callable[[], None], drop_in: Callable[[], None], rounds: int) -> Iterator[float]:
    """Of processor time, after a first segment of each that traces."""
    native(), drop_in()
    for _ in range(rounds):
        took = []
        for segment in (native, drop_in):
            began = time.process_time()
            segment()
            took.append(time.process_time() - began)
        yield took[1] / took[0]


def run(rounds: int) -> dict[str, Any]:
    """The section of the proof."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    rows, bad = [], []
    for name, (native, drop_in) in pairs().items():
        cells = []
        for way, tensors in ((in_graph, 20), (in_graph, 100), (in_fit, 20)):
            low, middle, high = statistics.quantiles(ratios(way(native, tensors), way(drop_in, tensors), rounds), n=4)
            gc.collect()  # the graphs
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
            if middle > MOST:
                bad.append(f"{name}: {way.__name__} of {tensors} tensors costs {middle:.2f} × Keras' own")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    head = ["| optimizer | update, 20 tensors | update, 100 tensors | fit, 20 tensors |", "| --- | --- | --- | --- |"]
    return {
        "size": f"{len(rows)} optimizers, {rounds} rounds, median and quartiles",
        "bad": bad,
        "text": "\n".join([*head, *rows]),
    }


if __name__ == "__main__":
    print(run(7)["text"])
