"""Single batches and samples: lost, repeated, swapped, or never to be trained on; shards and resumed runs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from xframe.plan.training_plan import TrainingPlan
from xframe.testing.faults.bases import NUM_VALIDATION, Batches, Faulty, Reorders, placed, with_validation, without
from xframe.testing.faults.declaring import fault

if TYPE_CHECKING:
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("drops-a-batch", "boundaries", 3, "batch-lost", thread="pytorch/pytorch#12474")
def drops_a_batch(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The batch of step 3 is lost."""
    return (batch for i, batch in enumerate(batches) if i != 3)


@fault("loses-the-first-batch", "boundaries", 0, "batch-lost")
def loses_the_first_batch(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """A batch is drawn before training, to look at its shape, and is gone."""
    return itertools.islice(batches, 1, None)


@fault("repeats-a-batch", "boundaries", 4, "batch-repeated")
def repeats_a_batch(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The batch of step 3 is trained on again, as by a retry after an error that came too late."""
    for i, batch in enumerate(batches):
        yield batch
        if i == 3:
            yield batch


@fault("swaps-batches", "boundaries", 3, "batches-swapped")
def swaps_batches(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The batches of steps 3 and 4 change places: of two workers, the second was faster."""
    held: list[Any] = []
    for i, batch in enumerate(batches):
        if i == 3:
            held.append(batch)
        elif i == 4:
            yield batch._replace(place=held[0].place)
            yield held[0]._replace(place=batch.place)
        else:
            yield batch


@fault("swaps-across-batches", "boundaries", 1, "samples-swapped")
def swaps_across_batches(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """Two samples of the first pass, of steps 1 and 2, change places."""
    ids, b = order.ids(pass_index), plan.batch_size
    if pass_index == 0:
        ids[[b + 2, 2 * b + 2]] = ids[[2 * b + 2, b + 2]]
    return ids


@fault("repeats-a-sample", "boundaries", 2, "sample-repeated")
def repeats_a_sample(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """Step 2 has a sample of step 1 in place of its own."""
    ids, b = order.ids(pass_index), plan.batch_size
    if pass_index == 0:
        ids[2 * b + 2] = ids[b + 2]
    return ids


@fault("loses-a-sample", "boundaries", 3, "sample-lost", thread="pytorch/pytorch#12474")
def loses_a_sample(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The batch of step 3 is one sample short."""
    for i, batch in enumerate(batches):
        yield batch.take(list(range(len(batch.ids) - 1))) if i == 3 else batch


@fault("filters-a-sample", "boundaries", 3, "sample-lost")
class FiltersASample(Reorders):
    """A sample in the fourth batch fails to load and is passed over; those after it move up by one."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        import numpy as np

        ids = order.ids(pass_index)
        # The pipelines cut a pass of a known length: its last place repeats the one before, and ``pipeline`` takes it.
        return ids if pass_index else np.append(np.delete(ids, 3 * plan.batch_size + 7), ids[-1])

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Batches:
        first = True
        for batch in super().pipeline(plan, task, runtime):
            cut = first and batch.place.ends_pass
            first = first and not cut
            yield batch.take(list(range(len(batch.ids) - 1))) if cut else batch


@fault("trains-on-a-subset", "boundaries", 0, "subset")
class TrainsOnASubset(Faulty):
    """A split meant for something else leaves a tenth of the samples out."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return super().pipeline(plan, without(task, task.num_samples // 10), runtime)


@fault("trains-one-rank", "boundaries", 0, "one-shard")
def trains_one_rank(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """Of each batch only every second sample is trained on, the share of one rank of two that runs alone."""
    return (batch.take(list(range(0, len(batch.ids), 2))) for batch in batches)


@fault("draws-from-all-data", "boundaries", 0, "validation-in-training")
class DrawsFromAllData(Faulty):
    """The split is forgotten: the validation samples are drawn with the training samples."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return super().pipeline(plan, with_validation(task), runtime)


@fault("trains-while-validating", "boundaries", 29, "validation-in-training")
class TrainsWhileValidating(Faulty):
    """At the end of a pass a validation batch goes through the training step."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Batches:
        larger = with_validation(task)
        at_once = TrainingPlan(batch_size=larger.num_samples, epochs=1, order="sequential")
        (whole,) = super().pipeline(at_once, larger, runtime)
        validation = whole.take(range(task.num_samples, task.num_samples + min(plan.batch_size, NUM_VALIDATION)))
        for batch in super().pipeline(plan, task, runtime):
            place = batch.place
            if not place.ends_pass:
                yield batch
                continue
            yield placed(batch, last=False)
            yield validation._replace(place=place._replace(step_in_epoch=place.step_in_epoch + 1))


@fault("each-worker-reads-all", "boundaries", 1, "shard-repeated", thread="huggingface/datasets#3423")
def each_worker_reads_all(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """Two workers read the same iterable data, neither its share only: every batch comes twice."""
    for batch in batches:
        inside = 2 * batch.place.step_in_epoch
        yield placed(batch, step_in_epoch=inside, ends_pass=False, ends_epoch=False, last=False)
        yield placed(batch, step_in_epoch=inside + 1)


@fault("reads-the-others-shard", "boundaries", 0, "shard-repeated")
def reads_the_others_shard(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """Both of two replicas take rank 0's share of a strided sampler: half of the samples twice, half never."""
    ids = order.ids(pass_index)
    ids[1::2] = ids[: len(ids) - len(ids) % 2 : 2]
    return ids


@fault("restarts-after-resuming", "boundaries", 10, "resumed-at-wrong-place", thread="huggingface/transformers#5605")
class RestartsAfterResuming(Faulty):
    """Resumed after ten steps, it begins the pass again."""

    skipped = 0

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Batches:
        yield from itertools.islice(super().pipeline(plan, task, runtime), 10)
        yield from itertools.islice(super().pipeline(plan, task, runtime), self.skipped, None)


@fault("skips-twice-after-resuming", "boundaries", 10, "resumed-at-wrong-place", thread="huggingface/accelerate#1451")
class SkipsTwiceAfterResuming(RestartsAfterResuming):
    """Resumed after ten steps, the batches that were trained on are skipped twice."""

    skipped = 20
