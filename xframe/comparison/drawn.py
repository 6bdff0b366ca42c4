"""The samples that one run drew, read in pieces: passes are looked at many at a time, and few of them are in memory.

A pass is a range of rows (places in the batches laid end to end), and passes are given by the first row of each and
the end of the last. Small ones come together in a ``Piece``, so that no work is done pass by pass; only a pass that
is larger than a piece is in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.pairing import Run

Ids = NDArray[np.int64]

_PIECE = 1 << 19  # samples that are looked at together


class Piece:
    """What consecutive passes drew.

    Attributes:
        first: the index of the first of them.
        ids: of all of them, one pass after the other, as they were drawn.
        starts: the passes are ``ids[starts[i] : starts[i + 1]]``.
    """

    def __init__(self, first: int, ids: Ids, lengths: NDArray[np.int64]) -> None:
        self.first, self.ids = first, ids
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, index: int) -> Ids:
        """What one of them drew; counted from the first of these."""
        return self.ids[self.starts[index] : self.starts[index + 1]]

    def between(self, start: int, stop: int) -> Piece:
        """Some of them; counted from the first of these."""
        ids = self.ids[self.starts[start] : self.starts[stop]]
        return Piece(self.first + start, ids, self.lengths[start:stop])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many samples each drew."""
        return np.diff(self.starts)

    @cached_property
    def sorted(self) -> Piece:
        """The same, the samples of each pass in order."""
        ids = self.ids.copy() if len(self) == 1 else self._sorted_together()
        if len(self) == 1:
            ids.sort()
        return Piece(self.first, ids, self.lengths)

    def _sorted_together(self) -> Ids:
        """Each pass's samples in order, by one sort: a pass has a range of numbers of its own."""
        if not len(self.ids):
            return self.ids
        least, most = int(self.ids.min()), int(self.ids.max())
        width = most - least + 1
        if width * len(self) < 2**62:
            places = np.repeat(np.arange(len(self)) * width - least, self.lengths)
            keys = self.ids + places
            keys.sort()
            return keys - places
        order = np.lexsort((self.ids, np.repeat(np.arange(len(self)), self.lengths)))
        return self.ids[order]

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """How many samples each pass draws that it has drawn before."""
        ids = self.sorted.ids
        return self._counted(np.flatnonzero(ids[1:] == ids[:-1]) + 1, within=True)

    def unlike(self, other: Piece) -> NDArray[np.int64]:
        """Which passes of two runs do not have the same samples, each as often."""
        a, b = self.sorted, other.sorted
        if np.array_equal(a.starts, b.starts):
            return np.flatnonzero(self._counted(np.flatnonzero(a.ids != b.ids)))
        return np.array([i for i in range(len(self)) if not np.array_equal(a.of(i), b.of(i))], dtype=np.int64)

    def _counted(self, places: NDArray[np.int64], *, within: bool = False) -> NDArray[np.int64]:
        """How many of these places each pass has; ``within``: those at which none begins."""
        which = np.searchsorted(self.starts, places, side="right") - 1
        if within:
            which = which[places != self.starts[which]]
        return np.bincount(which, minlength=len(self))


