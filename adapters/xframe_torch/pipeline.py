"""The pipeline: a DataLoader whose sampler yields the pass's order, cut by torch into batches of indices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from xframe.order import Order
from xframe.plan import TrainingPlan


class Batch(NamedTuple):
    """Features and targets with the ids that stand beside them."""

    epoch: int
    step_in_epoch: int
    features: torch.Tensor
    targets: torch.Tensor
    ids: torch.Tensor

    def take(self, rows: Any) -> Batch:
        """The same batch with its samples picked by position."""
        return self._replace(features=self.features[rows], targets=self.targets[rows], ids=self.ids[rows])


class Samples(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Features, targets and ids as tensors; indexed by a tensor of many positions at once."""

    def __init__(self, features: NDArray[Any], targets: NDArray[Any]) -> None:
        self.tensors = torch.from_numpy(features), torch.from_numpy(targets), torch.arange(len(features))

    def __getitem__(self, index: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features, targets, ids = self.tensors
        return features[index], targets[index], ids[index]


class OrderSampler(Sampler[torch.Tensor]):
    """The order of one pass, in pieces of ``batch_size``."""

    def __init__(self, order: Order, batch_size: int, drop_last: bool) -> None:
        self.order, self.batch_size, self.drop_last = order, batch_size, drop_last
        self.pass_index = 0

    def __iter__(self) -> Iterator[torch.Tensor]:
        pieces = torch.split(torch.from_numpy(self.order.ids(self.pass_index)), self.batch_size)
        if self.drop_last and len(pieces[-1]) < self.batch_size:
            pieces = pieces[:-1]
        return iter(pieces)


def _identity(batch: Any) -> Any:
    return batch


class Pipeline:
    """Iterates over the batches of a run."""

    def __init__(self, plan: TrainingPlan, features: NDArray[Any], targets: NDArray[Any], *, device: str) -> None:
        self.epochs, self.device = plan.epochs, device
        self.sampler = OrderSampler(plan.sample_order(len(features)), plan.batch_size, plan.remainder == "drop")
        self.loader = DataLoader(
            Samples(features, targets),
            batch_size=None,  # the sampler yields whole batches of indices
            sampler=self.sampler,
            collate_fn=_identity,
            pin_memory=device == "cuda",
            # Its own generator: else every iterator draws a seed from the global one, which the bare run would not.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Batch]:
        for epoch in count() if self.epochs is None else range(self.epochs):
            self.sampler.pass_index = epoch
            for i, tensors in enumerate(self.loader):
                yield Batch(epoch, i, *(tensor.to(self.device, non_blocking=True) for tensor in tensors))
