"""What people compare two trainings by: losses and weights of two free runs by fixed tolerances, or the first step.

All are in float32, as people's runs are. Each says of two trainings that they are the same, or that they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.running.adapter import Adapter
from xframe.running.resync import StepMaker
from xframe.running.runtime import Runtime
from xframe.state.record import Record
from xframe.tasks.task import Task

MEAN = 1e-6  # of reprod_log's mean difference
_LOSSES = 5  # first updates whose losses it compares, its third part


@dataclass(frozen=True)
class Run:
    """One training that went by itself."""

    losses: NDArray[np.float64]
    weights: Mapping[str, NDArray[Any]]
    first: Record  # its first step


def free_run(adapter: Adapter, plan: TrainingPlan, task: Task, runtime: Runtime, steps: int) -> Run:
    """As it is trained, and its first step by stages."""
    maker = StepMaker(adapter, plan, task, runtime)
    begun = next(maker.records([0]))
    first = maker.staged(begun, begun)
    assert first is not None
    losses = maker.free(steps).losses
    return Run(np.array(losses), maker.step.state().parameters, first)


def _losses(rtol: float, last: bool = False) -> Callable[[Run, Run], bool]:
    def differ(one: Run, other: Run) -> bool:
        chosen = slice(-1, None) if last else slice(None)
        return not np.allclose(one.losses[chosen], other.losses[chosen], rtol=rtol, atol=0, equal_nan=True)

    return differ


def _weights(rtol: float, atol: float) -> Callable[[Run, Run], bool]:
    def differ(one: Run, other: Run) -> bool:
        both = [(values, other.weights[name]) for name, values in one.weights.items()]
        return not all(np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True) for a, b in both)

    return differ


def _mean_difference(one: Run, other: Run) -> bool:
    """Forward, loss, backward of the first batch, then the losses of a few updates: each below 1e-6 on average."""
    for stage, names in (("forward", ("outputs",)), ("loss", ("loss",)), ("gradient", None)):
        own, others = one.first.stages[stage], other.first.stages[stage]
        for name in own if names is None else names:
            if name not in others or own[name].shape != others[name].shape:
                return True
            if not np.abs(own[name] - others[name]).mean() < MEAN:
                return True
    return bool(not np.abs(one.losses[:_LOSSES] - other.losses[:_LOSSES]).mean() < MEAN)


BASELINES: Mapping[str, Callable[[Run, Run], bool]] = {
    "losses within 1e-3 at the end": _losses(1e-3, last=True),
    "losses within 1e-3 at each step": _losses(1e-3),
    "losses within 1e-4 at the end": _losses(1e-4, last=True),
    "losses within 1e-4 at each step": _losses(1e-4),
    "losses within 1e-5 at the end": _losses(1e-5, last=True),
    "losses within 1e-5 at each step": _losses(1e-5),
    "curves by eye, 1 %": _losses(1e-2),
    "mean difference < 1e-6, stage by stage": _mean_difference,
    "allclose of final weights": _weights(1e-5, 1e-8),
    "final weights within 1e-3": _weights(1e-3, 1e-5),
}
