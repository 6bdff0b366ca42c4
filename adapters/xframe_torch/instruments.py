"""Sees a training in PyTorch from outside: loaders, models' inputs, backward passes, optimizers' steps.

What is replaced, and put back afterwards: ``DataLoader.__iter__`` and the iterators' ``_next_index``, ``_process_data``
and ``__next__``, ``Tensor.__getitem__``, ``Module.__call__``, the losses of ``torch.nn.functional``,
``torch.autograd.backward``, ``GradScaler.step`` and ``scale``. Optimizers are seen by torch's own global
hooks. Nothing is read from a device, no random number is drawn, and no batch is kept alive.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data import DataLoader, IterableDataset, Subset
from torch.utils.data import dataloader as loaders

from xframe.recording.attach.instruments import refuse_untested
from xframe.recording.attach.machine import Batch, Machine, Walk
from xframe_torch.evidence import UpdateCounter

TESTED = ("2.13.",)

_LOSSES = tuple(
    name
    for name in dir(torch.nn.functional)
    if (name.endswith("_loss") or name.startswith(("cross_entropy", "binary_cross_entropy", "kl_div")))
)


class TorchInstrument:
    """Gives a machine what happens in torch, from ``attach`` until ``detach``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._undo: list[Callable[[], object]] = []
        self._known: dict[tuple[int, int, int], tuple[weakref.ref[torch.Tensor], Batch]] = {}
        self._chosen: tuple[weakref.ref[Any], Batch] | None = None  # the last rows taken by index, and by which
        self._inside = threading.local()  # a model's call, or a backward pass
        self._counters: weakref.WeakKeyDictionary[torch.optim.Optimizer, UpdateCounter] = weakref.WeakKeyDictionary()
        self._scaled: tuple[weakref.ref[torch.Tensor], torch.Tensor] | None = None

    def attach(self) -> None:
        """From now on.

        Raises:
            UsageError: of this version nobody has tried what is replaced.
        """
        refuse_untested("torch", torch.__version__, TESTED)
        self._watch_loaders()
        self._replace(torch.Tensor, "__getitem__", self._seen_getitem)
        self._replace(torch.nn.Module, "__call__", self._seen_call)
        for name in _LOSSES:
            self._replace(torch.nn.functional, name, self._seen_call)
        self._replace(torch.autograd, "backward", self._seen_backward)
        self._replace(torch.amp.GradScaler, "scale", self._seen_scale)
        self._replace(torch.amp.GradScaler, "step", self._seen_scaler_step)
        self._undo.append(register_optimizer_step_pre_hook(self._before_step).remove)
        self._undo.append(register_optimizer_step_post_hook(self._after_step).remove)

    def detach(self) -> None:
        """No longer, and everything is as it was."""
        while self._undo:
            self._undo.pop()()

    def _replace(self, owner: Any, name: str, seen: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        own = vars(owner).get(name)
        original = getattr(owner, name)
        setattr(owner, name, functools.wraps(original)(seen(original)))
        self._undo.append(lambda: delattr(owner, name) if own is None else setattr(owner, name, own))

    # Batches as their pipeline hands them out.

    def _watch_loaders(self) -> None:
        this = self

        def iterated(original: Callable[..., Any]) -> Callable[..., Any]:
            def iterate(loader: DataLoader[Any]) -> Any:
                iterator = original(loader)
                iterator._xframe_walk = Walk()
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

        self._replace(loaders.DataLoader, "__iter__", iterated)
        self._replace(loaders._BaseDataLoaderIter, "_next_index", indexed)
        self._replace(loaders._MultiProcessingDataLoaderIter, "_process_data", processed)
        self._replace(loaders._BaseDataLoaderIter, "__next__", handed_out)

    def _handed_out(self, data: Any, ids: Any, walk: Walk) -> None:
        tensors = list(_tensors(data))
        size = len(ids) if ids is not None else next((t.shape[0] for t in tensors if t.ndim), None)
        batch = Batch(ids, size, walk, walk.taken)
        walk.taken += 1
        for tensor in tensors:
            self._know(tensor, batch)

    def _know(self, tensor: torch.Tensor, batch: Batch) -> None:
        key = _place(tensor)
        known = self._known
        known[key] = (weakref.ref(tensor, lambda gone: known.get(key, (None,))[0] is gone and known.pop(key)), batch)

    def _seen_getitem(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def getitem(tensor: torch.Tensor, index: Any) -> Any:
            taken = original(tensor, index)
            if not isinstance(index, (torch.Tensor, np.ndarray, list)) or torch.compiler.is_compiling():
                return taken
            if isinstance(index, list) and not (index and type(index[0]) is int):
                return taken
            integral = isinstance(index, list) or str(index.dtype).split(".")[-1] in ("int64", "int32")
            if integral and len(getattr(index, "shape", "x")) == 1 and not taken.requires_grad:
                self._know(taken, self._rows(index))
            return taken

        return getitem

    def _rows(self, index: Any) -> Batch:
        """The batch of the rows with these indices: one for inputs and targets taken by the same."""
        last = self._chosen
        if last is not None and last[0]() is index:
            return last[1]
        # A copy, since the index may be used again; what lies on a device stays there.
        ids = index.to(torch.int64, copy=True) if isinstance(index, torch.Tensor) else np.array(index, dtype=np.int64)
        batch = Batch(ids, len(index))
        if not isinstance(index, list):
            self._chosen = (weakref.ref(index), batch)
        return batch

    def _batch_of(self, tensor: torch.Tensor) -> Batch | None:
        """The batch that this tensor, or the one it is a view of, was handed out with."""
        base = tensor._base
        for seen in (tensor,) if base is None else (tensor, base):
            held = self._known.get(_place(seen))
            if held is not None:
                known = held[0]()
                if known is not None and known.untyped_storage()._cdata == seen.untyped_storage()._cdata:
                    return held[1]
        batch = None if base is None else _slice_of(tensor, base)
        if batch is not None:
            self._know(tensor, batch)  # once for all that is computed from it
        return batch

    # What is computed with them.

    def _seen_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        inside, is_compiling, is_grad_enabled = self._inside, torch.compiler.is_compiling, torch.is_grad_enabled

        def call(*args: Any, **kwargs: Any) -> Any:
            if is_compiling() or getattr(inside, "it", False) or not is_grad_enabled():
                return original(*args, **kwargs)
            inside.it = True
            try:
                self._look_at(args, kwargs)
                return original(*args, **kwargs)
            finally:
                inside.it = False

        return call

    def _look_at(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        by_loss, size = None, None
        for tensor in _tensors((args, kwargs)):
            if by_loss is None:
                by_loss = tensor.requires_grad
            if tensor.requires_grad:
                continue
            if (batch := self._batch_of(tensor)) is not None:
                self.machine.used(batch, by_loss=by_loss)
                return
            if size is None and tensor.ndim:
                size = tensor.shape[0]
        if by_loss is False and size is not None:
            self.machine.used(Batch(None, size))

    def _seen_backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(self._inside, "backward", False):
                return original(tensors, *args, **kwargs)
            inside, self._inside.it, self._inside.backward = getattr(self._inside, "it", False), True, True
            try:
                returned = original(tensors, *args, **kwargs)
            finally:
                self._inside.it, self._inside.backward = inside, False
            loss = next(_tensors(tensors), None)
            if loss is not None:
                self.machine.backward(self._unscaled(loss))
            return returned

        return backward

    def _seen_scale(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def scale(scaler: Any, outputs: Any) -> Any:
            scaled = original(scaler, outputs)
            if isinstance(outputs, torch.Tensor) and scaled is not outputs:
                self._scaled = (weakref.ref(scaled), outputs.detach())
            return scaled

        return scale

    def _unscaled(self, loss: torch.Tensor) -> torch.Tensor | None:
        """The loss as it was before a gradient scaler took it; None if it is not one number."""
        if self._scaled is not None and self._scaled[0]() is loss:
            loss = self._scaled[1]
        return loss.detach().reshape(()) if loss.numel() == 1 else None

    def _seen_scaler_step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if optimizer not in self._counters:
                self._count(optimizer, scaler)
                return scaler.step(optimizer, *args, **kwargs)  # the counter's own now, which comes here again
            return original(scaler, optimizer, *args, **kwargs)

        return step

    def _before_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        if optimizer not in self._counters:
            self._count(optimizer, None)

    def _after_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        self.machine.stepped(id(optimizer), optimizer.param_groups[0]["lr"])

    def _count(self, optimizer: torch.optim.Optimizer, scaler: Any) -> None:
        counter = UpdateCounter(optimizer, scaler)
        self._counters[optimizer] = self.machine.counters[id(optimizer)] = counter
        self.machine.evidence = counter.evidence


def _place(tensor: torch.Tensor) -> tuple[int, int, int]:
    """Where its numbers lie, and how many they are: the same for a tensor and another view of all of it."""
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset()), tensor.numel()


def _tensors(data: Any) -> Iterator[torch.Tensor]:
    """Those in nested tuples, lists and mappings."""
    if isinstance(data, torch.Tensor):
        yield data
    elif isinstance(data, (tuple, list)):
        for one in data:
            yield from _tensors(one)
    elif hasattr(data, "values") and callable(data.values) and hasattr(data, "keys"):
        yield from _tensors(list(data.values()))


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
    return Batch(np.arange(start, start + rows, dtype=np.int64), rows)
