"""The same number of training steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xframe.comparison.check import Check
from xframe.comparison.pairing import Pair, Run
from xframe.comparison.replicated import uneven
from xframe.comparison.result import Judgement
from xframe.errors import counted, printable
from xframe.plan import counting
from xframe.plan.validation import decidable


class Steps(Check):
    """As many steps, where both ran to their ends; the plan's end where early stopping must end the run."""

    name, title, rank, group = "steps", "steps", 10, "structure"
    each = ""

    @classmethod
    def values(cls, runs: Sequence[Run]) -> dict[str, int | str | None]:
        return {run.name: len(run.rows) for run in runs}

    def judge(self) -> Judgement:
        candidate, reference, shared = self.pair.candidate, self.pair.reference, self.pair.shared
        plan, num_samples = self.pair.terms.plan, self.pair.terms.num_samples
        if reference.is_plan and plan is not None and not decidable(plan, candidate.validations):
            detail = f"{candidate.name} did not record what early stopping depends on"
            return Judgement("not judged", detail=detail, undecided=True)
        for side in (candidate, reference):
            if (short := uneven(side)) is not None:
                return Judgement("fail", short.step, short.sentence)
        if len(candidate.rows) == len(reference.rows):
            return Judgement("pass" if shared else "not judged")  # nothing recorded on both sides is nothing compared
        for side in (candidate, reference):
            if side.trace is not None and not side.rows.complete and len(side.rows) == shared:
                detail = f"{side.name} is {printable(side.trace.ending)} after {counted(shared, 'step')}"
                return Judgement("not judged", detail=detail)
        detail = f"{candidate.name} made {counted(len(candidate.rows), 'step')}, {reference.says} "
        detail += f"{len(reference.rows):,}"
        if reference.is_plan and plan is not None and num_samples is not None:
            early = len(reference.rows) < counting.num_steps(plan, num_samples)
            detail += ", where its validations stop it early" if early else ""
        return Judgement("fail", shared, detail)

    @classmethod
    def notes(cls, pairs: Sequence[Pair]) -> Iterator[str]:
        """Runs without a step, with which nothing can be compared."""
        for run in {run.name: run for pair in pairs for run in (pair.reference, pair.candidate)}.values():
            if not run.is_plan and not len(run.rows):
                yield f"{run.name} has no steps: nothing was trained while it was recorded"
