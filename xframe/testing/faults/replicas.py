"""Two replicas of one training: what only goes wrong where several share its steps."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from xframe.testing.faults.bases import Batches, Replicated, Stepped, changed, joined, set_rate
from xframe.testing.faults.declaring import fault

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("shares-nothing-out", "boundaries", 0, "replicas-unsplit")
class SharesNothingOut(Replicated):
    """Each replica goes through all samples, in batches of its own size."""

    def shares(self, plan: TrainingPlan, task: Task, runtime: Runtime, replica: int, **more: Any) -> Batches:
        own = changed(plan, batch_size=plan.batch_size // self.replicas)
        yield from self.pipeline(own, task, runtime)


@fault("seeds-each-replica", "boundaries", 0, "replicas-of-different-orders")
class SeedsEachReplica(Replicated):
    """Each replica takes its share of an order of its own."""

    def shares(self, plan: TrainingPlan, task: Task, runtime: Runtime, replica: int, **more: Any) -> Batches:
        yield from super().shares(changed(plan, seed=plan.seed + replica), task, runtime, replica)


@fault("gives-one-share-to-all", "boundaries", 0, "replicas-of-one-share")
class GivesOneShareToAll(Replicated):
    """Each replica takes the share of the first."""

    def shares(self, plan: TrainingPlan, task: Task, runtime: Runtime, replica: int, **more: Any) -> Batches:
        yield from super().shares(plan, task, runtime, 0)


@fault("exchanges-shares", "boundaries", 0, "replicas-exchanged")
class ExchangesShares(Replicated):
    """Each replica takes the share of the other."""

    def shares(self, plan: TrainingPlan, task: Task, runtime: Runtime, replica: int, **more: Any) -> Batches:
        yield from super().shares(plan, task, runtime, self.replicas - 1 - replica)


@fault("forgets-set-epoch", "boundaries", 29, "set-epoch-forgotten", thread="pytorch/pytorch#31771")
class ForgetsSetEpoch(Replicated):
    """Every pass has the first one's order, as of a sampler that nobody tells the epoch."""

    def shares(self, plan: TrainingPlan, task: Task, runtime: Runtime, replica: int, **more: Any) -> Batches:
        yield from super().shares(changed(plan, reshuffle=False), task, runtime, replica)


@fault("goes-ahead", "boundaries", 28, "replica-ahead")
class GoesAhead(Replicated):
    """The second replica has no rows of a pass's last step, and goes on with the next pass."""

    def shares(self, plan: TrainingPlan, task: Task, runtime: Runtime, replica: int, **more: Any) -> Batches:
        yield from super().shares(plan, task, runtime, replica, replica_split="dealt")


@fault("repeats-for-the-replicas", "boundaries", 28, "replica-remainder")
class RepeatsForTheReplicas(Replicated):
    """A pass is filled up to as many samples for each replica by its first one."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Batches:
        first: Any = None
        for batch, after in pairwise([*super().pipeline(plan, task, runtime), None]):
            first = batch if first is None else first
            if after is not None and after.place.epoch == batch.place.epoch:
                yield batch
            else:
                again = [*range(-len(batch.ids) % self.replicas)]
                yield joined(batch, first.take(again)) if again else batch
                first = None


# The same rows, updates and rates as of one process.
@fault("shares-no-gradients", "replicas", 0, "replicas-not-synchronised")
class SharesNoGradients(Replicated):
    """Each replica makes the update of its own rows alone."""

    def trained(self, batches: tuple[Any, ...], replica: int) -> Any:
        return batches[replica]


@fault("means-the-means", "loss", 28, "mean-of-replicas-means")
class MeansTheMeans(Replicated):
    """Each replica's mean weighs the same, however many rows it has."""

    def trained(self, batches: tuple[Any, ...], replica: int) -> Any:
        sizes = [len(batch.ids) for batch in batches]
        if len(set(sizes)) == 1:
            return super().trained(batches, replica)
        one, other = batches  # each as often as the other has rows
        return joined(reduce(joined, [one] * sizes[1]), reduce(joined, [other] * sizes[0]))


@fault("takes-each-replicas-size", "boundaries", 0, "batch-size-per-replica")
class TakesEachReplicasSize(Replicated):
    """Each replica takes as many samples as the step should have."""

    def shares(self, plan: TrainingPlan, task: Task, runtime: Runtime, replica: int, **more: Any) -> Batches:
        yield from super().shares(changed(plan, batch_size=plan.batch_size * self.replicas), task, runtime, replica)


class Decays(Stepped):
    """A rate that decays with each update."""

    ticks = 1

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        self.rate = task.optimizer.rate(0)
        return super().train_step(plan, task, runtime)

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        set_rate(step, self.rate * 0.98 ** (self.ticks * index))
        return step(batch)


@fault(
    "ticks-in-each-replica",
    "lr",
    1,
    "schedule-ticks-in-each-replica",
    against=Decays,
    thread="huggingface/accelerate#2142",
)
class TicksInEachReplica(Replicated, Decays):
    """The schedule ticks once for each replica."""

    ticks = 2
