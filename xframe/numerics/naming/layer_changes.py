"""The ways in which a layer is known to be computed otherwise than stated, but those of recurrent ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np

from xframe.numerics.naming.changed import Changed
from xframe.numerics.naming.gate_changes import RECURRENT, of_gates
from xframe.numerics.naming.trials import UNFIT, Array, of_layer
from xframe.tasks import layers
from xframe.tasks.layers import Layer, Placed
from xframe.tasks.layers.layer import Function

Weights = Mapping[str, Array]
EPSILONS = (1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12, 1e-4)
SCALES = (1 / 255, 255.0, 1 / 256, 256.0, 1 / 127.5, 0.5, 2.0)
_PLACES = 64  # of a sequence, up to which attention without a mask is tried
_CONVS = (layers.Conv1D, layers.Conv2D, layers.DepthwiseConv2D)
_NORMS = (layers.BatchNorm, layers.LayerNorm, layers.GroupNorm, layers.RMSNorm)


def ways(placed: Placed, weights: Weights, inputs: Array, own: Array) -> Iterator[Changed]:
    """Each known change of a layer; ``own`` are the outputs, from which some numbers are fitted."""
    layer: Any = placed.layer
    families: tuple[tuple[Any, Callable[[], Iterator[Changed]]], ...] = (
        (Layer, lambda: _of_function(layer, weights, inputs, own)),
        (Layer, lambda: _of_weights(layer, weights)),
        (_CONVS, lambda: _of_padding(layer, inputs)),
        (layers.ConvTranspose2D, lambda: _of_crop(layer, own)),
        ((layers.MaxPool2D, layers.AveragePool2D), lambda: _of_pooling(layer, inputs)),
        (layers.Flatten, lambda: _of_flatten(inputs)),
        (_NORMS, lambda: _of_norm(layer, weights, inputs, own)),
        (layers.Dropout, lambda: _of_dropout(layer, inputs, own)),
        (layers.TransformerBlock, lambda: _of_attention(layer, weights, inputs)),
        ((layers.Upsample2D, layers.Embedding, layers.Position), lambda: _of_tables(layer, weights)),
        (RECURRENT, lambda: of_gates(layer, weights, inputs)),
        (Layer, lambda: _of_inputs(layer, weights, inputs, own)),
    )
    for kinds, made in families:
        if isinstance(layer, kinds):
            try:
                yield from made()
            except UNFIT:
                continue


def _of_tables(layer: Layer, weights: Weights) -> Iterator[Changed]:
    if isinstance(layer, layers.Upsample2D):
        method: Any = "bilinear" if layer.method == "nearest" else "nearest"
        yield Changed("upsampling-method", f"{method} places", replace(layer, method=method))
    elif isinstance(layer, layers.Embedding):
        zeroed = {"table": np.concatenate([np.zeros_like(weights["table"][:1]), weights["table"][1:]])}
        yield Changed("padding-row", "a row of zeros for index 0", weights=zeroed)
        yield Changed("embedding-scaled", "times the root of its units", after=lambda y: y * layer.units**0.5)
    else:
        yield Changed("position-absent", "nothing added", made=lambda x: x)


def _of_function(layer: Layer, weights: Weights, inputs: Array, own: Array) -> Iterator[Changed]:
    """Another function of each element, or another slope."""
    attribute = next((name for name in ("activation", "function") if hasattr(layer, name)), None)
    if attribute is not None and not isinstance(layer, layers.SimpleRNN):
        stated = getattr(layer, attribute)
        for name in get_args(Function):
            if name != stated:
                change = "gelu-form" if {name, stated} == {"gelu", "gelu_tanh"} else "activation"
                change = "activation-absent" if name == "linear" else change
                text = "no activation" if name == "linear" else f"{name} in the place of {stated}"
                yield Changed(change, text, replace(layer, **{attribute: name}))
        linear: Layer = replace(layer, **{attribute: "linear"})
        for name, function in _OTHERS.items():
            yield Changed("activation", f"{name} in the place of {stated}", layer=linear, after=function)
    below = inputs.dtype.kind == "f" and inputs < 0
    if isinstance(layer, layers.LeakyReLU) and np.any(below):
        slope = (
            float((own[below] * inputs[below]).sum() / (inputs[below] ** 2).sum()) if own.shape == inputs.shape else 0
        )
        for value in dict.fromkeys((0.01, 0.2, 0.3, 0.1, 0.0, slope)):
            if value != layer.slope:
                yield Changed(
                    "leaky-slope", f"slope {value:.9g}", replace(layer, slope=value), settings={"slope": value}
                )
    if isinstance(layer, layers.ELU) and np.any(below) and own.shape == inputs.shape:
        bent = np.expm1(inputs[below])
        value = float((own[below] * bent).sum() / (bent**2).sum())
        yield Changed("elu-alpha", f"alpha {value:.9g}", replace(layer, alpha=value), settings={"alpha": value})


_OTHERS: Mapping[str, Callable[[Array], Array]] = {
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky relu of 0.01": lambda x: np.where(x > 0, x, 0.01 * x),
    "leaky relu of 0.2": lambda x: np.where(x > 0, x, 0.2 * x),
    "leaky relu of 0.3": lambda x: np.where(x > 0, x, 0.3 * x),
    "hard sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "Keras 2's hard sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "gelu of 1.702 x": lambda x: x / (1 + np.exp(-1.702 * x)),
    "softmax": lambda x: (
        np.exp(x - x.max(-1, keepdims=True)) / np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)
    ),
    "log softmax": lambda x: (
        x - x.max(-1, keepdims=True) - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True))
    ),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
}


def _of_weights(layer: Layer, weights: Weights) -> Iterator[Changed]:
    """Weights read otherwise."""
    kernel, bias = weights.get("kernel"), weights.get("bias")
    if bias is not None and np.any(bias):
        yield Changed("bias-absent", "no bias", weights={**weights, "bias": np.zeros_like(bias)})
        yield Changed("bias-counted-twice", "the bias added twice", weights={**weights, "bias": 2 * bias})
    if kernel is None:
        return
    for change, text, other in _kernels(layer, kernel):
        if other.shape == kernel.shape and not np.array_equal(other, kernel):
            yield Changed(change, text, weights={**weights, "kernel": other})


def _kernels(layer: Layer, kernel: Array) -> Iterator[tuple[str, str, Array]]:
    if isinstance(layer, layers.Dense):
        yield "kernel-transposed", "the kernel transposed", kernel.T
        if kernel.shape[0] != kernel.shape[1]:
            yield "kernel-reshaped", "the kernel reshaped where it is to be transposed", kernel.T.reshape(kernel.shape)
    elif isinstance(layer, layers.Conv1D):
        yield "kernel-flipped", "the kernel's places from last to first", kernel[::-1]
        yield "kernel-transposed", "the kernel's channels and filters transposed", kernel.swapaxes(1, 2)
        yield "kernel-reshaped", "the kernel reshaped where it is to be transposed", _again(kernel, (2, 1, 0))
    elif kernel.ndim == 4:
        yield "kernel-transposed", "the kernel's height and width transposed", kernel.swapaxes(0, 1)
        yield "kernel-transposed", "the kernel's channels and filters transposed", kernel.swapaxes(2, 3)
        yield "kernel-flipped", "the kernel's places from last to first", kernel[::-1, ::-1]
        yield "kernel-reshaped", "the kernel reshaped where it is to be transposed", _again(kernel, (3, 2, 0, 1))


def _again(kernel: Array, axes: tuple[int, ...]) -> Array:
    """A native kernel's numbers, in their order, in the canonical shape."""
    return kernel.transpose(axes).reshape(kernel.shape)


