"""Rules with two moments: Adam with and without decoupled decay and AMSGrad, NAdam, Adamax.

``m ← beta1 · m + (1 − beta1) · g;  v ← beta2 · v + (1 − beta2) · g²``, both 0 at the start, corrected by
``m̂ = m / (1 − beta1^t)`` and ``v̂ = v / (1 − beta2^t)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from xframe.tasks.optimizers.rule import Rule


@dataclass(frozen=True, slots=True, repr=False)
class Adam(Rule):
    """``w ← w − a · m̂ / (√v̂ + epsilon)``. AdamW is this with decoupled decay.

    That is PyTorch's rule and optax's. With ``epsilon_on="uncorrected"``, Keras' and TensorFlow's, epsilon is added
    before the correction: ``w ← w − a · √(1 − beta2^t) / (1 − beta1^t) · m / (√v + epsilon)``, which is the other with
    an epsilon of ``epsilon / √(1 − beta2^t)``, about 30 times as much at the first update. With ``amsgrad`` the
    greatest v so far takes v's place.

    Slots: first_moment, second_moment; with amsgrad largest_second_moment.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_on: Literal["corrected", "uncorrected"] = "corrected"
    amsgrad: bool = False

    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment", "largest_second_moment")

    def kept(self) -> tuple[str, ...]:
        return self.slots if self.amsgrad else self.slots[:2]


@dataclass(frozen=True, slots=True, repr=False)
class NAdam(Rule):
    """Adam with Nesterov's momentum, which warms up by ``u(t) = beta1 · (1 − 0.5 · 0.96^(t · momentum_decay))``.

    With P the product of u(1) … u(t):
    ``w ← w − a · (u(t + 1) · m / (1 − P · u(t + 1)) + (1 − u(t)) · g / (1 − P)) / (√v̂ + epsilon)``.
    Keras' momentum_decay is 1, PyTorch's 0.004.

    Slots: first_moment, second_moment; a number, momentum_product.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 4e-3

    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")


@dataclass(frozen=True, slots=True, repr=False)
class Adamax(Rule):
    """``u ← max(beta2 · u, |g| + epsilon);  w ← w − a · m̂ / u``, as PyTorch has it.

    With ``epsilon_on="norm"``, Keras', ``u ← max(beta2 · u, |g|);  w ← w − a · m̂ / (u + epsilon)``.

    Slots: first_moment, largest_gradient.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_on: Literal["gradient", "norm"] = "gradient"

    slots: ClassVar[tuple[str, ...]] = ("first_moment", "largest_gradient")
