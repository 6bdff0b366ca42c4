"""Where the passes of two runs that shuffled on their own begin, and which samples each pass drew.

The two have batches of equal sizes, so that a row (a place in the batches laid end to end) is the same place in both.
A pass is a range of rows. Where no plan says where passes end, labels are believed only if what they delimit draws no
sample twice; else a pass ends where all samples have been drawn: at the end of a batch, at the end of one that was
filled up, or anywhere, in a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import exp, expm1, inf, log

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.drawn import Drawn, Ids, Piece, distinct, places_of
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan

_CERTAIN = 13.8  # a chance of one in a million, as minus its logarithm
_FEWEST = 10  # samples whose order is evidence: one in 10! orders is the stored one


def passes(sides: Sequence[Drawn], plan: TrainingPlan | None, total: int | None) -> list[int] | None:
    """The first row of each pass and the end of the last; None if it is not known.

    Of the ways in which passes may end it is the first in which neither run draws a sample twice in a pass, else the
    first in which one of them draws none twice, else what labels or the ends of batches say. Labels are also believed
    where they delimit parts of all samples, if in no other way all are drawn.
    """
    size = total or len(union(sides))
    for side in sides:
        side.size = size
    if plan is not None and plan.steps_per_epoch is not None and plan.remainder != "carry":
        if total is None:
            return None
        begun = counting.rows(plan, total, 0, len(sides[0].bounds) - 1).pass_index
        return _closed(sides[0], np.flatnonzero(np.diff(begun, prepend=-1)))
    labels, by_batches = list(_by_labels(sides, size)), _by_batches(sides[0], size)
    guessed = [] if by_batches else list(_by_rows(sides[0], size))
    stated, partly = [(way, size) for way in (*labels, *by_batches)], [(way, 0) for way in labels]
    filled = [(way, size) for way in guessed]
    fitting = _fitting(sides, [*stated, *filled, *partly], all)
    if fitting is None and (total is None or _fitting(sides, _whole_batches(sides[0], size), all)):
        filled = []  # which of the two runs would not fit is not known either
    return fitting or _fitting(sides, [*stated, *filled, *partly], any) or next(iter([*labels, *by_batches]), None)


def dropping(sides: Sequence[Drawn]) -> list[int] | None:
    """The passes if both runs drop what is left over: whole batches of as many samples as either ever drew.

    Believed where passes that leave none out would not fit them by chance: then those left over at the end of the first
    come again in the next.
    """
    side, size = sides[0], sides[0].size
    way = _fitting(sides, _whole_batches(side, size), all)
    rest = size % int(side.bounds[1])
    if way is None or len(way) < 3 or not rest:
        return None
    next_ones = min(way[2] - way[1], size) - rest
    log_chance = sum(log((size - next_ones - i) / (size - i)) for i in range(min(rest, max(size - next_ones, 0))))
    return way if next_ones > 0 and -len(sides) * log_chance > _CERTAIN else None


def labelled(sides: Sequence[Drawn]) -> list[int] | None:
    """The epochs, if all runs that label any label the same: a pass may draw some samples more often than others."""
    ways = [_closed(side, _begun(side)) for side in sides if "epoch" in side.run.rows.known]
    return ways[0] if ways and all(way == ways[0] for way in ways) else None


def kept_draws(side: Drawn, way: Sequence[int]) -> bool:
    """Whether each of several passes draws the same samples, each as often, which chance does not."""
    first: Ids | None = None
    for piece in side.pieces(way):
        for one in map(piece.sorted.of, range(len(piece))):
            if first is not None and not np.array_equal(one, first):
                return False
            first = one
    return len(way) > 2


def _begun(side: Drawn) -> NDArray[np.int64]:
    """The steps with which its epochs begin."""
    labels = side.run.rows.head(len(side.bounds) - 1).column("epoch").values
    return np.flatnonzero(np.diff(labels, prepend=-1))


def _fitting(
    sides: Sequence[Drawn], ways: Iterable[tuple[list[int], int]], enough: Callable[[Iterable[bool]], bool]
) -> list[int] | None:
    """The first of these ways that all of the sides follow, or any of them."""
    return next((way for way, least in ways if enough(_are_passes(side, way, least) for side in sides)), None)


def _are_passes(side: Drawn, way: Sequence[int], least: int) -> bool:
    """Whether no sample comes twice in any of these, and all but the last have at least so many."""
    if (side.drawn(way)[:-1] < least).any():
        return False
    return not any(piece.repeats.any() for piece in side.pieces(way))


def union(sides: Sequence[Drawn]) -> Ids:
    """The samples that any of the runs drew, in order."""
    return distinct(side.samples for side in sides)


def _by_labels(sides: Sequence[Drawn], size: int) -> Iterator[list[int]]:
    """Each run's epochs, if none is more than a pass and all but the last are alike."""
    for side in sides:
        if "epoch" in side.run.rows.known:
            way = _closed(side, _begun(side))
            drawn = side.drawn(way)
            if drawn.max() <= size and (drawn[:-1] == drawn[0]).all():
                yield way


