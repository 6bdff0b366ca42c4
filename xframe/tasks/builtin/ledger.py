"""The ledger: a training run whose final weights spell which updates each sample entered.

Sample i is the i-th unit vector, the model is one weight per sample, the loss is minus the sum of
the outputs, and SGD has learning rate 1 and weight decay 3/4. So an update turns each weight w into

    w / 4 + (how often the sample stood in the batch)

and from a start at zero, the base-4 digits of the final weight are those numbers, the last update
first: exact while the digits fit the float's mantissa. With gradient accumulation the digits are the
sums of a window's steps, and fractions where the plan takes means, of steps or of replicas' gradients; these agree to
rounding. Sample ids can be echoed from a plan. The weights cannot: they come from the rows that went through the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xframe.plan.cadence import Cadence
from xframe.plan.training_plan import TrainingPlan
from xframe.tasks.layers import Dense
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task, Weights

if TYPE_CHECKING:
    from xframe.trace.trace import Trace

MANTISSA = {"float32": 24, "float64": 53}  # bits
_KERNEL = "dense_0/kernel"


def tally(trace: Trace, num_samples: int) -> NDArray[np.float64]:
    """The weights that the trace's rows lead to, of shape (num_samples,).

    The trace states which samples and how many updates. The plan it was recorded under states which steps' gradients
    enter an update, and divided by what; without a plan, an update has one step.
    """
    plan = _plan(trace)
    cadence = None if plan.gradient_accumulation_steps == 1 else Cadence(plan, num_samples)
    weights = np.zeros(num_samples)
    before, summed, present = 0, np.zeros(num_samples), 0
    for index, (ids, updates) in enumerate(zip(trace.batches(), trace.column("updates"), strict=True)):
        entered, weight = np.bincount(ids, minlength=num_samples), _weight(plan, len(ids))
        if cadence is None:
            summed, present = entered.astype(np.float64), 1
        else:
            summed, present = summed + weight * entered, present + weight
        for _ in range(int(updates) - before):
            weights = weights / 4 + summed / _divisor(plan, present)
        drops = cadence is not None and plan.accumulation_remainder == "drop" and not cadence.open_steps(index + 1)
        if updates > before or drops:
            summed, present = np.zeros(num_samples), 0
        before = int(updates)
    return weights


def _plan(trace: Trace) -> TrainingPlan:
    """The plan it was recorded under, or one in which each step has its update."""
    return TrainingPlan.from_mapping(trace.facts.plan or {"batch_size": 1, "steps": 1})


def _weight(plan: TrainingPlan, rows: int) -> int:
    return rows if plan.loss_normalization == "samples" else 1


def _divisor(plan: TrainingPlan, present: int) -> int:
    kind = plan.loss_normalization
    own = 1 if kind in ("sum", None) else plan.gradient_accumulation_steps if kind == "window" else present
    return own * _shared(plan)


def _shared(plan: TrainingPlan) -> int:
    """Among how many the sum of a step's gradients is divided, which a mean over replicas does."""
    return plan.replicas if plan.replica_gradients == "replicas" else 1


def _exact(plan: TrainingPlan) -> bool:
    """Whether all weights are binary fractions: a mean over three steps, say, is none."""
    if _shared(plan) & (_shared(plan) - 1):
        return False
    if plan.loss_normalization in ("sum", None):
        return True
    k = plan.gradient_accumulation_steps
    return plan.loss_normalization == "window" and k & (k - 1) == 0


def _rounding(plan: TrainingPlan, weights: NDArray[Any]) -> float:
    """By how much a weight may miss the tally: not at all, unless means were taken that binary fractions miss."""
    return 0.0 if _exact(plan) else 8 * float(np.finfo(weights.dtype).eps * np.abs(weights).max(initial=0))


def most_updates(plan: TrainingPlan, precision: str, num_samples: int) -> int:
    """How many updates the weights can spell: the first one's part in them must stay above what is rounded off."""
    b, k = plan.batch_size, plan.gradient_accumulation_steps
    # How often a sample can stand in a batch, and how many steps' gradients can enter an update.
    often = -(-b // num_samples) + 1 if plan.remainder == "carry" else -(-b // num_samples) * (plan.remainder == "pad")
    often, steps = max(often, 1), k
    if plan.accumulation_remainder == "leak":
        steps += Cadence(plan, num_samples).num_steps
    if _exact(plan):
        # The integer part of all updates' sums, 1/4 of each before; a share of it where replicas' means are taken.
        largest = (-(-max(often * steps, 3) * 4 // 3) - 1) * _shared(plan)
        return max((MANTISSA[precision] - largest.bit_length()) // 2 + 1, 0)
    rows = (b if plan.loss_normalization == "samples" else 1) * _shared(plan)
    least = 2.0 ** MANTISSA[precision] * 3 / (64 * often * -(-steps // k) * steps * rows)
    return max(int(np.log2(least) // 2) + 1, 0) if least > 0 else 0


def digits(weight: float, num_updates: int) -> list[int]:
    """How often the sample stood in each update's batch, first update first."""
    whole = weight * 4.0 ** (num_updates - 1)
    return [int(whole // 4**update % 4) for update in range(num_updates)]


def ledger(num_samples: int = 103) -> Task:
    """The ledger task over that many samples."""

    def load() -> tuple[NDArray[Any], NDArray[Any]]:
        return np.eye(num_samples), np.zeros(num_samples, dtype=np.int64)

    def initial_weights() -> dict[str, NDArray[Any]]:
        return {_KERNEL: np.zeros((num_samples, 1))}

    def audit(trace: Trace, weights: Weights) -> list[str]:
        if weights[_KERNEL].shape != (num_samples, 1):
            return [f"the weights have shape {weights[_KERNEL].shape}, not ({num_samples}, 1)"]
        trained = np.asarray(weights[_KERNEL], dtype=np.float64).ravel()
        expected, rounding = tally(trace, num_samples), _rounding(_plan(trace), weights[_KERNEL])
        wrong = np.flatnonzero(~(np.abs(trained - expected) <= rounding))
        if not wrong.size:
            return []
        first = int(wrong[0])
        if rounding:
            return [
                f"{wrong.size} of {num_samples} weights contradict the trace: sample {first} ended at "
                f"{trained[first]}, by the trace's steps and updates at {expected[first]}"
            ]
        updates = int(trace.column("updates")[-1]) if trace.num_rows else 0
        spelled, recorded = digits(float(trained[first]), updates), digits(float(expected[first]), updates)
        differing = [u for u in range(updates) if spelled[u] != recorded[u]]
        where = f" (they differ from update {differing[0]} on)" if differing else ""
        return [
            f"{wrong.size} of {num_samples} weights contradict the trace: sample {first} entered updates "
            f"{_where(spelled)} by its weight, {_where(recorded)} by the trace{where}"
        ]

    return Task(
        name="ledger",
        num_samples=num_samples,
        load=load,
        initial_weights=initial_weights,
        loss="negative_sum",
        optimizer=SGD(learning_rate=1.0, weight_decay=0.75),
        layers=(Dense(1, use_bias=False),),
        audit=audit,
        max_updates=lambda plan, precision: most_updates(plan, precision, num_samples),
        description="one weight per sample; the final weights spell which updates each sample entered",
    )


def _where(counts: list[int]) -> str:
    return "{" + ", ".join(str(u) if c == 1 else f"{u} x{c}" for u, c in enumerate(counts) if c) + "}"


task = ledger()
