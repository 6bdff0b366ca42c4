"""Losses, and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch


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


LOSSES: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "softmax_cross_entropy": _softmax_cross_entropy,
    "mean_squared_error": _mean_squared_error,
    "negative_sum": _negative_sum,
}
