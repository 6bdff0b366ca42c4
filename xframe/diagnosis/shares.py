"""What both runs draw, side by side: two runs that each train on one share of the samples share that.

A rank of several is such a run, and so is one that trains on a split. That the candidate has a share is then no cause;
that its share, or the order of it, is not the reference's may be one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from xframe.diagnosis.draws import SHARDS, Draws
from xframe.inference.observed import Ints


class Share(NamedTuple):
    """The passes of one run over a share of the samples."""

    passes: list[Ints]  # the samples of each, as they were drawn
    fixed: bool  # each is over the same samples, as far as it is seen

    @property
    def stored(self) -> bool:
        """Whether each is in the stored order."""
        return all(bool((np.diff(one) > 0).all()) for one in self.passes)

    @property
    def one_order(self) -> bool:
        """Whether all are in the order of the first."""
        first, *others = self.passes
        return bool(others) and all(np.array_equal(*_cut(first, one)) for one in others)

    @property
    def kept(self) -> bool:
        """Whether all are in one order, the stored one or another."""
        return self.stored or self.one_order


class Shares(NamedTuple):
    """The shares of both runs, and how many samples each has."""

    length: int
    own: Share
    other: Share

    @property
    def disjoint(self) -> bool:
        """Whether no pass of one has a sample of the same pass of the other."""
        pairs = zip(self.own.passes, self.other.passes, strict=False)
        return not any(len(np.intersect1d(*pair, assume_unique=True)) for pair in pairs)

    @property
    def same_samples(self) -> bool:
        """Whether both always have the same samples."""
        drawn = np.unique(np.concatenate([*self.own.passes, *self.other.passes]))
        return self.own.fixed and self.other.fixed and len(drawn) <= self.length


@dataclass(frozen=True, eq=False)
class BothDraw:
    """What the candidate and the reference draw; None where it is not known."""

    own: Draws | None
    other: Draws | None

    @cached_property
    def shares(self) -> Shares | None:
        """Both runs' shares, if each has one of as many samples; None if they are none or not alike."""
        if self.own is None or self.other is None or self.own.in_passes or self.other.in_passes:
            return None
        n = self.own.num_samples
        seen = [len(one.seen) for one in (self.own, self.other)]
        for length in dict.fromkeys([*(part for k in SHARDS for part in (-(-n // k), n // k)), max(seen), min(seen)]):
            if 1 < length < n and (own := _share(self.own, length)) and (other := _share(self.other, length)):
                return Shares(length, own, other)
        return None


def _share(draws: Draws, length: int) -> Share | None:
    """The passes over that many samples, if they are not all of one; the remainder of each may be dropped."""
    largest = int(draws.rows.batch_size.max())
    if 2 * largest > length or len(draws.ids) <= length:
        return None
    fixed = length - largest < len(draws.seen) <= length
    apart = [] if fixed else draws.drawn_apart(length)
    if not fixed and not apart:
        return None
    passes = draws.passes_over(length)
    if sum(map(len, passes)) < len(draws.ids):
        return None  # its last batches would be filled up, as passes over a few samples more seem to be
    return Share(passes if fixed else apart, fixed)


def _cut(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    many = min(len(a), len(b))
    return a[:many], b[:many]
