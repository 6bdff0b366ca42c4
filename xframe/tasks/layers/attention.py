"""Attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xframe.tasks.layers.layer import Layer, Shape, divisible


@dataclass(frozen=True, slots=True, repr=False)
class TransformerBlock(Layer):
    """Causal self-attention and a two-layer perceptron, each after a LayerNorm and added to what it was given.

    ``h = norm_1(x);  x ← x + attention(h @ query, h @ key, h @ value) @ output``
    ``h = norm_2(x);  x ← x + silu(h @ up + up_bias) @ down + down_bias``

    In attention, units are split into ``heads`` equal parts of size d, in which each place takes a mean of the values
    at itself and before, by ``softmax(q · k / √d)``. Its products have no bias: the keys' would have no effect.
    silu is ``x · σ(x)``: smooth, as one relu that rounding turns is seen in the weights, and exact where Keras' gelu,
    which rounds √2 to float32, is not.
    norm_1_scale, norm_1_bias, norm_2_scale, norm_2_bias, down_bias (units,); query, key, value, output (units, units);
    up (units, hidden), up_bias (hidden,), down (hidden, units).
    """

    ranks: ClassVar[tuple[int, ...]] = (2,)
    heads: int
    hidden: int
    epsilon: float = 1e-5

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        units = inputs[-1]
        vectors = ("norm_1_scale", "norm_1_bias", "norm_2_scale", "norm_2_bias", "down_bias")
        squares = ("query", "key", "value", "output")
        others = {"up": (units, self.hidden), "up_bias": (self.hidden,), "down": (self.hidden, units)}
        return {**dict.fromkeys(vectors, (units,)), **dict.fromkeys(squares, (units, units)), **others}

    def outputs(self, inputs: Shape) -> Shape:
        divisible(self, "units", inputs[-1], self.heads)
        return inputs
