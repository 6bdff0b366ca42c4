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


class _Dropout(nn.Module):
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
        rows = torch.arange(len(x), device=x.device).unsqueeze(1)
        kept = self.mask.kept(self.step, rows, self.elements)
        self.step.add_(1)
        dropped: Tensor = x * (kept.view(x.shape).to(x.dtype) * self.factor)
        return dropped


def _dropout(layer: layers.Dropout, inputs: Shape) -> Lowered:
    dropout = _Dropout(layer, inputs)
    return dropout, {"step": Parameter(dropout.step)}


LOWER: dict[type[layers.Layer], Lowering] = {layers.Dropout: _dropout}
