"""``lightning.Trainer.fit`` over a DataLoader. *ran* with lightning 2.6.6.

``max_steps`` counts updates, so the plan's limit is ``updates``; without it and ``max_epochs``, 1,000 epochs.
Windows are cut at each epoch's end, which updates with what is there; the gradient is divided by
``accumulate_grad_batches`` all the same. Each epoch restarts the loader; a ``limit_train_batches`` beyond the
loader's length changes nothing, a float is a share of the loader's batches, rounded down. ``data`` is
``iterable`` for a data set without a length: Lightning then does not see the end that a larger limit leaves
to the data, and drops the window. ``overfit_batches`` is such a limit, and in stored order; ``fast_dev_run`` is one
epoch of that many batches and updates. ``EarlyStopping`` after validations of whole epochs is a plan's; its
``check_finite`` stops where a plan goes on.

Source: lightning/pytorch/loops/training_epoch_loop.py, fit_loop.py, utilities.py, fetchers.py.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from xframe.errors import UsageError, Verbatim, counted
from xframe.plan.presets._arguments import (
    RESUMED,
    Callbacks,
    free,
    one_process,
    require_plain,
    stopping,
    unset,
)
from xframe.plan.presets._loader import ACCEPTS, drawn
from xframe.plan.presets._preset import Fields, Preset, batches_of_pass, choice, count, epochs_of, flag, loader, windows


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
) -> Fields:
    b, drop = count("batch_size", batch_size), flag("drop_last", drop_last)
    given = _CALLBACKS.read("lightning", callbacks, "EarlyStopping", "GradientAccumulationScheduler")
    k = _window(accumulate_grad_batches, given.get("GradientAccumulationScheduler"))
    choice("data", data, ("loader", "iterable"))
    order = drawn("lightning", shuffle, sampler)
    if overfit_batches:
        limit_train_batches, order = overfit_batches, {"order": "sequential"}
    if fast_dev_run:
        max_epochs, max_steps = 1, count("fast_dev_run", int(fast_dev_run))
        limit_train_batches = limit_train_batches if overfit_batches else max_steps
    batches, remainder = batches_of_pass(num_samples, b, drop), "flush"
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
        **loader(b, drop),
        **order,
        "epochs": epochs,
        "updates": updates,
        **epochs_of(s, "restart", "short_epoch"),
        **windows(k, accumulation_boundary="epoch", accumulation_remainder=remainder, loss_normalization="window"),
        **(
            _stopping(given["EarlyStopping"], check_val_every_n_epoch, val_check_interval, min_epochs, min_steps)
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


def _stopping(callback: Any, every: Any, interval: Any, min_epochs: Any, min_steps: Any) -> Fields:
    """The fields of validation and early stopping."""
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
    },
    missing={"steps": "Lightning's max_steps counts updates: ask for updates."},
    drop={"drop_last": True},
    accepts=ACCEPTS
    | free(
        "accelerator strategy precision logger limit_val_batches limit_test_batches limit_predict_batches",
        "num_sanity_val_steps log_every_n_steps enable_checkpointing enable_progress_bar enable_model_summary",
        "gradient_clip_val gradient_clip_algorithm deterministic benchmark inference_mode use_distributed_sampler",
        "profiler detect_anomaly barebones plugins sync_batchnorm reload_dataloaders_every_n_epochs default_root_dir",
        "enable_autolog_hparams model_registry model train_dataloaders val_dataloaders datamodule weights_only",
    )
    | one_process("devices num_nodes", "auto")
    | unset("max_time", "it stops by time, which no plan knows")
    | unset("ckpt_path", "a plan is of a whole run, not of what is left of one", RESUMED),
)
