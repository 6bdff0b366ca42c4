"""Layers that read from first to last, over torch's own kernels where it has the formula."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xframe.tasks import layers
from xframe.tasks.builders import Parameter
from xframe.tasks.layers import Shape
from xframe_torch.layers.layer import TRANSPOSED, Lowered, Lowering, empty


class _Outputs(nn.Module):
    """Of a recurrent module: all, or the last alone."""

    def __init__(self, recurrent: nn.Module, every: bool) -> None:
        super().__init__()
        self.recurrent, self.every = recurrent, every

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.recurrent(x)[0]
        return outputs if self.every else outputs[:, -1]


def _weights(module: Any) -> dict[str, Parameter]:
    return {
        "kernel": Parameter(module.weight_ih_l0, TRANSPOSED),
        "recurrent": Parameter(module.weight_hh_l0, TRANSPOSED),
        "bias": Parameter(module.bias_ih_l0),
    }


def _with_one_bias(module: Any, every: bool) -> Lowered:
    nn.init.zeros_(module.bias_hh_l0.requires_grad_(False))  # torch adds two biases: trained, they would learn twice
    return _Outputs(module, every), _weights(module)


def _simple_rnn(layer: layers.SimpleRNN, inputs: Shape) -> Lowered:
    rnn = empty(nn.RNN, inputs[-1], layer.units, nonlinearity=layer.activation, batch_first=True)
    return _with_one_bias(rnn, layer.return_sequences)


def _lstm(layer: layers.LSTM, inputs: Shape) -> Lowered:
    lstm = empty(nn.LSTM, inputs[-1], layer.units, batch_first=True)
    return _with_one_bias(lstm, layer.return_sequences)


class _ResetBefore(nn.Module):
    """A GRU whose reset gate acts before the product, step by step: torch's own acts after it."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.weight_ih_l0 = nn.Parameter(torch.empty(3 * units, inputs))
        self.weight_hh_l0 = nn.Parameter(torch.empty(3 * units, units))
        self.bias_ih_l0 = nn.Parameter(torch.empty(3 * units))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        gates, last = self.weight_hh_l0[: 2 * self.units], self.weight_hh_l0[2 * self.units :]
        h, outputs = x.new_zeros(len(x), self.units), []
        for a in nn.functional.linear(x, self.weight_ih_l0, self.bias_ih_l0).unbind(1):
            r, z = torch.sigmoid(a[:, : 2 * self.units] + h @ gates.t()).chunk(2, dim=1)
            new = torch.tanh(a[:, 2 * self.units :] + (r * h) @ last.t())
            h = (1 - z) * new + z * h
            outputs.append(h)
        return (torch.stack(outputs, dim=1),)


def _gru(layer: layers.GRU, inputs: Shape) -> Lowered:
    if not layer.reset_after:
        before = _ResetBefore(inputs[-1], layer.units)
        return _Outputs(before, layer.return_sequences), _weights(before)
    gru = empty(nn.GRU, inputs[-1], layer.units, batch_first=True)
    weights = {**_weights(gru), "recurrent_bias": Parameter(gru.bias_hh_l0)}
    return _Outputs(gru, layer.return_sequences), weights


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.LSTM: _lstm,
    layers.GRU: _gru,
    layers.SimpleRNN: _simple_rnn,
}
