"""Validation: the validation samples in their own batches, averaged by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from xframe.plan.training_plan import TrainingPlan
from xframe.running.runtime import Runtime
from xframe.tasks import losses
from xframe.tasks.task import Task
from xframe_torch.losses import accuracy, lowered
from xframe_torch.model import Model
from xframe_torch.pipeline import InMemory, identity


class Validator:
    """Each call is one validation of the model as it is; returns what ``recorder.validation`` takes."""

    def __init__(self, plan: TrainingPlan, task: Task, runtime: Runtime, model: Model) -> None:
        self.model, self.runtime, self.metrics = model, runtime, task.metrics
        self.loss = lowered(task.loss, next(model.module.parameters()))
        features, targets = task.validation_data(runtime.precision)
        samples, loss = InMemory(features, targets, runtime.precision), losses.of(task.loss)
        indices = torch.split(torch.arange(len(samples)), plan.validation_batch_size or plan.batch_size)
        self.shares = [loss.share(targets[batch.numpy()]) for batch in indices]
        # Its own generator, as in training: validation must not move what a bare run would draw.
        self.loader = DataLoader(
            samples, batch_size=None, sampler=indices, collate_fn=identity, generator=torch.Generator()
        )

    @torch.no_grad()
    def __call__(self) -> dict[str, Any]:
        module, device = self.model.module, self.runtime.device
        mixed = self.runtime.precision == "mixed_float16"
        batches, values, accuracies = [], [], []
        module.eval()
        for features, targets, ids in self.loader:
            with torch.autocast(device, torch.float16, enabled=mixed):
                outputs = module(features.to(device))
                values.append(self.loss(outputs, targets.to(device)))
            if self.metrics:
                accuracies.append(accuracy(outputs, targets.to(device)))
            batches.append(ids)
        module.train()
        sizes = [len(ids) for ids in batches]
        return {
            "loss": by_sample(*losses.counted(values, self.shares)),
            "accuracy": by_sample(accuracies, sizes) if accuracies else None,
            "ids": torch.cat(batches),
            "batch_sizes": sizes,
        }


def by_sample(means: list[torch.Tensor], shares: Sequence[float]) -> float:
    """The mean over all samples, from the batches' means and what each counts, in double precision."""
    weights = torch.tensor(shares, dtype=torch.float64)
    return float(torch.stack(means).cpu().double() @ weights / weights.sum())
