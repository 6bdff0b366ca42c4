"""Attention."""

from __future__ import annotations

import math

import numpy as np

from xframe.tasks import layers
from xframe_numpy.layers.activations import activated
from xframe_numpy.layers.dense import product, rows
from xframe_numpy.layers.layer import Array, Back, Lowering, Passed, Weights
from xframe_numpy.layers.norms import layer_norm


def _attention(heads: int, weights: Weights, h: Array) -> tuple[Array, Back]:
    count, length, units = h.shape
    scale = 1 / math.sqrt(units // heads)

    def split(values: Array) -> Array:
        return values.reshape(count, length, heads, -1).transpose(0, 2, 1, 3)

    def joined(values: Array) -> Array:
        return values.transpose(0, 2, 1, 3).reshape(count, length, units)

    query, key, value = (split(h @ weights[name]) for name in ("query", "key", "value"))
    scores = query @ key.transpose(0, 1, 3, 2) * scale
    scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    mixed = joined(shares @ value)

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        of_output, of_mixed = product(mixed, weights["output"], gradient)
        of_mixed = split(of_mixed)
        of_shares = of_mixed @ value.transpose(0, 1, 3, 2)
        of_scores = shares * (of_shares - (of_shares * shares).sum(axis=-1, keepdims=True)) * scale
        of_parts = {
            "query": of_scores @ key,
            "key": of_scores.transpose(0, 1, 3, 2) @ query,
            "value": shares.transpose(0, 1, 3, 2) @ of_mixed,
        }
        both = {name: product(h, weights[name], joined(part)) for name, part in of_parts.items()}
        of_h: Array = sum((of_input for _, of_input in both.values()), np.zeros_like(h))
        return {"output": of_output, **{name: of_kernel for name, (of_kernel, _) in both.items()}}, of_h

    return mixed @ weights["output"], back


def _transformer_block(layer: layers.TransformerBlock, weights: Weights, x: Array, training: bool) -> Passed:
    norm = layers.LayerNorm(layer.epsilon)
    first, second = ({part: weights[f"{name}_{part}"] for part in ("scale", "bias")} for name in ("norm_1", "norm_2"))
    h, first_back, _ = layer_norm(norm, first, x, training)
    attended, attention_back = _attention(layer.heads, weights, h)
    middle = x + attended
    h_2, second_back, _ = layer_norm(norm, second, middle, training)
    up, silu_back = activated("silu", h_2 @ weights["up"] + weights["up_bias"])

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        of_down, of_up = product(up, weights["down"], gradient)
        of_z = silu_back(of_up)
        of_kernel, of_h = product(h_2, weights["up"], of_z)
        of_second, of_middle = second_back(of_h)
        of_middle = of_middle + gradient
        of_attention, of_h = attention_back(of_middle)
        of_first, of_x = first_back(of_h)
        norms = {f"norm_1_{part}": one for part, one in of_first.items()}
        norms |= {f"norm_2_{part}": one for part, one in of_second.items()}
        biases = {"up_bias": rows(of_z).sum(axis=0), "down_bias": rows(gradient).sum(axis=0)}
        return {**norms, **of_attention, **biases, "up": of_kernel, "down": of_down}, of_x + of_middle

    return Passed(middle + up @ weights["down"] + weights["down_bias"], back)


LOWER: dict[type[layers.Layer], Lowering] = {layers.TransformerBlock: _transformer_block}
