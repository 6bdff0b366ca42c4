"""Values computed once from a run's rows and used by every hypothesis about its plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import compress
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.plan.order import Order, first_samples
from xframe.plan.replicas import rows_of_pass
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

SEEDS = range(1024)  # of xframe's own order that are tried
SHORT_RUN = 300  # steps up to which every number of steps per epoch is tried
UNLIKELY = math.log(1e6)  # an explanation that many times less likely than another is left out


class Observed:
    """The rows of a run, at least one and no batch of which is empty, over a data set of known size.

    Its batch size is that of the first batch, and so of any plan that explains the rows. ``shared``: the plan's fields
    of replicas; raises PlanError where no plan of that batch size has them.
    """

    def __init__(
        self, rows: Rows, num_samples: int, seeds: tuple[int, ...], shared: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.rows, self.num_samples, self.seeds, self.shared = rows, num_samples, seeds, shared
        self.batch_size, self.num_steps, self.bounds = int(rows.batch_size[0]), len(rows), rows.bounds
        self.rows_of_pass = num_samples  # before it is cut into batches, see ``xframe.plan.replicas``
        if shared:
            self.rows_of_pass = rows_of_pass(
                plan_of({"batch_size": self.batch_size, "steps": 1, **shared}), num_samples
            )
        self.windows: dict[tuple[bool, bytes], list[tuple[int, int, bool]]] = {}  # by cuts, ``fits.window_sizes``
        self._orders: dict[tuple[int, int], Ints] = {}

    def head(self, steps: int, seeds: tuple[int, ...] | None = None) -> Observed:
        """The first steps of the run."""
        return Observed(self.rows.head(steps), self.num_samples, self.seeds if seeds is None else seeds, self.shared)

    @property
    def even(self) -> bool:
        """Whether a pass is made even for replicas."""
        return self.shared.get("replica_remainder") in ("pad", "drop")

    @cached_property
    def applied(self) -> Ints | None:
        """Updates applied with each step; None if the run does not say."""
        return None if self.rows.updates is None else np.diff(self.rows.updates, prepend=0)

    @cached_property
    def seeds_of_first_batch(self) -> list[int]:
        """Seeds whose first pass begins with the first batch's samples."""
        ids, n = self.rows.ids, self.num_samples
        return [] if ids is None else seeds_of(ids[: min(self.batch_size, n)], n, self.seeds)

    def order(self, seed: int, pass_index: int, length: int) -> Ints:
        """The first ``length`` samples of a pass in xframe's order."""
        order = self._orders.get((seed, pass_index))
        if order is None or len(order) < length:
            order = Order(self.num_samples, "shuffle", seed).ids(pass_index, np.arange(length, dtype=np.int64))
            self._orders[seed, pass_index] = order
        return order[:length]

    def step_of(self, sample: int) -> int:
        """The step that trains on the sample at that place of all samples trained on."""
        return int(np.searchsorted(self.bounds, sample, side="right")) - 1


def seeds_of(samples: Ints, num_samples: int, seeds: Sequence[int] = SEEDS) -> list[int]:
    """Seeds by which the first pass of xframe's order begins with these samples."""
    if num_samples == 1 or not len(samples) or samples.min() < 0 or samples.max() >= num_samples:
        return []
    at = np.arange(min(len(samples), 64), dtype=np.int64)
    begins = (first_samples(num_samples, tuple(seeds)) == samples[0]).tolist()
    return [
        seed
        for seed in compress(seeds, begins)
        if (Order(num_samples, "shuffle", seed).ids(0, at) == samples[: len(at)]).all()
    ]


def first(flags: Flags) -> int:
    """Where the first flag is set; their number if none is."""
    at = int(flags.argmax()) if len(flags) else 0
    return at if len(flags) and flags[at] else len(flags)


def counted_within(sizes: Ints) -> Ints:
    """0, 1, … in each of several groups of these sizes, one after the other."""
    ends = np.cumsum(sizes)
    return np.asarray(np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - sizes, sizes))


def plan_of(fields: dict[str, Any]) -> TrainingPlan:
    """The plan of these fields; None stands for one that is not given."""
    return TrainingPlan.from_mapping({name: value for name, value in fields.items() if value is not None})
