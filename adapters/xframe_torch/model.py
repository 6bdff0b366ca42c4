"""The model: neutral layers lowered to torch.nn, or the user's own module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xframe.task import NativeModel, Parameter, Task, match

WEIGHTS = {"mixed_float16": "float32"}  # the type of the weights, where the precision does not name it
_ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}


class Model:
    """A module, and where its weights are by canonical name."""

    def __init__(self, task: Task, precision: str, device: str) -> None:
        initial = task.weights()
        own = task.builders.get("torch")
        built = _lower(task, initial) if own is None else own()
        self.module = built.module.to(device=device, dtype=getattr(torch, WEIGHTS.get(precision, precision)))
        self.parameters = match(task, "torch", built, [p for p in self.module.parameters() if p.requires_grad])
        with torch.no_grad():
            for name, (tensor, axes) in self.parameters.items():
                values = initial[name] if axes is None else initial[name].transpose(axes)
                tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))

    def weights(self) -> dict[str, NDArray[Any]]:
        found = {}
        for name, (tensor, axes) in self.parameters.items():
            held = tensor.detach().cpu()
            values = (held.float() if held.dtype == torch.bfloat16 else held).numpy()
            found[name] = np.array(values if axes is None else values.transpose(np.argsort(axes)))
        return found


def _lower(task: Task, initial: dict[str, NDArray[Any]]) -> NativeModel:
    modules: list[torch.nn.Module] = [torch.nn.Flatten()]
    parameters = {}
    for i, layer in enumerate(task.layers):
        inputs, units = initial[f"dense_{i}/kernel"].shape
        # Built without memory, then without values: no random number is drawn for weights that are copied in.
        linear = torch.nn.Linear(inputs, units, bias=layer.use_bias, device="meta").to_empty(device="cpu")
        parameters[f"dense_{i}/kernel"] = Parameter(linear.weight, (1, 0))
        if layer.use_bias:
            parameters[f"dense_{i}/bias"] = Parameter(linear.bias)
        modules.append(linear)
        if layer.activation != "linear":
            modules.append(_ACTIVATIONS[layer.activation]())
    return NativeModel(torch.nn.Sequential(*modules), parameters)
