"""The same samples in each step, in the same order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.check import Check
from xframe.comparison.pairing import Block, Run
from xframe.comparison.result import Judgement
from xframe.errors import counted


class Boundaries(Check):
    """The size of each batch, and its ids by their digest; where ids are listed, how they differ."""

    name, title, rank, group = "boundaries", "batch boundaries", 20, "structure"
    orders, each, rests_on = ("exact",), "per step", "ids"

    @classmethod
    def values(cls, runs: Sequence[Run]) -> dict[str, int | str | None]:
        return {run.name: len(run.rows) for run in runs}

    def feed(self, block: Block) -> None:
        for column in ("batch_size", "ids_digest"):
            self.differ(block, column)

    def judge(self) -> Judgement:
        candidate, reference = self.pair.candidate, self.pair.reference
        if self.pair.other_data:
            detail = f"{candidate.name} and {reference.name} hold different data: the same ids are different samples"
            return Judgement("fail", 0, detail)
        firsts = [self.pair.firsts[name] for name in ("batch_size", "ids_digest") if name in self.pair.firsts]
        if firsts:
            return Judgement("fail", min(firsts), difference(candidate, reference, min(firsts)))
        if "batch_size" not in self.pair.known:
            run = candidate if "batch_size" not in candidate.rows.known else reference
            return Judgement("not judged", detail=f"{run.name} recorded no batches{self.gaps('batch_size')}")
        if "ids_digest" not in self.pair.known:
            detail = f"sizes agree; without sample ids the members are unknown{self.gaps('ids_digest')}"
            return Judgement("not judged", detail=detail)
        return self.agreement()


def difference(candidate: Run, reference: Run, step: int) -> str:
    """How two batches differ."""
    size, expected = (run.value("batch_size", step) for run in (candidate, reference))
    if size != expected and None not in (size, expected):
        return f"step {step}: {candidate.name} trained on {counted(size, 'sample')}, {reference.says} {expected:,}"
    ids, reference_ids = candidate.rows.batch(step), reference.rows.batch(step)
    if ids is None or reference_ids is None:
        other = f"different samples than {reference.name}, or in a different order"
        return f"step {step}: {candidate.name} trained on {other}"
    if np.array_equal(np.sort(ids), np.sort(reference_ids)):
        at = np.flatnonzero(ids != reference_ids)
        text = (
            f"step {step}: the same {size:,} samples in a different order inside the batch, {at.size} places differ, "
        )
        text += f"first place {at[0]}"
        if not _named(candidate, ids[at[:1]], reference_ids[at[:1]]):
            return text
        return f"{text}: {candidate.name} {ids[at[0]]}, {reference.name} {reference_ids[at[0]]}"
    extra, missing = surplus(ids, reference_ids), surplus(reference_ids, ids)
    return f"step {step}: {len(extra):,} of {counted(size, 'sample')} {'differs' if size == 1 else 'differ'}" + members(
        candidate, extra, reference, missing
    )


def differing(many: int) -> str:
    """How many samples differ, in words."""
    return f"{counted(many, 'sample')} differ{'s' if many == 1 else ''}"


def surplus(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """The members of ``a`` that ``b`` lacks, as often as it lacks them."""
    values, inverse = np.unique(np.concatenate([a, b]), return_inverse=True)
    counts = np.bincount(inverse[: len(a)], minlength=len(values))
    counts -= np.bincount(inverse[len(a) :], minlength=len(values))
    return np.repeat(values, np.maximum(counts, 0))


def _named(run: Run, *ids: NDArray[np.int64]) -> bool:
    """Whether these ids are indices that a run recorded, not numbers of contents."""
    return run.named is None or all(int(one.max(initial=-1)) < run.named for one in ids)


def members(candidate: Run, extra: NDArray[np.int64], reference: Run, missing: NDArray[np.int64]) -> str:
    """Which samples one side has in place of which, behind a colon; empty where some are known by no index."""
    if not _named(candidate, extra[:5], missing[:5]):
        return ""

    def first(values: NDArray[np.int64], limit: int = 5) -> str:
        return ", ".join(map(str, values[:limit].tolist())) + (", …" if len(values) > limit else "")

    return f": {candidate.name} has {first(extra)} where {reference.says} {first(missing)}"
