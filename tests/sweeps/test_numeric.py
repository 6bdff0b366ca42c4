"""Numeric bugs are found, placed and named; clean runs are not different. All: ``python -m sweeps numeric 300``.

NumPy and torch only; with few samples, so that one takes a second.
"""

import numpy as np
import pytest

from sweeps import numeric
from sweeps._clean import drawn
from sweeps.numeric import Judged, of_bug, planted, unchanged
from sweeps.planted import BUGS
from xframe.numerics.result import NumericCause, Numerics

SPECIMEN = {bug.name: bug for bug in BUGS}


@pytest.mark.sweep(fewest=3)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
def test_a_numeric_bug_is_found_and_named(bug):
    result = Judged()
    planted(result, bug, np.random.default_rng(0), baselines=False)
    assert result.mismatches == []


@pytest.mark.sweep(fewest=3)
@pytest.mark.parametrize("seed", range(100, 120))
def test_a_clean_run_is_not_different(seed):
    result = Judged()
    unchanged(result, drawn(np.random.default_rng(seed)), baselines=False)
    assert result.mismatches == []


def test_a_gradient_near_epsilon_is_no_difference():
    """Of one element NAdam makes 1e-11 of what is rounded in the last place, in float64; and the curve goes by it."""
    result = Judged()
    unchanged(result, drawn(np.random.default_rng((777, 1, 167))), baselines=False)
    assert (result.mismatches, dict(result.verdicts)) == ([], {"equivalent": 1})


def test_there_are_enough_bugs_of_each_stage():
    assert len(BUGS) >= 80
    counted = {stage: sum(bug.stage == stage for bug in BUGS) for stage in {bug.stage for bug in BUGS}}
    assert min(counted.values()) >= 5
    assert set(counted) == {"batch", "forward", "loss", "gradient", "clipping", "update", "buffers"}


def test_what_is_not_found_or_wrongly_proven_is_counted():
    """Of the sweep itself: a judgement that misses a bug is a mismatch, a wrong proof too."""
    bug = SPECIMEN["momentum .9001"]
    assert not any(of_bug(bug, Numerics("torch", "equivalent")).values())
    wrong = Numerics("torch", "different", causes=(NumericCause("nesterov", "proven", "update", None, "", {}),))
    assert of_bug(bug, wrong) == {"found": True, "stage": False, "tensor": False, "named": False, "wrong": True}


def test_a_judgement_that_sees_nothing_fails_the_sweep(monkeypatch):
    monkeypatch.setattr(numeric, "numerics", lambda *_: Numerics("torch", "equivalent"))
    result = numeric.run(1, 0, bugs=2, baselines=False)
    assert len([one for one in result.mismatches if "equivalent nowhere" in one]) == 2
    assert result.text.startswith("2 numeric bugs: 0 found")
    monkeypatch.setattr(numeric, "numerics", lambda *_: Numerics("torch", "different"))
    assert any("different nowhere" in one for one in numeric.run(1, 0, bugs=0, baselines=False).mismatches)
