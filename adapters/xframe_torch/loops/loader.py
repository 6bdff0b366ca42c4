"""The loop ``loader``: a tutorial's, over a DataLoader with a batch size, a sampler and ``drop_last``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running.runtime import Runtime
from xframe.tasks.task import Task
from xframe_torch.loops.watched import Watched


def train(plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder) -> dict[str, NDArray[Any]]:
    """Trains; returns the final weights."""
    # Quietly: a schedule by steps that fill no window is stepped before the optimizer.
    return Watched("loader", plan, task, runtime, recorder).trained(_train)


def _train(
    watched: Watched,
    *,
    batch_size: int,
    epochs: int | None = None,
    max_steps: int | None = None,
    gradient_accumulation_steps: int = 1,
    leftover: str = "leak",
    normalization: str = "window",
    drop_last: bool = False,
) -> None:
    module, optimizer, device, k = (
        watched.module,
        watched.optimizer,
        watched.runtime.device,
        gradient_accumulation_steps,
    )
    scheduler, clock = watched.scheduler, watched.plan.schedule_clock or "updates"
    every, unit = watched.plan.validation_every, watched.plan.validation_unit
    loader = watched.loader(drop_last=drop_last)
    made = {"steps": 0, "updates": 0, "epochs": 0}

    def over(what: str) -> bool:
        """One more is over; whether training is to stop."""
        made[what] += 1
        if scheduler is not None and clock == what:
            scheduler.step()
        return unit == what and every is not None and made[what] % every == 0 and watched.test()

    optimizer.zero_grad()
    passes: Iterable[int] = count() if epochs is None else range(epochs)
    for epoch in passes:
        if leftover == "zero":
            optimizer.zero_grad()
        for index, (features, targets, ids) in enumerate(loader):
            watched.took(ids)
            loss = watched.loss(module(features.to(device)), targets.to(device))
            part: Any = loss / k if normalization == "window" else loss
            part.backward()
            done = made["steps"] + 1 if leftover == "carry" else index + 1
            updates = done % k == 0 or (leftover == "flush" and done == len(loader))
            if updates:
                if watched.clip is not None:
                    watched.clip(watched.parameters)
                optimizer.step()
                optimizer.zero_grad()
            watched.close(epoch, index)
            stop = over("steps")
            stop = (updates and over("updates")) or stop
            if stop or made["steps"] == max_steps:
                return
        if over("epochs"):
            return
