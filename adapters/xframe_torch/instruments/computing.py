"""What is computed with batches: models' and losses' inputs, backward passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch

from xframe.recording.attach.machine import Batch, Machine
from xframe_torch.instruments.batches import Batches, tensors_in
from xframe_torch.instruments.patches import Patches

_LOSSES = tuple(
    name
    for name in dir(torch.nn.functional)
    if (name.endswith("_loss") or name.startswith(("cross_entropy", "binary_cross_entropy", "kl_div")))
)


class _Inside(threading.local):
    """Where a thread is: in a model's or a loss's call, in a backward pass."""

    it = False
    backward = False


class Computing:
    """Gives a machine what models and losses take, and backward passes.

    What is replaced: ``Module.__call__``, the losses of ``torch.nn.functional``, ``torch.autograd.backward``.
    """

    def __init__(self, machine: Machine, batches: Batches, unscaled: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.machine = machine
        self._batches = batches
        self._unscaled = unscaled
        self._inside = _Inside()

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(torch.nn.Module, "__call__", self._seen_call)
        for name in _LOSSES:
            patches.replace(torch.nn.functional, name, self._seen_call)
        patches.replace(torch.autograd, "backward", self._seen_backward)

    def _seen_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        inside, is_compiling, is_grad_enabled = self._inside, torch.compiler.is_compiling, torch.is_grad_enabled

        def call(*args: Any, **kwargs: Any) -> Any:
            if is_compiling() or inside.it or not is_grad_enabled():
                return original(*args, **kwargs)
            inside.it = True
            try:
                self._look_at(args, kwargs)
                return original(*args, **kwargs)
            finally:
                inside.it = False

        return call

    def _look_at(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        by_loss, size = None, None
        for tensor in tensors_in((args, kwargs)):
            if by_loss is None:
                by_loss = tensor.requires_grad
            if tensor.requires_grad:
                continue
            if (batch := self._batches.batch_of(tensor)) is not None:
                self.machine.used(batch, by_loss=by_loss)
                return
            if size is None and tensor.ndim:
                size = tensor.shape[0]
        if by_loss is False and size is not None:
            self.machine.used(Batch(None, size))

    def _seen_backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if self._inside.backward:
                return original(tensors, *args, **kwargs)
            inside, self._inside.it, self._inside.backward = self._inside.it, True, True
            try:
                returned = original(tensors, *args, **kwargs)
            finally:
                self._inside.it, self._inside.backward = inside, False
            loss = next(tensors_in(tensors), None)
            if loss is not None:
                loss = self._unscaled(loss)
                self.machine.backward(loss.detach().reshape(()) if loss.numel() == 1 else None)
            return returned

        return backward
