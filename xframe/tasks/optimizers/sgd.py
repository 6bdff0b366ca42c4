"""Rules without a division: gradient descent with momentum, and Lion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from xframe.errors import UsageError
from xframe.tasks.optimizers.rule import Decay, Rule

Velocity = Literal["gradient", "step"]


@dataclass(frozen=True, slots=True, repr=False)
class SGD(Rule):
    """``v ← momentum · v + (1 − dampening) · g;  w ← w − a · v``, at the first update ``v ← g``.

    With ``nesterov``, ``w ← w − a · (g + momentum · v)``. That is PyTorch's rule. With ``velocity="step"`` the velocity
    holds the rate, as Keras has it: ``v ← momentum · v − a · g;  w ← w + v``, with nesterov ``w ← w + momentum · v −
    a · g``. As long as the rate does not change the two are one rule; after a change they are not.

    Slots: velocity, with momentum.
    """

    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    velocity: Velocity = "gradient"

    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    def __post_init__(self) -> None:
        Rule.__post_init__(self)  # super() does not know a class with slots
        if self.nesterov and (not self.momentum or self.dampening):
            raise UsageError(
                "SGD with nesterov",
                got=f"momentum={self.momentum}, dampening={self.dampening}",
                expected="momentum above 0 and no dampening",
            )
        if self.dampening and (not self.momentum or self.velocity == "step"):
            raise UsageError(
                "SGD with dampening",
                got=f"momentum={self.momentum}, velocity={self.velocity!r}",
                expected="momentum above 0 and velocity 'gradient'",
            )

    def kept(self) -> tuple[str, ...]:
        return self.slots if self.momentum else ()


@dataclass(frozen=True, slots=True, repr=False)
class Lion(Rule):
    """``w ← w − a · sign(beta1 · m + (1 − beta1) · g);  m ← beta2 · m + (1 − beta2) · g``. Slots: momentum.

    Its sign turns any rounding of a sum near 0 into a whole step: frameworks agree to the last digit or not at all.
    """

    beta1: float = 0.9
    beta2: float = 0.99
    decay: Decay = field(default="decoupled", kw_only=True)

    slots: ClassVar[tuple[str, ...]] = ("momentum",)
