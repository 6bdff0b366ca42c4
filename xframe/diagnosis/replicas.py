"""What each replica of a run had of the steps that they shared, as several causes ask of a case."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xframe.inference.observed import Ints
from xframe.trace.merged import INTERLEAVED
from xframe.trace.rows import Rows
from xframe.trace.trace import Trace


@dataclass(frozen=True, eq=False)
class Replicas:
    """The replicas of a run.

    Attributes:
        sizes: rows of each replica in each step, of shape (replicas, steps).
        woven: a step's rows go round the replicas; else each has consecutive ones.
        epochs: each replica's own labels, of that shape; None where its loop names none.
        parted: the first step behind which the weights of two differ, where marks of them were recorded.
        apart: which replica's weights those are.
        ends_apart: their final weights differ.
        losses_summed: a step's loss is the sum of theirs.
    """

    sizes: Ints
    woven: bool = False
    epochs: Ints | None = None
    parted: int | None = None
    apart: int | None = None
    ends_apart: bool = False
    losses_summed: bool = False

    @classmethod
    def of(cls, trace: Trace | None, steps: int) -> Replicas | None:
        """Those of a run that they made from its first step to its end; None of any other."""
        whole = trace is not None and len(trace.dealt) == 1 and trace.dealt[0].first == 0 and trace.replicas
        if trace is None or not whole:
            return None
        source, rows = trace.dealt[0].source, [Rows.of_trace(one).head(steps) for one in trace.replicas]
        if any("batch_size" not in one.known for one in rows):
            return None
        sizes = np.array([one.batch_size for one in rows])
        labels = [one.epoch for one in rows]
        epochs = None if any(one is None for one in labels) else np.array(labels)
        parting = source.parting("weights_mark")
        kept = [weights for part in source.parts if (weights := part.end.get("weights"))]
        return cls(
            sizes,
            source.stated[0].split == INTERLEAVED,
            epochs,
            None if parting is None else parting.row,
            None if parting is None else parting.replica,
            any(weights != kept[0] for weights in kept),
            source.losses_summed,
        )

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def uneven(self) -> Ints:
        """The steps in which they had different numbers of rows."""
        return np.flatnonzero((self.sizes != self.sizes[0]).any(axis=0))

    @cached_property
    def _owners(self) -> tuple[Ints, Ints]:
        """Of each sample of the run, in the order of its steps, the step and the replica."""
        count, steps = self.sizes.shape
        ranks = np.repeat(np.tile(np.arange(count), steps), self.sizes.T.reshape(-1))
        step = np.repeat(np.arange(steps), self.sizes.sum(axis=0))
        if not self.woven:
            return step, ranks
        lengths = self.sizes.T.reshape(-1)
        turns = np.arange(len(ranks)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        order = np.lexsort((ranks, turns, step))
        return step, ranks[order]

    def passes(self, ids: Ints, labels: NDArray[np.int64]) -> list[list[Ints]]:
        """For each pass what each replica had of it; the last one may have been cut.

        Args:
            ids: of the run, one step after the other.
            labels: each replica's pass at each step, of the shape of ``sizes``.
        """
        step, owner = self._owners
        if len(step) != len(ids):
            return []
        of = labels[owner, step]
        return [
            [ids[(of == one) & (owner == replica)] for replica in range(len(self))]
            for one in np.unique(labels).tolist()
        ]
