"""``transformers.Trainer.train``. *ran* with transformers 5.23.0.

``max_steps`` counts updates and overrides ``num_train_epochs``, a fraction of which is turned into updates.
Windows are cut at each epoch's end, which updates with what is there, divided by the steps present.
``num_items_in_batch`` stands for a model whose loss is divided by that argument: with as many labels in every
row, a mean over the rows of the window. ``data`` is ``iterable`` for a data set without a length: it needs
``max_steps``, keeps its last batch whatever ``dataloader_drop_last`` says, and leaks what is left of a window
at its end, each part with a divisor of its own, which no plan expresses. ``EarlyStoppingCallback`` without a
threshold is a plan's; the Trainer validates as training ends only where an evaluation is due then.

``world_size`` is the number of processes under torchrun, one device each, and ``per_device_train_batch_size`` that of
each. They share samples as under Accelerate, by the words of ``accelerator_config``; with ``num_items_in_batch`` the
gradient is the mean over the rows of all.

Source: transformers/trainer.py (``set_initial_training_values``, ``_inner_training_loop``, ``get_batch_samples``).
"""

from __future__ import annotations

import math
from typing import Any, Literal

from xframe.errors import UsageError, Verbatim
from xframe.plan.presets._arguments import (
    RESUMED,
    Callbacks,
    free,
    one_process,
    require_plain,
    stopping,
    unset,
)
from xframe.plan.presets._preset import Fields, Preset, choice, count, flag, windows
from xframe.plan.presets._replicas import accelerated


def _fields(
    *,
    num_samples: int,
    per_device_train_batch_size: int = 8,
    num_train_epochs: float = 3.0,
    max_steps: int = -1,
    gradient_accumulation_steps: int = 1,
    dataloader_drop_last: bool = False,
    num_items_in_batch: bool = False,
    data: Literal["map", "iterable"] = "map",
    train_sampling_strategy: str | None = None,
    eval_strategy: str = "no",
    eval_steps: float | None = None,
    eval_delay: float = 0,
    logging_steps: float = 500,
    per_device_eval_batch_size: int | None = None,
    metric_for_best_model: str | None = None,
    greater_is_better: bool | None = None,
    load_best_model_at_end: bool = False,
    accelerator_config: Any = None,
    callbacks: Any = None,
    world_size: int = 1,
    local_rank: int = -1,
    average_tokens_across_devices: bool = True,
) -> Fields:
    if accelerator_config is not None and _configured(accelerator_config, "gradient_accumulation_kwargs", None):
        raise UsageError(
            "transformers with gradient_accumulation_kwargs in accelerator_config: how these cut windows is not known",
            got=accelerator_config,
            expected="gradient_accumulation_steps alone",
        )
    b = count("per_device_train_batch_size", per_device_train_batch_size)
    drop = flag("dataloader_drop_last", dataloader_drop_last)
    samples = flag("num_items_in_batch", num_items_in_batch)
    k = count("gradient_accumulation_steps", gradient_accumulation_steps)
    choice("data", data, ("map", "iterable"))
    drop = drop and data == "map"
    cut, batches = _shared(
        num_samples, b, drop, world_size, local_rank, data, accelerator_config, samples, average_tokens_across_devices
    )
    return {
        **cut,
        **({"order": _SAMPLED[train_sampling_strategy]} if train_sampling_strategy in _SAMPLED else {}),
        **_limit(num_train_epochs, max_steps, batches, k, data),
        **windows(
            k,
            accumulation_boundary="epoch",
            accumulation_remainder="flush",
            loss_normalization="samples" if samples else "actual",
        ),
        **_stopping(
            _CALLBACKS.read("transformers", callbacks, "EarlyStoppingCallback").get("EarlyStoppingCallback"),
            getattr(eval_strategy, "value", eval_strategy),
            logging_steps if eval_steps is None else eval_steps,
            eval_delay,
            metric_for_best_model or "loss",
            greater_is_better,
            bool(load_best_model_at_end),
            per_device_eval_batch_size,
        ),
    }


