"""Records that average or lag: what a run's column means where it isn't the number of its own step.

Keras' logs have the mean of the losses since the epoch began; a loop may note each loss or learning rate a step late or
early, or count updates before its optimizer steps. Two such runs differ in the record and not in training. A reading
is looked for only where two runs differ, and taken only on evidence from the steps whose batches agree:

    updates             two optimizers, as the runs state, step where the other run's only one does
    losses, accuracies  read so, they agree where they did not as recorded, at several steps
    updates, rates      losses vary, and agree as closely as rounding lets them wherever both runs have one, at several
                        steps behind what differs, and the final weights agree: nothing but the record differs

What is judged then is what the run computed, by that reading: a mistake beside it differs at its own step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.averages import both_rounded, divided, means, rounded, smoothed
from xframe.comparison.checks.loss import classified, counted_differently
from xframe.comparison.checks.lr import behind, compared, share
from xframe.comparison.checks.weights import FinalWeights
from xframe.comparison.pairing import Common, Pair, Reading, Run
from xframe.comparison.settings import trained_together
from xframe.precision import epsilon
from xframe.trace.rows import MOST_ROWS
from xframe.trace.schema import Column

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Sides = tuple[Column, Column]

SEVERAL = 3  # steps that are evidence
ROUNDINGS = 64  # units in the last place by which the losses of one training differ


def read_again(pairs: Sequence[Pair]) -> dict[str, Run]:
    """By name, the runs whose record is to be read otherwise; empty where nothing speaks for it."""
    read: dict[str, Run] = {}
    for pair in pairs:
        longest = max(len(pair.candidate.rows), len(pair.reference.rows))
        if pair.firsts.keys() & {"loss", "accuracy", "lr", "updates"} and longest <= MOST_ROWS and not pair.other_data:
            reader = _Reader(pair)
            for run, reading in reader.found() if reader.sides else ():
                latest = read.get(run.name, run)
                if reading.column not in latest.readings:
                    read[run.name] = latest.read_as(reading)
    return read


class _Reader:
    """Looks for readings in one pair."""

    def __init__(self, pair: Pair) -> None:
        self.pair, self.runs = pair, (pair.candidate, pair.reference)
        # An adapter is to record each step's own numbers; what it records is read as it stands.
        self.sides = [side for side in (0, 1) if self.runs[side].facts.adapter is None]
        batches = (pair.firsts.get(name, pair.shared) for name in ("batch_size", "ids_digest"))
        self.steps = min(pair.shared, *batches)  # whose batches agree

    def found(self) -> Iterator[tuple[Run, Reading]]:
        """Those taken, each with its run."""
        losses, slack = self._columns("loss"), np.zeros(self.steps)
        if best := self._measured("loss", losses):
            side, reading, _ = best
            yield self.runs[side], reading
            losses = _with(losses, side, reading.values)
            slack = slack if reading.slack is None else reading.slack[: self.steps]
        if "accuracy" in self.pair.firsts and (best := self._measured("accuracy", self._columns("accuracy"))):
            yield self.runs[best[0]], best[1]
        agree = self._agree_closely(losses, slack)
        updates, rates = self._columns("updates"), self._columns("lr")
        shown = partial(
            self._shown, agree, np.where(_known(losses, self.steps), losses[1].values[: self.steps], np.nan)
        )
        best = self._best("updates", updates, self._counted_apart(updates), lambda explained: True)
        best = best or self._best("updates", updates, self._lagging("updates", updates), shown)
        if best is not None:
            side, reading, _ = best
            yield self.runs[side], reading
            updates = _with(updates, side, reading.values)
        self.steps = _first(self._differing("updates", updates))
        counts = np.where(_known(updates[1:], self.steps), updates[1].values[: self.steps], 0)
        applied = np.diff(np.maximum.accumulate(counts), prepend=0) > 0  # nowhere, of updates that are not known
        by = share(*(one.values[: self.steps] for one in rates)) * applied
        # What is computed from long means shows an update skipped, but not a twentieth of one.
        by = by * ~(slack[: self.steps] > 4 * self._rounding(losses))
        best = self._best("lr", rates, self._lagging("lr", rates), lambda explained: shown(explained, by))
        if best is not None:
            yield self.runs[best[0]], best[1]
        elif shown(self._differing("lr", rates), by):
            lags = ((self.runs[side], one) for side, one in self._lagging("lr", rates))
            yield from islice(((run, one) for run, one in lags if self._fits(run, one, rates)), 1)

    def _best(
        self, column: str, columns: Sides, readings: Iterable[tuple[int, Reading]], shown: Callable[[Mask], bool]
    ) -> tuple[int, Reading, int] | None:
        """The side and the reading by which the two agree for longest, and how long; ``shown`` is asked whether the
        steps up to there that it explains are evidence enough. A lag is as well one of the other side the other way,
        which seems to last one step longer: the first that fits is taken then; what has slack is no lag."""
        differing = self._differing(column, columns)
        best: tuple[int, Reading, int] | None = None
        longest = _first(differing)
        for side, reading in readings if differing.any() else ():
            read = _with(columns, side, reading.values)
            end = _first(self._differing(column, read, reading.slack))
            margin = best is not None and reading.slack is None
            if end > longest + margin and shown((differing & _known(read, self.steps))[:end]):
                best, longest = (side, reading, end), end
        return best

    def _measured(self, column: str, columns: Sides) -> tuple[int, Reading, int] | None:
        """The reading of losses or accuracies by which the two agree at several steps where they did not; or by which
        losses that both runs rounded agree everywhere."""
        if not self._differing(column, columns).any():
            return None
        either = both_rounded(*self.runs) if column == "loss" and 0 in self.sides else None
        if either is not None and not self._differing(column, columns, either.slack).any():
            return 0, either, self.steps
        return self._best(
            column, columns, self._otherwise(column, columns), lambda explained: explained.sum() >= SEVERAL
        )

    def _otherwise(self, column: str, columns: Sides) -> Iterator[tuple[int, Reading]]:
        """What the losses or accuracies of either side may be, the commoner first. Where each batch is the whole data
        set training itself may lag, or be as smooth as an average of some losses."""
        total = self.pair.terms.num_samples or self.runs[0].facts.num_samples
        sizes = self.runs[0].rows.column("batch_size").values[: self.steps]
        parts = total is not None and sizes.max(initial=0) < total
        for side in self.sides:
            run, other = self.runs[side], self.runs[1 - side]
            averages = (
                (means, smoothed)
                if parts or (total is None and self._batches_differ)
                else (means,) * (column in run.rows.known)
            )
            for found in (divided, *averages, rounded):
                yield from ((side, one) for one in found(self.pair, run, other, column))
        if not parts:
            return
        for by, when in ((1, "later"), (-1, "earlier")):
            for side in self.sides:
                run = self.runs[side]
                text = f"{run.name} records each {column} one step {when} than {self.runs[1 - side].name}"
                yield side, Reading(column, text, _moved(columns[side], by))

    @property
    def _batches_differ(self) -> bool:
        """Whether steps are known to have different samples."""
        digests, known = self.runs[1].rows.column("ids_digest")
        return self.steps > 1 and (known is None or bool(known[:2].all())) and bool(digests[0] != digests[1])

    def _counted_apart(self, columns: Sides) -> Iterator[tuple[int, Reading]]:
        """Updates of a run whose optimizers share the weights among them, beside one with a single optimizer."""
        stated = [_optimizers(run) for run in self.runs]
        for side in self.sides if stated[0][1] == stated[1][1] else ():
            run, several, known = self.runs[side], stated[side][0], columns[side].known
            if several > 1 == stated[1 - side][0] and known is None:
                text = f"{run.name} has {several} optimizers, each with an update where {self.runs[1 - side].name} has "
                text += "one"
                yield side, Reading("updates", text, Column(columns[side].values // several))

    def _lagging(self, column: str, columns: Sides) -> Iterator[tuple[int, Reading]]:
        """Updates or rates of a neighbouring step, on either side."""
        if column == "updates":
            for side in self.sides:
                run = self.runs[side]
                if (read := _after(columns[side], columns[1 - side])) is not None:
                    text = f"{run.name} counts the updates before each step's own, so that the last is not counted"
                    yield side, Reading(column, text, read)
            return
        for by, when in ((-1, "earlier"), (1, "later")):
            for side in self.sides:
                run = self.runs[side]
                moved = _moved(columns[side], by)
                rates = moved.values[: self.steps][_known((moved, moved), self.steps)]
                if (rates != rates[:1]).any():  # a rate that never changes cannot lag: what differs is another
                    text = f"{run.name} records each rate one step {when} than {self.runs[1 - side].name}"
                    yield side, Reading(column, text, moved)

    def _fits(self, run: Run, reading: Reading, rates: Sides) -> bool:
        """Whether rates read so, none of a step whose rate the other run recorded, lie between those that it recorded
        before and after."""
        values, known = reading.values
        others, recorded = rates[1 - self.runs.index(run)]
        if known is None or recorded is None:
            return False
        rows, at = np.flatnonzero(known), np.flatnonzero(recorded)
        if len(at) < 2 or np.intersect1d(rows, at).size:
            return False
        rows = rows[(rows > at[0]) & (rows < at[-1])]
        after = np.searchsorted(at, rows)
        a, b, read = others[at[after - 1]], others[at[after]], values[rows]
        inside = (read >= np.minimum(a, b)) & (read <= np.maximum(a, b))
        return len(rows) >= SEVERAL and bool(inside.all())

    def _agree_closely(self, losses: Sides, slack: Floats) -> Mask:
        """Where the losses are not known to be those of two trainings."""
        known = _known(losses, self.steps)
        a, b = (one.values[: self.steps] for one in losses)
        with np.errstate(over="ignore", invalid="ignore"):
            close: Mask = np.abs(a - b) <= self._rounding(losses) + slack
        return close | ~known

    def _rounding(self, losses: Sides) -> Floats:
        """By how much these losses may differ if they are those of one training."""
        a, b = (np.abs(one.values[: self.steps]) for one in losses)
        largest: Floats = ROUNDINGS * epsilon(self.pair.terms.precision) * np.maximum(a, b)
        return largest

    def _shown(self, agree: Mask, losses: Floats, explained: Mask, by: Floats | float = 1.0) -> bool:
        """Whether losses and weights show that training did not differ by that much of each update explained. Where
        more losses are unknown than one at an end, the final weights must be known to agree."""
        end = len(explained)
        differing = explained.astype(np.float64) * (by if isinstance(by, float) else by[:end])
        varying = losses[behind(differing)]
        varying = varying[np.isfinite(varying)]
        if len(varying) < SEVERAL or not agree[:end].all():
            return False
        least = ROUNDINGS * epsilon(self.pair.terms.precision) * np.abs(varying).max(initial=0.0)
        if np.ptp(varying) <= 100 * least:
            return False
        sparse = np.isnan(losses[:end]).sum() > 1
        if not end == len(self.runs[0].rows) == len(self.runs[1].rows):
            return not sparse
        weights = FinalWeights(self.pair).compared()
        return not sparse if weights is None else weights.result == "pass" if sparse else weights.result != "fail"

    def _columns(self, name: str) -> Sides:
        a, b = (run.rows.column(name) for run in self.runs)
        return a, b

    def _differing(self, column: str, sides: Sides, slack: Floats | None = None) -> Mask:
        """The steps at which these differ, by the rule of their check."""
        rows = np.flatnonzero(_known(sides, self.steps))
        a, b = (one.values[rows] for one in sides)
        if column == "updates":
            unequal = a != b
        elif column == "lr":
            unequal = compared(Common(a, b, 0, rows), 0.0, self.pair.terms.precision)[0]
        elif column == "accuracy":
            sizes = self.runs[0].rows.column("batch_size").values[rows]
            more = self.pair.terms.tolerance.atol + (0.0 if slack is None else slack[rows])
            unequal = counted_differently(a, b, sizes, more)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                allowed = self.pair.terms.tolerance.allowed(a, b) + (0.0 if slack is None else slack[rows])
                close = np.abs(a - b) <= allowed
            kinds = classified(a), classified(b)
            unequal = (kinds[0] != kinds[1]) | ~(close | (kinds[0] != 0))
        differing = np.zeros(self.steps, bool)
        differing[rows] = unequal
        return differing


def _optimizers(run: Run) -> tuple[int, int | None]:
    """How many optimizers it states, none if it states no settings, and how many numbers they train together."""
    settings = {} if run.trace is None else run.trace.settings
    count = sum(re.fullmatch(r"optimizer\.(\d+\.)?class", name) is not None for name in settings)
    return count, trained_together(settings)


def _with(sides: Sides, side: int, values: Column) -> Sides:
    return (values, sides[1]) if side == 0 else (sides[0], values)


def _known(sides: Sequence[Column], steps: int) -> Mask:
    known = np.ones(steps, bool)
    for one in sides:
        known &= True if one.known is None else one.known[:steps]
    return known


def _first(differing: Mask) -> int:
    """The first step that differs, or how many there are."""
    return int(np.argmax(differing)) if differing.any() else len(differing)


def _moved(column: Column, by: int) -> Column:
    """The values of the next row, or of the one before where ``by`` is -1; unknown where there is none."""
    values, known = np.roll(column.values, -by), np.roll(_known((column, column), len(column.values)), -by)
    known[-1 if by == 1 else 0] = False
    return Column(values, known)


def _after(recorded: Column, other: Column) -> Column | None:
    """Updates counted after each step, if those recorded were counted before it; the last is taken for one as due."""
    values, expected = recorded.values, other.values
    if recorded.known is not None or other.known is not None or len(values) < 2 or values[0] != 0:
        return None
    like = expected if len(expected) >= len(values) else values
    return Column(np.append(values[1:], values[-1] + like[len(values) - 1] - like[len(values) - 2]))
