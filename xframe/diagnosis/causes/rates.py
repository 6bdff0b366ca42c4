"""Learning rates that differ, by themselves or because their schedule ticks by a different clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.checks.lr import compared
from xframe.comparison.pairing import Common
from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.claims import of_rates
from xframe.diagnosis.numbers import Numbers

Floats = NDArray[np.float64]


class LearningRate(Cause):
    """A different learning rate."""

    name = "learning-rate"
    rank = 530
    explains = staticmethod(of_rates)
    fixes = settings(
        any="one rate and one schedule, ticked by updates in both runs",
        torch='record optimizer.param_groups[0]["lr"] of the step, not optimizer.defaults["lr"]',
        keras="record the rate that the step's update uses: of a LearningRateSchedule, schedule(iterations before it)",
        accelerate="AcceleratedScheduler ticks once a process: Accelerator(step_scheduler_with_optimizer=...)",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        if numbers.other_rates and _reclocked(case, numbers) is None:
            loss, rate = numbers.loss_differs_at, numbers.lr_differs_at or 0
            exact = not numbers.only_recorded and not (loss is not None and loss <= rate)
            yield self.note(case, _differing(case, numbers), numbers.lr_differs_at, exact=exact)


class _Reclocked(Cause):
    """The reference's rates at the ticks of a different clock, or of other ticks of its own."""

    own_clock: ClassVar[bool]
    explains = staticmethod(of_rates)

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        schedule = _reclocked(case, numbers) if numbers.other_rates else None
        if schedule is not None and schedule[0] == self.own_clock:
            text = _differing(case, numbers, schedule[1], only_records=self.own_clock)
            fit = self.note(case, text, numbers.lr_differs_at)
            yield replace(fit, fields={**fit.fields, "only_recorded": numbers.only_recorded})


class ScheduleLate(_Reclocked):
    """Its learning rate schedule is a tick late or early, or is recorded so: rates show no more than that."""

    name = "schedule-late"
    rank = 540
    own_clock = True
    fixes = settings(
        torch="read the rate before scheduler.step()",
        keras="read the rate before the update: of a LearningRateSchedule, schedule(iterations before it)",
    )
    _of_training: ClassVar[Mapping[str, str]] = settings(
        torch="if training itself is a tick off, scheduler.step() once after each tick, not before the first "
        "optimizer.step()",
        keras="if training itself is a tick off, a LearningRateSchedule is asked with the updates made before",
    )

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        if fields.get("only_recorded"):
            return self.fixes
        return {where: f"{text}; {self._of_training[where]}" for where, text in self.fixes.items()}


class ScheduleClock(_Reclocked):
    """Its learning rate schedule ticks by a different unit: updates, steps or epochs."""

    name = "schedule-clock"
    rank = 550
    own_clock = False
    fixes = settings(
        torch="scheduler.step() after each optimizer.step() for updates, after each epoch for epochs",
        lightning="configure_optimizers: lr_scheduler interval='step' counts updates, 'epoch' epochs",
        keras="a LearningRateSchedule ticks by batch under gradient accumulation, LearningRateScheduler by epoch",
    )


def _differing(case: Case, numbers: Numbers, why: str = "", *, only_records: bool = False) -> str:
    """Where the rates first differ, by what factor if that is constant, and what losses show of it; ``only_records``:
    they may be rates of a neighbouring tick, so that nothing is said of what it trains at."""
    assert numbers.lr is not None
    at = numbers.lr_differs_at or 0
    (a, b), rates = numbers.lr, [float(one[at]) for one in numbers.lr]
    candidate, reference = (f"{rate:.6g}" for rate in rates)
    if candidate == reference:
        candidate, reference = (repr(rate) for rate in rates)
    shown = numbers.loss_differs_at is not None and not numbers.only_recorded and not only_records
    verb = "trains at" if shown else "records"
    text = f"{case.run} {verb} the rate {candidate} in step {at:,}, {case.other} {'at ' if shown else ''}{reference}"
    if factor := _factor(a, b):
        text += f", {factor} times as high all through"
    text += f": {why}" if why else ""
    last, loss = numbers.last_known(numbers.lr, at), numbers.loss_differs_at
    if last < at - 1 and loss is not None and last + 1 < loss <= at:
        text += f"; from step {last + 1:,} to {at - 1:,} a rate is not known, and losses differ from step {loss:,} on"
    if numbers.only_recorded:
        text += "; the losses behind it agree, so that one of the two records a rate that it does not train with"
    return text


