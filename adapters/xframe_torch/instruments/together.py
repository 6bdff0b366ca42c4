"""Prints of many small batches, made at once: each operation has a cost of its own, whatever it is on.

Until then batches are copied where they lie, since they may be written to.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xframe.recording.identity import WIDTH, Kind
from xframe_torch.identity import AT_ONCE, is_numeric, prints

_CLONE = torch.clone  # by torch's function: a tensor's own method is watched
_OPEN = 8  # groups of batches of one kind
_SMALL = AT_ONCE // 2  # values of a batch that is worth a copy


class Later:
    """The prints of a batch that are made with those of others, when they are asked for.

    Attributes:
        waits: so a recorder keeps it as it is.
    """

    __slots__ = ("_group", "_start", "shape")
    dtype, waits = "int64", True

    def __init__(self, group: _Group, start: int, rows: int) -> None:
        self.shape = (rows, WIDTH)
        self._group, self._start = group, start

    def __len__(self) -> int:
        return self.shape[0]

    def numpy(self) -> NDArray[np.int64]:
        """They."""
        return self._group.at_home()[self._start : self._start + self.shape[0]]


class _Group:
    """Batches whose prints are made together."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._batches: list[list[torch.Tensor]] = []
        self._rows = self._values = 0
        self._made: Any = None
        self._lock = threading.Lock()

    def take(self, copies: list[torch.Tensor], rows: int, values: int) -> Later | None:
        """One more batch; None: these are enough, or are asked for.

        It never waits: in a process that was forked meanwhile nobody would ever let go of the lock.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._made is not None or (self._batches and self._values + values > AT_ONCE):
                return None
            self._batches.append(copies)
            later = Later(self, self._rows, rows)
            self._rows, self._values = self._rows + rows, self._values + values
            return later
        finally:
            self._lock.release()

    def make(self, *, wait: bool = True) -> None:
        """Makes them, where the batches lie, and lets go of these; without ``wait`` unless another thread does."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if self._made is None:
                with torch.no_grad():
                    together = [torch.cat(same) for same in zip(*self._batches, strict=True)]
                    self._made, self._batches = prints(together, self._kind), []
        finally:
            self._lock.release()

    def at_home(self) -> NDArray[np.int64]:
        """All of them."""
        if type(self._made) is np.ndarray:
            return self._made
        self.make()
        with self._lock:
            if isinstance(self._made, torch.Tensor):
                self._made = self._made.cpu().numpy()
            home: NDArray[np.int64] = self._made
            return home


class Together:
    """Makes prints, those of small batches with others of the same kind."""

    def __init__(self) -> None:
        self._open: dict[Any, _Group] = {}
        self._plain: set[Any] = set()  # kinds of single tensors on the CPU that prints can be made of

    def prints(self, tensors: Sequence[torch.Tensor], kind: Kind) -> torch.Tensor | Later | None:
        """As of ``xframe_torch.identity``, now or later, of tensors that need no gradient."""
        rows, device, values = tensors[0].shape[0], tensors[0].device, 0
        key: list[Any] = [kind, device]
        for tensor in tensors:
            values += tensor.numel()
            key += [tensor.dtype, tensor.shape[1:]]
            if tensor.shape[0] != rows or tensor.device != device or not is_numeric(tensor):
                return prints(tensors, kind)
        if not 0 < values <= _SMALL:
            return prints(tensors, kind)
        # They need no gradient, and so have no graph.
        copies = [_CLONE(one if one.ndim == 2 else one.reshape(rows, -1)) for one in tensors]
        return self._later(tuple(key), kind, copies, rows, values)

    def prints_of(self, tensor: torch.Tensor, shape: torch.Size, kind: Kind) -> torch.Tensor | Later | None:
        """As ``prints`` of a single tensor, whose shape is that."""
        values, place = tensor.numel(), (kind, tensor.dtype, shape[1:])
        if place not in self._plain or not tensor.is_cpu or not 0 < values <= _SMALL:
            if tensor.is_cpu and is_numeric(tensor):
                self._plain.add(place)
            return self.prints([tensor], kind)
        rows = shape[0]
        copy = _CLONE(tensor) if len(shape) == 2 else _CLONE(tensor).reshape(rows, -1)
        return self._later(place, kind, [copy], rows, values)

    def _later(self, place: Any, kind: Kind, copies: list[torch.Tensor], rows: int, values: int) -> Later | None:
        group = self._open.get(place)
        later = None if group is None else group.take(copies, rows, values)
        if later is None:
            if group is not None:
                group.make(wait=False)
            elif len(self._open) >= _OPEN:
                self._open.pop(next(iter(self._open))).make(wait=False)
            group = self._open[place] = _Group(kind)
            later = group.take(copies, rows, values)
        return later
