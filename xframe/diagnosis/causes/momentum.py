"""Momentum under a rate that changes: frameworks multiply by the rate at different places."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.causes.rates import a_tick_off
from xframe.diagnosis.numbers import Numbers

_SOON = 20  # steps behind a change of the rate within which losses show it
_SLIGHT = 0.1  # by which share a rate may have changed that they do not show yet
_LENIENT = 3  # times the difference that the rates make by themselves
_FOLDED, _AFTERWARDS = "v = m*v - lr*gradient; weight += v", "v = m*v + gradient; weight -= lr*v"


class RateInVelocity(Cause):
    """Its momentum holds the rates of earlier updates, or does not, unlike the other's."""

    name = "rate-in-velocity"
    rank = 625
    fixes = settings(
        torch=f"to do as Keras, an optimizer of your own, in which {_FOLDED}",
        keras=f"to do as torch, an optimizer of your own, in which {_AFTERWARDS}",
        any="to be sure, compare the two at a constant rate, at which both do the same",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, rates = numbers.loss_differs_at, numbers.lr
        if not step or rates is None or numbers.scale is not None or not numbers.may_fold or numbers.other_starts:
            return
        if numbers.other_data or numbers.loss is None or (numbers.other_rates and not a_tick_off(case, numbers)):
            return
        own = rates[1][: step + 1]
        changed = np.flatnonzero(own[1:] != own[:-1]) + 1  # not where either is unknown
        changed = changed[np.isfinite(own[changed]) & np.isfinite(own[changed - 1])]
        # The update of the step whose rate is the first new one is the first that differs, and the next loss shows it.
        if not len(changed) or step <= (at := int(changed[0])):
            return
        used = own[at - 1 : step][np.isfinite(own[at - 1 : step])]
        by = np.inf if used.min() <= 0 else used.max() / used.min() - 1
        if (step - at > _SOON and by > _SLIGHT) or not _within(numbers, step, by):
            return
        text = f"the losses of {case.run} and {case.other} agree until the rate first changes, in step {at:,}, and not "
        text += f"from step {step:,} on, as where SGD has momentum: Keras puts the rate into the velocity "
        yield self.note(case, f"{text}({_FOLDED}), torch multiplies by it afterwards ({_AFTERWARDS})", step)


def _within(numbers: Numbers, step: int, by: float) -> bool:
    """Whether the losses differ by no more than rates that changed by that share can make them.

    Weights move differently by at most that share of the way that they have come, and losses with them.
    """
    assert numbers.loss is not None
    a, b = numbers.loss
    known = b[: step + 1][np.isfinite(b[: step + 1])]
    return bool(abs(a[step] - b[step]) <= _LENIENT * by * np.ptp(known))
