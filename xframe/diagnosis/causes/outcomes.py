"""What is only measured differently: the outcome of a validation, the accuracy of a step."""

from __future__ import annotations

from collections.abc import Iterator

from xframe.diagnosis import claims
from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.claims import Table
from xframe.diagnosis.numbers import Numbers
from xframe.errors import counted


def _of_validations(table: Table, step: int | None) -> set[str]:
    return {"validation"}


class ValidationByBatch(Cause):
    """It takes a validation's mean over batches, not over samples."""

    name = "validation-by-batch"
    rank = 700
    explains = staticmethod(_of_validations)
    fixes = settings(
        any="weigh each batch's mean by its samples, or sum over all samples and divide once, as Keras' evaluate does"
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        outcome = numbers.validation
        if outcome is None or numbers.loss_differs_at is not None:
            return
        sizes = sorted({size for size, _ in outcome.batch_sizes}, reverse=True)
        if len(sizes) > 1:
            each = " and ".join(f"{size:,}" for size in sizes[:2])
            text = f"{case.run} and {case.other} validate on the same samples in the same batches, of {each}, "
            text += "with different outcomes, and nothing else differs: as where one of them takes the mean of the "
            text += f"batches' means, in which {counted(sizes[-1], 'sample')} of the last weigh as much as {sizes[0]:,}"
            yield self.note(case, text, outcome.step, claims=(claims.only_validations_differ,))


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
