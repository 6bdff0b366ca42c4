"""What is only measured differently: the outcome of a validation, the accuracy of a step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from xframe.diagnosis import claims
from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.claims import Table
from xframe.diagnosis.numbers import ACCEPTED, Numbers, Outcome
from xframe.errors import counted

_MUCH = 0.02  # of an outcome: more than what training that agrees so far makes of it
_NORMALISATION = r"normalisation\.\d+\.class"
_IN_EVALUATION = rf"{_NORMALISATION}|dropout\..*rate"  # layers that do otherwise than in training
_ROUNDED = {"weights": "the final weights", "validation": "the validations"}


def _of_validations(table: Table, step: int | None) -> set[str]:
    return {"validation"}


class _OfOutcomes(Cause):
    """A cause of validations that differ, and nothing else."""

    explains = staticmethod(_of_validations)
    before_others: ClassVar[bool] = False  # it is named, too, where something else differs later

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        outcome, later = numbers.validation, numbers.evidence.failed.get("loss")
        if outcome is None or "validation" in numbers.rounded:
            return
        earlier = self.before_others and outcome.apart > _MUCH
        if "loss" not in numbers.evidence.passed and (later is None or not earlier or later <= outcome.step):
            return  # what training gave must be known to agree
        if text := self.says(case, numbers, outcome):
            alone = claims.only_validations_differ_up_to(outcome.step) if earlier else claims.only_validations_differ
            fit = self.note(case, text, outcome.step, rank=self.ranked(numbers, outcome), claims=(alone,))
            yield replace(fit, fields={**fit.fields, "accepted": outcome.accepted})

    def ranked(self, numbers: Numbers, outcome: Outcome) -> float:
        """Its rank among the causes of this validation."""
        return self.rank

    def says(self, case: Case, numbers: Numbers, outcome: Outcome) -> str:
        """The sentence of the validation that differs; empty if it is not so."""
        raise NotImplementedError


class ValidationByBatch(_OfOutcomes):
    """It takes a validation's mean over batches, not over samples."""

    name = "validation-by-batch"
    rank = 700
    fixes = settings(
        any="weigh each batch's mean by its samples, or sum over all samples and divide once, as Keras' evaluate does"
    )

    def says(self, case: Case, numbers: Numbers, outcome: Outcome) -> str:
        both, other = outcome.batch_sizes
        if numbers.evidence.from_outside:
            return ""
        text = f"{case.run} and {case.other} validate on {outcome.samples}"
        mean = "with different outcomes, and nothing else differs: as where one of them takes the mean of the batches' "
        mean += "means"
        if both is None or other is None:
            text += f" (rec.validation(batch_sizes=...) would show in which batches), {mean}, in which a short last "
            return f"{text}batch weighs as much as a full one"
        if both != other:
            return f"{text} in different batches, {mean}"
        sizes = sorted({size for size, _ in both}, reverse=True)
        if len(sizes) == 1:
            return ""
        each = " and ".join(f"{size:,}" for size in sizes[:2])
        text += f" in the same batches, of {each}, {mean}, in which {counted(sizes[-1], 'sample')} of the last weigh "
        text += "as "
        return f"{text}much as {sizes[0]:,}"


class NormalisationVariance(_OfOutcomes):
    """It normalises, in evaluation, by variances that its framework keeps by another divisor."""

    name = "normalisation-variance"
    rank = 699
    fixes = settings(
        any=f"--rtol {ACCEPTED[0]} --atol {ACCEPTED[1]} accepts it: no constant makes the two "
        "equal; larger batches make it smaller",
        torch="to compare closely, a BatchNorm that adds (N - 1) / N of the batch's variance to running_var",
    )

    def says(self, case: Case, numbers: Numbers, outcome: Outcome) -> str:
        sides = [_batch_norm(stated) for stated in numbers.evidence.stated]
        if {*sides} != {"torch", "keras"} or numbers.evidence.differing(r"normalisation\..*"):
            return ""
        layers = sum(bool(re.fullmatch(_NORMALISATION, name)) for name in numbers.evidence.stated[0])
        if outcome.apart * (int(case.reference.batch_size.max(initial=2)) - 1) > layers:
            return ""  # variances differ by one in as many samples as a batch has, less one
        runs = dict(zip(sides, (case.run, case.other), strict=True))
        text = "torch keeps the variance over N-1, Keras over N, and evaluation normalises by it: "
        text += f"{runs['torch']} and {runs['keras']} train alike, and validate on {outcome.samples} "
        return f"{text}with different outcomes"

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        return {where: text for where, text in self.fixes.items() if where != "any" or fields.get("accepted", True)}


