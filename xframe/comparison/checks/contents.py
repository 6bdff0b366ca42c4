"""The same features, or the same targets, of the samples of each step, by their prints; what two checks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.comparison import by_sample
from xframe.comparison.check import Check
from xframe.comparison.pairing import Block, Pair, Run, Terms, recorded
from xframe.comparison.prints import Line, close, line, numbers, prints_of
from xframe.comparison.result import Judgement
from xframe.errors import counted

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_KEPT = 4096  # samples that differ, by which a factor is estimated


class Differing(NamedTuple):
    """What the first contents that differ show.

    Attributes:
        how: in words, how they follow from the reference's; empty if they do in no one way.
        others: the share of them that the reference has at other places.
    """

    how: str
    others: float


class Contents(Check):
    """Prints of two runs, sample by sample, in the steps known in both: equal, close up to rounding, or different.

    Where the losses agree throughout, what differs is how it was recorded, or where it was scaled. Of runs in orders of
    their own each sample's first content is compared with that of the same sample.

    Attributes:
        column: of the prints.
    """

    group, optional, of_runs_only, of_any_order = "numbers", True, True, True
    column: ClassVar[str]

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self._by_sample = pair.terms.order == "coverage"
        self._seen = by_sample.Seen(self.column), by_sample.Seen(self.column)
        self._samples = self._rounded = self._different = 0
        self._at_first = (0, 0)  # of the first step that differs: samples that do, and all
        self._hashes: tuple[list[Ints], list[Ints]] = ([], [])  # of those kept, and of all that the reference has there
        self._kept: tuple[Floats, Floats] = (np.zeros((0, 4)), np.zeros((0, 4)))

    @classmethod
    def rule(cls, terms: Terms, runs: Sequence[Run]) -> str:
        return f"== {runs[0].name}, {'by sample, ' * (terms.order == 'coverage')}up to rounding"

    @classmethod
    def present(cls, terms: Terms, runs: Sequence[Run]) -> bool:
        return len(runs) > 1 and all(recorded(run, cls.column) for run in runs)

    @classmethod
    def applies(cls, pair: Pair) -> bool:
        return not pair.reference.is_plan and cls.present(pair.terms, (pair.candidate, pair.reference))

    @property
    def _identifies(self) -> bool:
        """Whether it is by these contents that samples are known."""
        return self.column == "features" and self.pair.candidate.by_content

    def feed(self, block: Block) -> None:
        if self._by_sample:
            if "ids" in self.pair.known and not self._identifies:
                self._seen[0].add(block.candidate, block.length)
                self._seen[1].add(block.reference, block.length)
            return
        if block.alike(self.column) and self.column in self.pair.known:
            self.pair.judged[self.column] += block.length
            self._samples += int(block.candidate.batch_size[: block.length].sum())
            return
        own, others = (prints_of(side, self.column, block.length) for side in (block.candidate, block.reference))
        rows = own.known & others.known & (own.counts == others.counts)
        self.pair.judged[self.column] += int(rows.sum())
        a, b = own.of(rows), others.of(rows)
        self._samples += len(a)
        unequal = np.flatnonzero(a[:, 0] != b[:, 0])
        if not unequal.size:
            return
        exact = numbers(a[unequal]), numbers(b[unequal])
        near = close(*exact)
        self._rounded += int(near.sum())
        differing = unequal[~near]
        if not differing.size:
            return
        self._different += len(differing)
        if len(self._kept[0]) < _KEPT:
            self._hashes[0].append(a[differing[:_KEPT], 0])
            self._hashes[1].append(b[: differing[:_KEPT][-1] + 1, 0])
            self._kept = (
                np.concatenate([self._kept[0], exact[0][~near]])[:_KEPT],
                np.concatenate([self._kept[1], exact[1][~near]])[:_KEPT],
            )
        if self.column not in self.pair.firsts:
            counts = own.counts[rows]
            ends = np.cumsum(counts)
            place = int(np.searchsorted(ends, differing[0], side="right"))
            self._at_first = int(np.searchsorted(differing, ends[place])), int(counts[place])
            self.note(self.column, block.start + int(np.flatnonzero(rows)[place]))

    def _differing(self) -> Differing:
        names = self.pair.candidate.name, self.pair.reference.name
        own, others = (np.concatenate(hashes) for hashes in self._hashes)
        how = in_words(line(self._kept[1], self._kept[0]), self.title, *names)
        return Differing(how, float(np.isin(own, others).mean()))

    def judge(self) -> Judgement:
        first, pair = self.pair.firsts.get(self.column), self.pair
        if self._by_sample:
            return self._judge_by_sample()
        if not pair.judged[self.column]:
            detail = f"no step has {self.title} of both runs" if pair.until else "no step to judge"
            return Judgement("not judged", detail=detail)
        sparse = self.up_to_here(self.column)
        if first is None:
            rounded = (
                f"up to rounding in {self._rounded:,} of {counted(self._samples, 'sample')}" if self._rounded else ""
            )
            return Judgement("pass", detail="; ".join(filter(None, (rounded, sparse))))
        how = (found := self._differing()).how
        pair.details[self.column] = found
        text = f"{self.title} differ in {self._different:,} of {counted(self._samples, 'sample')}"
        text += f"; {how}" if how else ""
        if self.harmless(first):
            return Judgement("pass", detail=f"{text}; the losses agree, so that it enters training the same")
        many, all_ = self._at_first
        return Judgement(
            "fail", first, f"step {first:,}: the {self.title} of {many:,} of {all_:,} samples differ; {text}"
        )

    def _judge_by_sample(self) -> Judgement:
        """Samples of which both runs show the content, whenever they draw them."""
        if self._identifies:
            return Judgement("pass", detail="samples are identified by them")
        found = by_sample.compared(*self._seen)
        if not found.samples:
            return Judgement("not judged", detail=f"no sample is known to have the same {self.title} in each pass")
        if not found.different:
            near = f"up to rounding in {found.rounded:,} of {counted(found.samples, 'sample')}" if found.rounded else ""
            return Judgement("pass", detail=near)
        scaled = self.column == "features" and found.different == found.samples and not found.elsewhere
        if found.renamed or scaled:
            detail = f"no sample has the same {self.title} in both runs: written otherwise, or others"
            return Judgement("not judged", detail=detail)
        names = self.pair.candidate.name, self.pair.reference.name
        text = f"{found.different:,} of {counted(found.samples, 'sample')} have other {self.title} in {names[0]} "
        return Judgement("fail", detail=f"{text}than in {names[1]}")


def in_words(how: Line | None, what: str, candidate: str, reference: str) -> str:
    """How the candidate's values follow from the reference's; empty if they follow in no one way."""
    if how is None:
        return ""
    factor = f"{how.factor:.6g}"
    inverse = 1 / how.factor
    if abs(inverse) > 1.5 and abs(inverse - round(inverse)) <= 1e-4 * abs(inverse):
        factor = f"1/{round(inverse):,}"
    if factor == "1":
        return f"{candidate}'s {what} are {reference}'s, shifted by a constant" if how.shifted else ""
    return f"{candidate}'s {what} are {factor} x {reference}'s" + (", shifted by a constant" if how.shifted else "")
