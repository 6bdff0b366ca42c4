"""Features done wrong, as real training code does them wrong: mixins over an adapter, as in ``cheats``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from xframe.tasks.optimizers import SGD
from xframe.tasks.schedules import Schedule
from xframe.testing.faults.bases import Faulty, Reorders, RunsBy, StepsBy, changed


class Shifted(Schedule):
    """Another schedule, so many ticks late."""

    def __init__(self, schedule: Schedule, late: int) -> None:
        self.schedule, self.late = schedule, late

    def __call__(self, tick: int) -> float:
        return self.schedule(max(tick - self.late, 0))


class Retold(Faulty):
    """A base whose step goes by another update rule than the task's."""

    def rule(self, honest: SGD) -> SGD:
        return honest

    def train_step(self, plan, task, runtime) -> Any:
        return super().train_step(plan, replace(task, optimizer=self.rule(task.optimizer)), runtime)


class SchedulesLateByOne(Retold):
    """The scheduler is asked before it has ticked, so that each rate comes one tick late."""

    def rule(self, honest: SGD) -> SGD:
        return replace(honest, learning_rate=Shifted(honest.learning_rate, 1))


class TicksBySteps(StepsBy):
    """The schedule ticks each step, where the plan's clock is another."""

    fields: ClassVar = {"schedule_clock": "steps"}


class TicksByUpdates(StepsBy):
    """The schedule ticks each update, where the plan's clock is another."""

    fields: ClassVar = {"schedule_clock": "updates"}


class TicksByEpochs(StepsBy):
    """The schedule ticks each epoch, where the plan's clock is another."""

    fields: ClassVar = {"schedule_clock": "epochs"}


class ValidationShiftsTheOrder(Reorders):
    """Validation draws from the generator that shuffles, so that the passes after it have other orders."""

    validations = 0

    def edit(self, plan, order, pass_index) -> Any:
        return order.ids(pass_index + self.validations)

    def validator(self, plan, *args) -> Any:
        honest = super().validator(plan, *args)
        return honest and (lambda: self.counted(honest))

    def counted(self, honest) -> Any:
        self.validations += 1
        return honest()


class ValidatesOnlyAtTheEnd(RunsBy):
    """Validation between the epochs is forgotten."""

    fields: ClassVar = {"validation_every": 1000}


class ValidatesTooSoon(RunsBy):
    """Each unit of the interval is taken for half of it."""

    def misread(self, plan) -> Any:
        return changed(plan, validation_every=(plan.validation_every or 2) - 1)


class AveragesByBatch(Faulty):
    """A validation's loss and accuracy are the means of its batches' means, whatever their sizes."""

    def validator(self, plan, task, runtime, *model) -> Any:
        if plan.validation_every is None:
            return None
        size, (x, y) = plan.validation_batch_size, task.validation()
        parts = [slice(start, start + size) for start in range(0, len(x), size)]
        validators = [
            super(AveragesByBatch, self).validator(plan, only(task, x[p], y[p]), runtime, *model) for p in parts
        ]

        def validate() -> dict[str, Any]:
            found = [validator() for validator in validators]
            means = {name: float(np.mean([part[name] for part in found])) for name in ("loss", "accuracy")}
            sizes = [int(part["batch_sizes"][0]) for part in found]
            return {**means, "ids": np.arange(len(x)), "batch_sizes": sizes}

        return validate


def only(task, x, y) -> Any:
    """The task with these samples to validate on."""
    return replace(task, validation=lambda: (x, y), num_validation=len(x))


class CountsPatienceInEpochs(RunsBy):
    """Patience is taken for epochs, of which each has two validations and more."""

    def misread(self, plan) -> Any:
        return changed(plan, early_stopping_patience=(plan.early_stopping_patience or 0) * 2)


class StopsOneValidationSooner(RunsBy):
    """``wait > patience`` where ``wait >= patience`` is meant, the other way round."""

    def misread(self, plan) -> Any:
        return changed(plan, early_stopping_patience=(plan.early_stopping_patience or 2) - 1)


class KeepsTheLastWeights(RunsBy):
    """The best weights are not restored."""

    fields: ClassVar = {"restore_best": False}


class ClipsEachTensor(Retold):
    """The gradient of each variable is clipped alone, where their common norm is meant."""

    def rule(self, honest: SGD) -> SGD:
        return replace(honest, clip_norm=honest.clip_global_norm, clip_global_norm=None)


class ClipsTheSum(Retold):
    """Half the norm: the gradient is clipped before it is divided by the window's two steps."""

    def rule(self, honest: SGD) -> SGD:
        return replace(honest, clip_global_norm=(honest.clip_global_norm or 0) / 2)


class MeasuresBeforeTheLastBatch(Faulty):
    """An epoch's accuracy is the running mean of batches: each step tells the mean of all so far."""

    def run(self, plan, task, runtime, recorder) -> Any:
        honest, so_far = recorder.step, []

        def step(**seen: Any) -> None:
            so_far.append(float(seen["accuracy"]))
            honest(**{**seen, "accuracy": sum(so_far) / len(so_far)})

        recorder.step = step
        return super().run(plan, task, runtime, recorder)


class CountsSkippedUpdates(Faulty):
    """What was tried is counted as applied."""

    def run(self, plan, task, runtime, recorder) -> Any:
        honest = recorder.step

        def step(**seen: Any) -> None:
            counter = seen["updates"]
            attempts = getattr(counter, "attempts", seen.get("update_attempts"))
            honest(**{**seen, "updates": attempts, "update_attempts": attempts})

        recorder.step = step
        return super().run(plan, task, runtime, recorder)
