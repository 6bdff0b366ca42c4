"""A sweep that was killed at any moment goes on where it was, and ends with the same table."""

import pytest

from sweeps.grids import GRID, WAYS, run

SHORT = GRID.replace("[200, 300, 400]", "[400]").replace("[0, 1, 2, 3]", "[0, 1]")  # 4 trials


@pytest.mark.costly
@pytest.mark.thorough
def test_a_sweep_killed_at_random_moments(record_property):
    result = run(1, 0, SHORT, stops=len(WAYS))
    assert result.mismatches == []
    assert result.trials == 4
    assert result.stops.total() >= 1  # it may be over before the last comes
    record_property("sample", result.text)
