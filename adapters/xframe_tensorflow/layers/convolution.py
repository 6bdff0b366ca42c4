"""Convolutions. Padding by a word is Keras' own; by a number it comes before a convolution without."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from xframe.tasks import layers
from xframe.tasks.builders import Parameter
from xframe.tasks.layers import Shape
from xframe_tensorflow.layers.activations import ACTIVATIONS
from xframe_tensorflow.layers.layer import IMAGES, TRANSPOSED, Lowered, Lowering, applied

_Conv = layers.Conv1D | layers.Conv2D | layers.DepthwiseConv2D | layers.ConvTranspose2D


def _padded(layer: Any, x: Any, zeros: Any) -> tuple[str, Any]:
    """The native layer's own padding, and what it is given."""
    if isinstance(layer.padding, str):
        return layer.padding, x
    return "valid", zeros(layer.padding, **IMAGES)(x) if layer.padding else x


def _settings(layer: _Conv) -> dict[str, Any]:
    """What all convolutions have."""
    return {
        "strides": layer.strides,
        "activation": ACTIVATIONS[layer.activation],
        "use_bias": layer.use_bias,
        **IMAGES,
    }


def _weights(layer: _Conv) -> dict[str, str]:
    return {"kernel": "kernel", **({"bias": "bias"} if layer.use_bias else {})}


def _conv(kind: Any, zeros: Any, layer: layers.Conv1D | layers.Conv2D, x: Any) -> Lowered:
    padding, x = _padded(layer, x, zeros)
    native = kind(
        layer.filters,
        layer.kernel_size,
        padding=padding,
        dilation_rate=layer.dilation,
        groups=layer.groups,
        kernel_initializer="zeros",
        **_settings(layer),
    )
    return applied(native, x, **_weights(layer))


def _depthwise(layer: layers.DepthwiseConv2D, inputs: Shape, x: Any) -> Lowered:
    padding, x = _padded(layer, x, keras.layers.ZeroPadding2D)
    native = keras.layers.DepthwiseConv2D(
        layer.kernel_size,
        padding=padding,
        depth_multiplier=layer.multiplier,
        dilation_rate=layer.dilation,
        depthwise_initializer="zeros",
        **_settings(layer),
    )
    return applied(native, x, **_weights(layer))


class _Cropped(keras.layers.Conv2DTranspose):  # type: ignore[misc]
    """The part of the sum that a number for padding leaves, as torch has it."""

    def __init__(self, layer: layers.ConvTranspose2D, inputs: Shape, **settings: Any) -> None:
        super().__init__(layer.filters, layer.kernel_size, padding="valid", **settings)
        self.sides, self.pad = layer.outputs(inputs), [layer.padding] * 2

    def call(self, x: Any) -> Any:
        shape, pads = [tf.shape(x)[0], *self.sides], [[0, 0], self.pad, self.pad, [0, 0]]
        outputs = tf.nn.conv2d_transpose(x, self.kernel, shape, self.strides, pads)
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], *self.sides)


def _conv_transpose(layer: layers.ConvTranspose2D, inputs: Shape, x: Any) -> Lowered:
    settings = {"kernel_initializer": "zeros", **_settings(layer)}
    if isinstance(layer.padding, str):
        native = keras.layers.Conv2DTranspose(layer.filters, layer.kernel_size, padding=layer.padding, **settings)
    else:
        native = _Cropped(layer, inputs, **settings)
    outputs, weights = applied(native, x, **_weights(layer))
    return outputs, {**weights, "kernel": Parameter(weights["kernel"], TRANSPOSED)}


class _Bilinear(keras.layers.Layer):  # type: ignore[misc]
    """As products along both axes: TensorFlow's own resizes in float32 whatever the precision."""

    def __init__(self, layer: layers.Upsample2D, inputs: Shape) -> None:
        super().__init__()
        self.high, self.wide = (layer.shares(length) for length in inputs[:2])

    def call(self, x: Any) -> Any:
        high, wide = (tf.constant(shares, x.dtype) for shares in (self.high, self.wide))
        return tf.einsum("ph,nhwc,qw->npqc", high, x, wide)


def _upsample(layer: layers.Upsample2D, inputs: Shape, x: Any) -> Lowered:
    nearest = keras.layers.UpSampling2D(layer.size, interpolation="nearest", **IMAGES)
    return applied(nearest if layer.method == "nearest" else _Bilinear(layer, inputs), x)


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.Conv2D: lambda layer, _, x: _conv(keras.layers.Conv2D, keras.layers.ZeroPadding2D, layer, x),
    layers.Conv1D: lambda layer, _, x: _conv(keras.layers.Conv1D, keras.layers.ZeroPadding1D, layer, x),
    layers.DepthwiseConv2D: _depthwise,
    layers.ConvTranspose2D: _conv_transpose,
    layers.Upsample2D: _upsample,
}
