"""Normalisation, by the statistics of a batch or of each sample."""

from __future__ import annotations

from typing import Any

import keras

from xframe.tasks import layers
from xframe.tasks.layers import Shape
from xframe_tensorflow.layers.layer import Lowered, Lowering, applied


def _batch_norm(layer: layers.BatchNorm, inputs: Shape, x: Any) -> Lowered:
    norm = keras.layers.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon)
    return applied(norm, x, scale="gamma", bias="beta", mean="moving_mean", variance="moving_variance")


def layer_norm(layer: layers.LayerNorm, inputs: Shape, x: Any) -> Lowered:
    """Of each place's own mean and variance."""
    return applied(keras.layers.LayerNormalization(epsilon=layer.epsilon), x, scale="gamma", bias="beta")


def _group_norm(layer: layers.GroupNorm, inputs: Shape, x: Any) -> Lowered:
    return applied(keras.layers.GroupNormalization(layer.groups, epsilon=layer.epsilon), x, scale="gamma", bias="beta")


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: layer_norm,
    layers.GroupNorm: _group_norm,
    layers.RMSNorm: lambda layer, _, x: applied(keras.layers.RMSNormalization(epsilon=layer.epsilon), x, scale="scale"),
}
