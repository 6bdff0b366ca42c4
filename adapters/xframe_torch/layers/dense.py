"""Products and tables."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xframe.tasks import layers
from xframe.tasks.builders import Parameter
from xframe.tasks.layers import Shape
from xframe_torch.layers.activations import following
from xframe_torch.layers.layer import TRANSPOSED, Lowered, Lowering, empty, in_a_row


def _dense(layer: layers.Dense, inputs: Shape) -> Lowered:
    linear = empty(nn.Linear, inputs[-1], layer.units, bias=layer.use_bias)
    weights = {"kernel": Parameter(linear.weight, TRANSPOSED)}
    if layer.use_bias:
        weights["bias"] = Parameter(linear.bias)
    return in_a_row(linear, following(layer.activation)), weights


def _embedding(layer: layers.Embedding, inputs: Shape) -> Lowered:
    embedding = empty(nn.Embedding, layer.vocabulary, layer.units)
    return embedding, {"table": Parameter(embedding.weight)}


class _Position(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


def _position(layer: layers.Position, inputs: Shape) -> Lowered:
    position = _Position(inputs)
    return position, {"table": Parameter(position.table)}


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.Dense: _dense,
    layers.Flatten: lambda layer, _: (nn.Flatten(), {}),
    layers.Embedding: _embedding,
    layers.Position: _position,
}
