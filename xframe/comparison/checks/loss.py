"""The same losses step by step, as far as rounding lets them be, or within the tolerance where that is not known; an
accuracy recorded beside them is judged with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.check import Check
from xframe.comparison.pairing import Block, Common, Pair, Run, Terms
from xframe.comparison.result import Judgement
from xframe.numerics.curves import TIMES, Allowance

Floats = NDArray[np.float64]


class Loss(Check):
    """Losses of two runs in the steps known in both, up to the first that is no finite number: NaN and infinity are
    classified before anything is subtracted."""

    name, title, rank, group = "loss", "loss", 60, "numbers"
    computed, of_runs_only, rests_on = True, True, "loss"

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self._allowance = None if pair.curve is None else Allowance(pair.curve)
        self._detail = ""  # of the first two that differ beyond the tolerance, or in kind
        self._odd: tuple[int, float] | None = None  # where both ceased to be finite, in the same way
        self._accuracies = (0.0, 0.0)  # where they first differ
        self._farthest = (0.0, 0)  # how far two of them differ at most, and at which step

    @classmethod
    def rule(cls, terms: Terms, runs: Sequence[Run]) -> str:
        slacks = [one.slack for run in runs for one in run.readings.values() if one.column == "loss"]
        slack = max((np.nan_to_num(one).max(initial=0.0) for one in slacks if one is not None), default=0.0)
        return cls.brief(terms, runs) + (f"; means + {slack:.2g}" if slack else "")

    @classmethod
    def brief(cls, terms: Terms, runs: Sequence[Run]) -> str:
        accuracy = len(runs) > 1 and all("accuracy" in run.rows.known for run in runs)
        curves = [] if terms.by_hand else [one.curve for one in terms.numerics.values() if one.curve is not None]
        if curves:
            return f"<= {TIMES} x rounding"
        return str(terms.tolerance) + ("; accuracy ± 1" if accuracy else "")

    def feed(self, block: Block) -> None:
        if block.same >= {"numbers", "finite"}:
            self.pair.judged["loss"] += block.length
            if self._odd is None:
                self.measure(0.0, block.start)
            return
        losses = block.common("loss")
        self.pair.judged["loss"] += len(losses)
        if self._odd is None:
            self._compare(losses)
        self._compare_accuracies(block)

    def _compare(self, losses: Common) -> None:
        a, b = losses.candidate, losses.reference
        kinds = classified(a), classified(b)
        odd = np.flatnonzero((kinds[0] != 0) | (kinds[1] != 0))
        finite = int(odd[0]) if odd.size else len(a)
        with np.errstate(over="ignore", invalid="ignore"):  # beyond the largest float is beyond every tolerance
            difference = np.abs(a[:finite] - b[:finite])
            allowed = (self._allowed(losses) + self._slack("loss", losses))[:finite]
        told = finite if self.pair.unclear is None else min(finite, losses.before(self.pair.unclear))
        difference = difference[:told]
        if told:
            at = int(np.argmax(difference))
            self.measure(float(difference[at]), losses.row(at))
        names = self.pair.candidate.name, self.pair.reference.name
        beyond = np.flatnonzero(difference > allowed[:told])
        first = self.pair.firsts.get("loss")
        if beyond.size and first is None:
            i = int(beyond[0])
            first = losses.row(i)
            self._detail = f"{names[0]} {a[i]:.9g}, {names[1]} {b[i]:.9g}, "
            self._detail += f"which differ by {difference[i]:.3g} where {allowed[i]:.3g} is allowed"
        if odd.size:
            self._odd = losses.row(finite), float(a[finite])
            if kinds[0][finite] != kinds[1][finite] and first is None and told == finite:
                first, self._detail = self._odd[0], f"{names[0]} {a[finite]}, {names[1]} {b[finite]}"
        self.note("loss", first)

    def _allowed(self, losses: Common) -> Floats:
        """By how much these losses may differ."""
        a, b = losses.candidate, losses.reference
        if self._allowance is None:
            allowed: Floats = self.pair.terms.tolerance.allowed(a, b)
            return allowed
        allowed, self.pair.unclear = self._allowance.of(losses.places, b, a)
        self.pair.drift = self._allowance.drift
        return allowed

    def _slack(self, column: str, common: Common) -> Floats | float:
        """By how much more numbers may differ that were computed from what a run recorded."""
        sides = self.pair.candidate, self.pair.reference
        readings = [run.readings[column] for run in sides if column in run.readings]
        rows = common.places if readings else None
        return sum((reading.slack[rows] for reading in readings if reading.slack is not None), 0.0)

    def _compare_accuracies(self, block: Block) -> None:
        """Whether more samples are predicted differently than the one that rounding may turn; in a coarse precision
        as many more as its tolerance allows."""
        common = block.common("accuracy")
        a, b, sizes = common.candidate, common.reference, block.both("batch_size")[0].values
        sizes = sizes if common.rows is None else sizes[common.rows]
        more = self.pair.terms.tolerance.atol + self._slack("accuracy", common)
        told = None if self.pair.unclear is None else common.before(self.pair.unclear)
        beyond = np.flatnonzero(counted_differently(a, b, sizes, more)[:told])
        if not beyond.size:
            return
        differences = np.nan_to_num(np.abs(a - b)[beyond])
        at = int(np.argmax(differences))
        self._farthest = max(self._farthest, (float(differences[at]), common.row(int(beyond[at]))))
        if "accuracy" not in self.pair.firsts:
            i = int(beyond[0])
            self._accuracies = float(a[i]), float(b[i])
            self.note("accuracy", common.row(i))

    def judge(self) -> Judgement:
        candidate, reference, firsts = self.pair.candidate, self.pair.reference, self.pair.firsts
        if "loss" in firsts:
            texts = f"step {firsts['loss']}: loss {self._detail}", self.at_some("loss")
            return self.measured("fail", firsts["loss"], "; ".join(filter(None, texts)))
        if "accuracy" in firsts and (self._odd is None or firsts["accuracy"] < self._odd[0]):
            step, (accuracy, expected) = firsts["accuracy"], self._accuracies
            detail = f"step {step}: accuracy {candidate.name} {accuracy:.6g}, {reference.name} {expected:.6g}"
            return Judgement("fail", step, detail, *self._farthest, worst_of="accuracy")
        if not self.pair.judged["loss"]:
            detail = "no step has a loss of both runs" if self.pair.until else "no step to judge"
            return Judgement("not judged", detail=detail)
        if self._odd is not None and (self.pair.unclear is None or self._odd[0] < self.pair.unclear):
            detail = f"both runs' losses are {self._odd[1]} from step {self._odd[0]} on"
            return self.measured("not judged", detail=detail, undecided=True)
        if self.pair.unclear is not None:
            return self._up_to(self.pair.unclear)
        return self.measured("pass", detail=self.up_to_here("loss"))

    def _up_to(self, step: int) -> Judgement:
        """Where rounding moves the losses too far to tell from a step on."""
        detail = f"from step {step:,} on rounding alone moves them too far to tell"
        return self.measured("pass" if self.worst_at is not None else "not judged", detail=detail)


def counted_differently(a: Floats, b: Floats, sizes: NDArray[np.int64], more: Floats | float) -> NDArray[np.bool_]:
    """Where accuracies differ by more than one sample of as many, and by that much more."""
    differing: NDArray[np.bool_] = ~(np.abs(a - b) * sizes <= 1.5 + more * sizes)
    return differing


def classified(values: Floats) -> NDArray[np.int64]:
    """0 finite, 1 NaN, 2 +inf, 3 -inf."""
    return np.where(np.isnan(values), 1, np.where(np.isposinf(values), 2, np.where(np.isneginf(values), 3, 0)))
