"""Dropout by the masks that all frameworks have, computed where the data are."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from xframe.tasks import layers
from xframe.tasks.builders import Parameter
from xframe.tasks.layers import Shape
from xframe.tasks.layers.dropout import spread
from xframe_torch.layers.layer import Lowered, Lowering


class Dropout(nn.Module):
    """Multiplies by the step's mask.

    Attributes:
        rows: which of the step's rows are in the batch; None if all are.
    """

    rows: Tensor | None = None
    step: Tensor
    elements: Tensor

    def __init__(self, layer: layers.Dropout, inputs: Shape) -> None:
        super().__init__()
        self.mask, self.factor = layer.mask, 1 / (1 - layer.rate)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("elements", spread(torch.arange(math.prod(inputs))), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        rows = torch.arange(len(x), device=x.device) if self.rows is None else self.rows
        kept = self.mask.kept(self.step, rows.unsqueeze(1), self.elements)
        self.tick()
        dropped: Tensor = x * (kept.view(x.shape).to(x.dtype) * self.factor)
        return dropped

    def tick(self) -> None:
        """The step's mask was used."""
        self.step.add_(1)


def _dropout(layer: layers.Dropout, inputs: Shape) -> Lowered:
    dropout = Dropout(layer, inputs)
    return dropout, {"step": Parameter(dropout.step)}


LOWER: dict[type[layers.Layer], Lowering] = {layers.Dropout: _dropout}
