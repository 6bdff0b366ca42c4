"""Which tensors two records of one step both have, in the order in which a step computes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.numerics.result import STEP
from xframe.state.record import STAGES, Record
from xframe.state.state import State

Values = NDArray[Any]
_INNER_LAST = "outputs"  # of the stage forward: what the model ends with
_BACKWARD = ("gradient", "clipping")
_AFTER = ("update", "buffers")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of both sides.

    Attributes:
        stage, name: where it is, as in ``Distance``.
        reference, candidate: its values.
        before: from which the step moved it; None where it is made afresh, or that is not known.
        kind: what it is: ``parameter``, ``slot`` (and whatever else a step keeps), or the stage that made it.
    """

    stage: str
    name: str
    reference: Values
    candidate: Values
    before: Values | None = None
    kind: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """The reference's."""
        return tuple(np.shape(self.reference))

    def floor(self, floors: Mapping[str, float]) -> float:
        """How far rounding was measured to move it, of ``facts["floor"]``; 0 where it was not.

        Of what is kept beside the parameters what the whole step moved is as good; a whole step's loss is a loss.
        """
        names = [f"{self.kind if self.kind == 'loss' else self.stage}/{self.name}"]
        if self.kind == "slot":
            names += [f"{STEP}/{self.name}", f"{STEP}/{self.stage}/{self.name}"]
        return max(floors.get(name, 0.0) for name in names)


def shared(reference: Record, candidate: Record) -> Iterator[Tensor]:
    """What both have, in the order of computation: batch, forward from the first layer on, loss, gradient from the
    last layer back, clipping, update with the slots before the parameters that they move, buffers.

    Of records whose stages are apart the parameters and buffers are those that the stage made, whatever it was given
    to leave; of others they are what the step left.
    """
    apart = "update" in reference.stages and "update" in candidate.stages
    for stage in (one for one in STAGES if one not in _AFTER):
        for name in ordered(stage, reference.stages.get(stage, {})):
            yield from _both(reference, candidate, stage, name, STEP if stage == "loss" and not apart else stage)
    made, begun = [_left(one, apart=apart) for one in (reference, candidate)], _arrays(reference.before)
    for path in made[0]:
        if path in made[1]:
            part, _, name = path.partition("/")
            stage = "buffers" if part == "buffers" else "gradient" if part == "gradients" else "update"
            short = name if part == "parameters" or (apart and part == "buffers") else path
            kind = "parameter" if part == "parameters" else "slot"
            yield Tensor(stage if apart else STEP, short, made[0][path], made[1][path], begun.get(path), kind)


def _both(reference: Record, candidate: Record, stage: str, name: str, shown: str) -> Iterator[Tensor]:
    """A tensor of a stage, where both sides have it."""
    if name in candidate.stages.get(stage, {}):
        yield Tensor(shown, name, reference.stages[stage][name], candidate.stages[stage][name], kind=stage)


def _left(record: Record, *, apart: bool) -> dict[str, Values]:
    """What the step left by path: an open window's gradients, each parameter behind its slots, averages, buffers."""
    held = _arrays(record.after)
    if apart:
        held = {path: values for path, values in held.items() if path.startswith(("slots/", "average/", "gradients/"))}
        held |= {f"parameters/{name}": values for name, values in record.stages["update"].items()}
        held |= {f"buffers/{name}": values for name, values in record.stages.get("buffers", {}).items()}
    names = [path.partition("/")[2] for path in held if path.startswith("parameters/")]
    slots = dict.fromkeys(path.split("/", 2)[1] for path in held if path.startswith("slots/"))
    paths = [f"gradients/{name}" for name in ordered("gradient", names)]
    for name in names:
        paths += [*(f"slots/{slot}/{name}" for slot in slots), f"parameters/{name}"]
    return {path: held[path] for path in (*paths, *(one for one in held if one not in {*paths})) if path in held}


def _arrays(state: State | None) -> dict[str, Values]:
    """A state's arrays by path, but for those of the best validation, which no step moves."""
    return {} if state is None else replace(state, best={}).arrays()


def ordered(stage: str, names: Iterable[str]) -> list[str]:
    """The names of a stage as it computes them: forward as they come and the model's outputs last, backward from the
    last layer to the first."""
    given = list(names)
    if stage == "forward":
        return sorted(given, key=lambda name: name == _INNER_LAST)
    if stage not in _BACKWARD:
        return given
    layers: dict[str, list[str]] = {}
    for name in given:
        layers.setdefault(name.rpartition("/")[0], []).append(name)
    return [name for layer in reversed(layers) for name in layers[layer]]


def lacking(reference: Record, candidate: Record) -> list[str]:
    """Paths of what the step left that only one of two states has, parameters first."""
    if reference.after is None or candidate.after is None:
        return []
    one, other = (_arrays(side.after).keys() for side in (reference, candidate))
    return sorted(one ^ other, key=lambda path: (not path.startswith("parameters/"), path))


def same_bits(one: Values, other: Values) -> bool:
    """Whether two tensors are equal bit by bit; any NaN is the same as any other."""
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind in "fc" and np.isnan(one).any():
        return bool(np.array_equal(one, other, equal_nan=True))
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def largest(arrays: Mapping[str, Values] | Iterable[Values]) -> float:
    """The largest finite magnitude in numbers; 0 without any."""
    held = arrays.values() if isinstance(arrays, Mapping) else arrays
    return max((magnitude(values) for values in held), default=0.0)


def magnitude(values: Values) -> float:
    """The largest finite magnitude in a tensor; 0 of an empty one, and of what is no number."""
    values = np.asarray(values)
    if not values.size or values.dtype.kind not in "biuf":
        return 0.0
    size = max(abs(float(values.max())), abs(float(values.min())))
    if math.isfinite(size):
        return size
    sizes = np.abs(values.astype(np.float64))
    return float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))
