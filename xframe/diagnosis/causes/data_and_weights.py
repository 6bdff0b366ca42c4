"""Different data, starting weights, or final weights handed over."""

from __future__ import annotations

from collections.abc import Iterator

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.numbers import Numbers, differ_from_the_start, first_losses


class DifferentData(Cause):
    """The same ids stand for different samples."""

    name = "different-data"
    rank = 510
    fixes = settings(any="load both runs' samples from one file, in one order, scaled alike")

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        if numbers.other_data:
            a, b = (str(one)[:12] for one in numbers.data)
            text = f"{case.run} trains on different data: the fingerprints are {a} and {b}"
            yield self.note(case, text, 0, exact=True)
        step = numbers.loss_differs_at
        if differ_from_the_start(case, numbers):
            text = f"{first_losses(numbers)}, so the ids may stand for different samples"
            yield self.note(case, text, 0, rank=630)
        elif step and numbers.other_losses and numbers.scale is None:
            text = f"{case.run}: the ids of step {step:,} may stand for different samples or targets"
            yield self.note(case, text, step, rank=650)


class StartingWeights(Cause):
    """The runs start from different weights."""

    name = "starting-weights"
    rank = 520
    fixes = settings(any="start both runs from one file of weights")

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        if numbers.other_starts:
            a, b = (str(one)[:12] for one in numbers.starts)
            text = f"{case.run} starts from different weights than {case.other}: the fingerprints are {a} and {b}"
            yield self.note(case, text, 0, exact=True)
        elif differ_from_the_start(case, numbers):
            text = f"{first_losses(numbers)}, so the weights, or what the ids stand for, differ"
            yield self.note(case, text, 0, rank=620)


class WeightsElsewhere(Cause):
    """Only the final weights differ: they are not those that were trained."""

    name = "weights-elsewhere"
    rank = 670
    fixes = settings(
        keras="EarlyStopping(restore_best_weights=False), and compare the model that was trained",
        any="record the final weights, not a checkpoint's, an average's (EMA, SWA), or another layout's",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        if numbers.weights is False and numbers.loss_differs_at is None and not numbers.stated:
            text = f"{case.run} ends in different weights, though every loss agrees: "
            yield self.note(case, f"{text}what was recorded is not what was trained", None)
