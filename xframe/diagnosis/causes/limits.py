"""Where training ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from xframe.diagnosis.case import Case, where_due
from xframe.diagnosis.cause import Cause, Fit, Prediction, settings
from xframe.diagnosis.claims import nothing_differs_before
from xframe.errors import counted
from xframe.plan.cadence import Cadence
from xframe.plan.training_plan import TrainingPlan

_NOUNS = {"epochs": "epoch", "steps": "step", "updates": "update"}
_NO_LIMIT: Mapping[str, None] = dict.fromkeys(_NOUNS)
_MOST_EPOCHS = 8  # that a last batch may have been cut by


class _OneStep(Cause):
    """One step more or less than is due."""

    by: ClassVar[int]
    way: ClassVar[str]
    changes_counts = True
    explains_end = True

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        steps, expected = len(case.candidate), len(case.reference)
        if steps - expected == self.by and case.whole:
            text = f"makes one step {self.way} than the {expected:,} that are due"
            yield Prediction({**_NO_LIMIT, "steps": steps}, text, steps)

    def find(self, case: Case) -> Iterator[Fit]:
        steps, expected = len(case.candidate), len(case.reference)
        if not _goes_on(case) or steps - expected != self.by:
            return
        text = f"makes one step {self.way} than the {expected:,} of {case.other}"
        if self.by > 0 and steps > 1 and case.keys[-1] == case.keys[-2]:
            text += ", with the last batch again"
        yield self.fit(case, text, exact=_agrees_before(case), observed=steps)


class OneStepLess(_OneStep):
    """It ends one step early."""

    name = "one-step-less"
    rank = 190
    by, way = -1, "less"
    fixes = settings(any="compare as step < limit with steps counted from 0", plan="steps = {observed}")


class OneStepMore(_OneStep):
    """It makes one step too many."""

    name = "one-step-more"
    rank = 200
    by, way = 1, "more"
    fixes = settings(any="compare as step < limit, not <=, with steps counted from 0", plan="steps = {observed}")


class LimitConfused(Cause):
    """It counts a limit of epochs, steps or updates in a different unit, ignores it, or has a different one."""

    name = "limit-confused"
    rank = 210
    never_certain = True  # many a number of steps is some limit's
    fixes = settings(
        keras="Model.fit(epochs=..., steps_per_epoch=...): it has no limit of steps of its own",
        lightning="Trainer(max_steps=) counts updates, max_epochs= epochs; the first one reached ends training",
        transformers="TrainingArguments(max_steps=) counts updates and overrides num_train_epochs",
        ignite="trainer.run(max_iters=) counts steps, max_epochs= epochs",
        any="one limit in both runs, in one unit: epochs, steps or updates",
        plan="the limit in the unit that the run counts: epochs, steps or updates",
    )
    _of_passes: ClassVar[Mapping[str, str]] = settings(
        torch="for epoch in range({passes}), in both runs",
        tensorflow="for epoch in range({passes}), in both runs",
        keras="Model.fit(epochs={passes}); where training resumes, initial_epoch counts among them",
        lightning="Trainer(max_epochs={passes})",
        transformers="TrainingArguments(num_train_epochs={passes})",
        ignite="trainer.run(max_epochs={passes})",
        plan="epochs = {observed}",
    )

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        return self._of_passes if "passes" in fields else self.fixes

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        """Each limit removed, or put in another's unit."""
        limits = {name: value for name, value in plan.limits._asdict().items() if value is not None}
        for name, value in limits.items():
            text = f"its limit of {counted(value, _NOUNS[name])}"
            if len(limits) > 1:
                yield Prediction({name: None}, f"ignores {text}")
            for unit, noun in _NOUNS.items():
                if unit == name:
                    continue
                words = f"takes {text} for one of {counted(value, noun)}"
                yield Prediction({**_NO_LIMIT, **limits, name: None, unit: value}, words)
                if len(limits) > 1:
                    yield Prediction({**_NO_LIMIT, unit: value}, words)
            if name == "epochs" and plan.steps_per_epoch is not None:
                epochs = f"{counted(value, 'epoch')} of {counted(plan.steps_per_epoch, 'step')}"
                words = f"ends after {counted(value, 'pass')}, where {epochs} are due"
                a_pass = Cadence(plan, num_samples).steps_per_pass  # 0: passes are one stream
                steps = value * a_pass or -(-value * num_samples // plan.batch_size)
                yield Prediction({**_NO_LIMIT, "steps": max(1, steps)}, words)
        if plan.epochs is not None and plan.remainder == "carry":  # its last batch is shorter than it would be
            steps, b = len(case.candidate), plan.batch_size
            for fewer in range((steps - 1) * b // num_samples + 1, steps * b // num_samples + 1)[-_MOST_EPOCHS:]:
                if fewer != plan.epochs:
                    yield Prediction({"epochs": fewer}, f"ends after {where_due(fewer, plan.epochs, 'epoch')}")

    def find(self, case: Case) -> Iterator[Fit]:
        if not _goes_on(case):
            return
        steps, expected, unit = len(case.candidate), len(case.reference), ""
        updates, reference = case.candidate.updates, case.reference.updates
        if reference is not None and expected and int(reference[-1]) == steps:
            unit = f", after as many steps as {case.other} applies updates"
        elif updates is not None and steps and int(updates[-1]) == expected:
            unit = f", after as many updates as {case.other} makes steps"
        text = f"agrees with {case.other} before step {case.shared:,}, and ends elsewhere{unit}"
        if case.apart:
            text = f"ends after {counted(steps, 'step')}, {case.other} after {expected:,}"
        passes = _whole_passes(case)
        if passes and not case.apart:
            own, due = passes
            text = f"agrees with {case.other} before step {case.shared:,}, and ends elsewhere, "
            text += f"after {counted(own, 'pass')} where {due:,} {'is' if due == 1 else 'are'} due"
        claims = () if case.apart else (nothing_differs_before(case.shared),)
        fit = self.fit(case, text, exact=False, step=case.shared, observed=steps, claims=claims)
        if passes:
            fit = replace(fit, fields={**fit.fields, "observed": passes[0], "passes": passes[1]})
        yield fit


def _whole_passes(case: Case) -> tuple[int, int] | None:
    """The passes that both sides make, where these are whole, and the loops' epochs as far as anything shows."""
    plan, n = case.plan, case.num_samples
    if plan is None or n is None or plan.steps_per_epoch is not None:
        return None
    a_pass = Cadence(plan, n).steps_per_pass
    steps = len(case.candidate), len(case.reference)
    if a_pass < 2 or any(one % a_pass for one in steps):  # 0: passes are one stream
        return None
    return steps[0] // a_pass, steps[1] // a_pass


def _goes_on(case: Case) -> bool:
    """Whether the rows are the same, and then one side goes on."""
    in_passes = case.drawn is None or case.draws is None or case.draws.in_passes
    return case.whole and len(case.keys) != len(case.reference_keys) and case.one_merely_ends and in_passes


def _agrees_before(case: Case) -> bool:
    """Whether updates and labels agree before the last step that both sides have, where a window may end them."""
    before, (a, b) = max(case.shared - (case.window > 1), 0), (case.candidate, case.reference)
    pairs = ((a.updates, b.updates), (a.epoch, b.epoch))
    return all(x is None or y is None or bool(np.array_equal(x[:before], y[:before])) for x, y in pairs)


class EarlyStopping(Cause):
    """Early stopping ends it elsewhere than its validations say, or than the other's."""

    name = "early-stopping"
    rank = 500
    settles = True
    fixes = settings(
        keras="EarlyStopping(patience=...) counts epochs: the same as validations only with validation_freq=1",
        lightning="EarlyStopping(patience=...) counts validations; val_check_interval says how often they come",
        torch="count the validations since the best one as the other run does, and stop at the same number of them",
        plan="early_stopping_min_delta larger than what rounding turns",
    )
    _unplanned: ClassVar[Mapping[str, str]] = settings(any="the same monitor, patience and min_delta in both runs")

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        """Only where the plan says how long to wait is it rounding of the validations that ends runs elsewhere."""
        if not fields.get("unplanned"):
            return self.fixes
        return {**self._unplanned, **{where: text for where, text in self.fixes.items() if where != "plan"}}

    def find(self, case: Case) -> Iterator[Fit]:
        stopping, steps, due = case.stopping, len(case.candidate), len(case.reference)
        if stopping is None or steps == due or not case.shared or not case.one_merely_ends:
            return
        if stopping.patience is None:
            shorter, longer = (case.run, case.other) if steps < due else (case.other, case.run)
            after = counted(stopping.waited, "validation")
            text = f"{shorter} ends after step {case.shared - 1:,}, {after} after its best one, as by early stopping; "
            fit = self.note(case, f"{text}{longer} goes on to step {max(steps, due) - 1:,}", case.shared)
            yield replace(fit, fields={**fit.fields, "unplanned": True})
        elif not stopping.by_plan:
            text = f"the validations of {case.run} stop it after step {steps - 1:,}, "
            yield self.note(case, f"{text}those of {case.other} after {due - 1:,}", case.shared)
        elif stopping.validated:
            patience, text = stopping.patience, f"{case.run} ends after step {steps - 1:,}"
            if stopping.after is None:
                text += f", and its validations give no reason to with a patience of {patience:,}"
            else:
                stop = stopping.after - 1
                text += f"; with a patience of {counted(patience, 'validation')} its own stop it after step {stop:,}"
            yield self.note(case, text, case.shared, exact=True)
