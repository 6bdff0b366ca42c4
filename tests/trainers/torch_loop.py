"""The tutorials' training loops in PyTorch, watched step by step."""

from __future__ import annotations

from typing import Any, Literal

import torch
from observed import Observed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class WatchedTask:
    """A linear model on unit vectors, its optimizer and its loader; ``seen`` fills up as a trainer uses them."""

    def __init__(self, num_samples: int, batch_size: int, drop_last: bool) -> None:
        rows = torch.eye(num_samples, dtype=torch.float64)
        self.seen = Observed()
        self.loader = DataLoader(TensorDataset(rows, rows), batch_size=batch_size, drop_last=drop_last)
        self.model = nn.Linear(num_samples, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(self.model.weight)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0)
        self.model.register_forward_pre_hook(self._on_step)
        self.optimizer.register_step_pre_hook(self._on_update)

    @staticmethod
    def loss(outputs: torch.Tensor, _targets: torch.Tensor) -> torch.Tensor:
        return -outputs.mean()

    def _on_step(self, _model: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        self.seen.ids.append(inputs[0].argmax(dim=1).tolist())
        self.seen.updates.append(len(self.seen.gradients))

    def _on_update(self, *_: Any) -> None:
        self.seen.gradients.append(0.0 - self.model.weight.grad.numpy()[0])  # no negative zeros, and a copy
        self.seen.updates[-1] = len(self.seen.gradients)


def run_torch(
    num_samples: int,
    *,
    batch_size: int,
    epochs: int,
    gradient_accumulation_steps: int = 1,
    leftover: Literal["flush", "zero", "carry", "leak"] = "flush",
    normalization: Literal["window", "sum"] = "window",
    drop_last: bool = False,
    max_steps: int | None = None,
) -> Observed:
    """Four loops that differ in what becomes of the steps left at an epoch's end; ``max_steps`` ends training.

    Args:
        leftover: ``flush``: the epoch's last batch always steps. ``zero``: gradients are cleared as each epoch
            starts. ``carry``: the batches are counted over all epochs. ``leak``: they are counted from each
            epoch's start, and gradients are cleared after a step only.
    """
    k = gradient_accumulation_steps
    task = WatchedTask(num_samples, batch_size, drop_last)
    model, optimizer, loader = task.model, task.optimizer, task.loader
    steps = 0
    for _ in range(epochs):
        if leftover == "zero":
            optimizer.zero_grad()
        for index, (inputs, targets) in enumerate(loader):
            loss = task.loss(model(inputs), targets)
            (loss / k if normalization == "window" else loss).backward()
            steps += 1
            done = steps if leftover == "carry" else index + 1
            if done % k == 0 or (leftover == "flush" and done == len(loader)):
                optimizer.step()
                optimizer.zero_grad()
            if steps == max_steps:
                return task.seen
    return task.seen
