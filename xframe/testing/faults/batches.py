"""How a pass is cut into batches: what becomes of its rest, and how large a batch is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xframe.testing.faults.bases import Batches, BatchesBy, Faulty, changed, joined, placed
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import CARRIED, DROPPED, PADDED

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("drops-the-remainder", "boundaries", 28, "short-batch-dropped")
@fault("drops-where-padded", "boundaries", 28, "short-batch-dropped", plan=PADDED)
class DropsTheRemainder(BatchesBy, remainder="drop"):
    """The samples left at the end of a pass are dropped."""


@fault("keeps-where-dropped", "boundaries", 28, "short-batch-kept", plan=DROPPED)
@fault("keeps-where-padded", "boundaries", 28, "short-batch-kept", plan=PADDED)
@fault("keeps-where-carried", "boundaries", 28, "short-batch-kept", plan=CARRIED)
class KeepsTheRest(BatchesBy, remainder="keep"):
    """The plan drops a pass's rest, pads it or carries it into the next; the pipeline makes a short batch of it."""


@fault("carries-the-remainder", "boundaries", 28, "batches-straddle-passes", thread="tensorflow/tensorflow#22010")
class CarriesTheRest(BatchesBy, remainder="carry"):
    """The plan makes a short batch of a pass's rest, the pipeline fills it from the next pass."""


@fault("pads-the-remainder", "boundaries", 28, "short-batch-padded", thread="pytorch/pytorch#25162")
@fault("pads-where-dropped", "boundaries", 28, "short-batch-padded", plan=DROPPED)
class PadsTheRest(BatchesBy, remainder="pad"):
    """The short last batch is filled up from the start of its pass, as a sampler for several ranks does."""


@fault("fills-the-short-batch", "boundaries", 28, "short-batch-padded")
def fills_the_short_batch(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The short last batch is filled up with its own samples again."""
    for batch in batches:
        size = len(batch.ids)
        yield batch if size == plan.batch_size else batch.take([i % size for i in range(plan.batch_size)])


@fault("pads-from-the-end", "boundaries", 28, "padding-differs", plan=PADDED, thread="pytorch/pytorch#25162")
def pads_from_the_end(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The last batch is filled with the last samples of the pass, not the first."""
    for batch in batches:
        real = len(batch.ids) - batch.place.padding
        yield batch.take([*range(real), *(real - 1 - i % real for i in range(batch.place.padding))])


@fault("pads-with-one-sample", "boundaries", 28, "padding-differs", plan=PADDED)
def pads_with_one_sample(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The last batch is filled with its last sample, over and over."""
    for batch in batches:
        real = len(batch.ids) - batch.place.padding
        yield batch.take([min(i, real - 1) for i in range(len(batch.ids))])


class PadsByHand(Faulty):
    """No bug yet, with the padding put together by hand."""

    passes_late = 0

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Batches:
        starts: list[Any] = []  # each pass's first batch
        for batch in super().pipeline(changed(plan, remainder="keep"), task, runtime):
            if batch.place.step_in_epoch == 0:
                starts.append(batch)
            missing = plan.batch_size - len(batch.ids)
            start = starts[max(0, len(starts) - 1 - self.passes_late)]
            yield placed(joined(batch, start.take(range(missing))), padding=missing) if missing else batch


@fault("pads-from-the-pass-before", "boundaries", 57, "padding-differs", plan=PADDED)
class PadsFromThePreviousPass(PadsByHand):
    """The last batch is filled from the start of the pass before: the order was asked for too early."""

    passes_late = 1


@fault("another-batch-size", "boundaries", 0, "batch-size")
class UsesAnotherBatchSize(BatchesBy, batch_size=50):
    """Batches of 50 where the plan says otherwise: a default that nobody overrode."""


@fault("batch-size-times-replicas", "boundaries", 0, "batch-size-per-replica")
class MultipliesTheBatchSize(BatchesBy, batch_size=lambda plan: 2 * plan.batch_size):
    """The batch size is taken for one per replica, and two replicas' batches make a step."""


@fault("batch-size-by-replicas", "boundaries", 0, "batch-size-per-replica", thread="OpenNMT/OpenNMT-tf#540")
class DividesTheBatchSize(BatchesBy, batch_size=lambda plan: plan.batch_size // 4):
    """A global batch size is dealt out to four replicas, and a step sees one replica's part."""
