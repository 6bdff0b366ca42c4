"""A run that has passed ends by exit code 0, several at once too."""

import pytest

from sweeps.endings import run

RUNS = 3  # too few for one of both frameworks


@pytest.mark.thorough
def test_runs_that_pass(record_property):
    result = run(RUNS, seed=0)
    assert result.mismatches == []
    assert result.endings == {("numpy", 0): RUNS}
    record_property("sample", f"{RUNS} runs of verify at once, none ended by a signal")
