"""What ``xframe bench`` trains: a perceptron so small that what a loop costs shows beside it.

6,400 samples are 200 batches of 32, none left over, so that loops which would treat a remainder in
their own ways have none to treat.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.tasks.layers import Dense
from xframe.tasks.task import SGD, Task

NUM_SAMPLES = 6400
SIZES = (64, 64, 10)


def _load() -> tuple[NDArray[Any], NDArray[Any]]:
    random = np.random.RandomState(0)
    return random.standard_normal((NUM_SAMPLES, SIZES[0])), random.randint(0, SIZES[-1], NUM_SAMPLES)


def _initial_weights() -> dict[str, NDArray[Any]]:
    random = np.random.RandomState(1)
    weights: dict[str, NDArray[Any]] = {}
    for i, (inputs, units) in enumerate(pairwise(SIZES)):
        limit = np.sqrt(6.0 / (inputs + units))
        weights[f"dense_{i}/kernel"] = random.uniform(-limit, limit, (inputs, units)).astype(np.float32)
        weights[f"dense_{i}/bias"] = np.zeros(units, dtype=np.float32)
    return weights


task = Task(
    name="bench-mlp",
    num_samples=NUM_SAMPLES,
    load=_load,
    initial_weights=_initial_weights,
    loss="softmax_cross_entropy",
    optimizer=SGD(learning_rate=0.01),
    layers=(Dense(SIZES[1], "relu"), Dense(SIZES[2])),
    description="64-64-10 perceptron on 6,400 generated samples, SGD",
)
