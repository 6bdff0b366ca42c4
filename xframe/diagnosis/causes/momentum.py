"""What frameworks' optimizers compute in another order: where the rate is multiplied by, and epsilon added."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.causes.rates import a_tick_off
from xframe.diagnosis.numbers import Numbers

_SOON = 20  # steps behind a change of the rate within which losses show it
_SLIGHT = 0.1  # by which share a rate may have changed that they do not show yet
_LENIENT = 3  # times the difference that the rates make by themselves
_GRADUAL, _SOME = 0.01, 30  # a share of a loss; how many times less an earlier one may differ
_SET = r"optimizer\.(group\d+\.)?(?!epsilon(_on)?$).*|(loss|regularizer|dropout|recurrent)\..*|weights\.trainable"
_ADAMS = ("Adam", "AdamW")
_TELLING = 0.01  # of a gradient's element, from which on an epsilon shows at once
_ELEMENT = 0.01  # of a gradient, where its norm is not known
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


class AdamEpsilonPlacement(Cause):
    """Its Adam adds epsilon at another place: Keras' before the bias correction, torch's behind it."""

    name = "adam-epsilon-placement"
    definite = True
    rank = 596
    fixes = settings(
        torch="to do as Keras, xframe_torch.optim.KerasAdam(...); or, with torch's own, before each optimizer.step(), "
        "t from 1: "
        'for group in optimizer.param_groups: group["eps"] = {epsilon} / (1 - {beta_2}**t) ** 0.5',
        tensorflow="to do as torch, xframe_tensorflow.optim.TorchAdam(...), or TorchAdamW(...) for decoupled decay",
        any="or compare with SGD in both, which has no epsilon, or by a larger tolerance (--rtol, --atol)",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, evidence = numbers.loss_differs_at, numbers.evidence
        sides = {_epsilon_on(stated): stated for stated in evidence.stated}
        if {*sides} != {"uncorrected", "corrected"} or not step or not numbers.other_losses:
            return
        if evidence.differing(_SET) or evidence.failed.get("gradient norm") == 0:
            return
        keras = sides["uncorrected"]
        epsilon, beta = keras.get("optimizer.epsilon"), keras.get("optimizer.beta_2")
        if not (isinstance(epsilon, float) and isinstance(beta, float) and 0 <= beta < 1):
            return
        gradual = _gradual(numbers, step)
        if not gradual and epsilon / (1 - beta) ** 0.5 < _TELLING * _gradient(numbers, keras):
            return
        text = "Keras' Adam adds epsilon before the bias correction, torch's behind it: Keras' is in effect epsilon / "
        text += f"sqrt(1 - beta_2**t), {epsilon / (1 - beta) ** 0.5:.2g} for {epsilon:g} in the first update"
        text += f"; the losses of {case.run} and {case.other} "
        text += "part little by little, beyond the tolerance from step " if gradual else "differ from step "
        fit = self.note(case, f"{text}{step:,} on", step)
        yield replace(fit, fields={**fit.fields, "epsilon": epsilon, "beta_2": beta})


def _epsilon_on(stated: Mapping[str, Any]) -> str:
    """Where a run's Adam has its epsilon; by its framework, of one recorded before this was stated."""
    if "optimizer.epsilon_on" in stated:
        return str(stated["optimizer.epsilon_on"])
    own = {"tensorflow": "uncorrected", "torch": "corrected"} if stated.get("optimizer.class") in _ADAMS else {}
    return own.get(str(stated.get("backend")), "")


def _gradient(numbers: Numbers, stated: Mapping[str, Any]) -> float:
    """What an element of the first gradient is like, by its norm where that was recorded."""
    count, norms = stated.get("optimizer.parameters"), numbers.evidence.norms.get("gradient_norm")
    first = np.nan if norms is None or not len(norms[0]) else float(norms[0][0])
    return first / count**0.5 if type(count) is int and 0 < count < 1 << 62 and np.isfinite(first) else _ELEMENT


def _gradual(numbers: Numbers, step: int) -> bool:
    """Whether losses that differ from that step on differ by little, and did by some already."""
    assert numbers.loss is not None
    a, b = (one[: step + 1] for one in numbers.loss)
    apart = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
    before = float(np.nanmax(apart[1:step], initial=0))
    return bool(apart[step] <= _GRADUAL and _SOME * before >= apart[step] and step > 1)


def _within(numbers: Numbers, step: int, by: float) -> bool:
    """Whether the losses differ by no more than rates that changed by that share can make them.

    Weights move differently by at most that share of the way that they have come, and losses with them.
    """
    assert numbers.loss is not None
    a, b = numbers.loss
    known = b[: step + 1][np.isfinite(b[: step + 1])]
    return bool(abs(a[step] - b[step]) <= _LENIENT * by * np.ptp(known))
