"""Three differences and more: each that can be explained is named where it shows, the rest is called unexplained."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from diagnosed import diagnose

from xframe.diagnosis.case import Case
from xframe.diagnosis.reference import Reference
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

N = 200
PLAN = TrainingPlan(batch_size=16, epochs=3)


def rows_of(plan: TrainingPlan = PLAN) -> Rows:
    return Rows.of_plan(plan, N).only("batch_size", "updates", "ids")


def edited(rows: Rows, *, swapped: int = 0, lost: int = 0, twice: int = 0, skipped: int = 0) -> Rows:
    """The rows with what is done at these steps."""
    batches = [rows.batch(step).tolist() for step in range(len(rows))]
    if swapped:
        batches[swapped], batches[swapped + 1] = batches[swapped + 1], batches[swapped]
    if lost:
        batches[lost].pop(2)
    if twice:
        batches[twice][0] = batches[twice][1]
    updates = rows.column("updates").values - (skipped > 0) * (np.arange(len(rows)) >= skipped)
    return Rows.of_batches(batches, updates.tolist())


DROPPING = rows_of(TrainingPlan(batch_size=16, epochs=3, remainder="drop"))
CASES: list[tuple[Rows, list[tuple[str, int]]]] = [
    (
        edited(rows_of(), swapped=3, skipped=9, lost=20),
        [("batches-swapped", 3), ("update-skipped", 9), ("sample-lost", 20)],
    ),
    (
        edited(rows_of(), skipped=5, swapped=12, twice=25),
        [("update-skipped", 5), ("batches-swapped", 12), ("sample-repeated", 25)],
    ),
    (
        edited(DROPPING, skipped=14, lost=30),
        [("short-batch-dropped", 12), ("update-skipped", 14), ("sample-lost", 30)],
    ),
    (
        edited(DROPPING, swapped=15, skipped=25, lost=30),
        [("short-batch-dropped", 12), ("batches-swapped", 15), ("update-skipped", 25), ("sample-lost", 30)],
    ),
]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(("candidate", "expected"), CASES)
def test_each_difference_is_named_where_it_shows(candidate: Rows, expected: list[tuple[str, int]], given: bool) -> None:
    known: dict[str, Any] = {"plan": PLAN, "reference_is_plan": True} if given else {"plan": None, "other": "A"}
    found = diagnose(candidate, rows_of(), num_samples=N, **known)
    assert [(one.name, one.step) for one in found] == expected
    assert not any(one.certain for one in found)
    assert "not explained" not in " ".join(one.sentence for one in found)


def test_what_stays_unexplained_is_said_to_be() -> None:
    draw, rows = Random(3), edited(rows_of(), swapped=4, skipped=9)
    batches = [rows.batch(step).tolist() if step < 20 else [draw.randrange(N)] * 16 for step in range(len(rows))]
    candidate = Rows.of_batches(batches, rows.column("updates").values.tolist())
    found = diagnose(candidate, rows_of(), num_samples=N, plan=PLAN)
    assert [one.name for one in found] == ["batches-swapped", "update-skipped"]
    assert found[-1].sentence.endswith("; what else differs, first at step 20, is not explained")
    assert not any(one.certain for one in found)


def test_a_swap_explains_no_update_that_is_missing_before_it() -> None:
    """Nor, in its sentence, totals that no order of the batches changes."""
    rows = edited(rows_of(), swapped=19, skipped=5)
    updates = rows.column("updates").values.copy()
    updates[25:] -= np.cumsum([1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0])[: len(updates) - 25]
    candidate = rows.with_columns(updates=updates)
    found = diagnose(candidate, rows_of(), num_samples=N, plan=PLAN)
    assert [(one.name, one.step) for one in found][:2] == [("update-skipped", 5), ("batches-swapped", 19)]
    assert not any("updates where" in one.sentence for one in found if one.name == "batches-swapped")


def test_two_swaps_of_batches_are_batches_in_other_places_not_samples() -> None:
    rows = rows_of()
    batches = [rows.batch(step).tolist() for step in range(len(rows))]
    for one, other in ((3, 9), (33, 36)):
        batches[one], batches[other] = batches[other], batches[one]
    found = diagnose(rows.with_columns(ids=np.concatenate(batches)), rows, num_samples=N, plan=PLAN)
    assert [(one.name, one.step) for one in found] == [("batches-swapped", 3)]
    assert found[0].sentence.endswith("has the batches of steps 3, 9, 33, 36 in other places")


def test_fixes_of_several_causes_bring_the_reference_back() -> None:
    """Not what one of the other causes makes of it."""
    stored = rows_of(TrainingPlan(batch_size=15, epochs=3, remainder="drop", order="sequential"))
    found = diagnose(stored, rows_of(), num_samples=N, plan=PLAN, other="A")
    by_name = {one.name: one for one in found}
    assert by_name.keys() == {"batch-size", "not-shuffled", "short-batch-dropped"}
    assert by_name["short-batch-dropped"].fix["torch"] == "DataLoader(..., batch_size=16, drop_last=False)"
    assert [one.besides for one in found] == [False, True, True]


def test_what_is_supposed_stays_supposed_in_every_part() -> None:
    """Sentences of a part say where a batch is due, not where the reference has it, as those of the whole do."""
    rows = rows_of()
    case = Case(edited(rows, lost=3), Reference(rows), "B", "A")
    supposed = case.over(case.candidate, case.basis, supposed=True)
    parts = (supposed.over(rows, case.basis, apart=True), supposed.head(9))
    assert [part.of_step for part in (case, supposed, *parts)] == ["of step", *3 * ["due in step"]]
