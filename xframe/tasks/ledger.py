"""The ledger: a training run whose final weights spell which updates each sample entered.

Sample i is the i-th unit vector, the model is one weight per sample, the loss is minus the sum of
the outputs, and SGD has learning rate 1 and weight decay 3/4. So an update turns each weight w into

    w / 4 + (how often the sample stood in the batch)

and from a start at zero, the base-4 digits of the final weight are those numbers, the last update
first: exact while the digits fit the float's mantissa. Sample ids can be echoed from a plan. The
weights cannot: they come from the rows that went through the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xframe.task import SGD, Dense, Task, Weights

if TYPE_CHECKING:
    from xframe.trace import Trace

MAX_UPDATES = {"float32": 12, "float64": 26}  # two bits an update in a mantissa of 24 or 53
_KERNEL = "dense_0/kernel"


def tally(trace: Trace, num_samples: int) -> NDArray[np.float64]:
    """The weights that the trace's rows lead to, of shape (num_samples,)."""
    weights = np.zeros(num_samples)
    before = 0
    for ids, updates in zip(trace.batches(), trace.column("updates"), strict=True):
        present = np.bincount(ids, minlength=num_samples)
        for _ in range(int(updates) - before):
            weights = weights / 4 + present
        before = int(updates)
    return weights


def digits(weight: float, num_updates: int) -> list[int]:
    """How often the sample stood in each update's batch, first update first."""
    found = []
    rest = weight * 4.0 ** (num_updates - 1)
    for _ in range(num_updates):
        found.append(int(rest % 4))
        rest = rest // 4
    return found


def ledger(num_samples: int = 103) -> Task:
    """The ledger task over that many samples."""

    def load() -> tuple[NDArray[Any], NDArray[Any]]:
        return np.eye(num_samples), np.zeros(num_samples, dtype=np.int64)

    def initial_weights() -> dict[str, NDArray[Any]]:
        return {_KERNEL: np.zeros((num_samples, 1))}

    def audit(trace: Trace, weights: Weights) -> list[str]:
        if weights[_KERNEL].shape != (num_samples, 1):
            return [f"the weights have shape {weights[_KERNEL].shape}, not ({num_samples}, 1)"]
        found = np.asarray(weights[_KERNEL], dtype=np.float64).ravel()
        told = tally(trace, num_samples)
        wrong = np.flatnonzero(found != told)
        if not wrong.size:
            return []
        first = int(wrong[0])
        updates = int(trace.column("updates")[-1]) if trace.num_rows else 0
        spelled, recorded = digits(float(found[first]), updates), digits(float(told[first]), updates)
        parts = [u for u in range(updates) if spelled[u] != recorded[u]]
        where = f" (they part at update {parts[0]})" if parts else ""
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
        max_updates=MAX_UPDATES,
        description="one weight per sample; the final weights spell which updates each sample entered",
    )


def _where(counts: list[int]) -> str:
    return "{" + ", ".join(str(u) if c == 1 else f"{u} x{c}" for u, c in enumerate(counts) if c) + "}"


task = ledger()
