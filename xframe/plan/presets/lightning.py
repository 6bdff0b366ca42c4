"""``lightning.Trainer.fit`` over a DataLoader. *ran* with lightning 2.6.6.

``max_steps`` counts updates, so the plan's limit is ``updates``; without it and ``max_epochs``, 1,000 epochs.
Windows are cut at each epoch's end, which updates with what is there; the gradient is divided by
``accumulate_grad_batches`` all the same. Each epoch restarts the loader; a ``limit_train_batches`` beyond the
loader's length changes nothing, a float is a share of the loader's batches, rounded down. ``data`` is
``iterable`` for a data set without a length: Lightning then does not see the end that a larger limit leaves
to the data, and drops the window. ``overfit_batches`` is such a limit, and in stored order; ``fast_dev_run`` is one
epoch of that many batches and updates. ``EarlyStopping`` after validations of whole epochs is a plan's; its
``check_finite`` stops where a plan goes on.

Several ``devices`` times ``num_nodes`` under DDP get a ``DistributedSampler`` put under the loader, which shuffles
whatever the loader does, but for ``overfit_batches``; an own one stays. ``batch_size`` is that of each process.
Without ``devices`` one is meant; ``devices="auto"``, Lightning's default, and -1 take what a machine has, and are
refused: how many these are is to be given.

Source: lightning/pytorch/loops/training_epoch_loop.py, fit_loop.py, utilities.py, fetchers.py, and
trainer/connectors/data_connector.py (``_requires_distributed_sampler``, ``_get_distributed_sampler``).
"""

from __future__ import annotations

import math
from typing import Any, Literal

from xframe.errors import UsageError, Verbatim, counted
from xframe.plan.presets._arguments import (
    RESUMED,
    Callbacks,
    free,
    order_of,
    require_plain,
    stopping,
    unset,
)
from xframe.plan.presets._loader import ACCEPTS, Dealing, drawn, read_sampler
from xframe.plan.presets._preset import Fields, Preset, choice, count, epochs_of, flag, windows
from xframe.plan.presets._replicas import ALL_SAMPLES, sampled


def _fields(
    *,
    num_samples: int,
    batch_size: int,
    max_epochs: int | None = None,
    max_steps: int = -1,
    accumulate_grad_batches: int = 1,
    limit_train_batches: float | None = None,
    drop_last: bool = False,
    data: Literal["loader", "iterable"] = "loader",
    fast_dev_run: int | bool = False,
    overfit_batches: float = 0.0,
    check_val_every_n_epoch: int | None = 1,
    val_check_interval: Any = None,
    min_epochs: int | None = None,
    min_steps: int | None = None,
    callbacks: Any = None,
    shuffle: bool | None = None,
    sampler: Any = None,
    devices: Any = None,
    num_nodes: int = 1,
    strategy: Any = "auto",
    use_distributed_sampler: bool = True,
) -> Fields:
    b, drop = count("batch_size", batch_size), flag("drop_last", drop_last)
    number = _processes(devices, num_nodes, strategy)
    given = _CALLBACKS.read("lightning", callbacks, "EarlyStopping", "GradientAccumulationScheduler")
    k = _window(accumulate_grad_batches, given.get("GradientAccumulationScheduler"))
    choice("data", data, ("loader", "iterable"))
    dealing = _dealing(number, sampler, use_distributed_sampler, data)
    if number == 1:
        order = drawn("lightning", shuffle, sampler)
    elif sampler is not None and dealing.shuffle is not None:
        order = order_of("lightning", dealing.shuffle)
    else:
        order = {"order": "shuffle"}
    if overfit_batches:
        limit_train_batches, order = overfit_batches, {"order": "sequential"}
    if fast_dev_run:
        max_epochs, max_steps = 1, count("fast_dev_run", int(fast_dev_run))
        limit_train_batches = limit_train_batches if overfit_batches else max_steps
    (cut, batches), remainder = sampled(number, b, drop, num_samples, dealing.drops), "flush"
    name = "overfit_batches" if overfit_batches else "limit_train_batches"
    s = _limit(name, limit_train_batches, batches, data)
    if s is not None and s > batches and data == "iterable":
        remainder = "drop"
    updates = None if max_steps == -1 else count("max_steps", max_steps, remedy="-1 stands for no limit.")
    epochs = None if max_epochs in (None, -1) else count("max_epochs", max_epochs, remedy="-1 stands for no limit.")
    if epochs is None and updates is None:
        if max_epochs == -1:
            raise UsageError("lightning without end", got=Verbatim("max_epochs=-1, max_steps=-1"), expected="a limit")
        epochs = 1000
    return {
        **cut,
        **order,
        "epochs": epochs,
        "updates": updates,
        **epochs_of(s, "restart", "short_epoch"),
        **windows(k, accumulation_boundary="epoch", accumulation_remainder=remainder, loss_normalization="window"),
        **(
            _stopping(
                given["EarlyStopping"], number, check_val_every_n_epoch, val_check_interval, min_epochs, min_steps
            )
            if "EarlyStopping" in given and not fast_dev_run
            else {}
        ),
    }


