"""What enters training, step by step: features, targets, the model's mode, and the size of its gradients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xframe.diagnosis import claims
from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.evidence import whole_factor
from xframe.diagnosis.numbers import Numbers

_MOST_OF = 0.9  # of the targets that differ, which are others' of the same data


class EvaluationMode(Cause):
    """It trains in evaluation mode: without dropout, and with the running statistics of normalisation layers."""

    name = "evaluation-mode"
    rank = 461
    explains = staticmethod(claims.of_all)
    fixes = settings(
        torch="model.train() after each validation, before the next step",
        tensorflow="model(features, training=True) in the training step",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, modes = numbers.evidence.failed.get("mode"), numbers.evidence.modes
        if step is None or modes is None:
            return
        side = int(modes[0][step] != 0)
        run, trained = (case.run, case.other)[side], np.flatnonzero(modes[side][step:] == 1)
        steps = f"from step {step:,} " + (f"to {step + int(trained[0]) - 1:,}" if len(trained) else "on")
        since = ", since the validation before it" if step in numbers.evidence.validated[side] else ""
        text = f"{run} trains in evaluation mode {steps}{since}, where the other is in training mode"
        yield self.note(case, text, step)


class GradientScale(Cause):
    """Its gradients are a fraction or a multiple of the other's, though losses before agree."""

    name = "gradient-scale"
    rank = 463
    explains = staticmethod(claims.of_losses)
    fixes = settings(
        any="divide by the accumulated steps once: in the loss, or in what averages gradients",
        transformers="a loss that the trainer divides already is not divided by Accelerator.backward again",
        accelerate="Accelerator(gradient_accumulation_steps=k) divides in backward(): not in the loss too",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, evidence = numbers.evidence.failed.get("gradient norm"), numbers.evidence
        if step is None or not evidence.norms:
            return
        before = numbers.loss_differs_at
        k = whole_factor(evidence.ratio(step)) if before is None or before > step else None
        if k is None:
            return
        a, b = (float(one[step]) for one in evidence.norms["gradient_norm"])
        less, more, run, other = (a, b, case.run, case.other) if a < b else (b, a, case.other, case.run)
        text = (
            f"the gradients that enter the updates of {run} are 1/{k:,} of those of {other}, {less:.6g} and {more:.6g} "
        )
        text += f"in step {step:,}, where losses, rates and updates agree"
        window = int(case.window)
        text += f": divided by {k:,} twice" if window == k else f": divided by {k:,} once more, or multiplied"
        yield self.note(case, text, step)


class RescaledFeatures(Cause):
    """Its features are the other's, scaled or shifted."""

    name = "rescaled-features"
    rank = 465
    explains = staticmethod(claims.of_all)
    fixes = settings(any="one preprocessing for both runs: divide by 255, or standardise, once, in the same place")

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        found, step = numbers.evidence.details.get("features"), numbers.evidence.failed.get("features")
        if step is not None and found is not None and found.how:
            yield self.note(case, f"{found.how}, from step {step:,} on", step)


class SameDrawsInWorkers(Cause):
    """Its workers may have copies of one random generator, so that all of them augment alike."""

    name = "same-draws-in-workers"
    rank = 467
    explains = staticmethod(claims.of_all)
    fixes = settings(
        torch="a worker_init_fn that seeds numpy and random from torch.initial_seed(), or torch's own generator",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step = _differ_at(numbers, "features")
        stated = [one.get("loader.workers") for one in numbers.evidence.stated]
        workers = [value if type(value) is int else 0 for value in stated]
        if step is None or workers[0] == workers[1] or max(workers) < 2 or not _same_samples(numbers):
            return
        side = int(workers[1] > workers[0])
        run, many = (case.run, case.other)[side], workers[side]
        same = "ids" if "boundaries" in numbers.evidence.passed else "targets"
        text = f"the {same} agree, and the features differ from step {step:,} on: {run} reads in {many:,} workers, and "
        text += "where each has a copy of one NumPy or Python generator, the same draws come in every worker"
        yield self.note(case, text, step)


class OtherFeatures(Cause):
    """The same samples have other features: augmented by other draws, or prepared otherwise."""

    name = "other-features"
    rank = 473
    explains = staticmethod(claims.of_all)
    fixes = settings(any="one preprocessing, and augmentation that draws by the sample and the epoch, in both runs")

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step = _differ_at(numbers, "features")
        if step is not None:
            targets = ", and their targets agree" if "targets" in numbers.evidence.passed else ""
            text = f"the samples of {case.run} have other features than in {case.other} from step {step:,} on{targets}"
            yield self.note(case, f"{text}: augmented by other draws, or prepared otherwise", step)


class TargetsOfOtherSamples(Cause):
    """Its samples have the targets of others."""

    name = "targets-of-other-samples"
    rank = 469
    explains = staticmethod(claims.of_all)
    fixes = settings(
        any="draw one permutation a pass, and index features and targets by it, or keep them in one data set"
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, found = _differ_at(numbers, "targets"), numbers.evidence.details.get("targets")
        if step is None or found is None or found.others < _MOST_OF or "features" not in numbers.evidence.passed:
            return
        text = f"the features of {case.run} agree with those of {case.other}, and the targets belong to other samples "
        text += f"from step {step:,} on: features and targets are shuffled, or indexed, each by itself"
        yield self.note(case, text, step)


class OtherTargets(Cause):
    """The same samples have other targets."""

    name = "other-targets"
    rank = 471
    explains = staticmethod(claims.of_all)
    fixes = settings(any="one set of labels, of one type, in one order of classes")

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        found, step = numbers.evidence.details.get("targets"), numbers.evidence.failed.get("targets")
        if step is None or found is None:
            return
        how = found.how or f"the targets of {case.run} differ from those of {case.other}"
        features = "the features agree, and " if "features" in numbers.evidence.passed else ""
        yield self.note(case, f"{features}{how}, from step {step:,} on", step)


def _differ_at(numbers: Numbers, column: str) -> int | None:
    """The step at which these first differ, if the check fails and they differ in no one way."""
    found = numbers.evidence.details.get(column)
    return None if found is None or found.how else numbers.evidence.failed.get(column)


def _same_samples(numbers: Numbers) -> bool:
    return bool({"boundaries", "targets"} & numbers.evidence.passed)
