"""The same number of updates applied after each step."""

from __future__ import annotations

from collections.abc import Sequence

from xframe.comparison.check import Check
from xframe.comparison.pairing import Block, Pair, Run
from xframe.comparison.result import Judgement
from xframe.errors import counted


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
            return self._agreed()
        step, compared, did = firsts.get("updates"), (self._column, "updates"), "applied"
        if step is None or firsts.get("update_attempts", step) < step:
            step, compared = firsts["update_attempts"], ("update_attempts", "update_attempts")
        did = "applied" if compared[0] == "updates" else "tried"
        count, expected = candidate.value(compared[0], step), reference.value(compared[1], step)
        had = counted(count, "update")
        return Judgement("fail", step, f"step {step}: {candidate.name} had {did} {had}, {reference.says} {expected:,}")

    def _agreed(self) -> Judgement:
        """Counts that agree wherever both runs have one."""
        judged, shared, agreed = self.pair.judged["updates"], self.pair.shared, self.agreement()
        sides = ((self.pair.candidate, self._column), (self.pair.reference, "updates"))
        lacking = [run.name for run, column in sides if column not in run.rows.known]
        if not lacking or not shared:
            return agreed
        if not judged:
            return Judgement("not judged", detail=f"{lacking[0]} recorded no evidence of updates")
        sparse = f"recorded at {judged:,} of {shared:,} steps" if judged < shared else ""
        return Judgement("pass", detail=", ".join(filter(None, (sparse, agreed.detail))))
