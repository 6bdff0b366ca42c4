"""Which steps of a run are judged one by one, the most telling first.

Those around the first difference, where one was seen; those whose update is among the first ten, of a window the step
that opens it and the one that closes it; the last of a pass, whose batch is short where one is; and then some that are
spread over the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xframe.plan.cadence import Cadence
from xframe.plan.training_plan import TrainingPlan

FIRST_UPDATES = 10


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is judged.

    Attributes:
        spread: steps beyond the first updates.
        share: of the training's own time, what going through the run again may take; None for all that is needed.
        seconds: what it may take in any case.
        size: bytes that the records of all steps in one precision may have together.
        measured_every: of how many judged steps one has its own floor measured.
    """

    spread: int
    share: float | None
    seconds: float
    size: int
    measured_every: int


EXTENTS = {
    "quick": Extent(spread=4, share=0.1, seconds=0.3, size=128 << 20, measured_every=3),
    "full": Extent(spread=30, share=None, seconds=0.0, size=2 << 30, measured_every=1),
}


def judged_steps(
    plan: TrainingPlan, num_samples: int, num_steps: int, extent: Extent, around: int | None = None
) -> list[int]:
    """The steps, none twice, by how much they tell; ``num_steps`` were made, and ``around`` one the two sides differ.

    A run of structure other than the plan's has its windows elsewhere; its steps are judged all the same.
    """
    cadence = Cadence(plan, num_samples)
    end = min(num_steps, cadence.num_steps)
    near = [] if around is None else [around, around - 1, around + 1]
    later = len(range(_first_steps(cadence, end), end))
    spread = np.linspace(end - later, end - 1, min(extent.spread, later) + 1, dtype=int)[1:].tolist()
    ordered = [
        *near,
        *_ends(cadence, range(end - later)),
        *([_end_of_pass(cadence, end)] if end else []),
        *(edge for step in spread for edge in _window(cadence, step, end)),
    ]
    return [step for step in dict.fromkeys(ordered) if 0 <= step < end]


def least_steps(plan: TrainingPlan, num_samples: int, num_steps: int) -> int:
    """How many steps the first updates take, which are judged whatever it costs."""
    cadence = Cadence(plan, num_samples)
    return _first_steps(cadence, min(num_steps, cadence.num_steps))


def _first_steps(cadence: Cadence, end: int) -> int:
    """How many steps it takes to make the first updates, or all where there are fewer."""
    taken = cadence.step_of_update(FIRST_UPDATES)
    return end if taken is None else min(taken, end)


def _ends(cadence: Cadence, steps: range) -> Iterator[int]:
    """Those that open a window or close one: each, where windows have one step."""
    for step in steps:
        if cadence.open_steps(step) == 0 or cadence.updates(step + 1) > cadence.updates(step):
            yield step


def _window(cadence: Cadence, step: int, end: int) -> Iterator[int]:
    """The steps that open and close the window which a step is in."""
    yield step - int(cadence.open_steps(step))
    for later in range(step, min(end, step + cadence.window)):
        if cadence.updates(later + 1) > cadence.updates(later):
            yield later
            return


def _end_of_pass(cadence: Cadence, end: int) -> int:
    """The last step of the first pass or epoch whose last batch is short; the first such end where none is."""
    ends = sorted({turn - 1 for turn in cadence.turns(1) if 0 < turn <= end}) or [end - 1]

    def rows(step: int) -> int:
        size, padding = cadence.sizes(step, cadence.place(step)[3])
        return int(size - padding)

    return min(ends, key=rows)
