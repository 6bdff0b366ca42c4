"""Convolutions. Where the ends of an axis are padded alike the native module pads, else one before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xframe.tasks import layers
from xframe.tasks.builders import Parameter
from xframe.tasks.layers import Shape
from xframe_torch.layers.activations import following
from xframe_torch.layers.layer import Lowered, Lowering, Series, empty, in_a_row

Pads = tuple[tuple[int, int], ...]


def alike(pads: Pads) -> Any:
    """What is padded at both ends of each axis, if the ends are padded alike, else None."""
    return tuple(before for before, _ in pads) if all(before == after for before, after in pads) else None


class Padded(nn.Module):
    """Something added at the ends of the last axes; torch counts them from the last."""

    def __init__(self, pads: Pads, value: float = 0) -> None:
        super().__init__()
        self.pads, self.value = [size for pad in reversed(pads) for size in pad], value

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x, self.pads, value=self.value)


def _padding(layer: layers.Conv1D | layers.Conv2D | layers.DepthwiseConv2D, pads: Pads) -> tuple[Any, Padded | None]:
    """The native module's own padding, and what comes before it."""
    if layer.strides == 1 and layer.padding in ("same", "valid"):
        return layer.padding, None
    even = alike(pads)
    return (0, Padded(pads)) if even is None else (even, None)


def _conv(kind: type[nn.Module], layer: layers.Conv1D | layers.Conv2D, inputs: Shape, axes: tuple[int, ...]) -> Lowered:
    padding, before = _padding(layer, layer.pads(inputs))
    conv = empty(
        kind,
        inputs[-1],
        layer.filters,
        layer.kernel_size,
        stride=layer.strides,
        padding=padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.use_bias,
    )
    return in_a_row(before, conv, following(layer.activation)), _weights(layer.use_bias, conv, axes)


def _weights(use_bias: bool, module: Any, axes: tuple[int, ...]) -> dict[str, Parameter]:
    return {"kernel": Parameter(module.weight, axes), **({"bias": Parameter(module.bias)} if use_bias else {})}


def _conv2d(layer: layers.Conv2D, inputs: Shape) -> Lowered:
    return _conv(nn.Conv2d, layer, inputs, (3, 2, 0, 1))


def _conv1d(layer: layers.Conv1D, inputs: Shape) -> Lowered:
    module, weights = _conv(nn.Conv1d, layer, inputs, (2, 1, 0))
    return Series(module), weights


class _Depthwise(nn.Module):
    """A convolution with a group for each channel, its weight (channels, multiplier, H, W)."""

    def __init__(self, layer: layers.DepthwiseConv2D, channels: int, padding: Any) -> None:
        super().__init__()
        size = layer.kernel_size
        self.weight = nn.Parameter(torch.empty(channels, layer.multiplier, size, size))
        self.bias = nn.Parameter(torch.empty(channels * layer.multiplier)) if layer.use_bias else None
        self.settings = layer.strides, padding, layer.dilation, channels

    def forward(self, images: Tensor) -> Tensor:
        return functional.conv2d(images, self.weight.flatten(0, 1).unsqueeze(1), self.bias, *self.settings)


def _depthwise(layer: layers.DepthwiseConv2D, inputs: Shape) -> Lowered:
    padding, before = _padding(layer, layer.conv(inputs).pads(inputs))
    conv = _Depthwise(layer, inputs[-1], padding)
    return in_a_row(before, conv, following(layer.activation)), _weights(layer.use_bias, conv, (2, 3, 0, 1))


class _Crop(nn.Module):
    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :, : self.height, : self.width]


def _conv_transpose(layer: layers.ConvTranspose2D, inputs: Shape) -> Lowered:
    (start, height), (_, width) = (layer.crop(length) for length in inputs[:2])
    more = height - ((inputs[0] - 1) * layer.strides + layer.kernel_size - 2 * start)  # the same along both axes
    conv = empty(
        nn.ConvTranspose2d,
        inputs[-1],
        layer.filters,
        layer.kernel_size,
        stride=layer.strides,
        padding=start,
        output_padding=max(more, 0),
        bias=layer.use_bias,
    )
    crop = _Crop(height, width) if more < 0 else None
    return in_a_row(conv, crop, following(layer.activation)), _weights(layer.use_bias, conv, (2, 3, 0, 1))


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.Conv2D: _conv2d,
    layers.Conv1D: _conv1d,
    layers.DepthwiseConv2D: _depthwise,
    layers.ConvTranspose2D: _conv_transpose,
    layers.Upsample2D: lambda layer, _: (nn.Upsample(scale_factor=layer.size, mode=layer.method), {}),
}
