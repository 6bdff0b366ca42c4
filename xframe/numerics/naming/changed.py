"""Changed: one way in which a layer may have been computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xframe.numerics.naming.trials import Array
from xframe.tasks.layers import Layer


@dataclass(frozen=True, slots=True)
class Changed:
    """A change of a layer: of its spec, of what it is given, or a function of its own in its place.

    Attributes:
        change: the word of the cause.
        text: as a part of a sentence.
        spec: the layer that says it.
        settings: numbers that were fitted or read.
        layer, weights, inputs, training: what the NumPy adapter's layer is given in the place of what was stated.
        after: a function of what that gives.
        made: a function of the inputs in the place of all of this.
    """

    change: str
    text: str
    spec: Layer | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    layer: Layer | None = None
    weights: Mapping[str, Array] | None = None
    inputs: Array | None = None
    training: bool = True
    after: Callable[[Array], Array] | None = None
    made: Callable[[Array], Array] | None = None
