"""What rounding alone makes of one adapter's step: moved by one unit in the last place, and with its rows permuted.

The differences are a floor for what two adapters' steps may differ by.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.precision import epsilon
from xframe.state.record import Record
from xframe.state.state import State

Floor = dict[str, float]  # by stage and tensor: a difference, absolute


def moved(state: State, seed: int) -> State:
    """The state with each parameter moved by one unit in the last place of its precision, up or down by chance."""
    draws = np.random.default_rng(seed)
    return replace(
        state, parameters={name: one_ulp(held, draws, state.precision) for name, held in state.parameters.items()}
    )


def one_ulp(values: NDArray[Any], draws: np.random.Generator, precision: str) -> NDArray[Any]:
    """The array with each number moved; those that are zero stay."""
    up = draws.random(values.shape) < 0.5
    if precision == "bfloat16" and values.dtype == np.float32:  # held as the float32 of the same value
        bits = np.ascontiguousarray(values).view(np.uint32)
        bits = bits + np.where(up, np.uint32(1 << 16), np.uint32(-(1 << 16) & 0xFFFFFFFF))
        further = bits.astype(np.uint32).view(np.float32)
    else:
        further = np.nextafter(values, np.where(up, np.inf, -np.inf).astype(values.dtype))
    return np.where((values == 0) | ~np.isfinite(further), values, further)


def permuted(batch: Any, seed: int) -> Any:
    """The batch with its rows in a different order; as it is where its rows cannot be picked."""
    if not hasattr(batch, "take"):
        return batch
    return batch.take(np.random.default_rng(seed).permutation(len(batch.ids)))


def exchangeable(loss: float, permuted: float, precision: str) -> bool:
    """Whether a step whose rows were permuted is the same step, by the two losses.

    Where a layer draws by row, as a dropout does, it is a different one, and how far it is from it no rounding.
    """
    return not abs(loss - permuted) > math.sqrt(epsilon(precision)) * max(abs(loss), abs(permuted))


def floor_of(made: Record, others: Iterable[Record]) -> Floor:
    """By stage and tensor, the largest difference between a step's outcomes and those of the same step, perturbed.

    A parameter counts by how far it was moved from where it began, as beginnings are not the same.
    """
    own, floor = dict(_outcomes(made)), Floor()
    for other in others:
        for path, values in _outcomes(other):
            if path not in own or own[path].shape != values.shape or not values.size:
                continue
            with np.errstate(all="ignore"):
                largest = float(np.max(np.abs(values - own[path])))
            if np.isfinite(largest):
                floor[path] = max(floor.get(path, 0.0), largest)
    return floor


def _outcomes(record: Record) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What a step made, by stage and tensor; of a parameter, its update."""
    begun = {} if record.before is None else record.before.parameters
    for stage, arrays in record.stages.items():
        for name, values in arrays.items():
            if stage != "batch" and values.dtype.kind == "f":
                start = begun[name] if stage == "update" and name in begun else 0.0
                yield f"{stage}/{name}", values.astype(np.float64) - start
    if record.after is None:
        return
    for path, values in replace(record.after, best={}).arrays().items():
        if values.dtype.kind == "f":
            part, _, name = path.partition("/")
            start = begun[name] if part == "parameters" and name in begun else 0.0
            yield f"step/{name if part == 'parameters' else path}", values.astype(np.float64) - start
