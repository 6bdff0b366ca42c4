"""Neutral layers lowered to torch.nn, one function each: the module, and where its weights are.

Modules are built without memory and then without values, so that no random number is drawn for weights that are
copied in. Between them arrays are channels last, as in the data. What torch takes as (rows, channels, H, W) is a
permuted view of that, its "channels last" memory format, so that nothing is copied to and fro.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from xframe.tasks import layers
from xframe.tasks.builders import NativeModel, Parameter
from xframe.tasks.layers import Placed, Shape

Lowered = tuple[nn.Module, Mapping[str, Parameter]]
_ACTIVATIONS: Mapping[str, type[nn.Module]] = {"linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}
_TRANSPOSED = (1, 0)  # torch keeps (units, inputs)


def lower(placed: list[Placed]) -> NativeModel:
    """The layers one after the other, with their weights by canonical name."""
    modules: list[nn.Module] = []
    parameters: dict[str, Parameter] = {}
    images = False
    for layer, name, inputs, _ in placed:
        module, weights = _LOWER[type(layer)](layer, inputs)
        parts = list(module) if isinstance(module, nn.Sequential) else [module]
        if images := images and type(layer) in _ON_IMAGES:
            cast(_Images, modules[-1]).modules_.extend(parts)
        elif images := len(inputs) == 3 and type(layer) in _ON_IMAGES:
            modules.append(_Images(*parts))
        else:
            modules += parts  # one Sequential of all: each that stands within another costs a call at each step
        parameters |= {f"{name}/{weight}": parameter for weight, parameter in weights.items()}
    return NativeModel(nn.Sequential(*modules), parameters)


def _empty(kind: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> Any:
    return kind(*args, **kwargs, device="meta").to_empty(device="cpu")


def _product(layer: layers.Dense | layers.Conv2D, module: Any, axes: tuple[int, ...]) -> Lowered:
    """The module with what follows it at once; ``axes`` are those of its kernel."""
    weights = {"kernel": Parameter(module.weight, axes)}
    if layer.use_bias:
        weights["bias"] = Parameter(module.bias)
    linear = layer.activation == "linear"
    return module if linear else nn.Sequential(module, _ACTIVATIONS[layer.activation]()), weights


def _dense(layer: layers.Dense, inputs: Shape) -> Lowered:
    return _product(layer, _empty(nn.Linear, inputs[-1], layer.units, bias=layer.use_bias), _TRANSPOSED)


class _Images(nn.Module):
    """Modules of torch's (rows, channels, H, W) on (rows, H, W, channels)."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.modules_ = nn.Sequential(*modules)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.modules_(images.permute(0, 3, 1, 2))
        return outputs.permute(0, 2, 3, 1)


