"""The training step: forward, loss, backward, and the update when it is due."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Batch, Seen
from xframe.running.stages import NOTHING, Arrays, made
from xframe.running.steering import Window
from xframe.state.state import State
from xframe.tasks.task import Task
from xframe_numpy.layers import Array
from xframe_numpy.losses import accuracy, lowered
from xframe_numpy.model import Model
from xframe_numpy.optimizers import lower
from xframe_numpy.stages import staged
from xframe_numpy.state import put, taken


class TrainStep:
    """One training step."""

    evidence: str | None = None  # the optimizer's counter knows it

    def __init__(self, model: Model, task: Task, plan: TrainingPlan) -> None:
        self.model, self.loss, self.rate = model, lowered(task.loss), task.optimizer.rate
        self.optimizer = lower(task.optimizer, model.trained)
        self.updates = self.optimizer.updates
        if task.optimizer.average is not None and task.optimizer.average.final:
            model.final = ChainMap(self.optimizer.average, model.parameters)
        self.window = Window(plan)
        self.summed: dict[str, Array] = {}
        self.scheduled, self.measured = task.optimizer.scheduled, "accuracy" in task.metrics
        self.accuracy: float | None = None  # of the last step, if the task asks for it

    @property
    def learning_rate(self) -> float:
        """The optimizer's now."""
        return self.optimizer.learning_rate

    def __call__(self, batch: Batch) -> Seen:
        self.begin(batch)
        loss, gradients = self.gradients(batch)
        gradients, due = self.accumulate(batch, gradients)
        if due:
            self.optimizer.apply(self.model.trained, gradients)
        else:
            self.optimizer.accumulated(self.model.trained)
        return Seen(batch.ids, self.updates, loss, self.learning_rate, self.accuracy)

    def begin(self, batch: Batch) -> None:
        """Before the step: its learning rate."""
        if self.scheduled:
            self.optimizer.learning_rate = self.rate(self.window.tick(batch.place))

    def accumulate(self, batch: Batch, gradients: dict[str, Array]) -> tuple[dict[str, Array], bool]:
        """The window's gradients with these, divided if their update is due; whether it is."""
        rows = len(batch.ids)
        if (weight := self.window.weight(rows)) != 1:
            gradients = {name: weight * gradient for name, gradient in gradients.items()}
        if not self.window.fresh:
            gradients = {name: self.summed[name] + gradient for name, gradient in gradients.items()}
        self.summed = gradients
        divisor = self.window.close(batch.place, rows)
        if divisor not in (None, 1):
            gradients = {name: total / divisor for name, total in gradients.items()}
        return gradients, divisor is not None

    def stages(self, batch: Batch, given: Mapping[str, Arrays] = NOTHING) -> dict[str, dict[str, Array]]:
        """One step with its stages apart, see ``xframe.running.stages.Staged``."""
        return made(self, batch, given, staged)

    def state(self) -> State:
        """What the step is now, see ``xframe.state.state.Stateful``."""
        return taken(self)

    def restore(self, state: State) -> None:
        """Goes on from there."""
        put(self, state)

    def gradients(self, batch: Batch) -> tuple[float, dict[str, Array]]:
        """The loss and the parameters' gradients."""
        passed = self.model.forward(batch.features, training=True)
        loss, gradient = self.loss(passed[-1].outputs, batch.targets)
        if self.measured:
            self.accuracy = accuracy(passed[-1].outputs, batch.targets)
        self.model.move(passed)
        return loss, self.model.backward(passed, gradient)
