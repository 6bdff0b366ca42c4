"""Updates that a run counted at some steps only, with the counts between them, so that causes can be looked for.

Two ways of recording leave gaps. A loop that hands its count over at the steps that apply an update has each count
once, one more than the last: between them it stands still. Otherwise what is not known is taken to go on as the other
side does, so that the two first differ at the first step whose counts are known to. Neither is an observation: what
rests on it is never certain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.readings import SEVERAL
from xframe.trace.rows import Rows

Ints = NDArray[np.int64]


def filled(candidate: Rows, reference: Rows) -> tuple[Rows, Rows]:
    """Both sides, with a count of updates in each row of one that has some."""
    reference = _filled(reference, candidate)
    return _filled(candidate, reference), reference


def _filled(rows: Rows, other: Rows) -> Rows:
    counts, known = rows.column("updates")
    if known is None or not known.any():
        return rows
    at, steps = np.flatnonzero(known), len(rows)
    last: Ints = np.maximum.accumulate(np.where(known, counts, 0))  # the count known last
    if len(at) >= SEVERAL and at[-1] >= len(at) and np.array_equal(counts[at], np.arange(len(at)) + 1):
        return rows.with_columns(updates=last)
    expected = last if other.updates is None else _longer(other.updates, steps)
    since = np.maximum.accumulate(np.where(known, np.arange(steps), -1))
    by = np.where(since < 0, 0, (counts - expected)[since])
    following = np.minimum.accumulate(np.where(known, counts, np.iinfo(np.int64).max)[::-1])[::-1]
    return rows.with_columns(updates=np.clip(expected + by, last, np.maximum(last, following)))


def _longer(counts: Ints, steps: int) -> Ints:
    """Counts of that many steps; beyond their end, one more a step."""
    end = int(counts[-1]) if len(counts) else 0
    return np.concatenate([counts[:steps], end + 1 + np.arange(max(steps - len(counts), 0))])