def _factor(candidate: Floats, reference: Floats) -> str:
    """By what all rates are multiples of the reference's; empty if they are not by one factor."""
    known = ~(np.isnan(candidate) | np.isnan(reference))
    ratios = (candidate / reference)[known]
    constant = len(ratios) > 0 and np.isfinite(ratios).all() and (candidate != reference)[known].all()
    constant = constant and np.ptp(ratios) <= 1e-6 * abs(ratios[0])
    return "" if not constant or (factor := f"{ratios[0]:.6g}") == "1" else factor


def _reclocked(case: Case, numbers: Numbers) -> tuple[bool, str] | None:
    """How the candidate's rates follow from the reference's, if so: by the clock that these tick by, and in words."""
    assert numbers.lr is not None
    candidate, reference = numbers.lr
    if _factor(candidate, reference):
        return None  # the schedule is the reference's
    clocks = _clocks(case, len(reference))
    planned = [case.plan.schedule_clock or "updates"] if case.plan is not None else []
    for clock in dict.fromkeys([*planned, *clocks]):
        ticks = clocks.get(clock)
        rates = None if ticks is None else _rates(ticks, reference, numbers.precision)
        if ticks is None or rates is None or rates.are(ticks, candidate):
            continue
        for by, way in ((-1, "late"), (1, "early")):
            if rates.are(np.maximum(ticks + by, 0), candidate):
                reader = case.run if by == 1 else case.other
                why = f"these are {case.other}'s rates one {clock[:-1]} {way}"
                return True, f"{why}, as where {reader} reads the rate after the schedule's tick"
        for other, its in clocks.items():
            if other != clock and rates.are(its, candidate):
                why = f"these are {case.other}'s rates by {other}, where {case.other} goes by {clock}"
                return False, why
    return None


def _clocks(case: Case, steps: int) -> dict[str, NDArray[Any]]:
    """What a schedule may tick by: steps, updates and epochs before each step, as far as the rows show."""
    rows = case.candidate
    ticks: dict[str, NDArray[Any]] = {"steps": np.arange(steps)}
    if rows.updates is not None:
        ticks["updates"] = np.concatenate([[0], rows.updates[: steps - 1]])
    if rows.epoch is not None:
        ticks["epochs"] = rows.epoch[:steps]
    return {name: counts for name, counts in ticks.items() if counts[-1] > 0}


class _Rates(NamedTuple):
    """The rate of each tick, the ticks in ascending order."""

    ticks: NDArray[Any]
    rates: Floats
    precision: str

    def are(self, ticks: NDArray[Any], rates: Floats) -> bool:
        """Whether these are the rates of these ticks, as far as they are known, and they vary."""
        at = np.searchsorted(self.ticks, ticks).clip(max=len(self.ticks) - 1)
        expected = np.where(self.ticks[at] == ticks, self.rates[at], np.nan)
        known = expected[np.isfinite(expected)]
        varies = len(known) > 1 and not _same(np.broadcast_to(known[0], known.shape), known, self.precision)
        return varies and _same(rates, expected, self.precision)


def _rates(ticks: NDArray[Any], rates: Floats, precision: str) -> _Rates | None:
    """The rate of each tick; None if one tick has several."""
    ticks, rates = ticks[np.isfinite(rates)], rates[np.isfinite(rates)]
    known, first, where = np.unique(ticks, return_index=True, return_inverse=True)
    return _Rates(known, rates[first], precision) if _same(rates[first][where], rates, precision) else None


def _same(rates: Floats, expected: Floats, precision: str) -> bool:
    """Whether these are the same where both are known, as rates are compared."""
    rows = np.flatnonzero(~(np.isnan(rates) | np.isnan(expected)))
    return not compared(Common(rates[rows], expected[rows], 0, rows), 0.0, precision)[0].any()
