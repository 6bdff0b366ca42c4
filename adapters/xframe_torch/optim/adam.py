"""Rules with two moments: Adam, AdamW, NAdam, Adamax."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from xframe_torch.optim.base import Group, Optimizer, kept, root_and_epsilon

Betas = tuple[float, float]


class Adam(Optimizer):
    """``w ← w − lr · m̂ / (√v̂ + eps)``, or with ``epsilon_on="uncorrected"``
    ``w ← w − lr · √(1 − beta2^t) / (1 − beta1^t) · m / (√v + eps)``.
    """

    settings = {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "epsilon_on": "corrected"}  # noqa: RUF012

    def begin(self, group: Group, weight: Tensor) -> dict[str, Tensor]:
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if group["amsgrad"] else 2]
        return {name: torch.zeros_like(weight) for name in names}

    def rule(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        first, second = _moments(group, gradients, states)
        if group["amsgrad"]:
            largest = kept(states, "max_exp_avg_sq")
            torch._foreach_maximum_(largest, second)
            second = largest
        corrected1, corrected2 = (1 - beta ** group["step"] for beta in group["betas"])
        root, epsilon = math.sqrt(corrected2), group["eps"]
        # Of the uncorrected v, as if epsilon were multiplied by the correction.
        scaled = epsilon if group["epsilon_on"] == "uncorrected" else epsilon * root
        divisors = root_and_epsilon(second, scaled, inside=False)
        torch._foreach_addcdiv_(weights, first, divisors, value=-group["lr"] * root / corrected1)


class KerasAdam(Adam):
    """``keras.optimizers.Adam``: epsilon is added to √v before its bias is corrected, torch's after.

    In the first updates that is as if torch's epsilon were 30 times as large. ``weight_decay`` is decoupled.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-7,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, weight_decay, betas=betas, eps=eps, amsgrad=amsgrad, epsilon_on="uncorrected")


class KerasAdamW(KerasAdam):
    """``keras.optimizers.AdamW``, which is Keras' Adam with a weight decay by default."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-7,
        weight_decay: float = 4e-3,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum. The product of the momenta is a double, ``mu_product`` in each group.

    torch's own keeps it in float32, in float64 too.
    """

    settings = {  # noqa: RUF012
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "momentum_decay": 4e-3,
        "mu_product": 1.0,
    }

    def begin(self, group: Group, weight: Tensor) -> dict[str, Tensor]:
        return {"exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}

    def advance(self, group: Group) -> None:
        super().advance(group)
        group["mu_product"] *= _warmed(group, group["step"])

    def rule(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        rate, step, product = group["lr"], group["step"], group["mu_product"]
        now, following = _warmed(group, step), _warmed(group, step + 1)
        first, second = _moments(group, gradients, states)
        root = math.sqrt(1 - group["betas"][1] ** step)
        divisors = root_and_epsilon(second, group["eps"] * root, inside=False)
        ahead = -rate * root * following / (1 - product * following)
        torch._foreach_addcdiv_(weights, gradients, divisors, value=-rate * root * (1 - now) / (1 - product))
        torch._foreach_addcdiv_(weights, first, divisors, value=ahead)


class KerasNAdam(NAdam):
    """``keras.optimizers.Nadam``: the momentum warms up 250 times as fast as torch's default has it."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-7,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay, betas=betas, eps=eps, momentum_decay=1.0)


class Adamax(Optimizer):
    """``u ← max(beta2 · u, |g| + eps);  w ← w − lr · m̂ / u``, or with ``epsilon_on="norm"``
    ``u ← max(beta2 · u, |g|);  w ← w − lr · m̂ / (u + eps)``.
    """

    settings = {"betas": (0.9, 0.999), "eps": 1e-8, "epsilon_on": "gradient"}  # noqa: RUF012

    def begin(self, group: Group, weight: Tensor) -> dict[str, Tensor]:
        return {"exp_avg": torch.zeros_like(weight), "exp_inf": torch.zeros_like(weight)}

    def rule(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        (beta1, beta2), epsilon = group["betas"], group["eps"]
        moments, largest = kept(states, "exp_avg"), kept(states, "exp_inf")
        torch._foreach_lerp_(moments, gradients, 1 - beta1)
        torch._foreach_mul_(largest, beta2)
        sizes = torch._foreach_abs(gradients)
        if group["epsilon_on"] == "gradient":
            torch._foreach_add_(sizes, epsilon)
        torch._foreach_maximum_(largest, sizes)
        divisors = largest if group["epsilon_on"] == "gradient" else torch._foreach_add(largest, epsilon)
        torch._foreach_addcdiv_(weights, moments, divisors, value=-group["lr"] / (1 - beta1 ** group["step"]))


class KerasAdamax(Adamax):
    """``keras.optimizers.Adamax``: epsilon is added to the norm, torch's to each gradient that goes into it."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-7,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay, betas=betas, eps=eps, epsilon_on="norm")


def _warmed(group: Group, step: int) -> float:
    return float(group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"])))


def _moments(group: Group, gradients: list[Tensor], states: list[Any]) -> tuple[list[Tensor], list[Tensor]]:
    (beta1, beta2), first, second = group["betas"], kept(states, "exp_avg"), kept(states, "exp_avg_sq")
    torch._foreach_lerp_(first, gradients, 1 - beta1)
    torch._foreach_mul_(second, beta2)
    torch._foreach_addcmul_(second, gradients, gradients, value=1 - beta2)
    return first, second
