"""The columns that a recorder writes: made from single steps' values and from blocks', and joined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xframe.errors import UsageError, Verbatim
from xframe.plan.fields import LARGEST
from xframe.recording import values as taken
from xframe.trace.schema import Column, reals

REALS = frozenset(reals())  # all others that a recorder takes count something


def of_steps(name: str, values: tuple[Any, ...]) -> Column:
    """A column of single steps' values, as ``values.number`` and ``values.count`` left them; None is unknown.

    What lies on a device comes home; a counter from there that is no whole number is unknown.
    """
    if name in REALS:
        if set(map(type, values)) <= {float, int}:
            return Column(np.array(values, dtype=np.float64))
        return _partly_known(taken.fetch_numbers(list(values)), np.float64)
    if set(map(type, values)) == {int}:
        return Column(np.array(values, dtype=np.int64))
    return _partly_known([_whole(value) for value in taken.fetch_numbers(list(values))], np.int64)


def _whole(value: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    return int(value) if math.isfinite(value) and value == int(value) else None


def _partly_known(values: list[Any], kind: type) -> Column:
    known = np.array([value is not None for value in values])
    return Column(np.array(values if known.all() else [0 if v is None else v for v in values], dtype=kind), known)


def of_block(given: Any, name: str) -> Column:
    """A block's column, of shape (steps,); the mask of a masked array says which values are not known.

    Raises:
        UsageError: they are no real numbers, or no whole ones though the column counts.
    """
    counts = name not in REALS
    values, expected = taken.array(given, name), "whole numbers" if counts else "real numbers"
    known = ~np.ma.getmaskarray(given) if isinstance(given, np.ma.MaskedArray) else None
    kind = values.dtype.kind
    if kind not in "iufb" or (counts and kind == "u" and (values > LARGEST).any()):
        raise UsageError(f"a block's {name}", got=Verbatim(f"an array of {values.dtype}"), expected=expected)
    if counts and kind == "f":
        values = np.where(known, values, 0) if known is not None else values
        wrong = ~np.isfinite(values) | (values != np.trunc(values)) | (np.abs(values) >= 2.0**63)
        if wrong.any():
            raise UsageError(f"a block's {name}", got=float(values[wrong][0]), expected=expected)
    return Column(values.astype(np.int64 if counts else np.float64), known)


def joined(name: str, chunks: list[dict[str, Column]]) -> Column:
    """A column of several chunks of rows; where a chunk lacks it, it is unknown."""
    if len(chunks) == 1:
        return chunks[0][name]
    kind = next(chunk[name].values.dtype for chunk in chunks if name in chunk)
    values, known = [], []
    for chunk in chunks:
        rows = len(chunk["time_ns"].values)
        column = chunk.get(name) or Column(np.zeros(0 if name == "ids" else rows, kind), np.zeros(rows, bool))
        values.append(column.values)
        known.append(np.ones(rows, bool) if column.known is None else column.known)
    return Column(np.concatenate(values), np.concatenate(known))


def last(column: Column | None) -> float | None:
    """The last row's value, if it is known."""
    if column is None or (column.known is not None and not column.known[-1]):
        return None
    return float(column.values[-1])
