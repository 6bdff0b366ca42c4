"""The same learning rate in each step, as the runs' precision stores it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xframe.comparison.check import Check
from xframe.comparison.pairing import Block, Pair, Run, Terms, first_unequal
from xframe.comparison.result import Judgement
from xframe.precision import storage


class LearningRate(Check):
    """Learning rates are equal, NaN equal to NaN; they are set, so that no tolerance is needed."""

    name, title, rank, group = "lr", "learning rate", 50, "numbers"
    rests_on, shown = "lr", ("lr", "rate")

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self._kind = np.dtype(storage(pair.terms.precision))
        self._known = True
        self._values = ("", "")  # where they first differ

    @classmethod
    def rule(cls, terms: Terms, runs: Sequence[Run]) -> str:
        return "equal in " + storage(terms.precision)

    @classmethod
    def applies(cls, pair: Pair) -> bool:
        return not pair.reference.is_plan or "lr" in pair.reference.rows.known

    def feed(self, block: Block) -> None:
        if block.same >= {"numbers", "finite"}:
            self.measure(0.0, block.start)
            return
        candidate, reference = block.both("lr")
        self._known = self._known and candidate.known is None and reference.known is None
        if not self._known:
            return
        with np.errstate(over="ignore"):
            a, b = candidate.values.astype(self._kind), reference.values.astype(self._kind)
        nowhere = np.isnan(a) & np.isnan(b)
        first = first_unequal(np.where(nowhere, 0, a), np.where(nowhere, 0, b))
        if first is not None and "lr" not in self.pair.firsts:
            self.note("lr", block.start + first)
            self._values = str(a[first]), str(b[first])
        finite = np.isfinite(a) & np.isfinite(b)
        difference = np.abs(np.where(finite, a, 0).astype(np.float64) - np.where(finite, b, 0).astype(np.float64))
        at = int(np.argmax(difference))
        self.measure(float(difference[at]), block.start + at)

    def judge(self) -> Judgement:
        if not self._known or not self.pair.until:
            return Judgement("not judged", detail="" if self.pair.until else "no step to judge")
        first = self.pair.firsts.get("lr")
        if first is None:
            return self.measured("pass", detail=self.up_to_here())
        names = self.pair.candidate.name, self.pair.reference.name
        detail = f"step {first}: learning rate {names[0]} {self._values[0]}, {names[1]} {self._values[1]}"
        return self.measured("fail", first, detail)
