"""How long epochs are, what happens where an epoch and a pass do not end together, and what loops call them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, Prediction, settings
from xframe.errors import counted
from xframe.inference.observed import first
from xframe.plan.training_plan import TrainingPlan

_LONGEST_EPOCH = 400  # steps up to which every length is tried
_BEGINS = {
    "restart": "begins a new pass with each epoch",
    "continue": "goes on with the pass over the end of an epoch",
}
_EXHAUSTED = {
    "repeat": "fills the epoch up from the next pass",
    "short_epoch": "ends the epoch",
    "stop": "ends training",
}


class EpochIterator(Cause):
    """Its epochs begin a new pass where they should go on, or go on where they should begin one."""

    name = "epoch-iterator"
    rank = 90
    changes_counts = True
    needs_epochs = True
    fixes = settings(
        torch="restart: iter(loader) in each epoch; continue: one iterator over all epochs",
        tensorflow="restart: iterate over the data set again; continue: one iter(dataset.repeat())",
        keras="Model.fit(steps_per_epoch=) continues in a tf.data of more steps than that",
        plan='epoch_iterator = "{observed}"',
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        s, iterator = plan.steps_per_epoch, plan.epoch_iterator
        if s is None:
            return
        for kind, text in _BEGINS.items():
            if kind != iterator:
                words = f"{text} of {counted(s, 'step')}; {case.other} {_BEGINS[iterator or 'restart']}"
                yield Prediction({"epoch_iterator": kind}, words, kind)


class ShortEpoch(Cause):
    """Where the data run out it ends the epoch, or fills it up, or ends training, unlike the other."""

    name = "short-epoch"
    rank = 100
    changes_counts = True
    needs_epochs = True
    fixes = settings(
        tensorflow="Dataset.repeat() before fit, so that the data never run out inside an epoch",
        keras="steps_per_epoch no greater than the steps of a pass, or a repeated data set",
        torch="on StopIteration restart the loader, or end the epoch, as the other run does",
        plan='on_exhaustion = "{observed}"',
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        s, exhaustion = plan.steps_per_epoch, plan.on_exhaustion
        if s is None or exhaustion is None:
            return
        for kind, text in _EXHAUSTED.items():
            if kind != exhaustion:
                where = f"{text} where the data run out before its {counted(s, 'step')}"
                words = f"{where}; {case.other} {_EXHAUSTED[exhaustion]}"
                yield Prediction({"on_exhaustion": kind}, words, kind)


class StepsPerEpoch(Cause):
    """Its epochs have a different number of steps."""

    name = "steps-per-epoch"
    rank = 110
    changes_counts = True
    needs_epochs = True
    fixes = settings(
        keras="Model.fit(steps_per_epoch={s})",
        lightning="Trainer(limit_train_batches={s})",
        ignite="trainer.run(epoch_length={s})",
        torch="itertools.islice(loader, {s})",
        plan="steps_per_epoch = {observed}",
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        s = plan.steps_per_epoch
        due = "whole passes" if s is None else counted(s, "step")
        for steps in dict.fromkeys(_lengths(case, s)):
            if steps < 1 or steps == s:
                continue
            cut = _begins_one(case) and steps == len(case.candidate)  # before its epoch is over
            text = f"has epochs of {'at least ' if cut else ''}{counted(steps, 'step')}; {case.other} has epochs of "
            text += f"{due}"
            kinds: tuple[str | None, ...] = (plan.epoch_iterator,)
            if s is None:  # whole passes without their short batch are no epochs of a different length
                kinds = ("continue",) if steps == num_samples // plan.batch_size else ("restart", "continue")
            for kind in kinds:
                fields = {"steps_per_epoch": steps, "epoch_iterator": kind}
                yield Prediction(fields, text, None if cut else steps)
                if s is not None and plan.on_exhaustion not in (None, "repeat"):
                    goes_on = f"{text}, and begins the next pass inside them"
                    yield Prediction({**fields, "on_exhaustion": "repeat"}, goes_on)
        if s is not None:
            text = f"has epochs of whole passes; {case.other} has epochs of {due}"
            yield Prediction({"steps_per_epoch": None}, text)


def _begins_one(case: Case) -> bool:
    """Whether all steps of the candidate are labelled one epoch, and more may follow."""
    labels = case.candidate.epoch
    return not case.candidate.complete and labels is not None and len(labels) > 0 and bool((labels == labels[0]).all())


def _lengths(case: Case, s: int | None) -> Iterator[int]:
    """The steps that the candidate's epochs may have, the likeliest first."""
    labels = case.candidate.epoch
    if labels is not None and len(labels):
        yield first(labels != labels[0])
    if s is not None:
        yield from (s - 1, s + 1, *range(1, min(2 * s + 2, _LONGEST_EPOCH)))
        if case.batches_differ_at is not None:
            yield from (case.batches_differ_at, case.batches_differ_at + 1)


class _Labels(Cause):
    """Labels of the loop's own that differ in columns."""

    columns: ClassVar[Mapping[str, str]]  # and what a sentence calls them

    def find_in_labels(self, case: Case) -> Iterator[Fit]:
        for column, noun in self.columns.items():
            a, b = getattr(case.candidate, column), getattr(case.reference, column)
            if a is None or b is None:
                continue
            differing = np.flatnonzero(a[: case.shared] != b[: case.shared])
            if len(differing):
                at = int(differing[0])
                text = f"{case.run} labels its steps differently: step {at:,} has {noun} {a[at]:,}, where {b[at]:,} is "
                text += "due"
                yield self.note(case, text, at)
                return


class EpochLabels(_Labels):
    """The same training with different epoch labels."""

    name = "epoch-labels"
    rank = 480
    columns: ClassVar[Mapping[str, str]] = {"epoch": "epoch", "step_in_epoch": "step in epoch"}
    fixes = settings(any="give rec.step(epoch=...) the epoch of the step's first sample, counted from 0")


class PaddingLabels(_Labels):
    """The same training with different rows called padding."""

    name = "padding-labels"
    rank = 490
    columns: ClassVar[Mapping[str, str]] = {"padding": "padding"}
    fixes = settings(any="give rec.step(padding=...) the number of rows that fill the batch up")
