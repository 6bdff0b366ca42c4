"""What optimizers do: steps taken and updates applied, with gradient scalers or without, and their gradients' norms."""

from __future__ import annotations

import itertools
import math
import types
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isclose
from operator import attrgetter
from typing import Any

import torch
from torch.nn.utils import clip_grad
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from xframe.recording.attach.machine import Machine
from xframe.recording.attach.patches import Patches, harmless
from xframe_torch.evidence import UpdateCounter, weights_mark
from xframe_torch.instruments.capturing import Capturing
from xframe_torch.instruments.noting import Noting
from xframe_torch.instruments.stating import Stating

numbers = itertools.count()  # an optimizer's address may be another's later
Norms = tuple[torch.Tensor | float, torch.Tensor | float]
_SPARSE, _ON_CPU = attrgetter("is_sparse"), attrgetter("is_cpu")
_NUMBER: Any = torch.Tensor.tolist  # of a scalar on the CPU; unlike ``item`` it is no operation
_OWN = 1e-4  # between two ways of computing a norm; some take 1e-6 from it
_FEW = 16  # numbers on the CPU that Python adds in less time than two operations take


class Updates:
    """Gives a machine what optimizers do.

    Optimizers are seen by torch's own global hooks. What is replaced: ``GradScaler.step``, ``scale`` and ``unscale_``,
    ``clip_grad_norm_``, ``clip_grads_with_norm_``, ``get_total_norm`` and ``clip_grad_value_``, and ``zero_grad`` of
    optimizers and modules.
    """

    def __init__(self, machine: Machine, noting: Noting) -> None:
        self.machine = machine
        self.capturing = Capturing(machine)
        self.stating = Stating(machine)
        self.clipped: dict[torch.Tensor, torch.Tensor] = {}  # gradients' norms before they were clipped, by parameter
        self._noting = noting
        self._counters: dict[int, _Counter | _Blind] = {}  # by the optimizer's address, if it is still that one's
        self._scaled: tuple[weakref.ref[torch.Tensor], torch.Tensor] | None = None
        self._clipping: list[tuple[str, float, int]] = []  # what was clipped since the last backward pass
        self._unsure: list[_Counter | _Blind] = []  # of optimizers that have stepped once
        self._inside = False  # a function of torch that clips, and calls another
        self._order = 2.0  # of the norm that was computed last

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(torch.amp.GradScaler, "scale", self._seen_scale)
        patches.replace(torch.amp.GradScaler, "unscale_", self._seen_unscale)
        patches.replace(torch.amp.GradScaler, "step", self._seen_scaler_step)
        patches.replace_inner(clip_grad.clip_grad_norm_, self._seen_clipping("norm"))
        patches.replace_inner(clip_grad.clip_grad_value_, self._seen_clipping("value"))
        patches.replace_inner(clip_grad._get_total_norm, self._seen_total)
        patches.replace_inner(clip_grad._clip_grads_with_norm_, self._seen_clipping("by"))
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
                if self._inside:
                    return original(parameters, *args, **kwargs)
                several = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
                self._clips(kind, several, args, kwargs)
                if isinstance(parameters, types.GeneratorType):
                    parameters = (p for p in several)
                self._inside = True
                try:
                    return original(parameters, *args, **kwargs)
                finally:
                    self._inside = False

            return clip

        return seen

    def _seen_total(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def total(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            self._order = float(kwargs.get("norm_type", args[0] if args else 2.0))
            return original(tensors, *args, **kwargs)

        return total

    @harmless
    def _clips(self, kind: str, several: list[torch.Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Gradients are about to be clipped."""
        graded = [p for p in several if p.grad is not None]
        norms, of = norms_of([p.grad for p in graded]), len(graded)
        for parameter, norm in zip(graded, norms, strict=True):
            self.clipped.setdefault(parameter, norm)
        limit = args[0] if args else kwargs.get("clip_value" if kind == "value" else "max_norm", 0)
        order = kwargs.get("norm_type", args[1] if len(args) > 1 and kind == "norm" else 2.0)
        if kind == "by":  # a norm that the script has computed: of these, or of more than these
            total = float(args[1] if len(args) > 1 else kwargs["total_norm"])
            own = isclose(total, float(together(norms)), rel_tol=_OWN, abs_tol=_OWN)
            kind, order, of = "norm", 2.0 if own else self._order, of if own else max(of, 2)
        self._clipping.append((kind if order == 2 else f"{kind}_{order}", float(limit), of))
        if self.capturing.on:
            self.capturing.clips(*self._clipping[-1][:2], graded)

    def _seen_zeroing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        machine = self.machine

        def zero_grad(owner: Any, *args: Any, **kwargs: Any) -> Any:
            machine.zeroed = id(owner)
            return original(owner, *args, **kwargs)

        return zero_grad

    def _seen_scale(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def scale(scaler: Any, outputs: Any) -> Any:
            scaled = original(scaler, outputs)
            if self.capturing.on:
                self.capturing.scaled_by(scaler)
            if isinstance(outputs, torch.Tensor) and scaled is not outputs:
                self._scaled = (weakref.ref(scaled), outputs.detach())
            return scaled

        return scale

    def unscaled(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss as it was before a gradient scaler took it; its gradients are about to be computed."""
        for counter in self._unsure:
            counter.look_at_kept()
        return self._scaled[1] if self._scaled is not None and self._scaled[0]() is loss else loss

    def _seen_unscale(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def unscale_(scaler: Any, optimizer: Any) -> Any:
            returned = original(scaler, optimizer)
            self.capturing.divided = True
            if self.clipped and scaler.is_enabled():  # what was clipped before was too large by the scale
                for parameter in parameters_of(optimizer):
                    if parameter in self.clipped:
                        self.clipped[parameter] = self.clipped[parameter] / scaler._scale
            return returned

        return unscale_

    def _seen_scaler_step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if self._counter(optimizer) is None and isinstance(optimizer, torch.optim.Optimizer):
                self._count(optimizer, scaler)
                return scaler.step(optimizer, *args, **kwargs)  # the counter's own now, which comes here again
            return original(scaler, optimizer, *args, **kwargs)

        return step

    def _counter(self, optimizer: Any) -> _Counter | _Blind | None:
        counter = self._counters.get(id(optimizer))
        return counter if counter is not None and counter.of() is optimizer else None

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if kwargs or len(args) > 1:  # what computes gradients
            self.machine.within = object()
        if self._counter(optimizer) is None:
            self._count(optimizer, None)

    def _after_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        try:
            counter = self._counters[id(optimizer)]
            norms, counter.norms = counter.norms, None
            counter.look_again()
            self.machine.within = None
            mark = mark_of(optimizer) if self.machine.replica[1] > 1 else None
            self.machine.stepped(counter.number, optimizer.param_groups[0]["lr"], norms, mark)
            if self.stating.states is not None:
                self.stating.stepped(optimizer, counter.number)
            if self.capturing.wanted:
                self.capturing.stepped(optimizer, counter.number)
            if self._clipping:
                self._note_clipping(optimizer, counter)
            if not counter.sure:
                self._look_at_kept(optimizer, counter)
        except Exception as error:
            self.machine.failed(error)

    def _look_at_kept(self, optimizer: torch.optim.Optimizer, counter: _Counter | _Blind) -> None:
        """Notes at an optimizer's second step whether its gradients were set to zero after the first."""
        if counter in self._unsure:
            self._unsure.remove(counter)
            counter.sure = True
            if counter.kept is not None:
                self._noting.of_optimizer(optimizer, {"zero_grad": not counter.kept})
        else:
            self._unsure.append(counter)

    def _note_clipping(self, optimizer: torch.optim.Optimizer, counter: _Counter | _Blind) -> None:
        several = sum(kind.startswith("norm") for kind, _, _ in self._clipping) > 1
        found = {}
        for kind, limit, count in self._clipping:
            alone = several and count == 1 and kind == "norm"  # one tensor after the other
            found[f"clip_global_{kind}" if kind == "norm" and not alone else f"clip_{kind}"] = limit
        if counter.clipping != found:
            counter.clipping = found
            self._noting.of_optimizer(optimizer, found)

    @harmless
    def _count(self, optimizer: torch.optim.Optimizer, scaler: Any) -> None:
        try:
            counter: _Counter | _Blind = _Counter(optimizer, scaler, self.clipped, self.capturing, self.stating)
            self.capturing.comes()
        except ValueError:  # it could run where nothing can look
            counter = _Blind(optimizer)
            self.capturing.stop("an optimizer is capturable")
        self._counters[id(optimizer)] = self.machine.counters[counter.number] = counter
        self.machine.evidence = counter.evidence
        self.machine.updates_before += _made_before(optimizer)
        self._noting.optimizer(optimizer, scaler)


def _made_before(optimizer: torch.optim.Optimizer) -> int:
    """Updates that its state counts before it makes one here, as one that was loaded does; 0 if it counts none."""
    counts = (state["step"] for state in optimizer.state.values() if isinstance(state, dict) and "step" in state)
    return int(next(counts, 0))


class _Blind:
    """Stands for the counter of an optimizer whose updates nothing can see."""

    applied = attempts = None
    evidence = "none: an optimizer is capturable"
    norms: Norms | None = None
    sure, kept = True, None

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.number, self.of = next(numbers), weakref.ref(optimizer)
        self.clipping: dict[str, float] = {}

    def look_again(self) -> None:
        """Nothing to see."""

    def look_at_kept(self) -> None:
        """Nothing to see."""

    def remove(self) -> None:
        """Nothing to undo."""


class _Counter(UpdateCounter):
    """Counts an optimizer's updates, and takes its gradients' norms when it looks at them.

    Attributes:
        of: the optimizer.
        clipping: how its gradients were clipped last.
        norms: of the step that it makes or made last: all gradients' before clipping, and as the optimizer got them.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        scaler: Any,
        clipped: dict[torch.Tensor, torch.Tensor],
        capturing: Capturing,
        stating: Stating,
    ) -> None:
        super().__init__(optimizer, scaler)
        self._hooks.pop().remove()  # whoever has counters looks again
        self.number, self.of = next(numbers), weakref.ref(optimizer)
        self.clipping: dict[str, float] = {}
        self.norms: Norms | None = None
        self._clipped, self._capturing, self._stating = clipped, capturing, stating
        self._graded = 0  # gradients that there were
        self._simple = False  # they are few, dense, and on the CPU
        self.sure = False  # the optimizer has stepped twice
        self.kept: bool | None = None  # gradients were never zero between its first two steps; None: not known

    look_again = UpdateCounter._look_again

    def look_at_kept(self) -> None:
        """Gradients are about to be computed, between its first two steps: whether there are any from before."""
        gradient = None if self._watched is None else self._watched.grad
        if gradient is None or gradient.is_cpu or not torch.cuda.is_current_stream_capturing():
            self.kept = self.kept is not False and gradient is not None and bool(norms_of([gradient])[0] != 0)

    def _look(self, optimizer: torch.optim.Optimizer) -> None:
        UpdateCounter._look(self, optimizer)
        self.norms = None
        if self._capturing.on:
            self._capturing.steps(optimizer, self.number)
        if self._stating.states is not None:
            self._stating.steps(optimizer, self.number)
        groups = optimizer.param_groups
        gradients = [gradient for group in groups for p in group["params"] if (gradient := p.grad) is not None]
        if gradients:
            if gradients[0].requires_grad:
                with torch.no_grad():
                    self.norms = self._norms_of(gradients, optimizer)
            else:
                self.norms = self._norms_of(gradients, optimizer)

    def _norms_of(self, gradients: list[torch.Tensor], optimizer: torch.optim.Optimizer) -> Norms:
        scale = getattr(optimizer, "grad_scale", None)
        if len(gradients) != self._graded:
            self._graded = len(gradients)
            self._simple = len(gradients) <= _FEW and all(one.is_cpu and not one.is_sparse for one in gradients)
        if self._simple and scale is None and not self._clipped:  # the commonest, which is to take no time
            whole = math.hypot(*map(_NUMBER, torch._foreach_norm(gradients)))
            return whole, whole
        norms = norms_of(gradients)
        before = after = together(norms)
        if self._clipped:
            graded = [p for p in parameters_of(optimizer) if p.grad is not None]
            before = together([self._clipped.get(p, norm) for p, norm in zip(graded, norms, strict=True)])
        # A fused optimizer divides by the scale itself.
        return (before, after) if scale is None else (before / scale, after / scale)


def parameters_of(optimizer: torch.optim.Optimizer) -> Iterable[torch.Tensor]:
    """All that it updates."""
    return (p for group in optimizer.param_groups for p in group["params"])


def mark_of(optimizer: torch.optim.Optimizer) -> torch.Tensor | None:
    """Of the weights that an optimizer leaves; None where each process holds a share of them."""
    trained = [p for p in parameters_of(optimizer) if p.requires_grad]
    if not trained or any(hasattr(p, "to_local") or hasattr(p, "_fsdp_flattened") for p in trained):
        return None
    return weights_mark(trained)


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
