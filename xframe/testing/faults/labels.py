"""What the loop says of its steps: epochs, places in them, padding. Training itself is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xframe.testing.faults.bases import Faulty, placed
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import CARRIED, PADDED

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("mislabels-epochs", "epochs", 29, "epoch-labels")
class MislabelsEpochs(Faulty):
    """The epoch is counted up one step late: the first step of a new pass still bears the old number."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            epoch, step_in_epoch = batch.place[:2]
            yield placed(batch, epoch=epoch - 1) if epoch and step_in_epoch == 0 else batch


@fault("counts-epochs-from-one", "epochs", 0, "epoch-labels")
class CountsEpochsFromOne(Faulty):
    """The first epoch is called 1."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        return (placed(batch, epoch=batch.place.epoch + 1) for batch in super().pipeline(plan, task, runtime))


@fault("never-restarts-its-steps", "epochs", 29, "epoch-labels")
class NeverRestartsItsSteps(Faulty):
    """The place in the epoch is counted over the whole run."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            yield placed(batch, step_in_epoch=i)


@fault("labels-by-the-last-sample", "epochs", 28, "epoch-labels", plan=CARRIED)
class LabelsByTheLastSample(Faulty):
    """A carried batch of two passes is labelled as a step of the second; it belongs to its first sample's."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        rows = 0
        for batch in super().pipeline(plan, task, runtime):
            rows += len(batch.ids)
            yield placed(batch, epoch=(rows - 1) // task.num_samples)


@fault("hides-its-padding", "epochs", 28, "padding-labels", plan=PADDED)
class HidesItsPadding(Faulty):
    """Trains on the padding, and calls every row a sample of its own."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        return (placed(batch, padding=0) for batch in super().pipeline(plan, task, runtime))
