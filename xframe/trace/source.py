"""What every reader of a trace's file offers, whichever form the file has, and how each refuses a file."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xframe.errors import NotATraceError, TraceError
from xframe.trace.arrow import column_of
from xframe.trace.schema import Column, unknown_column


class Source(Protocol):
    """A verified file: its rows, in blocks, and what stands beside them.

    Attributes:
        metadata: what is known of the run.
        columns: the names of the columns that the file has, of those that this version of xframe knows.
        end: the end record; empty if truncated.
        num_rows: rows in all.
        bounds: the first row of each block, and ``num_rows``.
        unknown: for every column of the schema, how many rows have no value.
        digests: of each block, by the names of ``schema.GROUPS`` and ``finite``; None if the file has none.
        validations: those made between the rows, as JSON objects.
    """

    metadata: dict[str, Any]
    columns: tuple[str, ...]
    end: dict[str, Any]
    num_rows: int
    bounds: list[int]
    unknown: dict[str, int]
    digests: list[dict[str, str]] | None
    validations: list[dict[str, Any]]

    def read(self, block: int, name: str) -> Any:
        """A block's column, one of ``columns``, as an Arrow array."""


def read_between(source: Source, name: str, start: int, stop: int) -> Column:
    """Rows ``start`` to ``stop`` (excluded) of a column; unknown throughout if the file doesn't have it."""
    bounds = source.bounds
    if name not in source.columns:
        return unknown_column(name, max(min(stop, bounds[-1]) - max(start, 0), 0))
    first = max(bisect_right(bounds, start) - 1, 0)
    pieces: list[Column] = []
    lengths: list[int] = []
    for i in range(first, len(bounds) - 1):
        low, high = bounds[i], bounds[i + 1]
        if low >= stop:
            break
        if high > start:
            begin, end = max(start - low, 0), min(stop, high) - low
            pieces.append(column_of(source.read(i, name), begin, end))
            lengths.append(end - begin)
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return Column(unknown_column(name, 0).values)
    values = np.concatenate([piece.values for piece in pieces])
    if all(piece.known is None for piece in pieces):
        return Column(values)
    known = [
        np.ones(rows, dtype=bool) if one.known is None else one.known for one, rows in zip(pieces, lengths, strict=True)
    ]
    return Column(values, np.concatenate(known))


# Refusals


def damaged(path: Path, why: str) -> TraceError:
    """The error for a file that is not what was written."""
    return TraceError(
        f"{path} is damaged: {why}",
        remedy="Nothing can be judged from it; record the run again, or copy the file again.",
    )


def not_a_trace(path: Path) -> NotATraceError:
    """The error for a file that no version of xframe wrote."""
    return NotATraceError(
        "not a trace", got=str(path), expected="a file written by xframe.record, xframe run or xframe import"
    )


def unreadable(path: Path, error: OSError) -> NotATraceError:
    """The error for a file that cannot be opened."""
    return NotATraceError(
        "cannot read the trace", got=str(path), expected=f"a readable file ({error.strerror or error})"
    )
