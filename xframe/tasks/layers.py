"""Neutral layers: what each computes, and the canonical names, layouts and shapes of its weights.

A task's model is a tuple of them, and each adapter lowers it to native layers. Arrays between layers
are as in the data, channels last: (rows, features), (rows, T, features) or (rows, H, W, channels).
Shapes here are those of one sample. A weight is named ``<kind>_<i>/<weight>``, where the kind is the
layer's class in lower case and i counts the layers of that kind from 0: ``dense_0/kernel``.

What a layer states of its weights is all that binds them: initial values are the task's, and the
formula is the same in all frameworks, down to which variance a running one is.

A new layer is a class here, and for each adapter that takes it a function in ``_LOWER`` of its layers.py and a name in
``_LAYERS`` of its adapter.py; xframe_numpy takes ``Dense`` alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Literal, NamedTuple

from xframe.errors import UsageError, Verbatim, unknown

__all__ = [  # what ``xframe.layers`` has
    "LSTM",
    "Activation",
    "AveragePool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Embedding",
    "Flatten",
    "Layer",
    "LayerNorm",
    "MaxPool2D",
    "Position",
    "TransformerBlock",
]

Shape = tuple[int, ...]
_ACTIVATIONS = ("linear", "relu", "tanh")
_WORDS = {"activation": _ACTIVATIONS, "function": _ACTIVATIONS, "padding": ("same", "valid")}  # by field


@dataclass(frozen=True, slots=True)
class Layer:
    """What all neutral layers have. Layers without weights that keep the shape need no more.

    Fields are checked by their names and types when a layer is made; whole numbers are counts.

    Attributes:
        ranks: how many dimensions one sample may have.
    """

    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in _WORDS and value not in _WORDS[name]:
                raise unknown("padding" if name == "padding" else "activation", str(value), _WORDS[name])
            if field.type == "int" and (type(value) is not int or value < 1):
                raise UsageError(f"a layer's {name}", got=value, expected="an integer from 1 up")
            if name == "epsilon" and not value > 0:
                raise UsageError("a layer's epsilon", got=value, expected="a number above 0")
            if name == "momentum" and not 0 <= value < 1:
                raise UsageError("a layer's momentum", got=value, expected="a number from 0 up to below 1")

    @property
    def kind(self) -> str:
        return type(self).__name__.lower()

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        """The shapes of its weights by their own names, for samples of that shape."""
        return {}

    def outputs(self, inputs: Shape) -> Shape:
        """The shape of what it gives for one sample. Raises UsageError: it does not take samples of that shape."""
        return inputs


@dataclass(frozen=True, slots=True)
class Dense(Layer):
    """``activation(x @ kernel + bias)`` over the last axis. kernel (inputs, units), bias (units,)."""

    units: int
    activation: Literal["linear", "relu", "tanh"] = "linear"
    use_bias: bool = True

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"kernel": (inputs[-1], self.units), **({"bias": (self.units,)} if self.use_bias else {})}

    def outputs(self, inputs: Shape) -> Shape:
        return (*inputs[:-1], self.units)


@dataclass(frozen=True, slots=True)
class Activation(Layer):
    """``function(x)``, for where it does not follow the product at once, as after a BatchNorm. No weights."""

    function: Literal["linear", "relu", "tanh"]


@dataclass(frozen=True, slots=True)
class Flatten(Layer):
    """All of a sample in one axis, the last axis fastest: (H, W, channels) → (H · W · channels,). No weights."""

    def outputs(self, inputs: Shape) -> Shape:
        return (math.prod(inputs),)


@dataclass(frozen=True, slots=True)
class Conv2D(Layer):
    """``activation(Σ x[h + i, w + j] @ kernel[i, j] + bias)`` with stride 1, the kernel not flipped.

    ``same`` keeps H and W by (kernel_size − 1) / 2 zeros on each side, so it takes odd sizes; ``valid`` does not pad.
    kernel (kernel_size, kernel_size, inputs, filters), bias (filters,). Before a BatchNorm a bias has no effect.
    """

    ranks: ClassVar[tuple[int, ...]] = (3,)
    filters: int
    kernel_size: int
    activation: Literal["linear", "relu", "tanh"] = "linear"
    padding: Literal["same", "valid"] = "same"
    use_bias: bool = True

    def __post_init__(self) -> None:
        Layer.__post_init__(self)  # super() does not know a class with slots
        if self.padding == "same" and self.kernel_size % 2 == 0:
            raise UsageError(
                "a layer's kernel_size with padding 'same'", got=self.kernel_size, expected="an odd integer"
            )

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        kernel = (self.kernel_size, self.kernel_size, inputs[-1], self.filters)
        return {"kernel": kernel, **({"bias": (self.filters,)} if self.use_bias else {})}

    def outputs(self, inputs: Shape) -> Shape:
        less = 0 if self.padding == "same" else self.kernel_size - 1
        return _nonempty(self, inputs, (inputs[0] - less, inputs[1] - less, self.filters))


@dataclass(frozen=True, slots=True)
class _Pool2D(Layer):
    """One value for each size × size window, side by side; what is left over at the ends is cut off. No weights."""

    ranks: ClassVar[tuple[int, ...]] = (3,)
    size: int

    def outputs(self, inputs: Shape) -> Shape:
        return _nonempty(self, inputs, (inputs[0] // self.size, inputs[1] // self.size, inputs[2]))


class MaxPool2D(_Pool2D):
    """The greatest of each size × size window, as ``_Pool2D`` lays them."""

    __slots__ = ()


class AveragePool2D(_Pool2D):
    """The mean of each size × size window, as ``_Pool2D`` lays them."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class BatchNorm(Layer):
    """``(x − m) / √(v + epsilon) · scale + bias``, over the last axis' channels.

    In training m and v are the batch's own mean and variance, over its N = rows (· H · W) values a channel, v their
    mean square distance from m, divided by N and not by N − 1. Each training step, one that only accumulates included,
    also moves the running ones, with that same v: ``mean ← momentum · mean + (1 − momentum) · m``, variance likewise.
    These are used in validation; they are weights without a gradient. scale, bias, mean, variance (channels,).
    """

    ranks: ClassVar[tuple[int, ...]] = (1, 3)
    momentum: float = 0.9
    epsilon: float = 1e-5

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return dict.fromkeys(("scale", "bias", "mean", "variance"), inputs[-1:])


