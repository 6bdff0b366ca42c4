"""What the loop ``fit`` keeps at a checkpoint, and goes on from: Keras' optimizer, windows and early stopping.

``fit`` has no place between two steps but what its callbacks see: before a step, and at an epoch's end. Where in the
plan a step stands is counted by ``walk`` and a ``Window``, as for the other loops; so only plans that ``fit`` follows
step by step can be gone on with. In mid-epoch it is called twice: for the epoch's rest, and for the epochs after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running.checkpoints import Checkpoints
from xframe.running.steering import Course, Place, Position, WalkState, Window, walk
from xframe.running.training import Training
from xframe.state.state import State
from xframe.tasks.task import Task
from xframe_tensorflow.evidence import UpdateCounter
from xframe_tensorflow.loops.block import batches_of_ids
from xframe_tensorflow.model import Model, canonical
from xframe_tensorflow.optimizers import read_average
from xframe_tensorflow.state import StatefulStep


class FitStep(StatefulStep):
    """Keras' own step, as far as its state goes; see ``xframe.state.state.Stateful``."""

    def __init__(self, plan: TrainingPlan, task: Task, precision: str, model: Model) -> None:
        self.model, self.rule, self.precision = model, task.optimizer, precision
        self.optimizer = model.module.optimizer
        self.optimizer.build(model.module.trainable_variables)
        self.inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self.window, self.accumulates = Window(plan), plan.gradient_accumulation_steps > 1
        self.summed = self.inner._accumulated_gradients if self.accumulates else []
        self.updates = UpdateCounter(self.optimizer, precision)
        self.rate = self.rule.rate(0)
        if self.rule.average is not None and self.rule.average.final:
            # Keras' fit leaves the trained weights where they are, as the state has them beside the averages.
            self.inner.average = replace(self.rule.average, final=False)
            model.final = lambda: read_average(self.optimizer, model.trained)

    def state(self) -> State:
        """What Keras' step is now."""
        if self.updates.attempts is not None:
            self.updates.attempts.assign(self.window.updates)
        return super().state()


class Stopping(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Keras' own, which may have begun before, and ends with the last of several calls of ``fit``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        super().on_train_begin()

    def on_train_begin(self, logs: Any = None) -> None:
        pass

    def on_train_end(self, logs: Any = None) -> None:
        pass

    def finish(self) -> None:
        """Restores the best weights, if they are to be."""
        super().on_train_end()


class Kept(Training):
    """A run of ``fit`` that keeps checkpoints."""

    def __init__(
        self, plan: TrainingPlan, task: Task, precision: str, model: Model, recorder: Recorder, checkpoints: Checkpoints
    ) -> None:
        super().__init__(FitStep(plan, task, precision, model), Course(plan, recorder, None, model.weights))
        self.plan, self.num_samples, self.model, self.checkpoints = plan, task.num_samples, model, checkpoints
        self.stopping: Stopping | None = None
        self.place: Place | None = None
        if checkpoints.begins is not None:
            self.resume(checkpoints.begins)
        self.before: int = self.train_step.window.steps  # steps, when it began
        self.places = self._walk()

    def _walk(self) -> Iterator[tuple[Place, int]]:
        order = self.plan.sample_order(self.num_samples)
        for place, (ids,) in walk(self.plan, self.num_samples, batches_of_ids(self.plan, order), self.begins):
            yield place, len(ids)

    def walked(self) -> WalkState:
        """Where the next batch begins."""
        return self.begins if self.place is None else self.place.state()

    def restore(self, position: Position) -> None:
        """Makes the run go on from there; before it is begun."""
        super().restore(position)
        if self.train_step.accumulates:
            self.train_step.inner._iterations.assign_add(position.window.count)

    def restore_stopping(self, stopping: Stopping) -> None:
        """Makes Keras' early stopping go on from where it stood."""
        self.stopping = stopping
        stopping.set_model(self.model.module)  # fit may never be called
        if self.course.stopping is not None:
            state = self.course.stopping.state()
            stopping.best, stopping.wait = state.best, state.waited
        if (best := self.course.best) is not None:
            names = {id(one.tensor): (name, one.axes) for name, one in self.model.parameters.items()}
            held = [names[id(variable)] for variable in self.model.module.weights]
            stopping.best_weights = [best[n] if axes is None else best[n].transpose(axes) for n, axes in held]

    def validated(self, measured: Mapping[str, Any]) -> None:
        """After a validation."""
        if self.course.stopping is not None:
            self.course.stopping.see(measured[self.plan.early_stopping_monitor or "loss"])

    def made(self, steps: int) -> Place | None:
        """Counts on to that many steps; the place of the last."""
        window = self.train_step.window
        while window.steps < steps:
            self.place, rows = next(self.places)
            window.close(self.place, rows)
            self.course.due(self.place, window)
        return self.place

    def stops_within_its_epoch(self, steps: int) -> bool | None:
        """Whether that step, which is to be made, is the one to stop after, and no epoch's end; None if it is not."""
        if steps != self.checkpoints.wanted.stop_after:
            return None
        place = self.made(steps)
        if place is None or self.train_step.window.over:
            return None
        return not (place.ends_epoch or place.exhausts)

    def export(self) -> State:
        """The whole state of the training."""
        stopping = self.stopping
        if stopping is not None and stopping.best_weights is not None:
            parameters = {id(one.tensor): (name, one.axes) for name, one in self.model.parameters.items()}
            held = zip(self.model.module.weights, stopping.best_weights, strict=True)
            named = [(*parameters[id(variable)], values) for variable, values in held]
            self.course.best = {name: canonical(tf.constant(values), axes) for name, axes, values in named}
        self.course.stopped = stopping is not None and stopping.stopped_epoch > 0
        return super().export()

    def take(self, steps: int, rate: float) -> None:
        """A checkpoint after that many steps, the last at that rate, whose rows have come home."""
        self.made(steps)
        self.train_step.rate = rate
        self.checkpoints.take(self.export)

    def end(self, steps: int, rate: float) -> None:
        """After the last step, at that rate."""
        self.made(steps)
        self.train_step.rate = rate
        self.checkpoints.end(self.export)

    def weights(self) -> dict[str, NDArray[Any]]:
        """The weights that training ends with."""
        if self.stopping is not None:
            self.stopping.finish()
        return self.model.weights()


class AtEpochsEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """Comes after early stopping, and keeps the state where the run is to stop."""

    def __init__(self, kept: Kept, observer: Any) -> None:
        super().__init__()
        self.kept, self.observer, self.stops = kept, observer, False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        ended = self.kept.stopping is not None and self.kept.stopping.stopped_epoch > 0
        if self.stops and not ended:
            self.observer.bring_home()
            self.kept.take(self.observer.made[0], self.observer.rate)
