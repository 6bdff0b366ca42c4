"""Gradient descent with momentum, and Lion."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xframe_torch.optim.base import Group, Optimizer, kept


class SGD(Optimizer):
    """``v ← momentum · v + (1 − dampening) · g;  w ← w − lr · v``, the first update undamped.

    With ``velocity="step"``: ``v ← momentum · v − lr · g;  w ← w + v``.
    """

    settings = {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "velocity": "gradient"}  # noqa: RUF012

    def keeps(self, group: Group) -> bool:
        return bool(group["momentum"])

    def begin(self, group: Group, weight: Tensor) -> dict[str, Tensor]:
        return {"momentum_buffer": torch.zeros_like(weight)}

    def rule(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        rate, momentum = group["lr"], group["momentum"]
        if not momentum:
            torch._foreach_add_(weights, gradients, alpha=-rate)
            return
        velocities = kept(states, "momentum_buffer")
        torch._foreach_mul_(velocities, momentum)
        if group["velocity"] == "step":
            torch._foreach_add_(velocities, gradients, alpha=-rate)
            torch._foreach_add_(weights, velocities, alpha=momentum if group["nesterov"] else 1)
            if group["nesterov"]:
                torch._foreach_add_(weights, gradients, alpha=-rate)
            return
        torch._foreach_add_(velocities, gradients, alpha=1 - group["dampening"] if group["step"] > 1 else 1)
        torch._foreach_add_(weights, velocities, alpha=-rate * momentum if group["nesterov"] else -rate)
        if group["nesterov"]:
            torch._foreach_add_(weights, gradients, alpha=-rate)


class KerasSGD(SGD):
    """``keras.optimizers.SGD``: the velocity holds the learning rate, ``v ← momentum · v − lr · g;  w ← w + v``.

    torch's own multiplies by the rate last: after the rate has changed the two differ. ``weight_decay`` is decoupled.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay, momentum=momentum, nesterov=nesterov, velocity="step")


class Lion(Optimizer):
    """``w ← w − lr · sign(beta1 · m + (1 − beta1) · g);  m ← beta2 · m + (1 − beta2) · g``."""

    settings = {"betas": (0.9, 0.99)}  # noqa: RUF012

    def begin(self, group: Group, weight: Tensor) -> dict[str, Tensor]:
        return {"exp_avg": torch.zeros_like(weight)}

    def rule(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        (beta1, beta2), moments = group["betas"], kept(states, "exp_avg")
        steps = torch._foreach_mul(moments, beta1)
        torch._foreach_add_(steps, gradients, alpha=1 - beta1)
        torch._foreach_sign_(steps)
        torch._foreach_add_(weights, steps, alpha=-group["lr"])
        torch._foreach_mul_(moments, beta2)
        torch._foreach_add_(moments, gradients, alpha=1 - beta2)


class KerasLion(Lion):
    """``keras.optimizers.Lion``, which torch has not."""

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr, weight_decay, betas=betas)
