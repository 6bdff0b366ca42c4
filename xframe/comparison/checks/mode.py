"""The model in training mode in the same steps."""

from __future__ import annotations

from collections.abc import Sequence

from xframe.comparison.check import Check
from xframe.comparison.pairing import Block, Pair, Run, Terms, recorded
from xframe.comparison.result import Judgement

_MODES = ("evaluation mode", "training mode")


class Mode(Check):
    """Whether the model was in training mode, in the steps known in both; where losses agree it made no difference."""

    name, title, rank, group = "mode", "training mode", 52, "numbers"
    each, optional, of_runs_only, of_any_order = "per step", True, True, True

    @classmethod
    def rule(cls, terms: Terms, runs: Sequence[Run]) -> str:
        return f"== {runs[0].name}, {cls.each}"

    @classmethod
    def present(cls, terms: Terms, runs: Sequence[Run]) -> bool:
        return len(runs) > 1 and all(recorded(run, "training") for run in runs)

    @classmethod
    def applies(cls, pair: Pair) -> bool:
        return not pair.reference.is_plan and cls.present(pair.terms, (pair.candidate, pair.reference))

    def feed(self, block: Block) -> None:
        self.differ(block, "training")

    def judge(self) -> Judgement:
        pair, first = self.pair, self.pair.firsts.get("training")
        if not pair.judged["training"]:
            return Judgement(
                "not judged", detail="no step has the mode of both runs" if pair.until else "no step to judge"
            )
        if first is None:
            return Judgement("pass", detail=self.up_to_here("training"))
        own, other = (_MODES[run.value("training", first) == 1] for run in (pair.candidate, pair.reference))
        detail = f"step {first:,}: {pair.candidate.name} in {own}, {pair.reference.name} in {other}"
        if "loss" not in pair.firsts and pair.judged["loss"]:
            return Judgement("pass", detail=f"{detail}; the losses agree, so that it makes no difference")
        return Judgement("fail", first, detail)
