"""The pipeline: slices of each pass's order name the samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.running.steering import Place, WalkState, walk
from xframe.tasks.data import Samples


class Batch(NamedTuple):
    """Features and targets with the ids that stand beside them."""

    place: Place
    features: NDArray[Any]
    targets: NDArray[Any]
    ids: NDArray[np.int64]

    def take(self, rows: Any) -> Batch:
        """The same batch with its samples picked by position."""
        return self._replace(features=self.features[rows], targets=self.targets[rows], ids=self.ids[rows])


class Pipeline:
    """Iterates over the batches of a run.

    Attributes:
        start: where the first batch begins.
    """

    def __init__(self, plan: TrainingPlan, samples: Samples) -> None:
        self.plan, self.samples, self.start = plan, samples, WalkState()
        self.order = plan.sample_order(len(samples))

    def __iter__(self) -> Iterator[Batch]:
        for place, batch in walk(self.plan, len(self.samples), self.begin, self.start):
            yield Batch(place, *batch)

    def begin(self, first_pass: int, offset: int) -> Iterator[tuple[Any, ...]]:
        """Features, targets and ids of each batch from there on."""
        for chosen in self._cut(first_pass, offset):
            yield *self.samples.take(chosen), chosen

    def _cut(self, first_pass: int, offset: int) -> Iterator[NDArray[np.int64]]:
        plan, size = self.plan, self.plan.batch_size
        rest = np.zeros(0, dtype=np.int64)
        bounded = plan.steps_per_epoch is None and plan.epochs is not None
        for pass_index in range(first_pass, plan.epochs or 0) if bounded else count(first_pass):
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
