"""What a trace's rows amount to by the loop's own labels: steps and samples of each epoch."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.errors import PlanError
from xframe.plan.counting import observed_epochs
from xframe.plan.training_plan import TrainingPlan


class Tally:
    """What counts need of the rows: of each epoch, by the loop's labels, its label, steps and samples.

    Attributes:
        labels, steps, samples: of each run of rows with the same label, in order; samples without padding.
        padded: rows of padding in all.
        largest: rows in the largest batch.
    """

    def __init__(self) -> None:
        self.labels = self.steps = self.samples = np.zeros(0, dtype=np.int64)
        self.padded = self.largest = 0

    def add(self, batch_size: NDArray[Any], padding: NDArray[Any] | None, epoch: NDArray[Any]) -> None:
        """Takes the next rows, at least one; -1 where a value is unknown, ``padding`` None if it is throughout."""
        starts = np.concatenate([[0], np.flatnonzero(epoch[1:] != epoch[:-1]) + 1])
        drawn = sizes = np.maximum(batch_size, 0)
        if padding is not None:
            padding = np.maximum(padding, 0)
            drawn = sizes - padding
            self.padded += int(padding.sum())
        steps, samples = np.diff(starts, append=len(epoch)), np.add.reduceat(drawn, starts)
        continued = int(len(self.labels) > 0 and self.labels[-1] == epoch[0])
        if continued:
            self.steps[-1] += steps[0]
            self.samples[-1] += samples[0]
        self.labels = np.concatenate([self.labels, epoch[starts[continued:]]])
        self.steps = np.concatenate([self.steps, steps[continued:]])
        self.samples = np.concatenate([self.samples, samples[continued:]])
        self.largest = max(self.largest, int(sizes.max()))

    def epochs(self, plan: TrainingPlan | None, num_samples: int | None) -> tuple[int | None, int | None]:
        """Steps of each completed epoch, and samples dropped: by the plan, else as far as the labels show.

        Only for rows that all have labels. None where it cannot be known.
        """
        steps, samples = self.steps, self.samples
        with suppress(PlanError):  # it does not fit the data
            if plan is not None:
                total = int(samples.sum())
                return observed_epochs(plan, num_samples, self.labels, steps, total)  # type: ignore[arg-type]
        if num_samples is None:
            return (int(steps[0]) if len(steps) > 1 and len(set(steps[:-1].tolist())) == 1 else None), None
        ended = np.ones(len(samples), dtype=bool)  # epochs that were walked to their end: all but perhaps the last
        ended[-1] = samples[-1] == num_samples
        if 0 < num_samples - samples[-1] < self.largest:
            # Samples too few for a batch were left: dropped, or a limit came before a short last batch.
            # Earlier epochs show which.
            ended[-1] = samples[0] < num_samples
            if len(samples) == 1:
                return None, None
        alike = ended.any() and len(set(steps[ended].tolist())) == 1
        return (int(steps[ended][0]) if alike else None), int((num_samples - samples[ended]).clip(min=0).sum())
