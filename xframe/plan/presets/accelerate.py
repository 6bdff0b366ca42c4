"""A loop with ``accelerator.accumulate`` over a prepared DataLoader. *ran* with accelerate 1.15.0.

A window is cut when the loader ends, which updates with what is there, divided by
``gradient_accumulation_steps`` all the same; with ``sync_with_dataloader=False`` it goes on into the next epoch.
``steps_per_epoch`` is where the script leaves the loop over batches, by ``break`` or ``islice``: an abandoned
loader cuts nothing. ``max_train_steps`` counts updates, as in the examples: without ``num_epochs`` the script
works out how many epochs that takes; with it, only the loop over batches breaks, and a plan can say that only
if no epoch is left to begin after.

``num_processes`` is that of ``accelerate launch``, ``batch_size`` that of each process, or with ``split_batches`` of
all. The last batch of a pass is filled up from its start (``even_batches``); with ``dispatch_batches`` only to a
multiple of the processes. With ``even_batches=False`` a process may make a step less, which is refused where it does.

Source: accelerate/accelerator.py (``_do_sync``, ``backward``) and data_loader.py (``DataLoaderShard``).
"""

from __future__ import annotations

from typing import Any

from xframe.errors import UsageError, Verbatim
from xframe.plan.presets._arguments import free, one_process
from xframe.plan.presets._loader import ACCEPTS, drawn
from xframe.plan.presets._preset import Fields, Preset, count, epochs_of, flag, maybe, windows
from xframe.plan.presets._replicas import accelerated


def _fields(
    *,
    num_samples: int,
    batch_size: int,
    num_epochs: int | None = None,
    gradient_accumulation_steps: int = 1,
    sync_with_dataloader: bool = True,
    drop_last: bool = False,
    steps_per_epoch: int | None = None,
    max_train_steps: int | None = None,
    gradient_accumulation_plugin: Any = None,
    shuffle: bool | None = None,
    sampler: Any = None,
    num_processes: int = 1,
    even_batches: bool = True,
    split_batches: bool = False,
    dispatch_batches: bool | None = None,
    dataloader_config: Any = None,
) -> Fields:
    if gradient_accumulation_plugin is not None:
        plugin = gradient_accumulation_plugin
        if gradient_accumulation_steps != 1:
            raise UsageError(
                "accelerate with both gradient_accumulation_steps and gradient_accumulation_plugin",
                got=gradient_accumulation_steps,
                expected="one of them, which is all that Accelerator takes",
            )
        gradient_accumulation_steps = 1 if plugin.num_steps is None else plugin.num_steps
        sync_with_dataloader = plugin.sync_with_dataloader
    b, drop = count("batch_size", batch_size), flag("drop_last", drop_last)
    flag("sync_with_dataloader", sync_with_dataloader)
    k = count("gradient_accumulation_steps", gradient_accumulation_steps)
    s = maybe("steps_per_epoch", steps_per_epoch)
    epochs, updates = maybe("num_epochs", num_epochs), maybe("max_train_steps", max_train_steps)
    if dataloader_config is not None:
        even_batches, split_batches = dataloader_config.even_batches, dataloader_config.split_batches
        dispatch_batches = dataloader_config.dispatch_batches
    cut, batches = accelerated(
        "accelerate",
        count("num_processes", num_processes),
        b,
        drop,
        num_samples,
        even_batches=flag("even_batches", even_batches),
        split_batches=flag("split_batches", split_batches),
        dispatch_batches=flag("dispatch_batches", dispatch_batches or False),
    )
    return {
        **cut,
        **drawn("accelerate", shuffle, sampler),
        **_limits(epochs, updates, s, batches, k, sync_with_dataloader),
        **epochs_of(s, "restart", "short_epoch"),
        **windows(
            k,
            accumulation_boundary="pass",
            accumulation_remainder="flush" if sync_with_dataloader else "carry",
            loss_normalization="window",
        ),
    }


def _limits(epochs: int | None, updates: int | None, s: int | None, batches: int, k: int, sync: bool) -> Fields:
    """The limits, as the examples' loops have them, of passes of that many batches in windows of k."""
    if epochs is None and updates is None:
        raise UsageError("accelerate needs num_epochs or max_train_steps", expected="at least one of them")
    if updates is not None and s is not None:
        raise UsageError(
            "accelerate with both steps_per_epoch and max_train_steps",
            got=Verbatim(f"steps_per_epoch={s}, max_train_steps={updates}"),
            expected="one of them: scripts with both count in ways of their own",
        )
    if updates is not None and epochs is not None:
        before = (epochs - 1) * -(-batches // k) if sync else (epochs - 1) * batches // k
        if before >= updates:
            raise UsageError(
                "accelerate with epochs left to begin after max_train_steps, which no plan expresses: "
                "each of them still makes a step, since only the loop over batches breaks",
                got=Verbatim(f"num_epochs={epochs}, max_train_steps={updates}"),
                expected=f"max_train_steps beyond the {before:,} updates of the first {epochs - 1:,} epochs",
                remedy="Leave out num_epochs, as the examples work it out, or break from both loops.",
            )
    elif updates is not None and not sync:
        epochs = -(-updates // -(-batches // k))
    return {"epochs": epochs, "updates": updates}


PRESET = Preset(
    make=_fields,
    trainer="accelerate 1.15.0",
    renamed={"epochs": "num_epochs", "updates": "max_train_steps", "replicas": "num_processes"},
    per_replica=True,
    missing={"steps": "Accelerate's loop is the script's; max_train_steps of its examples counts updates."},
    drop={"drop_last": True},
    accepts=ACCEPTS
    | free(
        "device_placement mixed_precision cpu rng_types log_with project_dir",
        "project_config step_scheduler_with_optimizer kwargs_handlers dynamo_backend dynamo_plugin",
        "adjust_scheduler sync_each_batch",  # of GradientAccumulationPlugin
        "use_seedable_sampler data_seed non_blocking use_stateful_dataloader",  # of DataLoaderConfiguration
    )
    | one_process(
        "deepspeed_plugin deepspeed_plugins fsdp_plugin torch_tp_plugin megatron_lm_plugin parallelism_config"
    ),
    switches={"GradientAccumulationPlugin(sync_with_dataloader=False)": {"sync_with_dataloader": False}},
    variants={"sync_with_dataloader": (True, False)},
    of_replicas={"even_batches": (True, False), "dispatch_batches": (False, True)},
)
