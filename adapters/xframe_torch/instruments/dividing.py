"""Losses that are divided before the backward pass, as where gradients are accumulated over several steps.

What is divided by a whole number, once or twice, was the step's loss before; what else is computed of it is a loss of
its own.
"""

from __future__ import annotations

from typing import Any

import torch


def undivided(mean: torch.Tensor, loss: torch.Tensor, *, scaled: bool) -> torch.Tensor | None:
    """The mean, if the loss is that divided by whole numbers, and perhaps scaled after that; else None."""
    node: Any = loss.grad_fn
    if scaled and node is not None:
        node = node.next_functions[0][0]
    divisions, of = 0, mean.grad_fn
    while (node := _passed_on(node, of)) is not None and node is not of and node.name() == "DivBackward0":
        other = node._saved_other
        if node.next_functions[1][0] is not None or other.numel() != 1 or not other.is_cpu:
            return None
        if other.item() < 1 or other.item() % 1:
            return None
        node, divisions = node.next_functions[0][0], divisions + 1
    return mean if divisions and node is of else None


def _passed_on(node: Any, of: Any) -> Any:
    """The mean's node, where this is one by which DistributedDataParallel passes the outputs on; else itself."""
    through = node is not None and node.name() == "_DDPSinkBackward"
    return of if through and any(before is of for before, _ in node.next_functions) else node


def read(value: torch.Tensor) -> Any:
    """A scalar's value: a number if it lies on the CPU, which costs less than another tensor; else what stays there."""
    return value.tolist() if type(value) is torch.Tensor and value.is_cpu else value.detach()