def _limit(name: str, limit: Any, batches: int, data: str) -> int | None:
    """The batches of an epoch; None where all are trained on."""
    if isinstance(limit, float) and limit != 1.0 and not (1 < limit < math.inf and limit == int(limit)):
        if not 0 < limit < 1:
            raise UsageError(f"the argument {name}", got=limit, expected="a count, or a share from 0 to 1")
        if data == "iterable" or int(batches * limit) == 0:
            raise UsageError(
                f"{name} as a share leaves no batch" if data == "loader" else f"{name} as a share of an iterable",
                got=limit,
                expected="a count"
                if data == "iterable"
                else f"a share of the {counted(batches, 'batch')} that is at least one, or a count",
            )
        return int(batches * limit)
    if limit is None or (isinstance(limit, float) and limit == 1):
        return None
    return count(name, int(limit) if isinstance(limit, float) else limit)


def _window(steps: Any, scheduler: Any) -> int:
    """The steps of a window, by the argument or by a scheduler that never changes them."""
    if scheduler is None:
        return count("accumulate_grad_batches", steps)
    scheduling = {0: 1, **dict(scheduler.scheduling)}
    if steps != 1 or len(set(scheduling.values())) > 1:
        raise UsageError(
            "lightning with a GradientAccumulationScheduler: a plan's windows are all of one length",
            got=Verbatim(scheduling),
            expected="one number for all epochs, and no accumulate_grad_batches beside it",
        )
    return count("scheduling", scheduling[0])


def _processes(devices: Any, num_nodes: Any, strategy: Any) -> int:
    """How many processes train together."""
    nodes, each = count("num_nodes", num_nodes), devices
    if isinstance(each, str):
        parts = [part for part in each.split(",") if part.strip()]
        each = len(parts) if "," in each else int(each) if each.strip().isdecimal() else each
    if isinstance(each, (list, tuple)) and each:
        each = len(each)
    if each is None and nodes > 1:
        each = "auto"
    each = 1 if each is None else count("devices", each, remedy="Give the number of devices that it stands for.")
    number = nodes * each
    name = strategy if isinstance(strategy, str) else type(strategy).__name__
    if number > 1 and not name.lower().startswith(("auto", "ddp")) and strategy is not None:
        raise UsageError(
            f"lightning with {number:,} processes under the strategy {name}: how it shares out samples and gradients "
            "is not known",
            expected="auto, ddp or one of its kind",
        )
    return number


def _dealing(number: int, sampler: Any, injects: Any, data: str) -> Dealing:
    """How the loader's samples are dealt to that many processes."""
    ours = type(sampler).__name__ == "DistributedSampler"
    if number == 1 and not ours:
        return Dealing(1, False, None)
    if data == "iterable" or not (ours or flag("use_distributed_sampler", injects)):
        what = "an iterable" if data == "iterable" else "use_distributed_sampler=False"
        raise UsageError(
            f"lightning with {number:,} processes and {what}: {ALL_SAMPLES}",
            expected="a data set with a length, under a DistributedSampler",
        )
    if not ours:
        drawn("lightning", None, sampler)  # one of the script's own is wrapped, and its samples are not known
        return Dealing(number, False, None)
    return read_sampler("lightning", sampler, number, None, False)


def _stopping(callback: Any, processes: int, every: Any, interval: Any, min_epochs: Any, min_steps: Any) -> Fields:
    """The fields of validation and early stopping."""
    if processes > 1:
        raise UsageError(
            "lightning with EarlyStopping over several processes, which validate on a share each, some samples twice: "
            "no plan expresses that",
            got=processes,
            expected="one process",
        )
    if every is None or interval not in (None, 1.0) or isinstance(interval, int) or min_epochs or min_steps:
        raise UsageError(
            "lightning with EarlyStopping that is not looked at once after each validation of whole epochs: "
            "no plan expresses that",
            got=Verbatim(
                f"check_val_every_n_epoch={every}, val_check_interval={interval}, "
                f"min_epochs={min_epochs}, min_steps={min_steps}"
            ),
            expected="no val_check_interval, min_epochs or min_steps",
        )
    require_plain("lightning", callback, stopping_threshold=None, divergence_threshold=None)
    return {"validation_every": count("check_val_every_n_epoch", every)} | stopping(
        "lightning",
        callback,
        callback.monitor,
        callback.mode,
        callback.patience,
        early_stopping_min_delta=abs(float(callback.min_delta)),
    )


_CALLBACKS = Callbacks(
    ("lightning", "pytorch_lightning"),
    {
        "BatchSizeFinder": "it finds a batch size by trial: give the one that it found",
        "LambdaCallback": "what it does is not known",
        "StochasticWeightAveraging": "it may train an epoch more",
        "Timer": "it stops by time, which no plan knows",
    },
)


PRESET = Preset(
    make=_fields,
    trainer="lightning 2.6.6",
    renamed={
        "epochs": "max_epochs",
        "updates": "max_steps",
        "steps_per_epoch": "limit_train_batches",
        "gradient_accumulation_steps": "accumulate_grad_batches",
        "replicas": "devices",
    },
    per_replica=True,
    missing={"steps": "Lightning's max_steps counts updates: ask for updates."},
    drop={"drop_last": True},
    accepts=ACCEPTS
    | free(
        "accelerator precision logger limit_val_batches limit_test_batches limit_predict_batches",
        "num_sanity_val_steps log_every_n_steps enable_checkpointing enable_progress_bar enable_model_summary",
        "gradient_clip_val gradient_clip_algorithm deterministic benchmark inference_mode",
        "profiler detect_anomaly barebones plugins sync_batchnorm reload_dataloaders_every_n_epochs default_root_dir",
        "enable_autolog_hparams model_registry model train_dataloaders val_dataloaders datamodule weights_only",
    )
    | unset("max_time", "it stops by time, which no plan knows")
    | unset("ckpt_path", "a plan is of a whole run, not of what is left of one", RESUMED),
)
