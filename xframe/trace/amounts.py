"""What the replicas' columns of the same steps amount to: their sum, their mean by rows, or what all of them have.

Columns come one after the other, so that few are in memory; one that is the same as the one before is the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.trace.schema import Column, unknown_column


def reduced(columns: Iterator[Column], by: Callable[..., NDArray[Any]], name: str) -> Column:
    """The columns' sum, or largest value; known where all are."""
    total, known = next(columns)
    total = total.copy()
    for values, there in columns:
        by(total, values, out=total)
        known = there if known is None else known if there is None else known & there
    return _filled(total, known, name)


def agreeing(columns: Iterator[Column], name: str) -> Column:
    """The value that all have; one NaN is like another."""
    first = next(columns)
    agree = np.ones(len(first.values), np.bool_) if first.known is None else first.known.copy()
    for column in columns:
        if column is not first:
            agree &= alike(column, first)
            agree &= True if column.known is None else column.known
    return Column(first.values) if agree.all() else _filled(first.values.copy(), agree, name)


def alike(column: Column, first: Column) -> NDArray[np.bool_]:
    """Where values are equal; one NaN is like another."""
    same: NDArray[np.bool_] = column.values == first.values
    return same | (np.isnan(column.values) & np.isnan(first.values)) if column.values.dtype.kind == "f" else same


def mean(columns: Iterator[tuple[Column, Column]], length: int, *, summed: bool) -> Column:
    """The mean by rows, or the sum, of columns that come with sizes; a replica without rows in a step has no part."""
    total, weight, known = np.zeros(length), np.zeros(length), np.ones(length, np.bool_)
    last, rows, taking_part = None, weight, known
    for (values, there), sizes in columns:
        if sizes is not last:
            last, rows = sizes, sizes.values.clip(min=0).astype(np.float64)
            taking_part = rows > 0
        with np.errstate(invalid="ignore", over="ignore"):
            own = values if summed else values * rows
            total += own if taking_part.all() else np.where(taking_part, own, 0.0)
        weight += rows
        known &= True if there is None else there | ~taking_part
        known &= True if sizes.known is None else sizes.known
    known &= weight > 0
    return _filled(total if summed else total / np.where(weight > 0, weight, 1.0), known, "loss")


def _filled(values: NDArray[Any], known: NDArray[np.bool_] | None, name: str) -> Column:
    """The column with what stands for unknown values in their place."""
    if known is None or known.all():
        return Column(values)
    return Column(np.where(known, values, unknown_column(name, 1).values), known)