def _batch_norm(stated: Mapping[str, Any]) -> str | None:
    """Whose batch normalisation a run has, by its settings; None if it has none."""
    classes = [str(value) for name, value in stated.items() if re.fullmatch(_NORMALISATION, name)]
    if "BatchNormalization" in classes:
        return "keras"
    return "torch" if any(re.fullmatch(r"(Lazy|Sync)?BatchNorm(\dd)?", one) for one in classes) else None


class ValidationInTrainingMode(_OfOutcomes):
    """It validates a model that is still in training mode."""

    name = "validation-in-training-mode"
    rank = 705
    before_others = True
    fixes = settings(
        torch="model.eval() before the validation, model.train() after it",
        tensorflow="model(features, training=False)",
    )

    def says(self, case: Case, numbers: Numbers, outcome: Outcome) -> str:
        own, other = outcome.training
        if own is not None and own == other:
            return ""
        runs = [case.run] * (own is not False) + [case.other] * (other is not False)
        if {own, other} == {True, False}:
            text = (
                f"{runs[0] if own else case.other} was seen to validate in training mode, the other in evaluation mode"
            )
        else:
            text = f"{' or '.join(runs)} may validate in training mode"
        text += ": with dropout, or normalised by each batch's own statistics; "
        return text + _known(case, numbers, outcome)

    def ranked(self, numbers: Numbers, outcome: Outcome) -> float:
        if {*outcome.training} == {True, False}:
            return 690
        layers = (name for stated in numbers.evidence.stated for name, value in stated.items() if value)
        much = outcome.apart > _MUCH and any(re.fullmatch(_IN_EVALUATION, name) for name in layers)
        return 698 if much else self.rank


def _known(case: Case, numbers: Numbers, outcome: Outcome) -> str:
    """What is known of a validation that differs: that nothing else does, and on what."""
    later = numbers.loss_differs_at is not None
    text = "up to there " if later else ""
    text += "nothing but what validations give differs"
    if outcome.apart > _MUCH:
        text += f", by {outcome.apart:.0%}"
    if outcome.unidentified:
        text += f", if these are the same samples: {case.run} and {case.other} validate on {outcome.samples}"
    return text


class SanityCheck(Cause):
    """It validates once before its first step, as a check of its code, and the other run does not."""

    name = "sanity-check"
    rank = 697
    explains = staticmethod(_of_validations)
    fixes = settings(any="no validation before the first step", lightning="Trainer(num_sanity_val_steps=0)")

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        own, other = numbers.evidence.validated
        if "validation" in numbers.evidence.failed and (0 in own) != (0 in other) and own - {0} == other - {0}:
            run = case.run if 0 in own else case.other
            text = f"{run} validates once before its first step, as Lightning does to check the code; behind each of "
            text += "the other steps both validate, or neither does"
            fit = self.note(case, text, None, exact=numbers.evidence.failed["validation"] is None)
            yield replace(fit, by_reference=0 in other)


class ToleranceBelowRounding(Cause):
    """It differs by less than the default tolerance allows, and the one in force is finer."""

    name = "tolerance-below-rounding"
    rank = 607
    fixes = settings(any="leave out rtol and atol: two frameworks, or two machines, do not round alike")

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        if numbers.rounded and numbers.loss_differs_at is None:
            what = " and ".join(_ROUNDED[name] for name in sorted(numbers.rounded))
            text = f"{what} of {case.run} and {case.other} differ by less than the default tolerance of "
            text += f"{numbers.precision} allows, and by more than the one given"
            yield self.note(case, text, None, claims=(claims.only_differ(numbers.rounded),))


class OtherAccuracy(Cause):
    """It counts right answers differently."""

    name = "other-accuracy"
    rank = 710
    explains = staticmethod(claims.of_stated_losses)
    fixes = settings(any="one rule for a right answer: the largest output, or one threshold, on the same outputs")

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step = numbers.accuracy_differs_at
        if step is not None and numbers.loss_differs_at is None and numbers.weights is not False:
            text = f"{case.run} states a different accuracy from step {step:,} on, though no loss differs: "
            yield self.note(case, f"{text}right answers are counted differently", step)
