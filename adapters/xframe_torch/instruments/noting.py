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
        self.losses: set[Any] = set()  # noted, by what each is known by
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
        mine = [p for p in module.parameters() if p not in self._weights and not is_lazy(p) and p.is_floating_point()]
        noted: dict[str, Any] = {}
        if mine and "environment" not in self._noted:
            self._noted["environment"] = []
            noted |= settings.environment(mine[0].device.type, mine[0].dtype)
        # Of Keras' layers the model is noted where it trains.
        if mine and not type(module).__module__.startswith("keras.") and (name := self._name("model", id(module))):
            noted |= {f"{name}.{each}": value for each, value in settings.model(module).items()}
        for kind, each in settings.layers(module, self._models, self._weights):
            number = len(self._noted.setdefault(f"numbered {kind}", []))
            self._noted[f"numbered {kind}"].append(None)
            noted |= {f"{kind}.{number}.{name}": value for name, value in each.items()}
        self._models.update(module.modules())
        self._weights.update(dict.fromkeys(mine))
        self.machine.settings(noted)

    @_if_it_can
    def keras_model(self, model: Any) -> None:
        """A model of Keras that trains."""
        if "keras model" not in self._noted:
            self._noted["keras model"] = []
            self._note("model", settings.model(model), id(model))

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
        seen = [each for known in self._schedules if (each := known()) is not None]
        seen = [each for each in seen if getattr(each, "optimizer", None) is optimizer]
        if before is None and not seen and hasattr(optimizer.step, "_wrapped_by_lr_sched"):
            seen = settings.schedules_of(optimizer)
        parts = [id(part) for each in seen for part in getattr(each, "_schedulers", ())]
        for each in seen:
            if id(each) not in parts:
                self._note("schedule", settings.schedule(each))

    @_if_it_can
    def of_optimizer(self, optimizer: torch.optim.Optimizer, found: Mapping[str, Any]) -> None:
        """What is done to the gradients of an optimizer that was noted."""
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
    def loss(self, key: Any, found: Callable[[], Mapping[str, Any]]) -> None:
        """A loss that a training computes: by what it is known, and its settings."""
        if key not in self.losses and len(self.losses) < _MOST:
            self.losses.add(key)
            self._note("loss", found())

    @_if_it_can
    def keras_optimizer(self, optimizer: Any, variables: Sequence[Any]) -> None:
        """An optimizer of Keras that is about to write to these for the first time."""
        name = self._name("optimizer", (id(optimizer), len(variables)))
        if name is not None:
            found = settings.keras_optimizer(optimizer, variables)
            self.machine.settings({f"{name}.{each}": value for each, value in found.items()})

    def loader(self, loader: DataLoader[Any]) -> Mapping[str, Any]:
        """The settings of a loader that a training draws from; none if they were noted."""
        return self._loader(loader) or {}

    @_if_it_can
    def _loader(self, loader: DataLoader[Any]) -> Mapping[str, Any]:
        self.machine.split = settings.replica_split(loader) or self.machine.split
        found = settings.loader(loader)
        name = self._name("loader", found)
        return {} if name is None else {f"{name}.{each}": value for each, value in found.items()}
