"""Which samples are drawn, where that is not each of them once a pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.draws import SHARDS, Draws
from xframe.diagnosis.shares import Shares
from xframe.errors import counted, listed
from xframe.inference.observed import Ints
from xframe.inference.reproducing import UNKNOWN, Cells

_MOST_ALIKE = 0.9  # of the samples that come equally often, where all have one chance or come in shares


class Subset(Cause):
    """It only ever draws some of the samples."""

    name = "subset"
    rank = 172
    fixes = settings(
        any="train on all samples: look for a Subset, a split, a filter or take(), and for a length that is one short"
    )

    def find(self, case: Case) -> Iterator[Fit]:
        draws = _departing(case)
        if draws is None or not 1 < len(draws.seen) < min(draws.num_samples, len(draws.ids)):
            return
        seen, n = draws.seen, draws.num_samples
        shares = case.both_draw.shares
        if _shard(seen, n) or not draws.passes_over(len(seen)) or (shares is not None and not _own_part(shares)):
            return
        first = "the first " if seen[-1] + 1 == len(seen) else ""
        left = np.setdiff1d(np.arange(n), seen)
        others = "others" if len(left) > 1 else "other"
        text = f"goes through {first}{len(seen):,} of the {n:,} samples alone, and never has the {others} "
        text += f"({listed(left)})"
        if shares is not None and shares.other.fixed:
            text += f"; {case.other} goes through as many, not the same ones"
        yield self.fit(case, text, exact=False, shown=draws.leaves_out or shares is not None)


class OneShard(Cause):
    """It draws the share of one rank or worker, and no other run has the rest."""

    name = "one-shard"
    rank = 174
    fixes = settings(
        torch="one process: DataLoader(shuffle=True), no DistributedSampler; several: rank=rank, all recorded",
        tensorflow="Dataset.shard(num_shards, index) under several workers only, with every worker recorded",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        draws = _departing(case)
        if draws is None or len(draws.ids) < 2:
            return
        seen, n = draws.seen, draws.num_samples
        shard = _shard(seen, n)
        if (shares := case.both_draw.shares) is not None:
            if shares.disjoint:
                text = f"draws the share of a different rank: {len(shares.own.passes[0]):,} of the {n:,} samples in "
                text += f"each pass, and none of those that {case.other} draws in it"
                yield self.fit(case, text, exact=False, shown=True)
            return
        if shard and len(draws.ids) > len(seen) and draws.passes_over(len(seen)):
            text = f"goes through {shard}: {len(seen):,} of the {n:,} samples, the same in each pass"
            yield self.fit(case, text, exact=False, shown=draws.leaves_out)
            return
        for shards in () if draws.batches_come_again else SHARDS:
            for length in dict.fromkeys((-(-n // shards), n // shards)):
                if 1 < length <= len(draws.ids) / 2 and (passes := draws.drawn_apart(length)):
                    text = f"draws {len(passes[0]):,} of the {n:,} samples in each pass, "
                    text += f"the share of one rank of {shards:,}"
                    yield self.fit(case, text, exact=False, guess=True, shown=_one_in(case, passes, shards))
                    return


class PassesMixed(Cause):
    """Its passes run into one another: repeated first, shuffled after that."""

    name = "passes-mixed"
    rank = 415
    fixes = settings(
        tensorflow="Dataset.shuffle({n}) before Dataset.repeat(), not after",
        torch="shuffle each pass by itself, not a list of all passes",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        draws = _departing(case)
        if draws is None or draws.batches_come_again:
            return
        passes, n = -(-len(draws.ids) // draws.num_samples), draws.num_samples
        again = n - int(np.count_nonzero(np.bincount(draws.stretches[0], minlength=n)))
        level = bool((draws.counts == passes).all()) or (draws.counts.max() <= passes and again > n / 5)
        if passes > 1 and level and again > 1:
            text = f"mixes its passes: {again:,} of the first {n:,} samples come again before all have come, "
            text += f"and none more than {passes:,} times in {passes:,} passes"
            yield self.fit(case, text, exact=False, guess=True)


class WithReplacement(Cause):
    """It draws samples with replacement."""

    name = "with-replacement"
    rank = 420
    fixes = settings(torch="RandomSampler(replacement=False), the default of DataLoader(shuffle=True)")

    def find(self, case: Case) -> Iterator[Fit]:
        draws = _departing(case)
        if draws is None or not draws.replaced or draws.uneven:
            return
        if draws.different > draws.by_chance - 2.5 * draws.deviation:
            text = f"draws samples with replacement: {_different(draws)}, where chance alone leaves about "
            yield self.fit(case, f"{text}{draws.by_chance:,.0f}", exact=False, guess=True)


class WeightedSampling(Cause):
    """It draws samples with replacement, some more often than others."""

    name = "weighted-sampling"
    rank = 418
    fixes = settings(
        torch="DataLoader(shuffle=True), no WeightedRandomSampler; or the same weights and draws in both runs",
        tensorflow="no rejection_resample or sample_from_datasets; or the same weights and draws in both runs",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        draws = _departing(case)
        if draws is None or not draws.replaced or not draws.uneven:
            return
        if float(np.mean(draws.counts[draws.seen] == np.median(draws.counts[draws.seen]))) < _MOST_ALIKE:
            text = f"draws some samples more often than others: {_different(draws)}, where even chances leave about "
            yield self.fit(case, f"{text}{draws.by_chance:,.0f}", exact=False, guess=True)


def _own_part(shares: Shares) -> bool:
    """Whether it is the samples of its share that are the candidate's own, not the order of them."""
    own, other = shares.own, shares.other
    return own.fixed and not shares.same_samples and not shares.disjoint and (other.fixed or not own.one_order)


def _different(draws: Draws) -> str:
    passes = counted(len(draws.stretches), "pass")
    return f"{draws.different:,} different ones in {draws.drawn:,} draws over {passes}"


def _departing(case: Case) -> Draws | None:
    """The candidate's draws, if all are of the data set and are no whole passes over it."""
    draws = case.draws
    return None if draws is None or case.same_samples or draws.in_passes else draws


def _one_in(case: Case, passes: Sequence[Ints], shards: int) -> bool:
    """Whether each of these is one sample in so many of the reference's pass."""
    plan, n = case.plan, case.num_samples
    if plan is None or n is None or case.drawn is not None:
        return False
    every = np.arange(n, dtype=np.int64)
    for index, ids in enumerate(passes):
        order = case.basis.ids(plan, n, Cells(np.full(n, index), every, np.zeros(n, np.bool_)))
        length = min(len(ids), n // shards)
        ranks = [order[rank::shards][:length] for rank in range(shards)]
        if not any(((one == ids[:length]) | (one == UNKNOWN)).all() and (one != UNKNOWN).mean() > 0.5 for one in ranks):
            return False
    return True


def _shard(seen: Ints, n: int) -> str:
    """Of what share of the stored order these are all samples, in words; empty if of none."""
    for shards in SHARDS:
        first, length = int(seen[0]), -(-n // shards)
        if first < shards and np.array_equal(seen, np.arange(first, n, shards)):
            return f"one sample in {shards:,}"
        if first and first % length == 0 and np.array_equal(seen, np.arange(first, min(first + length, n))):
            return f"block {first // length:,} of {shards:,}"
    return ""
