"""Layers that read (T, features) from first to last, and give the last output, (units,), or all, (T, units).

σ is the logistic function; what a layer carries on is zero at the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from xframe.tasks.layers.layer import Layer, Shape


@dataclass(frozen=True, slots=True, repr=False)
class _Recurrent(Layer):
    """What they share: as many gates as its kernels have parts, side by side."""

    ranks: ClassVar[tuple[int, ...]] = (2,)
    gates: ClassVar[int]
    units: int
    return_sequences: bool = False

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        width = self.gates * self.units
        return {"kernel": (inputs[-1], width), "recurrent": (self.units, width), "bias": (width,)}

    def outputs(self, inputs: Shape) -> Shape:
        return (inputs[0], self.units) if self.return_sequences else (self.units,)


@dataclass(frozen=True, slots=True, repr=False)
class SimpleRNN(_Recurrent):
    """``h ← activation(x[t] @ kernel + h @ recurrent + bias)``.

    kernel (features, units), recurrent (units, units), bias (units,).
    """

    gates: ClassVar[int] = 1
    words: ClassVar[dict[str, tuple[str, ...]]] = {"activation": ("tanh", "relu")}
    activation: Literal["tanh", "relu"] = "tanh"


@dataclass(frozen=True, slots=True, repr=False)
class LSTM(_Recurrent):
    """With the gates i, f, g, o side by side in this order:

    ``z = x[t] @ kernel + h @ recurrent + bias;  c ← σ(z_f) · c + σ(z_i) · tanh(z_g);  h ← σ(z_o) · tanh(c)``.
    kernel (features, 4 · units), recurrent (units, 4 · units), bias (4 · units,).
    """

    gates: ClassVar[int] = 4


@dataclass(frozen=True, slots=True, repr=False)
class GRU(_Recurrent):
    """With the gates r, z, n side by side in this order, as in torch; Keras has z, r, n:

    ``a = x[t] @ kernel + bias;  b = h @ recurrent + recurrent_bias;  r, z = σ(a_r + b_r), σ(a_z + b_z)``
    ``n = tanh(a_n + r · b_n);  h ← (1 − z) · n + z · h``.
    Without ``reset_after``, as in the first paper, there is no recurrent_bias, and ``b_n = (r · h) @ recurrent_n`` is
    added as it is. kernel (features, 3 · units), recurrent (units, 3 · units), bias, recurrent_bias (3 · units,).
    """

    gates: ClassVar[int] = 3
    reset_after: bool = True

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        shapes = _Recurrent.weights(self, inputs)  # super() does not know a class with slots
        return {**shapes, **({"recurrent_bias": shapes["bias"]} if self.reset_after else {})}
