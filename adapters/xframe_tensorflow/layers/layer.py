"""What a neutral layer becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xframe.tasks.builders import Parameter
from xframe.tasks.layers import Shape

Lowered = tuple[Any, Mapping[str, Any]]  # what it gives, and its variables, or ``Parameter`` where axes differ
Lowering = Callable[[Any, Shape, Any], Lowered]
IMAGES: dict[str, Any] = {"data_format": "channels_last"}
TRANSPOSED = (0, 1, 3, 2)  # Keras keeps a transposed convolution's kernel (H, W, filters, inputs)


def applied(native: Any, x: Any, **weights: str) -> Lowered:
    """What a Keras layer gives for x, and its variables: by the weights' own names, the attributes that hold them."""
    outputs = native(x)  # makes the variables
    return outputs, {name: getattr(native, attribute) for name, attribute in weights.items()}


def parameter(held: Any) -> Parameter:
    """A variable with the axes that it came with, if any."""
    return held if isinstance(held, Parameter) else Parameter(held)
