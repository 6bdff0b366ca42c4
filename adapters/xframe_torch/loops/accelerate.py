"""The loop ``accelerate``: the customary one of Hugging Face Accelerate, with ``accelerator.accumulate``."""

from __future__ import annotations

import math
from typing import Any

from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running.runtime import Runtime
from xframe.tasks.task import Task
from xframe_torch.loops.watched import Watched


def train(plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder) -> dict[str, NDArray[Any]]:
    """Trains; returns the final weights."""
    return Watched("accelerate", plan, task, runtime, recorder).trained(_train, "accelerate")


def _train(
    watched: Watched,
    *,
    batch_size: int,
    num_epochs: int | None = None,
    max_train_steps: int | None = None,
    steps_per_epoch: int | None = None,
    gradient_accumulation_steps: int = 1,
    sync_with_dataloader: bool = True,
    drop_last: bool = False,
) -> None:
    plugin = GradientAccumulationPlugin(
        num_steps=gradient_accumulation_steps, sync_with_dataloader=sync_with_dataloader
    )
    accelerator = Accelerator(cpu=watched.runtime.device == "cpu", gradient_accumulation_plugin=plugin)
    module, optimizer, loader = accelerator.prepare(
        watched.module, watched.optimizer, watched.loader(drop_last=drop_last)
    )
    scheduler, clock = watched.scheduler, watched.plan.schedule_clock or "updates"
    if clock == "updates" and scheduler is not None:
        scheduler = accelerator.prepare(scheduler)  # it then steps with the optimizer alone
    every, unit = watched.plan.validation_every, watched.plan.validation_unit
    made = {"steps": 0, "updates": 0, "epochs": 0}

    def over(what: str) -> bool:
        """One more is over; whether training is to stop."""
        made[what] += 1
        return unit == what and every is not None and made[what] % every == 0 and watched.test()

    if num_epochs is None:  # as the examples work it out
        num_epochs = math.ceil((max_train_steps or 0) / math.ceil(len(loader) / gradient_accumulation_steps))
    for epoch in range(num_epochs):
        for index, (features, targets, ids) in enumerate(loader):
            with accelerator.accumulate(module):
                watched.took(ids)
                accelerator.backward(watched.loss(module(features), targets))
                if accelerator.sync_gradients and watched.clip is not None:
                    watched.clip(watched.parameters)
                optimizer.step()
                if scheduler is not None and clock != "epochs":
                    scheduler.step()
                optimizer.zero_grad()
            watched.close(epoch, index)
            stop = over("steps")
            stop = (accelerator.sync_gradients and over("updates")) or stop
            if stop:
                return
            if made["updates"] == max_train_steps or index + 1 == steps_per_epoch:
                break
        if scheduler is not None and clock == "epochs":
            scheduler.step()
        if over("epochs"):
            return
