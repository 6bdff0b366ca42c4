"""Functions of each element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from xframe.tasks import layers
from xframe.tasks.builders import Parameter
from xframe.tasks.layers import Shape
from xframe_torch.layers.layer import Lowered, Lowering, empty

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": partial(nn.Softplus, threshold=40),  # from where it is x in float64 too; torch's own 20 is not
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "elu": nn.ELU,
}


def following(activation: str) -> nn.Module | None:
    """The module of that function, where it does anything."""
    return None if activation == "linear" else ACTIVATIONS[activation]()


class _PReLU(nn.Module):
    """With slopes by the last axes; torch's has one, or one for each place along the second axis."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, self.weight * x)


def _prelu(layer: layers.PReLU, inputs: Shape) -> Lowered:
    prelu = empty(nn.PReLU) if layer.slopes == "one" else _PReLU(layer.weights(inputs)["slope"])
    return prelu, {"slope": Parameter(prelu.weight)}


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.Activation: lambda layer, _: (ACTIVATIONS[layer.function](), {}),
    layers.LeakyReLU: lambda layer, _: (nn.LeakyReLU(layer.slope), {}),
    layers.ELU: lambda layer, _: (nn.ELU(layer.alpha), {}),
    layers.PReLU: _prelu,
}
