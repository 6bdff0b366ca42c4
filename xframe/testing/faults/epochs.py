"""Epochs of a given number of steps: their length, what begins each, and what happens where the data end."""

from __future__ import annotations

from xframe.testing.faults.bases import BatchesBy
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import CONTINUED, REPEATED, RESTARTED, SHORTENED


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
