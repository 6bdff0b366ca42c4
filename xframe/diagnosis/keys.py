"""Batches as numbers: equal for equal ones, so that whole columns of batches are compared at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.inference.observed import Ints, counted_within, first
from xframe.trace.rows import Rows

Keys = NDArray[np.uint64]


def _mixed(ids: Ints) -> Keys:
    """Each id as 64 bits that look random, so that the sums of different sets differ."""
    x = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def batch_keys(rows: Rows, *, ordered: bool = True) -> Keys:
    """One number a batch: equal for batches of the same samples, in the same order if asked; without ids, the sizes."""
    sizes = rows.batch_size.clip(min=0)
    if rows.ids is None:
        return rows.batch_size.astype(np.uint64)
    bits = _mixed(rows.ids)
    ends = np.cumsum(sizes)
    if ordered:
        places = _mixed(np.arange(sizes.max(initial=0))) | np.uint64(1)
        bits = bits * places[counted_within(sizes)]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(bits, dtype=np.uint64)])
    keys: Keys = (sums[ends] - sums[ends - sizes]) ^ _mixed(sizes)
    return keys


def first_difference(a: NDArray[Any], b: NDArray[Any]) -> int | None:
    """The first place at which two columns differ, the end of the shorter included."""
    shared = min(len(a), len(b))
    at = first(a[:shared] != b[:shared])
    return None if at == len(a) == len(b) else at
