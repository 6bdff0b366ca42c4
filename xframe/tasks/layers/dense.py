"""Products and tables: Dense, Embedding, Position; and Flatten."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from xframe.tasks.layers.layer import Function, Layer, Shape


@dataclass(frozen=True, slots=True, repr=False)
class Dense(Layer):
    """``activation(x @ kernel + bias)`` over the last axis. kernel (inputs, units), bias (units,)."""

    units: int
    activation: Function = "linear"
    use_bias: bool = True

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"kernel": (inputs[-1], self.units), **({"bias": (self.units,)} if self.use_bias else {})}

    def outputs(self, inputs: Shape) -> Shape:
        return (*inputs[:-1], self.units)


@dataclass(frozen=True, slots=True, repr=False)
class Flatten(Layer):
    """All of a sample in one axis, the last axis fastest: (H, W, channels) → (H · W · channels,). No weights."""

    def outputs(self, inputs: Shape) -> Shape:
        return (math.prod(inputs),)


@dataclass(frozen=True, slots=True, repr=False)
class Embedding(Layer):
    """``table[x]`` for integers x from 0 to vocabulary − 1: (T,) → (T, units). table (vocabulary, units).

    Only the first layer can be one, as what other layers give are floats.
    """

    ranks: ClassVar[tuple[int, ...]] = (1,)
    first: ClassVar[bool] = True
    vocabulary: int
    units: int

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"table": (self.vocabulary, self.units)}

    def outputs(self, inputs: Shape) -> Shape:
        return (*inputs, self.units)


@dataclass(frozen=True, slots=True, repr=False)
class Position(Layer):
    """``x + table``: a vector that is learned for each of the T places. table (T, units)."""

    ranks: ClassVar[tuple[int, ...]] = (2,)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"table": inputs}
