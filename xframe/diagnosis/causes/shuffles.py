"""Shuffles that are not of single samples over the whole pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.edits import most_batches, moved_batches
from xframe.errors import counted


class ShuffleAfterBatch(Cause):
    """It shuffles whole batches, not samples."""

    name = "shuffle-after-batch"
    rank = 160
    about_order = True
    fixes = settings(
        tensorflow="Dataset.shuffle({n}) before Dataset.batch({b}), not after",
        torch="a sampler that shuffles samples, not one that shuffles batches",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        passes, plan = case.passes, case.plan
        if plan is None:
            return
        if passes.permuted and not passes.sequential and passes.contiguous(plan.batch_size):
            text = f"shuffles whole batches: each is {plan.batch_size:,} samples side by side, "
            text += "and the batches come in a different order"
            yield self.fit(case, text, exact=False, guess=True)
        if moved_batches(case, case.stored_keys):
            text = "shuffles whole batches: each is one of the stored order's, and they come in a different order"
            yield self.fit(case, text, exact=False, guess=True)
        moved = moved_batches(case, case.reference_keys)
        if most_batches(case, moved):
            text = f"shuffles whole batches: has {counted(moved, 'batch')} in other places"
            yield self.fit(case, text, exact=False, guess=True)


class BufferShuffle(Cause):
    """It shuffles within a buffer smaller than the data."""

    name = "buffer-shuffle"
    rank = 430
    about_order = True
    fixes = settings(
        torch="DataLoader(..., shuffle=True)",
        tensorflow="Dataset.shuffle(buffer_size={n}) before Dataset.batch({b})",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        passes, plan = case.passes, case.plan
        if plan is None or not passes.permuted or passes.sequential or passes.contiguous(plan.batch_size):
            return
        if passes.buffer is not None:
            text = f"shuffles in a buffer of about {passes.buffer:,}: no sample comes more than "
            text += f"{passes.buffer - 1:,} places before its own, of {passes.num_samples:,}"
            yield self.fit(case, text, exact=False, guess=True)


class WithReplacement(Cause):
    """It draws samples with replacement."""

    name = "with-replacement"
    rank = 420
    fixes = settings(torch="RandomSampler(replacement=False), the default of DataLoader(shuffle=True)")

    def find(self, case: Case) -> Iterator[Fit]:
        passes = case.passes
        if not passes.own_order or not all(passes.repeats):
            return
        n, long = passes.num_samples, passes.long
        drawn = sum(len(one.ids) for one in long)
        expected = sum(n * (1 - (1 - 1 / n) ** len(one.ids)) for one in long)
        distinct = sum(len(np.unique(one.ids)) for one in long)
        if abs(distinct - expected) <= 4 * max(1.0, float(np.sqrt(drawn) * 0.35)):
            text = f"draws samples with replacement: {distinct:,} different ones in {drawn:,} draws over "
            text += f"{counted(len(long), 'pass')}, where chance alone leaves about {expected:,.0f}"
            yield self.fit(case, text, exact=False, guess=True)
