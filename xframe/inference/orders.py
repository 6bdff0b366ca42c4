"""The orders of samples that a run's ids allow, where its passes are known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from xframe.inference.observed import UNLIKELY, Ints, Observed, first

MOST_PASSES = 256  # over which a seed is tried
_MOST_SAMPLES = 1 << 20
_BLOCK = 1 << 20  # samples worked on at once


class Spans(NamedTuple):
    """The samples of each pass begun: from place ``start`` on, ``real`` of them, then padding up to ``stop``."""

    start: Ints
    real: Ints
    stop: Ints


class Kind(NamedTuple):
    """One way in which the samples may be ordered, and the logarithm of its chance to give these ids."""

    order: str
    reshuffle: bool
    seed: int | None
    chance: float


class Judgement(NamedTuple):
    """What a run's ids say of where its passes are."""

    misfit: int | None  # the place of the first sample that no order allows
    reason: str = ""  # why not: ``range``, ``repeat`` or ``padding``
    sequential: bool = False  # all samples come in stored order
    same: bool = False  # every pass has the same order


def judge(run: Observed, spans: Spans, end: int) -> Judgement:
    """Whether some order gives the ids up to place ``end``: no sample twice in a pass, padding as its pass begins."""
    sequential = same = True
    table = np.full(int(spans.real.max()), -1, dtype=np.int64)
    # Small blocks first, since most hypotheses fail at once.
    ends = [min(_BLOCK, 1 << power) for power in range(12, 21, 2)] + list(range(2 * _BLOCK, end + _BLOCK, _BLOCK))
    blocks = np.searchsorted(spans.stop, ends, side="left")
    begin = 0
    for stop in np.unique(np.minimum(blocks + 1, len(spans.start))).tolist():
        ids, place, misfit = _judge_block(run, Spans(*(column[begin:stop] for column in spans)))
        if misfit is not None:
            return misfit
        sequential = sequential and bool((ids == place).all())
        if same:
            fresh = table[place] < 0
            table[place[fresh][::-1]] = ids[fresh][::-1]  # backwards, so that the first to come stays
            same = bool((table[place] == ids).all())
        begin = stop
    return Judgement(None, "", sequential, same)


def _judge_block(run: Observed, spans: Spans) -> tuple[Ints, Ints, Judgement | None]:
    """The ids of some passes without padding, their places in their pass, and what is impossible among them."""
    assert run.rows.ids is not None
    n, (start, real, stop) = run.num_samples, spans
    begin, finish = int(start[0]), int(stop[-1])
    ids, lengths = run.rows.ids[begin:finish], stop - start
    which = np.repeat(np.arange(len(start)), lengths)
    place = np.arange(begin, finish) - np.repeat(start, lengths)
    padded = place >= real[which]
    wrong = (ids < 0) | (ids >= n)
    reason = "range"
    at_of = None
    if padded.any():
        at = np.flatnonzero(padded)
        source = start[which[at]] + (place[at] - real[which[at]]) % n
        unlike = at[ids[at] != run.rows.ids[source]]
        if len(unlike):
            reason = "padding" if not wrong[: unlike[0]].any() else reason
            wrong[unlike] = True
        at_of = np.flatnonzero(~padded)
        ids, which, place = ids[at_of], which[at_of], place[at_of]
    repeat = first_repeat(ids, which)
    if repeat is not None and at_of is not None:
        repeat = int(at_of[repeat])
    outside = first(wrong)
    if repeat is not None and repeat < outside:
        return ids, place, Judgement(begin + repeat, "repeat")
    if outside < len(wrong):
        return ids, place, Judgement(begin + outside, reason)
    return ids, place, None


def first_repeat(ids: Ints, which: Ints) -> int | None:
    """Where a sample first comes again in its pass."""
    low, high = int(ids.min(initial=0)), int(ids.max(initial=0))
    each, passes = high - low + 1, int(which.max(initial=0)) + 1
    if each * passes <= 8 * len(ids) + 1024:  # few enough to be marked
        samples, index = which * each + (ids - low), np.arange(len(ids))
        begun = np.empty(passes * each, dtype=np.int64)
        begun[samples[::-1]] = index[::-1]  # backwards, so that the first to come stays
        repeats = begun[samples] != index
        return first(repeats) if repeats.any() else None
    if each * passes < 1 << 62:  # one sort is faster than two
        samples = which * each + (ids - low)
        order = np.argsort(samples, kind="stable")
        again = samples[order[1:]] == samples[order[:-1]]
    else:
        order = np.lexsort((ids, which))
        again = (np.diff(ids[order]) == 0) & (np.diff(which[order]) == 0)
    return int(order[1:][again].min()) if again.any() else None


def kinds(run: Observed, spans: Spans, judgement: Judgement) -> Iterator[Kind]:
    """The orders that give the ids, with their chances."""
    n = run.num_samples
    lengths, counts = np.unique(spans.real, return_counts=True)
    each = [math.lgamma(n - length + 1) - math.lgamma(n + 1) for length in lengths.tolist()]
    if judgement.sequential:
        yield Kind("sequential", True, None, 0.0)
    by_chance = {True: float(np.dot(each, counts)), False: each[-1]}  # by whether each pass has an order of its own
    yield Kind("shuffle", True, None, by_chance[True])
    if judgement.same:
        yield Kind("shuffle", False, None, each[-1])
    if judgement.sequential and -each[-1] > UNLIKELY:
        return  # no seed gives that
    one_seed = -math.log(2 * max(len(run.seeds), 1))
    # Of fewer samples one of that many seeds gives some by chance.
    shown = [reshuffle for reshuffle, chance in by_chance.items() if chance < one_seed - UNLIKELY]
    for seed in run.seeds_of_first_batch if shown else ():
        for reshuffle in shown:
            if (reshuffle or judgement.same) and departure(run, spans, seed, reshuffle=reshuffle) is None:
                yield Kind("shuffle", reshuffle, seed, one_seed)


def departure(run: Observed, spans: Spans, seed: int | None, *, reshuffle: bool) -> int | None:
    """Where the first passes depart from xframe's order of that seed, or from the stored one; None if they do not."""
    ids, looked_at = run.rows.ids, 0
    assert ids is not None
    for p, (start, real) in enumerate(zip(spans.start.tolist(), spans.real.tolist(), strict=True)):
        length = min(real, _MOST_SAMPLES)
        order = np.arange(length) if seed is None else run.order(seed, p if reshuffle else 0, length)
        differs = ids[start : start + length] != order
        if differs.any():
            return int(start) + first(differs)
        looked_at += length
        if looked_at >= _MOST_SAMPLES or p >= MOST_PASSES:
            break
    return None
