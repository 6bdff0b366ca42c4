"""What the curve of two free runs says beside their judged steps."""

import numpy as np
import pytest

from xframe.numerics.runs import judged
from xframe.running.resync import Free
from xframe.running.resynchronising import Resynchronised
from xframe.state.record import Record
from xframe.state.state import State
from xframe.tasks.lookup import find_task

STEPS = 20
LOSSES = 1 + 1 / np.arange(1, STEPS + 1)


def numerics(off):
    """Of two runs whose updates are equal but for rounding, and whose losses are that far apart from step 7 on."""
    before = State({"w": np.full(3, 0.3)}, precision="float64")
    one, other = (State({"w": np.full(3, 0.2 + by)}, precision="float64") for by in (0, 1e-17 * 4))
    pair = Record(0, before, after=one), Record(0, after=other)
    moved = Free(tuple(LOSSES), (tuple(LOSSES + 1e-14 * (np.arange(STEPS) % 3)),))
    found = Resynchronised("other", (pair,), reference=moved)
    candidate = LOSSES + off * (np.arange(STEPS) >= 7)
    return judged(found, (LOSSES, candidate), "float64", find_task("diabetes-regression"), "one")


@pytest.mark.parametrize(("off", "curve"), [(1e-14, "equivalent"), (2e-13, "inconclusive"), (1e-9, "different")])
def test_a_curve_a_little_beyond_its_floor_is_undecided_where_every_update_is_equal(off, curve):
    found = numerics(off)
    assert found.curve.verdict == curve
    assert (found.verdict == "different") == (curve == "different")
    assert found.curve.unclear == (7 if curve == "inconclusive" else None)
