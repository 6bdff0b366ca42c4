"""Whatever a task does to its process, and whatever is done to it or to its parent: no process is left."""

import pytest

from sweeps.orphans import run

CASES = 4


@pytest.mark.costly
@pytest.mark.thorough
def test_kills_stops_and_hangs(record_property):
    result = run(CASES, seed=3)
    assert result.mismatches == []
    assert result.cases == CASES
    record_property("sample", f"{CASES} kills, stops and hangs of parents and workers, no process left")
