"""Epochs of a given number of steps: their length, what begins each, and what happens where the data end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from xframe.testing.faults.bases import BatchesBy, changed
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import CONTINUED, REPEATED, RESTARTED, SHORTENED

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan


@fault("epochs-too-long", "boundaries", 20, "steps-per-epoch", plan=RESTARTED)
class LengthensEpochs(BatchesBy):
    """Epochs of one step too many."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps_per_epoch=(plan.steps_per_epoch or 0) + 1)


@fault("epochs-too-short", "boundaries", 19, "steps-per-epoch", plan=RESTARTED)
class RoundsEpochsDown(BatchesBy):
    """Epochs of one step too few."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps_per_epoch=(plan.steps_per_epoch or 2) - 1)


@fault("restarts-each-epoch", "boundaries", 20, "epoch-iterator", plan=CONTINUED)
class RestartsEachEpoch(BatchesBy):
    """The plan lets a pass, or the stream of ``carry``, go on over the epochs; the pipeline restarts with each."""

    fields: ClassVar[Mapping[str, Any]] = {"epoch_iterator": "restart"}


@fault(
    "continues-over-epochs", "boundaries", 20, "epoch-iterator", plan=RESTARTED, thread="tensorflow/tensorflow#25254"
)
class ContinuesOverEpochs(BatchesBy):
    """Each epoch is to begin a new pass, and the iterator is not reset."""

    fields: ClassVar[Mapping[str, Any]] = {"epoch_iterator": "continue"}


@fault("shortens-epochs", "epochs", 29, "short-epoch", plan=REPEATED, thread="keras-team/keras#19037")
class ShortensEpochs(BatchesBy):
    """The plan repeats the data, but where they run out the epoch ends."""

    fields: ClassVar[Mapping[str, Any]] = {"on_exhaustion": "short_epoch"}


@fault("fills-short-epochs", "epochs", 29, "short-epoch", plan=SHORTENED)
class RepeatsTheData(BatchesBy):
    """The epoch is to end where the data do, but the next pass fills it up."""

    fields: ClassVar[Mapping[str, Any]] = {"on_exhaustion": "repeat"}


# It ends where the data do, which is also where its second epoch ends: without the plan, a limit explains as much.
@fault(
    "stops-with-the-data", "steps", 29, "short-epoch", "limit-confused", plan=SHORTENED, thread="keras-team/keras#15708"
)
class StopsWithTheData(BatchesBy):
    """Only the epoch is to end where the data do, but all training does."""

    fields: ClassVar[Mapping[str, Any]] = {"on_exhaustion": "stop"}
