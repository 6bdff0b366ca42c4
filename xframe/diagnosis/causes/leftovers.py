"""What becomes of an accumulation window that an end cuts short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, Prediction
from xframe.diagnosis.edits import has_updates, updates_of, window_ends
from xframe.diagnosis.numbers import Numbers
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan

_DOES = {
    "flush": "updates with it",
    "drop": "drops it",
    "leak": "leaves its gradients to the next update",
    "carry": "goes on with it",
}
# By what the reference does.
_FIXES: dict[str, dict[str, str]] = {
    "flush": {
        "torch": "in the loop: update if (i + 1) % {k} == 0 or i + 1 == len(loader)",
        "accelerate": "GradientAccumulationPlugin(num_steps={k}, sync_with_dataloader=True)",
        "lightning": "Trainer(accumulate_grad_batches={k}), which flushes (no iterable with limit_train_batches)",
        "keras": "no setting: Keras carries the window over; choose steps per epoch that {k} divides",
    },
    "drop": {
        "torch": "optimizer.zero_grad() as each epoch begins",
        "tensorflow": "in your own loop: zero the accumulated gradients as each epoch begins",
        "keras": "no setting: Keras carries the window over; choose steps per epoch that {k} divides",
    },
    "leak": {
        "torch": "update if (i + 1) % {k} == 0 with i counted in the epoch, and zero_grad() after updates only",
    },
    "carry": {
        "torch": "count the steps over all epochs: update if (step + 1) % {k} == 0",
        "accelerate": "GradientAccumulationPlugin(num_steps={k}, sync_with_dataloader=False)",
        "keras": "optimizer=Adam(..., gradient_accumulation_steps={k})",
        "ignite": "create_supervised_trainer(..., gradient_accumulation_steps={k})",
        "optax": "optax.MultiSteps(optimizer, every_k_schedule={k})",
    },
}


class _Leftover(Cause):
    """A different ``accumulation_remainder`` than the reference's."""

    leftover: ClassVar[str]
    text: ClassVar[str]  # with {k}, the steps of a window
    about_windows = True
    moves_updates = True

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        k, due = plan.gradient_accumulation_steps, plan.accumulation_remainder
        if k > 1 and due != self.leftover and case.may_have_other_windows:
            text = f"{self.text.format(k=k)} at the end of each {plan.accumulation_boundary}"
            text += f"; {case.other} {_DOES[due or 'flush']}"
            yield Prediction({"accumulation_remainder": self.leftover}, text, self.leftover)

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        return _FIXES.get(str(fields.get("leftover")), {}) | {"plan": 'accumulation_remainder = "{observed}"'}


class LeftoverFlushed(_Leftover):
    """It updates with the window that an end cuts short."""

    name = "leftover-flushed"
    rank = 230
    leftover = "flush"
    text = "updates with the unfinished window of {k}"


class _OnlyGradientsShow(_Leftover):
    """Dropped or leaked: the updates are the same."""

    instead_of: ClassVar[str]

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, plan = numbers.loss_differs_at, case.plan
        if plan is None or not numbers.other_losses or numbers.scale is not None:
            return
        if case.window > 1 and case.given and step and plan.accumulation_remainder == self.instead_of:
            text = "the updates are the same whether an unfinished window is dropped or leaked; only gradients differ"
            yield self.note(case, f"{case.run}: {text}", step, rank=660)


class LeftoverDropped(_OnlyGradientsShow):
    """It drops the window that an end cuts short."""

    name = "leftover-dropped"
    rank = 240
    leftover = "drop"
    text = "drops the unfinished window of {k}"
    instead_of = "leak"


class LeftoverLeaked(_OnlyGradientsShow):
    """It restarts the count at an end and leaves the gradients to the next update."""

    name = "leftover-leaked"
    rank = 250
    leftover = "leak"
    text = "leaves the gradients of the unfinished window of {k} to the next update"
    instead_of = "drop"


class LeftoverCarried(_Leftover):
    """Its windows go on over an end that should cut them."""

    name = "leftover-carried"
    rank = 260
    leftover = "carry"
    text = "goes on with the unfinished window of {k}"

    def find(self, case: Case) -> Iterator[Fit]:
        """Where the data end an epoch early, and the window is not cut there."""
        own, plan, k = window_ends(case), case.plan, case.window
        if own is None or plan is None or plan.steps_per_epoch is None:
            return
        leftover = plan.accumulation_remainder or "flush"
        steps = counting.rows(plan, case.num_samples or 0, 0, len(own)).step_in_epoch
        full = own & (steps + 1 == plan.steps_per_epoch)
        if leftover != "carry" and (full != own).any() and has_updates(case, updates_of(full, k, leftover)):
            yield self.fit(case, f"carries its window of {k:,} on where the data end an epoch early")
