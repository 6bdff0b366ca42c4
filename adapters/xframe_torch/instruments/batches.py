"""Batches as loaders and indexing hand them out, and which batch a tensor belongs to."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset
from torch.utils.data import dataloader as loaders

from xframe.recording.attach.machine import Batch, Machine, Walk
from xframe.recording.attach.patches import Patches, harmless
from xframe_torch.instruments.noting import Noting

_COPIES = ("to", "cuda", "float", "double", "half", "bfloat16", "long", "int", "type", "type_as", "pin_memory", "clone")
_INTEGRAL = frozenset((torch.int64, torch.int32, np.dtype(np.int64), np.dtype(np.int32)))
_CHOOSING = (torch.Tensor, np.ndarray, list)  # what chooses rows


class _Known(weakref.ref[torch.Tensor]):
    """A tensor that lives, where its numbers lie, and the batch that it was handed out with."""

    __slots__ = ("batch", "place")

    place: tuple[int, int]
    batch: Batch


class Batches:
    """Knows the tensors of batches, as long as they live.

    What is replaced: ``DataLoader.__iter__``, the iterators' ``_next_index``, ``_process_data``, ``__next__``, and
    ``Tensor.__getitem__`` and what copies a tensor to a device or in another precision.
    """

    def __init__(self, machine: Machine, noting: Noting) -> None:
        self.machine = machine
        self._noting = noting
        self._known: dict[tuple[int, int], _Known] = {}
        self._chosen: tuple[weakref.ref[Any], Batch] | None = None  # the last rows taken by index, and by which

    def attach(self, patches: Patches) -> None:
        """From now on."""
        self._watch_loaders(patches)
        patches.replace(torch.Tensor, "__getitem__", self._seen_getitem)
        for name in _COPIES:
            patches.replace(torch.Tensor, name, self._seen_copy)

    def _watch_loaders(self, patches: Patches) -> None:
        this = self

        def iterated(original: Callable[..., Any]) -> Callable[..., Any]:
            def iterate(loader: DataLoader[Any]) -> Any:
                iterator = original(loader)
                iterator._xframe_walk = Walk(functools.partial(this._noting.loader, loader))
                return iterator

            return iterate

        def indexed(original: Callable[..., Any]) -> Callable[..., Any]:
            def _next_index(iterator: Any) -> Any:
                index = original(iterator)
                waiting = iterator.__dict__.setdefault("_xframe_indices", {})
                waiting[getattr(iterator, "_send_idx", None)] = index
                return index

            return _next_index

        def processed(original: Callable[..., Any]) -> Callable[..., Any]:
            def _process_data(iterator: Any, data: Any, worker: int) -> Any:
                # In order, the batch before the one that is waited for is handed out; otherwise nobody says which.
                waiting = iterator.__dict__.get("_xframe_indices", {})
                iterator._xframe_index = waiting.pop(iterator._rcvd_idx - 1, None) if iterator._in_order else None
                return original(iterator, data, worker)

            return _process_data

        def handed_out(original: Callable[..., Any]) -> Callable[..., Any]:
            def hand_out(iterator: Any) -> Any:
                data = original(iterator)
                if hasattr(iterator, "_send_idx"):
                    index = iterator.__dict__.pop("_xframe_index", None)
                else:
                    index = iterator.__dict__.get("_xframe_indices", {}).pop(None, None)
                walk = iterator.__dict__.get("_xframe_walk")
                if walk is not None:
                    this._handed_out(data, _ids(index, iterator._dataset), walk)
                return data

            return hand_out

        patches.replace(loaders.DataLoader, "__iter__", iterated)
        patches.replace(loaders._BaseDataLoaderIter, "_next_index", indexed)
        patches.replace(loaders._MultiProcessingDataLoaderIter, "_process_data", processed)
        patches.replace(loaders._BaseDataLoaderIter, "__next__", handed_out)

    @harmless
    def _handed_out(self, data: Any, ids: Any, walk: Walk) -> None:
        tensors = list(tensors_in(data))
        size = len(ids) if ids is not None else next((t.shape[0] for t in tensors if t.ndim), None)
        batch = Batch(ids, size, walk, walk.taken)
        walk.taken += 1
        self.machine.handed_out += 1
        with suppress(RuntimeError, NotImplementedError):
            for tensor in tensors:
                self._know(tensor, batch)

    def _know(self, tensor: torch.Tensor, batch: Batch) -> None:
        known = _Known(tensor, self._forget)
        known.place, known.batch = _place(tensor), batch
        self._known[known.place] = known

    def _forget(self, gone: _Known) -> None:
        if self._known.get(gone.place) is gone:
            del self._known[gone.place]

    def _seen_getitem(self, original: Callable[..., Any]) -> Callable[..., Any]:
        is_compiling = torch.compiler.is_compiling

        def getitem(tensor: torch.Tensor, index: Any) -> Any:
            taken = original(tensor, index)
            kind = type(index)  # nearly all are numbers, as data sets take a single sample: no time for more
            if kind not in _CHOOSING or is_compiling():
                return taken
            if kind is list:
                rows = bool(index) and type(index[0]) is int
            else:
                rows = index.ndim == 1 and index.dtype in _INTEGRAL
            if rows and not taken.requires_grad:
                self._chose(tensor, taken, index)
            return taken

        return getitem

    def _seen_copy(self, original: Callable[..., Any]) -> Callable[..., Any]:
        known = self._known

        def copy(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            made = original(tensor, *args, **kwargs)
            if known and made is not tensor and not torch.compiler.is_compiling():
                self._copied(tensor, made)
            return made

        return copy

    @harmless
    def _copied(self, tensor: torch.Tensor, made: Any) -> None:
        """The same samples, on a device or in another precision."""
        base = tensor._base
        alone = base is not None and tensor.ndim < base.ndim  # a data set's single sample
        if isinstance(made, torch.Tensor) and tensor.ndim and not alone and not made.requires_grad:
            batch = self.batch_of(tensor)
            if batch is not None:
                with suppress(RuntimeError, NotImplementedError):
                    self._know(made, batch)

    @harmless
    def _chose(self, tensor: torch.Tensor, taken: torch.Tensor, index: Any) -> None:
        try:  # noqa: SIM105 (which would take longer, in every step)
            self._know(taken, self._rows(tensor, index))
        except (RuntimeError, NotImplementedError):  # it has no storage, as inside torch.func
            pass

    def _rows(self, tensor: torch.Tensor, index: Any) -> Batch:
        """The batch of a tensor's rows with these indices: one for inputs and targets taken by the same."""
        last = self._chosen
        if last is not None and last[0]() is index:
            return last[1]
        # A copy, since the index may be used again; what lies on a device stays there.
        if isinstance(index, torch.Tensor) and not index.is_cpu:
            ids: Any = torch.empty_like(index, dtype=torch.int64).copy_(index)
        else:
            ids = np.array(index.numpy() if isinstance(index, torch.Tensor) else index, dtype=np.int64)
        of = self._held(tensor) if self._known else None
        batch = Batch(ids, len(index)) if of is None else _part(of, ids)
        self.machine.handed_out += 1
        if not isinstance(index, list):
            self._chosen = (weakref.ref(index), batch)
        return batch

    def batch_of(self, tensor: torch.Tensor) -> Batch | None:
        """The batch that this tensor, or the one it is a view of, was handed out with."""
        try:
            return self._held(tensor)
        except (RuntimeError, NotImplementedError):  # it has no storage, as inside torch.func
            return None

    def _held(self, tensor: torch.Tensor) -> Batch | None:
        base, of = tensor._base, None
        for seen in (tensor,) if base is None else (tensor, base):
            place = _place(seen)
            held = self._known.get(place)
            if held is not None and place[0]:
                known = held()
                if known is seen or (known is not None and known.data_ptr() == place[0]):
                    if seen is tensor or tensor.numel() == seen.numel():
                        return held.batch
                    of = held.batch
        batch = None if base is None else _slice_of(tensor, base)
        if of is not None:  # of a batch, as where the data were permuted first
            assert base is not None
            batch = _part(of, batch.ids) if batch is not None else of if tensor.shape[:1] == base.shape[:1] else None
        if batch is not None:
            self.machine.handed_out += 1
            self._know(tensor, batch)  # once for all that is computed from it
        return batch