class Drawn:
    """The samples of one run, in the first steps of it.

    Attributes:
        run: whose they are.
        bounds: batch i is rows ``bounds[i]`` to ``bounds[i + 1]``.
        size: how many samples there are.
    """

    size: int

    def __init__(self, run: Run, steps: int) -> None:
        self._rows = rows = run.rows.head(steps)
        self.run, self.bounds = run, rows.bounds
        padding = rows.column("padding").values.clip(min=0)
        self._kept = (
            np.maximum(np.diff(self.bounds) - padding, 0) if padding.any() else None
        )  # of each batch, its first rows
        self._before = None if self._kept is None else np.concatenate([np.zeros(1, np.int64), np.cumsum(self._kept)])

    @property
    def num_rows(self) -> int:
        """Rows of all batches."""
        return int(self.bounds[-1])

    def step(self, row: int) -> int:
        """The step that a row belongs to."""
        return int(np.searchsorted(self.bounds, row, side="right")) - 1

    def rows(self, start: int, stop: int) -> Ids:
        """The ids of these rows, those that fill up a batch included."""
        first = self.step(start)
        stop_step = int(np.searchsorted(self.bounds, stop))
        ids: Ids = self._rows.between(first, stop_step).column("ids").values
        return ids[start - self.bounds[first] : stop - self.bounds[first]]

    def each_rows(self) -> Iterator[tuple[int, Ids]]:
        """All rows in order: the first of some, and their ids."""
        for start in range(0, self.num_rows, _PIECE):
            yield start, self.rows(start, min(start + _PIECE, self.num_rows))

    def drawn(self, way: Sequence[int]) -> NDArray[np.int64]:
        """How many samples each of these passes drew, without the rows that fill up its last batch: those declared,
        and what its last batch has beyond as many samples as there are."""
        ends = np.asarray(way, dtype=np.int64)
        kept = np.diff(self._kept_before(ends))
        last = self.bounds[np.searchsorted(self.bounds, ends[1:] - 1, side="right") - 1]
        before = self._kept_before(np.maximum(last, ends[:-1])) - self._kept_before(ends[:-1])
        drawn: Ids = np.where(self.size >= before, np.minimum(kept, self.size), kept)
        return drawn

    def _kept_before(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of the rows before each of these hold a sample that is not declared to fill up a batch."""
        if self._kept is None or self._before is None:
            return rows
        steps = np.minimum(np.searchsorted(self.bounds, rows, side="right") - 1, len(self._kept) - 1)
        kept: Ids = self._before[steps] + np.minimum(rows - self.bounds[steps], self._kept[steps])
        return kept

    def pieces(self, way: Sequence[int]) -> Iterator[Piece]:
        """What each of these passes drew, some passes at a time."""
        ends, lengths, first = np.asarray(way, dtype=np.int64), self.drawn(way), 0
        while first < len(lengths):
            stop = max(int(np.searchsorted(ends, ends[first] + _PIECE, side="right")) - 1, first + 1)
            yield Piece(first, self._members(ends[first : stop + 1], lengths[first:stop]), lengths[first:stop])
            first = stop

    def _members(self, ends: NDArray[np.int64], lengths: NDArray[np.int64]) -> Ids:
        """The samples of consecutive passes, of which each drew as many."""
        start, stop = int(ends[0]), int(ends[-1])
        ids, places = self.rows(start, stop), np.arange(start, stop)
        sizes = np.diff(ends)
        if self._kept is not None:
            steps = np.searchsorted(self.bounds, places, side="right") - 1
            real = places - self.bounds[steps] < self._kept[steps]
            ids, sizes = ids[real], np.diff(self._kept_before(ends))
        if np.array_equal(sizes, lengths):
            return ids
        begun = np.repeat(np.cumsum(sizes) - sizes, sizes)
        kept: Ids = ids[np.arange(len(ids)) - begun < np.repeat(lengths, sizes)]
        return kept

    @cached_property
    def samples(self) -> Ids:
        """Those that were drawn, each once and in order."""
        return distinct(ids for _, ids in self.each_rows())

    def last_new(self) -> int:
        """The last step that draws a sample for the first time."""
        seen, last = np.zeros(len(self.samples), dtype=bool), 0
        for start, ids in self.each_rows():
            places = places_of(ids, self.samples)
            new = ~seen[places]
            if new.any():
                which, first = np.unique(places[new], return_index=True)
                last = start + int(np.flatnonzero(new)[first.max()])
                seen[which] = True
        return self.step(last)


def distinct(pieces: Iterable[Ids]) -> Ids:
    """The numbers in all pieces, each once and in order."""
    numbers, waiting, many = np.zeros(0, dtype=np.int64), list[Ids](), 0
    for ids in pieces:
        waiting.append(_unique(ids))
        many += len(waiting[-1])
        if many > len(numbers) + _PIECE:  # so that each number is sorted a few times only
            numbers, waiting, many = _unique(np.concatenate([numbers, *waiting])), [], 0
    return _unique(np.concatenate([numbers, *waiting]))


def _unique(ids: Ids) -> Ids:
    """By a sort, which is many times faster than NumPy's way."""
    ids = np.sort(ids)
    once: Ids = ids[np.concatenate([np.ones(min(len(ids), 1), dtype=bool), ids[1:] != ids[:-1]])]
    return once


def places_of(ids: Ids, samples: Ids) -> NDArray[np.int64]:
    """Where in the samples, which are in order, each of these stands."""
    if samples[-1] - samples[0] + 1 == len(samples):
        places: Ids = ids - samples[0]
        return places
    return np.searchsorted(samples, ids)


def together(sides: Sequence[Drawn], way: Sequence[int]) -> Iterator[tuple[Piece, ...]]:
    """The pieces of several runs, of the same passes."""
    return zip(*(side.pieces(way) for side in sides), strict=True)
