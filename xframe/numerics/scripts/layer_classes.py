"""What torch's and Keras' layers by class and settings are in the catalogue; None of what it does not have.

A product whose function is a layer of its own, as torch has it, is one with that function: ``followed``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from xframe.errors import UsageError
from xframe.tasks import layers
from xframe.tasks.layers import Layer

Facts = Mapping[str, Any]
_FUNCTIONS: Mapping[str, Any] = {  # torch's classes
    "ReLU": "relu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "SiLU": "silu",
    "ELU": "elu",
}
_KERAS = {name: name for name in ("linear", "relu", "tanh", "sigmoid", "softplus", "silu", "gelu", "elu")}
_KERAS |= {"swish": "silu"}
IMAGES = ("Conv2d", "BatchNorm2d", "AvgPool2d", "MaxPool2d")  # torch's, which have channels first


def layer_of(stated: Facts, outputs: int, *, bias: bool = True) -> Layer | None:
    """The layer of a script's facts: its class, and its settings beside that or in ``settings``.

    Args:
        outputs: how many axes its outputs have.
        bias: whether it has one; Keras' states that itself.
    """
    held = stated.get("settings")
    values = {**stated, **(held if isinstance(held, Mapping) else {})}
    make = _CLASSES.get(str(stated.get("class", "")))
    try:
        return None if make is None else make({"use_bias": bias, **values}, outputs)
    except (UsageError, KeyError, TypeError, ValueError):
        return None


def followed(layer: Layer, following: Layer | None) -> Layer | None:
    """A product and the function that comes next as one layer; None where they are two."""
    plain = getattr(layer, "activation", None) == "linear"
    if plain and isinstance(following, layers.Activation):
        return replace(layer, activation=following.function)  # type: ignore[call-arg]
    return None


def _same(values: Any) -> int:
    """The one number that a size is along all axes. Raises ValueError: they differ."""
    if isinstance(values, int):
        return values
    if len({*values}) != 1:
        raise ValueError(values)
    return int(values[0])


def _function(name: Any) -> Any:
    return _KERAS[str(name)]


def _torch_conv(kind: Callable[..., Layer], stated: Facts) -> Layer:
    padding = stated["padding"]
    if stated.get("padding_mode", "zeros") != "zeros":
        raise ValueError(stated["padding_mode"])
    return kind(
        stated["out_channels"],
        _same(stated["kernel_size"]),
        padding=padding if isinstance(padding, str) else _same(padding),
        use_bias=bool(stated["use_bias"]),
        strides=_same(stated["stride"]),
        dilation=_same(stated["dilation"]),
        groups=stated["groups"],
    )


def _keras_conv(kind: Callable[..., Layer], stated: Facts) -> Layer:
    if stated.get("data_format", "channels_last") != "channels_last":
        raise ValueError(stated["data_format"])
    return kind(
        stated["filters"],
        _same(stated["kernel_size"]),
        _function(stated["activation"]),
        padding=stated["padding"],
        use_bias=bool(stated["use_bias"]),
        strides=_same(stated["strides"]),
        dilation=_same(stated["dilation_rate"]),
        groups=stated["groups"],
    )


def _pool(stated: Facts, size: str, strides: str) -> dict[str, Any]:
    if stated.get("ceil_mode") or stated.get("divisor_override") or _same(stated.get("dilation", 1)) != 1:
        raise ValueError("a pooling of another kind")
    padding = stated["padding"]
    sizes = _same(stated[size]), _same(stated[strides] or stated[size])
    return {
        "size": sizes[0],
        "strides": sizes[1],
        "padding": padding if isinstance(padding, str) else _same(padding),
    }


def _keras_norm(stated: Facts) -> Layer:
    if (
        stated["axis"] not in (-1, [-1], (-1,))
        or stated.get("rms_scaling")
        or not (stated["center"] and stated["scale"])
    ):
        raise ValueError("a normalisation of another kind")
    return layers.LayerNorm(float(stated["epsilon"]))


def _torch_norm(stated: Facts) -> Layer:
    if len(stated["normalized_shape"]) != 1 or not stated["elementwise_affine"]:
        raise ValueError("a normalisation of another kind")
    return layers.LayerNorm(float(stated["eps"]))


def _batch_norm(stated: Facts) -> Layer:
    if "eps" in stated:  # torch's momentum is the share of what is new
        return layers.BatchNorm(momentum=round(1 - float(stated["momentum"]), 12), epsilon=float(stated["eps"]))
    return layers.BatchNorm(momentum=float(stated["momentum"]), epsilon=float(stated["epsilon"]))


def _lstm(stated: Facts, axes: int) -> Layer:
    units = int(stated["units"] if "units" in stated else stated["hidden_size"])
    return layers.LSTM(units, return_sequences=axes > 2)


def _average(stated: Facts) -> Layer:
    counted = bool(stated["count_include_pad"])
    return layers.AveragePool2D(**_pool(stated, "kernel_size", "stride"), count_padding=counted)


_CLASSES: Mapping[str, Callable[[Facts, int], Layer]] = {
    "Linear": lambda stated, _: layers.Dense(stated["out_features"], use_bias=bool(stated["use_bias"])),
    "Dense": lambda stated, _: layers.Dense(
        stated["units"], _function(stated["activation"]), use_bias=bool(stated["use_bias"])
    ),
    "Conv2d": lambda stated, _: _torch_conv(layers.Conv2D, stated),
    "Conv2D": lambda stated, _: _keras_conv(layers.Conv2D, stated),
    **dict.fromkeys(
        ("BatchNorm1d", "BatchNorm2d", "BatchNormalization"),
        lambda stated, _: _batch_norm(stated),
    ),
    "LayerNorm": lambda stated, _: _torch_norm(stated),
    "LayerNormalization": lambda stated, _: _keras_norm(stated),
    **dict.fromkeys(("LSTM", "LSTMCell"), _lstm),
    **dict.fromkeys(_FUNCTIONS, lambda stated, _: layers.Activation(_FUNCTIONS[stated["class"]])),
    "GELU": lambda stated, _: layers.Activation("gelu_tanh" if stated["approximate"] == "tanh" else "gelu"),
    "Activation": lambda stated, _: layers.Activation(_function(stated["activation"])),
    "LeakyReLU": lambda stated, _: layers.LeakyReLU(float(stated["negative_slope"])),
    "AvgPool2d": lambda stated, _: _average(stated),
    "MaxPool2d": lambda stated, _: layers.MaxPool2D(**_pool(stated, "kernel_size", "stride")),
    "AveragePooling2D": lambda stated, _: layers.AveragePool2D(**_pool(stated, "pool_size", "strides")),
    "MaxPooling2D": lambda stated, _: layers.MaxPool2D(**_pool(stated, "pool_size", "strides")),
}
