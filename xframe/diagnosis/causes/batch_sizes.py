"""Batches of a different size."""

from __future__ import annotations

from collections.abc import Iterator

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Prediction, settings
from xframe.plan.training_plan import TrainingPlan


class BatchSizePerReplica(Cause):
    """Its batches are a whole multiple or fraction: global size and size per replica confused."""

    name = "batch-size-per-replica"
    rank = 70
    cuts_passes = True
    fixes = settings(
        torch="DataLoader(batch_size=...) is per process under DistributedDataParallel: global {b} / world size",
        tensorflow="Dataset.batch() is global under tf.distribute: per replica x num_replicas_in_sync = {b}",
        transformers="per_device_train_batch_size x processes = {b}",
        accelerate="Accelerator(split_batches=True) if the loader's batch size {b} is the global one",
        plan="batch_size = {observed}",
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        b, size = plan.batch_size, _size(case)
        if size < 1 or size == b or max(b, size) % min(b, size):
            return
        times = f"{size // b:,} x {b:,}" if size > b else f"{b:,} / {b // size:,}"
        why = f"{size:,} = {times}, as where a size per replica is taken for the global one, or back"
        yield Prediction({"batch_size": size}, f"{_takes(case, b, size)} ({why})", size)


class BatchSize(Cause):
    """Its batches have a different size."""

    name = "batch-size"
    rank = 80
    cuts_passes = True
    fixes = settings(
        torch="DataLoader(..., batch_size={b})",
        tensorflow="Dataset.batch({b}), or Model.fit(batch_size={b})",
        plan="batch_size = {observed}",
    )

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        b, size = plan.batch_size, _size(case)
        if size >= 1 and size != b:
            yield Prediction({"batch_size": size}, _takes(case, b, size), size)


def _size(case: Case) -> int:
    return int(case.candidate.batch_size.max())


def _takes(case: Case, b: int, size: int) -> str:
    return f"takes batches of {size:,}; {case.other} has {b:,}"
