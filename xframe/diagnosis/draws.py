"""Which samples a run draws, whatever their order: in a whole run, and in passes of any length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from xframe.comparison.passes import NeverSeen
from xframe.diagnosis.keys import batch_keys
from xframe.diagnosis.reference import MOST_CELLS
from xframe.inference import passes as passes_of
from xframe.inference.observed import Ints, Observed
from xframe.inference.orders import first_repeat
from xframe.trace.rows import Rows

SHARDS = range(2, 17)  # ranks, workers
_FEW = 16  # samples of a data set that show no chances
_SHARED = 14  # samples that two passes must be expected to share: by chance alone they never have none


@dataclass(frozen=True, eq=False)
class Draws:
    """The samples of all batches, each one of ``num_samples``."""

    rows: Rows
    ids: Ints
    num_samples: int

    @classmethod
    def of(cls, rows: Rows, num_samples: int | None) -> Draws | None:
        """These rows' draws; None unless all of them are known, and of the data set."""
        n, ids = num_samples, rows.ids
        if ids is None or n is None or not 1 < len(ids) <= MOST_CELLS or n > MOST_CELLS:
            return None
        if ids.min() < 0 or ids.max() >= n or rows.batch_size.min() < 1:
            return None
        return cls(rows, ids, n)

    @cached_property
    def counts(self) -> Ints:
        """How often each sample of the data set comes."""
        return np.bincount(self.ids, minlength=self.num_samples)

    @cached_property
    def seen(self) -> Ints:
        """The samples that come at all."""
        return np.flatnonzero(self.counts)

    @property
    def replaced(self) -> bool:
        """Whether samples come again as where each is drawn from all of them, or more often."""
        few = self.num_samples < _FEW or self.in_passes or self.batches_come_again
        return not few and self.different < self.by_chance + 2.5 * self.deviation

    @cached_property
    def in_passes(self) -> bool:
        """Whether all batches may be cut out of whole passes over the data set."""
        return bool(self.passes_over(self.num_samples))

    @cached_property
    def batches_come_again(self) -> bool:
        """Whether some batch comes again as it is."""
        keys = batch_keys(self.rows)[self.rows.batch_size > 1]
        return len(np.unique(keys)) < len(keys)

    @cached_property
    def stretches(self) -> list[Ints]:
        """The draws, as many at a time as there are samples; what is left at the end is in none, unless it is all."""
        n, total = self.num_samples, len(self.ids)
        return [self.ids[begin : begin + n] for begin in range(0, max(total - n, 0) + 1, n)]

    @cached_property
    def drawn(self) -> int:
        """How many draws that is."""
        return sum(map(len, self.stretches))

    @cached_property
    def different(self) -> int:
        """How many different samples each stretch has, summed up."""
        return sum(int(np.count_nonzero(np.bincount(one, minlength=self.num_samples))) for one in self.stretches)

    @property
    def by_chance(self) -> float:
        """The same where each sample is drawn from all of them."""
        return len(self.stretches) * self.num_samples * (1 - self._missed(1))

    @property
    def deviation(self) -> float:
        """The standard deviation of that."""
        n, one, two = self.num_samples, self._missed(1), self._missed(2)
        return float(np.sqrt(len(self.stretches) * max(n * one + n * (n - 1) * two - (n * one) ** 2, 1.0)))

    def _missed(self, samples: int) -> float:
        """The chance that none of these samples comes in a stretch."""
        return float((1 - samples / self.num_samples) ** len(self.stretches[0]))

    @cached_property
    def uneven(self) -> bool:
        """Whether some samples come more often than others beyond what even chances give."""
        even = len(self.ids) / self.num_samples
        if even < 1:
            return False
        spread = float(((self.counts - even) ** 2).sum()) / even
        return spread > self.num_samples + 6 * float(np.sqrt(2 * self.num_samples))

    def passes_over(self, length: int) -> list[Ints]:
        """The samples of each pass, were each over that many samples; empty if one comes twice in a pass."""
        run = Observed(self.rows.only("batch_size"), length, ())
        for remainder in passes_of.remainders(length, run.batch_size):
            one = passes_of.cut(run, remainder)
            if one.misfit < run.num_steps:
                continue
            spans = passes_of.spans_of(run, one, run.num_steps)
            which = np.repeat(np.arange(len(spans.start)), spans.stop - spans.start)
            real = np.arange(len(self.ids)) - spans.start[which] < spans.real[which]
            if first_repeat(self.ids[real], which[real]) is None:
                return [self.ids[start : start + many] for start, many in zip(spans.start, spans.real, strict=True)]
        return []

    def drawn_apart(self, length: int) -> list[Ints]:
        """The same, if each pass has samples of the one before, as passes drawn separately have."""
        whole = length - length % int(self.rows.batch_size.max())
        first, next_ones = self.ids[: whole or length], self.ids[length : 2 * length]
        drawn = np.bincount(first, minlength=self.num_samples)
        if drawn.max() > 1 or not drawn[next_ones].any():
            return []  # as most lengths are, which is soon seen
        passes = self.passes_over(length)
        alike = [one for one in passes if len(one) == len(passes[0])]
        pairs = pairwise(alike) if length * length > _SHARED * self.num_samples else ()
        shared = [len(np.intersect1d(*pair, assume_unique=True)) for pair in pairs]
        return alike if shared and all(shared) else []

    @cached_property
    def one_order(self) -> Ints | None:
        """The samples of each pass in the order that all passes have; None if they have not one."""
        first, *others = self.passes_over(len(self.seen)) or [self.ids[:0]]
        if not others or len(first) < len(self.seen):
            return None
        return first if all(np.array_equal(one, first[: len(one)]) for one in others) else None

    @cached_property
    def leaves_out(self) -> bool:
        """Whether more samples never come than passes drawn separately would leave out by chance."""
        passes = self.passes_over(len(self.seen))
        never = NeverSeen(self.seen, self.num_samples)
        for one in passes:
            never.add(one)
        return bool(passes) and not self.batches_come_again and never.certain
