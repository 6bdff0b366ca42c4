"""One update as arrays in float64: what it was given, and what it left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.precision import epsilon, rounding
from xframe.state.record import Record

Array = NDArray[np.float64]
Slots = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Block:
    """One parameter, or several laid end to end, where a rule treats each element alone.

    Attributes:
        names, counts, axes: of the parameters in it: how they are called, elements of each, axes of each.
        weights, gradient, after: before the update, what the rule was given (clipped), after the update.
        slots, left: what the rule keeps, before and after; None where that was not seen.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    axes: tuple[int, ...]
    weights: Array
    gradient: Array
    after: Array
    slots: Slots | None = None
    left: Slots = field(default_factory=dict)

    def spread(self, values: Sequence[float]) -> Any:
        """A number for each parameter as one that multiplies the block."""
        if len(set(values)) == 1:
            return values[0]
        return np.repeat(np.array(values, float), self.counts)

    def part(self, name: str) -> slice:
        """Where that parameter lies in it, if parameters are laid end to end."""
        at = self.names.index(name)
        start = sum(self.counts[:at])
        return slice(start, start + self.counts[at])


@dataclass(frozen=True, slots=True)
class Update:
    """One update.

    Attributes:
        step: of the run, from 0.
        number: of the update, from 1.
        rate: the learning rate that the side itself states for it, if it does.
        numbers: the rule's own before it.
        epsilon: from 1 to the next number in what the run rounds to.
        blocks: its parameters.
        follows: whether the update before it is the one before it in a list, and left what it begins from.
    """

    step: int
    number: int
    rate: float | None
    numbers: Mapping[str, float]
    epsilon: float
    blocks: tuple[Block, ...]
    follows: bool = False

    def flat(self, chosen: Mapping[str, NDArray[np.intp]] | None = None) -> Update:
        """All parameters in one block; of each these elements, or all."""
        parts = [_flat(block, (chosen or {}).get(block.names[0])) for block in self.blocks]
        kept = {slot for one in parts for slot in one.slots or {}}
        left = {slot for one in parts for slot in one.left}
        whole = [one.slots is not None and kept <= {*one.slots} for one in parts]
        both = [left <= {*one.left} for one in parts]
        joined = Block(
            tuple(name for one in parts for name in one.names),
            tuple(count for one in parts for count in one.counts),
            tuple(count for one in parts for count in one.axes),
            np.concatenate([one.weights for one in parts]),
            np.concatenate([one.gradient for one in parts]),
            np.concatenate([one.after for one in parts]),
            {slot: np.concatenate([(one.slots or {})[slot] for one in parts]) for slot in kept} if all(whole) else None,
            {slot: np.concatenate([one.left[slot] for one in parts]) for slot in left} if all(both) else {},
        )
        return replace(self, blocks=(joined,))


def updates_of(records: Record | Sequence[Record]) -> list[Update]:
    """The updates of these records, in their order, of those that have what an update was given and what it left."""
    several = [records] if isinstance(records, Record) else sorted(records, key=lambda one: one.step)
    updates = [update for record in several if (update := _update(record)) is not None]
    follows = [False, *(_follow(one, other) for one, other in pairwise(updates))]
    return [replace(update, follows=one) for update, one in zip(updates, follows, strict=False)]


def _follow(one: Update, other: Update) -> bool:
    if one.number + 1 != other.number or [at.names for at in one.blocks] != [at.names for at in other.blocks]:
        return False
    return all(np.array_equal(a.after, b.weights) for a, b in zip(one.blocks, other.blocks, strict=True))


def some_elements(update: Update, most: int) -> dict[str, NDArray[np.intp]]:
    """Of each parameter at most that many elements: those with small gradients, with large ones, and others."""
    return {block.names[0]: _chosen(block.gradient.ravel(), most) for block in update.blocks}


def _update(record: Record) -> Update | None:
    before, after = record.before, record.after
    outcome = record.stages.get("update") or (after.parameters if after is not None else {})
    # Where clipping was not seen, none was; naming of clipping is apart.
    gradient = record.stages.get("clipping") or record.stages.get("gradient") or {}
    idle = any(not record.stages.get(stage, True) for stage in ("clipping", "update"))  # none was due
    if before is None or not outcome or not gradient or idle:
        return None
    names = [name for name in gradient if name in before.parameters and name in outcome and gradient[name].size]
    shapes = {name: before.parameters[name].shape for name in names}
    names = [name for name in names if shapes[name] == gradient[name].shape == outcome[name].shape]
    if not names:
        return None
    left = {} if after is None else after.slots
    blocks = tuple(
        Block(
            (name,),
            (gradient[name].size,),
            (gradient[name].ndim,),
            _held(before.parameters[name]),
            _held(gradient[name]),
            _held(outcome[name]),
            {slot: _held(held[name]) for slot, held in before.slots.items() if name in held} if before.slots else None,
            {slot: _held(held[name]) for slot, held in left.items() if name in held},
        )
        for name in names
    )
    number = before.numbers.get("updates", record.step) + 1
    rate = None if after is None else after.numbers.get("rate")
    return Update(record.step, int(number), rate, before.numbers, epsilon_of(record, outcome[names[0]]), blocks)


def epsilon_of(record: Record, values: NDArray[Any]) -> float:
    """As the coarser of the run's precision and of what is stored."""
    if record.precision == "bfloat16":
        return rounding("bfloat16")
    stored = epsilon("float64" if values.dtype == np.float64 else "float32")
    return stored if record.precision == "mixed_float16" else max(stored, epsilon(record.precision))


def _held(values: NDArray[Any]) -> Array:
    return np.asarray(values, np.float64)


def _flat(block: Block, chosen: NDArray[np.intp] | None) -> Block:
    chosen = np.arange(block.gradient.size) if chosen is None else chosen
    arrays = {what: getattr(block, what).ravel()[chosen] for what in ("weights", "gradient", "after")}
    size = block.gradient.size

    def held(slots: Slots | None) -> dict[str, Array]:
        return {slot: one.ravel()[chosen] for slot, one in (slots or {}).items() if one.size == size}

    slots = None if block.slots is None else held(block.slots)
    return replace(block, **arrays, slots=slots, left=held(block.left), counts=(len(chosen),))


def _chosen(gradient: Array, most: int) -> NDArray[np.intp]:
    if gradient.size <= most:
        return np.arange(gradient.size)
    order = np.argsort(np.abs(gradient), kind="stable")
    zeros = int(np.searchsorted(np.abs(gradient)[order], 0, side="right"))
    order = order[max(0, zeros - most // 10) :]  # where there is no gradient there is little to see
    third = most // 3
    spread = np.linspace(0, order.size - 1, third).astype(int)
    return np.unique(np.concatenate([order[:third], order[-third:], order[spread]]))
