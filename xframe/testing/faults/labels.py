"""What the loop says of its steps: epochs, places in them, padding. Training itself is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xframe.testing.faults.bases import Batches, placed
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import CARRIED, PADDED

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.tasks.task import Task


@fault("mislabels-epochs", "epochs", 29, "epoch-labels")
def mislabels_epochs(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The epoch is counted up one step late: the first step of a new pass still bears the old number."""
    for batch in batches:
        epoch, step_in_epoch = batch.place[:2]
        yield placed(batch, epoch=epoch - 1) if epoch and step_in_epoch == 0 else batch


@fault("counts-epochs-from-one", "epochs", 0, "epoch-labels")
def counts_epochs_from_one(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The first epoch is called 1."""
    return (placed(batch, epoch=batch.place.epoch + 1) for batch in batches)


@fault("never-restarts-its-steps", "epochs", 29, "epoch-labels")
def never_restarts_its_steps(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The place in the epoch is counted over the whole run."""
    return (placed(batch, step_in_epoch=i) for i, batch in enumerate(batches))


@fault("labels-by-the-last-sample", "epochs", 28, "epoch-labels", plan=CARRIED)
def labels_by_the_last_sample(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """A carried batch of two passes is labelled as a step of the second; it belongs to its first sample's."""
    rows = 0
    for batch in batches:
        rows += len(batch.ids)
        yield placed(batch, epoch=(rows - 1) // task.num_samples)


@fault("hides-its-padding", "epochs", 28, "padding-labels", plan=PADDED)
def hides_its_padding(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """Trains on the padding, and calls every row a sample of its own."""
    return (placed(batch, padding=0) for batch in batches)
