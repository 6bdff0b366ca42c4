"""The order of a run's samples, as far as its rows show it: stored, xframe's own, or learned pass by pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xframe.inference.cells import MOST_PASSES, Cells, by_pass
from xframe.inference.clues import Clues
from xframe.inference.passes import Passes, spans_of
from xframe.plan.order import Order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.plan.training_plan import TrainingPlan

    Ints = NDArray[np.int64]

UNKNOWN = -1  # an id that the rows do not show
_MOST_LEARNED = 1 << 24  # ids, over all passes


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


def shown_order(clues: Clues, passes: Passes) -> ShownOrder:
    """The order that the rows show, where these passes explain all of them."""
    n, kinds = clues.num_samples, passes.kinds
    if any(kind.order == "sequential" for kind in kinds):
        return ShownOrder(n, sequential=True)
    for kind in kinds:
        if kind.seed is not None:
            return ShownOrder(n, seed=kind.seed, reshuffle=kind.reshuffle)
    ids = clues.rows.ids
    if ids is None:
        return ShownOrder(n, learned={})
    spans = spans_of(clues, passes, clues.num_steps)
    learned: dict[int, Ints] = {}
    for p, (start, real) in enumerate(zip(spans.start[:MOST_PASSES], spans.real[:MOST_PASSES], strict=True)):
        if (p + 1) * n > _MOST_LEARNED:
            break
        learned[p] = np.full(n, UNKNOWN, dtype=np.int64)
        learned[p][:real] = ids[start : start + real]
    same = len(learned) > 1 and any(not kind.reshuffle for kind in kinds)
    return ShownOrder(n, reshuffle=not same, learned=learned)
