"""The part of a recorder that writes what it has taken: rows, validations, settings, and which checkpoints there are.

What waits leaves the list only once the writer's state says that it is in the file; see ``recorder``.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from xframe.errors import UsageError
from xframe.recording import unclosed, values, waiting
from xframe.recording.beginning import Begun
from xframe.recording.waiting import BESIDE, Item, Settings, due
from xframe.trace.schema import Column
from xframe.trace.writer import SoFar, TraceWriter


class Flushing:
    """Writes what waits, in order."""

    on_flush: Callable[[int, int | None, float | None], None] | None
    counts_anew: bool
    _process: int
    _lock: threading.RLock
    _writer: TraceWriter
    _before: Begun
    _keep_ids: bool
    _waiting: list[Item]
    _rows: int
    _ids: int

    def _refusal(self, what: str) -> UsageError:
        return unclosed.refusal(self._process, what)

    def _know_torch(self) -> None:
        """Learns torch's types once the loop has loaded it: such tensors on the CPU are then taken the short way."""
        torch = sys.modules.get("torch")
        self._int64, self._tensor = getattr(torch, "int64", None), getattr(torch, "Tensor", None)

    def flush(self) -> None:
        """Writes what waits; it then survives whatever happens to the process.

        Raises:
            OSError: the disk does not take it. It is kept, and tried again by the next flush.
        """
        if self._process != os.getpid():
            return
        with self._lock:
            self._rows = self._ids = 0
            self._know_torch()
            while not self._writer.ended and (items := self._due()):
                try:
                    self._write(items)
                except (OSError, MemoryError):
                    raise
                except Exception:
                    self._write_up_to_the_wrong_one(len(items) // 2)
                    raise

    def counts_the_whole_run(self) -> None:
        """Says that counters given as ``updates`` were restored, and have what was counted before this trace."""
        self._before = replace(self._before, updates=0, attempts=0)

    def so_far(self) -> SoFar:
        """Writes what waits; returns what is known of the rows of the whole run."""
        if self._process != os.getpid():
            raise self._refusal("checkpoints")
        with self._lock:
            self.flush()
            return self._writer.so_far()

    def checkpointed(self, digest: str | None = None) -> tuple[int, str]:
        """Puts what waits on the disk; returns the number of steps and their certificate, both of the whole run.

        ``digest`` is that of the checkpoint's file, 32 hex digits, which takes its place next: the trace states it.
        """
        with self._lock:
            so_far = self.so_far()
            while digest is not None and not self._writer.ended and not self._writer.checkpoint(digest):
                pass  # a signal's handler wrote between
            self._writer.synchronise()
            return so_far.rows, so_far.certificate

    def _due(self) -> Sequence[Item]:
        self._forget_written()
        return due(self._waiting)

    def _forget_written(self) -> None:
        """Lets go of what is in the file; the writer's mark says which that is."""
        mark = self._writer.mark
        if mark is not None:
            count = len(mark)
            if self._waiting and self._waiting[0] is mark[0]:  # no call from here on: a signal's handler may flush too
                del self._waiting[:count]
            self._writer.forget_mark()

    def _write(self, items: Sequence[Item]) -> None:
        beside: Any = items[0]
        if type(beside) in BESIDE:
            write = self._writer.settings if type(beside) is Settings else self._writer.validation
            try:
                write(beside.facts, mark=items)
            except UsageError:  # it can never be written
                if self._waiting and self._waiting[0] is items[0]:
                    del self._waiting[:1]
                raise
            return
        first = self._writer.num_rows
        count, columns = waiting.columns_of(items, keep_ids=self._keep_ids)
        rows = len(columns["time_ns"].values)
        columns = self._before.added(columns) if self.counts_anew else columns
        columns["step"] = Column(np.arange(first, first + rows))
        if self._writer.write(columns, mark=items[:count]) and self.on_flush is not None:
            epoch, loss = (values.last(columns.get(name)) for name in ("epoch", "loss"))
            self.on_flush(first + rows, None if epoch is None else int(epoch), loss)

    def _write_up_to_the_wrong_one(self, count: int) -> None:
        """Of steps with one whose values cannot be had, such as a tensor of another shape on a device: those before."""
        while count and (items := self._due()[:count]):
            try:
                self._write(items)
            except Exception:
                count //= 2
