"""What both directions use: activations by name, sizes along axes, padding, sentences."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from xframe.errors import UsageError
from xframe.translate.names import Bound
from xframe.translate.parsing import Call
from xframe.translate.written import NothingExactError, Remarks, Written

LAYOUT = "Keras has channels last, PyTorch behind the samples: permute the data, and copy the weights."
WEIGHTS = "Weights begin by other rules: copy them, a kernel's axes turned round."
BATCH_NORM = (
    "Keras' running variance is the batch's, PyTorch's that times N / (N − 1): training gives the same outputs, "
    "evaluation others."
)
_HOOK = (
    "The hook below takes from running_var what PyTorch adds too much: with it evaluation is the same, up to rounding."
)
OF_AXES = (
    "Which BatchNorm it is follows from the inputs, which are not shown here: 1d of (samples, features) or (samples, "
    "channels, length), 2d of images, 3d of volumes, with the same arguments; input_shape=(48,) would say it."
)
_BY_N = (
    "def variance_by_n(module, inputs, outputs):  # a running variance as Keras keeps it",
    "    if module.training:",
    "        batch = inputs[0].detach()",
    "        axes = [axis for axis in range(batch.ndim) if axis != 1]",
    "        count = batch.numel() // batch.shape[1]",
    "        extra = module.momentum * batch.var(axes, correction=0) / (count - 1)",
    "        module.running_var = module.running_var - extra",
)
_HOOKED = {
    "layer": ("layer.register_forward_hook(variance_by_n)",),
    "model": (
        "for module in model.modules():",
        "    if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):",
        "        module.register_forward_hook(variance_by_n)",
    ),
}
ROUNDED = "Keras rounds a constant of this function to float32, in float64 too."
RESIZED = "TensorFlow resizes bilinearly in float32, in float64 too."
# By Keras' name; the module of PyTorch that is the same function.
ACTIVATIONS = {
    "relu": "torch.nn.ReLU(inplace=False)",
    "relu6": "torch.nn.ReLU6(inplace=False)",
    "tanh": "torch.nn.Tanh()",
    "sigmoid": "torch.nn.Sigmoid()",
    "softplus": "torch.nn.Softplus(beta=1.0, threshold=40.0)",  # past 20, its default, it would be x itself
    "softsign": "torch.nn.Softsign()",
    "silu": "torch.nn.SiLU(inplace=False)",
    "swish": "torch.nn.SiLU(inplace=False)",
    "gelu": "torch.nn.GELU(approximate='none')",
    "elu": "torch.nn.ELU(alpha=1.0, inplace=False)",
    "selu": "torch.nn.SELU(inplace=False)",
    "mish": "torch.nn.Mish(inplace=False)",
    "leaky_relu": "torch.nn.LeakyReLU(negative_slope=0.2, inplace=False)",
    "softmax": "torch.nn.Softmax(dim=-1)",
    "log_softmax": "torch.nn.LogSoftmax(dim=-1)",
}

_MODULES = {  # what stands in a chain where no module of PyTorch does: what its forward takes, and returns
    "ChannelsLast": ("inputs", ("return inputs.movedim(1, -1)",)),
    "ChannelsFirst": ("inputs", ("return inputs.movedim(-1, 1)",)),
    "Outputs": ("results", ("return results[0]",)),
    "LastOutput": ("results", ("return results[0][:, -1]",)),
    "LastOfBoth": (
        "results",
        ("forward, backward = results[0].chunk(2, -1)", "return torch.cat((forward[:, -1], backward[:, 0]), -1)"),
    ),
}
# Keras' weights in PyTorch's recurrent modules: a kernel transposed, its blocks in PyTorch's order.
COPIED = (
    "def copy_weights(weights, module, suffix=''):  # layer.get_weights(), the module of torch.nn",
    "    kernel, recurrent, *biases = map(torch.tensor, weights)",
    "    rows = {'weight_ih_l0': kernel.T, 'weight_hh_l0': recurrent.T}",
)
COPIED_GRU = (
    *COPIED,
    "    for two in biases:",
    "        rows |= {'bias_ih_l0': two[0], 'bias_hh_l0': two[1]}",
    "    for name, (z, r, last) in ((name, each.chunk(3)) for name, each in rows.items()):",
    "        getattr(module, name + suffix).data.copy_(torch.cat((r, z, last)))",
)
COPIED_OTHERS = (
    *COPIED,
    "    for bias in biases:",
    "        rows |= {'bias_ih_l0': bias, 'bias_hh_l0': torch.zeros_like(bias)}",
    "        getattr(module, 'bias_hh_l0' + suffix).requires_grad = False",
    "    for name, each in rows.items():",
    "        getattr(module, name + suffix).data.copy_(each)",
)


def setup(code: str) -> tuple[str, ...]:
    """The modules that code names and PyTorch has not."""
    lines: list[str] = []
    for name, (given, body) in _MODULES.items():
        if re.search(rf"\b{name}\(", code):
            lines += [f"class {name}(torch.nn.Module):", f"    def forward(self, {given}):"]
            lines += [f"        {line}" for line in body]
    return tuple(lines)


def of_variance(written: Written, remarks: Remarks) -> NothingExactError:
    """That a batch normalisation's running variance is another, and for PyTorch the hook that makes it the same."""
    others = [text for text in (OF_AXES,) if text in remarks.texts]
    if "torch.nn." not in written.code:
        return NothingExactError(BATCH_NORM, *others, closest="\n".join(written.lines()))
    hooked = replace(written, setup=(*written.setup, *_BY_N), after=_HOOKED[written.name])
    return NothingExactError(BATCH_NORM, _HOOK, *others, closest="\n".join(hooked.lines()))


