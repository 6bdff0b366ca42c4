"""Functions of each element."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from xframe.errors import UsageError
from xframe.tasks.layers.layer import Function, Layer, Shape


@dataclass(frozen=True, slots=True, repr=False)
class Activation(Layer):
    """``function(x)``, for where it does not follow the product at once, as after a BatchNorm. No weights.

    relu: ``max(x, 0)``; sigmoid: ``σ(x) = 1 / (1 + exp(−x))``; softplus: ``log(1 + exp(x))``; silu: ``x · σ(x)``;
    gelu: ``x · (1 + erf(x / √2)) / 2``; gelu_tanh: ``x · (1 + tanh(√(2 / π) · (x + 0.044715 · x³))) / 2``;
    elu: ``x`` above 0, else ``exp(x) − 1``. Constants are exact to the precision: Keras' own gelu rounds √2 to float32
    whatever that is, and torch's own softplus is x above 20.
    """

    function: Function


@dataclass(frozen=True, slots=True, repr=False)
class LeakyReLU(Layer):
    """``x`` above 0, else ``slope · x``. No weights. Left unset, the slope is 0.01 in torch and 0.3 in Keras' layer."""

    slope: float

    def __post_init__(self) -> None:
        _finite("slope", self.slope)


@dataclass(frozen=True, slots=True, repr=False)
class ELU(Layer):
    """``x`` above 0, else ``alpha · (exp(x) − 1)``. No weights."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _finite("alpha", self.alpha)


@dataclass(frozen=True, slots=True, repr=False)
class PReLU(Layer):
    """``x`` above 0, else ``slope · x``, with slopes that are learned.

    slope: with ``one`` (1,), torch's default; with ``channels`` (channels,); with ``elements`` one for each of a
    sample's elements, Keras' default. At 0 the derivative is that from above or from below, as the framework has it.
    """

    slopes: Literal["one", "channels", "elements"] = "one"

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"slope": {"one": (1,), "channels": inputs[-1:], "elements": inputs}[self.slopes]}


def _finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise UsageError(f"a layer's {name}", got=value, expected="a finite number")
