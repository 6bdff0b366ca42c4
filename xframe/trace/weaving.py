"""The rows of a step that several replicas had, put back into the order of the step: joined, or woven.

Lists come as ``Lists``: those of consecutive steps one after the other, and how long each is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_IN_CACHE = 1 << 18  # values that are put in their places before the next, so that they stay in the processor's cache

Ints = NDArray[np.int64]


class Lists(NamedTuple):
    """Lists of one replica, one a step, each of ``lengths`` elements of ``each`` values; where they are known."""

    values: Ints
    lengths: Ints
    known: NDArray[np.bool_] | None = None


def together(replicas: Sequence[Lists], *, woven: bool, each: int = 1) -> Lists:
    """The lists of all replicas as one, step by step; unknown where one is.

    Args:
        replicas: of the same steps, by index.
        woven: a step's rows went round the replicas, the first to the first; else each had consecutive ones, by index.
        each: how many values an element has.
    """
    known = _known_by_all(replicas)
    if known is not None:
        replicas = [_only(lists, known, each) for lists in replicas]
    lengths = np.array([lists.lengths for lists in replicas])
    sizes: Ints = lengths.sum(axis=0)
    if not sizes.any():
        return Lists(np.zeros(0, np.int64), sizes, known)
    if (lengths == lengths[:, :1]).all() and (not woven or _even(lengths[:, 0])):
        return Lists(_of_equal_steps(replicas, lengths[:, 0], each, woven=woven), sizes, known)
    values = np.empty((int(sizes.sum()), each), np.int64)
    starts, before = np.cumsum(sizes) - sizes, np.cumsum(lengths, axis=0) - lengths
    round_about = _as_dealt(lengths, sizes) if woven else np.ones(len(sizes), np.bool_)
    for index, lists in enumerate(replicas):
        rows, turn = lists.values.reshape(-1, each), _places(lists.lengths)
        first = starts + (index if woven else before[index])
        at = np.repeat(first, lists.lengths) + turn * (len(replicas) if woven else 1)
        if not round_about.all():
            own = np.repeat(round_about, lists.lengths)
            at, rows = at[own], rows[own]
        values[at] = rows
    if not round_about.all():
        values[np.repeat(~round_about, sizes)] = _in_turns(replicas, ~round_about, each)
    return Lists(values.reshape(-1), sizes, known)


def _places(lengths: Ints) -> Ints:
    """For each element, its place in its list."""
    places: Ints = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return places


def _in_turns(replicas: Sequence[Lists], which: NDArray[np.bool_], each: int) -> NDArray[np.int64]:
    """The elements of those steps: the first of each replica, then the second of each that has one, and so on."""
    rows, steps, turns, ranks = [], [], [], []
    for index, lists in enumerate(replicas):
        own = np.repeat(which, lists.lengths)
        rows.append(lists.values.reshape(-1, each)[own])
        steps.append(np.repeat(np.arange(len(which)), lists.lengths)[own])
        turns.append(_places(lists.lengths)[own])
        ranks.append(np.full(len(rows[-1]), index))
    order = np.lexsort([np.concatenate(keys) for keys in (ranks, turns, steps)])
    woven: NDArray[np.int64] = np.concatenate(rows)[order]
    return woven


def _known_by_all(replicas: Sequence[Lists]) -> NDArray[np.bool_] | None:
    masks = [lists.known for lists in replicas if lists.known is not None]
    return np.logical_and.reduce(masks) if masks else None


def _only(lists: Lists, known: NDArray[np.bool_], each: int) -> Lists:
    """The same lists, without those of steps that not all replicas know."""
    kept = np.repeat(known, each * lists.lengths)
    return Lists(lists.values[kept], np.where(known, lists.lengths, 0))


def _even(lengths: Ints) -> bool:
    """Whether replicas have so many rows of a step that went round them."""
    return bool(_as_dealt(lengths[:, None], lengths.sum(keepdims=True))[0])


def _as_dealt(lengths: Ints, sizes: Ints) -> NDArray[np.bool_]:
    """For each step, whether the lengths are those of rows that went round the replicas."""
    rank = np.arange(len(lengths))[:, None]
    due: NDArray[np.bool_] = (lengths == (sizes - rank + len(lengths) - 1) // len(lengths)).all(axis=0)
    return due


def _of_equal_steps(replicas: Sequence[Lists], lengths: Ints, each: int, *, woven: bool) -> Ints:
    """Of steps in which each replica has the same number of rows as in every other."""
    steps, size = len(replicas[0].lengths), int(lengths.sum())
    at_once = max(1, _IN_CACHE // (size * each))
    if not woven and (lengths == lengths[0]).all():  # what a replica has of a step is copied as one
        values = np.empty((steps, len(replicas)), f"V{8 * each * int(lengths[0])}")
        own = [lists.values.view(values.dtype) for lists in replicas]
        places: list[int | slice] = [*range(len(replicas))]
    else:
        values, ends = np.empty((steps, size, each), np.int64), np.cumsum(lengths).tolist()
        counts = lengths.tolist()
        own = [lists.values.reshape(steps, count, each) for lists, count in zip(replicas, counts, strict=True)]
        joined = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
        places = [slice(index, size, len(replicas)) for index in range(len(replicas))] if woven else [*joined]
    for start in range(0, steps, at_once):
        for place, rows in zip(places, own, strict=True):
            values[start : start + at_once, place] = rows[start : start + at_once]
    return values.reshape(-1).view(np.int64)
