"""A share of the data in place of all of it, or all of it several times."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.edits import edited, first_edit, steps_of
from xframe.inference.observed import Ints

_TIMES = range(2, 9)  # workers, replicas


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
        if first_edit(case) is None:
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
                    yield self.fit(case, text, exact=len(long) == len(passes.passes) and passes.same_counts)
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
    share: Ints = ids[index]
    return share
