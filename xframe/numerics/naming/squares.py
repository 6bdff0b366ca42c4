"""Second moments of a gradient's parts: rows of a table that a batch has more than once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xframe.numerics.naming.fitting import share
from xframe.numerics.naming.observed import Block, Update
from xframe.numerics.naming.pair import Pair
from xframe.numerics.naming.ways import Way
from xframe.numerics.result import NumericCause

Rows = NDArray[np.intp]

# By rule the slot that averages squares; a sum of squares has them whole.
_SQUARES = ("second_moment", "mean_square", "sum_of_squares")


def squares_of_parts(pair: Pair, ways: Sequence[Way], updates: Sequence[Update]) -> Iterator[NumericCause]:
    """A table's gradient that reached the rule in parts, each squared alone: Keras' for ids that come repeatedly.

    From the whole gradient the parts cannot be worked out. What is seen: with the mean of squares that was left in
    place of the rule's own everything else follows, and it is another one in some rows alone.
    """
    for way in ways:
        slot = next((one for one in _SQUARES if one in way.kept()), None)
        if slot is None or len(updates) != 1:
            continue
        blocks, rows = [], {}
        for block in updates[0].blocks:
            own = _own_square(way, slot, block)
            if own is None:
                return
            replaced, wrong = own
            blocks.append(replaced)
            if len(wrong):
                rows[block.names[0]] = wrong
        if len(rows) == 1 and share(way, [replace(updates[0], blocks=tuple(blocks))]) <= 1:
            name, wrong = next(iter(rows.items()))
            yield _cause(pair, name, wrong)
            return


def _own_square(way: Way, slot: str, block: Block) -> tuple[Block, Rows] | None:
    """The block with such a slot before as makes what was left, and in which rows that is another one."""
    if block.slots is None or slot not in block.slots or slot not in block.left:
        return None
    kept = {"second_moment": way.settings.get("beta2"), "mean_square": way.settings.get("rho")}.get(slot)
    old, new = (1.0, 1.0) if slot == "sum_of_squares" else (kept, 1 - (kept or 0.0))
    gradient = way["gradient"] * block.gradient
    if way["decay"] == "l2":
        gradient = gradient + way.decays(block) * block.weights
    before = (block.left[slot] - new * gradient**2) / old
    scale = np.maximum(np.abs(block.left[slot]), new * gradient**2)
    far = np.abs(before - block.slots[slot]) * old > 1e-3 * scale
    wrong = np.flatnonzero(far.reshape(len(far), -1).any(axis=1)) if block.gradient.ndim > 1 else np.flatnonzero(far)
    if not len(wrong):
        return block, wrong
    return replace(block, slots={**block.slots, slot: before}), wrong


def _cause(pair: Pair, name: str, rows: Rows) -> NumericCause:
    ids = pair.inputs("update").stages.get("batch", {}).get("features")
    certainty, repeated = "likely", ""
    if ids is not None and np.issubdtype(ids.dtype, np.integer):
        values, counts = np.unique(ids, return_counts=True)
        if {*rows.tolist()} <= {*values[counts > 1].tolist()}:
            repeated = ", and these are ids that the batch has more than once"
            certainty = "proven" if {*rows.tolist()} == {*values[counts > 1].tolist()} else "likely"
    text = f"{pair.names[1]} squares the parts of {name}'s gradient one by one in {len(rows)} of its rows, "
    text += f"{pair.names[0]} their sum{repeated}"
    fix = {"keras": "make the gradient dense before apply: tf.convert_to_tensor(gradient)"}
    return NumericCause("second-moment-of-parts", certainty, "update", name, text, fix)  # type: ignore[arg-type]
