"""What ``xframe bench`` trains: a perceptron so small that what a loop costs shows beside it.

6,400 samples are 200 batches of 32, none left over, so that loops which would treat a remainder in
their own ways have none to treat.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.tasks.initial import initial_weights
from xframe.tasks.layers import Dense
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task

NUM_SAMPLES = 6400
SIZES = (64, 64, 10)
_LAYERS = (Dense(SIZES[1], "relu"), Dense(SIZES[2]))


def _load() -> tuple[NDArray[Any], NDArray[Any]]:
    random = np.random.RandomState(0)
    return random.standard_normal((NUM_SAMPLES, SIZES[0])), random.randint(0, SIZES[-1], NUM_SAMPLES)


task = Task(
    name="bench-mlp",
    num_samples=NUM_SAMPLES,
    load=_load,
    initial_weights=lambda: initial_weights(_LAYERS, SIZES[:1], seed=1),
    loss="softmax_cross_entropy",
    optimizer=SGD(learning_rate=0.01),
    layers=_LAYERS,
    description="64-64-10 perceptron on 6,400 generated samples, SGD",
)
