"""Gradients that a run does not take, or does not let go: frozen weights, and sums that are never set to zero."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.causes.set_otherwise import behind_an_update
from xframe.diagnosis.numbers import Numbers
from xframe.errors import counted

_FAR = 0.05  # of a norm: more than what hardly differs in the weights can make
_ROUNDED = 1e-3
_FEW = 3  # tensors that are named


class FrozenWeights(Cause):
    """It leaves weights as they are that the other trains, or trains those that the other leaves."""

    name = "frozen-weights"
    rank = 474
    fixes = settings(
        torch="requires_grad_(True) of the weights that the other run trains, or False of those that it leaves",
        keras="layer.trainable = True or False, before compile",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        found, step = numbers.evidence.differing(r"weights\.trainable"), numbers.loss_differs_at
        if step is None or not behind_an_update(case, step):
            return
        for more, less, trained in ((case.run, case.other, True), (case.other, case.run, False)):
            names = [one.name.removesuffix(".trainable") for one in found if one.candidate is trained]
            if names:
                some = ", ".join(names[:_FEW]) + (f" and {len(names) - _FEW:,} more" if len(names) > _FEW else "")
                text = f"{more} trains {counted(len(names), 'tensor')} that {less} leaves as they are: {some}"
                yield self.note(case, text, step)


class GradientsKept(Cause):
    """Its gradients are not set to zero, so that each is added to all before it."""

    name = "gradients-kept"
    definite = True
    rank = 472
    fixes = settings(
        torch="optimizer.zero_grad() once an update: before backward(), or behind optimizer.step()",
        any="let go of the gradients with each update",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step = numbers.loss_differs_at
        if step is None or not numbers.other_losses:
            return
        for side, run in enumerate((case.run, case.other)):
            stated = numbers.evidence.stated[side].get("optimizer.zero_grad") is False
            if stated and numbers.evidence.stated[1 - side].get("optimizer.zero_grad") is not False:
                text = f"{run} does not set its gradients to zero between updates"
                fit = self.note(case, f"{text}: each is added to all before it{_sums(numbers, side)}", step)
                yield replace(fit, by_reference=side == 1)
                return
        summing = [side for side in (0, 1) if _sums(numbers, side)]
        if summing and all("optimizer.zero_grad" not in one for one in numbers.evidence.stated):
            side = summing[0]
            text = f"{(case.run, case.other)[side]} may not set its gradients to zero between updates"
            yield replace(self.note(case, text + _sums(numbers, side), step, rank=636), by_reference=side == 1)


def _sums(numbers: Numbers, side: int) -> str:
    """That the second gradient's norm is as of the sum of two, where weights and losses are still the same."""
    norms = numbers.evidence.norms.get("gradient_norm")
    if norms is None or numbers.loss is None or numbers.loss_differs_at is None:
        return ""
    known = np.flatnonzero(np.isfinite(norms[0]) & np.isfinite(norms[1]))[:2]
    if len(known) < 2 or known[1] >= numbers.loss_differs_at:
        return ""
    first, own, other = norms[0][known[0]], norms[side][known[1]], norms[1 - side][known[1]]
    same = abs(first - norms[1][known[0]]) <= _ROUNDED * abs(first)
    within = abs(first - other) * (1 - _ROUNDED) <= own <= (first + other) * (1 + _ROUNDED)
    later = np.nanmean(norms[side][known[1] :]) > np.nanmean(norms[1 - side][known[1] :])
    if not (same and within and later and abs(own - other) > _FAR * other):
        return ""
    return (
        f": the first gradients' norms agree, {first:.4g}, and at step {known[1]:,}, where the losses still agree, "
        f"it is {own:.4g} for {other:.4g}, as a sum with the first can be"
    )
