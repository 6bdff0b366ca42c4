"""Where the passes of two runs that shuffled on their own begin, and which samples each pass drew.

The two have batches of equal sizes, so that a row (a place in the batches laid end to end) is the same place in both.
A pass is a range of rows. Where no plan says where passes end, labels are believed only if what they delimit draws no
sample twice; else a pass ends where all samples have been drawn: at the end of a batch, at the end of one that was
filled up, or anywhere, in a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import exp, expm1, inf, log

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.pairing import Run
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan

Ids = NDArray[np.int64]

_CERTAIN = 13.8  # a chance of one in a million, as minus its logarithm
_FEWEST = 10  # samples whose order is evidence: one in 10! orders is the stored one


class Drawn:
    """The samples of one run, in the first steps of it.

    Attributes:
        run: whose they are.
        bounds: batch i is rows ``bounds[i]`` to ``bounds[i + 1]``.
        ids: of each row.
        size: how many samples there are.
    """

    size: int

    def __init__(self, run: Run, steps: int) -> None:
        rows = run.rows.head(steps)
        self.run, self.bounds = run, rows.bounds
        self.ids: Ids = rows.column("ids").values
        ends = self.bounds[1:] - rows.column("padding").values.clip(min=0)
        self._kept = np.arange(len(self.ids)) < np.repeat(ends, np.diff(self.bounds))

    def of(self, start: int, stop: int) -> Ids:
        """The samples of a pass, without the rows that fill up its last batch: those declared, and what its last batch
        has beyond as many samples as there are."""
        kept = self._kept[start:stop]
        ids = self.ids[start:stop][kept]
        last = max(int(self.bounds[self.step(stop - 1)]) - start, 0)
        return ids[: self.size] if self.size >= np.count_nonzero(kept[:last]) else ids

    def step(self, row: int) -> int:
        """The step that a row belongs to."""
        return int(np.searchsorted(self.bounds, row, side="right")) - 1

    def last_new(self) -> int:
        """The last step that draws a sample for the first time."""
        return self.step(int(np.flatnonzero(~repeats(self.ids))[-1]))


def repeats(ids: Ids) -> NDArray[np.bool_]:
    """Where a sample stands that stood before."""
    again = np.ones(len(ids), dtype=bool)
    again[np.unique(ids, return_index=True)[1]] = False
    return again


def passes(sides: Sequence[Drawn], plan: TrainingPlan | None, total: int | None) -> list[int] | None:
    """The first row of each pass and the end of the last; None if it is not known.

    Of the ways in which passes may end it is the first in which neither run draws a sample twice in a pass, else the
    first in which one of them draws none twice, else what labels or the ends of batches say. Labels are also believed
    where they delimit parts of all samples, if in no other way all are drawn.
    """
    size = total or len(np.unique(np.concatenate([side.ids for side in sides])))
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


def _fitting(
    sides: Sequence[Drawn], ways: Iterable[tuple[list[int], int]], enough: Callable[[Iterable[bool]], bool]
) -> list[int] | None:
    """The first of these ways that all of the sides follow, or any of them."""
    return next((way for way, least in ways if enough(_are_passes(side, way, least) for side in sides)), None)


def _are_passes(side: Drawn, way: Sequence[int], least: int) -> bool:
    """Whether no sample comes twice in any of these, and all but the last have at least so many."""
    drawn = [side.of(*one) for one in pairwise(way)]
    return all(len(ids) >= least for ids in drawn[:-1]) and not any(repeats(ids).any() for ids in drawn)


def _by_labels(sides: Sequence[Drawn], size: int) -> Iterator[list[int]]:
    """Each run's epochs, if none is more than a pass and all but the last are alike."""
    for side in sides:
        if "epoch" in side.run.rows.known:
            labels = side.run.rows.head(len(side.bounds) - 1).column("epoch").values
            way = _closed(side, np.flatnonzero(np.diff(labels, prepend=-1)))
            drawn = [len(side.of(*one)) for one in pairwise(way)]
            if max(drawn) <= size and len(set(drawn[:-1])) <= 1:
                yield way


def _by_batches(side: Drawn, size: int) -> list[list[int]]:
    """Passes that end with a batch, if as many samples as there are always do."""
    starts = range(0, len(side.ids), size)
    return [[*starts, len(side.ids)]] if np.isin(starts, side.bounds).all() else []


def _by_rows(side: Drawn, size: int) -> Iterator[list[int]]:
    """Passes whose last batch is filled up, and passes in a stream, which end anywhere."""
    rows, each = len(side.ids), int(side.bounds[1])
    if each and (np.diff(side.bounds) == each).all():
        yield [*range(0, rows, -(-size // each) * each), rows]
    yield [*range(0, rows, size), rows]


def _whole_batches(side: Drawn, size: int) -> Iterator[tuple[list[int], int]]:
    """Passes that drop what is left over: in small data these fit by chance what they are not."""
    rows, each = len(side.ids), int(side.bounds[1])
    if 0 < each <= size and (np.diff(side.bounds) == each).all():
        yield [*range(0, rows, size // each * each), rows], 0


def _closed(side: Drawn, steps: NDArray[np.int64]) -> list[int]:
    return [*map(int, side.bounds[steps]), len(side.ids)]


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
        self._seen[np.searchsorted(self.samples, ids)] = True
        self._log_chance += log(chance) if chance > 0 else -inf

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
    drawn = [side.of(*one) for one in pairwise(bounds)]
    if not drawn or len(drawn[0]) < _FEWEST:
        return None
    if all((np.diff(ids) > 0).all() for ids in drawn):
        return "goes through the samples in their stored order"
    alike = [np.array_equal(ids[: len(drawn[0])], drawn[0][: len(ids)]) for ids in drawn[1:] if len(ids) >= _FEWEST]
    if not alike:
        return "shuffles"
    return "has the same order in each pass" if all(alike) else "shuffles again for each pass"
