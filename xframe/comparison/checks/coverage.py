"""For scripts that shuffled on their own: equal batch sizes, and the same samples in each pass, in whatever order.

All ids are in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.checks.boundaries import Boundaries, difference, members, surplus
from xframe.comparison.pairing import BLOCK_ROWS, Pair, Run
from xframe.comparison.result import Judgement
from xframe.plan import counting

Ids = list[NDArray[np.int64]]  # of each step, without padding


class Coverage(Boundaries):
    """The size of each batch; its ids only pass by pass."""

    orders, each = ("coverage",), "per pass"

    def judge(self) -> Judgement:
        candidate, reference, shared = self.pair.candidate, self.pair.reference, self.pair.shared
        if "batch_size" in self.pair.firsts:
            step = self.pair.firsts["batch_size"]
            return Judgement("fail", step, difference(candidate, reference, step))
        if not shared:
            return Judgement("not judged")
        for run in (candidate, reference):
            if "ids" not in run.rows.known:
                return Judgement("not judged", detail=f"{run.name} lists no sample ids")
        drawn = _drawn(candidate, shared), _drawn(reference, shared)
        total = self.pair.terms.num_samples if reference.is_plan else reference.facts.num_samples
        if candidate.facts.num_samples != total:
            total = None
        starts = _passes(self.pair, drawn, total)
        if starts is None:
            detail = "where a pass ends is not known"
            if len(surplus(np.concatenate(drawn[0]), np.concatenate(drawn[1]))):
                detail += ", and over the whole run the samples differ"
            detail += "; give epoch= to rec.step and num_samples= to xframe.record in both scripts"
            return Judgement("not judged", detail=detail)
        return self._by_pass(drawn, starts, total)

    def _by_pass(self, drawn: tuple[Ids, Ids], starts: list[int], total: int | None) -> Judgement:
        """The samples of each pass; ``starts`` has the first step of each."""
        candidate, reference, shared = self.pair.candidate, self.pair.reference, self.pair.shared
        cut = any(not run.rows.complete and len(run.rows) == shared for run in (candidate, reference))
        sizes, left_out = candidate.rows.head(shared).batch_size.tolist(), False
        for begin, end in zip(starts, [*starts[1:], shared], strict=True):
            a, b = (np.concatenate(ids[begin:end]) for ids in drawn)
            extra, missing = surplus(a, b), surplus(b, a)
            if not len(extra):
                continue
            if cut and end == shared:
                return Judgement("not judged", detail="the last pass was cut short")
            unrepeated = all(len(np.unique(ids)) == len(ids) for ids in (a, b))
            if unrepeated and total is not None and len(a) < total:
                left_out = True  # each pass drew only some of the samples: no more can be asked
                continue
            if unrepeated and total is None and len(set(sizes[begin:end])) == 1:
                detail = "no pass has a short last batch: "
                detail += "if both scripts drop it, give num_samples= to xframe.record in both"
                return Judgement("not judged", detail=detail)
            detail = f"steps {begin} to {end - 1}: {len(extra):,} samples differ: "
            return Judgement("fail", begin, detail + members(candidate, extra, reference, missing))
        if left_out:
            return Judgement("pass", detail="a pass left some samples out, not the same ones")
        return self.agreement()

    @classmethod
    def notes(cls, pairs: Sequence[Pair]) -> Iterator[str]:
        for pair in pairs:
            if pair.reference.is_plan:
                continue
            for run in (pair.candidate, pair.reference):
                yield from _not_finite(run)
            sized, drawn = (pair.firsts.get(name, pair.shared) for name in ("batch_size", "ids_digest"))
            if drawn < sized:  # else nothing but the sizes is known to differ
                yield f"{pair.candidate.name} and {pair.reference.name} drew the samples in different orders"


def _drawn(run: Run, steps: int) -> Ids:
    """The sample ids of each step, without padding."""
    rows = run.rows.head(steps)
    ends = rows.bounds[1:] - rows.column("padding").values.clip(min=0)
    ids = rows.column("ids").values
    return [ids[start:end] for start, end in zip(rows.bounds[:-1].tolist(), ends.tolist(), strict=True)]


def _passes(pair: Pair, drawn: tuple[Ids, Ids], total: int | None) -> list[int] | None:
    """The first step of each pass: by the plan if its epochs are no passes, else by the loops' labels, else where all
    samples have been drawn; or None."""
    sides = pair.candidate, pair.reference
    plans = [pair.terms.plan if run.trace is None else run.trace.plan for run in sides]
    plan = next((plan for plan in plans if plan is not None), None)
    if plan is not None and (plan.steps_per_epoch is not None or plan.remainder == "carry"):
        if plan.remainder == "carry" or total is None:
            return None
        begun = counting.rows(plan, total, 0, pair.shared).pass_index
        return [int(i) for i in np.flatnonzero(np.diff(begun, prepend=-1))]
    size = total if total else len(np.unique(np.concatenate([*drawn[0], *drawn[1]])))
    for run, ids in zip(sides, drawn, strict=True):
        if "epoch" in run.rows.known:
            starts = np.flatnonzero(np.diff(run.rows.head(pair.shared).column("epoch").values, prepend=-1))
            walked = np.add.reduceat(np.array([len(batch) for batch in ids]), starts)
            if (walked <= size).all() and (walked[:-1] == walked[0]).all():
                return [int(i) for i in starts]  # else epochs are no passes
    seen = np.cumsum(sides[0].rows.head(pair.shared).batch_size)
    ends = np.flatnonzero(seen % size == 0) + 1
    if len(ends) != seen[-1] // size:  # a pass ends inside a batch, or leaves samples out
        return None
    return [0, *(int(end) for end in ends if end < pair.shared)]


def _not_finite(run: Run) -> Iterator[str]:
    """That a run's loss is no finite number, and where it first is none."""
    for block in run.rows.blocks(BLOCK_ROWS):
        losses, known = block.column("loss")
        odd = np.flatnonzero(~np.isfinite(losses) & (known if known is not None else True))
        if odd.size:
            yield f"{run.name}: the loss is {losses[odd[0]]} at step {block.start + odd[0]}"
            return
