"""Which accumulation windows give a run's updates, where the ends of its epochs and passes are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xframe.inference.clues import Clues, first
from xframe.inference.epochs import Epochs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]


class Windows(NamedTuple):
    """One hypothesis.

    Attributes:
        fields: of a plan; none where the updates are not known.
        longer: windows of any greater number of steps would do too.
    """

    fields: dict[str, Any]
    longer: bool = False


def hypotheses(clues: Clues, epochs: Epochs) -> Iterator[Windows]:
    """The windows that give the updates of all steps, but for the last of a run that ended there."""
    applied = clues.applied
    if applied is None:
        yield Windows({})
        return
    judged = len(applied) - clues.rows.complete
    if (applied == 1).all():
        yield Windows({"gradient_accumulation_steps": 1})
    for boundary, leftover, cuts in cuts_of(epochs):
        for k, misfit, longer in sizes(clues, cuts, flush=leftover == "flush"):
            if misfit >= judged:
                fields = {
                    "gradient_accumulation_steps": k,
                    "accumulation_boundary": boundary,
                    "accumulation_remainder": leftover,
                }
                yield Windows(fields, longer)


def cuts_of(epochs: Epochs) -> Iterator[tuple[str, str, Flags]]:
    """What may cut windows, what becomes of them, and where; ``leak`` leaves the same updates as ``drop``."""
    none = np.zeros_like(epochs.epoch_ends)
    for boundary in ("epoch", "pass"):
        ends = epochs.pass_ends if boundary == "pass" else epochs.epoch_ends
        yield boundary, "flush", ends
        yield boundary, "drop", ends
        yield boundary, "carry", none


def sizes(clues: Clues, cuts: Flags, *, flush: bool) -> list[tuple[int, int, bool]]:
    """Windows that may explain the updates with these cuts: their steps, first misfit, and whether longer would do."""
    key = (flush, cuts.tobytes())
    if key not in clues.windows:
        clues.windows[key] = list(_sizes(clues, cuts, flush=flush))
    return clues.windows[key]


def _sizes(clues: Clues, cuts: Flags, *, flush: bool) -> Iterator[tuple[int, int, bool]]:
    applied = clues.applied
    assert applied is not None
    judged = len(applied) - clues.rows.complete  # how a run ends is looked at with its limits
    count = np.arange(1, len(applied) + 1)
    last = np.maximum.accumulate(np.where(cuts, count, 0))
    since = count - np.concatenate([[0], last[:-1]])  # steps since the last cut, this one included
    uncut = ~cuts if flush else np.ones_like(cuts)
    # The first update that no cut explains fills a window, and so shows its size.
    filled = np.flatnonzero((applied[:judged] == 1) & uncut[:judged])
    until = int(filled[0]) if len(filled) else judged
    longest = int(since[:until][uncut[:until]].max(initial=1))
    shown = [int(since[until])] if len(filled) else []
    for k in dict.fromkeys([*shown, longest + 1, longest + 2]):
        if k < 2:
            continue
        expected = since % k == 0
        if flush:
            expected = expected | cuts
        misfit = first(applied[:judged] != expected[:judged])
        yield k, misfit if misfit < judged else len(applied), k == longest + 2
