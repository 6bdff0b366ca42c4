"""The same learning rate in each step, as far as a schedule evaluated in the runs' precision can be the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.check import Check
from xframe.comparison.pairing import Block, Common, Pair, Run, Terms
from xframe.comparison.result import Judgement
from xframe.precision import epsilon

Floats = NDArray[np.float64]

# By how many units in the last place one schedule evaluated in two ways may differ. Built-in schedules of Keras, which
# computes in float32, differ from torch's, which computes in Python floats, by 50 of the rate; by 2 of the peak where a
# rate is what remains of terms of that size, as near a cosine's zero; and where the rate fell, by a tenth of the rate a
# step: a base near 1 is rounded and then raised to the tick's power (0.9999 in float32 is a decay 0.01 % slower), and
# the phase of a restarted cosine is what remains of the tick.
OF_THE_RATE = 64
OF_THE_PEAK = 8
A_STEP = 1 / 4
A_FALL = 2500  # of the rate at most, each time that it fell to 1/e: a base of 0.9999 takes as many steps, times four
OF_AN_UPDATE = 0.05  # such a difference is seen in the next losses: 1e-4 of them and more, where rounding makes 1e-6


class LearningRate(Check):
    """Learning rates are equal but for the rounding of their schedule, NaN equal to NaN, in each step known in both.

    They are set, not computed in training, so that no tolerance applies.
    """

    name, title, rank, group = "lr", "learning rate", 50, "numbers"
    of_any_order, brief_always = True, True
    rests_on, shown = "lr", ("lr", "rate")

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self._unread: list[Block] = []  # equal by their digests; read only if a later one seems to differ
        self._peak = 0.0  # the largest rate of both sides so far, but for blocks not read
        self._detail = ""

    @classmethod
    def rule(cls, terms: Terms, runs: Sequence[Run]) -> str:
        eps = epsilon(terms.precision)
        return f"rtol {OF_THE_RATE * eps:.2g} + {A_STEP * eps:.2g}/step, atol {OF_THE_PEAK * eps:.2g} peak"

    @classmethod
    def brief(cls, terms: Terms, runs: Sequence[Run]) -> str:
        return "up to rounding"

    @classmethod
    def applies(cls, pair: Pair) -> bool:
        return not pair.reference.is_plan or "lr" in pair.reference.rows.known

    def feed(self, block: Block) -> None:
        if block.same >= {"numbers", "finite"}:
            self.pair.judged["lr"] += block.length
            self.measure(0.0, block.start)
            self._unread.append(block.unread())
            return
        common = block.common("lr")
        self.pair.judged["lr"] += len(common)
        if not len(common):
            return
        if np.array_equal(common.candidate, common.reference):
            self.measure(0.0, common.row(0))
            self._peak = max(self._peak, _sizes(common).max())
            return
        unequal, difference, allowed = compared(common, self._peak, self.pair.terms.precision)
        if self._unread and unequal.any():
            self._peak = max(self._peak, *(_sizes(one.common("lr")).max() for one in self._unread))
            self._unread = []
            unequal, difference, allowed = compared(common, self._peak, self.pair.terms.precision)
        at = int(np.argmax(difference))
        self.measure(float(difference[at]), common.row(at))
        if unequal.any() and "lr" not in self.pair.firsts:
            i = int(np.argmax(unequal))
            self.note("lr", common.row(i))
            self._differing(float(common.candidate[i]), float(common.reference[i]), float(allowed[i]))
        self._peak = max(self._peak, _sizes(common).max())

    def _differing(self, rate: float, expected: float, allowed: float) -> None:
        texts = [f"{one:.9g}" for one in (rate, expected)]
        if texts[0] == texts[1]:
            texts = [repr(one) for one in (rate, expected)]
        self._detail = f"{self.pair.candidate.name} {texts[0]}, {self.pair.reference.name} {texts[1]}"
        if np.isfinite(rate) and np.isfinite(expected):
            self._detail += f", which differ by {abs(rate - expected):.3g} where {allowed:.3g} is allowed"

    def judge(self) -> Judgement:
        if not self.pair.judged["lr"]:
            detail = "no step has a rate of both runs" if self.pair.until else "no step to judge"
            return Judgement("not judged", detail=detail)
        first = self.pair.firsts.get("lr")
        if first is not None:
            texts = f"step {first}: learning rate {self._detail}", self.at_some("lr")
            return self.measured("fail", first, "; ".join(filter(None, texts)))
        return self.measured("pass", detail=self.up_to_here("lr"))


def compared(common: Common, peak: float, precision: str) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Where rates differ, by how much (0 where one is not finite), and by how much they may, after that peak."""
    a, b, sizes = common.candidate, common.reference, _sizes(common)
    peaks = np.maximum.accumulate(np.maximum(sizes, peak))
    steps = np.arange(len(sizes)) if common.rows is None else common.rows
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        falls = np.where(sizes > 0, np.log(peaks / sizes), 0.0)
    of_the_rate = OF_THE_RATE + np.minimum(A_STEP * (common.start + steps), A_FALL * falls)
    eps = epsilon(precision)
    allowed = eps * of_the_rate * sizes + eps * OF_THE_PEAK * peaks  # in this order no finite rate becomes infinite
    finite = np.isfinite(a) & np.isfinite(b)
    with np.errstate(over="ignore"):  # beyond the largest float is beyond every bound
        difference = np.abs(np.where(finite, a, 0) - np.where(finite, b, 0))
    alike = (a == b) | (np.isnan(a) & np.isnan(b)) | (finite & (difference <= allowed))
    return ~alike, difference, allowed


def behind(differing: Floats) -> NDArray[np.int64]:
    """The steps whose losses must show it if each step's update differed by that share of itself: those behind enough
    of an update in sum."""
    return np.flatnonzero(np.concatenate([[0.0], np.cumsum(differing)])[:-1] >= OF_AN_UPDATE)


def share(rates: Floats, expected: Floats) -> Floats:
    """The share of each step's update that its rates differ by; none where one is not known."""
    a, b = np.abs(rates), np.abs(expected)
    with np.errstate(invalid="ignore", divide="ignore"):
        differing: Floats = np.nan_to_num(np.abs(a - b) / np.maximum(a, b))
    return differing


def _sizes(common: Common) -> Floats:
    """The larger rate of each two; 0 where one is not finite."""
    sizes: Floats = np.maximum(np.abs(common.candidate), np.abs(common.reference))
    return np.where(np.isfinite(sizes), sizes, 0.0)
