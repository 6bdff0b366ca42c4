"""The settings that mend a cause, by framework and trainer: what brings the run that departs back to the other.

Texts with ``{fields}`` to be filled in. ``plan`` is what to write into the plan instead, where the run is right and the
plan is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# By what the reference does with a pass's rest.
_REMAINDERS: dict[str, dict[str, str]] = {
    "keep": {
        "torch": "DataLoader(..., batch_size={b}, drop_last=False)",
        "tensorflow": "Dataset.batch({b}, drop_remainder=False)",
        "transformers": "TrainingArguments(dataloader_drop_last=False)",
    },
    "drop": {
        "torch": "DataLoader(..., batch_size={b}, drop_last=True)",
        "tensorflow": "Dataset.batch({b}, drop_remainder=True)",
        "transformers": "TrainingArguments(dataloader_drop_last=True)",
    },
    "pad": {
        "torch": "a sampler that repeats the pass's first samples, as DistributedSampler(drop_last=False) does",
        "tensorflow": "before batching: dataset.concatenate(dataset.take({missing})), with the order fixed",
        "accelerate": "Accelerator(even_batches=True)",
    },
    "carry": {
        "torch": "a sampler that is endless: the passes one after the other, cut by DataLoader(batch_size={b})",
        "tensorflow": "Dataset.repeat() before Dataset.batch({b})",
    },
    "error": {
        "torch": "DataLoader(..., batch_size={b}, drop_last=False)",
        "tensorflow": "Dataset.batch({b}, drop_remainder=False)",
    },
}
# By what the reference does with the rest of an accumulation window.
_LEFTOVERS: dict[str, dict[str, str]] = {
    "flush": {
        "torch": "in the loop: update if (i + 1) % {k} == 0 or i + 1 == len(loader)",
        "accelerate": "GradientAccumulationPlugin(num_steps={k}, sync_with_dataloader=True)",
        "lightning": "Trainer(accumulate_grad_batches={k}), which flushes (no iterable with limit_train_batches)",
        "keras": "no setting: Keras carries the window over; choose steps per epoch that {k} divides",
    },
    "drop": {
        "torch": "optimizer.zero_grad() as each epoch begins",
        "tensorflow": "in your own loop: zero the accumulated gradients as each epoch begins",
        "keras": "no setting: Keras carries the window over; choose steps per epoch that {k} divides",
    },
    "leak": {
        "torch": "update if (i + 1) % {k} == 0 with i counted in the epoch, and zero_grad() after updates only",
    },
    "carry": {
        "torch": "count the steps over all epochs: update if (step + 1) % {k} == 0",
        "accelerate": "GradientAccumulationPlugin(num_steps={k}, sync_with_dataloader=False)",
        "keras": "optimizer=Adam(..., gradient_accumulation_steps={k})",
        "ignite": "create_supervised_trainer(..., gradient_accumulation_steps={k})",
        "optax": "optax.MultiSteps(optimizer, every_k_schedule={k})",
    },
}
_ORDER = {
    "xframe": "xframe.sampler(plan, {n}) for torch, xframe.index_dataset(plan, {n}) for tf.data: one order for both",
}
_COVERAGE = {"compare": "xframe compare --order coverage judges the samples of each pass and not their order"}
_RESUME = {
    "torch": "save the sampler's state with the checkpoint: torchdata's StatefulDataLoader.state_dict()",
    "tensorflow": "put the iterator into the checkpoint: tf.train.Checkpoint(iterator=...)",
    "transformers": "TrainingArguments(ignore_data_skip=False)",
    "accelerate": "accelerator.skip_first_batches(loader, steps_done_in_this_epoch), in the resumed epoch only",
}
_PARTIAL_SHUFFLE = {
    "torch": "DataLoader(..., shuffle=True)",
    "tensorflow": "Dataset.shuffle(buffer_size={n}) before Dataset.batch({b})",
}
_DIVISION = {
    "torch": "loss / {k} in each step of a window; its last, short window needs its own divisor",
    "transformers": "TrainingArguments(average_tokens_across_devices=...) and num_items_in_batch decide the divisor",
    "plan": 'loss_normalization = "window", "actual", "samples" or "sum", whichever the run does',
}

MENDS: dict[str, dict[str, str]] = {
    "padding-differs": {
        "plan": "no field: a plan pads with the start of the same pass; pad so, or keep the short batch"
    },
    "batch-size": {
        "torch": "DataLoader(..., batch_size={b})",
        "tensorflow": "Dataset.batch({b}), or Model.fit(batch_size={b})",
        "plan": "batch_size = {found}",
    },
    "batch-size-per-replica": {
        "torch": "DataLoader(batch_size=...) is per process under DistributedDataParallel: global {b} / world size",
        "tensorflow": "Dataset.batch() is global under tf.distribute: per replica x num_replicas_in_sync = {b}",
        "transformers": "per_device_train_batch_size x processes = {b}",
        "accelerate": "Accelerator(split_batches=True) if the loader's batch size {b} is the global one",
        "plan": "batch_size = {found}",
    },
    "one-step-less": {"any": "compare as step < limit with steps counted from 0", "plan": "steps = {found}"},
    "one-step-more": {"any": "compare as step < limit, not <=, with steps counted from 0", "plan": "steps = {found}"},
    "limit-confused": {
        "keras": "Model.fit(epochs=..., steps_per_epoch=...): it has no limit of steps of its own",
        "lightning": "Trainer(max_steps=) counts updates, max_epochs= epochs; the first one reached ends training",
        "transformers": "TrainingArguments(max_steps=) counts updates and overrides num_train_epochs",
        "ignite": "trainer.run(max_iters=) counts steps, max_epochs= epochs",
        "plan": "the limit in the unit that the run counts: epochs, steps or updates",
    },
    "steps-per-epoch": {
        "keras": "Model.fit(steps_per_epoch={s})",
        "lightning": "Trainer(limit_train_batches={s})",
        "ignite": "trainer.run(epoch_length={s})",
        "torch": "itertools.islice(loader, {s})",
        "plan": "steps_per_epoch = {found}",
    },
    "epoch-iterator": {
        "torch": "restart: iter(loader) in each epoch; continue: one iterator over all epochs",
        "tensorflow": "restart: iterate over the data set anew; continue: one iter(dataset.repeat())",
        "keras": "Model.fit(steps_per_epoch=) continues in a tf.data of more steps than that",
        "plan": 'epoch_iterator = "{found}"',
    },
    "short-epoch": {
        "tensorflow": "Dataset.repeat() before fit, so that the data never run out inside an epoch",
        "keras": "steps_per_epoch no greater than the steps of a pass, or a repeated data set",
        "torch": "on StopIteration begin the loader anew, or end the epoch, as the other run does",
        "plan": 'on_exhaustion = "{found}"',
    },
    "window-cut-elsewhere": {
        "accelerate": "its end of the loader cuts: whole passes, not epochs left by break or islice",
        "torch": "look for the end of the {boundary} where the leftover is dealt with",
        "plan": 'accumulation_boundary = "{found}"',
    },
    "window-at-training-end": {
        "torch": "after the last step, with a window open: {at_end}",
        "keras": "no setting: what is left of a window when fit returns is never applied",
        "plan": 'accumulation_at_end = "{found}"',
    },
    "accumulation-steps": {
        "keras": "optimizer=Adam(..., gradient_accumulation_steps={k})",
        "lightning": "Trainer(accumulate_grad_batches={k})",
        "transformers": "TrainingArguments(gradient_accumulation_steps={k})",
        "accelerate": "Accelerator(gradient_accumulation_steps={k}), each step inside accelerator.accumulate(model)",
        "torch": "optimizer.step() if (i + 1) % {k} == 0",
        "plan": "gradient_accumulation_steps = {found}",
    },
    "updates-counted-as-steps": {
        "keras": "record optimizer.iterations, not the number of batches",
        "torch": 'record the optimizer\'s own count, state["step"], not the number of batches',
        "accelerate": "every step inside accelerator.accumulate(model), or each one updates",
        "plan": "gradient_accumulation_steps = 1",
    },
    "update-offset": {
        "torch": "update if (i + 1) % {k} == 0, not i % {k} == 0; read the counter after optimizer.step()",
        "tensorflow": "the same; read optimizer.iterations after apply_gradients",
    },
    "update-skipped": {
        "torch": "a GradScaler skips updates whose gradients overflow: look at scaler.get_scale(), or use bfloat16",
        "tensorflow": "LossScaleOptimizer skips them too: look at optimizer.dynamic_scale",
        "any": "see that every step reaches optimizer.step() with its gradients not yet zeroed",
    },
    "counted-without-update": {
        "keras": "tell fit how long a pass is: dataset.apply(tf.data.experimental.assert_cardinality(batches))",
    },
    "update-doubled": {"any": "call optimizer.step() or apply_gradients once a window; see callbacks and hooks too"},
    "not-shuffled": {
        **_ORDER,
        "torch": "for an order of its own: DataLoader(..., shuffle=True)",
        "tensorflow": "for one of its own: Dataset.shuffle({n}) before Dataset.batch; fit(shuffle=True) does nothing",
        "plan": 'order = "sequential"',
    },
    "same-order-every-pass": {
        "torch": "DistributedSampler.set_epoch(epoch) in each epoch; no generator seeded anew before each pass",
        "tensorflow": "Dataset.shuffle(..., reshuffle_each_iteration=True), and no cache() behind it",
        "plan": "reshuffle = false",
    },
    "reshuffled": {
        "torch": "a generator seeded alike before each pass; DataLoader(shuffle=False) for the stored order",
        "tensorflow": "Dataset.shuffle(..., seed=..., reshuffle_each_iteration=False), or no shuffle",
        "plan": "reshuffle = true",
    },
    "other-seed": {
        **_ORDER,
        "torch": "with another order than xframe's: DataLoader(..., generator=torch.Generator().manual_seed(...))",
        "tensorflow": "with another order than xframe's: Dataset.shuffle(..., seed=...)",
        "plan": "seed = {found}",
    },
    "shuffle-after-batch": {
        "tensorflow": "Dataset.shuffle({n}) before Dataset.batch({b}), not after",
        "torch": "a sampler that shuffles samples, not one that shuffles batches",
    },
    "buffer-shuffle": _PARTIAL_SHUFFLE,
    "with-replacement": {"torch": "RandomSampler(replacement=False), the default of DataLoader(shuffle=True)"},
    "shuffled-independently": {**_COVERAGE, **_ORDER},
    "order-inside-batches": {
        "tensorflow": "map and interleave with deterministic=True",
        "torch": "a collate_fn that keeps the samples' order",
    },
    "batch-lost": {
        "torch": "draw no batch outside the loop: next(iter(loader)) to look at shapes takes one",
        "tensorflow": "the same; dataset.take(1) of a one-shot iterator takes one",
    },
    "batch-repeated": {"any": "a retry after an error must not train again on a batch already applied"},
    "batches-swapped": {
        "torch": "DataLoader(in_order=True)",
        "tensorflow": "Options().deterministic = True; interleave and map with deterministic=True",
    },
    "samples-swapped": {"tensorflow": "map and interleave with deterministic=True"},
    "sample-lost": {
        "any": "look for a filter, or an error handler that skips samples: ignore_errors(), collate returning None"
    },
    "sample-repeated": {"any": "look for a sampler or index that is not a permutation of the samples"},
    "validation-in-training": {"any": "train on the training split only, and never call the training step to validate"},
    "shard-repeated": {
        "torch": "IterableDataset: each worker reads its share, see get_worker_info(); DistributedSampler(rank=rank)",
        "tensorflow": "Dataset.shard(num_shards, index) with the worker's own index, before shuffle",
    },
    "resumed-at-wrong-place": _RESUME,
    "pass-skipped": {
        "torch": "set_epoch(epoch) with epochs counted from 0 and on, also after resuming",
        "any": "draw one order per pass: an iterator made and not used counts as a pass",
    },
    "epoch-labels": {"any": "give rec.step(epoch=...) the epoch of the step's first sample, counted from 0"},
    "padding-labels": {"any": "give rec.step(padding=...) the number of rows that fill the batch up"},
    "different-data": {"any": "load both runs' samples from one file, in one order, scaled alike"},
    "starting-weights": {"any": "start both runs from one file of weights"},
    "learning-rate": {
        "any": "one rate and one schedule, ticked by updates in both runs",
        "accelerate": "AcceleratedScheduler ticks once a process: Accelerator(step_scheduler_with_optimizer=...)",
    },
    "schedule-late": {
        "torch": "scheduler.step() once after each tick, not before the first optimizer.step()",
        "keras": "a LearningRateSchedule is asked with the updates made before",
    },
    "schedule-clock": {
        "torch": "scheduler.step() after each optimizer.step() for updates, after each epoch for epochs",
        "lightning": "configure_optimizers: lr_scheduler interval='step' counts updates, 'epoch' epochs",
        "keras": "a LearningRateSchedule ticks by batch under gradient accumulation, LearningRateScheduler by epoch",
    },
    "early-stopping": {
        "keras": "EarlyStopping(patience=...) counts epochs: the same as validations only with validation_freq=1",
        "lightning": "EarlyStopping(patience=...) counts validations; val_check_interval says how often they come",
        "plan": "early_stopping_min_delta larger than what rounding turns",
    },
    "loss-scale": {
        "torch": "record the mean loss of the batch: before it is divided by the accumulation steps; reduction='mean'",
        "tensorflow": "the same: reduction='sum_over_batch_size'",
    },
    "other-gradient": {
        "any": "the loss's reduction; zero_grad() once an update, before backward(); momentum, weight decay",
        **_DIVISION,
    },
    "weights-elsewhere": {
        "keras": "EarlyStopping(restore_best_weights=False), and compare the model that was trained",
        "any": "record the final weights, not a checkpoint's, an average's (EMA, SWA), or another layout's",
    },
    "rounding": {
        "any": "first look at what an optimizer does little by little: weight decay, momentum, its epsilon",
        "torch": 'torch.set_float32_matmul_precision("highest")',
        "tensorflow": "tf.config.experimental.enable_tensor_float_32_execution(False)",
        "compare": "--rtol and --atol, if that much is acceptable",
    },
}

_REMAINDER_CAUSES = ("short-batch-dropped", "short-batch-kept", "short-batch-padded", "batches-straddle-passes")
_LEFTOVER_CAUSES = ("leftover-flushed", "leftover-dropped", "leftover-leaked", "leftover-carried")


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "..."


def mend(name: str, facts: Mapping[str, Any]) -> dict[str, str]:
    """The settings that mend that cause.

    Args:
        name: of the cause.
        facts: ``remainder`` and ``leftover``: what the reference does; ``found``: what the run does, in the plan's
            words; ``b``, ``k``, ``n``, ``s``: the reference's batch size, window, number of samples, steps per epoch.
    """
    fields = _Blank(facts)
    if name in _REMAINDER_CAUSES:
        found = dict(_REMAINDERS.get(str(facts.get("remainder")), {}))
        found |= {"plan": 'remainder = "{found}"'} if "found" in facts else {}
    elif name in _LEFTOVER_CAUSES:
        found = dict(_LEFTOVERS.get(str(facts.get("leftover")), {}))
        found |= {"plan": 'accumulation_remainder = "{found}"'} if "found" in facts else {}
    else:
        found = {key: text for key, text in MENDS.get(name, {}).items() if key != "plan" or _filled(text, facts)}
    if facts.get("k") == 1 and name == "other-gradient":
        found = {key: text for key, text in found.items() if key not in _DIVISION}
    if facts.get("k") == 1 and name == "accumulation-steps":
        found["torch"] = "optimizer.step() in every step"
    if name == "reshuffled" and facts.get("order") == "sequential":
        found["plan"] = str(facts.get("found", 'order = "shuffle"'))
    return {key: text.format_map(fields) for key, text in found.items()}


def _filled(text: str, facts: Mapping[str, Any]) -> bool:
    return "{found}" not in text or "found" in facts
