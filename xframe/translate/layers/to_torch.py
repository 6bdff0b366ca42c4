"""Keras' layers as modules of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from xframe.translate.layers.common import (
    ACTIVATIONS,
    BATCH_NORM,
    COPIED_GRU,
    COPIED_OTHERS,
    LAYOUT,
    OF_AXES,
    RESIZED,
    ROUNDED,
    WEIGHTS,
    differing,
    flat,
    of_keras,
    refuse_set,
    remark_set,
    same_padding,
    sizes,
)
from xframe.translate.names import Bound, bind
from xframe.translate.written import Literal, NothingExactError, Remarks, called

Modules = list[str]
N = "torch.nn."


def modules(call: Bound, remarks: Remarks) -> Modules:
    """The modules, one after the other, that a layer is."""
    if call.leaf not in LAYERS:
        raise NothingExactError(f"Keras' {call.leaf} is not a chain of modules that PyTorch has.")
    if call.values.get("data_format") == "channels_first":
        raise NothingExactError(
            "data_format='channels_first' is PyTorch's own layout, which is not read here: leave it out."
        )
    remark_set(call, remarks)
    return LAYERS[call.leaf](call, remarks)


def _activation(name: Any, remarks: Remarks, axis: int = -1) -> Modules:
    if name is None or name == "linear":
        return []
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise NothingExactError(f"The activation {name!r} is no module of PyTorch.")
    if name in ("gelu", "leaky_relu"):
        remarks.add(ROUNDED)
    return [ACTIVATIONS[name].replace("dim=-1", f"dim={axis}")]


def _features(call: Bound) -> Any:
    shape = call["input_shape"]
    return shape[-1] if shape else None


def _with_inputs(lazy: str, plain: str, argument: str, call: Bound, **words: Any) -> str:
    features = _features(call)
    return called(N + lazy, **words) if features is None else called(N + plain, **{argument: features}, **words)


def _standin(call: Bound, name: str, remarks: Remarks) -> Any:
    if (features := _features(call)) is not None:
        return features
    remarks.add(f"{name} is the inputs' last axis, which Keras takes from the data.")
    return Literal(name)


def _dense(call: Bound, remarks: Remarks) -> Modules:
    remarks.add(WEIGHTS)
    linear = _with_inputs(
        "LazyLinear", "Linear", "in_features", call, out_features=call["units"], bias=call["use_bias"]
    )
    return [linear, *_activation(call["activation"], remarks)]


def _conv(call: Bound, remarks: Remarks) -> Modules:
    axes = 1 if call.leaf == "Conv1D" else 2
    for text in (LAYOUT, WEIGHTS):
        remarks.add(text)
    kernel, strides, dilation = (sizes(call[one], axes) for one in ("kernel_size", "strides", "dilation_rate"))
    before, padding = _padded(call["padding"], kernel, strides, dilation, call, remarks)
    words = {"kernel_size": kernel, "stride": strides, "padding": padding, "dilation": dilation}
    if call.leaf == "DepthwiseConv2D":
        channels = _standin(call, "channels", remarks)
        many = channels * call["depth_multiplier"] if isinstance(channels, int) else None
        filters = Literal(f"channels * {call['depth_multiplier']}") if many is None else many
        words |= {"groups": channels, "bias": call["use_bias"]}
        conv = called(f"{N}Conv2d", in_channels=channels, out_channels=filters, **words)
    else:
        words = {"out_channels": call["filters"], **words, "groups": call["groups"], "bias": call["use_bias"]}
        conv = _with_inputs(f"LazyConv{axes}d", f"Conv{axes}d", "in_channels", call, **words)
    return [*before, conv, *_activation(call["activation"], remarks, axis=1)]


def _padded(
    padding: str, kernel: Any, strides: Any, dilation: Any, call: Bound, remarks: Remarks, fill: str = "0.0"
) -> tuple[Modules, Any]:
    """A module that pads, if it takes one, and what the windows' own padding is."""
    axes, nothing = len(kernel), (0,) * len(kernel)
    if padding == "valid":
        return [], nothing
    if padding == "causal" and axes == 1:
        return [called(f"{N}ConstantPad1d", padding=(dilation[0] * (kernel[0] - 1), 0), value=0.0)], nothing
    if padding != "same":
        raise NothingExactError(f"Padding {padding!r} is no word of Keras'.")
    pads = same_padding(kernel, strides, dilation, call["input_shape"], remarks)
    if all(before == after for before, after in pads) and fill == "0.0":
        return [], tuple(before for before, _ in pads)
    return [called(f"{N}ConstantPad{axes}d", padding=flat(pads), value=Literal(fill))], nothing


