"""The training step: autograd and torch.optim, and the evidence that an update was applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from xframe.plan.training_plan import TrainingPlan
from xframe.running.runtime import Runtime
from xframe.running.steering import Window
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task
from xframe_torch.model import Model
from xframe_torch.pipeline import Batch

INITIAL_SCALE = 2.0**15  # of the loss in mixed_float16, as Keras has it; torch's own is 2**16


class UpdateCounter:
    """Counts the updates an optimizer has applied, by what they did and not by who called.

    ``attempts`` counts calls of ``optimizer.step`` that returned; under a gradient scaler, calls of ``scaler.step``,
    which calls the optimizer only if no gradient has overflowed. ``applied`` counts those after which a parameter
    with a gradient had been written to: its version, which torch raises at every write in place, had moved.
    Fused optimizers write without raising it, and take the scaler's verdict inside their kernel: there a step with
    a gradient counts unless ``found_inf`` is set, and ``applied`` is a tensor where a scaler is at work. No host
    sync, no random number.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None = None) -> None:
        self.applied: Any = 0
        self.attempts = 0
        self._fused = any(group.get("fused") for group in optimizer.param_groups)
        if any(group.get("capturable") for group in optimizer.param_groups):
            raise ValueError("UpdateCounter cannot see the updates of capturable optimizers")
        self.evidence = (
            "fused optimizer's step hook, with a gradient present and found_inf not set"
            if self._fused
            else "optimizer step hook, with a gradient present and a parameter's version moved"
        )
        self._watched: torch.Tensor | None = None  # a parameter with a gradient
        self._before: int | None = None  # its version; None if no parameter has a gradient
        self._overflow: torch.Tensor | None = None
        self._scaled = scaler is not None
        self._hooks = (
            optimizer.register_step_pre_hook(self._look),
            optimizer.register_step_post_hook(self._look_again),
        )
        if scaler is not None:
            self._count_attempts(optimizer, scaler)

    def _count_attempts(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        honest = scaler.step

        def step(stepped: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
            found = honest(stepped, *args, **kwargs)
            self.attempts += stepped is optimizer
            return found

        scaler.step = step  # type: ignore[method-assign, assignment]

    def _look(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        # One suffices: an optimizer writes to all parameters that have a gradient, or to none.
        watched = self._watched
        if watched is None or watched.grad is None:
            parameters = (p for group in optimizer.param_groups for p in group["params"])
            watched = self._watched = next((p for p in parameters if p.grad is not None), None)
        self._before = None if watched is None else watched._version
        if self._scaled:  # there only while a scaler calls a fused optimizer
            self._overflow = getattr(optimizer, "found_inf", None)

    def _look_again(self, *_: Any) -> None:
        self.attempts += not self._scaled
        if self._watched is None:
            return
        if not self._fused:
            self.applied += self._watched._version != self._before
        else:
            # Out of place: what was handed out earlier must not change.
            self.applied = self.applied + (1 if self._overflow is None else (self._overflow == 0).sum())


class TrainStep:
    """One training step: forward, loss, backward into the gradients that are there, and the update when it is due.

    Attributes:
        accuracy: of the last step, if the task asks for it.
    """

    def __init__(self, model: Model, task: Task, plan: TrainingPlan, runtime: Runtime) -> None:
        self.model, self.runtime = model, runtime
        self.loss, self.rate, self.scheduled = LOSSES[task.loss], task.optimizer.rate, task.optimizer.scheduled
        self.parameters = [p for p in model.module.parameters() if p.requires_grad]
        mixed = runtime.precision == "mixed_float16"
        self.scaler = torch.amp.GradScaler(runtime.device, init_scale=INITIAL_SCALE) if mixed else None
        self.optimizer = torch.optim.SGD(
            self.parameters,
            lr=task.optimizer.rate(0),
            momentum=task.optimizer.momentum,
            weight_decay=task.optimizer.weight_decay,
            fused=True if mixed else None,  # else the scaler asks the device, at each step, whether to skip
        )
        self.clip = clipping(task.optimizer)
        self.updates = UpdateCounter(self.optimizer, self.scaler)
        self.window = Window(plan)
        self.measured = "accuracy" in task.metrics
        self.accuracy: torch.Tensor | None = None
        self.forward: Callable[..., tuple[torch.Tensor, torch.Tensor]] = forward(self, runtime.loop)

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def __call__(self, batch: Batch) -> torch.Tensor:
        place, features, targets, ids = batch
        window = self.window
        if self.scheduled:
            self.learning_rate = self.rate(window.tick(place))
        if window.fresh:
            for parameter in self.parameters:  # as optimizer.zero_grad() does, at a tenth of its cost
                parameter.grad = None
        loss, outputs = self.forward(features, targets)
        rows = len(ids) if window.by_rows else 1
        summand = loss if rows == 1 else loss * rows
        (summand if self.scaler is None else self.scaler.scale(summand)).backward()  # type: ignore[no-untyped-call]
        divisor = window.close(place, rows)
        if divisor is not None:
            self.update(divisor)
        if self.measured:
            self.accuracy = accuracy(outputs, targets)
        return loss

    def update(self, divisor: int) -> None:
        """The update with the gradients that are there, divided by that."""
        if self.scaler is not None and (divisor != 1 or self.clip is not None):
            self.scaler.unscale_(self.optimizer)
        if divisor != 1:
            torch._foreach_div_([p.grad for p in self.parameters if p.grad is not None], divisor)
        if self.clip is not None:
            self.clip(self.parameters)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def outputs_and_loss(self, features: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept = self.runtime.loop != "graph"  # weights cast once a step: not where a graph is captured
        with torch.autocast(self.runtime.device, torch.float16, enabled=self.scaler is not None, cache_enabled=kept):
            outputs = self.model.module(features)
            return self.loss(outputs, targets), outputs


def forward(step: TrainStep, loop: str | None) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Loss and outputs of a batch, as the loop computes them."""
    if loop == "compile":
        torch.compiler.reset()  # else runs before this one in the process count towards its limit of recompilations
        return torch.compile(step.outputs_and_loss, dynamic=False, fullgraph=True)
    if loop == "graph":
        return Graphed(step)
    if step.scaler is not None:
        return step.outputs_and_loss
    module, loss = step.model.module, step.loss

    def eager(features: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = module(features)
        return loss(outputs, targets), outputs

    return eager


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


def clipping(rule: SGD) -> Callable[[list[torch.Tensor]], None] | None:
    """What clips the parameters' gradients by that rule, in place; None if it does not clip."""
    nn = torch.nn.utils

    def by_norm(parameters: Iterable[torch.Tensor], most: float) -> None:
        held = [p for p in parameters if p.grad is not None]
        # torch adds 1e-6 to the norm before it divides by it.
        nn.clip_grads_with_norm_(held, most, nn.get_total_norm([p.grad for p in held if p.grad is not None]) - 1e-6)

    value, norm, together = rule.clip_value, rule.clip_norm, rule.clip_global_norm
    if value is not None:
        return lambda parameters: nn.clip_grad_value_(parameters, value)
    if together is not None:
        return lambda parameters: by_norm(parameters, together)
    if norm is not None:

        def each(parameters: list[torch.Tensor]) -> None:
            for parameter in parameters:
                by_norm([parameter], norm)

        return each
    return None


def accuracy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The share of targets that get the greatest output; stays on the device."""
    return (outputs.detach().argmax(-1) == targets).double().mean()


def _softmax_cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if targets.dim() > 1:  # one for each place of a sequence
        outputs, targets = outputs.flatten(0, -2), targets.flatten()
    return torch.nn.functional.cross_entropy(outputs, targets)


def _mean_squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.mse_loss(outputs, targets.reshape(outputs.shape))


def _negative_sum(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return -outputs.sum()


LOSSES: dict[str, Any] = {
    "softmax_cross_entropy": _softmax_cross_entropy,
    "mean_squared_error": _mean_squared_error,
    "negative_sum": _negative_sum,
}
