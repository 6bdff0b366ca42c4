"""Rules that divide by the root of an average, or a sum, of squared gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xframe_torch.optim.base import Group, Optimizer, kept, root_and_epsilon


class RMSprop(Optimizer):
    """``s ← alpha · s + (1 − alpha) · g²;  w ← w − lr · g / (√s + eps)``.

    With ``epsilon_on="inside"`` the divisor is ``√(s + eps)``; ``velocity="step"`` has the rate in the velocity.
    """

    settings = {  # noqa: RUF012
        "alpha": 0.99,
        "eps": 1e-8,
        "momentum": 0.0,
        "centered": False,
        "epsilon_on": "outside",
        "velocity": "gradient",
    }

    def begin(self, group: Group, weight: Tensor) -> dict[str, Tensor]:
        names = ["square_avg", *["grad_avg"] * group["centered"], *["momentum_buffer"] * bool(group["momentum"])]
        return {name: torch.zeros_like(weight) for name in names}

    def rule(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        rate, alpha, squares = group["lr"], group["alpha"], kept(states, "square_avg")
        torch._foreach_mul_(squares, alpha)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - alpha)
        if group["centered"]:
            means = kept(states, "grad_avg")
            torch._foreach_lerp_(means, gradients, 1 - alpha)
            squares = list(torch._foreach_addcmul(squares, means, means, value=-1))
        inside = group["epsilon_on"] == "inside"
        divisors = root_and_epsilon(squares, group["eps"], inside=inside, fresh=group["centered"])
        if not group["momentum"]:
            torch._foreach_addcdiv_(weights, gradients, divisors, value=-rate)
            return
        velocities, in_velocity = kept(states, "momentum_buffer"), group["velocity"] == "step"
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_addcdiv_(velocities, gradients, divisors, value=rate if in_velocity else 1)
        torch._foreach_add_(weights, velocities, alpha=-1 if in_velocity else -rate)


class KerasRMSprop(RMSprop):
    """``keras.optimizers.RMSprop``: epsilon is added under the root, torch's to it."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        alpha: float = 0.9,
        eps: float = 1e-7,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        words: dict[str, Any] = {"epsilon_on": "inside", "velocity": "step"}
        super().__init__(params, lr, weight_decay, alpha=alpha, eps=eps, momentum=momentum, centered=centered, **words)


