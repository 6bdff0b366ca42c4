"""Losses and accuracies that a run recorded averaged, smoothed or rounded: what each step's own is, and how exactly.

Each of these functions yields readings of one run's column that its numbers and the other run's allow; whether one is
taken is decided in ``readings``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.pairing import Pair, Reading, Run
from xframe.precision import epsilon
from xframe.trace.schema import Column

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_NAMES = {"loss": "losses", "accuracy": "accuracies"}
_FIRST = 7  # steps by which the weight of a moving average is measured
_DIGITS = range(1, 7)
_DIFFERENT = 3  # values that are enough to see how they are rounded
_CUT = 0.1  # of a place, that rounding takes off or adds in the mean, at least: a quarter is expected
_SELDOM = 0.05  # of the steps: what two runs round to different sides
_FINER = 8  # than a place: float32's own, so that it is no place that was rounded to


def means(pair: Pair, run: Run, other: Run, column: str) -> Iterator[Reading]:
    """The numbers of which those recorded are the means so far, by batches or by samples. Where means are missing, what
    lies between two of them is taken from the other run, so that one differs by the sum of what they do."""
    (recorded, known), eps = _values(run, column), _resolution(run, column, pair)
    steps = len(recorded)
    own = np.append(_values(other, column)[0][:steps], np.full(max(steps - len(other.rows), 0), np.nan))
    at = np.arange(steps)
    previous = np.concatenate([[-1], np.maximum.accumulate(np.where(known, at, -1))[:-1]])
    sizes = {"samples": run.rows.batch_size.astype(np.float64)} if "batch_size" in run.rows.known else {}
    for begins, since in _beginnings(run, other, known, pair):
        begun = np.maximum.accumulate(np.where(begins, at, 0))
        first = np.maximum(previous + 1, begun)  # that no earlier mean has
        earlier = np.where(previous >= begun, recorded[previous], 0.0)
        whole = known & (_sums(~np.isfinite(own), first, at) == 0)
        for by, weights in {**sizes, "batches": np.ones(steps)}.items():
            if not (weights > 0).all():
                continue
            between = _sums(weights, first, at) / weights
            with np.errstate(invalid="ignore", over="ignore"):
                total = _sums(weights, begun, at + 1) / weights
                values = total * recorded - _sums(weights, begun, first) / weights * earlier
                values -= _sums(np.nan_to_num(weights * own), first, at) / weights
                slack = 2 * eps * total * np.maximum(np.abs(recorded), np.abs(earlier))
                slack += between * pair.terms.tolerance.allowed(recorded, recorded)
            how = "each is computed back from it"
            if not known.all():
                how = f"the last of each is computed back from it with {other.name}'s before it"
            text = f"{run.name} records the mean of the {_NAMES[column]} since {since}, by {by}: {how}"
            yield Reading(column, text, _column(values, whole), slack)


def divided(pair: Pair, run: Run, other: Run, column: str) -> Iterator[Reading]:
    """The losses times the steps of a window, or these squared, of a script recorded as it is: what it hands to
    ``backward`` is recorded, and to accumulate it hands over a part of the loss."""
    updates = run.rows.updates
    if column != "loss" or run.trace is None or not run.trace.settings or updates is None or not updates.any():
        return
    k, (recorded, known) = int(np.argmax(updates > 0)) + 1, _values(run, column)
    for times in (1, 2) if k > 1 and updates[k - 1] == 1 else ():
        twice = " twice" if times > 1 else ""
        text = f"{run.name} records each loss divided by the {k:,} steps of a window{twice}: it is read times "
        text += f"{k**times:,}"
        yield Reading(column, text, _column(recorded * float(k**times), known))


def smoothed(pair: Pair, run: Run, other: Run, column: str) -> Iterator[Reading]:
    """The numbers of which those recorded are the exponential moving average: one that starts with the first of them,
    at 0 with its bias corrected, or at 0. The other run's first numbers show how much is kept of the average before."""
    (recorded, known), others, eps = _values(run, column), _values(other, column)[0], _resolution(run, column, pair)
    at = np.arange(1, _FIRST)
    if min(len(recorded), len(others)) < _FIRST or not np.isfinite(recorded[:_FIRST] + others[:_FIRST]).all():
        return
    apart = recorded[at] - others[at]
    if np.ptp(apart) <= 1e-6 * np.abs(apart).max():
        return  # no average of numbers that vary stays so far from them: something was added
    with np.errstate(all="ignore"):
        plain = np.median((recorded[at] - others[at]) / (recorded[at - 1] - others[at]))
        corrected = (recorded[1] - others[1]) / (others[0] - recorded[1])
        for kept, start, unbiased in ((plain, recorded[0], False), (corrected, 0.0, True), (plain, 0.0, False)):
            share = round(float(kept), 4) if np.isfinite(kept) else 0.0
            if not 0 < share < 1:
                continue
            averages = recorded * (1 - share ** np.arange(1.0, len(recorded) + 1)) if unbiased else recorded
            before = np.concatenate([[start], averages[:-1]])
            values = (averages - share * before) / (1 - share)
            slack = 2 * eps * (np.abs(averages) + share * np.abs(before)) / (1 - share)
            text = f"{run.name} records an exponential moving average of the {_NAMES[column]}, of which {share:g} is "
            text += "the average before: each is computed back from it"
            yield Reading(column, text, _column(values, known & np.append(True, known[:-1])), slack)


