"""What samples a step consumes, by their content: prints of a model's inputs, and of what a loss compares them with."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch

from xframe.recording.attach.machine import Machine
from xframe.recording.identity import leaves
from xframe_torch.identity import prints

_TARGETS = frozenset(("target", "targets", "label", "labels", "y", "y_true"))
_SECOND = ("", "target")  # arguments of a loss that does not say


class Contents:
    """Gives a machine the prints of what the coming step takes, once a step; where they cannot be had, none."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._names: weakref.WeakKeyDictionary[Any, tuple[str, ...]] = weakref.WeakKeyDictionary()

    def of_model(
        self, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], size: int | None
    ) -> None:
        """A model that no other calls takes these, of a batch of so many rows."""
        if not (self.machine.lacks("features") or self.machine.lacks("targets")):
            return
        module = getattr(module, "_orig_mod", module)  # a compiled one's own
        inputs, answers = self._divided(type(module).forward, args, kwargs, skipped=1)
        self._give("features", inputs, size)
        if answers:
            self._give("targets", answers, size)

    def of_loss(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """A loss takes these, among them predictions."""
        if not self.machine.lacks("targets"):
            return
        others, answers = self._divided(function, args, kwargs, skipped=0)
        if not any(tensor.requires_grad for tensor in leaves([answers]) if isinstance(tensor, torch.Tensor)):
            self._give("targets", answers, self.machine.rows_used)
        elif others:  # predictions came second
            self._give("targets", others[:1], self.machine.rows_used)

    def _divided(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, skipped: int
    ) -> tuple[list[Any], list[Any]]:
        """Arguments, those given by name in the order of names, and those of them that are targets by their names."""
        names = self._names.get(function)
        if names is None:
            with suppress(TypeError, ValueError):
                names = tuple(inspect.signature(function).parameters)[skipped:]
            names = self._names[function] = names or ()
        inputs: list[Any] = []
        answers: list[Any] = []
        for place, value in enumerate(args):
            (answers if place < len(names) and names[place] in _TARGETS else inputs).append(value)
        for name in sorted(kwargs):
            (answers if name in _TARGETS else inputs).append(kwargs[name])
        return inputs, answers

    def _give(self, name: str, data: list[Any], size: int | None) -> None:
        if not data or not self.machine.lacks(name):
            return
        with suppress(Exception):  # tensors of some kind of their own: not known
            tensors = [one for one in leaves(data) if isinstance(one, torch.Tensor) and not one.requires_grad]
            if size is None:
                size = next((len(tensor) for tensor in tensors if tensor.ndim), None)
            rows = [by_rows for tensor in tensors if (by_rows := _by_rows(tensor, size)) is not None]
            made = prints(rows, self.machine.identity) if rows else None
            if made is not None:
                self.machine.consumed(name, made)


def _by_rows(tensor: torch.Tensor, size: int | None) -> torch.Tensor | None:
    """The tensor with its samples in the first dimension: sequences may come first, or all of their items be in it."""
    if not tensor.ndim or len(tensor) == size:
        return tensor if tensor.ndim else None
    if tensor.ndim > 1 and tensor.shape[1] == size:
        return tensor.transpose(0, 1)
    if tensor.ndim == 1 and size and len(tensor) % size == 0 and len(tensor):
        return tensor.reshape(size, -1)
    return None