def _limit(num_train_epochs: Any, max_steps: Any, batches: int, k: int, data: str) -> Fields:
    """The limit, of epochs or of updates, of passes of that many batches in windows of k."""
    if max_steps != 0 and type(max_steps) is int and max_steps < 0:
        if data == "iterable":
            raise UsageError("transformers on an iterable without max_steps", got=max_steps, expected="max_steps > 0")
        epochs = num_train_epochs
        if isinstance(epochs, bool) or not isinstance(epochs, (int, float)) or not 0 < epochs < math.inf:
            raise UsageError("the argument num_train_epochs", got=epochs, expected="a number above 0")
        whole = epochs == int(epochs)
        return {"epochs": int(epochs)} if whole else {"updates": math.ceil(epochs * -(-batches // k))}
    updates = count("max_steps", max_steps, remedy="-1 stands for num_train_epochs.")
    if data == "iterable" and batches % k and updates > batches // k:
        raise UsageError(
            "transformers on an iterable that ends inside a window, whose gradients leak with a divisor of their "
            "own: no plan expresses that",
            got=Verbatim(f"{batches:,} batches, gradient_accumulation_steps={k:,}"),
            expected=f"gradient_accumulation_steps that divides {batches:,}, or max_steps up to {batches // k:,}",
        )
    return {"updates": updates}


def _shared(
    num_samples: int,
    b: int,
    drop: bool,
    world_size: Any,
    local_rank: Any,
    data: str,
    config: Any,
    samples: bool,
    across: Any,
) -> tuple[Fields, int]:
    """How processes share the samples, and the batches of a pass."""
    number = count("world_size", world_size)
    if number == 1 and local_rank not in (-1, 0, None):
        raise UsageError(
            "transformers with local_rank and no world_size",
            got=local_rank,
            expected="world_size, the number of processes",
        )
    if number > 1 and data == "iterable":
        raise UsageError(
            "transformers on an iterable in several processes: how they share it is not known",
            got=number,
            expected="a data set with a length",
        )
    if number > 1 and samples and not across:
        raise UsageError(
            "transformers with average_tokens_across_devices=False: each process divides by its own number of items, "
            "which no plan expresses",
            got=Verbatim("num_items_in_batch"),
            expected="average_tokens_across_devices",
        )
    return accelerated(
        "transformers",
        number,
        b,
        drop,
        num_samples,
        even_batches=_configured(config, "even_batches", True),
        split_batches=_configured(config, "split_batches", False),
        dispatch_batches=_configured(config, "dispatch_batches", False) or False,
        gradients="rows" if samples else "replicas",
    )


def _configured(config: Any, name: str, default: Any) -> Any:
    """One of ``accelerator_config``, which is a dict or an ``AcceleratorConfig``."""
    return config.get(name, default) if isinstance(config, dict) else getattr(config, name, default)


def _stopping(
    callback: Any, strategy: Any, steps: Any, delay: Any, metric: str, greater: Any, best: bool, batch_size: Any
) -> Fields:
    """The fields of validation and early stopping."""
    if callback is None:
        return {}
    if strategy not in ("epoch", "steps") or delay:
        raise UsageError(
            "transformers with EarlyStoppingCallback and no evaluations from the start",
            got=Verbatim(f"eval_strategy={strategy!r}, eval_delay={delay}"),
            expected="eval_strategy epoch or steps, without delay",
        )
    require_plain("transformers", callback, early_stopping_threshold=0.0)
    return {
        "validation_every": 1
        if strategy == "epoch"
        else count("eval_steps", int(steps) if steps == int(steps) else steps),
        "validation_unit": "epochs" if strategy == "epoch" else "updates",
        "validation_batch_size": 8 if batch_size is None else count("per_device_eval_batch_size", batch_size),
    } | stopping(
        "transformers",
        callback,
        metric if metric.startswith("eval_") else f"eval_{metric}",
        {True: "max", False: "min"}.get(greater, "auto"),
        callback.early_stopping_patience,
        restore_best=best,
    )


_SAMPLED = {"random": "shuffle", "sequential": "sequential"}
_CALLBACKS = Callbacks(("transformers",), {})


PRESET = Preset(
    make=_fields,
    trainer="transformers 5.23.0",
    renamed={
        "batch_size": "per_device_train_batch_size",
        "epochs": "num_train_epochs",
        "updates": "max_steps",
        "replicas": "world_size",
    },
    per_replica=True,
    missing={
        "steps": "Transformers' max_steps counts updates: ask for updates.",
        "steps_per_epoch": "An epoch of the Trainer is a whole pass.",
    },
    drop={"dataloader_drop_last": True},
    variants={"num_items_in_batch": (False, True)},
    accepts=free(
        # TrainingArguments, in its own order
        "output_dir learning_rate lr_scheduler_type lr_scheduler_kwargs warmup_steps optim optim_args weight_decay",
        "adam_beta1 adam_beta2 adam_epsilon optim_target_modules max_grad_norm",
        "label_smoothing_factor bf16 fp16 bf16_full_eval fp16_full_eval tf32 activation_checkpointing",
        "activation_checkpointing_kwargs gradient_checkpointing gradient_checkpointing_kwargs torch_compile",
        "torch_compile_backend torch_compile_mode use_liger_kernel liger_kernel_config use_cache neftune_noise_alpha",
        "torch_empty_cache_steps logging_strategy logging_first_step log_on_each_node logging_nan_inf_filter",
        "include_num_input_tokens_seen log_level log_level_replica disable_tqdm report_to run_name project",
        "trackio_space_id trackio_bucket_id trackio_static_space_id prediction_loss_only eval_on_start",
        "eval_do_concat_batches eval_use_gather_object eval_accumulation_steps include_for_metrics batch_eval_metrics",
        "save_only_model save_strategy save_steps save_on_each_node save_total_limit enable_jit_checkpoint push_to_hub",
        "hub_token hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision ignore_data_skip",
        "restore_callback_states_from_checkpoint full_determinism data_seed use_cpu dataloader_num_workers",
        "dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor",
        "dataloader_multiprocessing_context dataloader_in_order remove_unused_columns label_names length_column_name",
        "ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout",
        "debug skip_memory_metrics do_train do_eval do_predict",
        # Trainer, train
        "model data_collator train_dataset eval_dataset processing_class model_init compute_loss_func compute_metrics",
        "optimizers optimizer_cls_and_kwargs preprocess_logits_for_metrics ignore_keys_for_eval",
    )
    | one_process("fsdp fsdp_config deepspeed parallelism_config")
    | unset("resume_from_checkpoint", "a plan is of a whole run, not of what is left of one", RESUMED)
    | unset("auto_find_batch_size", "it finds a batch size by trial", "Give the one that it found.")
    | unset("trial", "a search makes many runs, of which a plan is one")
    | unset("args", "they are asked for one by one", "Give what is in them: **args.to_dict()."),
)
