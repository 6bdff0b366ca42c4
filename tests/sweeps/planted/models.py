"""Layers: padding, layout, gates, norms, modes; and the buffers that training moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from xframe_numpy.layers import LOWER

from sweeps.planted.declaring import other_task, tampered
from sweeps.planted.trainings import IMAGES, MLP, ROWS, SQUARE, TEXT, Training
from xframe.tasks import layers as of

NUMPY, TORCH = ("numpy",), ("torch",)


def other(name: str, training: Training, at: int, layer: of.Layer, tensor: str, *causes: str, **facts: Any) -> None:
    """One layer for which another one stands."""

    def change(task: Any) -> Any:
        return replace(task, layers=(*task.layers[:at], layer, *task.layers[at + 1 :]))

    other_task(name, training, change, facts.pop("stage", "forward"), tensor, *causes, **facts)


STRIDED = of.Conv2D(4, 3, "tanh", strides=2)
CONV = "conv2d_0/outputs"
other(
    "padding on the other side",
    IMAGES.over(STRIDED, of.Flatten(), of.Dense(4)),
    0,
    replace(STRIDED, padding=1),
    CONV,
    "padding-side",
)
other("another function", MLP, 0, of.Dense(5, "sigmoid"), "dense_0/outputs", "activation")
other("no function", MLP, 0, of.Dense(5), "dense_0/outputs", "activation-absent")
CURVED = MLP.over(of.Dense(5), of.Activation("gelu"), of.Dense(4))
other("gelu by tanh", CURVED, 1, of.Activation("gelu_tanh"), "activation_0/outputs", "gelu-form")
other("silu for gelu", CURVED, 1, of.Activation("silu"), "activation_0/outputs", "activation")
LEAKY = MLP.over(of.Dense(5), of.LeakyReLU(0.01), of.Dense(4))
other("a leaky slope of .3", LEAKY, 1, of.LeakyReLU(0.3), "leakyrelu_0/outputs", "leaky-slope")
other("a leaky slope of .2", LEAKY, 1, of.LeakyReLU(0.2), "leakyrelu_0/outputs", "leaky-slope")
other("ELU's alpha", MLP.over(of.Dense(5), of.ELU(1.0), of.Dense(4)), 1, of.ELU(1.5), "elu_0/outputs", "elu-alpha")
NORMED = MLP.over(of.Dense(5), of.LayerNorm(), of.Dense(4))
other("layer norm's epsilon 1e-3", NORMED, 1, of.LayerNorm(1e-3), "layernorm_0/outputs", "norm-epsilon")
other("layer norm's epsilon 1e-6", NORMED, 1, of.LayerNorm(1e-6), "layernorm_0/outputs", "norm-epsilon")
BATCHED = MLP.over(of.Dense(5), of.BatchNorm(), of.Dense(4))
BN = "batchnorm_0/outputs"
other("batch norm's epsilon 1e-3", BATCHED, 1, of.BatchNorm(epsilon=1e-3), BN, "norm-epsilon")
POOLED = IMAGES.over(of.AveragePool2D(3, 2, "same"), of.Flatten(), of.Dense(4))
other(
    "pooling counts padding",
    POOLED,
    0,
    of.AveragePool2D(3, 2, "same", count_padding=True),
    "averagepool2d_0/outputs",
    "pooling-counts-padding",
)
READ = ROWS.over(of.GRU(4, reset_after=False), of.Dense(4))
other(
    "an epsilon in a block",
    TEXT,
    1,
    of.TransformerBlock(2, 6, epsilon=1e-3),
    "transformerblock_0/outputs",
    "norm-epsilon",
)
other("one head for two", TEXT, 1, of.TransformerBlock(1, 6), "transformerblock_0/outputs", "attention-heads")
DROPPED = MLP.over(of.Dense(12), of.Dropout(0.2, seed=3), of.Dense(4))
DROP = "dropout_0/outputs"
other("dropout's keep for its drop", DROPPED, 1, of.Dropout(0.8, seed=3), DROP, "dropout-rate")
other("dropout's rate .25", DROPPED, 1, of.Dropout(0.25, seed=3), DROP, "dropout-rate", "dropout-mask")
UPSAMPLED = IMAGES.over(of.Upsample2D(2), of.Conv2D(2, 3), of.Flatten(), of.Dense(4))
other("bilinear for nearest", UPSAMPLED, 0, of.Upsample2D(2, "bilinear"), "upsample2d_0/outputs", "upsampling-method")


# In NumPy: the function of one layer replaced

Way = Callable[..., Any]


def computed(
    name: str,
    training: Training,
    at: int,
    made: Callable[[Way], Way],
    tensor: str,
    *causes: str,
    stage: str = "forward",
    **facts: Any,
) -> None:
    """One layer's function, of layer, weights, inputs and mode, goes through ``made``."""

    def change(step: Any) -> None:
        function, layer, own, prefix = step.model.lowered[at]
        step.model.lowered[at] = (made(function), layer, own, prefix)

    tampered(name, training, change, stage, tensor, *causes, sides=NUMPY, **facts)


