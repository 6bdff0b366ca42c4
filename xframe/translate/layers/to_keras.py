"""Modules of PyTorch as Keras' layers."""

from __future__ import annotations

from collections.abc import Callable

from xframe.errors import UsageError
from xframe.translate.layers.common import BATCH_NORM, LAYOUT, RESIZED, ROUNDED, WEIGHTS, refuse_set, sizes
from xframe.translate.names import Bound
from xframe.translate.written import NothingExactError, Remarks, called

Layers = list[str]
K = "keras.layers."
_TWO = "PyTorch trains two biases that are added, Keras one: with bias=False, or one of them frozen, it is the same."


def layers(call: Bound, remarks: Remarks) -> Layers:
    """The layers, one after the other, that a module is."""
    if call.leaf in _FUNCTIONS:
        return _function(call, remarks)
    if call.leaf not in MODULES:
        raise NothingExactError(f"PyTorch's {call.leaf} is not a chain of layers that Keras has.")
    return MODULES[call.leaf](call, remarks)


_FUNCTIONS = {  # modules that are an activation of Keras by a name
    "ReLU": "relu",
    "ReLU6": "relu6",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softsign": "softsign",
    "SiLU": "silu",
    "GELU": "gelu",
    "SELU": "selu",
    "Mish": "mish",
}


def _function(call: Bound, remarks: Remarks) -> Layers:
    if call.leaf == "GELU":
        remarks.add(ROUNDED)
    if call.leaf == "GELU" and call["approximate"] != "none":
        raise NothingExactError("GELU by tanh is keras.activations.gelu with approximate=True, a function.")
    return [called(f"{K}Activation", activation=_FUNCTIONS[call.leaf])]


def _linear(call: Bound, remarks: Remarks) -> Layers:
    remarks.add(WEIGHTS)
    return [called(f"{K}Dense", units=call["out_features"], activation=None, use_bias=call["bias"])]


def _conv(call: Bound, remarks: Remarks) -> Layers:
    axes = int(call.leaf[-2])
    for text in (LAYOUT, WEIGHTS):
        remarks.add(text)
    refuse_set(call, padding_mode="zeros")
    before: Layers = []
    padding = call["padding"]
    if padding == "same" and any(each != 1 for each in sizes(call["stride"], axes)):
        raise UsageError(f"{call.name} with padding='same'", got=call["stride"], expected="a stride of 1")
    if not isinstance(padding, str):
        pads = sizes(padding, axes)
        padding = "valid"
        if any(pads):
            before = [called(f"{K}ZeroPadding{axes}D", padding=pads[0] if axes == 1 else pads)]
    words = {"filters": call["out_channels"], "kernel_size": sizes(call["kernel_size"], axes)}
    words |= {"strides": sizes(call["stride"], axes), "padding": padding, "groups": call["groups"]}
    words |= {"dilation_rate": sizes(call["dilation"], axes), "activation": None, "use_bias": call["bias"]}
    return [*before, called(f"{K}Conv{axes}D", **words)]


def _transposed(call: Bound, remarks: Remarks) -> Layers:
    refuse_set(call, padding_mode="zeros", groups=1)
    for text in (LAYOUT, WEIGHTS):
        remarks.add(text)
    kernel, strides, pads, more = (
        sizes(call[argument], 2) for argument in ("kernel_size", "stride", "padding", "output_padding")
    )
    if sizes(call["dilation"], 2) != (1, 1) or any(k < s for k, s in zip(kernel, strides, strict=True)):
        raise NothingExactError("A dilated ConvTranspose2d, or one with strides above its kernel, has other sizes.")
    cut = tuple((p, p - extra) for p, extra in zip(pads, more, strict=True))
    if any(end < 0 for _, end in cut):
        raise NothingExactError("output_padding beyond the padding has no counterpart.")
    words = {"filters": call["out_channels"], "kernel_size": kernel, "strides": strides, "padding": "valid"}
    layer = called(f"{K}Conv2DTranspose", **words, activation=None, use_bias=call["bias"])
    return [layer, *([called(f"{K}Cropping2D", cropping=cut)] if any(map(any, cut)) else [])]


def _pool(call: Bound, remarks: Remarks) -> Layers:
    axes, most = int(call.leaf[-2]), call.leaf.startswith("Max")
    remarks.add(LAYOUT)
    refuse_set(call, ceil_mode=False, divisor_override=None, return_indices=False, dilation=1)
    size, pads = sizes(call["kernel_size"], axes), sizes(call["padding"], axes)
    strides = size if call["stride"] is None else sizes(call["stride"], axes)
    before: Layers = []
    if any(pads):
        if most or not call["count_include_pad"]:
            raise NothingExactError("Keras pads pools by its word same alone, at other places than a number's.")
        before = [called(f"{K}ZeroPadding{axes}D", padding=pads[0] if axes == 1 else pads)]
    name = f"{'Max' if most else 'Average'}Pooling{axes}D"
    return [*before, called(K + name, pool_size=size, strides=strides, padding="valid")]


def _adaptive(call: Bound, remarks: Remarks) -> Layers:
    if call["output_size"] not in (1, (1,), (1, 1)):
        raise NothingExactError("An adaptive pool to more than one place has no counterpart.")
    remarks.add(LAYOUT)
    kind = "Average" if "Avg" in call.leaf else "Max"
    return [called(f"{K}Global{kind}Pooling{call.leaf[-2]}D", keepdims=True)]


