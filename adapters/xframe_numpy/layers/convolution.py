"""Convolutions as products for each place of the kernel; one along a single axis as one of images of height 1."""

from __future__ import annotations

import numpy as np

from xframe.tasks import layers
from xframe_numpy.layers.activations import activated
from xframe_numpy.layers.dense import rows
from xframe_numpy.layers.layer import Array, Lowering, Passed, Weights
from xframe_numpy.layers.window import Windows, inner, padded

Pads = tuple[tuple[int, int], ...]


def _conv(
    layer: layers.Conv1D | layers.Conv2D, weights: Weights, x: Array, pads: Pads, size: tuple[int, int]
) -> Passed:
    """Of images; their own kernel (*size, inputs / groups, filters)."""
    kernel, wide = weights["kernel"], padded(x, pads)
    dilation, groups, span = layer.dilation, layer.groups, layer.filters // layer.groups
    counts = [
        (length - dilation * (along - 1) - 1) // layer.strides + 1
        for length, along in zip(wide.shape[1:3], size, strict=True)
    ]
    windows = Windows(size, layer.strides, dilation, (counts[0], counts[1]))
    width = x.shape[-1] // groups
    parts = [(slice(g * width, (g + 1) * width), slice(g * span, (g + 1) * span)) for g in range(groups)]
    z = np.zeros((len(x), *counts, layer.filters), x.dtype)
    for place, view in windows.views(wide):
        for channels, filters in parts:
            z[..., filters] += view[..., channels] @ kernel[place][:, filters]
    outputs, before = activated(layer.activation, z + weights["bias"] if layer.use_bias else z)

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        gradient = before(gradient)
        of_kernel, of_wide = np.zeros_like(kernel), np.zeros_like(wide)
        for (place, view), (_, into) in zip(windows.views(wide), windows.views(of_wide), strict=True):
            for channels, filters in parts:
                of_kernel[place][:, filters] = rows(view[..., channels]).T @ rows(gradient[..., filters])
                into[..., channels] += gradient[..., filters] @ kernel[place][:, filters].T
        return {"kernel": of_kernel, **_bias(layer.use_bias, gradient)}, inner(of_wide, pads)

    return Passed(outputs, back)


def _bias(used: bool, gradient: Array) -> dict[str, Array]:
    return {"bias": rows(gradient).sum(axis=0)} if used else {}


def _conv2d(layer: layers.Conv2D, weights: Weights, x: Array, training: bool) -> Passed:
    return _conv(layer, weights, x, layer.pads(x.shape[1:]), (layer.kernel_size, layer.kernel_size))


def _conv1d(layer: layers.Conv1D, weights: Weights, x: Array, training: bool) -> Passed:
    pads = ((0, 0), *layer.pads(x.shape[1:]))
    high = {**weights, "kernel": weights["kernel"][None]}
    outputs, before, _ = _conv(layer, high, x[:, None], pads, (1, layer.kernel_size))

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        of_weights, of_x = before(gradient[:, None])
        return of_weights | {"kernel": of_weights["kernel"][0]}, of_x[:, 0]

    return Passed(outputs[:, 0], back)


def _depthwise(layer: layers.DepthwiseConv2D, weights: Weights, x: Array, training: bool) -> Passed:
    kernel, conv = weights["kernel"], layer.conv(x.shape[1:])
    joined = {**weights, "kernel": kernel.reshape(*kernel.shape[:2], 1, -1)}
    outputs, before, _ = _conv2d(conv, joined, x, training)

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        of_weights, of_x = before(gradient)
        return of_weights | {"kernel": of_weights["kernel"].reshape(kernel.shape)}, of_x

    return Passed(outputs, back)


def _conv_transpose(layer: layers.ConvTranspose2D, weights: Weights, x: Array, training: bool) -> Passed:
    kernel, (height, width) = weights["kernel"], x.shape[1:3]
    (top, high), (left, wide) = layer.crop(height), layer.crop(width)
    windows = Windows((layer.kernel_size, layer.kernel_size), layer.strides, 1, (height, width))

    def whole() -> Array:  # large enough for the sum and for the part that is kept
        sides = [
            max((length - 1) * layer.strides + layer.kernel_size, start + kept)
            for length, start, kept in ((height, top, high), (width, left, wide))
        ]
        return np.zeros((len(x), *sides, layer.filters), x.dtype)

    total = whole()
    for place, into in windows.views(total):
        into += x @ kernel[place]
    z = total[:, top : top + high, left : left + wide]
    outputs, before = activated(layer.activation, z + weights["bias"] if layer.use_bias else z)

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        gradient = before(gradient)
        of_total, of_kernel, of_x = whole(), np.zeros_like(kernel), np.zeros_like(x)
        of_total[:, top : top + high, left : left + wide] = gradient
        for place, view in windows.views(of_total):
            of_kernel[place] = rows(x).T @ rows(view)
            of_x += view @ kernel[place].T
        return {"kernel": of_kernel, **_bias(layer.use_bias, gradient)}, of_x

    return Passed(outputs, back)


def _upsample(layer: layers.Upsample2D, weights: Weights, x: Array, training: bool) -> Passed:
    high, wide = (layer.shares(length).astype(x.dtype) for length in x.shape[1:3])

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        return {}, np.einsum("ph,qw,npqc->nhwc", high, wide, gradient, optimize=True)

    return Passed(np.einsum("ph,qw,nhwc->npqc", high, wide, x, optimize=True), back)


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.Conv2D: _conv2d,
    layers.Conv1D: _conv1d,
    layers.DepthwiseConv2D: _depthwise,
    layers.ConvTranspose2D: _conv_transpose,
    layers.Upsample2D: _upsample,
}
