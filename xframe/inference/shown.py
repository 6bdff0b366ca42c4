"""Which sample is at each place of a plan's passes, as far as rows show it: stored, xframe's order, or learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xframe.inference.observed import Flags, Ints, Observed, counted_within
from xframe.inference.passes import Passes, spans_of
from xframe.plan.counting import PlannedRows
from xframe.plan.order import Order
from xframe.plan.training_plan import TrainingPlan

MOST_PASSES = 2048  # whose orders are asked for
UNKNOWN = -1  # an id that the rows do not show
_MOST_LEARNED = 1 << 24  # ids, over all passes


class Cells(NamedTuple):
    """Pass and position of every sample of consecutive steps, and whether it is padding."""

    passes: Ints
    positions: Ints
    padding: Flags


def cells(plan: TrainingPlan, num_samples: int, part: PlannedRows) -> Cells:
    """The cells of consecutive steps of that plan, one batch after the other."""
    sizes = part.batch_size
    passes, positions = np.repeat(part.pass_index, sizes), np.repeat(part.position, sizes) + counted_within(sizes)
    over = positions >= num_samples
    if plan.remainder == "carry":
        passes = passes + positions // num_samples
        over = np.zeros_like(over)
    return Cells(passes, positions % num_samples, over)


def by_pass(passes: Ints) -> Iterator[tuple[int, Any]]:
    """Each of the first passes, and the index of its samples."""
    if not len(passes):
        return
    if (passes[1:] >= passes[:-1]).all():
        starts = np.flatnonzero(np.diff(passes, prepend=passes[0] - 1))
        for begin, end in zip(starts[:MOST_PASSES], [*starts[1:], len(passes)][:MOST_PASSES], strict=False):
            yield int(passes[begin]), slice(int(begin), int(end))
        return
    for one in np.unique(passes)[:MOST_PASSES]:
        yield int(one), passes == one


@dataclass(frozen=True, eq=False)
class ShownOrder:
    """The order in which a run takes its samples.

    Attributes:
        num_samples: size of the data set.
        sequential: the samples come as they are stored.
        seed, reshuffle: of xframe's own order; where the order is learned, its seed stands for any.
        learned: pass → sample at each position, ``UNKNOWN`` where not seen; None where all of it is known.
    """

    num_samples: int
    sequential: bool = False
    seed: int = 0
    reshuffle: bool = True
    learned: Mapping[int, Ints] | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """Of a plan with this order."""
        return {"order": "sequential"} if self.sequential else {"seed": self.seed, "reshuffle": self.reshuffle}

    def ids(self, plan: TrainingPlan, num_samples: int, where: Cells) -> Ints:
        """The samples that a plan has in these cells, if its order is this one; ``UNKNOWN`` where that is not shown."""
        passes, positions = where.passes, where.positions
        if plan.order == "sequential":
            return positions
        if not plan.reshuffle:
            passes = np.zeros_like(passes)
        ids = np.full(len(positions), UNKNOWN, dtype=np.int64)
        learned = self.learned
        if learned is None:
            order = Order(num_samples, "shuffle", plan.seed, plan.reshuffle)
            for one, chosen in by_pass(passes):
                ids[chosen] = order.ids(one, positions[chosen])
        elif (num_samples, plan.seed) == (self.num_samples, self.seed) and self.reshuffle >= plan.reshuffle:
            for one, chosen in by_pass(passes):
                if one in learned:
                    ids[chosen] = learned[one][positions[chosen]]
        return ids


def shown_order(run: Observed, passes: Passes) -> ShownOrder:
    """The order that the rows show, where these passes explain all of them."""
    n, kinds = run.num_samples, passes.kinds
    if any(kind.order == "sequential" for kind in kinds):
        return ShownOrder(n, sequential=True)
    for kind in kinds:
        if kind.seed is not None:
            return ShownOrder(n, seed=kind.seed, reshuffle=kind.reshuffle)
    ids = run.rows.ids
    if ids is None:
        return ShownOrder(n, learned={})
    spans = spans_of(run, passes, run.num_steps)
    learned: dict[int, Ints] = {}
    for p, (start, real) in enumerate(zip(spans.start[:MOST_PASSES], spans.real[:MOST_PASSES], strict=True)):
        if (p + 1) * n > _MOST_LEARNED:
            break
        learned[p] = np.full(n, UNKNOWN, dtype=np.int64)
        learned[p][:real] = ids[start : start + real]
    same = len(learned) > 1 and any(not kind.reshuffle for kind in kinds)
    return ShownOrder(n, reshuffle=not same, learned=learned)
