"""The pipeline: slices of each pass's order index the arrays."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.plan import TrainingPlan


class Batch(NamedTuple):
    """Features and targets with the ids that stand beside them."""

    epoch: int
    step_in_epoch: int
    features: NDArray[Any]
    targets: NDArray[Any]
    ids: NDArray[np.int64]

    def take(self, rows: Any) -> Batch:
        """The same batch with its samples picked by position."""
        return self._replace(features=self.features[rows], targets=self.targets[rows], ids=self.ids[rows])


class Pipeline:
    """Iterates over the batches of a run."""

    def __init__(self, plan: TrainingPlan, features: NDArray[Any], targets: NDArray[Any]) -> None:
        self.plan, self.features, self.targets = plan, features, targets

    def __iter__(self) -> Iterator[Batch]:
        plan, num_samples = self.plan, len(self.features)
        order = plan.sample_order(num_samples)
        end = num_samples - (num_samples % plan.batch_size if plan.remainder == "drop" else 0)
        for epoch in count() if plan.epochs is None else range(plan.epochs):
            ids = order.ids(epoch)
            for i, start in enumerate(range(0, end, plan.batch_size)):
                chosen = ids[start : start + plan.batch_size]
                yield Batch(epoch, i, self.features[chosen], self.targets[chosen], chosen)
