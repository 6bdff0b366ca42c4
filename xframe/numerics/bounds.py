"""What rounding can make of one step: bounds from precision and size, raised by what was measured.

Two sides that compute the same formula from the same numbers differ by what each of them rounds. Of that,

- a stored element is rounded a few times, each time by half a unit of its own last place (``STORED``);
- what is a sum of many terms is wrong by a share of the largest of its tensor (``Rounding.summed``): the sum over a
  batch and a layer's inputs loses digits with its length, and where its terms cancel it loses as many as they do;
- a tensor whose terms cancel altogether, as a bias's gradient before a normalisation, is as wrong as the terms were
  large, and of that the other tensors of its stage tell (``CANCELLED``).

How far terms cancel no shape shows. So a *floor* is measured: how far the reference's own numbers move if each of its
starting weights is moved by one unit in the last place. A bound is at least ``FLOORS`` times that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xframe.numerics.tensors import Tensor, Values, largest, magnitude
from xframe.precision import epsilon, rounding, storage
from xframe.state.record import Record

STORED = 8  # units, of an element that is stored: both sides' formulas apply a rate, a decay and the update
CANCELLED = 64  # units, of the largest in a stage
FLOORS = 16  # times what was measured: of a few draws, the largest is not the largest possible
_FORMULA = 2**8  # units of a short sum: float32's bias corrections are 75 apart
_EXACT = 2**16  # in float64, where no real error is as small: nine orders lie between rounding and 1e-5
_TELLING = 1e-3  # of an update that must not pass
_SLOTS = 2.0  # a second moment is a square


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a step rounds.

    Attributes:
        precision: the run's.
        stored: the unit of what is kept, from 1 to the next number.
        summed: by which share of its largest element a tensor made of sums may be wrong.
        computed: the unit of what sums and products are computed in.
    """

    precision: str
    stored: float
    summed: float
    computed: float

    @classmethod
    def of(cls, record: Record) -> Rounding:
        """Of a record's precision and sizes. ``facts["unit"]`` is the unit of its arithmetic where that is coarser
        than its precision, such as TF32's."""
        stored = rounding("bfloat16") if record.precision == "bfloat16" else epsilon(record.precision)
        stated = record.facts.get("unit")
        computed = rounding(record.precision)
        if type(stated) is float and computed < stated <= rounding("bfloat16"):
            computed = stated
        formula = _EXACT if record.precision == "float64" and computed == stored else _FORMULA
        terms = max((max(np.shape(values), default=1) for values in _all(record)), default=1)
        return cls(record.precision, stored, min(1.0, (formula + 4 * math.sqrt(terms)) * computed), computed)

    def units(self, values: Values) -> Values:
        """The unit in the last place of each number, as what is kept has it."""
        coarser = 2.0**16 if self.precision == "bfloat16" else 1.0
        with np.errstate(over="ignore"):
            held = np.minimum(np.abs(values), np.finfo(storage(self.precision)).max)
            units: Values = np.spacing(held.astype(storage(self.precision))).astype(np.float64) * coarser
        return units


def _all(record: Record) -> Iterable[Values]:
    for held in record.stages.values():
        yield from held.values()
    if record.after is not None:
        yield from record.after.parameters.values()


@dataclass(frozen=True, slots=True)
class Scales:
    """The largest magnitudes of what a reference's step computed, by which what cancels is judged.

    Attributes:
        inputs: of the batch and the outcomes of layers.
        moves: of each tensor, by stage and name, see ``moved``.
        by_kind: the largest of these by kind: of gradients, of the moves of parameters, of slots.
    """

    inputs: float
    moves: Mapping[tuple[str, str], float]
    by_kind: Mapping[str, float]

    @classmethod
    def of(cls, reference: Record, tensors: Iterable[Tensor]) -> Scales:
        """Of a step of the reference."""
        stages = [dict(reference.stages.get(stage, {})) for stage in ("batch", "forward")]
        stages[0].pop("ids", None)  # which are no input of anything
        moves, by_kind = dict[tuple[str, str], float](), dict[str, float]()
        for one in tensors:
            move = moves[one.stage, one.name] = moved(one)
            by_kind[one.kind] = max(by_kind.get(one.kind, 0.0), move)
        return cls(max(map(largest, stages)), moves, by_kind)


def moved(tensor: Tensor) -> float:
    """The largest of what the step added; all of a tensor that it made, and the largest before and after of what it
    keeps beside the parameters, of which a decaying sum is a share."""
    if tensor.kind == "parameter" and tensor.before is not None and np.shape(tensor.before) == tensor.shape:
        return magnitude(_update(tensor))
    return max(magnitude(tensor.reference), 0.0 if tensor.before is None else magnitude(tensor.before))


def _update(tensor: Tensor) -> Values:
    with np.errstate(over="ignore", invalid="ignore"):
        before = np.zeros(()) if tensor.before is None else tensor.before
        return np.subtract(tensor.reference, before, dtype=np.float64)


def bound(tensor: Tensor, how: Rounding, scales: Scales, floor: float = 0.0) -> Values:
    """By how much each element may differ, in the reference's shape.

    Args:
        floor: measured, of this tensor, absolute.
    """
    if np.asarray(tensor.reference).dtype.kind != "f":
        return np.zeros(tensor.shape)
    own = np.abs(np.asarray(tensor.reference, np.float64))
    if tensor.before is not None and np.shape(tensor.before) == tensor.shape:
        own = np.maximum(own, np.abs(tensor.before))
    if own.size and not math.isfinite(float(own.max())):
        own = np.where(np.isfinite(own), own, 0.0)
    least = 4 * float(np.finfo(storage(how.precision)).tiny)  # what is smaller some round to 0
    return np.maximum(_derived(tensor, own, how, scales) + least, FLOORS * floor)


def _derived(tensor: Tensor, own: Values, how: Rounding, scales: Scales) -> Values:
    """From precision and size alone."""
    stored, size = STORED * how.stored * own, scales.moves[tensor.stage, tensor.name]
    cancelled = CANCELLED * how.computed * scales.by_kind[tensor.kind]
    if tensor.kind == "batch":
        return stored
    if tensor.kind == "forward":
        return stored + (how.summed * size + CANCELLED * how.computed * scales.inputs)
    if tensor.kind == "loss":
        terms = scales.inputs or 1.0  # a likelihood is the difference of two such; a square's slope is its root
        return stored + how.summed * own + CANCELLED * how.computed * terms * np.maximum(1.0, np.sqrt(own))
    times = _SLOTS if tensor.kind == "slot" else 1.0
    return stored + (times * how.summed * size + cancelled)


def stated_floors(record: Record) -> dict[str, float]:
    """What a record states as its floor, as far as that can be one."""
    stated: Any = record.facts.get("floor")
    if not isinstance(stated, Mapping):
        return {}
    return {name: float(one) for name, one in stated.items() if type(one) in (int, float) and 0 <= one < math.inf}


def telling(tensor: Tensor, bounds: Values) -> bool | None:
    """Whether a thousandth of what a parameter's update is would be seen; None where nothing moved."""
    if tensor.kind != "parameter" or tensor.before is None or np.shape(tensor.before) != tensor.shape:
        return None
    update = np.abs(_update(tensor))
    if not update.size or not magnitude(update):
        return None
    return bool(np.any((bounds < _TELLING * update) & np.isfinite(update)))
