"""Outcomes that are measured differently: training is as it should be, and only what is stated of it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xframe.testing.faults.bases import Faulty
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import VALIDATED

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("averages-validation-by-batch", "validation", 28, "validation-by-batch", plan=VALIDATED)
class AveragesValidationByBatch(Faulty):
    """A validation's loss is the mean of its batches' means: the 40 samples of the last weigh as much as 64."""

    def validator(self, plan: TrainingPlan, task: Task, runtime: Runtime, model: Any) -> Any:
        honest = super().validator(plan, task, runtime, model)
        if honest is None:
            return None
        features, targets = task.validation_data("float64")
        parts = [slice(begin, begin + plan.batch_size) for begin in range(0, len(features), plan.batch_size)]

        def part_of(part: slice) -> Task:
            return replace(task, validation=lambda: (features[part], targets[part]), num_validation=len(targets[part]))

        honestly = super().validator
        batches = [honestly(plan, part_of(part), runtime, model) for part in parts]

        def validate() -> dict[str, Any]:
            return {**honest(), "loss": sum(float(batch()["loss"]) for batch in batches) / len(batches)}

        return validate


@fault("halves-the-accuracy", "loss", 0, "other-accuracy")
def halves_the_accuracy(plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
    """The right answers of one replica are divided by the samples of two."""
    seen = step(batch)
    return seen._replace(accuracy=seen.accuracy * 0.5)
