"""The pipeline: slices of each pass's order name the samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Batches
from xframe.running.steering import pass_indices
from xframe.tasks.data import Samples


class Pipeline(Batches):
    """Iterates over the batches of a run."""

    def __init__(self, plan: TrainingPlan, samples: Samples) -> None:
        super().__init__(plan, len(samples))
        self.samples, self.order = samples, plan.sample_order(len(samples))

    def begin(self, first_pass: int, offset: int) -> Iterator[tuple[Any, ...]]:
        for chosen in self._cut(first_pass, offset):
            yield *self.samples.take(chosen), chosen

    def _cut(self, first_pass: int, offset: int) -> Iterator[NDArray[np.int64]]:
        plan, size = self.plan, self.plan.batch_size
        rest = np.zeros(0, dtype=np.int64)
        for pass_index in pass_indices(plan, first_pass):
            ids = self.order.ids(pass_index)
            stream, offset = np.concatenate([rest, ids[offset:]]), 0
            whole = len(stream) - len(stream) % size
            for start in range(0, whole, size):
                yield stream[start : start + size]
            rest = stream[whole:]
            if plan.remainder == "pad" and len(rest):
                rest = np.concatenate([rest, np.resize(ids, size - len(rest))])
            if plan.remainder in ("keep", "pad") and len(rest):
                yield rest
            if plan.remainder != "carry":
                rest = rest[:0]
        if len(rest):
            yield rest
