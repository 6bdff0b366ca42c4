"""The customary training loop of Hugging Face Accelerate, watched step by step."""

from __future__ import annotations

import math
from itertools import islice
from typing import Literal

from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, GradientAccumulationPlugin
from observed import Observed
from torch_loop import WatchedTask


def run_accelerate(
    num_samples: int,
    *,
    batch_size: int,
    num_epochs: int | None = None,
    gradient_accumulation_steps: int = 1,
    sync_with_dataloader: bool = True,
    drop_last: bool = False,
    steps_per_epoch: int | None = None,
    leave: Literal["break", "islice", "peek", "skip"] = "break",
    max_train_steps: int | None = None,
    even_batches: bool = True,
    split_batches: bool = False,
    dispatch_batches: bool | None = None,
    prepare_loader: bool = True,
) -> Observed:
    """``accelerator.accumulate`` around each batch, in one process on the CPU.

    Args:
        num_epochs: without it, as many as ``max_train_steps`` need: how the no_trainer examples compute it.
        steps_per_epoch: batches of an epoch that are trained on, if the loader has as many.
        leave: how the loop leaves the others. ``break``: after the last batch trained on. ``islice``: by
            itertools. ``peek``: by break once the next batch is drawn. ``skip``: draws them all, trains on none.
        max_train_steps: updates after which the loop over batches breaks; the loop over epochs goes on.
        prepare_loader: False leaves the loader as it is: a common omission.
    """
    task = WatchedTask(num_samples, batch_size, drop_last)
    accelerator = Accelerator(
        cpu=True,
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=gradient_accumulation_steps, sync_with_dataloader=sync_with_dataloader
        ),
        dataloader_config=DataLoaderConfiguration(
            even_batches=even_batches, split_batches=split_batches, dispatch_batches=dispatch_batches
        ),
    )
    model, optimizer = accelerator.prepare(task.model, task.optimizer)
    loader = accelerator.prepare(task.loader) if prepare_loader else task.loader
    if num_epochs is None:
        assert max_train_steps is not None, "num_epochs or max_train_steps is needed"
        num_epochs = math.ceil(max_train_steps / math.ceil(len(loader) / gradient_accumulation_steps))
    end = math.inf if steps_per_epoch is None else steps_per_epoch
    last_update = math.inf if max_train_steps is None else max_train_steps
    completed_steps = 0
    for _ in range(num_epochs):
        batches = islice(loader, steps_per_epoch) if leave == "islice" else loader
        for index, (inputs, targets) in enumerate(batches):
            if index >= end:
                if leave == "peek":
                    break
                continue
            with accelerator.accumulate(model):
                accelerator.backward(task.loss(model(inputs), targets))
                optimizer.step()
                optimizer.zero_grad()
            completed_steps += accelerator.sync_gradients
            if completed_steps >= last_update or (leave == "break" and index + 1 == end):
                break
    return task.seen
