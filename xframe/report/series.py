"""Columns of runs made small enough to draw: in each of some hundred ranges of steps the lowest and the highest value.

A spike of one step among millions is the highest of its range, so that it stays. Rows are read once, in blocks, all
columns together; memory does not grow with the number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.pairing import BLOCK_ROWS, Run
from xframe.comparison.result import Tolerance
from xframe.trace.rows import Rows

Floats = NDArray[np.float64]

COLUMNS = ("loss", "lr", "gradient_norm", "clipped_norm")
_POINTS = 1600  # of all lines of a picture, about
_FEWEST = 60


class Envelope:
    """The lowest and highest value in each range of steps; NaN where none is known and finite.

    Attributes:
        edges: range i is the steps ``edges[i]`` to ``edges[i + 1]`` (excluded).
        highest, highest_at: of all steps.
        finite, odd_at: how many values were finite numbers, and the first step whose value was known and was none.
    """

    def __init__(self, num_steps: int, ranges: int) -> None:
        ranges = max(1, min(ranges, num_steps))
        self.edges = np.arange(ranges + 1, dtype=np.int64) * num_steps // ranges
        self.low, self.high = np.full(ranges, np.nan), np.full(ranges, np.nan)
        self.finite, self.highest = 0, -np.inf
        self.highest_at, self.odd_at = 0, -1

    def feed(self, start: int, values: Floats, known: NDArray[np.bool_] | None = None) -> None:
        """The values of the steps from ``start`` on; what is not known is None of these."""
        if not len(values):
            return
        finite = np.isfinite(values)
        if not finite.all():
            odd = ~finite if known is None else ~finite & known
            if self.odd_at < 0 and odd.any():
                self.odd_at = start + int(odd.argmax())
            values = np.where(finite, values, np.nan)
        if not finite.any():
            return
        self.finite += int(finite.sum())
        at = int(np.nanargmax(values))
        if values[at] > self.highest:
            self.highest, self.highest_at = float(values[at]), start + at
        stop = start + len(values)
        first = int(np.searchsorted(self.edges, start, side="right")) - 1
        last = int(np.searchsorted(self.edges, stop, side="left"))
        cuts = np.clip(self.edges[first:last], start, stop) - start
        self.low[first:last] = np.fmin(self.low[first:last], np.fmin.reduceat(values, cuts))
        self.high[first:last] = np.fmax(self.high[first:last], np.fmax.reduceat(values, cuts))

    def line(self, *, highest: bool = False) -> tuple[Floats, Floats]:
        """Places and values of a line through the lowest and the highest of each range, or the highest alone."""
        middles = (self.edges[:-1] + self.edges[1:] - 1) / 2
        if highest or np.array_equal(self.low, self.high, equal_nan=True):
            return middles, self.high
        return np.repeat(middles, 2), np.stack([self.low, self.high], axis=1).ravel()

    def coarse(self, ranges: int) -> Iterator[tuple[int, int, float, float]]:
        """Fewer ranges: the first step, the last, the lowest and the highest value."""
        bounds = np.unique(np.linspace(0, len(self.low), ranges + 1).round().astype(int))
        for start, stop in pairwise(bounds.tolist()):
            known = ~np.isnan(self.low[start:stop])
            low = self.low[start:stop][known].min() if known.any() else np.nan
            high = self.high[start:stop][known].max() if known.any() else np.nan
            yield int(self.edges[start]), int(self.edges[stop]) - 1, float(low), float(high)


@dataclass
class Lines:
    """What is drawn of one run.

    Attributes:
        name: of the run.
        columns: by name; ``seconds`` is the time that a step took.
        difference, allowed: of its losses from the reference's; None for the reference.
        beyond_at: the first step at which it is more than is allowed; -1 if none is.
        short, first_short, largest: batches smaller than the largest, the first of them, and the largest.
        sized: batches whose size is known.
    """

    name: str
    columns: dict[str, Envelope]
    difference: Envelope | None = None
    allowed: Envelope | None = None
    beyond_at: int = -1
    short: int = 0
    first_short: int = -1
    largest: int = 0
    sized: int = 0
    _time: int = 0

    def feed(self, block: Rows) -> dict[str, Floats]:
        """The next rows of the run; returns the columns as numbers, NaN where they are not known."""
        numbers = {}
        for name in COLUMNS:
            values, known = block.column(name)
            numbers[name] = values
            self.columns[name].feed(block.start, values, known)
        self._feed_sizes(block)
        self._feed_times(block)
        return numbers

    def _feed_sizes(self, block: Rows) -> None:
        """Sizes and the first step of each, as long as it is not known which is the largest."""
        values, known = block.column("batch_size")
        values = values if known is None else values[known]
        rows = np.arange(len(values)) if known is None else np.flatnonzero(known)
        if not len(values):
            return
        self.sized += len(values)
        largest = int(values.max())
        if largest > self.largest:
            if self.largest:  # all before were short
                self.short, self.first_short = self.sized - len(values), 0
            self.largest = largest
        below = values < self.largest
        self.short += int(below.sum())
        if self.first_short < 0 and below.any():
            self.first_short = block.start + int(rows[below.argmax()])

    def _feed_times(self, block: Rows) -> None:
        """The time that each step took; steps whose rows came home together share theirs."""
        if "time_ns" not in block.known or not len(block):
            return
        times = block.column("time_ns").values
        _, starts, sizes = np.unique(times, return_index=True, return_counts=True)
        taken = np.repeat(np.diff(times[starts], prepend=self._time) / (1e9 * sizes), sizes)
        self._time = int(times[-1])
        if len(taken) == len(times):
            taken[taken <= 0] = np.nan
            self.columns["seconds"].feed(block.start, taken, np.zeros(len(taken), np.bool_))


def lines_of(runs: Sequence[Run], tolerance: Tolerance | None) -> list[Lines]:
    """What is drawn of these runs, the reference first."""
    steps = max(len(run.rows) for run in runs)
    ranges = max(_FEWEST, _POINTS // (2 * len(runs)))
    lines = [Lines(run.name, {name: Envelope(steps, ranges) for name in (*COLUMNS, "seconds")}) for run in runs]
    for one in lines[1:]:
        one.difference, one.allowed = Envelope(steps, ranges), Envelope(steps, ranges)
    rows = [run.rows.unread() for run in runs]
    slacks = [None if (read := run.readings.get("loss")) is None else read.slack for run in runs]
    for start in range(0, steps, BLOCK_ROWS):
        blocks = [one.between(start, start + BLOCK_ROWS) for one in rows]
        losses = [one.feed(block)["loss"] for one, block in zip(lines, blocks, strict=True)]
        for i in range(1, len(lines)):
            more = [slack[start:] for slack in (slacks[0], slacks[i]) if slack is not None]
            _compare(lines[i], start, losses[i], losses[0], tolerance, more)
    return lines


def _compare(
    lines: Lines, start: int, own: Floats, reference: Floats, tolerance: Tolerance | None, more: Sequence[Floats]
) -> None:
    """The differences of losses in the steps that both made, and what is allowed there: ``more`` where they are read
    from means."""
    shared = min(len(own), len(reference))
    own, reference = own[:shared], reference[:shared]
    assert lines.difference is not None
    assert lines.allowed is not None
    with np.errstate(over="ignore", invalid="ignore"):
        difference = np.abs(own - reference)
        lines.difference.feed(start, difference, ~(np.isnan(own) | np.isnan(reference)))
        if tolerance is None:
            return
        allowed = tolerance.allowed(own, reference) + sum(slack[:shared] for slack in more)
        beyond = difference > allowed
    if lines.beyond_at < 0 and beyond.any():
        lines.beyond_at = start + int(beyond.argmax())
    lines.allowed.feed(start, np.where(np.isnan(difference), np.nan, allowed))
