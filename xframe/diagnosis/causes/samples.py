"""Samples lost, made again, in other places, or not of the training set; a share of them in place of all."""

from __future__ import annotations

from collections.abc import Iterator
from math import lgamma
from typing import NamedTuple

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.claims import size_is_inferred, size_is_known
from xframe.diagnosis.edits import edited, first_edit, moved_batches, steps_of, updates_follow
from xframe.diagnosis.keys import first_difference
from xframe.errors import counted, listed
from xframe.inference.observed import Ints
from xframe.inference.reproducing import UNKNOWN

_TIMES = range(2, 9)  # workers, replicas
_ALIKE = 0.9  # of the samples of a set that is gone through, which come as often; the same content may lie in it twice


class DifferentSplit(Cause):
    """The two train on different splits of the data: either leaves out rows that the other trains on."""

    name = "different-split"
    rank = 9
    settles = True
    settings_behind = r"loader\.validation_split"
    fixes = settings(
        any="split once, with one seed, and let both runs train on the same rows",
        keras="validation_split holds out the last rows as they lie: validation_data=(X_val, y_val) of the same split",
        torch="random_split and train_test_split draw rows: the same seed, or the indices of one split saved to a file",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        if (apart := _split(case)) is not None:
            own, its, rows = apart
            text = f"trains on another split than {case.other}: {own:,} of its {rows:,} samples are none of those that "
            text += f"{case.other} trains on, which has {its:,} that {case.run} never has"
            yield self.fit(case, text, exact=False, shown=True)


def _split(case: Case) -> tuple[int, int, int] | None:
    """How many samples either has alone, and how many the candidate has, where both go through fixed sets, each sample
    as often, that have most in common; None if that is not so."""
    sides = case.drawn or case.candidate, case.drawn_by_reference or case.reference
    if sides[0].ids is None or sides[1].ids is None or case.same_samples:
        return None
    if case.given and case.plan is not None and case.plan.steps_per_epoch is not None:
        return None  # epochs that begin again before the pass ends leave samples out by plan
    sets = []
    for ids in (sides[0].ids, sides[1].ids):
        samples, counts = np.unique(ids, return_counts=True)
        # A sample that comes once may be of a pass that was cut, over more samples than were seen.
        if not len(samples) or counts.min() < 2 or np.mean(counts >= counts.max() - 1) < _ALIKE:
            return None
        sets.append(samples)
    own, its = (len(np.setdiff1d(sets[i], sets[1 - i])) for i in (0, 1))
    dropped = max(int(rows.batch_size.max()) for rows in sides)  # fewer may be a remainder's, of passes in one order
    return (own, its, len(sets[0])) if min(own, its) >= dropped and 2 * own < len(sets[0]) else None


class ValidationInTraining(Cause):
    """Samples from outside the training set are trained on."""

    name = "validation-in-training"
    rank = 10
    fixes = settings(any="train on the training split only, and never call the training step to validate")

    def find(self, case: Case) -> Iterator[Fit]:
        drawn, n = case.drawn or case.candidate, case.num_samples
        ids, reference = drawn.ids, case.reference.ids
        if n is None and reference is not None and len(reference):
            n = int(reference.max()) + 1
        if n is None or ids is None or case.same_samples or _split(case) is not None:
            return
        outside = (ids >= n) | (ids < 0)
        foreign = np.unique(ids[outside])
        if len(foreign):
            at = int(np.searchsorted(case.candidate.bounds, int(outside.argmax()), side="right")) - 1
            text = f"trains on {counted(len(foreign), 'sample')} from outside the {n:,} of the training set"
            yield self.fit(
                case, f"{text} ({listed(foreign)}), first in step {at:,}", guess=True, claims=(size_is_known,)
            )
            unseen = f"trains on {counted(len(foreign), 'sample')} that {case.other} never has ({listed(foreign)}), "
            yield self.fit(case, f"{unseen}first in step {at:,}", exact=False, guess=True, claims=(size_is_inferred,))


class SampleLost(Cause):
    """A sample is missing."""

    name = "sample-lost"
    rank = 340
    fixes = settings(
        any="look for a filter, or an error handler that skips samples: ignore_errors(), collate returning None"
    )

    def find(self, case: Case) -> Iterator[Fit]:
        case = case.as_if_whole
        yield from self._in_the_stream(case)
        yield from _one_batch(self, case, fewer=True)

    def _in_the_stream(self, case: Case) -> Iterator[Fit]:
        place = _first_sample(case)
        if place is None or case.ids is None or place >= len(case.ids[1]):
            return
        a, b, (ids, reference) = case.candidate, case.reference, case.ids
        gone, at = int(reference[place]), int(np.searchsorted(b.bounds, place, side="right")) - 1
        if len(ids) == len(reference) - 1 and np.array_equal(ids[place:], reference[place + 1 :]):
            one_shorter = len(a) == len(b) and int((a.batch_size != b.batch_size).sum()) == 1
            one_fewer = len(a) == len(b) - 1 and int(b.batch_size.min()) == 1
            exact = (one_shorter or one_fewer) and updates_follow(case)
            yield self.fit(case, f"is without sample {gone:,} {case.of_step} {at:,}", exact=exact)
        elif not _added_at(case, place) and (text := _filtered(case, place, gone, at)):
            yield self.fit(case, text, exact=False)


class SampleRepeated(Cause):
    """A sample is in a pass twice, in place of a different one."""

    name = "sample-repeated"
    rank = 350
    fixes = settings(any="look for a sampler or index that is not a permutation of the samples")

    def find(self, case: Case) -> Iterator[Fit]:
        if text := _in_any_order(case):
            yield self.fit(case, text, exact=False, shown=True)
        new = _replaced(case)
        if new is not None and (new.again or new.alone):
            yield self.fit(case, new.text + new.again, exact=new.alone and updates_follow(case))
        case = case.as_if_whole
        place = _first_sample(case)
        if place is not None and case.ids is not None and _added_at(case, place):
            ids, reference = case.ids
            at = int(np.searchsorted(case.candidate.bounds, place, side="right")) - 1
            text = f"has sample {ids[place]:,} put in at step {at:,}"
            yield self.fit(case, text, exact=bool((reference == ids[place]).any()) and updates_follow(case))
        yield from _one_batch(self, case, fewer=False)


class SamplesSwapped(Cause):
    """Samples have changed places between batches."""

    name = "samples-swapped"
    rank = 360
    about_order = True
    fixes = settings(tensorflow="map and interleave with deterministic=True")

    def find(self, case: Case) -> Iterator[Fit]:
        where = case.differing_samples
        if where is None or where.same_members or case.ids is None:
            return
        at, steps, few = where.at, where.steps, max(4, int(case.candidate.bounds[case.shared]) // 10)
        a, b = (ids[at] for ids in case.ids)
        if len(at) == 2 and a[0] == b[1] and a[1] == b[0]:
            samples, places = f"has samples {b[0]:,} and {b[1]:,}", f"in steps {steps[0]:,} and {steps[1]:,}"
            text = f"{samples}, due {places}," if case.supposed else samples
            text += " in each other's place" + ("" if case.supposed else f", {places}")
            yield self.fit(case, text, exact=updates_follow(case))
        elif len(at) <= few and np.array_equal(np.sort(a), np.sort(b)) and not moved_batches(case, case.reference_keys):
            yield self.fit(case, f"has {counted(len(at), 'sample')} in other places", exact=False)
        new = _replaced(case)
        if new is not None and new.alone and not new.again:
            yield self.fit(case, f"{new.text}, which its pass has nowhere else", exact=updates_follow(case))


class OrderInsideBatches(Cause):
    """The same samples in each batch, in a different order."""

    name = "order-inside-batches"
    rank = 410
    about_order = True
    fixes = settings(
        tensorflow="map and interleave with deterministic=True",
        torch="a collate_fn that keeps the samples' order",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        where = case.differing_samples
        if where is None or not where.same_members:
            return
        batches = f"{counted(len(np.unique(where.steps)), 'batch')} ({counted(len(where.at), 'place')})"
        text = f"has the same samples{'' if case.apart else ' in every batch'}, in a different order in {batches}"
        yield self.fit(case, text, exact=updates_follow(case))

    def log_alternatives(self, case: Case) -> float:
        return sum(lgamma(int(size) + 1) for size in case.candidate.batch_size[: case.shared])


class _Replaced(NamedTuple):
    """A few samples replaced by different ones: whether only one; in words, with where the first comes again."""

    alone: bool
    text: str
    again: str  # empty if it does not


def _replaced(case: Case) -> _Replaced | None:
    """The samples that replace different ones, if they are few."""
    where, n = case.differing_samples, case.num_samples
    if case.ids is None or where is None or where.same_members:
        return None
    ids, reference = case.ids
    if len(where.at) > max(1, len(ids) // 20) or len(set(ids[where.at].tolist())) > 8:
        return None
    at, step = int(where.at[0]), int(where.steps[0])
    new, old = int(ids[at]), int(reference[at])
    if new < 0 or (n is not None and new >= n):
        return None
    text = f"has sample {new:,} in step {step:,}" + (
        f", where {old:,} is due" if case.supposed else f" in place of {old:,}"
    )
    return _Replaced(len(where.at) == 1, text, _again(case, at, step))


def _in_any_order(case: Case) -> str:
    """That one sample is drawn in place of another, where orders are not compared; empty if that is not so."""
    own, other = case.both_draw.own, case.both_draw.other
    if case.drawn is None or case.same_samples or not case.same_sizes or own is None or other is None:
        return ""
    if len(own.ids) != len(other.ids) or not other.in_passes:
        return ""
    more = own.counts - other.counts
    extra, missing = np.flatnonzero(more > 0), np.flatnonzero(more < 0)
    if len(extra) != 1 or len(missing) != 1:
        return ""
    (new,), (old,) = extra.tolist(), missing.tolist()
    times = counted(int(own.counts[new]), "time")
    text = f"has sample {new:,} in place of {old:,}, whatever the order: over the run {times} and {own.counts[old]:,},"
    return f"{text} where {case.other} has {other.counts[new]:,} and {other.counts[old]:,}"


def _again(case: Case, at: int, step: int) -> str:
    """Where the sample of that place comes again; its pass is known if the plan is, and it alone moved the samples."""
    ids, around = case.candidate.ids, _pass_around(case, at)
    assert ids is not None
    places = np.flatnonzero(ids[around] == ids[at]) + around.start
    others = np.searchsorted(case.candidate.bounds, places[places != at], side="right") - 1
    if not len(others):
        return ""
    padded = case.cells is not None and bool(case.cells.padding[[at, *places]].any())
    if case.given and not case.supposed and not padded:
        return ", and so twice in its pass"
    return ", and so twice" if step in others else f", and in step {others[0]:,} too"


def _pass_around(case: Case, place: int) -> slice:
    """Where the pass of that place begins and ends among the ids; all of them if that is not known."""
    where = case.cells
    if where is None or place >= len(where.passes):
        return slice(0, int(case.reference.bounds[-1]))
    inside = np.flatnonzero((where.passes == where.passes[place]) & ~where.padding)
    return slice(int(inside[0]), int(inside[-1]) + 1)


def _one_batch(cause: Cause, case: Case, *, fewer: bool) -> Iterator[Fit]:
    """That one batch has a little fewer samples than it should, or more; only where ids are not known."""
    a, b = case.candidate, case.reference
    if case.has_ids or len(a) != len(b):
        return
    differing = np.flatnonzero(a.batch_size != b.batch_size)
    if len(differing) != 1:
        return
    at = int(differing[0])
    size, expected = int(a.batch_size[at]), int(b.batch_size[at])
    if (size < expected) == fewer and abs(expected - size) <= max(1, expected // 8):
        text = f"has {counted(size, 'sample')} in step {at:,}, where {expected:,} are due"
        yield cause.fit(case, text, exact=False, step=at)


def _first_sample(case: Case) -> int | None:
    """Where the streams of all samples first differ, if one sample more or less may be what differs."""
    steps, due, differing = len(case.candidate), len(case.reference), case.differing_samples
    if case.ids is None or case.same_batches or steps > due:
        return None
    if steps == due and case.same_sizes and (differing is None or differing.same_members):
        return None
    return first_difference(*case.ids)


def _added_at(case: Case, place: int) -> bool:
    """Whether a sample was put in there, and nothing else differs."""
    if case.ids is None or len(case.candidate) != len(case.reference):
        return False
    ids, reference = case.ids
    return len(ids) == len(reference) + 1 and bool(np.array_equal(ids[place + 1 :], reference[place:]))


def _filtered(case: Case, place: int, gone: int, at: int) -> str:
    """That no pass has the sample, or the first is without it, and those behind it move up; empty if that is not so."""
    where, n = case.cells, case.num_samples
    if case.plan is None or where is None or n is None or n < 2 or case.plan.remainder == "pad" or case.ids is None:
        return ""
    ids, reference = case.ids
    endless = case.extended.ids
    if endless is None or (endless == UNKNOWN).any():
        endless = reference
    if np.array_equal(endless[endless != gone][: len(ids)], ids):
        return f"never has sample {gone:,}, from step {at:,} on: those behind it move up"
    # In the pass where it is missing the rest moves up; the other passes are whole.
    end = int(np.flatnonzero(where.passes == where.passes[place])[-1])
    if end <= len(ids) and end - place > 1 and np.array_equal(ids[place:end], reference[place + 1 : end + 1]):
        return f"is without sample {gone:,} {case.of_step} {at:,}: those behind it in the pass move up"
    return ""


class ShardRepeated(Cause):
    """Every worker or replica reads all data, or one reads the share of another."""

    name = "shard-repeated"
    rank = 180
    fixes = settings(
        torch="IterableDataset: each worker reads its share, see get_worker_info(); DistributedSampler(rank=rank)",
        tensorflow="Dataset.shard(num_shards, index) with the worker's own index, before shuffle",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        yield from self._batches_in_a_row(case)
        yield from self._shares(case)

    def _batches_in_a_row(self, case: Case) -> Iterator[Fit]:
        if first_edit(case) is None or (case.keys[1:2] != case.keys[:1]).any():
            return
        steps, due = len(case.keys), len(case.reference_keys)
        for times in _TIMES:
            if steps >= 2 * times and (steps in (times * due, due) or not case.whole):
                where = np.repeat(steps_of(case), times)[:steps]
                text = f"trains on every batch {times} times in a row, as where {times} workers all read the same data"
                yield from edited(self, case, where, text)

    def _shares(self, case: Case) -> Iterator[Fit]:
        passes = case.passes
        if not passes.differing:
            return
        long = [one for one in passes.passes if len(one.ids) >= 4]
        for times in _TIMES if long else ():
            for strided in (True, False):
                if all(np.array_equal(one.ids, _share(one.reference, times, strided=strided)) for one in long):
                    text = f"trains on one of {times} shares {times} times in each pass, and never on the others"
                    whole = len(long) == len(passes.passes) and passes.same_counts
                    yield self.fit(case, text, exact=whole, guess=not case.given)
                    return
        for one in long[:1]:
            counts = np.unique(one.ids, return_counts=True)[1]
            times = int(np.median(counts))
            if times >= 2 and np.mean(counts == times) > 0.9:
                text = f"trains on {len(counts):,} of {passes.num_samples:,} samples {times} times each in a pass"
                yield self.fit(case, text, exact=False, guess=True)


def _share(ids: Ints, times: int, *, strided: bool) -> Ints:
    """Every share read as the first: strided over the pass, or a block of it."""
    index = np.arange(len(ids), dtype=np.int64)
    if strided:
        index -= index % times
    else:
        index %= -(-len(ids) // times)
    return np.asarray(ids[index])