def _of_padding(layer: Any, inputs: Array) -> Iterator[Changed]:
    conv = layer.conv(inputs.shape[1:]) if isinstance(layer, layers.DepthwiseConv2D) else layer
    pads = conv.pads(inputs.shape[1:])
    bare = replace(layer, padding="valid")
    if any(before != after for before, after in pads):
        turned = np.pad(inputs, ((0, 0), *((after, before) for before, after in pads), (0, 0)))
        yield Changed("padding-side", "the odd place of padding at the start", layer=bare, inputs=turned)
    for number in range(conv.reach):
        text = f"{number} places of padding at each end"
        yield Changed("padding-side" if any(map(any, pads)) else "padding", text, replace(layer, padding=number))
    if isinstance(layer, layers.Conv1D):
        words: tuple[Any, ...] = ("same", "causal")
        for word in set(words) - {layer.padding}:
            yield Changed("padding", f"padding {word!r}", replace(layer, padding=word))
    if any(map(any, pads)):
        for mode in ("edge", "reflect", "wrap"):
            if all(max(pad) < size for pad, size in zip(pads, inputs.shape[1:], strict=False)):
                wide = np.pad(inputs, ((0, 0), *pads, (0, 0)), mode=mode)
                yield Changed("padding-mode", f"padded by {mode}", layer=bare, inputs=wide)


