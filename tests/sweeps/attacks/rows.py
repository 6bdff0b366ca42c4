"""The rows of plans, as an attack compares them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xframe.errors import UsageError
from xframe.inference.reproducing import cells
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

MOST_STEPS = 80
COLUMNS = ("batch_size", "updates", "ids", "epoch", "step_in_epoch", "padding")


class Attack(NamedTuple):
    """Rows, what they are compared with, and which causes are right."""

    kind: str
    candidate: Rows
    reference: Rows
    plan: TrainingPlan
    num_samples: int
    right: frozenset[str]
    change: dict[str, Any] | None = None  # of one field, where it is that
    orders: Orders | None = None  # of the reference, where they are not xframe's


def rows_of(plan: TrainingPlan | None, n: int, *, ids: bool = True) -> Rows | None:
    """The plan's rows, if it has a few."""
    try:
        if plan is None or not 1 <= counting.num_steps(plan, n) <= MOST_STEPS:
            return None
        rows = Rows.of_plan(plan, n).limited()
        return rows if ids else rows.only("batch_size", "updates", "epoch", "step_in_epoch", "padding")
    except UsageError:
        return None


def seen_alike(candidate: Rows, rows: Rows) -> bool:
    """Whether these rows are all that is seen of the candidate."""
    if len(rows) != len(candidate) if candidate.complete else len(rows) < len(candidate):
        return False
    rows = rows.head(len(candidate))
    pairs = ((getattr(candidate, name), getattr(rows, name)) for name in COLUMNS)
    return all(seen is None or (made is not None and np.array_equal(seen, made)) for seen, made in pairs)


def unlabelled(rows: Rows) -> Rows:
    """What was observed, without what the loop declared."""
    return rows.only("batch_size", "updates", "ids")


class Orders(dict[int, Any]):
    """A permutation a pass, made when asked for."""

    def __init__(self, n: int, seed: int) -> None:
        super().__init__()
        self.n, self.seed = n, seed

    def __missing__(self, one: int) -> Any:
        self[one] = np.random.default_rng([self.seed, one]).permutation(self.n)
        return self[one]


def made(plan: TrainingPlan | None, n: int, orders: Orders | None = None) -> Rows | None:
    """The plan's rows, in xframe's order or in these orders."""
    rows = rows_of(plan, n)
    if rows is None or orders is None or plan is None or plan.order == "sequential":
        return rows
    where = cells(plan, n, counting.rows(plan, n, 0, len(rows)))
    passes = where.passes if plan.reshuffle else np.zeros_like(where.passes)
    ids = [orders[p][x] for p, x in zip(passes.tolist(), where.positions.tolist(), strict=True)]
    return rows.with_columns(ids=np.array(ids, dtype=np.int64))
