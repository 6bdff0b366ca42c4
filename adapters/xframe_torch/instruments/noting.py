"""Notes what is set as it comes into use: each optimizer, schedule, loss, loader and model once, in that order."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import torch
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader
from torch.utils.weak import WeakIdKeyDictionary

from xframe.recording.attach.machine import Machine
from xframe.recording.attach.patches import Patches
from xframe_torch import settings

F = TypeVar("F", bound=Callable[..., Any])
_MOST = 32  # of a kind


def _if_it_can(method: F) -> F:
    """Settings of objects that are of no usual kind may not be readable: they are not known then."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with suppress(Exception):
            return method(*args, **kwargs)

    return cast("F", call)


class Noting:
    """Gives a machine the settings of what a training uses.

    What is replaced: ``__init__`` of the schedules of ``torch.optim.lr_scheduler``.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._noted: dict[str, list[Any]] = {}  # by kind, what it was known by
        self._models: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()
        self._weights = WeakIdKeyDictionary()
        self._losses: set[tuple[Any, ...]] = set()
        self._schedules: list[weakref.ref[Any]] = []

    def attach(self, patches: Patches) -> None:
        """From now on."""
        for schedule in settings.SCHEDULES:
            if "__init__" in vars(schedule):
                patches.replace(schedule, "__init__", self._seen_schedule)

    def _name(self, kind: str, key: Any) -> str | None:
        """Under which name to note something, which is known by ``key``; None if it was noted, or is one too many."""
        noted = self._noted.setdefault(kind, [])
        if key in noted or len(noted) >= _MOST:
            return None
        noted.append(key)
        return kind if len(noted) == 1 else f"{kind}.{len(noted) - 1}"

    def _note(self, kind: str, found: Mapping[str, Any], key: Any = None) -> None:
        name = self._name(kind, found if key is None else key)
        if name is not None:
            self.machine.settings({f"{name}.{each}": value for each, value in found.items()})

    @_if_it_can
    def model(self, module: torch.nn.Module) -> None:
        """A model that computes for a training, before it does."""
        if module in self._models:
            return
        self._models.add(module)
        mine = [p for p in module.parameters() if p not in self._weights and not is_lazy(p)]
        if not mine:
            return
        first = "model" not in self._noted
        found = settings.model(module)
        name = self._name("model", id(module))
        if name is None:
            return
        noted = {f"{name}.{each}": value for each, value in found.items()}
        if first:
            noted |= settings.environment(next(p.device.type for p in mine), mine[0].dtype)
        for kind, each in settings.layers(module, self._weights):
            number = len(self._noted.setdefault(f"numbered {kind}", []))
            self._noted[f"numbered {kind}"].append(None)
            noted |= {f"{kind}.{number}.{name}": value for name, value in each.items()}
        self._weights.update(dict.fromkeys(mine))
        self.machine.settings(noted)

    @_if_it_can
    def optimizer(self, optimizer: torch.optim.Optimizer, scaler: Any = None) -> None:
        """An optimizer that is about to step for the first time, or has another number of groups."""
        key = id(optimizer), len(optimizer.param_groups)
        known = self._noted.setdefault("optimizer", [])
        before = next((number for number, (each, _) in enumerate(known) if each == key[0]), None)
        if before is not None:
            known[before] = key
        name = self._name("optimizer", key) if before is None else settings.numbered("optimizer", before)
        if name is None:
            return
        found = settings.optimizer(optimizer, scaler)
        self.machine.settings({f"{name}.{each}": value for each, value in found.items()})
        for schedule in self._schedules:
            if (seen := schedule()) is not None and getattr(seen, "optimizer", None) is optimizer:
                self._note("schedule", settings.schedule(seen))
        if before is None and not self._schedules and hasattr(optimizer.step, "_wrapped_by_lr_sched"):
            for seen in settings.schedules_of(optimizer):
                self._note("schedule", settings.schedule(seen))

    @_if_it_can
    def clipping(self, optimizer: torch.optim.Optimizer, found: Mapping[str, Any]) -> None:
        """How an optimizer's gradients were clipped."""
        known = [each for each, _ in self._noted.get("optimizer", [])]
        if id(optimizer) in known:
            name = settings.numbered("optimizer", known.index(id(optimizer)))
            self.machine.settings({f"{name}.{each}": value for each, value in found.items()})

    def _seen_schedule(self, original: Any) -> Any:
        def init(schedule: Any, *args: Any, **kwargs: Any) -> None:
            original(schedule, *args, **kwargs)
            if not any(known() is schedule for known in self._schedules):
                self._schedules.append(weakref.ref(schedule))

        return init

    @_if_it_can
    def loss(
        self, name: str, function: Any, reduction: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        """A loss of torch's own that a training computes."""
        key = name, reduction, kwargs.get("label_smoothing"), kwargs.get("weight") is None
        if key not in self._losses and len(self._losses) < _MOST:
            self._losses.add(key)
            self._note("loss", settings.loss(name, function, reduction, args, kwargs))

    def loader(self, loader: DataLoader[Any]) -> Mapping[str, Any]:
        """The settings of a loader that a training draws from; none if they were noted."""
        return self._loader(loader) or {}

    @_if_it_can
    def _loader(self, loader: DataLoader[Any]) -> Mapping[str, Any]:
        found = settings.loader(loader)
        name = self._name("loader", found)
        return {} if name is None else {f"{name}.{each}": value for each, value in found.items()}