def _by_batches(side: Drawn, size: int) -> list[list[int]]:
    """Passes that end with a batch, if as many samples as there are always do."""
    starts = np.arange(0, side.num_rows, size)
    return (
        [[*starts.tolist(), side.num_rows]]
        if (side.bounds[np.searchsorted(side.bounds, starts)] == starts).all()
        else []
    )


def _by_rows(side: Drawn, size: int) -> Iterator[list[int]]:
    """Passes whose last batch is filled up, and passes in a stream, which end anywhere."""
    rows, each = side.num_rows, int(side.bounds[1])
    if each and (np.diff(side.bounds) == each).all():
        yield [*range(0, rows, -(-size // each) * each), rows]
    yield [*range(0, rows, size), rows]


def _whole_batches(side: Drawn, size: int) -> Iterator[tuple[list[int], int]]:
    """Passes that drop what is left over: in small data these fit by chance what they are not."""
    rows, each = side.num_rows, int(side.bounds[1])
    if 0 < each <= size and (np.diff(side.bounds) == each).all():
        yield [*range(0, rows, size // each * each), rows], 0


def _closed(side: Drawn, steps: NDArray[np.int64]) -> list[int]:
    return [*map(int, side.bounds[steps]), side.num_rows]


class NeverSeen:
    """The samples that a run has not drawn after some passes, against what chance leaves out.

    A pass that leaves out r of n samples leaves each of them out with the chance r / n; what many passes leave out is
    rare, and whoever draws from a part of the samples only leaves out the rest each time.
    """

    def __init__(self, samples: Ids, total: int) -> None:
        self.samples, self.total = samples, total
        self._seen = np.zeros(len(samples), dtype=bool)
        self._log_chance = 0.0  # that all passes so far leave a sample out

    def add(self, ids: Ids) -> None:
        """The next pass, which draws no sample twice."""
        self.draw(ids, (self.total - len(ids)) / self.total)

    def draw(self, ids: Ids, chance: float) -> None:
        """Samples drawn with that chance of leaving one out."""
        self._see(ids)
        self._log_chance += log(chance) if chance > 0 else -inf

    def add_all(self, piece: Piece) -> None:
        """The next passes, each as ``add`` takes one."""
        self._see(piece.ids)
        for length, passes in zip(*np.unique(piece.lengths, return_counts=True), strict=True):
            chance = (self.total - int(length)) / self.total
            self._log_chance += int(passes) * log(chance) if chance > 0 else -inf

    def _see(self, ids: Ids) -> None:
        self._seen[places_of(ids, self.samples)] = True

    @property
    def count(self) -> int:
        """How many were never drawn."""
        return self.total - int(np.count_nonzero(self._seen))

    @property
    def expected(self) -> float:
        """How many chance leaves out."""
        return self.total * exp(self._log_chance)

    @property
    def certain(self) -> bool:
        """Whether chance leaves as many out in one of a million runs, by Chernoff's bound."""
        share, log_chance = self.count / self.total, self._log_chance
        if share <= exp(log_chance):
            return False
        if log_chance == -inf:
            return True
        rest = (1 - share) * log((1 - share) / -expm1(log_chance)) if share < 1 else 0.0
        return self.total * (share * (log(share) - log_chance) + rest) > _CERTAIN


def order_of(side: Drawn, bounds: Sequence[int]) -> str | None:
    """In which order it goes through the samples, in words; None if there are too few to say."""
    lengths = side.drawn(bounds)
    if not len(lengths) or lengths[0] < _FEWEST:
        return None
    stored, alike, unlike = True, False, False
    first = side.rows(bounds[0], bounds[0])
    for piece in side.pieces(bounds):
        first = piece.of(0) if piece.first == 0 else first
        ids, sizes = piece.ids, piece.lengths
        falls = np.flatnonzero(np.diff(ids) <= 0) + 1
        stored = stored and bool(np.isin(falls, piece.starts).all())
        places = np.arange(len(ids)) - np.repeat(piece.starts[:-1], sizes)
        differ = (ids != first[np.minimum(places, len(first) - 1)]) & (places < len(first))
        many = np.bincount(np.repeat(np.arange(len(piece)), sizes)[differ], minlength=len(piece))
        judged = (sizes >= _FEWEST) & (np.arange(len(piece)) + piece.first > 0)
        unlike = unlike or bool((many[judged] > 0).any())
        alike = alike or bool((many[judged] == 0).any())
        if unlike and not stored:
            return "shuffles again for each pass"
    if stored:
        return "goes through the samples in their stored order"
    return "has the same order in each pass" if alike else "shuffles"
