"""What optimizers do: steps taken and updates applied, with gradient scalers or without, and their gradients' norms."""

from __future__ import annotations

import itertools
import math
import types
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import Any, cast

import torch
from torch.nn.utils import clip_grad
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from xframe.recording.attach.machine import Machine
from xframe.recording.attach.patches import Patches, harmless
from xframe_torch.evidence import UpdateCounter
from xframe_torch.instruments.noting import Noting

numbers = itertools.count()  # an optimizer's address may be another's later
Norms = tuple[torch.Tensor | float, torch.Tensor | float]
_SPARSE, _ON_CPU = attrgetter("is_sparse"), attrgetter("is_cpu")
_FEW = 16  # numbers on the CPU that Python adds in less time than two operations take


class Updates:
    """Gives a machine what optimizers do.

    Optimizers are seen by torch's own global hooks. What is replaced: ``GradScaler.step``, ``scale`` and ``unscale_``,
    ``clip_grad_norm_`` and ``clip_grad_value_``, and ``zero_grad`` of optimizers and modules.
    """

    def __init__(self, machine: Machine, noting: Noting) -> None:
        self.machine = machine
        self.clipped: dict[torch.Tensor, torch.Tensor] = {}  # gradients' norms before they were clipped, by parameter
        self._noting = noting
        self._counters: weakref.WeakKeyDictionary[torch.optim.Optimizer, _Counter | _Blind] = (
            weakref.WeakKeyDictionary()
        )
        self._scaled: tuple[weakref.ref[torch.Tensor], torch.Tensor] | None = None
        self._clipping: list[tuple[str, float, int]] = []  # what was clipped since the last backward pass

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(torch.amp.GradScaler, "scale", self._seen_scale)
        patches.replace(torch.amp.GradScaler, "unscale_", self._seen_unscale)
        patches.replace(torch.amp.GradScaler, "step", self._seen_scaler_step)
        patches.replace_inner(clip_grad.clip_grad_norm_, self._seen_clipping("norm"))
        patches.replace_inner(clip_grad.clip_grad_value_, self._seen_clipping("value"))
        for kind in (torch.optim.Optimizer, torch.nn.Module):
            patches.replace(kind, "zero_grad", self._seen_zeroing)
        patches.add(self._remove)
        patches.add(register_optimizer_step_pre_hook(self._before_step).remove)
        patches.add(register_optimizer_step_post_hook(self._after_step).remove)

    def _remove(self) -> None:
        for counter in self._counters.values():
            counter.remove()

    def forget_clipping(self) -> None:
        """Gradients are other ones now."""
        if self.clipped:
            self.clipped.clear()
            self._clipping.clear()

    def _seen_clipping(self, kind: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def seen(original: Callable[..., Any]) -> Callable[..., Any]:
            def clip(parameters: Any, *args: Any, **kwargs: Any) -> Any:
                several = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
                self._clips(kind, several, args, kwargs)
                if isinstance(parameters, types.GeneratorType):
                    parameters = (p for p in several)
                return original(parameters, *args, **kwargs)

            return clip

        return seen

    @harmless
    def _clips(self, kind: str, several: list[torch.Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Gradients are about to be clipped."""
        graded = [p for p in several if p.grad is not None]
        for parameter, norm in zip(graded, norms_of([p.grad for p in graded]), strict=True):
            self.clipped.setdefault(parameter, norm)
        limit = args[0] if args else kwargs.get("max_norm" if kind == "norm" else "clip_value", 0)
        order = kwargs.get("norm_type", args[1] if len(args) > 1 and kind == "norm" else 2.0)
        self._clipping.append((kind if order == 2 else f"{kind}_{order}", float(limit), len(graded)))

    def _seen_zeroing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        machine = self.machine

        def zero_grad(owner: Any, *args: Any, **kwargs: Any) -> Any:
            machine.zeroed = id(owner)
            return original(owner, *args, **kwargs)

        return zero_grad

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

    def _seen_unscale(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def unscale_(scaler: Any, optimizer: Any) -> Any:
            returned = original(scaler, optimizer)
            if self.clipped and scaler.is_enabled():  # what was clipped before was too large by the scale
                for parameter in parameters_of(optimizer):
                    if parameter in self.clipped:
                        self.clipped[parameter] = self.clipped[parameter] / scaler._scale
            return returned

        return unscale_

    def _seen_scaler_step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if optimizer not in self._counters and isinstance(optimizer, torch.optim.Optimizer):
                self._count(optimizer, scaler)
                return scaler.step(optimizer, *args, **kwargs)  # the counter's own now, which comes here again
            return original(scaler, optimizer, *args, **kwargs)

        return step

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if kwargs or args[1:]:  # what computes gradients
            self.machine.within = object()
        if optimizer not in self._counters:
            self._count(optimizer, None)

    @harmless
    def _after_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        counter = self._counters[optimizer]
        self.machine.within = None
        self.machine.stepped(counter.number, optimizer.param_groups[0]["lr"], counter.take_norms())
        if self._clipping:
            self._note_clipping(optimizer)

    def _note_clipping(self, optimizer: torch.optim.Optimizer) -> None:
        several = sum(kind.startswith("norm") for kind, _, _ in self._clipping) > 1
        found = {}
        for kind, limit, count in self._clipping:
            alone = several and count == 1 and kind == "norm"  # one tensor after the other
            found[f"clip_global_{kind}" if kind == "norm" and not alone else f"clip_{kind}"] = limit
        counter = self._counters[optimizer]
        if counter.clipping != found:
            counter.clipping = found
            self._noting.clipping(optimizer, found)

    @harmless
    def _count(self, optimizer: torch.optim.Optimizer, scaler: Any) -> None:
        try:
            counter: _Counter | _Blind = _Counter(optimizer, scaler, self.clipped)
        except ValueError:  # it could run where nothing can look
            counter = _Blind()
        self._counters[optimizer] = self.machine.counters[counter.number] = counter
        self.machine.evidence = counter.evidence
        self._noting.optimizer(optimizer, scaler)


class _Blind:
    """Stands for the counter of an optimizer whose updates nothing can see."""

    applied = attempts = None
    evidence = "none: an optimizer is capturable"

    def __init__(self) -> None:
        self.number = next(numbers)
        self.clipping: dict[str, float] = {}

    def take_norms(self) -> None:
        """None."""

    def remove(self) -> None:
        """Nothing to undo."""


class _Counter(UpdateCounter):
    """Counts an optimizer's updates, and takes its gradients' norms when it looks at them."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, scaler: Any, clipped: dict[torch.Tensor, torch.Tensor]
    ) -> None:
        super().__init__(optimizer, scaler)
        self.number = next(numbers)
        self.clipping: dict[str, float] = {}
        self._clipped = clipped
        self._norms: Norms | None = None
        self._parameters: list[torch.Tensor] = []
        self._groups: tuple[int, ...] = ()
        self._graded = 0  # parameters that had a gradient
        self._simple = False  # they are few, dense, and on the CPU

    def take_norms(self) -> Norms | None:
        """Of the last step: all gradients' norm before clipping, and as the optimizer got them."""
        norms, self._norms = self._norms, None
        return norms

    def _look(self, optimizer: torch.optim.Optimizer) -> None:
        super()._look(optimizer)
        groups = tuple([len(group["params"]) for group in optimizer.param_groups])
        if groups != self._groups:
            self._groups, self._parameters = groups, list(parameters_of(optimizer))
        graded = [p for p in self._parameters if p.grad is not None]
        if graded:
            first: Any = graded[0].grad
            with torch.no_grad() if first.requires_grad else nullcontext():
                self._norms = self._norms_of(graded, getattr(optimizer, "grad_scale", None))

    def _norms_of(self, graded: list[torch.Tensor], scale: torch.Tensor | None) -> Norms:
        if len(graded) != self._graded:
            self._graded = len(graded)
            self._simple = len(graded) <= _FEW and all(p.is_cpu and not cast(Any, p.grad).is_sparse for p in graded)
        if self._simple and scale is None and not self._clipped:  # the commonest, which is to take no time
            gradients: list[Any] = [p.grad for p in graded]
            whole = math.hypot(*[norm.item() for norm in torch._foreach_norm(gradients)])
            return whole, whole
        norms = norms_of([p.grad for p in graded])
        before = after = together(norms)
        if self._clipped:
            before = together([self._clipped.get(p, norm) for p, norm in zip(graded, norms, strict=True)])
        # A fused optimizer divides by the scale itself.
        return (before, after) if scale is None else (before / scale, after / scale)


def parameters_of(optimizer: torch.optim.Optimizer) -> Iterable[torch.Tensor]:
    """All that it updates."""
    return (p for group in optimizer.param_groups for p in group["params"])


def norms_of(tensors: Sequence[Any]) -> Sequence[torch.Tensor]:
    """The L2 norm of each."""
    if not any(map(_SPARSE, tensors)):
        return torch._foreach_norm(list(tensors)) if tensors else []
    return [tensor.coalesce().values().norm() if tensor.is_sparse else tensor.norm() for tensor in tensors]


def together(norms: Sequence[torch.Tensor]) -> torch.Tensor | float:
    """The norm of all from those of each."""
    if len(norms) <= _FEW and all(map(_ON_CPU, norms)):
        return math.hypot(*[norm.item() for norm in norms])
    if len(norms) == 1:
        return norms[0]
    first = norms[0].device
    all_there = [norm if norm.device == first else norm.to(first) for norm in norms]
    whole: torch.Tensor = torch.linalg.vector_norm(torch.stack(all_there))
    return whole
