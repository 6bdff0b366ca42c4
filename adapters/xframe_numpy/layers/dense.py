"""Products and tables."""

from __future__ import annotations

import numpy as np

from xframe.tasks import layers
from xframe_numpy.layers.activations import activated
from xframe_numpy.layers.layer import Array, Lowering, Passed, Weights


def product(x: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
    """The gradients of kernel and x, from that of ``x @ kernel`` over the last axis."""
    return rows(x).T @ rows(gradient), gradient @ kernel.T


def rows(x: Array) -> Array:
    """All axes but the last as one."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def _dense(layer: layers.Dense, weights: Weights, x: Array, training: bool) -> Passed:
    z: Array = x @ weights["kernel"]
    if layer.use_bias:
        z = z + weights["bias"]
    outputs, before = activated(layer.activation, z)

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        gradient = before(gradient)
        of_kernel, of_x = product(x, weights["kernel"], gradient)
        if layer.use_bias:
            return {"kernel": of_kernel, "bias": rows(gradient).sum(axis=0)}, of_x
        return {"kernel": of_kernel}, of_x

    return Passed(outputs, back)


def _flatten(layer: layers.Flatten, weights: Weights, x: Array, training: bool) -> Passed:
    return Passed(x.reshape(len(x), -1), lambda gradient: ({}, gradient.reshape(x.shape)))


def _embedding(layer: layers.Embedding, weights: Weights, x: Array, training: bool) -> Passed:
    table = weights["table"]

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        of_table = np.zeros_like(table)
        np.add.at(of_table, x, gradient)
        return {"table": of_table}, np.zeros(x.shape)  # integers have no gradient, and no layer comes before

    return Passed(table[x], back)


def _position(layer: layers.Position, weights: Weights, x: Array, training: bool) -> Passed:
    return Passed(x + weights["table"], lambda gradient: ({"table": gradient.sum(axis=0)}, gradient))


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.Dense: _dense,
    layers.Flatten: _flatten,
    layers.Embedding: _embedding,
    layers.Position: _position,
}
