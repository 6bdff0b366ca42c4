"""The same labels of epoch, step in epoch and padding, where both loops give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xframe.comparison.check import Check
from xframe.comparison.pairing import Block, Run
from xframe.comparison.result import Judgement

_LABELS = ("epoch", "step_in_epoch", "padding")


class Epochs(Check):
    """What the loops declare of each step."""

    name, title, rank, group = "epochs", "epochs", 40, "labels"
    each, rests_on = "labels", "epoch"

    @classmethod
    def values(cls, runs: Sequence[Run]) -> dict[str, int | str | None]:
        last = {run.name: run.last("epoch") for run in runs}
        return {name: None if epoch is None else epoch + 1 for name, epoch in last.items()}

    def feed(self, block: Block) -> None:
        for column in _LABELS:
            self.differ(block, column)

    def judge(self) -> Judgement:
        candidate, reference = self.pair.candidate, self.pair.reference
        differing = [name for name in _LABELS if name in self.pair.firsts]
        from_one = self._from_one()
        if not differing:
            if not self.pair.shared or "epoch" not in self.pair.known:
                return Judgement("not judged", detail=f"a run labels no epochs{self.gaps('epoch')}")
            agreement = self.agreement()
            return replace(agreement, detail="; ".join(filter(None, (agreement.detail, from_one))))
        name = min(differing, key=lambda name: self.pair.firsts[name])
        step = self.pair.firsts[name]
        label, expected = (run.value(name, step) for run in (candidate, reference))
        calls = f"calls it {name.replace('_', ' ')} {label}"
        if name == "padding":
            calls = f"calls {label} of its samples padding"
        detail = f"step {step}: {candidate.name} {calls}, {reference.says} {expected}"
        return Judgement("fail", step, detail + (f", counted from 0; {from_one}" if from_one else ""))

    def _from_one(self) -> str:
        """Which run counts labels from 1 where the other counts them from 0: they are compared counted from 0."""
        sides, said = (self.pair.candidate, self.pair.reference), list[str]()
        for name, text in (("epoch", "epochs"), ("step_in_epoch", "the steps of an epoch")):
            counting = [run.name for run in sides if run.counted_from(name)]
            said += [f"{counting[0]} counts {text} from 1"] if len(counting) == 1 else []
        return "; ".join(said)
