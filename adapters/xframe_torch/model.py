"""The model: neutral layers lowered to torch.nn, or the user's own module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xframe.runtime import storage
from xframe.task import Task, match
from xframe_torch.layers import lower


class Model:
    """A module, and where its weights are by canonical name."""

    def __init__(self, task: Task, precision: str, device: str) -> None:
        self.storage = storage(precision)
        initial = task.weights()
        own = task.builders.get("torch")
        built = lower(task.placed(initial)) if own is None else own()
        dtype = torch.bfloat16 if precision == "bfloat16" else getattr(torch, self.storage)
        self.module = built.module.to(device=device, dtype=dtype)
        self.parameters = match(task, "torch", built, [p for p in self.module.parameters() if p.requires_grad])
        with torch.no_grad():
            for name, (tensor, axes) in self.parameters.items():
                values = initial[name] if axes is None else initial[name].transpose(axes)
                tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))

    def weights(self) -> dict[str, NDArray[Any]]:
        found = {}
        for name, (tensor, axes) in self.parameters.items():
            values = tensor.detach().to("cpu", getattr(torch, self.storage)).numpy()  # NumPy has no bfloat16
            found[name] = np.array(values if axes is None else values.transpose(np.argsort(axes)))
        return found