def weighted(**turned: Callable[[Any], Any]) -> Callable[[Way], Way]:
    """Weights that are read otherwise, by their names; each turn undoes itself."""

    def made(function: Way) -> Way:
        def read(layer: Any, weights: Any, x: Any, training: bool) -> Any:
            passed = function(layer, {name: turned.get(name, _same)(w) for name, w in weights.items()}, x, training)

            def back(gradient: Any) -> Any:
                of_weights, of_x = passed.back(gradient)
                return {name: turned.get(name, _same)(g) for name, g in of_weights.items()}, of_x

            return passed._replace(back=back)

        return read

    return made


def _same(values: Any) -> Any:
    return values


def _gates(*order: int) -> Callable[[Any], Any]:
    def turned(values: Any) -> Any:
        parts = np.split(values, len(order), axis=-1)
        return np.concatenate([parts[at] for at in order], axis=-1)

    return turned


computed("a square kernel transposed", SQUARE, 1, weighted(kernel=np.transpose), "dense_1/outputs", "kernel-transposed")
EQUAL = IMAGES.over(of.Conv2D(2, 3, "tanh"), of.Flatten(), of.Dense(4))
computed(
    "a kernel's places transposed", EQUAL, 0, weighted(kernel=lambda k: k.swapaxes(0, 1)), CONV, "kernel-transposed"
)
computed(
    "a kernel's channels transposed", EQUAL, 0, weighted(kernel=lambda k: k.swapaxes(2, 3)), CONV, "kernel-transposed"
)
computed("a kernel flipped", IMAGES, 0, weighted(kernel=lambda k: k[::-1, ::-1]), CONV, "kernel-flipped")
order = _gates(0, 2, 1, 3)
computed(
    "an LSTM's gates swapped",
    ROWS,
    0,
    weighted(kernel=order, recurrent=order, bias=order),
    "lstm_0/outputs",
    "gates-swapped",
)
GATED = ROWS.over(of.GRU(4), of.Dense(4))
swap = _gates(1, 0, 2)
computed(
    "a GRU's gates swapped",
    GATED,
    0,
    weighted(kernel=swap, recurrent=swap, bias=swap, recurrent_bias=swap),
    "gru_0/outputs",
    "gates-swapped",
)


def _greatest(function: Way) -> Way:
    def made(layer: Any, weights: Any, x: Any, training: bool) -> Any:
        return LOWER[of.MaxPool2D](of.MaxPool2D(layer.size, layer.strides, layer.padding), weights, x, training)

    return made


computed("the greatest for the mean", POOLED, 0, _greatest, "averagepool2d_0/outputs", "pooling-kind")


def _without_bias(function: Way) -> Way:
    return lambda layer, weights, x, training: function(layer, {**weights, "bias": 0 * weights["bias"]}, x, training)


def _bias_twice(function: Way) -> Way:
    return lambda layer, weights, x, training: function(layer, {**weights, "bias": 2 * weights["bias"]}, x, training)


computed("no bias", MLP, 0, _without_bias, "dense_0/outputs", "bias-absent")
computed("a bias added twice", ROWS, 0, _bias_twice, "lstm_0/outputs", "bias-counted-twice")


def _channels_first(function: Way) -> Way:
    def flattened(layer: Any, weights: Any, x: Any, training: bool) -> Any:
        turned = x.transpose(0, 3, 1, 2)
        passed = function(layer, weights, turned, training)
        return passed._replace(back=lambda g: ({}, passed.back(g)[1].transpose(0, 2, 3, 1)))

    return flattened


computed("flattened channels first", IMAGES, 1, _channels_first, "flatten_0/outputs", "flatten-channels-first")


def _evaluated(function: Way) -> Way:
    return lambda layer, weights, x, training: function(layer, weights, x, False)


computed("batch norm in evaluation mode", BATCHED, 1, _evaluated, BN, "evaluation-mode", also=("buffers-not-updated",))
computed("dropout in evaluation mode", DROPPED, 1, _evaluated, DROP, "dropout-absent", "evaluation-mode")


def _unscaled(function: Way) -> Way:
    def made(layer: Any, weights: Any, x: Any, training: bool) -> Any:
        passed, keep = function(layer, weights, x, training), 1 - layer.rate
        return passed._replace(outputs=passed.outputs * keep, back=lambda g: passed.back(g * keep))

    return made


computed("dropout unscaled", DROPPED, 1, _unscaled, DROP, "dropout-unscaled", "dropout-rate", also=("gradient-factor",))


def _unbiased(function: Way) -> Way:
    """Normalised by the variance over N - 1, as near as makes no difference."""

    def made(layer: Any, weights: Any, x: Any, training: bool) -> Any:
        passed = function(layer, weights, x, training)
        share = x.var(axis=0) + layer.epsilon
        scale = np.sqrt(share / (x.var(axis=0, ddof=1) + layer.epsilon))
        outputs = (passed.outputs - weights["bias"]) * scale + weights["bias"]
        return passed._replace(outputs=outputs.astype(x.dtype), back=lambda g: passed.back((g * scale).astype(x.dtype)))

    return made


