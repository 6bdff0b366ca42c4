"""Batches as eager iteration over a data set hands them out, and which batch a tensor belongs to."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.data.ops import iterator_ops
from tensorflow.python.distribute import distribute_lib, input_lib

from xframe.recording.attach.machine import Batch, Machine, Walk
from xframe.recording.attach.patches import Patches, harmless
from xframe_tensorflow import settings

_SHARDED = (tf.data.experimental.AutoShardPolicy.AUTO, tf.data.experimental.AutoShardPolicy.DATA)


class Pass(Walk):
    """An iteration over a data set."""

    __slots__ = ("dataset",)

    def __init__(self, dataset: Any) -> None:
        super().__init__()
        self.dataset = dataset


def tensors_in(data: Any) -> list[Any]:
    """Those in nested data, and of each replica here those of its part."""
    return [one for one in tf.nest.flatten(data, expand_composites=True) if isinstance(one, tf.Tensor)]


class Batches:
    """Which batch an eager tensor was handed out with. No batch is kept alive."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._known: dict[int, tuple[weakref.ref[Any], Batch]] = {}
        self._walks: weakref.WeakKeyDictionary[Any, Walk] = weakref.WeakKeyDictionary()

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(iterator_ops.OwnedIterator, "_next_internal", self._seen_next)
        patches.replace(input_lib.DistributedIteratorBase, "__next__", self._seen_next)
        patches.replace(distribute_lib.StrategyBase, "experimental_distribute_dataset", self._seen_distributing)
        patches.replace(distribute_lib.StrategyBase, "distribute_datasets_from_function", self._seen_making)

    def _seen_distributing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def distribute(strategy: Any, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            self._note_split(dataset)
            return original(strategy, dataset, *args, **kwargs)

        return distribute

    @harmless
    def _note_split(self, dataset: Any) -> None:
        """Workers that share a data set share each batch of it, in slices; of files each has its own."""
        policy = dataset.options().experimental_distribute.auto_shard_policy
        self.machine.split = "slices" if policy in _SHARDED else None

    def _seen_making(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def distribute(strategy: Any, dataset_fn: Callable[[Any], Any], *args: Any, **kwargs: Any) -> Any:
            @functools.wraps(dataset_fn)
            def made(context: Any) -> Any:
                dataset = dataset_fn(context)
                self._note_own_split(dataset)
                return dataset

            return original(strategy, made, *args, **kwargs)

        return distribute

    @harmless
    def _note_own_split(self, dataset: Any) -> None:
        """A worker whose data set is its own may take a shard of the samples."""
        if self.machine.replica[1] > 1:
            self.machine.split = settings.replica_split(dataset, *self.machine.replica) or self.machine.split

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
            self._note_own_split(walk.dataset)
        tensors = tensors_in(data)
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
