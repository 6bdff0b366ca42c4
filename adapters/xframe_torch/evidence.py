"""The evidence that an update was applied: what the optimizer did to the weights, and not who called it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

_MARKED = 1024  # elements of a weight that are looked at, or a row's


def weights_mark(weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """The squares of each weight's first elements, added up, on the first one's device: replicas alike have the same.

    Squares, since a softmax's weights move so that their sum stays.
    """
    with torch.no_grad():
        norms = torch._foreach_norm([_few(weight.detach()) for weight in weights], 2, torch.float64)
        first = norms[0].device
        together: torch.Tensor = torch.stack([norm.to(first) for norm in norms]).square().sum()
        return together


def _few(weight: torch.Tensor) -> torch.Tensor:
    """Its first elements, as they are in memory, whatever its layout."""
    while weight.numel() > _MARKED and weight.dim():
        row = weight[0].numel()
        if row >= _MARKED and weight.dim() > 1:
            weight = weight[0]
        else:
            return weight[: _MARKED // row]
    return torch.view_as_real(weight) if weight.is_complex() else weight


class UpdateCounter:
    """Counts the updates an optimizer has applied, by what they did and not by who called.

    ``attempts`` counts calls of ``optimizer.step`` that returned; under a gradient scaler, calls of ``scaler.step``,
    which calls the optimizer only if no gradient has overflowed. ``applied`` counts those after which a parameter
    with a gradient had been written to: its version, which torch raises at every write in place, had moved.
    Fused optimizers write without raising it, and take the scaler's verdict inside their kernel; there a step with
    a gradient counts unless ``found_inf`` is set, and ``applied`` is a tensor where a scaler is at work. No host
    sync, no random number.

    ``optimizer.step(closure)``, as Lightning always calls it, is one update however often the closure is called; the
    gradients are looked at when it has first returned, wherever ``zero_grad`` stands. A wrapper that has the torch
    optimizer in ``optimizer``, as Accelerate's and Lightning's do, is looked into, and its ``scaler`` taken.

    It sees that weights with a gradient were written to, and not what was written. So an update counts as applied at a
    learning rate of 0, with gradients that were zeroed in place (``set_to_none=False``), and if it is undone later.
    Weights that are written to in any other way than through this optimizer's ``step`` are not seen.

    Raises:
        ValueError: an optimizer is capturable; it could be called from a CUDA graph, where nothing can look.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None = None) -> None:
        while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
            optimizer, scaler = inner, scaler or getattr(optimizer, "scaler", None)
        self.applied: Any = 0
        self.attempts = 0
        if any(group.get("capturable") for group in optimizer.param_groups):
            raise ValueError("UpdateCounter cannot see the updates of capturable optimizers")
        self.evidence = (
            "fused optimizer's step hook, with a gradient present and found_inf not set"
            if any(group.get("fused") for group in optimizer.param_groups)
            else "optimizer step hook, with a gradient present and a parameter's version moved"
        )
        self._watched: torch.Tensor | None = None  # a parameter with a gradient
        self._fused = False  # it is in a group that writes without raising its version
        self._before: int | None = None  # its version; None if no parameter has a gradient
        self._overflow: torch.Tensor | None = None
        self._scaled = scaler is not None
        self._undo: Callable[[], object] | None = None  # puts the scaler's own step back
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._look_again),
        ]
        if scaler is not None:
            self._count_attempts(optimizer, scaler)

    def _count_attempts(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        honest = scaler.step

        def step(stepped: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
            returned = honest(stepped, *args, **kwargs)
            self.attempts += getattr(stepped, "optimizer", stepped) is optimizer
            return returned

        scaler.step = step  # type: ignore[method-assign, assignment]
        self._undo = lambda: vars(scaler).get("step") is step and vars(scaler).pop("step")

    def remove(self) -> None:
        """Counts no more."""
        for hook in self._hooks:
            hook.remove()
        if self._undo is not None:
            self._undo()

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        """Looks at the gradients; a closure makes them anew, and is replaced by one that looks after it."""
        self._look(optimizer)
        if len(args) == 1 and not kwargs:  # the commonest; the first is the optimizer
            return None
        if kwargs.get("closure") is not None:
            return args, {**kwargs, "closure": self._looked_after(optimizer, kwargs["closure"])}
        if len(args) > 1 and args[1] is not None:
            return (args[0], self._looked_after(optimizer, args[1]), *args[2:]), kwargs
        return None

    def _looked_after(self, optimizer: torch.optim.Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        calls = 0

        def closed() -> Any:
            nonlocal calls
            returned = closure()
            if not calls:  # at a later call, as LBFGS makes them, weights have been written to
                self._look(optimizer)
            calls += 1
            return returned

        return closed

    def _look(self, optimizer: torch.optim.Optimizer) -> None:
        # One suffices: an optimizer writes to all parameters that have a gradient, or to none.
        watched = self._watched
        if watched is None or watched.grad is None:
            every = ((p, group) for group in optimizer.param_groups for p in group["params"])
            watched, group = next(((p, group) for p, group in every if p.grad is not None), (None, {}))
            self._watched, self._fused = watched, bool(group.get("fused"))
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
