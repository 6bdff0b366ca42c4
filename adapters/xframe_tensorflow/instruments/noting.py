"""Notes what is set as it comes into use: each optimizer, schedule, loss, loader and model once, in that order."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping
from typing import Any

import keras
import tensorflow as tf

from xframe.recording.attach.machine import Machine
from xframe.recording.attach.patches import harmless
from xframe_tensorflow import settings

_SCHEDULES = keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau
_MOST = 32  # of a kind


class Noting:
    """Gives a machine the settings of what a training uses."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._noted: dict[str, list[Any]] = {}  # by kind, what it was known by
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        self._optimizers: dict[int, str] = {}
        self._by_class = False  # whether fit weights the losses of classes
        self._unbuilt: list[weakref.ref[Any]] = []

    def _note(self, kind: str, found: Mapping[str, Any], key: Any = None) -> str | None:
        """Says it under a name of its own; None if it was noted, or is one too many."""
        key, noted = found if key is None else key, self._noted.setdefault(kind, [])
        if not found or key in noted or len(noted) >= _MOST:
            return None
        noted.append(key)
        name = kind if len(noted) == 1 else f"{kind}.{len(noted) - 1}"
        self.machine.settings({f"{name}.{each}": value for each, value in found.items()})
        return name

    def _first_seen(self, one: Any) -> bool:
        if one in self._known:
            return False
        self._known.add(one)
        return True

    @harmless
    def optimizer(self, optimizer: Any, variables: Collection[Any]) -> None:
        """An optimizer that is about to step for the first time."""
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        unbuilt, self._unbuilt = self._unbuilt, []
        for reference in unbuilt:
            if (model := reference()) is not None:
                self.model(model)
        if self._first_seen(inner):
            with tf.init_scope():
                name = self._note("optimizer", settings.optimizer(optimizer, variables), id(inner))
                self._note("schedule", settings.schedule(optimizer))
            if name is not None:
                self._optimizers[id(inner)] = name

    @harmless
    def clipping(self, optimizer: Any, rule: str, bound: Any) -> None:
        """The script clips the gradients that this optimizer gets."""
        name = self._optimizers.get(id(optimizer))
        if name is not None:
            self.machine.settings({f"{name}.{rule}": settings.plain(bound)})

    @harmless
    def loss(self, loss: Any, target: Any, output: Any, weights: Any) -> None:
        """A loss that a training computes, perhaps with weights of samples, which stand for those of classes too."""
        if self._first_seen(loss):
            weighted = {"sample_weight": True} if weights is not None and not self._by_class else {}
            self._note("loss", {**settings.loss(loss, target, output), **weighted}, id(loss))

    @harmless
    def loss_function(self, name: str, given: Mapping[str, Any]) -> None:
        """A loss that is a function, which a training calls by itself."""
        self._note("loss", settings.loss_function(name, given), name)

    @harmless
    def weights_of_classes(self, weights: Mapping[int, float] | None) -> None:
        """What ``fit`` weights the losses of classes by."""
        self._by_class = bool(weights)
        if weights:
            listed = [float(weights.get(one, 1.0)) for one in range(max(weights) + 1)]
            self.machine.settings({"loss.weights": listed})

    @harmless
    def callback(self, callback: Any) -> None:
        """What ``fit`` calls as it goes."""
        if isinstance(callback, _SCHEDULES) and self._first_seen(callback):
            self._note("schedule", {"class": type(callback).__name__}, id(callback))

    @harmless
    def loader(self, found: Mapping[str, Any]) -> None:
        """How a training draws batches."""
        self._note("loader", found)

    @harmless
    def model(self, model: Any) -> None:
        """A model that computes for a training, before it does."""
        if model in self._known:
            return
        if not model.built:  # it is once it has computed, which is before it is updated
            self._unbuilt.append(weakref.ref(model))
            return
        first = not self._noted.get("model")
        self._known.add(model)
        with tf.init_scope():
            if self._note("model", settings.model(model), id(model)) is None:
                return
            noted = settings.environment() if first else {}
            try:
                for kind, each in settings.layers(model):
                    number = len(self._noted.setdefault(f"numbered {kind}", []))
                    self._noted[f"numbered {kind}"].append(None)
                    noted |= {f"{kind}.{number}.{name}": value for name, value in each.items()}
            except (AttributeError, tf.errors.OpError):  # made in a graph, and without a value as yet
                pass
        self.machine.settings(noted)
