"""The same training with other labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings


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
                text = f"{case.run} trains the same, and labels it differently: "
                text += f"step {at:,} has {noun} {a[at]:,}, where {b[at]:,} is due"
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
