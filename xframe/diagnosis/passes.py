"""The passes of a candidate beside those of its reference: what an order shows, however it was made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from xframe.inference.observed import Ints

MOST_PASSES = 256
_OWN_ORDER = 0.4  # of the samples are in other places where a run has an order of its own


class Pass(NamedTuple):
    """One pass of the candidate, padding left out: its samples, the reference's in these places, and these places."""

    number: int
    ids: Ints
    reference: Ints
    positions: Ints


@dataclass(frozen=True, eq=False)
class Passes:
    """The candidate's passes, cut where the reference's are; none if the two cannot be laid side by side."""

    passes: tuple[Pass, ...]
    num_samples: int = 0
    same_counts: bool = True  # as many steps and the same updates: nothing but the order differs

    @cached_property
    def differing(self) -> list[Pass]:
        """The passes whose samples, or their order, differ."""
        return [one for one in self.passes if not np.array_equal(one.ids, one.reference)]

    @cached_property
    def long(self) -> list[Pass]:
        """Of those that differ, the ones that are long enough to have an order."""
        return [one for one in self.differing if len(one.ids) > max(3, min(16, self.num_samples // 4))]

    @cached_property
    def _inside(self) -> bool:
        """Whether all samples are of the data set."""
        return all(one.ids.min() >= 0 and one.ids.max() < self.num_samples for one in self.passes)

    @cached_property
    def own_order(self) -> bool:
        """Whether the passes have an order of their own, rather than the reference's with a few changes."""
        if not self._inside or not self.long:
            return False
        return bool(np.mean([np.mean(one.ids != one.reference) for one in self.differing]) >= _OWN_ORDER)

    @cached_property
    def repeats(self) -> list[int]:
        """How many samples of each long pass are in it already."""
        if not self._inside:
            return [len(one.ids) - len(np.unique(one.ids)) for one in self.long]
        return [len(one.ids) - int(np.count_nonzero(np.bincount(one.ids))) for one in self.long]

    @cached_property
    def permuted(self) -> bool:
        """Whether the passes have each sample once, in an order of their own."""
        return self.own_order and not any(self.repeats)

    @cached_property
    def sequential(self) -> bool:
        """Whether all passes are in the stored order."""
        return all(np.array_equal(one.ids, one.positions) for one in self.passes)

    @cached_property
    def of_equal_length(self) -> list[Pass]:
        """The passes that are as long as the first."""
        return [one for one in self.passes if len(one.ids) == len(self.passes[0].ids)]

    @cached_property
    def one_order(self) -> bool:
        """Whether one order is seen more than once, and no other."""
        first, *others = self.of_equal_length
        return bool(others) and all(np.array_equal(one.ids, first.ids) for one in others)

    def contiguous(self, batch_size: int) -> bool:
        """Whether every batch is samples side by side, and the batches are not in turn."""
        if batch_size < 2 or self.num_samples <= 2 * batch_size:
            return False
        good = total = 0
        for one in self.passes:
            inside = one.positions[1:] // batch_size == one.positions[:-1] // batch_size
            good += int((np.diff(one.ids)[inside] == 1).sum())
            total += int(inside.sum())
        return total > 3 and good >= 0.95 * total

    def buffer(self, *, of_reference: bool = False) -> int | None:
        """The size of the buffer within which the stored order is shuffled; None if it is shuffled as a whole."""
        n = self.num_samples
        passes = [((one.reference if of_reference else one.ids), one.positions) for one in self.passes]
        early = max(int((ids - positions).max()) for ids, positions in passes)
        reached = 1 + max(int(ids.max()) for ids, _ in passes)
        late = float(np.mean([np.mean(np.abs(ids - positions)) for ids, positions in passes]))
        # A whole shuffle moves a sample n/3 on average, and some sample almost n.
        return early + 1 if n >= 16 and 1 < early + 1 <= 0.6 * reached and late < 0.25 * n else None