@dataclass(frozen=True, slots=True)
class LayerNorm(Layer):
    """``(x − m) / √(v + epsilon) · scale + bias``, m and v the last axis' mean and variance. scale, bias (units,)."""

    epsilon: float = 1e-5

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return dict.fromkeys(("scale", "bias"), inputs[-1:])


@dataclass(frozen=True, slots=True)
class Embedding(Layer):
    """``table[x]`` for integers x from 0 to vocabulary − 1: (T,) → (T, units). table (vocabulary, units).

    Only the first layer can be one, as what other layers give are floats.
    """

    ranks: ClassVar[tuple[int, ...]] = (1,)
    vocabulary: int
    units: int

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"table": (self.vocabulary, self.units)}

    def outputs(self, inputs: Shape) -> Shape:
        return (*inputs, self.units)


@dataclass(frozen=True, slots=True)
class Position(Layer):
    """``x + table``: a vector that is learned for each of the T places. table (T, units)."""

    ranks: ClassVar[tuple[int, ...]] = (2,)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"table": inputs}


@dataclass(frozen=True, slots=True)
class LSTM(Layer):
    """Reads (T, features) from first to last, and gives the last output: (units,).

    With σ the logistic function, h and c zero at the start, and the gates i, f, g, o side by side in this order:
    ``z = x[t] @ kernel + h @ recurrent + bias;  c ← σ(z_f) · c + σ(z_i) · tanh(z_g);  h ← σ(z_o) · tanh(c)``.
    kernel (features, 4 · units), recurrent (units, 4 · units), bias (4 · units,).
    """

    ranks: ClassVar[tuple[int, ...]] = (2,)
    units: int

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        gates = 4 * self.units
        return {"kernel": (inputs[-1], gates), "recurrent": (self.units, gates), "bias": (gates,)}

    def outputs(self, inputs: Shape) -> Shape:
        return (self.units,)


@dataclass(frozen=True, slots=True)
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
        if inputs[-1] % self.heads:
            raise UsageError(f"{self} splits units", got=inputs[-1], expected=f"a multiple of {self.heads}")
        return inputs


class Placed(NamedTuple):
    """A layer in its place: its canonical name, its samples' shape, its weights' shapes by their own names."""

    layer: Layer
    name: str
    inputs: Shape
    weights: dict[str, Shape]


def place(layers: Sequence[Layer], inputs: Shape) -> list[Placed]:
    """The layers one after the other, for samples of that shape.

    Raises:
        UsageError: a layer does not take what the one before it gives.
    """
    placed: list[Placed] = []
    for layer in layers:
        if len(inputs) not in layer.ranks:
            ranks = " or ".join(str(rank) for rank in layer.ranks)
            raise UsageError(f"{layer} takes samples of a different shape", got=inputs, expected=f"{ranks} dimensions")
        if isinstance(layer, Embedding) and placed:
            raise UsageError(
                f"{layer} takes integers", got=Verbatim(f"what {placed[-1].layer} gives"), expected="it first"
            )
        number = sum(type(other.layer) is type(layer) for other in placed)
        placed.append(Placed(layer, f"{layer.kind}_{number}", inputs, layer.weights(inputs)))
        inputs = layer.outputs(inputs)
    return placed


def _nonempty(layer: Layer, inputs: Shape, outputs: Shape) -> Shape:
    if min(outputs) < 1:
        raise UsageError(f"{layer} leaves nothing", got=Verbatim(f"samples of {inputs}"), expected="larger samples")
    return outputs
