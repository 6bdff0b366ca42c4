"""What a layer gives in NumPy, with the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

Array = NDArray[Any]
Weights = Mapping[str, Array]
Back = Callable[[Array], tuple[dict[str, Array], Array]]


class Passed(NamedTuple):
    """What a layer gives for a batch.

    Attributes:
        outputs: for the batch.
        back: given the gradient of the outputs, those of the weights by their own names, and that of the inputs.
        moved: new values of weights that have no gradient and that a training step changes, by their own names.
    """

    outputs: Array
    back: Back
    moved: dict[str, Array] = {}  # noqa: RUF012  nobody writes to it


# Of a neutral layer, its weights by their own names, a batch, and whether this is a training step.
Lowering = Callable[[Any, Weights, Array, bool], Passed]
