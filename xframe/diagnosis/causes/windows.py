"""How long accumulation windows are, which ends cut them, and what becomes of a window that an end cuts short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, Prediction, settings
from xframe.diagnosis.edits import has_updates, update_gaps, updates_of, window_ends
from xframe.diagnosis.numbers import Numbers
from xframe.errors import counted
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan


class UpdatesCountedAsSteps(Cause):
    """It counts every step as an update, though a window has several."""

    name = "updates-counted-as-steps"
    rank = 220
    settings_behind = r"optimizer\.accumulation_steps"
    about_windows = True
    fixes = settings(
        keras="record optimizer.iterations, not the number of batches",
        torch='record the optimizer\'s own count, state["step"], not the number of batches',
        accelerate="every step inside accelerator.accumulate(model), or each one updates",
        plan="gradient_accumulation_steps = 1",
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        k = plan.gradient_accumulation_steps
        if k > 1 and case.may_have_other_windows:
            text = f"counts an update after every step; {case.other} after {_every(k)}"
            yield Prediction({"gradient_accumulation_steps": None}, text, 1)


class WindowCutElsewhere(Cause):
    """Its windows are cut by the other kind of end, pass for epoch or epoch for pass."""

    name = "window-cut-elsewhere"
    rank = 270
    about_windows = True
    moves_updates = True
    fixes = settings(
        accelerate="its end of the loader cuts: whole passes, not epochs left by break or islice",
        torch="look for the end of the {boundary} where the leftover is dealt with",
        plan='accumulation_boundary = "{observed}"',
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        if plan.gradient_accumulation_steps > 1 and case.may_have_other_windows:
            end = plan.accumulation_boundary
            other = "pass" if end == "epoch" else "epoch"
            text = f"cuts its windows at the end of each {other}; {case.other} at the end of each {end}"
            yield Prediction({"accumulation_boundary": other}, text, other)


class WindowAtTrainingEnd(Cause):
    """A window still open when training stops: it flushes where it should drop, or drops."""

    name = "window-at-training-end"
    rank = 280
    about_windows = True
    fixes = settings(
        torch="after the last step, with a window open: {at_end}",
        keras="no setting: the window still open when fit returns is never applied",
        plan='accumulation_at_end = "{observed}"',
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        if plan.gradient_accumulation_steps == 1 or not case.may_have_other_windows:
            return
        for at_end, words in (("flush", "updates with"), ("drop", "throws away")):
            if at_end != plan.accumulation_at_end:
                text = f"{words} the window that is open when training stops; {case.other} does not"
                yield Prediction({"accumulation_at_end": at_end}, text, at_end)

    def find(self, case: Case) -> Iterator[Fit]:
        own = window_ends(case)
        if own is None or case.updates is None or case.plan is None:
            return
        updates, reference = case.updates
        less = int(reference[-1]) - int(updates[-1])
        if not np.array_equal(reference[:-1], updates[:-1]) or abs(less) != 1:
            return
        cut = own[:-1].any() and case.plan.accumulation_remainder != "carry"
        begun = int(np.flatnonzero(own[:-1])[-1]) + 1 if cut else 0
        still_open = (len(updates) - begun) % case.window
        if still_open:
            does = "throws away" if less > 0 else "updates with"
            yield self.fit(case, f"{does} the window of {counted(still_open, 'step')} that is open when training stops")


class AccumulationSteps(Cause):
    """Its windows have a different number of steps."""

    name = "accumulation-steps"
    rank = 290
    settings_behind = r"optimizer\.accumulation_steps"
    about_windows = True
    changes_counts = True
    fixes = settings(
        keras="optimizer=Adam(..., gradient_accumulation_steps={k})",
        lightning="Trainer(accumulate_grad_batches={k})",
        transformers="TrainingArguments(gradient_accumulation_steps={k})",
        accelerate="Accelerator(gradient_accumulation_steps={k}), each step inside accelerator.accumulate(model)",
        torch="optimizer.step() if (i + 1) % {k} == 0",
        plan="gradient_accumulation_steps = {observed}",
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        k, updates = plan.gradient_accumulation_steps, case.candidate.updates
        if updates is None or not case.may_have_other_windows:
            return
        at = np.flatnonzero(np.diff(updates, prepend=0)) + 1
        gaps = [int(at[0]), int(np.diff(at, prepend=0).max())] if len(at) else [len(updates) + 1]
        ways: list[dict[str, Any]] = [{}]
        if k == 1:
            ways = [{"accumulation_remainder": kind} for kind in ("flush", "carry", "drop")]
            ways += [{**way, "accumulation_at_end": "flush"} for way in ways]
        for steps in dict.fromkeys([*gaps, 1, 2, k // 2, k - 1, k + 1, 2 * k]):
            if steps < 1 or steps == k or (steps == 1 and case.only_counted):
                continue
            text = f"updates after {_every(steps)}; {case.other} after {_every(k)}"
            if not len(at):  # of how long its windows are, only that none is over
                text = f"never updates; {case.other} does after {_every(k)}"
            for way in ways:
                # Alone it is to be written into the plan only where the rest is as a plan without more has it.
                alone = len(at) and way in ({}, {"accumulation_remainder": "flush"})
                yield Prediction({"gradient_accumulation_steps": steps, **way}, text, steps if alone else None)

    def find(self, case: Case) -> Iterator[Fit]:
        gaps = update_gaps(case)
        if gaps is None or gaps.only_fewer or gaps.only_more or gaps.single:
            return
        at = gaps.first
        text = f"has its updates after other steps: first at step {at:,}, in {counted(len(gaps.steps), 'step')} in all"
        yield self.fit(case, text, exact=False, step=at)

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        if fields.get("k") != 1:
            return self.fixes
        without = {"torch": "optimizer.step() in every step", "keras": "optimizer=Adam(...) without its argument"}
        without["keras"] += " gradient_accumulation_steps, which must be 2 or more where it is given"
        return {**self.fixes, **without}


def _every(steps: int) -> str:
    """``every step``, or ``every 4 steps``."""
    return "every step" if steps == 1 else f"every {steps:,} steps"


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
