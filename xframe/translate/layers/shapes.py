"""The shape of what a layer of Keras gives, as far as a sequence of layers shows it: None where a length is not known.

A shape has no samples' axis. ``(..., n)`` is n features on any number of axes.
"""

from __future__ import annotations

import re
from math import prod
from typing import Any

from xframe.translate.layers.common import of_keras, sizes
from xframe.translate.names import Bound, bind

Shape = tuple[Any, ...]
_AS_THEY_CAME = {
    *("Dropout", "Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Identity", "BatchNormalization"),
    *("LayerNormalization", "GroupNormalization", "RMSNormalization"),
}


def taken(call: Bound, shape: Shape | None) -> Shape | None:
    """The shape of a layer's inputs, on as many axes as the layer takes."""
    axes = _axes(call)
    if shape is None or not axes:
        return shape
    if shape[0] is ...:
        return (None,) * axes + shape[1:]
    return shape if len(shape) == axes + 1 else None


def given(call: Bound) -> Shape | None:
    """The shape of a layer's outputs."""
    stated: Any = call.values.get("input_shape")
    shape: Shape | None = None if stated is None else tuple(stated)
    inner = bind(of_keras(call["layer"])) if call.leaf == "Bidirectional" else call
    if call.leaf in _AS_THEY_CAME:
        return shape
    if call.leaf == "Dense":
        return (*(shape[:-1] if shape else (...,)), call["units"])
    if call.leaf == "Embedding":
        return None if shape is None else (*shape, call["output_dim"])
    if call.leaf == "Flatten":
        known = shape is not None and all(type(each) is int for each in shape)
        return (prod(shape) if known and shape else None,)
    if "return_sequences" in inner.values:
        units = inner["units"] * (1 if inner is call else 2)
        before = (shape[0] if shape and len(shape) == 2 else None,)
        return (*(before if inner["return_sequences"] else ()), units)
    return _of_images(call, taken(call, shape)) if _axes(call) else None


def _axes(call: Bound) -> int:
    """How many axes beside the features a layer works on; 0 where they may be any."""
    found = re.search(r"([12])D(Transpose)?$", call.leaf)
    return int(found[1]) if found else 0


def _of_images(call: Bound, shape: Shape | None) -> Shape | None:
    axes = _axes(call)
    *lengths, features = shape or (None,) * (axes + 1)
    if call.leaf.startswith("Global"):
        return (*((1,) * axes if call["keepdims"] else ()), features)
    if call.leaf == "DepthwiseConv2D":
        features = None if features is None else features * call["depth_multiplier"]
    elif "filters" in call.values:
        features = call["filters"]
    if call.leaf in ("UpSampling2D", "ZeroPadding2D", "Conv2DTranspose"):
        return (*(None for _ in lengths), features)
    kernel = sizes(call.values.get("pool_size", call.values.get("kernel_size")), axes)
    strides = call["strides"]
    strides = kernel if strides is None else sizes(strides, axes)
    dilation = sizes(call.values.get("dilation_rate", 1), axes)
    windows = zip(lengths, kernel, strides, dilation, strict=True)
    return (*(_length(each, k, s, d, call["padding"]) for each, k, s, d in windows), features)


def _length(length: Any, kernel: int, stride: int, dilation: int, padding: str) -> int | None:
    if type(length) is not int:
        return None
    reach = dilation * (kernel - 1) + 1 if padding == "valid" else 1
    return max(-(-(length - reach + 1) // stride), 0)
