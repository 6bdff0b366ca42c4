"""Attention."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from xframe.tasks import layers
from xframe.tasks.layers import Shape
from xframe_tensorflow.layers.dense import dense
from xframe_tensorflow.layers.layer import Lowered, Lowering
from xframe_tensorflow.layers.norms import layer_norm


def _transformer_block(layer: layers.TransformerBlock, inputs: Shape, x: Any) -> Lowered:
    """Of Dense layers over ``dot_product_attention``: MultiHeadAttention rounds 1 / √d to float32."""
    length, units = inputs
    weights = {}

    def normed(x: Any, name: str) -> Any:
        outputs, own = layer_norm(layers.LayerNorm(layer.epsilon), inputs, x)
        weights.update({f"{name}_{weight}": variable for weight, variable in own.items()})
        return outputs

    def product(x: Any, name: str, layer: layers.Dense) -> Any:
        outputs, own = dense(layer, inputs, x)
        weights.update({name if weight == "kernel" else f"{name}_bias": variable for weight, variable in own.items()})
        return outputs

    def split(x: Any) -> Any:
        return keras.layers.Reshape((length, layer.heads, units // layer.heads))(x)

    plain = layers.Dense(units, use_bias=False)
    h = normed(x, "norm_1")
    query, key, value = (split(product(h, name, plain)) for name in ("query", "key", "value"))
    scale = np.float64((units / layer.heads) ** -0.5)
    mixed = keras.ops.dot_product_attention(query, key, value, is_causal=True, scale=scale)
    x = x + product(keras.layers.Reshape(inputs)(mixed), "output", plain)
    h = keras.activations.silu(product(normed(x, "norm_2"), "up", layers.Dense(layer.hidden)))
    return x + product(h, "down", layers.Dense(units)), weights


LOWER: dict[type[layers.Layer], Lowering] = {layers.TransformerBlock: _transformer_block}
