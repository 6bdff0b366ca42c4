"""A training step with its stages apart: what each has for an outcome, and another outcome in its place.

    batch      features, targets and ids
    forward    outputs
    loss       loss
    gradient   of each parameter: the window's, divided as its update is due, or summed up so far
    clipping   what clipping leaves of it; nothing where no update is due
    update     each parameter after it; nothing where none is due
    buffers    each buffer at the end

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

    def outcome(self, stage: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """What the next stage goes on from: what the stage has, and in its place what was given. Its own are kept."""
        given = {name: np.asarray(values) for name, values in self.given.get(stage, {}).items()}
        for name, values in given.items():
            if name not in arrays:
                raise unknown(f"name in the stage {stage}", name, arrays)
            own = np.asarray(arrays[name])
            if (values.dtype, values.shape) != (own.dtype, own.shape):
                got = f"{values.dtype} {values.shape}"
                raise StateError(f"{name} of the stage {stage}", got=got, expected=f"{own.dtype} {own.shape}")
        self.outcomes[stage] = {name: np.array(values) for name, values in arrays.items()}
        return {**self.outcomes[stage], **given}


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
