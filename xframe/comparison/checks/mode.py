"""The model in training mode in the same steps."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xframe.comparison.check import Check
from xframe.comparison.pairing import Block, Pair, Run, Terms, recorded
from xframe.comparison.result import Judgement

_ACTING = re.compile(r"dropout\.|(recurrent\.\d+\.)dropout|normalisation\.\d+\.momentum")
_MODES = ("evaluation mode", "training mode")


def _acts(run: Run) -> bool:
    """Whether the run may have a layer on which the mode acts; of a model that it states, whether it states one."""
    stated = {} if run.trace is None else run.trace.settings
    acting = [name for name, value in stated.items() if _ACTING.match(name) and value not in (None, 0)]
    return bool(acting) or not any(name.startswith("model.") for name in stated)


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
        if not any(map(_acts, (pair.candidate, pair.reference))):
            return Judgement("pass", detail=f"{detail}; neither has a layer on which that acts")
        if self.harmless(first):
            return Judgement("pass", detail=f"{detail}; the losses agree, so that it makes no difference")
        return Judgement("fail", first, detail)
