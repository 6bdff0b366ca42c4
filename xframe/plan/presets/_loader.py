"""What the trainers on torch share: the arguments of ``torch.utils.data.DataLoader``."""

from __future__ import annotations

from typing import Any

from xframe.errors import UsageError
from xframe.plan.presets._arguments import Only, free, order_of, unset
from xframe.plan.presets._preset import Fields

_SAMPLERS = {"RandomSampler": "shuffle", "SequentialSampler": "sequential"}
_OTHER = "which samples a sampler of one's own draws, and how many, is not known"

ACCEPTS: dict[str, Only | None] = free(
    "dataset num_workers collate_fn pin_memory timeout worker_init_fn multiprocessing_context generator",
    "prefetch_factor persistent_workers pin_memory_device in_order",
) | unset("batch_sampler", _OTHER, "Give batch_size and drop_last, if that is how it cuts batches.")


def drawn(trainer: str, shuffle: Any, sampler: Any) -> Fields:
    """The order of a loader's ``shuffle`` and ``sampler``: the plan's own where both are None."""
    name = type(sampler).__name__
    if sampler is None:
        return order_of(trainer, shuffle)
    if name not in _SAMPLERS or getattr(sampler, "replacement", False) or getattr(sampler, "_num_samples", None):
        raise UsageError(f"{trainer} with the sampler {name}: {_OTHER}", expected="a RandomSampler over all samples")
    return {"order": _SAMPLERS[name]}
