"""Neutral layers lowered to torch.nn, one function each: the module, and where its weights are.

Modules are built without memory and then without values, so that no random number is drawn for weights that are
copied in. Between them arrays are channels last, as in the data. What torch takes as (rows, channels, H, W) is a
permuted view of that, its "channels last" memory format, so that nothing is copied to and fro.

Its files, by family as in every adapter, each with its part of ``LOWER``:

    dense.py, activations.py, convolution.py, pooling.py, norms.py, recurrent.py, attention.py, dropout.py
    layer.py    what each function takes and gives
"""

from __future__ import annotations

from typing import cast

from torch import nn

from xframe.tasks import layers
from xframe.tasks.builders import Inner, NativeModel, Parameter
from xframe.tasks.layers import Placed
from xframe_torch.layers import activations, attention, convolution, dense, dropout, norms, pooling, recurrent
from xframe_torch.layers.layer import IMAGES, Images, Lowering

_FAMILIES = (dense, activations, convolution, pooling, norms, recurrent, attention, dropout)
LOWER: dict[type[layers.Layer], Lowering] = {
    kind: function for family in _FAMILIES for kind, function in family.LOWER.items()
}
# Where inputs have 3 dimensions.
_ON_IMAGES = (
    *(layers.Conv2D, layers.MaxPool2D, layers.AveragePool2D, layers.BatchNorm, layers.Activation),
    *(layers.DepthwiseConv2D, layers.ConvTranspose2D, layers.Upsample2D, layers.GroupNorm),
    *(layers.LeakyReLU, layers.ELU),
)


def lower(placed: list[Placed]) -> tuple[NativeModel, dict[str, Inner]]:
    """The layers one after the other, with their weights by canonical name; and what gives the outputs of each."""
    modules: list[nn.Module] = []
    parameters: dict[str, Parameter] = {}
    inner: dict[str, Inner] = {}
    images = False
    for layer, name, inputs, _ in placed:
        module, weights = LOWER[type(layer)](layer, inputs)
        parts = list(module) if isinstance(module, nn.Sequential) else [module]
        if images := images and type(layer) in _ON_IMAGES:
            cast(Images, modules[-1]).modules_.extend(parts)
        elif images := len(inputs) == 3 and type(layer) in _ON_IMAGES:
            modules.append(Images(*parts))
        else:
            modules += parts  # one Sequential of all: each that stands within another costs a call at each step
        parameters |= {f"{name}/{weight}": parameter for weight, parameter in weights.items()}
        inner[name] = Inner(parts[-1], IMAGES if images else None, name == placed[-1].name)
    return NativeModel(nn.Sequential(*modules), parameters), inner