computed("batch norm's variance unbiased", BATCHED, 1, _unbiased, BN, "variance-unbiased")


def _scores(key_scale: float) -> Callable[[Way], Way]:
    return lambda function: (
        lambda layer, weights, x, training: function(
            layer, {**weights, "query": weights["query"] * x.dtype.type(key_scale)}, x, training
        )
    )


computed("attention without its scale", TEXT, 1, _scores(2**0.5), "transformerblock_0/outputs", "attention-scale")


def _unmasked(function: Way) -> Way:
    """The same block with each place seeing all."""

    def made(layer: Any, weights: Any, x: Any, training: bool) -> Any:
        tri = np.tri
        np.tri = lambda length, dtype: np.ones((length, length), dtype)  # type: ignore[assignment]
        try:
            return function(layer, weights, x, training)
        finally:
            np.tri = tri  # type: ignore[assignment]

    return made


computed("attention without its mask", TEXT, 1, _unmasked, "transformerblock_0/outputs", "attention-mask")


def _turned(function: Way) -> Way:
    """Rows for places: torch's batch_first=False given batch first."""

    def made(layer: Any, weights: Any, x: Any, training: bool) -> Any:
        every = replace(layer, return_sequences=True)
        passed = LOWER[type(layer)](every, weights, x.swapaxes(0, 1), training)

        def back(gradient: Any) -> Any:
            whole = np.zeros_like(passed.outputs)
            whole[-1] = 0
            whole[:, :] = 0
            whole[x.shape[1] - 1, : len(x)] = gradient
            of_weights, of_x = passed.back(whole)
            return of_weights, of_x.swapaxes(0, 1)

        return passed._replace(outputs=passed.outputs[x.shape[1] - 1, : len(x)], back=back)

    return made


computed("rows for places", ROWS, 0, _turned, "lstm_0/outputs", "batch-and-sequence-swapped")


def _backwards(function: Way) -> Way:
    def made(layer: Any, weights: Any, x: Any, training: bool) -> Any:
        passed = function(layer, weights, x[:, ::-1], training)
        return passed._replace(back=lambda g: (passed.back(g)[0], passed.back(g)[1][:, ::-1]))

    return made


computed("read from last to first", ROWS, 0, _backwards, "lstm_0/outputs", "read-backwards")


def _row_of_zeros(function: Way) -> Way:
    def made(layer: Any, weights: Any, x: Any, training: bool) -> Any:
        table = weights["table"].copy()
        table[0] = 0
        return function(layer, {**weights, "table": table}, x, training)

    return made


computed("row 0 of a table as zeros", TEXT, 0, _row_of_zeros, "embedding_0/outputs", "padding-row")


def _inputs(factor: float) -> Callable[[Way], Way]:
    def made(function: Way) -> Way:
        def scaled(layer: Any, weights: Any, x: Any, training: bool) -> Any:
            passed = function(layer, weights, (x * factor).astype(x.dtype), training)
            return passed._replace(back=lambda g: (passed.back(g)[0], passed.back(g)[1] * factor))

        return scaled

    return made


computed("scaled again within the model", IMAGES, 0, _inputs(1 / 255), CONV, "inputs-scaled")

# Buffers


def moved(name: str, made: Callable[[Any, Any, Any, dict[str, Any]], dict[str, Any]], *causes: str) -> None:
    """A batch norm's running statistics are moved otherwise: by layer, weights, inputs, and as is right."""

    def replaced(function: Way) -> Way:
        def norm(layer: Any, weights: Any, x: Any, training: bool) -> Any:
            passed = function(layer, weights, x, training)
            after = made(layer, weights, x, passed.moved)
            return passed._replace(moved={one: values.astype(x.dtype) for one, values in after.items()})

        return norm

    computed(name, BATCHED, 1, replaced, "batchnorm_0/*", *causes, stage="buffers")


def _kept(keep: float, ddof: int = 0) -> Callable[..., dict[str, Any]]:
    return lambda layer, weights, x, right: {
        "mean": keep * weights["mean"] + (1 - keep) * x.mean(axis=0),
        "variance": keep * weights["variance"] + (1 - keep) * x.var(axis=0, ddof=ddof),
    }


moved("running momentum inverted", _kept(0.1), "running-momentum-inverted")
moved("running momentum .99", _kept(0.99), "running-momentum")
moved("running momentum .9001", _kept(0.9001), "running-momentum")
moved("running variance unbiased", _kept(0.9, 1), "running-variance-unbiased")
moved("running statistics not moved", lambda layer, weights, x, right: {}, "buffers-not-updated")
moved(
    "running statistics moved twice",
    lambda layer, weights, x, right: {
        one: 0.9 * values + 0.1 * seen
        for (one, values), seen in zip(right.items(), (x.mean(axis=0), x.var(axis=0)), strict=True)
    },
    "buffers-updated-twice",
)
other(
    "running momentum inverted, stated so",
    BATCHED,
    1,
    of.BatchNorm(momentum=0.1),
    "batchnorm_0/*",
    "running-momentum-inverted",
    stage="buffers",
)
