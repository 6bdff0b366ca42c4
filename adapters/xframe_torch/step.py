"""The training step: autograd and torch.optim, and the evidence that an update was applied."""

from __future__ import annotations

from typing import Any

import torch

from xframe.plan import TrainingPlan
from xframe.steering import Window
from xframe.task import Task
from xframe_torch.model import Model
from xframe_torch.pipeline import Batch


class UpdateCounter:
    """Counts the updates an optimizer has applied, by what they did and not by who called.

    ``attempts`` counts calls of ``optimizer.step`` that returned. ``applied`` counts those after which a
    parameter with a gradient had been written to: its version, which torch raises at every write in
    place, had moved. No host sync, no random number. Fused and capturable optimizers write without
    raising it; they are refused.
    """

    evidence = "optimizer step hook, with a gradient present and a parameter's version moved"

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        if any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups):
            raise ValueError("UpdateCounter cannot see the updates of fused or capturable optimizers")
        self.applied = self.attempts = 0
        self._before: list[tuple[torch.Tensor, int]] = []
        self._hooks = (
            optimizer.register_step_pre_hook(self._look),
            optimizer.register_step_post_hook(self._look_again),
        )

    def _look(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = (p for group in optimizer.param_groups for p in group["params"])
        # Some of them suffice: an optimizer writes to all that have a gradient, or to none.
        self._before = [
            (p, p._version) for _, p in zip(range(4), (p for p in parameters if p.grad is not None), strict=False)
        ]

    def _look_again(self, *_: Any) -> None:
        self.attempts += 1
        self.applied += any(parameter._version != version for parameter, version in self._before)


class TrainStep:
    """One training step: forward, loss, backward into the gradients that are there, and the update when it is due."""

    def __init__(self, model: Model, task: Task, plan: TrainingPlan) -> None:
        self.model = model
        rule = task.optimizer
        self.optimizer = torch.optim.SGD(
            model.module.parameters(), lr=rule.learning_rate, momentum=rule.momentum, weight_decay=rule.weight_decay
        )
        self.loss = _LOSSES[task.loss]
        self.updates = UpdateCounter(self.optimizer)
        self.window = Window(plan)

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def __call__(self, batch: Batch) -> torch.Tensor:
        if self.window.fresh:
            self.optimizer.zero_grad()
        rows = len(batch.ids)
        loss: torch.Tensor = self.loss(self.model.module(batch.features), batch.targets)
        weight = self.window.weight(rows)
        (loss if weight == 1 else loss * weight).backward()  # type: ignore[no-untyped-call]
        divisor = self.window.close(batch.place, rows)
        if divisor is not None:
            if divisor != 1:
                torch._foreach_div_([p.grad for p in self.model.module.parameters() if p.grad is not None], divisor)
            self.optimizer.step()
        return loss


def _cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def _mean_squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.mse_loss(outputs, targets.reshape(outputs.shape))


def _negative_sum(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return -outputs.sum()


_LOSSES: dict[str, Any] = {
    "softmax_cross_entropy": _cross_entropy,
    "mean_squared_error": _mean_squared_error,
    "negative_sum": _negative_sum,
}
