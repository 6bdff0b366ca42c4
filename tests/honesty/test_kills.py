"""After ``kill -9`` at any moment every flushed row is readable, the trace is truncated, and it never passes."""

import pytest
from kill_sweep import PLANS, sweep

KILLS = 6


@pytest.mark.parametrize("seed", [0])
def test_workers_killed_at_random_moments(seed, record_property):
    found = sweep(KILLS, seed)
    assert found.mistakes == []
    assert found.kills == KILLS
    assert found.read >= found.flushed >= 1000
    assert all(found.truncated(framework) for framework in PLANS)
    record_property("sample", f"{KILLS} kills, {found.flushed:,} rows flushed before them, {found.read:,} read")
