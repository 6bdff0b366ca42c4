"""Batches as loaders and indexing hand them out, and which batch a tensor belongs to."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset
from torch.utils.data import dataloader as loaders

from xframe.recording.attach.machine import Batch, Machine, Walk
from xframe.recording.attach.patches import Patches, harmless
from xframe_torch.instruments.noting import Noting

_COPIES = ("to", "cuda", "float", "double", "half", "bfloat16", "long", "int", "type", "type_as", "pin_memory", "clone")
_INTEGRAL = frozenset((torch.int64, torch.int32, np.dtype(np.int64), np.dtype(np.int32)))
_CHOOSING = (torch.Tensor, np.ndarray, list)  # what chooses rows
_TENSOR, _INT64 = torch.Tensor, np.dtype(np.int64)
_MOST_UNPLACED = 1000


class Batches:
    """Knows the tensors of batches, as long as they live.

    What is replaced: ``DataLoader.__iter__``, the iterators' ``_next_index``, ``_process_data``, ``__next__``, and
    ``__getitem__`` of ``TensorDataset`` and ``Tensor``, and what copies a tensor to a device or in another precision.
    """

    def __init__(self, machine: Machine, noting: Noting) -> None:
        self.machine = machine
        self._noting = noting
        # By a tensor's address: a reference, where its numbers lie, and the batch that it was handed out with. An entry
        # goes with its tensor, by a callback without any Python.
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], int, Batch]] = {}
        self._places: dict[tuple[int, int], int] = {}  # where tensors lie, and the address of one that does, or did
        self._unplaced: list[int] = []  # known, and not there so far
        self._chosen: tuple[weakref.ref[Any], Batch] | None = None  # the last rows taken by index, and by which
        self._drawn: Any = None  # the list of indices by which a loader takes a batch now
        self._taken: list[tuple[Any, torch.Tensor]] = []  # by such lists, until their batches are handed out

    def attach(self, patches: Patches) -> None:
        """From now on."""
        self._watch_loaders(patches)
        patches.replace(TensorDataset, "__getitem__", self._unseen_samples)
        patches.replace(torch.Tensor, "__getitem__", self._seen_getitem)
        for name in _COPIES:
            patches.replace(torch.Tensor, name, self._seen_copy)

    def _watch_loaders(self, patches: Patches) -> None:
        this = self

        def iterated(original: Callable[..., Any]) -> Callable[..., Any]:
            def iterate(loader: DataLoader[Any]) -> Any:
                iterator = original(loader)
                iterator._xframe_walk = Walk(partial(this._noting.loader, loader))
                return iterator

            return iterate

        def indexed(original: Callable[..., Any]) -> Callable[..., Any]:
            def _next_index(iterator: Any) -> Any:
                index = original(iterator)
                if iterator._num_workers:
                    waiting = iterator.__dict__.setdefault("_xframe_indices", {})
                    waiting[iterator._send_idx] = index
                else:
                    iterator._xframe_index = index
                    this._drawn = index if type(index) is list else None
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
                attributes = iterator.__dict__
                index = attributes.pop("_xframe_index", None)
                walk = attributes.get("_xframe_walk")
                if walk is not None:
                    chosen = iterator._dataset_kind == loaders._DatasetKind.Map  # by indices
                    this._handed_out(data, index if chosen else None, iterator._dataset, walk)
                return data

            return hand_out

        patches.replace(loaders.DataLoader, "__iter__", iterated)
        patches.replace(loaders._BaseDataLoaderIter, "_next_index", indexed)
        patches.replace(loaders._MultiProcessingDataLoaderIter, "_process_data", processed)
        patches.replace(loaders._BaseDataLoaderIter, "__next__", handed_out)

    def _handed_out(self, data: Any, index: Any, dataset: Any, walk: Walk) -> None:
        try:
            self._drawn = None
            ids, tensors = _ids(index, dataset), tensors_of(data)
            size = next((tensor.shape[0] for tensor in tensors if tensor.ndim), None) if ids is None else len(ids)
            batch = Batch(ids, size, walk, walk.taken)
            walk.taken += 1
            self.machine.handed_out += 1
            for tensor in tensors:
                self._know(tensor, batch)
            if self._taken:
                self._know_inside(index, ids)
        except (RuntimeError, NotImplementedError):
            pass
        except Exception as error:
            self.machine.failed(error)

    def _know_inside(self, index: Any, ids: Any) -> None:
        """A loader's batch may be of a kind of its own, and what was taken by its indices be inside."""
        mine = [tensor for by, tensor in self._taken if by is index]
        self._taken = [each for each in self._taken if each[0] is not index]
        mine = [tensor for tensor in mine if id(tensor) not in self._known]
        if mine and ids is not None:
            batch = Batch(ids, len(ids))
            self.machine.handed_out += 1
            for tensor in mine:
                self._know(tensor, batch)

    def _know(self, tensor: torch.Tensor, batch: Batch) -> None:
        place, address, known = tensor.data_ptr(), id(tensor), self._known
        known[address] = weakref.ref(tensor, partial(known.pop, address)), place, batch
        self._unplaced.append(address)
        if len(self._unplaced) > _MOST_UNPLACED:
            self._place_all()

    def _place_all(self) -> None:
        """Notes where known tensors lie, which is only asked of a tensor that is none of them."""
        if len(self._places) > 2 * len(self._known) + _MOST_UNPLACED:
            self._places = {place: each for place, each in self._places.items() if each in self._known}
        for address in self._unplaced:
            entry = self._known.get(address)
            tensor = None if entry is None else entry[0]()
            if tensor is not None:
                self._places[_place(tensor)] = address
        self._unplaced.clear()

    def _known_at(self, tensor: torch.Tensor) -> Batch | None:
        """The batch of a tensor that is known, or that has its place in common with one that is."""
        entry = self._known.get(id(tensor))
        if entry is None or entry[0]() is not tensor or entry[1] != tensor.data_ptr():
            if self._unplaced:
                self._place_all()
            place = _place(tensor)
            entry = self._known.get(self._places.get(place, 0)) if place[0] else None
            other = None if entry is None else entry[0]()
            if entry is None or other is None or _place(other) != place:
                return None
        return entry[2] if entry[1] else None

    def _unseen_samples(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The commonest data set takes single samples as if nobody looked: it takes them by the thousand."""
        getitem, tensor = torch.Tensor.__getitem__, torch.Tensor

        def take(dataset: TensorDataset, index: Any) -> Any:
            if type(index) is not int:
                return original(dataset, index)
            return tuple([getitem(one, index) if type(one) is tensor else one[index] for one in dataset.tensors])

        return take

    def _seen_getitem(self, original: Callable[..., Any]) -> Callable[..., Any]:
        is_compiling = torch.compiler.is_compiling

        def getitem(tensor: torch.Tensor, index: Any) -> Any:
            if type(index) is int:  # nearly all are, as data sets take a single sample: no time for more
                return original(tensor, index)
            taken, kind = original(tensor, index), type(index)
            if kind is list and index is self._drawn:
                self._taken.append((index, taken))
                return taken
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
        if type(index) is not list:
            self._chosen = weakref.ref(index), batch
        return batch

    def batch_of(self, tensor: torch.Tensor) -> Batch | None:
        """The batch that this tensor, or the one it is a view of, was handed out with."""
        entry = self._known.get(id(tensor))
        if entry is not None and entry[0]() is tensor and entry[1] == tensor.data_ptr() != 0:
            return entry[2]
        try:
            return self._held(tensor)
        except (RuntimeError, NotImplementedError):  # it has no storage, as inside torch.func
            return None

    def _held(self, tensor: torch.Tensor) -> Batch | None:
        of = self._known_at(tensor)
        base = None if of is not None else tensor._base
        if base is None:
            return of
        of = self._known_at(base)
        if of is not None and tensor.numel() == base.numel():
            return of
        batch = _slice_of(tensor, base)
        if of is not None:  # of a batch, as where the data were permuted first
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


def tensors_of(data: Any) -> Sequence[torch.Tensor]:
    """As ``tensors_in``; a batch as loaders mostly make it, of tensors side by side, is itself what is asked for."""
    if type(data) is list or type(data) is tuple:
        for one in data:
            if type(one) is not _TENSOR:
                break
        else:
            return data
    return list(tensors_in(data))


def _place(tensor: torch.Tensor) -> tuple[int, int]:
    """Where its numbers lie, and how many they are: the same for a tensor and another view of all of it."""
    return tensor.data_ptr(), tensor.numel()


def _ids(index: Any, dataset: Any) -> Any:
    """The samples' indices in the data set that subsets are of; None if a batch was not chosen by indices."""
    if index is None:
        return None
    try:
        while isinstance(dataset, Subset):
            index, dataset = _of_all(index, dataset.indices), dataset.dataset
        ids = np.array(index)  # a copy: its numbers may be changed later
    except (TypeError, ValueError, IndexError):
        return None
    if ids.dtype is _INT64 and ids.ndim == 1:
        return ids
    if ids.dtype.kind not in "iu" or ids.ndim > 1:
        return None
    return ids.astype(np.int64).reshape(-1)


def _of_all(index: Any, indices: Any) -> Any:
    """A subset's indices where its samples are these; they may be many, so a list is not made an array for a few."""
    if type(indices) is list and type(index) is list:
        return list(map(indices.__getitem__, index))
    return np.asarray(indices)[np.asarray(index)]


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
