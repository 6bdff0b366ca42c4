"""What a planted bug is, and how it comes into a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sweeps.planted.trainings import Training
from xframe.plan.training_plan import TrainingPlan
from xframe.running.runtime import Runtime
from xframe.tasks.optimizers import Rule
from xframe.tasks.task import Task
from xframe.testing.faults.bases import Faulty

DECLARED: list[Bug] = []


@dataclass(frozen=True)
class Bug:
    """A bug, and what must be reported of it.

    Attributes:
        name: what is wrong.
        training: that it is planted into.
        fault: the mixin over an adapter.
        stage, tensor: where it is; the tensor a pattern.
        causes: any of these names is right; empty where no cause has a name for it.
        sides: the adapters that can have it.
        also: what is true of it beside its cause.
        anywhere: whether any adapter can have it.
    """

    name: str
    training: Training
    fault: type[Faulty]
    stage: str
    tensor: str
    causes: tuple[str, ...]
    sides: tuple[str, ...] = ("numpy", "torch")
    also: tuple[str, ...] = ()
    anywhere: bool = False


def other_task(
    name: str, training: Training, change: Callable[[Task], Task], stage: str, tensor: str, *causes: str, **facts: Any
) -> None:
    """A bug whose training does what a different task says."""

    class Changed(Faulty):
        def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
            return super().train_step(plan, change(task), runtime)

    DECLARED.append(Bug(name, training, Changed, stage, tensor, causes, **{"anywhere": True, **facts}))


def other_rule(
    name: str, training: Training, rule: Rule, other: Rule, stage: str, tensor: str, *causes: str, **facts: Any
) -> None:
    """A bug whose training updates by a different rule than all others do."""
    other_task(name, training.by(rule), lambda task: replace(task, optimizer=other), stage, tensor, *causes, **facts)


def other_batches(
    name: str, training: Training, change: Callable[[Any], Any], stage: str, tensor: str, *causes: str, **facts: Any
) -> None:
    """A bug whose batches go through ``change``."""

    class Changed(Faulty):
        def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
            return map(change, super().pipeline(plan, task, runtime))

    DECLARED.append(Bug(name, training, Changed, stage, tensor, causes, **facts))


def tampered(
    name: str, training: Training, change: Callable[[Any], None], stage: str, tensor: str, *causes: str, **facts: Any
) -> None:
    """A bug in a part of the step, which ``change`` replaces; what both the hot path and the stages call."""

    class Changed(Faulty):
        def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
            step = super().train_step(plan, task, runtime)
            change(step)
            return step

    DECLARED.append(Bug(name, training, Changed, stage, tensor, causes, **facts))