class Adagrad(Optimizer):
    """``s ← s + g²;  w ← w − lr / (1 + (t − 1) · lr_decay) · g / (√s + eps)``, with ``epsilon_on="inside"`` by
    ``√(s + eps)``.
    """

    settings = {  # noqa: RUF012
        "lr_decay": 0.0,
        "initial_accumulator_value": 0.0,
        "eps": 1e-10,
        "epsilon_on": "outside",
    }

    def begin(self, group: Group, weight: Tensor) -> dict[str, Tensor]:
        return {"sum": torch.full_like(weight, group["initial_accumulator_value"])}

    def rule(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        sums = kept(states, "sum")
        torch._foreach_addcmul_(sums, gradients, gradients, value=1)
        divisors = root_and_epsilon(sums, group["eps"], inside=group["epsilon_on"] == "inside")
        rate = group["lr"] / (1 + (group["step"] - 1) * group["lr_decay"])
        torch._foreach_addcdiv_(weights, gradients, divisors, value=-rate)


class KerasAdagrad(Adagrad):
    """``keras.optimizers.Adagrad``: epsilon is added under the root, and the sum begins at 0.1."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.1,
        eps: float = 1e-7,
    ) -> None:
        begin = initial_accumulator_value
        super().__init__(params, lr, weight_decay, initial_accumulator_value=begin, eps=eps, epsilon_on="inside")


class Adadelta(Optimizer):
    """``d = √(u + eps) / √(s + eps) · g;  w ← w − lr · d``, with s the average of g² and u that of d²."""

    settings = {"rho": 0.9, "eps": 1e-6}  # noqa: RUF012

    def begin(self, group: Group, weight: Tensor) -> dict[str, Tensor]:
        return {"square_avg": torch.zeros_like(weight), "acc_delta": torch.zeros_like(weight)}

    def rule(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        rho, epsilon = group["rho"], group["eps"]
        squares, updates = kept(states, "square_avg"), kept(states, "acc_delta")
        torch._foreach_mul_(squares, rho)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - rho)
        steps = root_and_epsilon(updates, epsilon, inside=True)
        torch._foreach_div_(steps, root_and_epsilon(squares, epsilon, inside=True))
        torch._foreach_mul_(steps, gradients)
        torch._foreach_mul_(updates, rho)
        torch._foreach_addcmul_(updates, steps, steps, value=1 - rho)
        torch._foreach_add_(weights, steps, alpha=-group["lr"])


class KerasAdadelta(Adadelta):
    """``keras.optimizers.Adadelta``: torch's formula with Keras' defaults, and its decoupled weight decay."""

    def __init__(
        self, params: Any, lr: float = 1e-3, rho: float = 0.95, eps: float = 1e-7, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr, weight_decay, rho=rho, eps=eps)


class Adafactor(Optimizer):
    """A step of the weights' own size, divided by an average of squares kept by row and column of two ``axes``.

    ``row_var`` has the means over the first of the two, ``col_var`` over the second; a parameter of a single axis
    keeps ``variance``. With ``epsilon_on="square"`` eps[0] is added to g², with ``"clamp"`` it is the least mean of
    row_var and, squared, the least average, and the weights' size is measured before they decay.
    """

    settings = {  # noqa: RUF012
        "beta2_decay": -0.8,
        "eps": (1e-30, 1e-3),
        "d": 1.0,
        "epsilon_on": "square",
        "axes": (0, 1),
    }

    def begin(self, group: Group, weight: Tensor) -> dict[str, Tensor]:
        if weight.dim() < 2:
            return {"variance": torch.zeros_like(weight)}
        row, column = (weight.new_zeros(_without(weight.shape, axis)) for axis in group["axes"])
        return {"row_var": row, "col_var": column}

    def update(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        share, (epsilon1, epsilon2) = group["step"] ** group["beta2_decay"], group["eps"]
        clamps = group["epsilon_on"] == "clamp"
        before = _rms(weights) if clamps else None
        gradients = self.decay(group, weights, gradients)
        sizes = _rms(weights) if before is None else before
        squares = torch._foreach_mul(gradients, gradients)
        if not clamps:
            torch._foreach_add_(squares, epsilon1)
        least = epsilon1 if clamps else None
        averages = [
            _averaged(state, square, group["axes"], share, least) for state, square in zip(states, squares, strict=True)
        ]
        if least is not None:
            averages = list(torch._foreach_clamp_min(averages, least * least))
        steps = torch._foreach_div(gradients, torch._foreach_sqrt(averages))
        shrink = _rms(steps)
        torch._foreach_div_(shrink, group["d"])
        torch._foreach_clamp_min_(shrink, 1.0)
        torch._foreach_clamp_min_(sizes, epsilon2)
        torch._foreach_mul_(sizes, min(group["lr"], group["step"] ** -0.5))
        torch._foreach_div_(sizes, shrink)
        torch._foreach_mul_(steps, sizes)
        torch._foreach_sub_(weights, steps)


class KerasAdafactor(Adafactor):
    """``keras.optimizers.Adafactor``: eps[0] is added to the squares, and a kernel is factored over its inputs and
    outputs, which torch has as axes 0 and 1; torch's own takes the last two axes, of a convolution its height and
    width. A group of parameters of a different layout has ``axes`` of its own.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        beta2_decay: float = -0.8,
        eps: tuple[float, float] = (1e-30, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay, beta2_decay=beta2_decay, eps=eps, d=d)


def _averaged(state: Any, squares: Tensor, axes: tuple[int, int], share: float, least: float | None) -> Tensor:
    """The average of squares, by rows and columns where there are two axes, with these blended in."""
    if squares.dim() < 2:
        average: Tensor = state["variance"].lerp_(squares, share)
        return average
    row = state["row_var"].lerp_(squares.mean(axes[0], keepdim=True), share)
    column = state["col_var"].lerp_(squares.mean(axes[1], keepdim=True), share)
    mean = row.mean(axes[1], keepdim=True)
    product: Tensor = (row / (mean if least is None else mean.clamp_min_(least))) * column
    return product


def _rms(tensors: Any) -> Any:
    """New scalar tensors: the root of the mean of squares of each."""
    norms = torch._foreach_norm(tensors)
    torch._foreach_div_(norms, [max(1, tensor.numel()) ** 0.5 for tensor in tensors])
    return norms


def _without(shape: torch.Size, axis: int) -> list[int]:
    return [1 if place == axis % len(shape) else size for place, size in enumerate(shape)]
