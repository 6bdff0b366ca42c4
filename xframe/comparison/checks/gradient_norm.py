"""The same norms of the gradients, before clipping and as they were applied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.check import Check
from xframe.comparison.checks.loss import classified
from xframe.comparison.pairing import Block, Common, Pair, Run, Terms, recorded
from xframe.comparison.result import Judgement

COLUMNS = {"gradient_norm": "gradient norm", "clipped_norm": "gradient norm after clipping"}
_TIMES = 10  # the tolerance: what moves a loss by a little moves its slope by more
_FAR = 0.05  # of a norm, by which it differs whatever the losses show


class GradientNorm(Check):
    """Norms of two runs at the updates known in both. Where the losses agree throughout, only what is far off fails:
    near a minimum the gradients are what remains of large terms."""

    name, title, rank, group = "gradient norm", "gradient norm", 65, "numbers"
    optional, of_runs_only, witness, shown = True, True, True, ("gradient_norm", "gradient norm")

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self._firsts: dict[
            bool, tuple[int, str]
        ] = {}  # of differences beyond the tolerance, and of those far beyond it

    @classmethod
    def rule(cls, terms: Terms, runs: Sequence[Run]) -> str:
        tolerance = terms.tolerance
        return f"rtol {_TIMES * tolerance.rtol:g}, atol {_TIMES * tolerance.atol:g}"

    @classmethod
    def present(cls, terms: Terms, runs: Sequence[Run]) -> bool:
        return len(runs) > 1 and any(all(recorded(run, name) for run in runs) for name in COLUMNS)

    @classmethod
    def applies(cls, pair: Pair) -> bool:
        return not pair.reference.is_plan and cls.present(pair.terms, (pair.candidate, pair.reference))

    def feed(self, block: Block) -> None:
        if block.alike("gradient_norm"):
            known = block.both("gradient_norm")[0].known
            self.pair.judged["gradient_norm"] += block.length if known is None else int(known.sum())
            return
        for column, what in COLUMNS.items():
            common = block.common(column)
            self.pair.judged[column] += len(common)
            a, b = common.candidate, common.reference
            kinds = classified(a), classified(b)
            with np.errstate(invalid="ignore", over="ignore"):
                difference = np.where((kinds[0] == 0) & (kinds[1] == 0), np.abs(a - b), 0.0)
                allowed = _TIMES * self.pair.terms.tolerance.allowed(a, b)
                far = allowed + _FAR * np.maximum(np.abs(a), np.abs(b))
            if len(difference):
                at = int(np.argmax(difference))
                self.measure(float(difference[at]), common.row(at))
            for widely, limit in ((False, allowed), (True, far)):
                self._note_first(widely, (difference > limit) | (kinds[0] != kinds[1]), common, what)

    def _note_first(self, widely: bool, beyond: NDArray[np.bool_], common: Common, what: str) -> None:
        if beyond.any():
            i = int(np.argmax(beyond))
            step, names = common.row(i), (self.pair.candidate.name, self.pair.reference.name)
            norms = f"{names[0]} {common.candidate[i]:.6g}, {names[1]} {common.reference[i]:.6g}"
            text = f"step {step:,}: {what} {norms}"
            if widely not in self._firsts or step < self._firsts[widely][0]:
                self._firsts[widely] = step, text

    def judge(self) -> Judgement:
        judged = max(self.pair.judged[column] for column in COLUMNS)
        if not judged:
            detail = "no update has the norm of both runs' gradients" if self.pair.until else "no step to judge"
            return Judgement("not judged", detail=detail)
        agree = "loss" not in self.pair.firsts and bool(self.pair.judged["loss"])
        if (first := self._firsts.get(agree)) is None:
            return self.measured("pass", detail=self.up_to_here())
        self.pair.firsts["gradient_norm"] = first[0]
        return self.measured("fail", *first)
