"""Ctrl-C during ``xframe run``: it ends by 130, and what was recorded is read."""

import pytest

from sweeps.interrupts import run


@pytest.mark.thorough
def test_runs_under_ctrl_c(record_property):
    result = run(2, seed=0)
    assert result.mismatches == []
    assert result.cases == 2
    record_property("sample", result.text)
