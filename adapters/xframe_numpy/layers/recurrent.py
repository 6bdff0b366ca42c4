"""Layers that read from first to last, with the way back through time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from xframe.tasks import layers
from xframe_numpy.layers.activations import FUNCTIONS, sigmoid
from xframe_numpy.layers.layer import Array, Lowering, Passed, Weights

Carried = tuple[Array, ...]  # what a step hands on, the output first
StepBack = Callable[[Carried, dict[str, Array]], tuple[Array, Carried]]
# Of what is multiplied by the kernel at a step, and what was carried to it: what is carried on, and given the gradient
# of that, and those of the weights to add to: the gradient of the product, and that of what was carried to it.
Step = Callable[[Array, Carried], tuple[Carried, StepBack]]


def _unrolled(layer: Any, weights: Weights, x: Array, step: Step, carries: int = 1) -> Passed:
    carried: Carried = (np.zeros((len(x), layer.units), x.dtype),) * carries
    given, outputs, backs = x @ weights["kernel"] + weights["bias"], [], []
    for t in range(x.shape[1]):
        carried, step_back = step(given[:, t], carried)
        outputs.append(carried[0])
        backs.append(step_back)

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        of_weights = {name: np.zeros_like(values) for name, values in weights.items()}
        of_given, of_carried = np.zeros_like(given), tuple(np.zeros_like(one) for one in carried)
        for t, step_back in reversed(list(enumerate(backs))):
            if layer.return_sequences:
                of_carried = (of_carried[0] + gradient[:, t], *of_carried[1:])
            elif t == len(backs) - 1:
                of_carried = (gradient, *of_carried[1:])
            of_given[:, t], of_carried = step_back(of_carried, of_weights)
        of_weights["kernel"] = np.einsum("ntf,ntg->fg", x, of_given)
        of_weights["bias"] = of_given.sum(axis=(0, 1))
        return of_weights, of_given @ weights["kernel"].T

    return Passed(np.stack(outputs, axis=1) if layer.return_sequences else outputs[-1], back)


def _simple_rnn(layer: layers.SimpleRNN, weights: Weights, x: Array, training: bool) -> Passed:
    recurrent, (function, derivative) = weights["recurrent"], FUNCTIONS[layer.activation]

    def step(given: Array, carried: Carried) -> tuple[Carried, StepBack]:
        (before,) = carried
        z = given + before @ recurrent
        h = function(z)

        def back(of_carried: Carried, of_weights: dict[str, Array]) -> tuple[Array, Carried]:
            of_z = of_carried[0] * derivative(z, h)
            of_weights["recurrent"] += before.T @ of_z
            return of_z, (of_z @ recurrent.T,)

        return (h,), back

    return _unrolled(layer, weights, x, step)


def _lstm(layer: layers.LSTM, weights: Weights, x: Array, training: bool) -> Passed:
    recurrent = weights["recurrent"]

    def step(given: Array, carried: Carried) -> tuple[Carried, StepBack]:
        before, memory = carried
        i, f, g, o = np.split(given + before @ recurrent, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * memory + i * g
        bent = np.tanh(c)

        def back(of_carried: Carried, of_weights: dict[str, Array]) -> tuple[Array, Carried]:
            of_h, of_c = of_carried
            of_c = of_c + of_h * o * (1 - bent**2)
            of_gates = of_c * g * i * (1 - i), of_c * memory * f * (1 - f), of_c * i * (1 - g**2)
            of_z = np.concatenate([*of_gates, of_h * bent * o * (1 - o)], axis=1)
            of_weights["recurrent"] += before.T @ of_z
            return of_z, (of_z @ recurrent.T, of_c * f)

        return (o * bent, c), back

    return _unrolled(layer, weights, x, step, carries=2)


def _gru(layer: layers.GRU, weights: Weights, x: Array, training: bool) -> Passed:
    recurrent, units = weights["recurrent"], layer.units
    gates, last = recurrent[:, : 2 * units], recurrent[:, 2 * units :]
    zero = np.zeros(3 * units, x.dtype)

    def step(given: Array, carried: Carried) -> tuple[Carried, StepBack]:
        (before,) = carried
        extra = weights["recurrent_bias"] if layer.reset_after else zero
        r, z = np.split(sigmoid(given[:, : 2 * units] + before @ gates + extra[: 2 * units]), 2, axis=1)
        inner = before @ last + extra[2 * units :] if layer.reset_after else r * before
        n = np.tanh(given[:, 2 * units :] + (r * inner if layer.reset_after else inner @ last))

        def back(of_carried: Carried, of_weights: dict[str, Array]) -> tuple[Array, Carried]:
            (of_h,) = of_carried
            of_n, of_z = of_h * (1 - z) * (1 - n**2), of_h * (before - n) * z * (1 - z)
            if layer.reset_after:
                of_inner = of_n * r
                of_r, of_before = of_n * inner, of_inner @ last.T
                of_weights["recurrent"][:, 2 * units :] += before.T @ of_inner
            else:
                of_inner = of_n @ last.T
                of_r, of_before = of_inner * before, of_inner * r
                of_weights["recurrent"][:, 2 * units :] += inner.T @ of_n
            of_gates = np.concatenate([of_r * r * (1 - r), of_z], axis=1)
            of_weights["recurrent"][:, : 2 * units] += before.T @ of_gates
            if layer.reset_after:
                of_weights["recurrent_bias"] += _summed([of_gates, of_inner])
            return np.concatenate([of_gates, of_n], axis=1), (of_before + of_h * z + of_gates @ gates.T,)

        return ((1 - z) * n + z * before,), back

    return _unrolled(layer, weights, x, step)


def _summed(parts: Iterable[Array]) -> Array:
    """Over the rows, side by side."""
    return np.concatenate([part.sum(axis=0) for part in parts])


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.SimpleRNN: _simple_rnn,
    layers.LSTM: _lstm,
    layers.GRU: _gru,
}
