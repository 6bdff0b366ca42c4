"""Contents by sample, in whatever order: each sample's first print in one run, set against that in the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.prints import close, numbers, prints_of
from xframe.trace.rows import Rows

Ints = NDArray[np.int64]


class Found(NamedTuple):
    """What two runs show of the samples that both drew, without those that change in a run.

    Attributes:
        samples: how many these are.
        rounded: how many of them agree up to rounding only.
        different: how many have another content.
        elsewhere: how many of these have one that the other run has at another sample.
        renamed: all have another one, and equal ones of one run are equal ones of the other: they may be written
            otherwise, as classes one-hot.
    """

    samples: int
    rounded: int
    different: int
    elsewhere: int
    renamed: bool


class Seen:
    """Of each sample that a run drew, the first print, and whether it always had that one."""

    def __init__(self, column: str) -> None:
        self._column = column
        self.ids, self.prints = np.zeros(0, np.int64), np.zeros((0, 3), np.int64)
        self.steady = np.zeros(0, np.bool_)

    def add(self, rows: Rows, length: int) -> None:
        """The next rows of that run, which list their samples."""
        found = prints_of(rows, self._column, length)
        sizes = rows.batch_size[:length].clip(min=0)
        ids = rows.column("ids").values[: int(sizes.sum())][np.repeat(found.known, sizes)]
        own, first = np.unique(ids, return_index=True)
        new = ~np.isin(own, self.ids, assume_unique=True)
        if new.any():
            every = np.concatenate([self.ids, own[new]])
            order = np.argsort(every, kind="stable")
            self.ids = every[order]
            self.prints = np.concatenate([self.prints, found.values[first[new]]])[order]
            self.steady = np.concatenate([self.steady, np.ones(int(new.sum()), np.bool_)])[order]
        places = np.searchsorted(self.ids, ids)
        other = np.flatnonzero(self.prints[places, 0] != found.values[:, 0])
        moved = ~close(numbers(self.prints[places[other]]), numbers(found.values[other]))
        self.steady[places[other[moved]]] = False


def compared(own: Seen, others: Seen) -> Found:
    """The samples that both drew, one by one."""
    _, i, j = np.intersect1d(own.ids, others.ids, assume_unique=True, return_indices=True)
    both = own.steady[i] & others.steady[j]
    a, b = own.prints[i[both]], others.prints[j[both]]
    unequal = np.flatnonzero(a[:, 0] != b[:, 0])
    near = close(numbers(a[unequal]), numbers(b[unequal]))
    different = unequal[~near]
    elsewhere = int(np.isin(a[different, 0], b[:, 0]).sum())
    renamed = bool(len(different)) and len(different) == len(a) and not elsewhere and _one_to_one(a[:, 0], b[:, 0])
    return Found(len(a), int(near.sum()), len(different), elsewhere, renamed)


def _one_to_one(a: Ints, b: Ints) -> bool:
    """Whether equal values stand for equal ones, in most of them."""
    kinds = [len(np.unique(one)) for one in (a, b)]
    pairs = len(np.unique(np.stack([a, b], axis=1), axis=0))
    return kinds[0] == kinds[1] == pairs <= len(a) // 2
