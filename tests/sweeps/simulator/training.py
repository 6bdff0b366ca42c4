"""A small regression trained over a walk, so that losses, rates and weights are those that such a run computes."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from sweeps.simulator.walk import Step, Update

FEATURES = 4
_ROUNDING = 1e-7  # of a weight in each update


@dataclasses.dataclass(frozen=True)
class Computing:
    """How a script computes; mistakes in numbers are other values of these.

    Attributes:
        weights, data: which starting weights, and which targets the ids stand for.
        rate: by steps, updates and epochs before.
        total: the loss is a batch's sum, not its mean.
        divided: by what every gradient is divided before it enters an update.
        decay, momentum: of the optimizer.
        rounding: seeds the last digits, which differ from framework to framework.
    """

    weights: int = 0
    data: int = 0
    rate: Callable[[int, int, int], float] = lambda steps, updates, epochs: 0.1
    total: bool = False
    divided: float = 1.0
    decay: float = 0.0
    momentum: float = 0.0
    rounding: int = 0


@dataclasses.dataclass(frozen=True)
class Computed:
    """What a run computed: of each step, and at its end."""

    loss: list[float]
    lr: list[float]
    weights: Any


@cache
def _data(seed: int, samples: int = 4096) -> tuple[Any, Any]:
    drawn = np.random.default_rng(99)
    features = drawn.normal(size=(samples, FEATURES))
    targets = features @ drawn.normal(size=FEATURES) + 0.3 * drawn.normal(size=samples)
    return features, targets if not seed else np.roll(targets, seed)


def train(steps: Sequence[Step], updates: Sequence[Update], how: Computing) -> Computed:
    """The numbers of a run of these steps and updates."""
    features, targets = _data(how.data)
    weights = np.random.default_rng([7, how.weights]).normal(size=FEATURES)
    noise, speed = np.random.default_rng(how.rounding), np.zeros(FEATURES)
    gradients: dict[int, Any] = {}
    losses, rates, applied = [], [], 0
    due = iter(updates)
    update = next(due, None)
    with np.errstate(all="ignore"):
        for step in steps:
            rate = how.rate(step.index, applied, step.epoch)
            x, y = features[step.sample_ids], targets[step.sample_ids]
            error = x @ weights - y
            size = max(len(y), 1) if not how.total else 1
            losses.append(float(error @ error / 2 / size))
            rates.append(rate)
            gradients[step.index] = x.T @ error / size
            while update is not None and update.after_step == step.index:
                entered = sum(float(share) * gradients[one] for one, share in update.weights.items()) / how.divided
                speed = how.momentum * speed + entered + how.decay * weights
                weights = (weights - rate * speed) * (1 + _ROUNDING * noise.normal(size=FEATURES) * bool(how.rounding))
                applied += 1
                update = next(due, None)
    return Computed(losses, rates, weights)
