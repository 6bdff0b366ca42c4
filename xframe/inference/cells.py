"""Where each sample of a run comes from: which pass, and which place in it, as a plan has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.plan.counting import PlannedRows
    from xframe.plan.training_plan import TrainingPlan

    Ints = NDArray[np.int64]

MOST_PASSES = 2048  # whose orders are asked for


class Cells(NamedTuple):
    """Pass and position of every sample of consecutive steps, and whether it is padding."""

    passes: Ints
    positions: Ints
    padding: NDArray[np.bool_]


def cells(plan: TrainingPlan, num_samples: int, part: PlannedRows) -> Cells:
    """The cells of consecutive steps of that plan, one batch after the other."""
    sizes = part.batch_size
    ends = np.cumsum(sizes)
    inside = np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64) - np.repeat(ends - sizes, sizes)
    passes, positions = np.repeat(part.pass_index, sizes), np.repeat(part.position, sizes) + inside
    over = positions >= num_samples
    if plan.remainder == "carry":
        passes = passes + positions // num_samples
        over = np.zeros_like(over)
    return Cells(passes, positions % num_samples, over)


def by_pass(passes: Ints) -> Iterator[tuple[int, Any]]:
    """Each of the first passes, and the index of its samples."""
    if not len(passes):
        return
    if (passes[1:] >= passes[:-1]).all():
        starts = np.flatnonzero(np.diff(passes, prepend=passes[0] - 1))
        for begin, end in zip(starts[:MOST_PASSES], [*starts[1:], len(passes)][:MOST_PASSES], strict=False):
            yield int(passes[begin]), slice(int(begin), int(end))
        return
    for one in np.unique(passes)[:MOST_PASSES]:
        yield int(one), passes == one
