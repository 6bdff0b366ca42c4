"""Losses that differ though samples, updates and rates are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.numbers import Numbers, factor_of_all, factor_of_the_first

_DIVISION = {
    "torch": "loss / {k} in each step of a window; its last, short window needs its own divisor",
    "transformers": "TrainingArguments(average_tokens_across_devices=...) and num_items_in_batch decide the divisor",
    "plan": 'loss_normalization = "window", "actual", "samples" or "sum", whichever the run does',
}


class Rounding(Cause):
    """The numbers diverge slowly, as rounding makes them."""

    name = "rounding"
    rank = 600
    fixes = settings(
        any="first look at what an optimizer does little by little: weight decay, momentum, its epsilon",
        torch='torch.set_float32_matmul_precision("highest")',
        tensorflow="tf.config.experimental.enable_tensor_float_32_execution(False)",
        compare="--rtol and --atol, if that much is acceptable",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        if numbers.other_losses and numbers.scale is None and numbers.drifts:
            step = numbers.loss_differs_at
            text = f"the losses of {case.run} and {case.other} diverge slowly, "
            yield self.note(case, f"{text}beyond the tolerance from step {step:,} on, as rounding makes them", step)


class LossScale(Cause):
    """One run's loss is a constant multiple of the other's."""

    name = "loss-scale"
    rank = 610
    fixes = settings(
        torch="record the mean loss of the batch: before it is divided by the accumulation steps; reduction='mean'",
        tensorflow="the same: reduction='sum_over_batch_size'",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, scale = numbers.loss_differs_at, numbers.scale
        if not numbers.other_losses or numbers.loss is None:
            return
        if scale is not None:
            text = f"every loss of {case.run} is {scale:.6g} times that of {case.other}{factor_of_all(case, scale)}"
            rank = 650 if numbers.weights is False else None
            yield self.note(case, text, step, exact=numbers.weights is True, rank=rank)
        elif numbers.constant:
            text = f"every loss that {case.run} reports is {numbers.loss[0][0]:.6g}, whatever it trains on"
            yield self.note(case, text, step)
        elif step == 0 and (factor := factor_of_the_first(case, numbers)):
            yield self.note(case, f"the first loss of {case.run} is {factor} that of {case.other}", 0)


class OtherGradient(Cause):
    """The same samples and updates, but different gradients entered them."""

    name = "other-gradient"
    rank = 640
    fixes = settings(
        any="the loss's reduction; zero_grad() once an update, before backward(); momentum, weight decay",
        **_DIVISION,
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, scale, k = numbers.loss_differs_at, numbers.scale, case.window
        if not numbers.other_losses or not (step or numbers.weights is False):
            return
        if scale is not None:  # a loss that is only stated otherwise leaves the weights as they are
            if numbers.weights is False:
                text = f"the losses, {scale:.6g} times as high, are a different model's: different gradients entered it"
                yield self.note(case, f"{case.run}: {text}", step)
            return
        text = f"the same samples and updates, and different losses from step {step:,} on: "
        text += "different gradients entered the updates before it"
        if k > 1:
            text += f" (a window of {k:,}: look at what its gradients are divided by, and when they are zeroed)"
        yield self.note(case, f"{case.run}: {text}", step)

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        if fields.get("k") == 1:
            return {where: text for where, text in self.fixes.items() if where not in _DIVISION}
        return self.fixes