def rounded(pair: Pair, run: Run, other: Run, column: str) -> Iterator[Reading]:
    """The numbers as they were recorded, with half of their last place as slack, if the other run's lie around them as
    what was rounded does: to both sides, and not all near."""
    recorded, known = _values(run, column)
    shared = min(len(recorded), len(other.rows))
    both = np.isfinite(recorded[:shared]) & np.isfinite(others := _values(other, column)[0][:shared])
    values = recorded[np.isfinite(recorded)]
    if column != "loss" or len(np.unique(values)) < _DIFFERENT:
        return  # accuracies are judged by whole samples
    for text, place in (("decimals", _decimal), ("digits", _digit)):
        for digits in _DIGITS:
            if not _is_rounded(values, place(values, digits)):
                continue
            units = place(np.where(np.isfinite(recorded), recorded, 0.0), digits)
            cut = ((others - recorded[:shared]) / units[:shared])[both]
            cut = cut[np.abs(cut) <= 0.5]
            if len(cut) >= _DIFFERENT and cut.min() < 0 < cut.max() and np.abs(cut).mean() > _CUT:
                places = f"{digits} {text if digits > 1 else text[:-1]}"
                text = f"{run.name} has {places} of each loss, which is judged by these"
                yield Reading(column, text, _column(recorded, known), 0.5 * units)
            break


def both_rounded(run: Run, other: Run) -> Reading | None:
    """The losses as they were recorded, with one place as slack, if both runs' have as few decimals and nearly all are
    equal: a number between two places may be rounded to either."""
    (recorded, known), others = _values(run, "loss"), _values(other, "loss")[0]
    shared = min(len(recorded), len(others))
    both = np.isfinite(recorded[:shared]) & np.isfinite(others[:shared])
    a, b = recorded[:shared][both], others[:shared][both]
    if min(len(np.unique(one)) for one in (a, b)) < _DIFFERENT or (a != b).mean() > _SELDOM:
        return None
    for digits in _DIGITS:
        units = _decimal(a, digits)
        if _is_rounded(a, units) and _is_rounded(b, units):
            text = f"{run.name} and {other.name} have {digits} decimal{'s' * (digits > 1)} of each loss, which is "
            text += "judged by these"
            return Reading("loss", text, _column(recorded, known), np.full(len(recorded), 10.0**-digits * 1.001))
    return None


def _beginnings(run: Run, other: Run, known: Mask, pair: Pair) -> Iterator[tuple[Mask, str]]:
    """Where a mean may begin anew: by the labels of either loop, by passes, at the start only, or after each."""
    steps = len(run.rows)
    for side in (run, other):
        if "epoch" in side.rows.known and len(side.rows) >= steps:
            yield np.diff(side.rows.column("epoch").values[:steps], prepend=-1) != 0, "the epoch began"
    total = pair.terms.num_samples or run.facts.num_samples
    if "batch_size" in run.rows.known and total:
        passes = (np.cumsum(run.rows.batch_size) - run.rows.batch_size) // total
        yield np.diff(passes, prepend=-1) != 0, "the pass began"
    yield np.arange(steps) == 0, "the start"
    if not known.all():
        yield np.append(True, known[:-1]), "the last one recorded"


def _values(run: Run, column: str) -> tuple[Floats, Mask]:
    """What was recorded, NaN where nothing was, and where something was."""
    values, known = run.rows.column(column)
    known = np.ones(len(values), np.bool_) if known is None else known
    return np.where(known, values, np.nan), known


def _column(values: Floats, known: Mask) -> Column:
    return Column(values, None if known.all() else known)


def _resolution(run: Run, column: str, pair: Pair) -> float:
    """The rounding unit of what was recorded."""
    values = run.rows.column(column).values
    with np.errstate(over="ignore", invalid="ignore"):
        in_float32 = np.array_equal(values, values.astype(np.float32), equal_nan=True)
    return epsilon("float32" if in_float32 else pair.terms.precision)


def _sums(values: NDArray[Any], start: Ints, stop: Ints) -> Floats:
    """The sums of these from one row to another, which is excluded."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray(sums[stop] - sums[start])


def _decimal(values: Floats, digits: int) -> Floats:
    """The unit of the last of so many decimals."""
    return np.full(len(values), 10.0**-digits)


def _digit(values: Floats, digits: int) -> Floats:
    """The unit of the last of so many digits."""
    places = np.floor(np.log10(np.where(values == 0, 1.0, np.abs(values))))
    return np.asarray(10.0 ** (places + 1 - digits))


def _is_rounded(values: Floats, units: Floats) -> bool:
    """Whether all are whole numbers of their units, as float32 holds these."""
    own = np.finfo(np.float32).eps * np.abs(values)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(((np.abs(values - np.round(values / units) * units) <= own) & (units > _FINER * own)).all())
