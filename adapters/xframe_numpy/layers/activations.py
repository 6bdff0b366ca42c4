"""Functions of each element, with their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xframe.tasks import layers
from xframe_numpy.layers.layer import Array, Lowering, Passed, Weights

_erf = np.vectorize(math.erf, otypes=[np.float64])
_ROOT, _BEND = math.sqrt(2 / math.pi), 0.044715  # of gelu_tanh


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(−x))``, without an exponential that is too large."""
    small = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1, small) / (1 + small)
    return result


def _normal(x: Array) -> Array:
    """The normal distribution's function."""
    share: Array = 0.5 * (1 + _erf(x / math.sqrt(2)))
    return share.astype(x.dtype)


def _gelu_slope(x: Array) -> Array:
    slope: Array = _normal(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return slope


def _gelu_tanh(x: Array) -> Array:
    gelu: Array = 0.5 * x * (1 + np.tanh(_ROOT * (x + _BEND * x**3)))
    return gelu


def _gelu_tanh_slope(x: Array) -> Array:
    bent = np.tanh(_ROOT * (x + _BEND * x**3))
    slope: Array = 0.5 * (1 + bent) + 0.5 * x * (1 - bent**2) * _ROOT * (1 + 3 * _BEND * x**2)
    return slope


def _elu(x: Array, alpha: float = 1) -> Array:
    outputs: Array = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
    return outputs


# By name: the function, and its derivative by x and by what it gave.
FUNCTIONS: Mapping[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "linear": (lambda x: x, lambda x, y: np.ones_like(x)),
    "relu": (lambda x: np.maximum(x, 0), lambda x, y: y > 0),
    "tanh": (np.tanh, lambda x, y: 1 - y**2),
    "sigmoid": (sigmoid, lambda x, y: y * (1 - y)),
    "softplus": (lambda x: np.logaddexp(x, np.zeros_like(x)), lambda x, y: sigmoid(x)),
    "silu": (lambda x: x * sigmoid(x), lambda x, y: sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "gelu": (lambda x: x * _normal(x), lambda x, y: _gelu_slope(x)),
    "gelu_tanh": (_gelu_tanh, lambda x, y: _gelu_tanh_slope(x)),
    "elu": (_elu, lambda x, y: np.where(x > 0, 1, np.exp(np.minimum(x, 0)))),
}


def activated(name: str, x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """What that function gives, and given the gradient of this that of x."""
    function, derivative = FUNCTIONS[name]
    y = function(x)
    return y, (lambda gradient: gradient) if name == "linear" else (lambda gradient: gradient * derivative(x, y))


def _activation(layer: layers.Activation, weights: Weights, x: Array, training: bool) -> Passed:
    y, back = activated(layer.function, x)
    return Passed(y, lambda gradient: ({}, back(gradient)))


def _leaky_relu(layer: layers.LeakyReLU, weights: Weights, x: Array, training: bool) -> Passed:
    slopes = np.where(x > 0, 1, layer.slope).astype(x.dtype)
    return Passed(slopes * x, lambda gradient: ({}, slopes * gradient))


def _elu_layer(layer: layers.ELU, weights: Weights, x: Array, training: bool) -> Passed:
    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        return {}, gradient * np.where(x > 0, 1, layer.alpha * np.exp(np.minimum(x, 0)))

    return Passed(_elu(x, layer.alpha), back)


def _prelu(layer: layers.PReLU, weights: Weights, x: Array, training: bool) -> Passed:
    slope, below = weights["slope"], np.minimum(x, 0)
    slopes = np.where(x > 0, 1, slope)

    def back(gradient: Array) -> tuple[dict[str, Array], Array]:
        axes = tuple(range(x.ndim - slope.ndim))
        of_slope: Any = (gradient * below).sum(axis=axes)
        return {"slope": of_slope.sum(keepdims=True).reshape(1) if layer.slopes == "one" else of_slope}, (
            gradient * slopes
        )

    return Passed(slopes * x, back)


LOWER: dict[type[layers.Layer], Lowering] = {
    layers.Activation: _activation,
    layers.LeakyReLU: _leaky_relu,
    layers.ELU: _elu_layer,
    layers.PReLU: _prelu,
}