def _conv2d(layer: layers.Conv2D, inputs: Shape) -> Lowered:
    conv = _empty(nn.Conv2d, inputs[-1], layer.filters, layer.kernel_size, padding=layer.padding, bias=layer.use_bias)
    return _product(layer, conv, (3, 2, 0, 1))


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """torch's own, but the running variance is that of the batches, divided by N, where torch's is by N − 1."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  torch's name
        pass  # of the shapes that place() lets through

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_var is not None
        assert self.momentum is not None
        before, estimate = self.running_var, self.running_var.clone()
        outputs = functional.batch_norm(
            x, self.running_mean, estimate, self.weight, self.bias, True, self.momentum, self.eps
        )
        # The estimate is now (1 − m)·before + m·v·n/(n − 1), and the running variance is to be (1 − m)·before + m·v.
        n = x.numel() // self.num_features
        before.mul_((1 - self.momentum) / n).add_(estimate, alpha=(n - 1) / n)
        return outputs


def _batch_norm(layer: layers.BatchNorm, inputs: Shape) -> Lowered:
    norm = _empty(_BatchNorm, inputs[-1], eps=layer.epsilon, momentum=1 - layer.momentum)
    norm.num_batches_tracked.zero_()
    weights = {"scale": norm.weight, "bias": norm.bias, "mean": norm.running_mean, "variance": norm.running_var}
    return norm, {name: Parameter(tensor) for name, tensor in weights.items()}


def _layer_norm(layer: layers.LayerNorm, inputs: Shape) -> Lowered:
    norm = _empty(nn.LayerNorm, inputs[-1], eps=layer.epsilon)
    return norm, {"scale": Parameter(norm.weight), "bias": Parameter(norm.bias)}


def _embedding(layer: layers.Embedding, inputs: Shape) -> Lowered:
    embedding = _empty(nn.Embedding, layer.vocabulary, layer.units)
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


class _LastOutput(nn.Module):
    def __init__(self, recurrent: nn.Module) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.recurrent(x)[0]
        return outputs[:, -1]


def _lstm(layer: layers.LSTM, inputs: Shape) -> Lowered:
    lstm = _empty(nn.LSTM, inputs[-1], layer.units, batch_first=True)
    nn.init.zeros_(lstm.bias_hh_l0.requires_grad_(False))  # torch adds two biases: trained, they would learn twice
    weights = {
        "kernel": Parameter(lstm.weight_ih_l0, _TRANSPOSED),
        "recurrent": Parameter(lstm.weight_hh_l0, _TRANSPOSED),
        "bias": Parameter(lstm.bias_ih_l0),
    }
    return _LastOutput(lstm), weights


class _Block(nn.Module):
    """A pre-norm transformer block over ``scaled_dot_product_attention``."""

    def __init__(self, layer: layers.TransformerBlock, units: int) -> None:
        super().__init__()
        self.heads = layer.heads
        self.norm_1, self.norm_2 = (_empty(nn.LayerNorm, units, eps=layer.epsilon) for _ in range(2))
        self.query, self.key, self.value, self.output = (_empty(nn.Linear, units, units, bias=False) for _ in range(4))
        self.up, self.down = _empty(nn.Linear, units, layer.hidden), _empty(nn.Linear, layer.hidden, units)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm_1(x)
        query, key, value = (
            product(h).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (rows, heads, T, units / heads)
            for product in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).flatten(-2))
        outputs: Tensor = x + self.down(functional.silu(self.up(self.norm_2(x))))
        return outputs


def _transformer_block(layer: layers.TransformerBlock, inputs: Shape) -> Lowered:
    block, weights = _Block(layer, inputs[-1]), dict[str, Parameter]()
    for name in ("norm_1", "norm_2"):
        norm = getattr(block, name)
        weights |= {f"{name}_scale": Parameter(norm.weight), f"{name}_bias": Parameter(norm.bias)}
    for name in ("query", "key", "value", "output", "up", "down"):
        weights[name] = Parameter(getattr(block, name).weight, _TRANSPOSED)
    for name in ("up", "down"):
        weights[f"{name}_bias"] = Parameter(getattr(block, name).bias)
    return block, weights


# Where inputs have 3 dimensions.
_ON_IMAGES = (layers.Conv2D, layers.MaxPool2D, layers.AveragePool2D, layers.BatchNorm, layers.Activation)
_LOWER: dict[type[layers.Layer], Callable[[Any, Shape], Lowered]] = {
    layers.Dense: _dense,
    layers.Activation: lambda layer, _: (_ACTIVATIONS[layer.function](), {}),
    layers.Flatten: lambda layer, _: (nn.Flatten(), {}),
    layers.Conv2D: _conv2d,
    layers.MaxPool2D: lambda layer, _: (nn.MaxPool2d(layer.size), {}),
    layers.AveragePool2D: lambda layer, _: (nn.AvgPool2d(layer.size), {}),
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: _layer_norm,
    layers.Embedding: _embedding,
    layers.Position: _position,
    layers.LSTM: _lstm,
    layers.TransformerBlock: _transformer_block,
}
