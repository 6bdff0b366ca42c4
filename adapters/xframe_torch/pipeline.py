"""The pipeline: a DataLoader whose sampler yields the pass's order, cut by torch into batches of indices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from xframe.plan.replicas import rows_of_pass
from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Batches
from xframe.running.runtime import Runtime
from xframe.running.steering import pass_indices
from xframe.tasks.data import Samples

MOST_BYTES = 1 << 18  # of features that are gathered together: they should stay in the processor's cache
ALIGNMENT = 64  # bytes: where torch's allocator lets a tensor begin


class InMemory(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Features, targets and ids as tensors; indexed by a tensor of many positions at once."""

    def __init__(self, features: NDArray[Any], targets: NDArray[Any], precision: str) -> None:
        self.tensors = precise(features, precision), precise(targets, precision), torch.arange(len(features))

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features, targets, ids = self.tensors
        return features[index], targets[index], ids[index]


class Read(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Samples that are read when they are asked for."""

    def __init__(self, samples: Samples, precision: str) -> None:
        self.samples, self.precision = samples, precision

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features, targets = self.samples.take(index.numpy())
        return precise(features, self.precision), precise(targets, self.precision), index


class Gathered(Dataset[tuple[tuple[torch.Tensor, ...], ...]]):
    """Samples in batches; indexed by the batches' positions, gathered together and then cut, which costs less."""

    def __init__(self, samples: Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> None:
        self.samples = samples

    def __getitem__(self, indices: list[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], ...]:
        sizes = [len(index) for index in indices]
        whole = self.samples[torch.cat(indices)]
        return tuple(zip(*(map(aligned, torch.split(values, sizes)) for values in whole), strict=True))


def aligned(values: torch.Tensor) -> torch.Tensor:
    """A batch that begins where a tensor of its own would: a product's last bits can depend on where its memory begins.

    Thus they do not depend on what was gathered with a batch, which is something else where a run goes on.
    """
    return values if values.data_ptr() % ALIGNMENT == 0 else values.clone()


class OrderSampler(Sampler[list[torch.Tensor]]):
    """The passes' orders cut into batches of indices by the plan's remainder policy.

    It yields several of them together, up to as many as have at most ``most_rows`` rows: one at first and then twice as
    many each time, so that of a short run not much more is gathered than it trains on.
    """

    def __init__(self, plan: TrainingPlan, num_samples: int, most_rows: int) -> None:
        self.plan, self.order, self.most = plan, plan.sample_order(num_samples), max(1, most_rows // plan.batch_size)
        self.num_samples = num_samples
        self.begins = (0, 0)  # the pass that the next iteration begins with, and the offset in it

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        batches, together = self.batches(), 1
        while indices := list(islice(batches, together)):
            yield indices
            together = min(2 * together, self.most)

    def batches(self) -> Iterator[torch.Tensor]:
        """One by one, without end where epochs are not passes."""
        plan, size = self.plan, self.plan.batch_size
        first_pass, offset = self.begins
        rows = rows_of_pass(plan, self.num_samples)
        rest = torch.zeros(0, dtype=torch.int64)
        for pass_index in pass_indices(plan, first_pass):
            ids = order = torch.from_numpy(self.order.ids(pass_index))
            if rows != len(order):
                ids = order[torch.arange(rows) % len(order)]
            *batches, rest = torch.split(torch.cat([rest, ids[offset:]]), size)
            offset = 0
            yield from batches
            short = len(rest) < size
            if plan.remainder == "pad" and short:
                begin = rows - len(rest)
                yield order[torch.arange(begin, begin + size) % len(order)]
            elif plan.remainder in ("keep", "error") or not short:
                yield rest
            if plan.remainder != "carry" or not short:
                rest = rest[:0]
        if len(rest):
            yield rest


def identity(batch: Any) -> Any:
    """The batch, as it is."""
    return batch


def precise(values: NDArray[Any], precision: str) -> torch.Tensor:
    """An array as a tensor of the run's precision, which NumPy may not have."""
    tensor = torch.from_numpy(values)
    return tensor.bfloat16() if precision == "bfloat16" and tensor.is_floating_point() else tensor


class Pipeline(Batches):
    """Iterates over the batches of a run."""

    def __init__(self, plan: TrainingPlan, samples: Samples, runtime: Runtime) -> None:
        super().__init__(plan, len(samples))
        self.device, self.replica = runtime.device, runtime.replica
        held, precision = samples.arrays, runtime.precision
        data = Read(samples, precision) if held is None else InMemory(*held, precision)
        # What is read is read batch by batch, so that workers share the work and little is read ahead.
        most_rows = 0 if held is None else MOST_BYTES // max(1, held[0][0].nbytes)
        self.sampler = OrderSampler(plan, len(samples), most_rows)
        self.loader = DataLoader(
            self.gathered(data),
            batch_size=None,  # the sampler yields whole batches of indices
            sampler=self.sampler,
            collate_fn=identity,
            pin_memory=runtime.device == "cuda",
            num_workers=runtime.workers,
            persistent_workers=runtime.workers > 0,
            # Its own generator: else every iterator draws a seed from the global one, which the bare run would not.
            generator=torch.Generator(),
        )

    def gathered(self, data: Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> Gathered:
        """What the loader takes its batches from."""
        return Gathered(data)

    def begin(self, first_pass: int, offset: int) -> Iterator[tuple[Any, ...]]:
        self.sampler.begins = first_pass, offset
        batches = chain.from_iterable(self.loader)
        if self.device == "cpu":
            return batches
        return (tuple(self._moved(each) for each in batch) for batch in batches)

    def _moved(self, value: Any) -> Any:
        return value.to(self.device, non_blocking=True) if isinstance(value, torch.Tensor) else value
