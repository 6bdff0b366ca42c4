"""What the trainers on torch share: the arguments of ``torch.utils.data.DataLoader``."""

from __future__ import annotations

from typing import Any, NamedTuple

from xframe.errors import UsageError, Verbatim
from xframe.plan.presets._arguments import Only, free, order_of, unset
from xframe.plan.presets._preset import Fields, count
from xframe.plan.presets._replicas import ALL_SAMPLES

_SAMPLERS = {"RandomSampler": "shuffle", "SequentialSampler": "sequential"}
UNSAID: Any = object()  # stands for a sampler that is not spoken of: in several processes a DistributedSampler
_OTHER = "which samples a sampler of one's own draws, and how many, is not known"

ACCEPTS: dict[str, Only | None] = free(
    "dataset num_workers collate_fn pin_memory timeout worker_init_fn multiprocessing_context generator",
    "prefetch_factor persistent_workers pin_memory_device in_order",
) | unset("batch_sampler", _OTHER, "Give batch_size and drop_last, if that is how it cuts batches.")


class Dealing(NamedTuple):
    """What a script says of several processes and their sampler."""

    number: int  # of processes
    drops: bool  # ``drop_last`` of the sampler
    shuffle: bool | None  # of the sampler; None: no DistributedSampler is given as it is


def read_sampler(trainer: str, sampler: Any, world_size: Any, num_replicas: Any, drops: bool) -> Dealing:
    """Of ``init_process_group``'s and ``DistributedSampler``'s arguments, or of a ``DistributedSampler`` as it is."""
    ours = type(sampler).__name__ == "DistributedSampler"
    given = {"world_size": world_size, "num_replicas": num_replicas}
    if ours:
        given, drops = given | {"the sampler's num_replicas": sampler.num_replicas}, bool(sampler.drop_last)
    numbers = {count(name, number) for name, number in given.items() if number is not None}
    if len(numbers) > 1:
        raise UsageError(
            f"{trainer} with processes that disagree on how many they are",
            got=Verbatim(", ".join(f"{name} {number}" for name, number in given.items() if number is not None)),
            expected="one number",
        )
    number = numbers.pop() if numbers else 1
    if number > 1 and sampler is not UNSAID and not ours:
        which = "no sampler" if sampler is None else f"the sampler {type(sampler).__name__}"
        raise UsageError(
            f"{trainer} with {number:,} processes and {which}: {ALL_SAMPLES}",
            expected="a DistributedSampler",
            remedy="Leave sampler out where the loader has a DistributedSampler: that is what is taken for granted.",
        )
    return Dealing(number, drops and number > 1, bool(sampler.shuffle) if ours else None)


def drawn(trainer: str, shuffle: Any, sampler: Any) -> Fields:
    """The order of a loader's ``shuffle`` and ``sampler``: the plan's own where neither says one."""
    name = type(sampler).__name__
    if sampler is None or sampler is UNSAID:
        return order_of(trainer, shuffle)
    if name not in _SAMPLERS or getattr(sampler, "replacement", False) or getattr(sampler, "_num_samples", None):
        raise UsageError(f"{trainer} with the sampler {name}: {_OTHER}", expected="a RandomSampler over all samples")
    return {"order": _SAMPLERS[name]}
