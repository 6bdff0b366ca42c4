"""What is computed with batches: models' and losses' inputs, backward passes."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.modules.loss import _Loss

from xframe.recording.attach.machine import Batch, Machine
from xframe.recording.attach.patches import Patches, harmless
from xframe_torch import settings
from xframe_torch.instruments.batches import Batches, is_computed, tensors_in
from xframe_torch.instruments.contents import Contents
from xframe_torch.instruments.dividing import Mean
from xframe_torch.instruments.keras import Keras
from xframe_torch.instruments.noting import Noting
from xframe_torch.instruments.updates import Updates
from xframe_torch.settings import LOSSES, reduction_of

_transformed = torch._C._functorch.peek_interpreter_stack  # by torch.func: such tensors have no storage of their own


class _Inside(threading.local):
    """Where a thread is: in a model's or a loss's call, in a loss of torch's own, in a backward pass."""

    it = False
    loss = False
    backward = False
    mean: Mean | None = None  # that a loss gave, until its backward pass
    evaluating: bool | None = (
        None  # if the model that computed last may do so for an evaluation: with gradients or without
    )


class Computing:
    """Gives a machine what models and losses take, and backward passes.

    What is replaced: ``Module.__call__``, the losses of ``torch.nn.functional``, ``torch.autograd.backward`` and
    ``grad``.
    """

    def __init__(self, machine: Machine, batches: Batches, updates: Updates, noting: Noting) -> None:
        self.machine = machine
        self._batches = batches
        self._noting = noting
        self._updates = updates
        self._inside = _Inside()
        self._contents = Contents(machine)
        self.keras = Keras(machine, noting, self)

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(torch.nn.Module, "__call__", self._seen_module)
        for name in LOSSES:
            patches.replace_function(torch.nn.functional, name, self._seen_loss(name))
        patches.replace_function(torch.autograd, "backward", self._seen_backward)
        patches.replace_function(torch.autograd, "grad", self._seen_grad)
        self.keras.attach(patches)

    def _seen_module(self, original: Callable[..., Any]) -> Callable[..., Any]:
        inside, is_compiling = self._inside, torch.compiler.is_compiling

        def call(module: torch.nn.Module, /, *args: Any, **kwargs: Any) -> Any:
            if is_compiling() or inside.it or _transformed() is not None:
                return original(module, *args, **kwargs)
            inside.it = True
            try:
                self.keras.look()
                self._model(module, args, kwargs)
                return original(module, *args, **kwargs)
            finally:
                inside.it = False

        return call

    @harmless
    def _model(self, module: torch.nn.Module, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """A module that no other calls is about to compute."""
        batch, by_loss = self._batch_of(args, kwargs)
        if by_loss is None:
            return
        by_loss |= isinstance(module, _Loss)
        training = module.training
        if torch.is_grad_enabled():
            if batch is not None:
                self.machine.used(batch, by_loss=by_loss)
            if isinstance(module, _Loss):
                return
            if batch is not None and not by_loss:
                self._contents.of_model(module, args, kwargs, batch.size)
            elif by_loss:
                self._contents.of_loss(type(module).forward, (module, *args), kwargs)
            if not by_loss or self.machine.training is None:
                self.machine.called(training=training)
            self._noting.model(module)
            self._inside.evaluating = None if training else True
        elif next(module.parameters(), None) is not None:  # a loss has none
            self._inside.evaluating = False
        else:
            return
        if self._inside.evaluating is not None and not by_loss and batch is not None:
            self.machine.evaluated(batch)

    def _batch_of(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Batch | None, bool | None]:
        """The batch that these are of, and whether they look like a loss's: the first comes of a computation.

        None: nothing is computed, only shapes are.
        """
        by_loss, size = None, None
        for tensor in tensors_in((args, kwargs) if kwargs else args):
            if by_loss is None:
                if tensor.is_meta:
                    return None, None
                by_loss = is_computed(tensor)
            if is_computed(tensor):
                continue
            if (batch := self._batches.batch_of(tensor)) is not None:
                return batch, by_loss
            if size is None and tensor.ndim:
                size = tensor.shape[0]
        return (None if by_loss or size is None else Batch(None, size)), bool(by_loss)

    def _seen_loss(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def seen(original: Callable[..., Any]) -> Callable[..., Any]:
            reduction = reduction_of(original)

            def computed(value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
                how, given = reduction(args, kwargs), args[0] if args else kwargs.get("input")
                key = name, how, kwargs.get("label_smoothing"), kwargs.get("weight") is None
                self.loss(value, how, given, key, functools.partial(settings.loss, name, original, how, args, kwargs))

            return self.looked_at(original, computed)

        return seen

    def looked_at(
        self, original: Callable[..., Any], computed: Callable[[Any, Sequence[Any], dict[str, Any]], None]
    ) -> Callable[..., Any]:
        """A loss that reports what it takes, and in the end calls ``computed``; those inside it are not looked at."""
        inside, is_compiling = self._inside, torch.compiler.is_compiling

        def loss(*args: Any, **kwargs: Any) -> Any:
            if is_compiling() or inside.loss or _transformed() is not None:
                return original(*args, **kwargs)
            inside.loss = True
            try:
                if torch.is_grad_enabled():
                    self._taken_by_loss(original, args, kwargs)
                value = original(*args, **kwargs)
            finally:
                inside.loss = False
            computed(value, args, kwargs)
            return value

        return loss

    @harmless
    def _taken_by_loss(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        if not self._inside.it:
            batch, _ = self._batch_of(args, kwargs)
            if batch is not None:
                self.machine.used(batch, by_loss=True)
        self._contents.of_loss(function, args, kwargs)

    @harmless
    def loss(
        self, value: Any, reduction: str | None, given: Any, key: Any, found: Callable[[], Mapping[str, Any]]
    ) -> None:
        """A loss was computed of predictions that were given; by its key it is known, and its settings can be found."""
        if value.is_meta:
            return
        rows = given.shape[0] if isinstance(given, torch.Tensor) and given.ndim else None
        mean = reduction in ("mean", "batchmean")
        if torch.is_grad_enabled() and value.requires_grad:
            self._noting.loss(key, found)
            self.machine.averaged(rows if mean else None)
            if mean and value.ndim == 0 and self._inside.evaluating is None:
                self._inside.mean = Mean(value)
        if self._inside.evaluating == value.requires_grad and value.ndim == 0:
            value = value.detach()
            self.machine.evaluated_loss(value if mean or not rows else value / rows, rows if reduction else None)

    def _seen_backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        inside = self._inside

        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if inside.backward:
                return original(tensors, *args, **kwargs)
            it, inside.it, inside.backward = inside.it, True, True
            loss = self._loss_of(tensors)
            try:
                returned = original(tensors, *args, **kwargs)
            finally:
                inside.it, inside.backward = it, False
            self._computed_gradients(loss)
            return returned

        return backward

    def _seen_grad(self, original: Callable[..., Any]) -> Callable[..., Any]:
        inside = self._inside

        def grad(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            returned = original(outputs, inputs, *args, **kwargs)
            again = kwargs.get("create_graph", len(args) > 2 and args[2])
            # Of weights: somebody applies them. Of inputs they are a penalty's, or a picture of what matters.
            of_weights = any(isinstance(tensor, torch.nn.Parameter) for tensor in tensors_in(inputs))
            if of_weights and not (again or inside.backward or torch.compiler.is_compiling()):
                self._computed_gradients(next(tensors_in(outputs), None))
            return returned

        return grad

    @harmless
    def _loss_of(self, tensors: Any) -> torch.Tensor | None:
        """The loss of which gradients are about to be computed, as it was before it was scaled and divided."""
        mean, self._inside.mean = self._inside.mean, None
        given = next(tensors_in(tensors), None)
        if given is None:
            return None
        loss = self._updates.unscaled(given)
        undivided = None if mean is None else mean.divided(given, scaled=loss is not given)
        return loss if undivided is None else undivided

    @harmless
    def _computed_gradients(self, loss: torch.Tensor | None) -> None:
        self._inside.evaluating = None
        self._updates.forget_clipping()
        if loss is not None and not loss.is_meta:
            one = loss.detach() if loss.numel() == 1 else None
            self.machine.backward(one.reshape(()) if one is not None and one.ndim else one)
