"""The model: neutral layers lowered to torch.nn, or the user's own module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xframe.tasks.builders import Inner, NativeModel, Parameter, match, paired
from xframe.tasks.task import Task
from xframe_torch.layers import lower
from xframe_torch.pairing import described, inner

WEIGHTS = {"mixed_float16": "float32"}  # the type of the weights, where the precision does not name it


class Model:
    """A module, and where its weights are by canonical name.

    Attributes:
        parameters: all that the task names.
        trained: those that have a gradient, in the module's order.
        layers: what gives the outputs of its layers, as far as they are seen.
        final: what a run ends with.
    """

    def __init__(self, task: Task, precision: str, device: str) -> None:
        initial = task.weights()
        own = task.builders.get("torch")
        layers: Mapping[str, Inner] | None = None
        if own is None:
            built, layers = lower(task.placed(initial))
        else:
            built = paired(own(), described, initial)
        built = _moved(built, device, getattr(torch, WEIGHTS.get(precision, precision)))
        self.module = built.module
        trainable = [p for p in self.module.parameters() if p.requires_grad]
        self.parameters = match(built, trainable, initial, task=task.name, framework="torch")
        self.layers = inner(self.module, self.parameters) if layers is None else layers
        names = {parameter.tensor: name for name, parameter in self.parameters.items()}
        self.trained = {names[tensor]: self.parameters[names[tensor]] for tensor in trainable}
        self.final = dict(self.parameters)
        with torch.no_grad():
            for name, (tensor, axes) in self.parameters.items():
                values = initial[name] if axes is None else initial[name].transpose(axes)
                tensor.copy_(torch.from_numpy(np.array(values, order="C")))

    def weights(self) -> dict[str, NDArray[Any]]:
        """A copy of the weights that a run ends with, by canonical name, as the task has them."""
        weights = {}
        for name, (tensor, axes) in self.final.items():
            held = whole(tensor).cpu()
            values = (held.float() if held.dtype == torch.bfloat16 else held).numpy()
            weights[name] = np.array(values if axes is None else values.transpose(np.argsort(axes)))
        return weights


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The values of a tensor; of one of which each replica has a part, all of them, for which all must ask."""
    held = tensor.detach()
    return held.full_tensor() if hasattr(held, "full_tensor") else held


def _moved(built: NativeModel, device: str, dtype: torch.dtype) -> NativeModel:
    """On that device, of that type. Moving a module keeps its parameters and replaces its buffers, found by name."""
    buffers = {id(buffer): name for name, buffer in built.module.named_buffers()}
    module, parameters = built.module.to(device=device, dtype=dtype), {}
    for name, given in built.parameters.items():
        parameter = given if isinstance(given, Parameter) else Parameter(given)
        moved = buffers.get(id(parameter.tensor))
        parameters[name] = parameter if moved is None else parameter._replace(tensor=module.get_buffer(moved))
    return NativeModel(module, parameters)
