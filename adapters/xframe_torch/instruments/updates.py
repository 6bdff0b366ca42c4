"""What optimizers do: steps taken and updates applied, with gradient scalers or without."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from xframe.recording.attach.machine import Machine
from xframe_torch.evidence import UpdateCounter
from xframe_torch.instruments.patches import Patches


class Updates:
    """Gives a machine what optimizers do.

    Optimizers are seen by torch's own global hooks. What is replaced: ``GradScaler.step`` and ``scale``.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._counters: weakref.WeakKeyDictionary[torch.optim.Optimizer, UpdateCounter] = weakref.WeakKeyDictionary()
        self._scaled: tuple[weakref.ref[torch.Tensor], torch.Tensor] | None = None

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(torch.amp.GradScaler, "scale", self._seen_scale)
        patches.replace(torch.amp.GradScaler, "step", self._seen_scaler_step)
        patches.add(register_optimizer_step_pre_hook(self._before_step).remove)
        patches.add(register_optimizer_step_post_hook(self._after_step).remove)

    def _seen_scale(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def scale(scaler: Any, outputs: Any) -> Any:
            scaled = original(scaler, outputs)
            if isinstance(outputs, torch.Tensor) and scaled is not outputs:
                self._scaled = (weakref.ref(scaled), outputs.detach())
            return scaled

        return scale

    def unscaled(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss as it was before a gradient scaler took it."""
        return self._scaled[1] if self._scaled is not None and self._scaled[0]() is loss else loss

    def _seen_scaler_step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if optimizer not in self._counters:
                self._count(optimizer, scaler)
                return scaler.step(optimizer, *args, **kwargs)  # the counter's own now, which comes here again
            return original(scaler, optimizer, *args, **kwargs)

        return step

    def _before_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        if optimizer not in self._counters:
            self._count(optimizer, None)

    def _after_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        self.machine.stepped(id(optimizer), optimizer.param_groups[0]["lr"])

    def _count(self, optimizer: torch.optim.Optimizer, scaler: Any) -> None:
        counter = UpdateCounter(optimizer, scaler)
        self._counters[optimizer] = self.machine.counters[id(optimizer)] = counter
        self.machine.evidence = counter.evidence
