"""Batches as numbers, one each, so that rows are compared, sorted and searched without their lists of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.trace.rows import Rows

    Ints = NDArray[np.int64]


def _mixed(ids: Ints) -> NDArray[np.uint64]:
    """Each id as 64 bits that look random, so that the sums of different sets differ."""
    x = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def batch_keys(rows: Rows, *, ordered: bool = True) -> NDArray[np.uint64]:
    """One number a batch: equal for batches of the same samples, in the same order if asked; without ids, the sizes."""
    sizes = rows.batch_size.clip(min=0)
    if rows.ids is None:
        return rows.batch_size.astype(np.uint64)
    bits = _mixed(rows.ids)
    ends = np.cumsum(sizes)
    if ordered:
        inside = np.arange(len(bits), dtype=np.int64) - np.repeat(ends - sizes, sizes)
        bits = bits * (_mixed(inside) | np.uint64(1))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(bits, dtype=np.uint64)])
    keys: NDArray[np.uint64] = (sums[ends] - sums[ends - sizes]) ^ _mixed(sizes)
    return keys


def first_difference(a: NDArray[Any], b: NDArray[Any]) -> int | None:
    """The first place at which two columns differ, the end of the shorter included."""
    shared = min(len(a), len(b))
    unequal = a[:shared] != b[:shared]
    if unequal.any():
        return int(unequal.argmax())
    return None if len(a) == len(b) else shared