def _of_crop(layer: layers.ConvTranspose2D, own: Array) -> Iterator[Changed]:
    """Another part of the whole sum."""
    whole = replace(layer, padding="valid", output_padding=0)
    high, wide = own.shape[1:3]
    for start in range(layer.kernel_size):
        yield Changed(
            "padding-side",
            f"the part of the sum from place {start} on",
            layer=whole,
            after=partial(_part, start, high, wide),
        )


def _part(start: int, high: int, wide: int, y: Array) -> Array:
    return y[:, start : start + high, start : start + wide]


def _of_pooling(layer: Any, inputs: Array) -> Iterator[Changed]:
    settings = {"size": layer.size, "strides": layer.strides, "padding": layer.padding}
    if isinstance(layer, layers.AveragePool2D):
        text = "padding not counted in the mean" if layer.count_padding else "padding counted in the mean"
        yield Changed("pooling-counts-padding", text, replace(layer, count_padding=not layer.count_padding))
        yield Changed("pooling-kind", "the greatest in the place of the mean", layers.MaxPool2D(**settings))
    else:
        yield Changed("pooling-kind", "the mean in the place of the greatest", layers.AveragePool2D(**settings))
    pads = layer.pads(inputs.shape[1:])
    if any(before != after for before, after in pads):
        greatest = isinstance(layer, layers.MaxPool2D)
        turned = ((0, 0), *((after, before) for before, after in pads), (0, 0))
        bare = replace(layer, padding="valid")

        def made(x: Array) -> Array:
            wide = np.pad(x, turned, constant_values=-np.inf if greatest else 0)
            pooled: Array = of_layer(bare)(bare, {}, wide, True).outputs
            if greatest or layer.count_padding:
                return pooled
            counts: Array = of_layer(bare)(bare, {}, np.pad(np.ones_like(x), turned), True).outputs
            return pooled / counts

        yield Changed("padding-side", "the odd place of padding at the start", made=made)
    for number in range(layer.size // 2 + 1):
        yield Changed("padding-side", f"{number} places of padding at each end", replace(layer, padding=number))


def _of_flatten(inputs: Array) -> Iterator[Changed]:
    if inputs.ndim == 4:
        yield Changed(
            "flatten-channels-first",
            "flattened with the channels first",
            made=lambda x: x.transpose(0, 3, 1, 2).reshape(len(x), -1),
        )
    if inputs.ndim > 2:
        axes = (0, *range(inputs.ndim - 1, 0, -1))
        yield Changed(
            "flatten-order", "flattened with the axes reversed", made=lambda x: x.transpose(axes).reshape(len(x), -1)
        )


def _of_norm(layer: Any, weights: Weights, inputs: Array, own: Array) -> Iterator[Changed]:
    axes = {layers.BatchNorm: tuple(range(inputs.ndim - 1))}.get(type(layer), (-1,))
    fitted = _epsilon(layer, weights, inputs, own, axes)
    for value in dict.fromkeys((*EPSILONS, *([fitted] if fitted else []))):
        if value != layer.epsilon:
            yield Changed(
                "norm-epsilon", f"epsilon {value:.6g}", replace(layer, epsilon=value), settings={"epsilon": value}
            )
    if isinstance(layer, layers.BatchNorm):
        yield Changed("evaluation-mode", "the running statistics, as in evaluation mode", training=False)
    yield Changed("norm-scale-absent", "no scale", weights={**weights, "scale": np.ones_like(weights["scale"])})
    if isinstance(layer, layers.RMSNorm | layers.GroupNorm):
        return
    every = tuple(range(1, inputs.ndim))
    for change, text, over, ddof, outside in (
        ("variance-unbiased", "the variance divided by N - 1", axes, 1, False),
        ("norm-epsilon-place", "epsilon outside the root", axes, 0, True),
        ("norm-axes", "statistics over all of a sample", every, 0, False),
        ("norm-axes", "statistics over the batch", tuple(range(inputs.ndim - 1)), 0, False),
    ):
        if over != axes or ddof or outside:
            yield Changed(change, text, made=_normaliser(layer.epsilon, weights, over, ddof, outside))
    unbiased = {"scale": np.ones_like(weights["scale"]), "bias": np.zeros_like(weights["bias"])}
    if isinstance(layer, layers.LayerNorm):
        yield Changed(
            "norm-kind", "an RMSNorm, which subtracts no mean", made=_root_mean(layer.epsilon, {**unbiased, **weights})
        )


def _normaliser(epsilon: float, weights: Weights, over: tuple[int, ...], ddof: int, outside: bool) -> Any:
    def made(x: Array) -> Array:
        count = x.mean(axis=over).size
        variance = x.var(axis=over, keepdims=True, ddof=ddof if x.size > count else 0)
        root = np.sqrt(variance) + epsilon if outside else np.sqrt(variance + epsilon)
        y: Array = (x - x.mean(axis=over, keepdims=True)) / root * weights["scale"] + weights["bias"]
        return y

    return made


def _root_mean(epsilon: float, weights: Weights) -> Any:
    return lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * weights["scale"] + weights["bias"]


def _epsilon(layer: Any, weights: Weights, inputs: Array, own: Array, axes: tuple[int, ...]) -> float | None:
    """That which the outputs were divided with, if it is one."""
    if isinstance(layer, layers.GroupNorm) or own.shape != inputs.shape or not np.all(weights["scale"]):
        return None
    centred = isinstance(layer, layers.RMSNorm)
    y = (own - weights.get("bias", 0.0)) / weights["scale"]
    middle = 0.0 if centred else inputs.mean(axis=axes, keepdims=True)
    spread = (inputs**2).mean(axis=axes, keepdims=True) if centred else inputs.var(axis=axes, keepdims=True)
    whole = float((y**2).sum())
    value = float((((inputs - middle) ** 2) - spread * y**2).sum() / whole) if whole else 0.0
    return float(f"{value:.3g}") if value > 0 else None


def _of_dropout(layer: layers.Dropout, inputs: Array, own: Array) -> Iterator[Changed]:
    if own.shape != inputs.shape:
        return
    yield Changed("dropout-absent", "nothing dropped, as in evaluation mode", made=lambda x: x)
    yield Changed(
        "dropout-rate", f"rate {1 - layer.rate:g}, what is kept taken for it", replace(layer, rate=1 - layer.rate)
    )
    there, kept = inputs != 0, own != 0
    ratios = own[there & kept] / inputs[there & kept]
    if len(ratios) and not kept.all() and np.allclose(ratios, middle := float(np.median(ratios)), rtol=1e-5, atol=0):
        yield from _of_mask(layer, kept, middle, float(kept[there].mean()))


def _of_mask(layer: layers.Dropout, kept: Array, factor: float, share: float) -> Iterator[Changed]:
    """A mask that is not the layer's, and the factor of what it keeps."""
    exact = 1 / (1 - layer.rate)
    if abs(factor - 1) < 1e-5:
        yield Changed("dropout-unscaled", "what is kept not divided by 1 - rate", made=lambda x: x * kept)
    elif abs(factor - exact) < 1e-5 * exact:
        text = f"a mask of its own, of the same rate, that keeps {share:.4f}"
        yield Changed("dropout-mask", text, made=lambda x: x * kept * exact)
    elif factor > 1:
        rate = float(f"{1 - 1 / factor:.5g}")
        swapped = abs(rate - (1 - layer.rate)) < 1e-6
        text = f"rate {rate:g}" + (", what is kept taken for it" if swapped else "")
        yield Changed("dropout-rate", text, made=lambda x: x * kept / (1 - rate), settings={"rate": rate})


def _of_attention(layer: layers.TransformerBlock, weights: Weights, inputs: Array) -> Iterator[Changed]:
    units = inputs.shape[-1]
    for value in EPSILONS:
        if value != layer.epsilon:
            yield Changed(
                "norm-epsilon", f"epsilon {value:g}", replace(layer, epsilon=value), settings={"epsilon": value}
            )
    for heads in range(1, units + 1):
        if units % heads == 0 and heads != layer.heads:
            yield Changed("attention-heads", f"{heads} heads", replace(layer, heads=heads))
    root = (units // layer.heads) ** 0.5
    for factor, text in ((root, "scores not divided by the root of d"), (1 / root, "scores divided by d")):
        yield Changed("attention-scale", text, weights={**weights, "query": weights["query"] * factor})
    for name in ("query", "key", "value", "output", "up", "down"):
        if np.shape(weights[name])[0] == np.shape(weights[name])[1]:
            yield Changed("kernel-transposed", f"{name} transposed", weights={**weights, name: weights[name].T})
    swaps = (("query", "key"), ("query", "value"), ("key", "value"))
    for one, other in swaps:
        swapped = {**weights, one: weights[other], other: weights[one]}
        yield Changed("attention-swapped", f"{one} and {other} swapped", weights=swapped)
    if inputs.shape[1] <= _PLACES:
        yield Changed("attention-mask", "each place sees all", made=partial(_unmasked, layer, weights))


def _unmasked(layer: layers.TransformerBlock, weights: Weights, inputs: Array) -> Array:
    """Each place's outputs where it is the last, as the last sees all."""
    block, places = of_layer(layer), range(inputs.shape[1])
    turned = [[*(other for other in places if other != place), place] for place in places]
    return np.stack([block(layer, weights, inputs[:, order], True).outputs[:, -1] for order in turned], axis=1)


def _of_inputs(layer: Layer, weights: Weights, inputs: Array, own: Array) -> Iterator[Changed]:
    """Inputs that were scaled, or with their axes swapped."""
    if inputs.dtype.kind != "f":
        return
    for scale in SCALES:
        text = f"inputs times {scale:g}" if scale >= 1 else f"inputs divided by {1 / scale:g}"
        yield Changed("inputs-scaled", text, inputs=inputs * scale, settings={"factor": scale})
    yield Changed("inputs-scaled", "inputs times 2, less 1", inputs=2 * inputs - 1)
    if inputs.ndim == 4 and inputs.shape[1] == inputs.shape[2]:
        yield Changed("axes-swapped", "height and width swapped", inputs=inputs.swapaxes(1, 2))
    if inputs.ndim > 2 and inputs.shape[-1] > 1:
        yield Changed("channels-reversed", "the channels from last to first", inputs=inputs[..., ::-1])
