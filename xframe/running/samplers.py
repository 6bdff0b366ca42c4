"""One order for two scripts: the plan's, for a user's own DataLoader and a user's own tf.data.

Both begin the next pass each time they are iterated over, as a shuffling loader does; how the samples
are then batched is the script's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from xframe.errors import UsageError, Verbatim, WorkerError
from xframe.plan.training_plan import TrainingPlan

if TYPE_CHECKING:
    import tensorflow as tf

    from xframe.plan.order import Order

_BLOCK = 1 << 16  # ids made at once


def _order(plan: TrainingPlan, num_samples: int) -> Order:
    if not isinstance(plan, TrainingPlan):
        raise UsageError("an order is a plan's", got=plan, expected="a TrainingPlan first, then the number of samples")
    return plan.sample_order(num_samples)


class PlanSampler:
    """The order of one pass after the other, as a sampler for ``torch.utils.data.DataLoader``."""

    def __init__(self, plan: TrainingPlan, num_samples: int) -> None:
        self._order = _order(plan, num_samples)
        self.num_samples = self._order.num_samples
        self.next_pass = 0  # that the next iteration walks through

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration walk through that pass, as ``DistributedSampler`` has it."""
        self.next_pass = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        pass_index, self.next_pass = self.next_pass, self.next_pass + 1
        return (i for block in self._blocks(pass_index) for i in block)

    def _blocks(self, pass_index: int) -> Iterator[list[int]]:
        for start in range(0, self.num_samples, _BLOCK):
            end = min(start + _BLOCK, self.num_samples)
            yield self._order.ids(pass_index, np.arange(start, end, dtype=np.int64)).tolist()


def sampler(plan: TrainingPlan, num_samples: int) -> PlanSampler:
    """A sampler for a DataLoader: ``DataLoader(data, batch_size=64, sampler=xframe.sampler(plan, len(data)))``.

    It yields sample ids, each once a pass, and begins the plan's next pass with each iteration.

    Raises:
        UsageError: ``plan`` is no plan, or ``num_samples`` no count.
    """
    return PlanSampler(plan, num_samples)


def index_dataset(plan: TrainingPlan, num_samples: int) -> tf.data.Dataset:
    """A tf.data.Dataset of sample ids, int64 scalars: ``.map`` looks the samples up, ``.batch`` batches them.

    It begins the plan's next pass with each iteration, one that only looks at the first elements included, and
    with each round of ``.repeat()``.

    Raises:
        UsageError: ``plan`` is no plan, or ``num_samples`` no count.
        WorkerError: no installed adapter makes one, or its framework is not there.
    """
    from xframe.running import registry

    _order(plan, num_samples)
    for name in registry.available():
        adapter = registry.load(name)
        make: Any = getattr(adapter, "index_dataset", None)
        if make is not None:
            try:
                return make(plan, num_samples)
            except ImportError as error:
                raise WorkerError(
                    f"adapter {name!r} makes no tf.data.Dataset without its framework",
                    got=Verbatim(error),
                    remedy=f"Install it: {adapter.install}",
                ) from None
    raise WorkerError(
        "no adapter makes a tf.data.Dataset", expected="the tensorflow adapter, which is part of xframe-toolkit"
    )