def tensors_in(data: Any) -> Iterator[torch.Tensor]:
    """Those in nested tuples, lists and mappings."""
    if type(data) is tuple or type(data) is list:  # the commonest first: asking whether it is a tensor takes longer
        for one in data:
            yield from tensors_in(one)
    elif isinstance(data, torch.Tensor):
        yield data
    elif isinstance(data, (tuple, list)):
        yield from tensors_in(list(data))
    elif hasattr(data, "values") and callable(data.values) and hasattr(data, "keys"):
        yield from tensors_in(list(data.values()))


def is_computed(tensor: torch.Tensor) -> bool:
    """Whether it was computed of weights, or is one. Of inputs gradients may be asked for, too: these are data."""
    return tensor.requires_grad and (not tensor.is_leaf or isinstance(tensor, torch.nn.Parameter))


def _place(tensor: torch.Tensor) -> tuple[int, int]:
    """Where its numbers lie, and how many they are: the same for a tensor and another view of all of it."""
    return tensor.data_ptr(), tensor.numel()


def _ids(index: Any, dataset: Any) -> Any:
    """The samples' indices in the data set that subsets are of; None if a batch was not chosen by indices."""
    if isinstance(dataset, IterableDataset) or index is None:
        return None
    try:
        ids = np.asarray(index)
    except (TypeError, ValueError):
        return None
    if ids.dtype.kind not in "iu" or ids.ndim > 1:
        return None
    if type(index) is not list or ids.dtype != np.int64:  # its numbers may be changed later
        ids = ids.astype(np.int64).reshape(-1)
    while isinstance(dataset, Subset):
        ids, dataset = np.asarray(dataset.indices)[ids], dataset.dataset
    return np.ascontiguousarray(ids, dtype=np.int64)


def _slice_of(tensor: torch.Tensor, base: torch.Tensor) -> Batch | None:
    """Consecutive rows of a larger tensor, as a batch."""
    if not base.ndim or not base.is_contiguous() or not tensor.is_contiguous() or not tensor.numel():
        return None
    row = base.stride(0) if base.ndim > 1 else 1
    start, apart = divmod(int(tensor.storage_offset()) - int(base.storage_offset()), row)
    rows, rest = divmod(tensor.numel(), row)
    if apart or rest or rows >= base.shape[0]:
        return None
    if (
        rows == 1 and tensor.ndim > 1 and tensor.shape == base.shape[1:]
    ):  # a sample, or a batch of many that are stacked
        return None
    return Batch(np.arange(start, start + rows, dtype=np.int64), rows)


def _part(batch: Batch, rows: Any) -> Batch:
    """Some of a batch's rows, by their places in it: a batch of the same walk."""
    ids, size = batch.ids, len(rows)
    if isinstance(ids, torch.Tensor):
        places = torch.from_numpy(rows).to(ids.device) if isinstance(rows, np.ndarray) else rows
        ids = torch.index_select(ids, 0, places)
    elif isinstance(ids, np.ndarray) and isinstance(rows, np.ndarray) and len(ids) == batch.size:
        ids = ids[rows]
    else:
        ids = None
    return Batch(ids, size, batch.walk, batch.place)
