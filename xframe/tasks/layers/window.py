"""Windows along axes: where they begin, and what is added at the ends. For convolutions and pooling.

A window of ``reach`` places begins at every ``strides``-th place of an axis, after ``pads`` has been added to its ends.
Padding ``valid`` adds nothing. ``same``, Keras' word, adds as little as gives ⌈length / strides⌉ windows, the odd one
at the end. ``causal`` adds reach − 1 at the start. A number, torch's way, is added at each end. With strides above 1 no
number stands for ``same``: it can give the same shape, and other values.
"""

from __future__ import annotations

from xframe.tasks.layers.layer import Layer, Shape, nonempty


def pads(length: int, reach: int, strides: int, padding: str | int) -> tuple[int, int]:
    """How many places are added before and after an axis of that length."""
    if isinstance(padding, int):
        return padding, padding
    if padding == "causal":
        return reach - 1, 0
    total = max((-(-length // strides) - 1) * strides + reach - length, 0) if padding == "same" else 0
    return total // 2, total - total // 2


def counts(layer: Layer, inputs: Shape, reach: int, strides: int, padding: str | int) -> Shape:
    """How many windows there are along each axis but the last. Raises UsageError: none."""
    along = ((length, sum(pads(length, reach, strides, padding))) for length in inputs[:-1])
    return nonempty(layer, inputs, tuple((length + added - reach) // strides + 1 for length, added in along))
