"""What samples a step consumes, by their content: prints of a model's inputs, and of what a loss compares them with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch

from xframe.recording.attach.addresses import ByAddress
from xframe.recording.attach.machine import Machine
from xframe.recording.identity import leaves
from xframe_torch.instruments.batches import is_computed
from xframe_torch.instruments.together import Together

_TARGETS = frozenset(("target", "targets", "label", "labels", "y", "y_true"))


class Contents:
    """Gives a machine the prints of what the coming step takes, once a step; where they cannot be had, none."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._together = Together()
        self._places: ByAddress[list[int]] = ByAddress()  # of targets, in a model's or a function's arguments

    def of_model(
        self, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], size: int | None
    ) -> None:
        """A model that no other calls takes these, of a batch of so many rows."""
        if "features" in self.machine.prints:
            return
        if self._places.find(module) is None:
            forward: Any = getattr(type(getattr(module, "_orig_mod", module)), "forward", None)  # a script's has none
            self._find_places(module, forward, skipped=1)
        inputs, answers = self._divided(module, args, kwargs)
        self._give("features", inputs, size)
        if answers:
            self._give("targets", answers, size)

    def of_loss(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """A loss takes these, among them predictions."""
        if "targets" in self.machine.prints:
            return
        places = self._places.find(function)
        if places is None:
            places = self._find_places(function, function, skipped=0)
        one = args[places[0]] if len(places) == 1 and places[0] < len(args) else None
        if type(one) is torch.Tensor and not one.requires_grad and _TARGETS.isdisjoint(kwargs):
            self._give("targets", (one,), self.machine.rows_used)
            return
        others, answers = self._divided(function, args, kwargs)
        if not any(isinstance(tensor, torch.Tensor) and is_computed(tensor) for tensor in answers):
            self._give("targets", answers, self.machine.rows_used)
        elif others:  # predictions came second
            self._give("targets", others[:1], self.machine.rows_used)

    def _find_places(self, called: Any, function: Callable[..., Any], *, skipped: int) -> list[int]:
        names: list[str] = []
        with suppress(TypeError, ValueError):
            names = list(inspect.signature(function).parameters)[skipped:]
        places = [place for place, name in enumerate(names) if name in _TARGETS]
        self._places.keep(called, places)
        return places

    def _divided(
        self, called: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """Arguments, those given by name in the order of names, and those of them that are targets by their names."""
        places = self._places.find(called)
        if not places and not kwargs:
            return args, ()
        places = places or []
        inputs = [value for place, value in enumerate(args) if place not in places]
        answers = [args[place] for place in places if place < len(args)]
        for name in sorted(kwargs):
            (answers if name in _TARGETS else inputs).append(kwargs[name])
        return inputs, answers

    def _give(self, name: str, data: Sequence[Any], size: int | None) -> None:
        prints = self.machine.prints
        if name in prints:
            return
        try:
            one = data[0] if len(data) == 1 else None
            if type(one) is torch.Tensor and not one.requires_grad and (shape := one.shape) and shape[0] == size:
                prints[name] = self._together.prints_of(one, shape, self.machine.identity)
                return
            tensors = [one.detach() for one in leaves(data) if isinstance(one, torch.Tensor) and not is_computed(one)]
            if size is None:
                size = next((len(tensor) for tensor in tensors if tensor.ndim), None)
            rows = [by_rows for tensor in tensors if (by_rows := _by_rows(tensor, size)) is not None]
            if rows:
                prints[name] = self._together.prints(rows, self.machine.identity)
        except Exception:  # tensors of some kind of their own: not known
            return


def _by_rows(tensor: torch.Tensor, size: int | None) -> torch.Tensor | None:
    """The tensor with its samples in the first dimension: sequences may come first, or all of their items be in it."""
    shape = tensor.shape
    if not shape or shape[0] == size:
        return tensor if shape else None
    if tensor.ndim > 1 and tensor.shape[1] == size:
        return tensor.transpose(0, 1)
    if tensor.ndim == 1 and size and len(tensor) % size == 0 and len(tensor):
        return tensor.reshape(size, -1)
    return None
