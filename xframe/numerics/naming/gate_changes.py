"""The ways in which a recurrent layer is known to be computed otherwise than stated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import permutations

import numpy as np

from xframe.numerics.naming.changed import Changed
from xframe.numerics.naming.trials import Array, of_layer
from xframe.tasks import layers
from xframe.tasks.layers import Layer

Weights = Mapping[str, Array]
RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)
_GATES = {layers.LSTM: "ifgo", layers.GRU: "rzn"}


def of_gates(layer: Layer, weights: Weights, inputs: Array) -> Iterator[Changed]:
    """Each known change of what a recurrent layer computes."""
    assert isinstance(layer, RECURRENT)
    if not isinstance(layer, layers.SimpleRNN):
        yield from _of_order(layer, weights, _GATES[type(layer)])
    if isinstance(layer, layers.LSTM):
        width = layer.units
        more = weights["bias"].copy()
        more[width : 2 * width] += 1
        yield Changed("forget-bias-added", "1 added to the forget gate's bias", weights={**weights, "bias": more})
    if isinstance(layer, layers.GRU):
        yield from _of_gru(layer, weights)
    if isinstance(layer, layers.SimpleRNN):
        other = "relu" if layer.activation == "tanh" else "tanh"
        yield Changed("activation", f"{other} in its place", replace(layer, activation=other))  # type: ignore[arg-type]
    square = weights["recurrent"]
    if square.shape[0] == square.shape[1]:
        yield Changed(
            "kernel-transposed", "the recurrent kernel transposed", weights={**weights, "recurrent": square.T}
        )
    yield from _of_reading(layer, weights, inputs)


def _of_order(layer: layers.LSTM | layers.GRU, weights: Weights, gates: str) -> Iterator[Changed]:
    """The parts of the kernels read in another order."""
    for order in permutations(range(len(gates))):
        if order == tuple(range(len(gates))):
            continue
        read = ", ".join(gates[gate] for gate in order)
        places = [order.index(gate) for gate in range(len(gates))]  # where each gate is read from
        turned = {name: _parts(one, places, layer.units) for name, one in weights.items()}
        yield Changed("gates-swapped", f"its parts read as {read}", weights=turned, settings={"order": read})


def _parts(values: Array, places: list[int], units: int) -> Array:
    return np.concatenate([values[..., place * units : (place + 1) * units] for place in places], axis=-1)


def _of_gru(layer: layers.GRU, weights: Weights) -> Iterator[Changed]:
    units = layer.units
    second = slice(units, 2 * units)
    negative = {name: one.copy() for name, one in weights.items()}
    for one in negative.values():
        one[..., second] *= -1
    yield Changed("update-gate-inverted", "z and 1 - z swapped", weights=negative)
    if layer.reset_after:
        joined = weights["bias"] + weights["recurrent_bias"]
        before = replace(layer, reset_after=False)
        inner = {"kernel": weights["kernel"], "recurrent": weights["recurrent"], "bias": joined}
        yield Changed("reset-after", "the reset gate before the product", before, weights=inner)
        one_bias = {**weights, "bias": joined, "recurrent_bias": np.zeros_like(joined)}
        yield Changed("bias-joined", "both biases added outside the reset gate", weights=one_bias)
    else:
        zero = np.zeros_like(weights["bias"])
        after = replace(layer, reset_after=True)
        yield Changed(
            "reset-after", "the reset gate after the product", after, weights={**weights, "recurrent_bias": zero}
        )


def _of_reading(
    layer: layers.LSTM | layers.GRU | layers.SimpleRNN, weights: Weights, inputs: Array
) -> Iterator[Changed]:
    """Other axes, or another direction."""
    every = replace(layer, return_sequences=True)

    def swapped(x: Array) -> Array:
        y: Array = of_layer(every)(every, weights, x.swapaxes(0, 1), True).outputs
        y = y.swapaxes(0, 1)
        return y if layer.return_sequences else y[:, -1]

    yield Changed("batch-and-sequence-swapped", "the batch read as the sequence", made=swapped)
    last = inputs[:, ::-1]
    if layer.return_sequences:
        yield Changed("read-backwards", "read from last to first", inputs=last, after=lambda y: y[:, ::-1])
    yield Changed("read-backwards", "read from last to first", inputs=last)
    if not layer.return_sequences:
        yield Changed("first-output", "the first place's output", layer=every, after=lambda y: y[:, 0])
        yield Changed("mean-output", "the mean of all places' outputs", layer=every, after=lambda y: y.mean(axis=1))
