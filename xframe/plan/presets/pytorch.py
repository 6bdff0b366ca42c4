"""The tutorials' loop over a DataLoader. *ran* with torch 2.13.0.

``leftover`` says how the script treats steps that fill no window at the end of an epoch. ``flush``: it updates at
the loader's last batch too. ``zero``: it zeroes the gradients as each epoch begins. ``carry``: it counts over
epochs. ``leak``: ``if (i + 1) % k == 0: optimizer.step(); optimizer.zero_grad()``, the shortest and so the most
common: the count starts again and the gradients stay, to enter the next epoch's first update. ``normalization``
is ``window`` where the loss is divided by k before ``backward``. ``max_steps`` counts batches; without ``epochs``
passes repeat until then.

With ``world_size``, or ``num_replicas``, of several processes under ``DistributedDataParallel`` the loader's sampler
is a ``DistributedSampler``: ``shuffle`` is that sampler's, ``sampler_drop_last`` its ``drop_last``, and ``batch_size``
that of each process. Every process deals itself each R-th sample, from passes filled up to a multiple of R; gradients
are means over the processes' own. ``sampler=None`` is refused there: each process then trains on all samples.

Source: torch/utils/data/dataloader.py and distributed.py; the loops are tests/trainers/torch_loop.py.
"""

from __future__ import annotations

from typing import Any, Literal

from xframe.errors import UsageError
from xframe.plan.presets._arguments import free, order_of, unset
from xframe.plan.presets._loader import ACCEPTS, UNSAID, drawn, read_sampler
from xframe.plan.presets._preset import Fields, Preset, choice, count, flag, maybe, windows
from xframe.plan.presets._replicas import sampled


def _fields(
    *,
    num_samples: int,
    batch_size: int = 1,
    epochs: int | None = None,
    gradient_accumulation_steps: int = 1,
    leftover: Literal["flush", "zero", "carry", "leak"] = "leak",
    normalization: Literal["window", "sum"] = "window",
    drop_last: bool = False,
    max_steps: int | None = None,
    shuffle: bool | None = None,
    sampler: Any = UNSAID,
    world_size: int | None = None,
    num_replicas: int | None = None,
    sampler_drop_last: bool = False,
) -> Fields:
    b, drop = count("batch_size", batch_size), flag("drop_last", drop_last)
    dealing = read_sampler("pytorch", sampler, world_size, num_replicas, flag("sampler_drop_last", sampler_drop_last))
    if epochs is None and max_steps is None:
        raise UsageError("pytorch needs epochs or max_steps", expected="at least one of them")
    choice("leftover", leftover, ("flush", "zero", "carry", "leak"))
    choice("normalization", normalization, ("window", "sum"))
    cut, _ = sampled(dealing.number, b, drop, num_samples, dealing.drops)
    return {
        **cut,
        **(drawn("pytorch", shuffle, sampler) if dealing.shuffle is None else order_of("pytorch", dealing.shuffle)),
        "epochs": maybe("epochs", epochs),
        "steps": maybe("max_steps", max_steps),
        **windows(
            count("gradient_accumulation_steps", gradient_accumulation_steps),
            accumulation_boundary="epoch",
            accumulation_remainder="drop" if leftover == "zero" else leftover,
            accumulation_at_end="drop",
            loss_normalization=normalization,
        ),
    }


PRESET = Preset(
    make=_fields,
    trainer="torch 2.13.0",
    renamed={"steps": "max_steps", "replicas": "world_size"},
    per_replica=True,
    missing=dict.fromkeys(("updates", "steps_per_epoch"), "The loop is the script's: here it is whole epochs."),
    drop={"drop_last": True},
    accepts=ACCEPTS
    | free(
        "backend init_method rank store group_name pg_options device_id",  # init_process_group
        "module device_ids output_device dim broadcast_buffers init_sync process_group bucket_cap_mb",
        "find_unused_parameters check_reduction gradient_as_bucket_view static_graph delay_all_reduce_named_params",
        "param_to_hook_all_reduce mixed_precision device_mesh skip_all_reduce_unused_params",
        "bucket_cap_mb_list batched_grad_copy forward_sync_buffers",
    )
    | unset("join", "processes that are out of samples make no step, which no plan expresses"),
    switches={
        "a last update at the end of each epoch": {"leftover": "flush"},
        "zero_grad() as each epoch begins": {"leftover": "zero"},
        "a step counter that goes on over epochs": {"leftover": "carry"},
    },
    variants={"leftover": ("leak", "flush", "zero", "carry"), "normalization": ("window", "sum")},
    of_replicas={"sampler_drop_last": (False, True)},
)
