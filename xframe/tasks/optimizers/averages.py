"""Rules that divide by the root of an average, or a sum, of squared gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from xframe.errors import UsageError
from xframe.tasks.optimizers.rule import Decay, Rule
from xframe.tasks.optimizers.sgd import Velocity

Epsilon = Literal["outside", "inside"]


@dataclass(frozen=True, slots=True, repr=False)
class RMSprop(Rule):
    """``s ← rho · s + (1 − rho) · g²;  w ← w − a · g / (√s + epsilon)``, as PyTorch has it.

    With ``epsilon_on="inside"``, Keras', the divisor is ``√(s + epsilon)``. ``centered`` divides by the root of the
    variance instead, with ``q ← rho · q + (1 − rho) · g`` and s − q² for s. With momentum, of d = g over that divisor,
    ``v ← momentum · v + d;  w ← w − a · v``, or with ``velocity="step"``, Keras', ``v ← momentum · v + a · d;
    w ← w − v``.

    Slots: mean_square; with centered mean_gradient; with momentum velocity.
    """

    rho: float = 0.99
    epsilon: float = 1e-8
    epsilon_on: Epsilon = "outside"
    centered: bool = False
    momentum: float = 0.0
    velocity: Velocity = "gradient"

    slots: ClassVar[tuple[str, ...]] = ("mean_square", "mean_gradient", "velocity")

    def kept(self) -> tuple[str, ...]:
        unused = {*(() if self.centered else ("mean_gradient",)), *(() if self.momentum else ("velocity",))}
        return tuple(slot for slot in self.slots if slot not in unused)


@dataclass(frozen=True, slots=True, repr=False)
class Adagrad(Rule):
    """``s ← s + g²;  w ← w − a / (1 + (t − 1) · rate_decay) · g / (√s + epsilon)``, as PyTorch has it.

    s begins as ``initial_accumulator``. With ``epsilon_on="inside"``, Keras', the divisor is ``√(s + epsilon)``.

    Slots: sum_of_squares.
    """

    epsilon: float = 1e-10
    epsilon_on: Epsilon = "outside"
    initial_accumulator: float = 0.0
    rate_decay: float = 0.0

    slots: ClassVar[tuple[str, ...]] = ("sum_of_squares",)


@dataclass(frozen=True, slots=True, repr=False)
class Adadelta(Rule):
    """``s ← rho · s + (1 − rho) · g²;  d = √(u + epsilon) / √(s + epsilon) · g;  u ← rho · u + (1 − rho) · d²``.

    Then ``w ← w − a · d``: the same in Keras and PyTorch. Slots: mean_square, mean_square_update.
    """

    rho: float = 0.9
    epsilon: float = 1e-6

    slots: ClassVar[tuple[str, ...]] = ("mean_square", "mean_square_update")


@dataclass(frozen=True, slots=True, repr=False)
class Adafactor(Rule):
    """A step of the weights' own size, divided by an average of squares that a matrix keeps by row and column.

    With ``b = 1 − t^beta2_power`` and ``h = g²``: a parameter of two axes or more keeps, of its canonical layout's last
    two, ``r ← b · r + (1 − b) · mean of h over the last`` and ``c ← b · c + (1 − b) · mean of h over the one before``,
    and ``s = r · c / mean of r``; one of a single axis ``s ← b · s + (1 − b) · h``. Then ``d = g / √s``,
    ``d ← d / max(1, rms(d) / clip_threshold)``, and ``w ← w − max(epsilon2, rms(w)) · min(a, 1 / √t) · d``, with rms
    the root of the mean of squares.

    ``epsilon_on="square"``, Keras', adds epsilon1 to h. ``"clamp"``, PyTorch's, has the mean of r at least epsilon1,
    and s at least epsilon1², and its rms(w) is that of the weights before they decay.

    Slots: row_mean_square and column_mean_square, or mean_square.
    """

    beta2_power: float = -0.8
    epsilon1: float = 1e-30
    epsilon2: float = 1e-3
    epsilon_on: Literal["square", "clamp"] = "square"
    clip_threshold: float = 1.0
    decay: Decay = field(default="decoupled", kw_only=True)

    slots: ClassVar[tuple[str, ...]] = ("row_mean_square", "column_mean_square", "mean_square")

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        if self.clip_threshold <= 0:
            raise UsageError("Adafactor's clip_threshold", got=self.clip_threshold, expected="a number above 0")

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        if len(shape) < 2:
            return {"mean_square": shape}
        return {"row_mean_square": shape[:-1], "column_mean_square": shape[:-2] + shape[-1:]}
