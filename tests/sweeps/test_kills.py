"""After ``kill -9`` at any moment every flushed row is readable, the trace is truncated, and it never passes."""

import pytest

from sweeps.kills import PLANS, run

KILLS = 6
HALVES = {name: plan.model_copy(update={"steps": plan.steps // 2}) for name, plan in PLANS.items()}


@pytest.mark.costly
@pytest.mark.parametrize("seed", [0])
def test_workers_killed_at_random_moments(seed, record_property):
    result = run(KILLS, seed, HALVES)
    assert result.mismatches == []
    assert result.cases == KILLS
    assert result.read >= result.flushed >= 1000
    assert all(result.truncated(framework) for framework in PLANS)
    record_property("sample", f"{KILLS} kills, {result.flushed:,} rows flushed before them, {result.read:,} read")
