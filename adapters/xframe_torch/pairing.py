"""A module's parameters and buffers as ``xframe.state.pairing`` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import torch
from torch import nn

from xframe.state.pairing import Axes, Described, undecided
from xframe.tasks.builders import Inner, Parameter
from xframe_torch.layers.layer import IMAGES

_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
_PLAIN = {"weight": "kernel", "bias": "bias"}
_LSTM = {"weight_ih_l0": "kernel", "weight_hh_l0": "recurrent"}
_LAYERS: Mapping[type[nn.Module], tuple[str, Mapping[str, str]]] = {  # kind, and roles by torch's names
    nn.Linear: ("dense", _PLAIN),
    nn.Conv2d: ("conv2d", _PLAIN),
    nn.BatchNorm1d: ("batchnorm", _NORM),
    nn.BatchNorm2d: ("batchnorm", _NORM),
    nn.LayerNorm: ("layernorm", _NORM),
    nn.Embedding: ("embedding", {"weight": "table"}),
    nn.LSTM: ("lstm", _LSTM),
}
_TURNED: Mapping[tuple[str, str], Axes] = {  # what turns the canonical layout into torch's
    ("dense", "kernel"): (1, 0),
    ("conv2d", "kernel"): (3, 2, 0, 1),
    ("lstm", "kernel"): (1, 0),
    ("lstm", "recurrent"): (1, 0),
}
_IMAGES = (nn.Conv2d, nn.BatchNorm2d)


def inner(module: nn.Module, parameters: Mapping[str, Parameter]) -> dict[str, Inner]:
    """By canonical name, the layers of known kinds whose outputs have one meaning everywhere: of weights of theirs."""
    names = {id(one.tensor): name.rpartition("/")[0] for name, one in parameters.items()}
    found = dict[str, Inner]()
    for layer in module.modules():
        if type(layer) in _LAYERS and not isinstance(layer, nn.LSTM):
            own = {names.get(id(tensor), "") for tensor in layer.parameters(recurse=False)}
            if len(own) == 1 and (name := own.pop()) and name not in found:
                found[name] = Inner(layer, IMAGES if isinstance(layer, _IMAGES) else None)
    return found


def described(module: nn.Module) -> list[tuple[Described, torch.Tensor]]:
    """Each parameter and buffer once, in the module's order; what may be without a pair is no parameter to train."""
    found, seen = list[tuple[Described, torch.Tensor]](), set[int]()
    for path, layer in module.named_modules():
        kind, roles = _LAYERS.get(type(layer), ("", {}))
        for name, tensor in chain(layer.named_parameters(recurse=False), layer.named_buffers(recurse=False)):
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            role, shape = roles.get(name, ""), tuple(tensor.shape)
            layouts = (_TURNED.get((kind, role)),) if role else undecided(shape)
            whole = f"{path}.{name}".lstrip(".")
            one = Described(whole, shape, kind if role else "", role, layouts, not tensor.requires_grad)
            found.append((one, tensor))
    return found
