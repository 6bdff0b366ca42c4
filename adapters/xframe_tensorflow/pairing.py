"""A Keras model's variables as ``xframe.state.pairing`` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from xframe.state.pairing import Described, undecided
from xframe.tasks.builders import Inner, Parameter

_NORM = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "variance"}
_PLAIN = {"kernel": "kernel", "bias": "bias"}
_LAYERS: Mapping[type[Any], tuple[str, Mapping[str, str]]] = {  # kind, and roles by Keras' names; layouts are canonical
    keras.layers.Dense: ("dense", _PLAIN),
    keras.layers.Conv2D: ("conv2d", _PLAIN),
    keras.layers.BatchNormalization: ("batchnorm", _NORM),
    keras.layers.LayerNormalization: ("layernorm", _NORM),
    keras.layers.Embedding: ("embedding", {"embeddings": "table"}),
    keras.layers.LSTM: ("lstm", {"kernel": "kernel", "recurrent_kernel": "recurrent", "bias": "bias"}),
}


def inner(model: Any, parameters: Mapping[str, Parameter]) -> dict[str, Inner]:
    """By canonical name, the layers of known kinds whose outputs have one meaning everywhere: of weights of theirs."""
    names = {id(one.tensor): name.rpartition("/")[0] for name, one in parameters.items()}
    found = dict[str, Inner]()
    for layer in model._flatten_layers():
        if type(layer) in _LAYERS and not isinstance(layer, keras.layers.LSTM):
            own = {names.get(id(variable), "") for variable in layer.trainable_variables}
            if len(own) == 1 and (name := own.pop()) and name not in found:
                first = getattr(layer, "data_format", "channels_last") == "channels_first"
                through = "activation" if hasattr(layer, "activation") else ""  # torch has that as a module of its own
                found[name] = Inner(layer, (0, 3, 1, 2) if first else None, through=through)
    return found


def described(model: Any) -> list[tuple[Described, Any]]:
    """Each variable once, in the model's order; what may be without a pair is no variable to train."""
    roles = dict[int, tuple[str, str]]()
    for layer in model._flatten_layers():
        kind, known = _LAYERS.get(type(layer), ("", {}))
        owner = getattr(layer, "cell", layer)  # an LSTM's variables are its cell's
        for variable in owner.variables:
            if variable.name in known:
                roles[id(variable)] = kind, known[variable.name]
    found = list[tuple[Described, Any]]()
    for variable in model.variables:
        kind, role = roles.get(id(variable), ("", ""))
        shape = tuple(variable.shape)
        layouts = (None,) if role else undecided(shape)
        found.append((Described(variable.path, shape, kind, role, layouts, not variable.trainable), variable))
    return found
