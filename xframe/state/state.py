"""State: what a training run is between two steps, in NumPy's arrays and canonical names.

An adapter makes one of its live objects and puts one into them. What it has by another name or in another layout it
translates exactly or not at all; a bfloat16 is held as the float32 of the same value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class State:
    """Between two steps.

    Attributes:
        parameters: what is trained, by canonical name.
        buffers: what steps move without a gradient, such as a BatchNorm's running statistics.
        slots: what the rule keeps, by the rule's name for it (``Rule.slots``) and then by parameter; before the first
            update as the rule begins.
        gradients: the sum that the open accumulation window has by now, by parameter; empty where none is open.
        average: the averaged weights, where the rule keeps them, by parameter.
        numbers: ``updates`` applied and ``attempts``; ``rate``, the learning rate of the last step; a rule's own
            (``momentum_product``); ``loss_scale`` and ``loss_scale_growth`` where a loss is scaled.
        position: ``xframe.running.steering.Position.to_dict``: step, pass, offset, window, early stopping.
        rule: ``Rule.to_dict``.
        precision: the run's, such as ``bfloat16``: what the parameters are held in where they come from.
    """

    parameters: Arrays
    buffers: Arrays = field(default_factory=dict)
    slots: Mapping[str, Arrays] = field(default_factory=dict)
    gradients: Arrays = field(default_factory=dict)
    average: Arrays = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    position: Mapping[str, Any] | None = None
    rule: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by path: ``parameters/dense_0/kernel``, ``slots/velocity/dense_0/kernel``."""
        parts = {"parameters": self.parameters, "buffers": self.buffers, "gradients": self.gradients}
        parts |= {"average": self.average} | {f"slots/{name}": held for name, held in self.slots.items()}
        return {f"{part}/{name}": values for part, held in parts.items() for name, values in held.items()}

    def differences(self, other: State) -> list[str]:
        """Where the two are not the same bits: paths of arrays, names of numbers and of other fields."""
        mine, others = self.arrays(), other.arrays()
        paths = [path for path in {**mine, **others} if not _same(mine.get(path), others.get(path))]
        names = {**self.numbers, **other.numbers}
        paths += [f"numbers/{name}" for name in names if self.numbers.get(name) != other.numbers.get(name)]
        return paths + [
            part for part in ("position", "rule", "precision") if getattr(self, part) != getattr(other, part)
        ]


class Stateful(Protocol):
    """What an adapter's training step is, so that its state can be taken and set between two steps."""

    def state(self) -> State:
        """Where the training stands. ``position`` is left to the run."""

    def restore(self, state: State) -> None:
        """Goes on from there.

        Raises:
            StateError: it does not fit: a name, a shape, a type, a rule or a precision. Nothing was changed then.
        """


def _same(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if one is None or other is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()
