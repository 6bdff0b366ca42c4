"""No cause is certain and wrong, over runs drawn apart from the tables that causes were written with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from diagnosed import diagnose
from sampling import part

from sweeps import causes
from sweeps.causes import run
from xframe.comparison.result import Explanation
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows


@pytest.mark.sweep
def test_no_cause_is_certain_and_wrong(record_property: Any) -> None:
    found = run(max(40, part(100)), seed=7)  # of fewer a share says nothing
    assert not found.wrong_certain
    assert not found.untrue
    assert not found.mismatches
    assert found.certain > found.cases / 10  # it does commit itself
    assert all(found.read[stated] for stated in ("due", "sample in step", "batches of", "twice"))
    assert found.right >= 0.65 * found.cases, found
    record_property("sample", f"causes: {found.cases} runs, {found.right} right, {found.certain} certain, none wrong")


def test_the_attack_can_find_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """What calls everything certain is found out."""

    def sure(*args: Any, **options: Any) -> tuple[Explanation, ...]:
        return tuple(replace(cause, certain=True) for cause in diagnose(*args, **options)[:1])

    monkeypatch.setattr(causes, "diagnose", sure)
    assert run(1, seed=7).wrong_certain


def told(candidate: Rows, reference: Rows, n: int, plan: TrainingPlan | None) -> tuple[Explanation, ...]:
    return diagnose(
        candidate, reference, run="B", num_samples=n, plan=plan, reference_is_plan=plan is not None, other="A"
    )


PLAN = TrainingPlan(batch_size=5, epochs=2)


@pytest.mark.parametrize("plan", [PLAN, None])
def test_what_rows_cannot_tell_apart_is_not_certain(plan: TrainingPlan | None) -> None:
    rows = Rows.of_plan(PLAN, 23).only("batch_size", "updates", "ids")
    assert rows.updates is not None
    batches = [rows.batch(i).tolist() for i in range(len(rows))]
    counted = rows.with_columns(updates=rows.updates + 1)  # one update too many at first, or a counter that starts at 1
    short = Rows.of_batches(batches[:-3] + batches[-1:], list(range(1, len(batches) - 1)))  # two lost, or a jump
    for candidate in (counted, short):
        causes = told(candidate, rows, 23, plan)
        assert len(causes) > 1
        assert not any(cause.certain for cause in causes)


def test_an_order_of_its_own_is_another_explanation() -> None:
    """With all data in one batch, or with a few samples, any order of its own looks like an edit."""
    for n, b in ((8, 8), (3, 1), (6, 2)):
        plan = TrainingPlan(batch_size=b, epochs=1)
        rows = Rows.of_plan(plan, n).only("batch_size", "updates", "ids")
        for seed in range(12):
            ids = np.random.default_rng(seed).permutation(n)
            for known in (plan, None):
                assert not any(cause.certain for cause in told(rows.with_columns(ids=ids), rows, n, known))


def test_the_fix_of_a_plan_is_what_the_run_does() -> None:
    plan = TrainingPlan(batch_size=5, epochs=2, order="sequential")
    shuffling = Rows.of_plan(TrainingPlan(batch_size=5, epochs=1, seed=3), 23)
    (cause,) = told(shuffling, Rows.of_plan(TrainingPlan(batch_size=5, epochs=1, order="sequential"), 23), 23, None)
    assert cause.name == "reshuffled"
    assert "for each pass" not in cause.sentence  # there is one pass
    (cause,) = told(Rows.of_plan(TrainingPlan(batch_size=5, epochs=2, seed=3), 23), Rows.of_plan(plan, 23), 23, plan)
    assert (cause.name, cause.certain) == ("reshuffled", True)
    assert cause.fix["plan"] == 'order = "shuffle", seed = 3, reshuffle = true'
