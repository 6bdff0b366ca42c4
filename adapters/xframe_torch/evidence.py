"""The evidence that an update was applied: what the optimizer did to the weights, and not who called it."""

from __future__ import annotations

from typing import Any

import torch


class UpdateCounter:
    """Counts the updates an optimizer has applied, by what they did and not by who called.

    ``attempts`` counts calls of ``optimizer.step`` that returned; under a gradient scaler, calls of ``scaler.step``,
    which calls the optimizer only if no gradient has overflowed. ``applied`` counts those after which a parameter
    with a gradient had been written to: its version, which torch raises at every write in place, had moved.
    Fused optimizers write without raising it, and take the scaler's verdict inside their kernel; there a step with
    a gradient counts unless ``found_inf`` is set, and ``applied`` is a tensor where a scaler is at work. No host
    sync, no random number.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None = None) -> None:
        self.applied: Any = 0
        self.attempts = 0
        self._fused = any(group.get("fused") for group in optimizer.param_groups)
        if any(group.get("capturable") for group in optimizer.param_groups):
            raise ValueError("UpdateCounter cannot see the updates of capturable optimizers")
        self.evidence = (
            "fused optimizer's step hook, with a gradient present and found_inf not set"
            if self._fused
            else "optimizer step hook, with a gradient present and a parameter's version moved"
        )
        self._watched: torch.Tensor | None = None  # a parameter with a gradient
        self._before: int | None = None  # its version; None if no parameter has a gradient
        self._overflow: torch.Tensor | None = None
        self._scaled = scaler is not None
        self._hooks = (
            optimizer.register_step_pre_hook(self._look),
            optimizer.register_step_post_hook(self._look_again),
        )
        if scaler is not None:
            self._count_attempts(optimizer, scaler)

    def _count_attempts(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        honest = scaler.step

        def step(stepped: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
            returned = honest(stepped, *args, **kwargs)
            self.attempts += stepped is optimizer
            return returned

        scaler.step = step  # type: ignore[method-assign, assignment]

    def _look(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        # One suffices: an optimizer writes to all parameters that have a gradient, or to none.
        watched = self._watched
        if watched is None or watched.grad is None:
            parameters = (p for group in optimizer.param_groups for p in group["params"])
            watched = self._watched = next((p for p in parameters if p.grad is not None), None)
        self._before = None if watched is None else watched._version
        if self._scaled:  # there only while a scaler calls a fused optimizer
            self._overflow = getattr(optimizer, "found_inf", None)

    def _look_again(self, *_: Any) -> None:
        self.attempts += not self._scaled
        if self._watched is None:
            return
        if not self._fused:
            self.applied += self._watched._version != self._before
        else:
            # Out of place: what was handed out earlier must not change.
            self.applied = self.applied + (1 if self._overflow is None else (self._overflow == 0).sum())
