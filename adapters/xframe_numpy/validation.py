"""Validation: the validation samples in their own batches, averaged by sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from xframe.plan.training_plan import TrainingPlan
from xframe.running.runtime import Runtime
from xframe.tasks import losses
from xframe.tasks.task import Task
from xframe_numpy.losses import accuracy, lowered
from xframe_numpy.model import Model


class Validator:
    """Each call is one validation of the model as it is; returns what ``recorder.validation`` takes."""

    def __init__(self, plan: TrainingPlan, task: Task, runtime: Runtime, model: Model) -> None:
        self.model, self.loss, self.metrics = model, lowered(task.loss), task.metrics
        self.share = losses.of(task.loss).share
        self.size = plan.validation_batch_size or plan.batch_size
        self.features, self.targets = task.validation_data(runtime.precision)

    def __call__(self) -> dict[str, Any]:
        ids = np.arange(len(self.features))
        batches = [ids[start : start + self.size] for start in range(0, len(ids), self.size)]
        sizes = [len(batch) for batch in batches]
        values, accuracies = [], []
        for batch in batches:
            outputs = self.model.forward(self.features[batch])[-1].outputs
            values.append(self.loss(outputs, self.targets[batch])[0])
            if self.metrics:
                accuracies.append(accuracy(outputs, self.targets[batch]))
        values, shares = losses.counted(values, [self.share(self.targets[batch]) for batch in batches])
        return {
            "loss": float(np.average(values, weights=shares)),
            "accuracy": float(np.average(accuracies, weights=sizes)) if accuracies else None,
            "ids": np.concatenate(batches),
            "batch_sizes": sizes,
        }
