"""The bare loop in NumPy, for ``xframe bench``."""

from __future__ import annotations

import numpy as np

from xframe.bench.worker import Gate, Loop, Workload
from xframe.tasks.builtin import bench_mlp
from xframe.tasks.task import Task


def loops(task: Task) -> tuple[Loop, ...]:
    """The loops that can train this task."""
    return _LOOPS if task.name == bench_mlp.task.name else ()


def _indexed(workload: Workload, gate: Gate) -> None:
    features, targets = workload.data()
    weights = {name: values.copy() for name, values in workload.task.weights().items()}
    rate, random = workload.task.optimizer.rate(0), np.random.RandomState(0)
    while True:
        order = random.permutation(workload.num_samples)
        for start in workload.starts:
            chosen = order[start : start + workload.batch_size]
            x, y = features[chosen], targets[chosen]
            hidden = np.maximum(x @ weights["dense_0/kernel"] + weights["dense_0/bias"], 0)
            logits = hidden @ weights["dense_1/kernel"] + weights["dense_1/bias"]
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            error = exponentials / exponentials.sum(axis=1, keepdims=True)
            error[np.arange(len(y)), y] -= 1
            error /= len(y)
            error_hidden = error @ weights["dense_1/kernel"].T * (hidden > 0)
            weights["dense_1/kernel"] -= rate * (hidden.T @ error)
            weights["dense_1/bias"] -= rate * error.sum(axis=0)
            weights["dense_0/kernel"] -= rate * (x.T @ error_hidden)
            weights["dense_0/bias"] -= rate * error_hidden.sum(axis=0)
        gate.meet(len(workload.starts))


_LOOPS = (
    Loop("numpy-indexed", "bare loop, shuffled index batches", _indexed, base=True, bare=True, twin_of=("eager",)),
)
