"""The training step: forward, loss, autograd's backward, and the update when it is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Batch, Seen
from xframe.running.runtime import Runtime
from xframe.running.stages import NOTHING, Arrays, made
from xframe.running.steering import Window
from xframe.state.state import State
from xframe.tasks.task import Task
from xframe_torch.evidence import UpdateCounter
from xframe_torch.losses import accuracy, lowered
from xframe_torch.model import Model
from xframe_torch.optimizers import averaged, clipping, lower, scaler, set_rate
from xframe_torch.stages import staged
from xframe_torch.state import natively_taken, put, put_natively, taken


class TrainStep:
    """One training step: forward, loss, backward into the gradients that are there, and the update when it is due."""

    evidence: str | None = None  # the counter knows it

    def __init__(self, model: Model, task: Task, plan: TrainingPlan, runtime: Runtime) -> None:
        self.model, self.runtime, self.rule = model, runtime, task.optimizer
        self.rate, self.scheduled = task.optimizer.rate, task.optimizer.scheduled
        self.module = self.wrapped(model.module)
        self.parameters = [p for p in model.module.parameters() if p.requires_grad]
        self.loss = lowered(task.loss, self.parameters[0])
        self.scaler = scaler(runtime)
        self.optimizer = lower(task.optimizer, model.trained, scaled=self.scaler is not None)
        self.clip = clipping(task.optimizer)
        self.averaged = averaged(task.optimizer, self.optimizer, model)
        self.updates = UpdateCounter(self.optimizer, self.scaler)
        self.window = Window(plan)
        self.measured = "accuracy" in task.metrics
        self.draws = "torch" in task.builders  # a module of the task's own may draw random numbers
        self.accuracy: torch.Tensor | None = None  # of the last step, if the task asks for it
        self.forward: Callable[..., tuple[torch.Tensor, torch.Tensor]] = forward(self, runtime.loop)

    def wrapped(self, module: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """What computes the outputs: the module itself, if nothing is around it."""
        return module

    def rows(self, batch: Batch) -> int:
        """Of the step."""
        return len(batch.ids)

    @property
    def learning_rate(self) -> float:
        """The optimizer's now."""
        return float(self.optimizer.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        set_rate(self.optimizer, rate)

    def __call__(self, batch: Batch) -> Seen:
        place, features, targets, ids = batch
        window = self.window
        self.begin(batch)
        loss, outputs = self.forward(features, targets)
        rows = self.rows(batch)
        self.backward(loss, window.weight(rows))
        divisor = window.close(place, rows)
        if divisor is not None:
            self.update(divisor)
        if self.averaged is not None:
            self.averaged.close()
        if self.measured:
            self.accuracy = accuracy(outputs, targets)
        return Seen(ids, self.updates, loss, self.learning_rate, self.accuracy)

    def begin(self, batch: Batch) -> None:
        """Before the step: its learning rate, and no gradients where a window begins."""
        if self.scheduled:
            self.learning_rate = self.rate(self.window.tick(batch.place))
        if self.window.fresh:
            for parameter in self.parameters:  # as optimizer.zero_grad() does, at a tenth of its cost
                parameter.grad = None

    def backward(self, loss: torch.Tensor, rows: int) -> None:
        """Adds the gradients of the loss, times the rows that it counts as."""
        summand = loss if rows == 1 else loss * rows
        (summand if self.scaler is None else self.scaler.scale(summand)).backward()  # type: ignore[no-untyped-call]

    def stages(self, batch: Batch, given: Mapping[str, Arrays] = NOTHING) -> dict[str, dict[str, Any]]:
        """One step with its stages apart, see ``xframe.running.stages.Staged``."""
        return made(self, batch, given, staged)

    def state(self) -> State:
        """What the step is now, see ``xframe.state.state.Stateful``."""
        return taken(self)

    def restore(self, state: State) -> None:
        """Goes on from there."""
        put(self, state)

    def native(self) -> Mapping[str, NDArray[Any]]:
        """What torch alone can go on from, see ``xframe.state.state.State``."""
        return natively_taken(self)

    def restore_native(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Goes on from that, after ``restore``; what another framework left is passed over."""
        put_natively(self, arrays)

    def update(self, divisor: int) -> None:
        """The update with the gradients that are there, divided by that."""
        if self.scaler is not None and (divisor != 1 or self.clip is not None):
            self.scaler.unscale_(self.optimizer)
        self.divide(divisor)
        if self.clip is not None:
            self.clip(self.parameters)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def divide(self, divisor: int) -> None:
        """Divides the gradients that are there."""
        if divisor != 1:
            torch._foreach_div_([p.grad for p in self.parameters if p.grad is not None], divisor)

    def outputs_and_loss(self, features: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and outputs of a batch, in the precision."""
        kept = self.runtime.loop != "graph"  # weights cast once a step: not where a graph is captured
        with torch.autocast(self.runtime.device, torch.float16, enabled=self.scaler is not None, cache_enabled=kept):
            return self.outcome(features, targets)

    def outcome(self, features: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and outputs of a batch."""
        outputs = self.module(features)
        return self.loss(outputs, targets), outputs


def forward(step: TrainStep, loop: str | None) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Loss and outputs of a batch, as the loop computes them."""
    if loop == "compile":
        torch.compiler.reset()  # else runs before this one in the process count towards its limit of recompilations
        return torch.compile(step.outputs_and_loss, dynamic=False, fullgraph=True)
    if loop == "graph":
        return Graphed(step)
    return step.outcome if step.scaler is None else step.outputs_and_loss


class Graphed:
    """Forward and backward captured as CUDA graphs, one for each shape of a batch."""

    def __init__(self, step: TrainStep) -> None:
        self.step = step
        self.graphs: dict[tuple[torch.Size, torch.Size], Callable[..., Any]] = {}

    def __call__(self, features: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shapes = features.shape, targets.shape
        if shapes not in self.graphs:
            self.graphs[shapes] = self.capture(features, targets)
        loss, outputs = self.graphs[shapes](features, targets)
        return loss, outputs

    def capture(self, features: torch.Tensor, targets: torch.Tensor) -> Callable[..., Any]:
        """A graph for batches of these shapes. What capturing does to the model's buffers is undone."""
        module = torch.nn.Module()
        module.model = self.step.model.module  # whose parameters get their gradients through the graph
        module.forward = self.step.outputs_and_loss
        buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
        captured: Callable[..., Any] = torch.cuda.make_graphed_callables(module, (features, targets))
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        return captured
