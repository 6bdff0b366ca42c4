"""Epochs: their length, what begins each, what happens where the data end; and what the loop says of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xframe.testing.faults.bases import Batches, BatchesBy, placed
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import CARRIED, CONTINUED, PADDED, REPEATED, RESTARTED, SHORTENED

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.tasks.task import Task


@fault("epochs-too-long", "boundaries", 20, "steps-per-epoch", plan=RESTARTED)
class LengthensEpochs(BatchesBy, steps_per_epoch=lambda plan: plan.steps_per_epoch + 1):
    """Epochs of one step too many."""


@fault("epochs-too-short", "boundaries", 19, "steps-per-epoch", plan=RESTARTED)
class RoundsEpochsDown(BatchesBy, steps_per_epoch=lambda plan: plan.steps_per_epoch - 1):
    """Epochs of one step too few."""


@fault("restarts-each-epoch", "boundaries", 20, "epoch-iterator", plan=CONTINUED)
class RestartsEachEpoch(BatchesBy, epoch_iterator="restart"):
    """The plan lets a pass, or the stream of ``carry``, go on over the epochs; the pipeline restarts with each."""


@fault(
    "continues-over-epochs", "boundaries", 20, "epoch-iterator", plan=RESTARTED, thread="tensorflow/tensorflow#25254"
)
class ContinuesOverEpochs(BatchesBy, epoch_iterator="continue"):
    """Each epoch is to begin a new pass, and the iterator is not reset."""


@fault("shortens-epochs", "epochs", 29, "short-epoch", plan=REPEATED, thread="keras-team/keras#19037")
class ShortensEpochs(BatchesBy, on_exhaustion="short_epoch"):
    """The plan repeats the data, but where they run out the epoch ends."""


@fault("fills-short-epochs", "epochs", 29, "short-epoch", plan=SHORTENED)
class RepeatsTheData(BatchesBy, on_exhaustion="repeat"):
    """The epoch is to end where the data do, but the next pass fills it up."""


# It ends where the data do, which is also where its second epoch ends: without the plan, a limit explains as much.
@fault(
    "stops-with-the-data", "steps", 29, "short-epoch", "limit-confused", plan=SHORTENED, thread="keras-team/keras#15708"
)
class StopsWithTheData(BatchesBy, on_exhaustion="stop"):
    """Only the epoch is to end where the data do, but all training does."""


# --- labels: training itself is right ---


@fault("mislabels-epochs", "epochs", 29, "epoch-labels")
def mislabels_epochs(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The epoch is counted up one step late: the first step of a new pass still bears the old number."""
    for batch in batches:
        epoch, step_in_epoch = batch.place[:2]
        yield placed(batch, epoch=epoch - 1) if epoch and step_in_epoch == 0 else batch


@fault("counts-epochs-twice", "epochs", 29, "epoch-labels")
def counts_epochs_twice(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """Loop and callback both count the epoch up: the second is called 2, the third 4."""
    return (placed(batch, epoch=2 * batch.place.epoch) for batch in batches)


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