def _transposed(call: Bound, remarks: Remarks) -> Modules:
    refuse_set(call, output_padding=None)
    for text in (LAYOUT, WEIGHTS):
        remarks.add(text)
    kernel, strides = sizes(call["kernel_size"], 2), sizes(call["strides"], 2)
    if sizes(call["dilation_rate"], 2) != (1, 1):
        raise NothingExactError("A dilated Conv2DTranspose has other sizes in Keras.")
    more = tuple(max(s - k, 0) for k, s in zip(kernel, strides, strict=True))
    words = {"out_channels": call["filters"], "kernel_size": kernel, "stride": strides, "padding": (0, 0)}
    words |= {"output_padding": more, "groups": 1, "bias": call["use_bias"]}
    found = [_with_inputs("LazyConvTranspose2d", "ConvTranspose2d", "in_channels", call, **words)]
    over = [max(k - s, 0) for k, s in zip(kernel, strides, strict=True)]
    if call["padding"] == "same" and any(over):
        remarks.add("Padding below 0 crops.")
        cut = flat([(-(each // 2), -(each - each // 2)) for each in over])
        found.append(called(f"{N}ZeroPad2d", padding=cut))
    return [*found, *_activation(call["activation"], remarks, axis=1)]


def _pool(call: Bound, remarks: Remarks) -> Modules:
    axes, most = int(call.leaf[-2]), call.leaf.startswith("Max")
    remarks.add(LAYOUT)
    size = sizes(call["pool_size"], axes)
    strides = size if call["strides"] is None else sizes(call["strides"], axes)
    ones = (1,) * axes
    before, padding = _padded(call["padding"], size, strides, ones, call, remarks, "float('-inf')" if most else "0.0")
    words: dict[str, Any] = {"kernel_size": size, "stride": strides, "padding": padding}
    if most:
        return [*before, called(f"{N}MaxPool{axes}d", **words, dilation=1, ceil_mode=False)]
    if before:
        raise NothingExactError("Keras' mean leaves padding out, which PyTorch's does only if both ends have as much.")
    return [called(f"{N}AvgPool{axes}d", **words, ceil_mode=False, count_include_pad=False)]


def _global(call: Bound, remarks: Remarks) -> Modules:
    remarks.add(LAYOUT)
    kind = "Avg" if "Average" in call.leaf else "Max"
    pool = called(f"{N}Adaptive{kind}Pool{call.leaf[-2]}d", output_size=1)
    return [pool] if call["keepdims"] else [pool, called(f"{N}Flatten", start_dim=1, end_dim=-1)]


def _batch_norm(call: Bound, remarks: Remarks) -> Modules:
    refuse_set(call, axis=-1, renorm=False)
    if call["center"] != call["scale"]:
        raise NothingExactError("BatchNormalization with one of center and scale has no counterpart.")
    remarks.add(BATCH_NORM)
    shape = call["input_shape"]
    if shape is None or shape[0] is ...:
        remarks.add(OF_AXES)
    rank = "1d" if shape is None else {3: "2d", 4: "3d"}.get(len(shape), "1d")
    words = {"eps": call["epsilon"], "momentum": round(1 - call["momentum"], 15), "affine": call["scale"]}
    return [_with_inputs(f"LazyBatchNorm{rank}", f"BatchNorm{rank}", "num_features", call, **words)]


def _layer_norm(call: Bound, remarks: Remarks) -> Modules:
    if call["axis"] not in (-1, [-1]) or (call["center"] and not call["scale"]):
        raise NothingExactError("LayerNormalization of other axes than the last, or without scale, has no counterpart.")
    features = _standin(call, "features", remarks)
    words = {"eps": call["epsilon"], "elementwise_affine": call["scale"], "bias": call["center"]}
    return [called(f"{N}LayerNorm", normalized_shape=features, **words)]


def _group_norm(call: Bound, remarks: Remarks) -> Modules:
    refuse_set(call, axis=-1)
    if call["center"] != call["scale"]:
        raise NothingExactError("GroupNormalization with one of center and scale has no counterpart.")
    remarks.add(LAYOUT)
    channels = _standin(call, "channels", remarks)
    groups = channels if call["groups"] == -1 else call["groups"]
    words = {"num_channels": channels, "eps": call["epsilon"], "affine": call["scale"]}
    return [called(f"{N}GroupNorm", num_groups=groups, **words)]


def _rms_norm(call: Bound, remarks: Remarks) -> Modules:
    refuse_set(call, axis=-1)
    features = _standin(call, "features", remarks)
    return [called(f"{N}RMSNorm", normalized_shape=features, eps=call["epsilon"], elementwise_affine=True)]


def _embedding(call: Bound, remarks: Remarks) -> Modules:
    refuse_set(call, mask_zero=False)
    remarks.add("Weights begin by other rules: copy them.")
    words = {"num_embeddings": call["input_dim"], "embedding_dim": call["output_dim"], "padding_idx": None}
    return [called(f"{N}Embedding", **words)]


def _recurrent(call: Bound, remarks: Remarks) -> Modules:
    part = "Outputs()" if call["return_sequences"] else "LastOutput()"
    return [_run(call, False, remarks), part]


def _run(call: Bound, both: bool, remarks: Remarks) -> str:
    """The module that has a recurrent layer's weights; it returns all outputs, and more."""
    usual = {"dropout": 0.0, "recurrent_dropout": 0.0, "go_backwards": False, "stateful": False, "return_state": False}
    reasons = differing(call, **usual, recurrent_activation="sigmoid", reset_after=True)
    words: dict[str, Any] = {"nonlinearity": call["activation"]} if call.leaf == "SimpleRNN" else {}
    if call["activation"] not in (("tanh", "relu") if words else ("tanh",)):
        reasons.append(f"{call.leaf} with activation={call['activation']!r} has no counterpart.")
    if reasons:
        raise NothingExactError(*reasons)
    remarks.add(
        "Weights are copied: a kernel (inputs, blocks of units) is transposed. Of a GRU's three blocks Keras' order is "
        "z, r, candidate and PyTorch's r, z, candidate: the first two change places, the last stays; Keras' two rows "
        "of biases are bias_ih and bias_hh."
        if call.leaf == "GRU"
        else "Weights are copied: a kernel is transposed, its blocks stay in order."
    )
    if call["use_bias"] and call.leaf != "GRU":
        remarks.add("PyTorch has two biases that are added, Keras one: set bias_hh to 0 and requires_grad to False.")
    remarks.copying = COPIED_GRU if call.leaf == "GRU" else COPIED_OTHERS
    words = {"input_size": _standin(call, "features", remarks), "hidden_size": call["units"], "num_layers": 1} | words
    words |= {"bias": call["use_bias"], "batch_first": True} | ({"bidirectional": True} if both else {})
    return called(N + ("RNN" if call.leaf == "SimpleRNN" else call.leaf), **words)


def _bidirectional(call: Bound, remarks: Remarks) -> Modules:
    inner, backward = call["layer"], call["backward_layer"]
    forward = bind(of_keras(inner))
    if forward.leaf not in ("LSTM", "GRU", "SimpleRNN"):
        raise NothingExactError(f"Bidirectional of {forward.leaf} is not a module that PyTorch has.")
    reasons = differing(call, merge_mode="concat", weights=None)
    if backward is not None:
        turned = bind(of_keras(backward))
        if (turned.name, {**turned.values, "name": None}) != (
            forward.name,
            {**forward.values, "name": None, "go_backwards": not forward["go_backwards"]},
        ):
            reasons.append("A backward_layer that differs from the forward one has no counterpart.")
    if reasons:
        raise NothingExactError(*reasons)
    shape = {} if call["input_shape"] is None else {"input_shape": call["input_shape"]}
    part = "Outputs()" if forward["return_sequences"] else "LastOfBoth()"
    run = _run(replace(forward, values={**forward.values, **shape}), True, remarks)
    remarks.add("The first half of its get_weights() is the module's, the second that of the suffix '_reverse'.")
    return [run, part]


def _relu(call: Bound, remarks: Remarks) -> Modules:
    refuse_set(call, threshold=0.0)
    if call["max_value"] == 6 and not call["negative_slope"]:
        return [ACTIVATIONS["relu6"]]
    refuse_set(call, max_value=None)
    if call["negative_slope"]:
        return _leaky(call, remarks)
    return [ACTIVATIONS["relu"]]


def _leaky(call: Bound, remarks: Remarks) -> Modules:
    remarks.add(ROUNDED)
    return [called(f"{N}LeakyReLU", negative_slope=call["negative_slope"], inplace=False)]


def _dropout(call: Bound, remarks: Remarks) -> Modules:
    refuse_set(call, noise_shape=None)
    remarks.add("What is dropped is drawn from each framework's own random numbers.")
    return [called(f"{N}Dropout", p=call["rate"], inplace=False)]


def _upsample(call: Bound, remarks: Remarks) -> Modules:
    remarks.add(LAYOUT)
    size = sizes(call["size"], 2)
    if call["interpolation"] == "nearest":
        return [called(f"{N}Upsample", scale_factor=size, mode="nearest")]
    if call["interpolation"] != "bilinear":
        raise NothingExactError("Of interpolations, nearest and bilinear are the same in both.")
    remarks.add(RESIZED)
    return [called(f"{N}Upsample", scale_factor=size, mode="bilinear", align_corners=False)]


def _zero_pad(call: Bound, remarks: Remarks) -> Modules:
    remarks.add(LAYOUT)
    given = call["padding"]
    pads = (
        [(given, given)] * 2 if isinstance(given, int) else [(p, p) if isinstance(p, int) else tuple(p) for p in given]
    )
    return [called(f"{N}ZeroPad2d", padding=flat(pads))]


def _flatten(call: Bound, remarks: Remarks) -> Modules:
    shape = call["input_shape"]
    if shape is None or shape[0] is ... or len(shape) > 2:
        remarks.add("Of images, PyTorch flattens channels first: permute(0, 2, 3, 1) before, so that weights fit.")
    return [called(f"{N}Flatten", start_dim=1, end_dim=-1)]


LAYERS: dict[str, Callable[[Bound, Remarks], Modules]] = {
    "Dense": _dense,
    **dict.fromkeys(("Conv1D", "Conv2D", "DepthwiseConv2D"), _conv),
    "Conv2DTranspose": _transposed,
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D"), _pool),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling2D"), _global),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "RMSNormalization": _rms_norm,
    "Embedding": _embedding,
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), _recurrent),
    "Bidirectional": _bidirectional,
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "ELU": lambda call, _: [called(f"{N}ELU", alpha=call["alpha"], inplace=False)],
    "Softmax": lambda call, _: [called(f"{N}Softmax", dim=call["axis"])],
    "Activation": lambda call, remarks: _activation(call["activation"], remarks) or [f"{N}Identity()"],
    "Dropout": _dropout,
    "UpSampling2D": _upsample,
    "ZeroPadding2D": _zero_pad,
    "Flatten": _flatten,
    "Identity": lambda *_: [f"{N}Identity()"],
}
