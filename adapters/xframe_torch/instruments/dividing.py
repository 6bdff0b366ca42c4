"""Losses that are divided before the backward pass, as where gradients are accumulated over several steps.

What is divided by a whole number, once or twice, was the step's loss before; what else is computed of it is a loss of
its own.
"""

from __future__ import annotations

from typing import Any

import torch


class Mean:
    """The last mean that a loss of torch's own gave, as a node of the graph and in numbers, until its backward pass."""

    def __init__(self, value: torch.Tensor) -> None:
        self._node, self._value = value.grad_fn, value.detach()

    def divided(self, loss: torch.Tensor, *, scaled: bool) -> torch.Tensor | None:
        """The mean, if the loss is that divided by whole numbers, and perhaps scaled after that; else None."""
        node: Any = loss.grad_fn
        if scaled and node is not None:
            node = node.next_functions[0][0]
        divisions = 0
        while node is not None and node is not self._node and node.name() == "DivBackward0":
            other = node._saved_other
            if node.next_functions[1][0] is not None or other.numel() != 1 or not other.is_cpu:
                return None
            if other.item() < 1 or other.item() % 1:
                return None
            node, divisions = node.next_functions[0][0], divisions + 1
        return self._value if divisions and node is self._node else None
