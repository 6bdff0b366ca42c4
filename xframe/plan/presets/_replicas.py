"""How trainers share out samples over processes or devices, each in its own argument's words.

Where a trainer's batch size is that of each process, the plan's ``batch_size`` is that of all of them. The gradient is
the mean of the replicas' own unless stated otherwise.
"""

from __future__ import annotations

from typing import Any

from xframe.errors import UsageError, Verbatim
from xframe.plan.presets._preset import Fields, batches_of_pass, loader

ALL_SAMPLES = "each process then trains on all samples, which no plan expresses"


def replicas(number: int, split: str, remainder: str = "uneven", gradients: str = "replicas") -> Fields:
    """A plan's fields of replicas, where there are several."""
    if number == 1:
        return {}
    return {
        "replicas": number,
        "replica_split": split,
        "replica_remainder": remainder,
        "replica_gradients": gradients,
    }


def sampled(number: int, each: int, drop: bool, num_samples: int, sampler_drops: bool = False) -> tuple[Fields, int]:
    """Of a ``DistributedSampler`` under a loader in batches of ``each``: a plan's fields, and the batches of a pass.

    Args:
        drop, sampler_drops: ``drop_last`` of the loader, and of the sampler.

    Raises:
        UsageError: no batch is left.
    """
    rest = num_samples % number
    rows = num_samples - rest if sampler_drops else num_samples + (-num_samples % number)
    if not rows:
        raise UsageError(
            "a DistributedSampler with drop_last leaves no sample: there are fewer than replicas",
            got=num_samples,
            expected=f"at least {number:,} samples",
        )
    batches = batches_of_pass(rows, number * each, drop)
    dealt = replicas(number, "interleaved", "drop" if sampler_drops else "pad")
    return {**loader(number * each, drop), **dealt}, batches


def accelerated(
    trainer: str,
    number: int,
    batch_size: int,
    drop: bool,
    num_samples: int,
    *,
    even_batches: bool,
    split_batches: bool,
    dispatch_batches: bool,
    gradients: str = "replicas",
) -> tuple[Fields, int]:
    """The same of a loader that Accelerate prepared, by the words of its ``DataLoaderConfiguration``."""
    if split_batches and batch_size % number:
        raise UsageError(
            f"{trainer} with split_batches, which refuses a batch size that the processes do not divide",
            got=batch_size,
            expected=f"a multiple of {number:,}",
        )
    total = batch_size if split_batches else number * batch_size
    batches = batches_of_pass(num_samples, total, drop)
    fields = loader(total, drop)
    if number == 1 or drop:
        return {**fields, **replicas(number, "slices", gradients=gradients)}, batches
    if dispatch_batches:
        if 2 * num_samples < number:
            raise UsageError(
                f"{trainer} with dispatch_batches: some processes are given no sample, which no plan expresses",
                got=num_samples,
                expected=f"at least {-(-number // 2):,} samples",
            )
        return {**fields, **replicas(number, "slices", "pad", gradients)}, batches
    if even_batches:
        return {**fields, "remainder": "pad", **replicas(number, "slices", gradients=gradients)}, batches
    rest, each = num_samples % total, total // number
    if 0 < rest <= (number - 1) * each:
        raise UsageError(
            f"{trainer} with even_batches=False: a process makes a step less than the others, which no plan expresses",
            got=Verbatim(f"{rest:,} samples left for {number:,} processes, {each:,} each from the first one on"),
            expected=f"none left, or more than {(number - 1) * each:,}",
            remedy="Leave out even_batches=False, or drop the last batch.",
        )
    return {**fields, **replicas(number, "dealt", gradients=gradients)}, batches


_WORKERS = ("MultiWorkerMirroredStrategy", "CollectiveAllReduceStrategy", "CollectiveAllReduceStrategyV1")
_MIRRORED = ("MirroredStrategy", "MirroredStrategyV1")
_ONE = ("OneDeviceStrategy", "OneDeviceStrategyV1")  # that have one replica
_POLICIES = ("AUTO", "DATA", "OFF", "FILE", "HINT")


def distributed(
    trainer: str, strategy: Any, number: int | None, policy: Any, batch_size: int, workers: bool = False
) -> Fields:
    """A plan's fields of replicas under a strategy of tf.distribute that shares out global batches.

    Args:
        strategy: as it is, or its name; a name does not say of how many replicas.
        number: ``num_replicas_in_sync``; None: the strategy's, or one without any.
        policy: ``auto_shard_policy``, a word or TensorFlow's own.
        workers: the trainer runs under ``MultiWorkerMirroredStrategy`` too.
    """
    name = strategy if isinstance(strategy, str) else type(strategy).__name__ if strategy is not None else ""
    own = getattr(strategy, "num_replicas_in_sync", None)
    if own is not None and number is not None and own != number:
        raise UsageError(f"{trainer} with a strategy of other replicas", got=number, expected=str(own))
    number = number or own or (1 if name in ("", *_ONE) else None)
    if number == 1 and (own == 1 or name in ("", *_ONE, *_WORKERS, *_MIRRORED)):
        return {}
    several = name in _WORKERS
    if several and not workers:
        raise UsageError(
            f"{trainer} under {name}, where its fit fails before the first step",
            got=Verbatim(name),
            expected="MirroredStrategy",
            remedy="Use a loop of your own over a distributed data set.",
        )
    if name and not several and name not in _MIRRORED:
        raise UsageError(f"{trainer} under {name}: how it shares out samples is not known", expected="MirroredStrategy")
    if number is None:
        raise UsageError(
            f"{trainer} under {name}, and of how many replicas is not said",
            expected="num_replicas_in_sync, the number of its replicas",
        )
    word = str(getattr(policy, "name", policy)).upper().rpartition(".")[2]
    if word not in _POLICIES or word in ("FILE", "HINT") or (word == "OFF" and (several or batch_size % number)):
        raise UsageError(
            f"{trainer} with auto_shard_policy {word}: {_SHARDED.get(word, _SHARDED['HINT'])}, which no plan expresses",
            got=policy,
            expected="AUTO of data that are no files, or DATA",
        )
    return replicas(number, "dealt" if word == "OFF" else "slices")


_SHARDED = {
    "FILE": "each worker reads files of its own, and goes on with steps of no rows where they are over",
    "OFF": "workers walk all samples each, and devices have batches of different sizes",
    "HINT": "what each worker reads is the script's",
}
