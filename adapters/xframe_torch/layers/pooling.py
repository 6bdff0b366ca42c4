"""One value for each window or each whole image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from xframe.tasks import layers
from xframe.tasks.layers import Shape
from xframe_torch.layers.convolution import Padded, Pads, alike
from xframe_torch.layers.layer import Lowered, Lowering, in_a_row


def _max_pool(layer: layers.MaxPool2D, inputs: Shape) -> Lowered:
    pads = layer.pads(inputs)
    even = alike(pads)
    before = Padded(pads, -math.inf) if even is None else None
    return in_a_row(before, nn.MaxPool2d(layer.size, layer.step, even or 0)), {}


class _AverageOfThere(nn.Module):
    """The mean of each window's places that are no padding, where ends are padded unlike."""

    places: Tensor

    def __init__(self, layer: layers.AveragePool2D, inputs: Shape, pads: Pads) -> None:
        super().__init__()
        self.layer, self.padded = layer, Padded(pads)
        high, wide = (torch.tensor(counts, dtype=torch.float32) for counts in layer.present(inputs))
        self.register_buffer("places", torch.outer(high, wide), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        sums = functional.avg_pool2d(self.padded(images), self.layer.size, self.layer.step, divisor_override=1)
        return sums / self.places


def _average_pool(layer: layers.AveragePool2D, inputs: Shape) -> Lowered:
    pads, counted = layer.pads(inputs), layer.count_padding
    even = alike(pads)
    if even is not None:
        return nn.AvgPool2d(layer.size, layer.step, even, count_include_pad=counted), {}
    return in_a_row(Padded(pads), nn.AvgPool2d(layer.size, layer.step)) if counted else _AverageOfThere(
        layer, inputs, pads
    ), {}


class _GlobalAverage(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(1, 2))


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.MaxPool2D: _max_pool,
    layers.AveragePool2D: _average_pool,
    layers.GlobalAveragePool2D: lambda layer, _: (_GlobalAverage(), {}),
}
