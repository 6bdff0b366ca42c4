"""After ``kill -9`` at any moment a run with checkpoints goes on from its last one to the identical end."""

import pytest

from sweeps.killed import PLANS, run

KILLS = 2


@pytest.mark.parametrize(
    "adapter", ["numpy", pytest.param("tensorflow:function", marks=[pytest.mark.costly, pytest.mark.thorough])]
)
def test_runs_killed_at_random_moments_go_on(adapter, record_property):
    result = run(KILLS, 0, {adapter: PLANS[adapter]})
    assert result.mismatches == []
    assert result.cases >= KILLS
    assert result.again
    record_property("sample", result.text.partition("\n")[0])
