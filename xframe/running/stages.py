"""A training step with its stages apart: what each has for an outcome, and another outcome in its place.

    batch      features, targets and ids
    forward    by layer, as far as the adapter sees within the model, ``dense_0/outputs``; and outputs
    loss       loss, and its slope at the outputs where the loop has it
    gradient   of each parameter: the window's, divided as its update is due, or summed up so far
    clipping   what clipping leaves of it; nothing where no update is due
    update     each parameter after it; nothing where none is due
    buffers    each buffer at the end

Outputs of layers are channels last. The next layer goes on from those that were given, where this model has the layer.

An adapter's step makes one step by the functions that its hot path calls, and hands each outcome to ``Stages``, which
keeps it and returns what the next stage goes on from: that, or what was given instead. So a step that is given all of
another's outcomes shows what each of its stages makes of the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xframe.errors import StateError, UsageError, unknown
from xframe.state.record import STAGES
from xframe.state.state import Stateful

__all__ = ["NOTHING", "STAGES", "Arrays", "Staged", "Stages", "made"]

Arrays = Mapping[str, NDArray[Any]]
OUTPUTS = "outputs"
NOTHING: Mapping[str, Arrays] = MappingProxyType({})


class Staged(Stateful, Protocol):
    """What an adapter's training step is, so that its stages can be asked for and fed."""

    def stages(self, batch: Any, given: Mapping[str, Arrays] = NOTHING) -> dict[str, dict[str, NDArray[Any]]]:
        """One training step on a batch; the step's own outcomes by stage and canonical name.

        Args:
            batch: of the adapter's pipeline.
            given: outcomes that take the place of the step's own, some names of a stage or all.

        Raises:
            UsageError: an unknown stage, a name or shape or type that its outcome does not have, or a scaled loss. The
                step is as it was then.
        """


class Stages:
    """The outcomes of one step."""

    def __init__(self, given: Mapping[str, Arrays]) -> None:
        for stage in given:
            if stage not in STAGES:
                raise unknown("stage", stage, STAGES)
        self.given = given
        self.outcomes: dict[str, dict[str, NDArray[Any]]] = {}
        self.layers: dict[str, NDArray[Any]] = {}

    def feeds(self) -> bool:
        """Whether outputs, a layer's or the slope there are given."""
        return "forward" in self.given or "slope" in self.given.get("loss", {})

    def layer(self, layer: str, outputs: NDArray[Any], *, last: bool = False) -> NDArray[Any] | None:
        """What the next layer goes on from, if it is given; the layer's own are kept, of the first of its calls.

        ``last``: they are the model's ``outputs``, so that those that are given take their place.
        """
        name = f"{layer}/{OUTPUTS}"
        if name in self.layers:
            return None
        self.layers[name] = np.array(outputs)
        given = self.given.get("forward", {})
        if name not in given or (last and OUTPUTS in given):
            return None
        return _fitting("forward", name, given[name], self.layers[name])

    def outcome(self, stage: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """What the next stage goes on from: what the stage has, and in its place what was given. Its own are kept."""
        given = {name: values for name, values in self.given.get(stage, {}).items() if not _within(stage, name)}
        for name in given:
            if name not in arrays:
                raise unknown(f"name in the stage {stage}", name, arrays)
        fed = {name: _fitting(stage, name, values, np.asarray(arrays[name])) for name, values in given.items()}
        own = {name: np.array(values) for name, values in arrays.items()}
        self.outcomes[stage] = {**self.layers, **own} if stage == "forward" else own
        return {**own, **fed}


def _within(stage: str, name: str) -> bool:
    """Whether it is of a layer within the model."""
    return stage == "forward" and name.endswith(f"/{OUTPUTS}")


def _fitting(stage: str, name: str, given: NDArray[Any], own: NDArray[Any]) -> NDArray[Any]:
    """What was given, which has its own's type and shape."""
    values = np.asarray(given)
    if (values.dtype, values.shape) != (own.dtype, own.shape):
        got = f"{values.dtype} {values.shape}"
        raise StateError(f"{name} of the stage {stage}", got=got, expected=f"{own.dtype} {own.shape}")
    return values


def made(
    step: Any, batch: Any, given: Mapping[str, Arrays], make: Callable[[Any, Any, Stages], None]
) -> dict[str, dict[str, NDArray[Any]]]:
    """One step by ``make``, all of it or nothing."""
    stages, before, window = Stages(given), step.state(), step.window.state()
    if before.precision == "mixed_float16":
        raise UsageError("a step whose loss is scaled has no stages apart", got="mixed_float16")
    try:
        make(step, batch, stages)
    except BaseException:
        step.window.restore(window)
        step.restore(before)
        raise
    return stages.outcomes
