"""What is trained: the handwritten digits that scikit-learn bundles, with starting weights drawn for each seed.

A task is named by what it is and its seed: ``experiments.common.tasks:digits?seed=3&rate=0.2`` is the perceptron with
the starting weights of seed 3 and that learning rate.
"""

from dataclasses import replace
from urllib.parse import parse_qsl

import numpy as np

from xframe import SGD, Dense, Task, schedule
from xframe.layers import Activation, BatchNorm
from xframe.tasks.builtin import bundled
from xframe.tasks.builtin.digits_cnn import digits as halves
from xframe.tasks.initial import initial_weights

PIXELS = (64,)


def perceptron(name, data, *, hidden=32, activation="relu", norm=False, seed=0, rate=0.1, momentum=0.0, held_out=True):
    """One hidden layer, trained on ``data(validation=False)`` and validated on what was held out."""
    first = (Dense(hidden), BatchNorm(), Activation(activation)) if norm else (Dense(hidden, activation),)
    layers = (*first, Dense(10))
    return Task(
        name=name,
        num_samples=len(data(False)[1]),
        load=lambda: data(False),
        initial_weights=lambda: initial_weights(layers, PIXELS, seed=seed),
        loss="softmax_cross_entropy",
        optimizer=SGD(rate, momentum=momentum),
        layers=layers,
        input_shape=PIXELS,
        validation=(lambda: data(True)) if held_out else None,
        num_validation=len(data(True)[1]) if held_out else 0,
        metrics=("accuracy",),
    )


def split(validation):
    """1,437 digits to train on, and every fifth, 360, held out."""
    return halves(validation, PIXELS)


def first(n):
    """The first n digits, from the beginning again after the 1,797th; nothing is held out."""
    images, labels = bundled.digits()
    rows = np.arange(n) % len(labels)
    return lambda validation: (images[rows] / 16.0, labels[rows])


def few(n, noise):
    """The first n to train on, a share of their labels drawn at random; the 360 held out are right."""

    def data(validation):
        images, labels = split(validation)
        if validation:
            return images, labels
        draw = np.random.RandomState(0)
        labels = labels[:n].copy()
        wrong = draw.permutation(n)[: round(n * noise)]
        labels[wrong] = draw.randint(0, 10, len(wrong))
        return images[:n], labels

    return data


def digits(**options):
    """The perceptron on the 1,437."""
    return perceptron("digits", split, **options)


def textbook(n, **options):
    """The perceptron on n rows, however many."""
    return perceptron("textbook", first(n), held_out=False, **options)


def noisy(n=240, noise=0.2, **options):
    """The perceptron on few digits, some of them with a wrong label."""
    return perceptron("noisy", few(n, noise), **options)


def scheduled(peak=0.5, ticks=100, **options):
    """The perceptron with half a cosine of a learning rate."""
    return replace(digits(**options), optimizer=SGD(schedule.Cosine(peak, ticks=ticks)))


def nudged(ulps=1, **options):
    """The perceptron whose starting weights are all the next float32 number but ``ulps``, up and down by chance."""
    task = digits(**options)

    def weights():
        draw, start = np.random.RandomState(ulps), task.initial_weights()
        up = {name: np.where(draw.rand(*values.shape) < 0.5, np.inf, -np.inf) for name, values in start.items()}
        return {name: np.nextafter(values, up[name].astype(values.dtype)) for name, values in start.items()}

    return replace(task, initial_weights=weights)


def _value(text):
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def named(name, **options):
    """The name of a task here, for ``xframe.verify`` and for a trial."""
    query = "&".join(f"{key}={value}" for key, value in options.items())
    return f"{__name__}:{name}" + (f"?{query}" if query else "")


def __getattr__(name):
    make, _, query = name.partition("?")
    if make not in ("digits", "textbook", "noisy", "scheduled", "nudged") or not query:
        raise AttributeError(name)
    return globals()[make](**{key: _value(value) for key, value in parse_qsl(query)})
