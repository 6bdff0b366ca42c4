"""Update rules lowered to torch.optim; clipping, which comes before; and the scaling of a loss in float16."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from xframe.running.runtime import Runtime
from xframe.tasks.optimizers import SGD

INITIAL_SCALE = 2.0**15  # of the loss in mixed_float16, as Keras has it; torch's own is 2**16


def lower(rule: SGD, parameters: list[torch.nn.Parameter], *, scaled: bool) -> torch.optim.Optimizer:
    """The optimizer of that rule; ``scaled``: the loss is."""
    return _LOWER[type(rule)](rule, parameters, scaled)


def _sgd(rule: SGD, parameters: list[torch.nn.Parameter], scaled: bool) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters,
        lr=rule.rate(0),
        momentum=rule.momentum,
        weight_decay=rule.weight_decay,
        fused=True if scaled else None,  # else the scaler asks the device, at each step, whether to skip
    )


def scaler(runtime: Runtime) -> torch.amp.GradScaler | None:
    """What scales the loss, if the precision asks for it."""
    if runtime.precision != "mixed_float16":
        return None
    return torch.amp.GradScaler(runtime.device, init_scale=INITIAL_SCALE)


def clipping(rule: SGD) -> Callable[[list[torch.Tensor]], None] | None:
    """What clips the parameters' gradients by that rule, in place; None if it does not clip."""
    nn = torch.nn.utils

    def by_norm(parameters: Iterable[torch.Tensor], most: float) -> None:
        held = [p for p in parameters if p.grad is not None]
        # torch adds 1e-6 to the norm before it divides by it.
        nn.clip_grads_with_norm_(held, most, nn.get_total_norm([p.grad for p in held if p.grad is not None]) - 1e-6)

    value, norm, together = rule.clip_value, rule.clip_norm, rule.clip_global_norm
    if value is not None:
        return lambda parameters: nn.clip_grad_value_(parameters, value)
    if together is not None:
        return lambda parameters: by_norm(parameters, together)
    if norm is not None:

        def each(parameters: list[torch.Tensor]) -> None:
            for parameter in parameters:
                by_norm([parameter], norm)

        return each
    return None


_LOWER: dict[type[SGD], Callable[[Any, list[torch.nn.Parameter], bool], torch.optim.Optimizer]] = {SGD: _sgd}
