"""Batches as eager iteration over a data set hands them out, and which batch a tensor belongs to."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.data.ops import iterator_ops

from xframe.recording.attach.machine import Batch, Machine, Walk
from xframe.recording.attach.patches import Patches, harmless


class Pass(Walk):
    """An iteration over a data set."""

    __slots__ = ("dataset",)

    def __init__(self, dataset: Any) -> None:
        super().__init__()
        self.dataset = dataset


class Batches:
    """Which batch an eager tensor was handed out with. No batch is kept alive."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._known: dict[int, tuple[weakref.ref[Any], Batch]] = {}
        self._walks: weakref.WeakKeyDictionary[Any, Walk] = weakref.WeakKeyDictionary()

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(iterator_ops.OwnedIterator, "_next_internal", self._seen_next)

    def _seen_next(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def next_internal(iterator: Any) -> Any:
            data = original(iterator)
            if tf.executing_eagerly():
                self._handed_out(iterator, data)
            return data

        return next_internal

    @harmless
    def _handed_out(self, iterator: Any, data: Any) -> None:
        walk = self._walks.get(iterator)
        if walk is None:
            walk = self._walks[iterator] = Pass(getattr(iterator, "_dataset", None))
        tensors = [one for one in tf.nest.flatten(data) if isinstance(one, tf.Tensor)]
        size = next((int(one.shape[0]) for one in tensors if one.shape.rank), None)
        batch = Batch(None, size, walk, walk.taken)
        walk.taken += 1
        for tensor in tensors:
            self._know(tensor, batch)

    def _know(self, tensor: Any, batch: Batch) -> None:
        key, known = id(tensor), self._known
        known[key] = weakref.ref(tensor, lambda gone: known.get(key, (None,))[0] is gone and known.pop(key)), batch

    def of(self, tensor: Any) -> Batch | None:
        """The batch that this tensor was handed out with."""
        held = self._known.get(id(tensor))
        return held[1] if held is not None and held[0]() is tensor else None

    def doubt(self) -> None:
        """Something trained, on nobody knows which batch: any pass whose batches are still there may be its."""
        for _, batch in self._known.values():
            if batch.walk is not None:
                batch.walk.trained = True