def _batch_norm(call: Bound, remarks: Remarks) -> Layers:
    refuse_set(call, track_running_stats=True, bias=True)
    if call["momentum"] is None:
        raise NothingExactError("A momentum of None, a plain mean of all batches, has no counterpart.")
    remarks.add(BATCH_NORM)
    words = {"momentum": round(1 - call["momentum"], 15), "epsilon": call["eps"]}
    return [called(f"{K}BatchNormalization", axis=-1, **words, center=call["affine"], scale=call["affine"])]


def _layer_norm(call: Bound, remarks: Remarks) -> Layers:
    shape = call["normalized_shape"]
    if not isinstance(shape, int) and len(shape) != 1:
        raise NothingExactError("LayerNorm over several axes has weights of another shape in Keras.")
    affine = call["elementwise_affine"]
    words = {"epsilon": call["eps"], "center": affine and call["bias"], "scale": affine}
    return [called(f"{K}LayerNormalization", axis=-1, **words)]


def _group_norm(call: Bound, remarks: Remarks) -> Layers:
    refuse_set(call, bias=True)
    remarks.add(LAYOUT)
    words = {"axis": -1, "epsilon": call["eps"], "center": call["affine"], "scale": call["affine"]}
    return [called(f"{K}GroupNormalization", groups=call["num_groups"], **words)]


def _embedding(call: Bound, remarks: Remarks) -> Layers:
    refuse_set(call, padding_idx=None, max_norm=None, scale_grad_by_freq=False)
    remarks.add("Weights begin by other rules: copy them.")
    return [
        called(f"{K}Embedding", input_dim=call["num_embeddings"], output_dim=call["embedding_dim"], mask_zero=False)
    ]


def _recurrent(call: Bound, remarks: Remarks) -> Layers:
    refuse_set(call, num_layers=1, dropout=0.0, proj_size=0)
    name = "SimpleRNN" if call.leaf == "RNN" else call.leaf
    words = {"units": call["hidden_size"], "activation": call.values.get("nonlinearity", "tanh")}
    words |= {"use_bias": call["bias"], "return_sequences": True, "return_state": False}
    if call.leaf == "GRU":
        words["reset_after"] = True
        remarks.add("Gates z, r stand in this order, PyTorch's r, z; its two biases are Keras' two rows.")
    elif call["bias"]:
        raise NothingExactError(_TWO, closest=_both_ways(call, called(K + name, **words)))
    if not call["batch_first"]:
        remarks.add("Keras has samples first: transpose the data, whose first axis is time without batch_first.")
    remarks.add("What it returns is PyTorch's first result, all outputs.")
    return [_both_ways(call, called(K + name, **words))]


def _both_ways(call: Bound, layer: str) -> str:
    return f"{K}Bidirectional({layer}, merge_mode='concat')" if call["bidirectional"] else layer


def _leaky(call: Bound, remarks: Remarks) -> Layers:
    remarks.add(ROUNDED)
    return [called(f"{K}LeakyReLU", negative_slope=call["negative_slope"])]


def _softplus(call: Bound, remarks: Remarks) -> Layers:
    if call["beta"] != 1 or call["threshold"] < 37:
        why = f"Past {call['threshold']:g} PyTorch's Softplus is x itself, which is up to 2e-9 less."
        raise NothingExactError(why, closest=called(f"{K}Activation", activation="softplus"))
    return [called(f"{K}Activation", activation="softplus")]


def _softmax(call: Bound, remarks: Remarks) -> Layers:
    if call["dim"] not in (-1, 1):
        raise NothingExactError("A softmax over another axis than the last, or than the channels, has no counterpart.")
    if call.leaf == "LogSoftmax":
        return [called(f"{K}Activation", activation="log_softmax")]
    return [called(f"{K}Softmax", axis=-1)]


def _upsample(call: Bound, remarks: Remarks) -> Layers:
    refuse_set(call, size=None)
    remarks.add(LAYOUT)
    factor = call["scale_factor"]
    whole = (factor,) if isinstance(factor, (int, float)) else tuple(factor or ())
    if not whole or any(each != int(each) for each in whole):
        raise NothingExactError("Upsample by a scale that is no whole number has no counterpart.")
    words = {"size": sizes(tuple(map(int, whole)), 2), "interpolation": call["mode"]}
    if call["mode"] not in ("nearest", "bilinear") or call["align_corners"]:
        raise NothingExactError("Of interpolations, nearest and bilinear without align_corners are the same in both.")
    if call["mode"] == "bilinear":
        remarks.add(RESIZED)
    return [called(f"{K}UpSampling2D", **words)]


def _dropout(call: Bound, remarks: Remarks) -> Layers:
    remarks.add("What is dropped is drawn from each framework's own random numbers.")
    return [called(f"{K}Dropout", rate=call["p"])]


def _flatten(call: Bound, remarks: Remarks) -> Layers:
    refuse_set(call, start_dim=1, end_dim=-1)
    remarks.add("Of images, PyTorch flattens channels first: put keras.layers.Permute((3, 1, 2)) before.")
    return [f"{K}Flatten()"]


MODULES: dict[str, Callable[[Bound, Remarks], Layers]] = {
    "Linear": _linear,
    **dict.fromkeys(("Conv1d", "Conv2d"), _conv),
    "ConvTranspose2d": _transposed,
    **dict.fromkeys(("MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d"), _pool),
    **dict.fromkeys(("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d"), _adaptive),
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d"), _batch_norm),
    "LayerNorm": _layer_norm,
    "GroupNorm": _group_norm,
    "Embedding": _embedding,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    "LeakyReLU": _leaky,
    "ELU": lambda call, _: [called(f"{K}ELU", alpha=call["alpha"])],
    "Softplus": _softplus,
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "Dropout": _dropout,
    "Upsample": _upsample,
    "Flatten": _flatten,
    "Identity": lambda *_: [f"{K}Identity()"],
}
