"""How long training is: limits that are misread, and a step too few or too many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from xframe.plan.fields import LARGEST
from xframe.testing.faults.bases import Faulty, RunsBy, changed, placed, without
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import CONTINUED, FORTY_STEPS, FOURS, PLAN

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("stops-early", "steps", 57, "one-step-less")
class StopsEarly(Faulty):
    """Training ends one step before its time."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        return (batch for batch, _ in pairwise(super().pipeline(plan, task, runtime)))


# One step more than planned, and its batch is the last one's: the rows show both.
@fault(
    "trains-the-last-batch-twice",
    "steps",
    58,
    "one-step-more",
    "batch-repeated",
    thread="huggingface/transformers#37777",
)
class OneStepTooMany(Faulty):
    """The last batch is trained on twice."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            batch = placed(batch, last=False)
            yield batch
        yield batch


@fault("one-step-too-many", "steps", 40, "one-step-more", plan=FORTY_STEPS)
class ComparesStepsInclusively(RunsBy):
    """``step <= limit`` where ``step < limit`` is meant."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps=(plan.steps or 0) + 1)


@fault("counts-steps-from-one", "steps", 39, "one-step-less", plan=FORTY_STEPS)
class CountsStepsFromOne(RunsBy):
    """``step < limit`` with a step counted from 1: one too few."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps=(plan.steps or 2) - 1)


@fault("finishes-the-epoch", "steps", 40, "limit-confused", plan=FORTY_STEPS)
class FinishesTheEpoch(RunsBy):
    """The limit of steps is looked at between epochs only, and so goes unheeded inside one."""

    fields: ClassVar[Mapping[str, Any]] = {"steps": None}


@fault("ignores-the-update-limit", "steps", 45, "limit-confused", plan=changed(PLAN, updates=45))
class IgnoresTheUpdateLimit(RunsBy):
    """The limit of updates is not looked at; epochs alone end the run."""

    fields: ClassVar[Mapping[str, Any]] = {"updates": None}


@fault(
    "updates-taken-for-steps",
    "steps",
    10,
    "limit-confused",
    plan=changed(FOURS, epochs=None, updates=10),
    thread="Lightning-AI/pytorch-lightning#7407",
)
class TakesUpdatesForSteps(RunsBy):
    """The limit of updates ends the run after that many steps."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps=plan.updates, updates=None)


@fault(
    "steps-taken-for-updates",
    "steps",
    12,
    "limit-confused",
    plan=changed(FOURS, epochs=None, steps=12),
    thread="unslothai/unsloth#1163",
)
class TakesStepsForUpdates(RunsBy):
    """The limit of steps ends the run after that many updates."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps=None, updates=plan.steps)


@fault("epochs-taken-for-passes", "steps", 60, "limit-confused", plan=CONTINUED)
class CountsEpochsInPasses(Faulty):
    """Training ends after as many passes as there should be epochs of ``steps_per_epoch`` steps."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        passes = 0
        for batch in super().pipeline(without(changed(plan, updates=LARGEST), "epochs"), task, runtime):
            yield batch
            passes += batch.place.ends_pass
            if passes == plan.epochs:
                return
