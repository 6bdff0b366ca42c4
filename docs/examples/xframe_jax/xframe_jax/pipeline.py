"""The batches: an iterator over slices of each pass's order. What is in a batch is counted here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Batches
from xframe.running.steering import pass_indices
from xframe.tasks.data import Samples


class Pipeline(Batches):
    """Iterates over the batches of a run; each sample's id travels beside it."""

    def __init__(self, plan: TrainingPlan, samples: Samples) -> None:
        super().__init__(plan, len(samples))
        self.samples, self.order = samples, plan.sample_order(len(samples))

    def begin(self, first_pass: int, offset: int) -> Iterator[tuple[Any, ...]]:
        """Features, targets and ids of each batch from that pass and offset on."""
        size, remainder, left = self.plan.batch_size, self.plan.remainder, np.zeros(0, dtype=np.int64)
        for pass_index in pass_indices(self.plan, first_pass):
            order = self.order.ids(pass_index)
            left, offset = np.concatenate([left, order[offset:]]), 0
            while len(left) >= size:
                yield self._batch(left[:size])
                left = left[size:]
            if len(left) and remainder == "pad":
                yield self._batch(np.concatenate([left, np.resize(order, size - len(left))]))
            elif len(left) and remainder == "keep":
                yield self._batch(left)
            if remainder != "carry":
                left = left[:0]
        if len(left):  # where passes run into each other, the last batch may be short
            yield self._batch(left)

    def _batch(self, ids: Any) -> tuple[Any, ...]:
        return *self.samples.take(ids), ids
