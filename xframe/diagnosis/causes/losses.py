"""Losses that differ though samples, updates and rates are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from xframe.diagnosis import claims
from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.numbers import Numbers
from xframe.errors import counted

_CLOSE = 1e-3  # of a factor
_SAME = 1e-4  # relative, of losses of the same weights
_DIVISION = {
    "torch": "loss / {k} in each step of a window; its last, short window needs its own divisor",
    "transformers": "TrainingArguments(average_tokens_across_devices=...) and num_items_in_batch decide the divisor",
    "plan": 'loss_normalization = "window", "actual", "samples" or "sum", whichever the run does',
}


class Rounding(Cause):
    """The numbers diverge slowly, as rounding makes them."""

    name = "rounding"
    without_steps = True
    rank = 600
    fixes = settings(
        any="first look at what an optimizer does little by little: weight decay, momentum, its epsilon",
        torch='torch.set_float32_matmul_precision("highest")',
        tensorflow="tf.config.experimental.enable_tensor_float_32_execution(False)",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        if numbers.other_losses and numbers.scale is None and numbers.drifts:
            step = numbers.loss_differs_at
            both = f"losses of {case.run} and {case.other}"
            text = f"the {both} diverge slowly, beyond the tolerance from step {step:,} on, as rounding makes them"
            if not step:
                text = f"the first {both} differ, before any update, by no more than rounding makes of them"
            fit = self.note(case, text, step)
            yield replace(fit, fields={**fit.fields, "trained": bool(step)})

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        return {where: text for where, text in self.fixes.items() if where != "any" or fields.get("trained", True)}


class LossScale(Cause):
    """One run's loss is a constant multiple of the other's."""

    name = "loss-scale"
    rank = 610
    settings_behind = r"loss\.reduction"
    explains = staticmethod(claims.of_stated_losses)
    fixes = settings(
        torch="record the mean loss of the batch: before it is divided by the accumulation steps; reduction='mean'",
        tensorflow="the same: reduction='sum_over_batch_size'",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, scale = numbers.loss_differs_at, numbers.scale
        if not numbers.other_losses or numbers.loss is None:
            return
        if scale is not None:
            rate, every = numbers.lr_differs_at, "every recorded" if np.isnan(numbers.loss).any() else "every"
            until = "" if rate is None else f" up to step {rate:,}, as long as the rates agree,"
            text = f"{every} loss of {case.run}{until} is {scale:.6g} times that of {case.other}"
            text += _factor_of_all(case, scale)
            if numbers.weights is False:
                text += "; the final weights differ too, which a loss that is only recorded otherwise does not explain"
            rank = 650 if numbers.weights is False else None
            yield self.note(case, text, step, exact=numbers.weights is True, rank=rank)
        elif numbers.constant:
            text = f"every loss that {case.run} reports is {numbers.loss[0][0]:.6g}, whatever it trains on"
            yield self.note(case, text, step)
        elif step == 0 and (factor := _factor_of_the_first(case, numbers)):
            text = f"the first loss of {case.run} is {factor} that of {case.other}"
            if beyond := _beyond_the_factor(case, numbers):
                text += f"; from step {beyond:,} on losses are not, so that more than the record differs"
            yield self.note(case, text, 0)


class LossRecordedOtherwise(Cause):
    """Its loss is recorded in another way: training is the same, since it ends in the same weights."""

    name = "loss-recorded-otherwise"
    rank = 615
    explains = staticmethod(claims.of_stated_losses)
    fixes = settings(any="record each step's own loss in both runs: no mean of several, not smoothed or rounded")

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step = numbers.loss_differs_at
        if not numbers.other_losses or numbers.weights is not True or numbers.scale is not None or numbers.constant:
            return
        if not numbers.drifts:
            text = f"the final weights of {case.run} and {case.other} agree, so the training is the same; "
            yield self.note(case, f"{text}the loss is recorded in another way", step)


class DifferentLoss(Cause):
    """The loss is computed otherwise."""

    name = "different-loss"
    guesses = True
    without_steps = True
    rank = 635
    fixes = settings(
        any="the same label smoothing, weights and regularisation; logits where logits are expected; the same layers",
        keras="from_logits=True for a model that ends without softmax",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        if first := differ_from_the_start(case, numbers):
            text = f"{first}, so the loss, or the model before it, may be computed otherwise"
            if numbers.evidence.same_inputs:
                size = counted(int(case.reference.batch_size[0]), "sample")
                left = "nothing else is left"
                frameworks = {str(stated.get("backend")) for stated in numbers.evidence.stated}
                if not numbers.same_starts or len(frameworks) > 1:  # what tensors have in any layout may be the same
                    left = "starting weights or their layout are left (a kernel reshaped, not transposed), or the loss"
                text += f"; features and targets agree, so that {left}, such as a term that one sums over a batch's "
                text += f"{size} where the other averages"
            yield self.note(case, text, 0)


class LossRows(Cause):
    """Its losses are means over other numbers of rows, such as of padding or masked ones."""

    name = "loss-rows"
    rank = 476
    fixes = settings(
        any="one divisor in both runs: all rows, or those that are not padding or masked",
        torch="CrossEntropyLoss(ignore_index=...) divides by the rows that are not ignored",
        keras="a sample weight or mask of 0 leaves a row in the divisor, unless the loss divides by the weights' sum",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, rows = numbers.loss_differs_at, numbers.evidence.loss_rows
        if step is None or rows is None:
            return
        own, other = (int(one[step]) for one in rows)
        if own > 0 and other > 0 and own != other:
            text = f"the loss of step {step:,} is a mean over {counted(own, 'row')} in {case.run}, over {other:,} in "
            yield self.note(case, f"{text}{case.other}", step)


class DividedByFullBatch(Cause):
    """Its losses are divided by the rows of a full batch in a short one too, which then weighs less."""

    name = "divided-by-full-batch"
    rank = 461.5
    definite = True
    fixes = settings(
        torch="the mean of a batch's own losses: loss.mean(), or loss.sum() / len(batch)",
        tensorflow="nn.compute_average_loss(losses, global_batch_size=rows of the step), not of a full batch; or "
        "batch(..., drop_remainder=True)",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, divided = numbers.loss_differs_at, by_full_batches(case, numbers)
        if divided is None:
            return
        rows, full, by_reference = divided
        run, other = (case.other, case.run) if by_reference else (case.run, case.other)
        text = (
            f"{run} divides the losses of step {step:,} by {full:,}, the rows of a full batch, though it has {rows:,}; "
        )
        text += f"up to there its losses are those of {other}"
        yield self.note(case, text, step)


class OtherGradient(Cause):
    """The same samples and updates, but different gradients entered them."""

    name = "other-gradient"
    vague = True
    without_steps = True
    rank = 640
    fixes = settings(
        any="the loss's reduction; zero_grad() once an update, before backward(); momentum, weight decay",
        **_DIVISION,
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, scale, k = numbers.loss_differs_at, numbers.scale, case.window
        updates, where = case.reference.updates, ""
        if numbers.other_losses and step and scale is None and not numbers.constant:
            if updates is not None and not updates[step - 1]:
                return  # before the first update no gradient has entered anything, nor does one a loss stated otherwise
            last = numbers.last_known(numbers.loss, step)
            where = f"and different losses from step {step:,} on"
            if last < step - 1:
                where = f"and losses that first differ between step {last + 1:,} and {step:,}, of which only that of "
                where += f"step {step:,} was recorded by both"
            where = f"the same samples and updates up to there, {where}"
        elif step == 0 and numbers.other_losses and (until := _beyond_the_factor(case, numbers)):
            step, where = until, f"from step {until:,} on the losses are no longer multiples of each other"
        elif numbers.ends_unseen and not numbers.stated:
            where = f"the same samples and updates, and different final weights ({numbers.weights_text}); "
            where += f"no loss behind step {numbers.last_known(numbers.loss, None):,} was recorded by both"
            where = where.replace("behind step -1 ", "")
        if not where:
            return
        window = f" (a window of {k:,}: look at what its gradients are divided by, and when they are zeroed)"
        before = "the updates before it" if step else "the updates"
        had, enter = f"{before} had different gradients", f"different gradients entered {before}"
        unseen = ", or the weights recorded are not those that they made" if step is None else ""
        for rates, entered in (
            (claims.rates_agree, f"{had}{unseen}" if unseen else enter),
            (claims.rates_may_differ, f"{had}, or rates that were not recorded{unseen}"),
        ):
            text = f"{case.run}: {where}: {entered}{window if k > 1 else ''}{_norms(numbers, step)}"
            yield self.note(case, text, step, claims=(claims.weights_may_differ, rates))

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        if fields.get("k") == 1:
            return {where: text for where, text in self.fixes.items() if where not in _DIVISION}
        return self.fixes


def _norms(numbers: Numbers, step: int | None) -> str:
    """What the norms of the gradients say of losses that differ from that step on; empty if none were recorded."""
    first = numbers.evidence.failed.get("gradient norm")
    if step is None or (first is None and "gradient norm" not in numbers.evidence.passed):
        return ""
    if first is not None and first < step:
        return f"; the gradients' norms differ from step {first:,} on"
    return "; the gradients' norms agree up to there, so that it may be what the optimizer makes of them"


def differ_from_the_start(case: Case, numbers: Numbers) -> str:
    """That the losses differ before any update, and not by a factor; empty if they do not."""
    if not numbers.other_losses or numbers.loss is None or numbers.loss_differs_at != 0:
        return ""
    if numbers.scale is not None or numbers.constant or _factor_of_the_first(case, numbers):
        return ""
    if factor_of_replicas(case, numbers) is not None:
        return ""
    a, b = (losses[0] for losses in numbers.loss)
    return f"{case.run}: the first loss already differs, {apart(float(a), float(b))}: before any update"


def factor_of_replicas(case: Case, numbers: Numbers) -> float | None:
    """By how many replicas, whose losses are summed, all losses of the first weights are multiplied, or divided: those
    up to the first update. None if by another number, or if a step of these is not shared evenly."""
    replicas, applied = case.replicas, numbers.applied
    if replicas is None or not replicas.losses_summed or not numbers.other_losses or numbers.loss_differs_at != 0:
        return None
    until = 1 if applied is None or not applied.any() else int(np.argmax(applied)) + 1
    own, other = (losses[:until] for losses in numbers.loss or ())
    if (replicas.uneven < until).any():
        return None
    by = (float(len(replicas)), 1 / len(replicas))
    return next((one for one in by if np.allclose(own, other * one, rtol=_SAME, atol=0)), None)


def by_full_batches(case: Case, numbers: Numbers) -> tuple[int, int, bool] | None:
    """The rows of the first batch whose loss differs, and of a full one, if its losses are divided by the latter; and
    whether they are so in the reference."""
    step, sizes = numbers.loss_differs_at, case.reference.batch_size
    if step is None or not numbers.other_losses or numbers.loss is None:
        return None
    own, other = (losses[step] for losses in numbers.loss)
    rows, full = int(sizes[step]), int(sizes[: step + 1].max())
    if 0 < rows < full:
        for by_reference, less, more in ((False, own, other), (True, other, own)):
            if np.isclose(less, more * rows / full, rtol=_SAME, atol=0):
                return rows, full, by_reference
    return None


def apart(a: float, b: float) -> str:
    """Two numbers in as many digits as tell them from each other, six at least."""
    texts = [(f"{a:.{digits}g}", f"{b:.{digits}g}") for digits in range(6, 18)]
    return " and ".join(next((pair for pair in texts if pair[0] != pair[1]), texts[0]))


def _factor_of_all(case: Case, scale: float) -> str:
    """What all losses may be multiplied by; empty if by nothing known."""
    size = int(case.reference.batch_size.max(initial=0))
    factors = {f"the {case.window:,} steps of a window": case.window, f"the batch size {size:,}": size}
    for text, factor in factors.items():
        if factor > 1 and min(abs(scale - factor), abs(1 / scale - factor)) < _CLOSE:
            return f", by {text}"
    return ""


def _beyond_the_factor(case: Case, numbers: Numbers) -> int | None:
    """The first step whose losses are not multiples as the first ones are; None if these are by nothing known."""
    if numbers.loss is None or numbers.loss_differs_at != 0 or not _factor_of_the_first(case, numbers):
        return None
    a, b = numbers.loss
    sizes = case.reference.batch_size[: len(a)]
    own = (sizes / sizes[0]) ** _by_samples(case, numbers)  # a short batch has a factor of its own
    differ = np.abs(a - b * (a[0] / b[0]) * own) > _CLOSE * np.abs(a)  # not where either is unknown
    return int(np.argmax(differ)) if differ.any() else None


def _by_samples(case: Case, numbers: Numbers) -> int:
    """Whether the first losses are multiples by the samples of their batch: 1; or by one over these, -1; else 0."""
    text = _factor_of_the_first(case, numbers)
    return 0 if "samples" not in text else -1 if "smaller" in text else 1


def _factor_of_the_first(case: Case, numbers: Numbers) -> str:
    """By what the first losses, of the same weights, are multiples of each other; empty if by nothing known."""
    assert numbers.loss is not None
    size, (a, b) = int(case.reference.batch_size[0]), (losses[0] for losses in numbers.loss)
    ratio = a / b
    for factor, what in ((case.window, "steps in a window"), (size, "samples in a batch")):
        if factor > 1 and abs(ratio - factor) < _CLOSE * factor:
            return f"{factor:,} times, as many as {what},"
        if factor > 1 and ratio and abs(1 / ratio - factor) < _CLOSE * factor:
            return f"{factor:,} times smaller, as many as {what}, than"
    return ""
