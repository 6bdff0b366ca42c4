"""Which rows of a step each replica has, and how long a pass is for several of them.

``batch_size`` is what one step trains on, over all replicas R. A pass over n samples has m rows, row q ≥ n being that
of the pass's start again, q mod n; then ``remainder`` acts on m as it does on n for one replica. Rows of a step are
counted from 0 in the plan's order, and a step's padding is its last rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xframe.errors import PlanError

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan


def rows_of_pass(plan: TrainingPlan, num_samples: int) -> int:
    """m, the rows of a pass before it is cut into batches.

    Raises:
        PlanError: there are none, for fewer samples than replicas.
    """
    if plan.replica_remainder == "pad":
        return num_samples + -num_samples % plan.replicas
    if plan.replica_remainder != "drop":
        return num_samples
    if num_samples < plan.replicas:
        raise PlanError(
            "replica_remainder 'drop' leaves no row at all: there are fewer samples than replicas",
            got=num_samples,
            expected=f"at least {plan.replicas:,} samples",
            remedy="Use fewer replicas, or replica_remainder 'uneven' or 'pad'.",
        )
    return num_samples - num_samples % plan.replicas


def share(plan: TrainingPlan, rows: int, replica: int) -> slice:
    """The positions that a replica has of a step of so many rows."""
    if plan.replica_split == "interleaved":
        return slice(replica, rows, plan.replicas)
    each = -(-(plan.batch_size if plan.replica_split == "dealt" else rows) // plan.replicas)
    return slice(min(replica * each, rows), min((replica + 1) * each, rows))


def shared_rows(plan: TrainingPlan, rows: Any, replica: int) -> Any:
    """How many rows a replica has of steps of so many; numbers or arrays of them."""
    if plan.replica_split == "interleaved":
        left = rows - replica
        return (left * (left > 0) + plan.replicas - 1) // plan.replicas
    each = -(-(plan.batch_size + 0 * rows if plan.replica_split == "dealt" else rows) // plan.replicas)
    left = rows - replica * each
    left = left * (left > 0)
    return left - (left - each) * (left > each)


def with_rows(plan: TrainingPlan, rows: int) -> int:
    """How many replicas have a row of a step of so many, at least one."""
    if plan.replica_split == "interleaved":
        return min(rows, plan.replicas)
    each = -(-(plan.batch_size if plan.replica_split == "dealt" else rows) // plan.replicas)
    return -(-rows // each)


def shared_padding(plan: TrainingPlan, rows: Any, padding: Any, replica: int) -> Any:
    """How many of a replica's rows are padding, where the last ``padding`` of a step's rows are."""
    if plan.replica_split == "interleaved":
        return shared_rows(plan, rows, replica) - shared_rows(plan, rows - padding, replica)
    each = -(-(plan.batch_size + 0 * rows if plan.replica_split == "dealt" else rows) // plan.replicas)
    own = rows - padding - replica * each
    own = own * (own > 0)
    return shared_rows(plan, rows, replica) - (own - (own - each) * (own > each))
