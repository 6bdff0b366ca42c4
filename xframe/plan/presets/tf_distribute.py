"""A loop of one's own over ``strategy.experimental_distribute_dataset``. *read* with tensorflow 2.21.0.

``batch_size`` is that of the data set, which all replicas share, a slice each; under ``auto_shard_policy`` OFF on the
devices of one process a full share each. ``loss`` is what a replica's sum over its rows is divided by before gradients
are added up. ``rows``: the rows of all replicas in the step. ``replicas``: its own rows and the number of replicas, as
``compute_average_loss`` does by itself. ``global_batch_size``: that number, as ``compute_average_loss`` does with it,
by which a short batch would weigh less than its rows: no plan expresses that. Which samples each replica has was seen
under MirroredStrategy, see tests/trainers/dealing.py.

Source: tensorflow/python/distribute/input_lib.py, python/ops/nn_impl_distribute.py and
core/grappler/optimizers/data/auto_shard.cc.
"""

from __future__ import annotations

from typing import Any, Literal

from xframe.errors import UsageError, Verbatim
from xframe.plan.presets._arguments import free
from xframe.plan.presets._preset import Fields, Preset, batches_of_pass, choice, count, flag, loader, maybe
from xframe.plan.presets._replicas import distributed


def _fields(
    *,
    num_samples: int,
    batch_size: int,
    epochs: int,
    drop_remainder: bool = False,
    strategy: Any = None,
    num_replicas_in_sync: int | None = None,
    auto_shard_policy: Any = "AUTO",
    loss: Literal["rows", "replicas", "global_batch_size"] = "rows",
) -> Fields:
    b, drop = count("batch_size", batch_size), flag("drop_remainder", drop_remainder)
    choice("loss", loss, ("rows", "replicas", "global_batch_size"))
    batches_of_pass(num_samples, b, drop)
    if loss == "global_batch_size" and not drop and num_samples % b:
        raise UsageError(
            "tf_distribute with a loss divided by global_batch_size, of which a short batch has fewer rows: no plan "
            "expresses that",
            got=Verbatim(f"{num_samples % b:,} rows in a batch of {b:,}"),
            expected="drop_remainder, or a batch_size that divides the samples",
        )
    number = maybe("num_replicas_in_sync", num_replicas_in_sync)
    shared = distributed("tf_distribute", strategy, number, auto_shard_policy, b, workers=True)
    if shared and loss != "replicas":
        shared["replica_gradients"] = "rows"
    return {**loader(b, drop), "epochs": count("epochs", epochs), **shared}


PRESET = Preset(
    make=_fields,
    trainer="tensorflow 2.21.0",
    renamed={"replicas": "num_replicas_in_sync"},
    missing=dict.fromkeys(
        ("steps", "updates", "steps_per_epoch", "gradient_accumulation_steps"),
        "The loop is the script's: here it is whole epochs, with an update a step.",
    ),
    drop={"drop_remainder": True},
    evidence="read",
    of_replicas={"loss": ("rows", "replicas")},
    accepts=free("num_parallel_calls deterministic name"),
)
