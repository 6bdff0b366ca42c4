"""Update rules lowered to NumPy, written out; clipping, which comes first, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xframe.tasks import optimizers
from xframe_numpy.evidence import UpdateCounter
from xframe_numpy.layers import Array


def lower(rule: optimizers.SGD) -> SGD:
    """The optimizer of that rule."""
    return _LOWER[type(rule)](rule)


class SGD:
    """v ← momentum·v + g;  w ← w − learning_rate·v. The learning rate is that of the next update."""

    def __init__(self, rule: optimizers.SGD) -> None:
        self.rule, self.updates = rule, UpdateCounter()
        self.learning_rate, self.momentum, self.weight_decay = rule.rate(0), rule.momentum, rule.weight_decay
        self.velocity: dict[str, Array] = {}

    def apply(self, parameters: dict[str, Array], gradients: dict[str, Array]) -> None:
        """One update of the parameters, in place."""
        self.updates.attempts += 1
        for name, gradient in clipped(gradients, self.rule).items():
            change = gradient + self.weight_decay * parameters[name] if self.weight_decay else gradient
            if self.momentum:
                change = self.velocity[name] = self.momentum * self.velocity.get(name, 0) + change
            parameters[name] -= self.learning_rate * change
        self.updates.applied += bool(gradients)


def clipped(gradients: dict[str, Array], rule: optimizers.SGD) -> dict[str, Array]:
    """The gradients as the rule's clipping leaves them."""
    if rule.clip_value is not None:
        return {name: np.clip(g, -rule.clip_value, rule.clip_value) for name, g in gradients.items()}
    squares = {name: np.sum(g**2) for name, g in gradients.items()}
    if rule.clip_norm is not None:
        return {name: _shortened(g, np.sqrt(squares[name]), rule.clip_norm) for name, g in gradients.items()}
    if rule.clip_global_norm is not None:
        norm = np.sqrt(sum(squares.values()))
        return {name: _shortened(g, norm, rule.clip_global_norm) for name, g in gradients.items()}
    return gradients


def _shortened(gradient: Array, norm: Any, most: float) -> Array:
    shorter: Array = gradient * (most / norm) if norm > most else gradient
    return shorter


_LOWER: dict[type[optimizers.SGD], Callable[[Any], SGD]] = {optimizers.SGD: SGD}
