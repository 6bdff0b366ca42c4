"""The rows of one replica's file, as they are asked for: some of a column of numbers, and lists in order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from xframe.trace.arrow import column_of, known_of, lists_of
from xframe.trace.opening import File
from xframe.trace.parquet import Closed
from xframe.trace.schema import LISTS, Column, joined
from xframe.trace.weaving import Lists

_FEWEST = 1 << 10  # rows that are read at once


def rows_of(part: File, name: str, start: int, stop: int) -> Column:
    """Rows ``start`` to ``stop`` (excluded) of a column, from the blocks that they are in."""
    pieces, first = list[tuple[Column, int]](), bisect_right(part.bounds, start) - 1
    for block in range(first, len(part.bounds) - 1):
        low, high = part.bounds[block], part.bounds[block + 1]
        if low >= stop:
            break
        begin, end = max(start - low, 0), min(stop, high) - low
        pieces.append((column_of(part.read(block, name), begin, end), end - begin))
    return joined(pieces)


class Stream:
    """Lists of one replica in order; whoever asks for earlier ones has them read again."""

    def __init__(self, part: File, name: str) -> None:
        self._part, self._name, self._each = part, name, LISTS[name]
        self._arrays: Iterator[Any] = iter(())
        self._at, self._rest = -1, None  # the first row not yet given, and what is read from there on

    def lists(self, start: int, stop: int) -> Lists:
        """Those of rows ``start`` to ``stop`` (excluded)."""
        if start != self._at:
            self._go_to(start, stop - start)
        taken = self._take(stop)
        array = taken[0] if len(taken) == 1 else pa.concat_arrays(taken)
        values, lengths = lists_of(array)
        lengths = lengths if self._each == 1 else lengths // self._each
        return Lists(values, lengths, known_of(array) if array.null_count else None)

    def _go_to(self, row: int, rows: int) -> None:
        """Goes on to a row, or begins again with its block."""
        block = max(bisect_right(self._part.bounds, row) - 1, 0)
        low = self._part.bounds[block]
        if not low <= self._at < row:
            self._arrays, self._rest, self._at = self._from(block, max(rows, _FEWEST)), None, low
        self._take(row)

    def _from(self, block: int, rows: int) -> Iterator[Any]:
        if isinstance(self._part, Closed):
            return self._part.stream(block, self._name, rows)
        return (self._part.read(one, self._name) for one in range(block, len(self._part.bounds) - 1))

    def _take(self, stop: int) -> list[Any]:
        """The arrays up to that row."""
        taken = []
        while self._at < stop:
            array = next(self._arrays) if self._rest is None else self._rest
            rows = min(len(array), stop - self._at)
            taken.append(array.slice(0, rows))
            self._rest = array.slice(rows) if rows < len(array) else None
            self._at += rows
        return taken
