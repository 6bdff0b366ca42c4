"""How long training is: limits that are misread, and a step too few or too many."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from xframe.plan.fields import LARGEST
from xframe.testing.faults.bases import Batches, Faulty, RunsBy, changed, placed
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import CONTINUED, FORTY_STEPS, FOURS, FOURS_12_STEPS, PLAN

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("stops-early", "steps", 57, "one-step-less")
def stops_early(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """Training ends one step before its time."""
    return (batch for batch, _ in pairwise(batches))


# One step more than planned, and its batch is the last one's: the rows show both.
@fault(
    "trains-the-last-batch-twice",
    "steps",
    58,
    "one-step-more",
    "batch-repeated",
    thread="huggingface/transformers#37777",
)
def trains_the_last_batch_twice(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The last batch is trained on twice."""
    for batch in batches:
        batch = placed(batch, last=False)
        yield batch
    yield batch


@fault("one-step-too-many", "steps", 40, "one-step-more", plan=FORTY_STEPS)
class ComparesStepsInclusively(RunsBy, steps=lambda plan: plan.steps + 1):
    """``step <= limit`` where ``step < limit`` is meant."""


@fault("counts-steps-from-one", "steps", 39, "one-step-less", plan=FORTY_STEPS)
class CountsStepsFromOne(RunsBy, steps=lambda plan: plan.steps - 1):
    """``step < limit`` with a step counted from 1: one too few."""


@fault("finishes-the-epoch", "steps", 40, "limit-confused", plan=FORTY_STEPS)
class FinishesTheEpoch(RunsBy, steps=None):
    """The limit of steps is looked at between epochs only, and so goes unheeded inside one."""


@fault("ignores-the-update-limit", "steps", 45, "limit-confused", plan=changed(PLAN, updates=45))
class IgnoresTheUpdateLimit(RunsBy, updates=None):
    """The limit of updates is not looked at; epochs alone end the run."""


@fault(
    "updates-taken-for-steps",
    "steps",
    10,
    "limit-confused",
    plan=changed(FOURS, epochs=None, updates=10),
    thread="Lightning-AI/pytorch-lightning#7407",
)
class TakesUpdatesForSteps(RunsBy, steps=lambda plan: plan.updates, updates=None):
    """The limit of updates ends the run after that many steps."""


@fault("steps-taken-for-updates", "steps", 12, "limit-confused", plan=FOURS_12_STEPS, thread="unslothai/unsloth#1163")
class TakesStepsForUpdates(RunsBy, steps=None, updates=lambda plan: plan.steps):
    """The limit of steps ends the run after that many updates."""


@fault("epochs-taken-for-passes", "steps", 60, "limit-confused", plan=CONTINUED)
class CountsEpochsInPasses(Faulty):
    """Training ends after as many passes as there should be epochs of ``steps_per_epoch`` steps."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Batches:
        passes = 0
        for batch in super().pipeline(changed(plan, updates=LARGEST, epochs=None), task, runtime):
            yield batch
            passes += batch.place.ends_pass
            if passes == plan.epochs:
                return