def sizes(value: Any, axes: int) -> tuple[int, ...]:
    """One whole number an axis."""
    several = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(several) == 1:
        several *= axes
    if len(several) != axes or not all(type(each) is int for each in several):
        raise UsageError("sizes along axes", got=value, expected=f"a whole number, or {axes} of them")
    return several


def same_padding(
    kernel: tuple[int, ...], strides: tuple[int, ...], dilation: tuple[int, ...], shape: Any, remarks: Remarks
) -> list[tuple[int, int]]:
    """What Keras' ``same`` adds before and after each axis, of inputs of that shape if it is known."""
    known = tuple(shape)[:-1] if isinstance(shape, (tuple, list)) else (None,) * len(kernel)
    if max(strides) > 1 and not all(type(length) is int for length in known):
        remarks.add(
            "Padding is that of sizes which the strides divide; for others give input_shape, since Keras' same "
            "depends on it."
        )
        known = (None,) * len(kernel)
    found = []
    for k, s, d, length in zip(kernel, strides, dilation, known, strict=True):
        reach = d * (k - 1) + 1
        total = max((-(-length // s) - 1) * s + reach - length if length else reach - s, 0)
        found.append((total // 2, total - total // 2))
    return found


def flat(pads: list[tuple[int, int]]) -> tuple[int, ...]:
    """As PyTorch's padding modules take it: the last axis first."""
    return tuple(number for pair in reversed(pads) for number in pair)


def refuse_set(call: Bound, **usual: Any) -> None:
    """Refuses arguments that differ from those for which there is a counterpart."""
    if reasons := differing(call, **usual):
        raise NothingExactError(*reasons)


def of_keras(call: Call) -> Call:
    """A layer that stands within one of Keras, and so is Keras' even without its module."""
    return call if "." in call.name else replace(call, name=f"keras.layers.{call.name}")


def differing(call: Bound, **usual: Any) -> list[str]:
    """A sentence for each argument that differs from that for which there is a counterpart."""
    return [
        f"{call.leaf} with {argument}={call[argument]!r} has no counterpart."
        for argument, value in usual.items()
        if call.values.get(argument, value) != value
    ]


def remark_set(call: Bound, remarks: Remarks) -> None:
    """What an argument says that no module has: regularizers, constraints."""
    for argument, value in call.values.items():
        if argument.endswith(("_regularizer", "_constraint")) and value is not None:
            remarks.add(f"{argument} is no part of a module: write it into the loss or after the update.")
