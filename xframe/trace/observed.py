"""The rows of one run as arrays: what ``infer`` and ``diagnose`` look at.

Made from a trace, or from a plan, so that a hypothesis about a run is simply another ``Observed`` to hold
it against. Nothing of a trace's metadata is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.trace.trace import Trace

MOST_ROWS = 1 << 18  # of a run that are looked at
MOST_IDS = 1 << 22


@dataclass(frozen=True, eq=False)
class Observed:
    """Columns of equal length, one row a step; None where the run doesn't say.

    Attributes:
        sizes: rows in each batch, padding included; int64, as all columns.
        updates: updates applied after each step.
        ids: the batches' sample ids one after the other, of shape (sum of sizes,), padding last in its batch.
        epochs, steps_in_epoch, padding: the loop's own labels.
        complete: the last row is where the run ended of itself; False for a truncated run or a part of one.
    """

    sizes: NDArray[np.int64]
    updates: NDArray[np.int64] | None = None
    ids: NDArray[np.int64] | None = None
    epochs: NDArray[np.int64] | None = None
    steps_in_epoch: NDArray[np.int64] | None = None
    padding: NDArray[np.int64] | None = None
    complete: bool = True

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """Batch i is ``ids[bounds[i] : bounds[i + 1]]``."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.sizes)])

    def batch(self, step: int) -> NDArray[np.int64]:
        """The ids of that step; only where ``ids`` are known."""
        assert self.ids is not None
        return self.ids[self.bounds[step] : self.bounds[step + 1]]

    def head(self, steps: int) -> Observed:
        """The first steps; no longer complete if that leaves any out."""
        if steps >= len(self):
            return self

        def cut(column: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
            return None if column is None else column[:steps]

        return Observed(
            sizes=self.sizes[:steps],
            updates=cut(self.updates),
            ids=None if self.ids is None else self.ids[: self.bounds[steps]],
            epochs=cut(self.epochs),
            steps_in_epoch=cut(self.steps_in_epoch),
            padding=cut(self.padding),
            complete=False,
        )

    def without_labels(self) -> Observed:
        """Only what was observed, nothing that the loop declared."""
        return replace(self, epochs=None, steps_in_epoch=None, padding=None)

    @classmethod
    def of_batches(
        cls, batches: Sequence[Sequence[int]], updates: Sequence[int] | None = None, *, complete: bool = True
    ) -> Observed:
        """From lists, for tests and small hypotheses."""
        flat = [sample for batch in batches for sample in batch]
        return cls(
            sizes=np.array([len(batch) for batch in batches], dtype=np.int64),
            updates=None if updates is None else np.array(updates, dtype=np.int64),
            ids=np.array(flat, dtype=np.int64),
            complete=complete,
        )

    @classmethod
    def of_plan(cls, plan: TrainingPlan, num_samples: int, most: int = MOST_ROWS, *, ids: bool = True) -> Observed:
        """What the plan says, its first ``most`` steps."""
        total = counting.num_steps(plan, num_samples)
        most = max(1, min(most, MOST_IDS // plan.batch_size if ids else most))
        part = counting.rows(plan, num_samples, 0, min(total, most))
        return cls(
            sizes=part.batch_size,
            updates=part.updates,
            ids=counting.sample_ids(plan, num_samples, part) if ids else None,
            epochs=part.epoch,
            steps_in_epoch=part.step_in_epoch,
            padding=part.padding,
            complete=total <= most,
        )

    @classmethod
    def of_trace(cls, trace: Trace, most: int = MOST_ROWS) -> Observed:
        """The trace's first ``most`` rows, or as many as have ``MOST_IDS`` ids."""
        rows = min(trace.num_rows, most)
        sizes = trace.between("batch_size", 0, rows).values
        if trace.has_ids:
            rows = max(int(np.searchsorted(np.cumsum(sizes), MOST_IDS, side="right")), min(rows, 1))

        def column(name: str) -> NDArray[np.int64] | None:
            return trace.between(name, 0, rows).values if trace.known_throughout(name) else None

        return cls(
            sizes=sizes[:rows],
            updates=column("updates"),
            ids=trace.ids_between(0, rows) if trace.has_ids else None,
            epochs=column("epoch"),
            steps_in_epoch=column("step_in_epoch"),
            padding=column("padding"),
            complete=trace.complete and rows == trace.num_rows,
        )
