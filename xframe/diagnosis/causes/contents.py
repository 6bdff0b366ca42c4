"""What enters training, step by step: features, targets, the model's mode, and the size of its gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

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
    definite = True
    rank = 461
    explains = staticmethod(claims.of_all)
    fixes = settings(
        torch="model.train() after each validation, before the next step",
        tensorflow="model(features, training=True) in the training step",
    )

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        step, modes = numbers.evidence.failed.get("mode"), numbers.evidence.modes
        if step is None or modes is None or step >= len(modes[0]):
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
        text = f"the gradients that enter the updates of {run} are 1/{k:,} of those of {other}, {less:.6g} and "
        text += f"{more:.6g} in step {step:,}, where losses, rates and updates agree"
        window = int(case.window)
        text += f": divided by {k:,} twice" if window == k else f": divided by {k:,} once more, or multiplied"
        yield self.note(case, text, step)


class _OfContents(Cause):
    """A cause of features or targets that differ."""

    about_inputs = True
    explains = staticmethod(claims.of_all)
    column: ClassVar[str]

    def find_in_numbers(self, case: Case, numbers: Numbers) -> Iterator[Fit]:
        found, step = numbers.evidence.details.get(self.column), numbers.evidence.failed.get(self.column)
        if step is not None and found is not None and (text := self.says(case, numbers, found, step)):
            yield self.note(case, text, step)

    def says(self, case: Case, numbers: Numbers, found: Any, step: int) -> str:
        """The sentence, of ``found``, what a check noticed of what differs from that step on; empty if it is not so."""
        raise NotImplementedError


class RescaledFeatures(_OfContents):
    """Its features are the other's, scaled or shifted."""

    name = "rescaled-features"
    rank = 465
    column = "features"
    fixes = settings(any="one preprocessing for both runs: divide by 255, or standardise, once, in the same place")

    def says(self, case: Case, numbers: Numbers, found: Any, step: int) -> str:
        return f"{found.how}, from step {step:,} on" if found.how else ""


class SameDrawsInWorkers(_OfContents):
    """Its workers may have copies of one random generator, so that all of them augment alike."""

    name = "same-draws-in-workers"
    rank = 467
    column = "features"
    fixes = settings(
        torch="a worker_init_fn that seeds numpy and random from torch.initial_seed(), or torch's own generator",
    )

    def says(self, case: Case, numbers: Numbers, found: Any, step: int) -> str:
        stated = [one.get("loader.workers") for one in numbers.evidence.stated]
        workers = [value if type(value) is int else 0 for value in stated]
        same = [name for name in ("boundaries", "targets") if name in numbers.evidence.passed]
        if found.how or workers[0] == workers[1] or max(workers) < 2 or not same:
            return ""
        side = int(workers[1] > workers[0])
        text = f"the {'ids' if same[0] == 'boundaries' else 'targets'} agree, and the features differ from step "
        text += f"{step:,} on: {(case.run, case.other)[side]} reads in {workers[side]:,} workers, and where each has a "
        return f"{text}copy of one NumPy or Python generator, the same draws come in every worker"


class OtherFeatures(_OfContents):
    """The same samples have other features: augmented by other draws, or prepared otherwise."""

    name = "other-features"
    rank = 473
    column = "features"
    fixes = settings(any="one preprocessing, and augmentation that draws by the sample and the epoch, in both runs")

    def says(self, case: Case, numbers: Numbers, found: Any, step: int) -> str:
        targets = ", and their targets agree" if "targets" in numbers.evidence.passed else ""
        text = f"the samples of {case.run} have other features than in {case.other} from step {step:,} on{targets}"
        return "" if found.how else f"{text}: augmented by other draws, or prepared otherwise"


class TargetsOfOtherSamples(_OfContents):
    """Its samples have the targets of others."""

    name = "targets-of-other-samples"
    rank = 469
    column = "targets"
    fixes = settings(
        any="draw one permutation a pass, and index features and targets by it, or keep them in one data set"
    )

    def says(self, case: Case, numbers: Numbers, found: Any, step: int) -> str:
        if found.how or found.others < _MOST_OF or "features" not in numbers.evidence.passed:
            return ""
        text = f"the features of {case.run} agree with those of {case.other}, and the targets belong to other samples "
        return f"{text}from step {step:,} on: features and targets are shuffled, or indexed, each by itself"


class OtherTargets(_OfContents):
    """The same samples have other targets."""

    name = "other-targets"
    rank = 471
    column = "targets"
    fixes = settings(any="one set of labels, of one type, in one order of classes")

    def says(self, case: Case, numbers: Numbers, found: Any, step: int) -> str:
        how = found.how or f"the targets of {case.run} differ from those of {case.other}"
        features = "the features agree, and " if "features" in numbers.evidence.passed else ""
        return f"{features}{how}, from step {step:,} on"
