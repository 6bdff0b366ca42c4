"""The same number of updates applied after each step."""

from __future__ import annotations

from collections.abc import Sequence

from xframe.comparison.check import Check
from xframe.comparison.pairing import Block, Pair, Run
from xframe.comparison.result import Judgement


class Updates(Check):
    """Updates applied; where a scaled loss may skip some, the tries are compared with the plan's updates, and with
    another such run both are."""

    name, title, rank, group = "updates", "updates", 30, "structure"
    each, rests_on = "per step", "updates"

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        skips = pair.candidate.skips_updates
        self._column = "update_attempts" if skips and pair.reference.is_plan else "updates"
        self._tries = skips and pair.reference.skips_updates  # are compared besides

    @classmethod
    def values(cls, runs: Sequence[Run]) -> dict[str, int | str | None]:
        return {run.name: run.last("updates") for run in runs}

    def feed(self, block: Block) -> None:
        self.differ(block, "updates", self._column)
        if self._tries:
            self.differ(block, "update_attempts")

    def judge(self) -> Judgement:
        candidate, reference = self.pair.candidate, self.pair.reference
        firsts = self.pair.firsts
        if not firsts.keys() & {"updates", "update_attempts"}:
            for run in (candidate, reference):
                if "updates" not in run.rows.known:
                    detail = f"{run.name} recorded no evidence of updates{self.gaps('updates')}"
                    return Judgement("not judged", detail=detail)
            return self.agreement()
        step, compared, did = firsts.get("updates"), (self._column, "updates"), "applied"
        if step is None or firsts.get("update_attempts", step) < step:
            step, compared = firsts["update_attempts"], ("update_attempts", "update_attempts")
        did = "applied" if compared[0] == "updates" else "tried"
        count, expected = candidate.value(compared[0], step), reference.value(compared[1], step)
        return Judgement(
            "fail", step, f"step {step}: {candidate.name} had {did} {count:,} updates, {reference.says} {expected:,}"
        )
