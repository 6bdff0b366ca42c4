"""The loops ``function`` and ``xla``: a call of a tf.function for each step, and one for its window's update."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import tensorflow as tf

from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Batch, Seen
from xframe.running.stages import NOTHING, Arrays, made
from xframe.running.steering import Window
from xframe.tasks.task import Task
from xframe_tensorflow.model import Model
from xframe_tensorflow.stages import Apart, staged
from xframe_tensorflow.state import StatefulStep
from xframe_tensorflow.step import TrainStep


class FunctionStep(StatefulStep, TrainStep):
    """A training step that is called from Python, where its window is kept."""

    def __init__(
        self, model: Model, task: Task, plan: TrainingPlan, precision: str, *, jit_compile: bool = False
    ) -> None:
        super().__init__(model, task, plan, precision)
        self.window = Window(plan)
        self.rate = self.rule.rate(0)  # of the last step
        self._compile(jit_compile or None)

    def _compile(self, jit_compile: bool | None) -> None:
        self._jit_compile = jit_compile
        self._step, self._add, self._apply, self._leave = (
            tf.function(function, autograph=False, reduce_retracing=True, jit_compile=jit_compile)
            for function in (self.step, self.add, self.apply, self.leave)
        )

    def __call__(self, batch: Batch) -> Seen:
        place, features, targets, ids = batch
        rows = self.rows(batch)
        rate = None
        if self.rule.scheduled:
            self.rate = self.rule.rate(self.window.tick(place))
            rate = self.number(self.rate)
        if not self.accumulates:
            self.window.close(place, rows)
            return Seen(*self._step(features, targets, ids, rate))
        weight, fresh = self.number(self.window.weight(rows)), tf.constant(self.window.fresh)
        seen = Seen(*self._add(features, targets, ids, rate, weight, fresh))
        divisor = self.window.close(place, rows)
        if divisor is None:
            if self.averages_steps:
                self._leave()
            return seen
        updates, attempts = self._apply(self.number(divisor))
        return seen._replace(updates=updates, update_attempts=attempts)

    def rows(self, batch: Batch) -> int:
        """Of the step."""
        return len(batch.ids)

    def keep(self) -> None:
        """Before the first step: from now on slots are held as the rule has them, and not times the learning rate."""
        self.make_optimizer(slots_are_exact=True)
        self._compile(self._jit_compile)

    @cached_property
    def apart(self) -> Apart:
        """The graphs of its stages."""
        return Apart(self, self._jit_compile)

    def stages(self, batch: Batch, given: Mapping[str, Arrays] = NOTHING) -> dict[str, dict[str, Any]]:
        """One step with its stages apart, see ``xframe.running.stages.Staged``."""
        return made(self, batch, given, staged)
