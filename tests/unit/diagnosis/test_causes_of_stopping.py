"""Where early stopping ends a run, causes are found as in any other, and an end of its own is put down to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import record
from xframe.trace.rows import Rows
from xframe.trace.trace import Trace
from xframe.verification import compare

N = 200
FIELDS: dict[str, Any] = {"batch_size": 16, "epochs": 6, "validation_every": 1, "early_stopping_patience": 1}


def trace(path: Path, losses: list[float], *, planned: bool = True, **changed: Any) -> Trace:
    """A run that validates after each epoch, and trains for as many as there are losses."""
    rows = Rows.of_plan(TrainingPlan.from_mapping({**FIELDS, **changed}), N)
    plan = TrainingPlan.from_mapping(FIELDS) if planned else None
    with record(path, plan=plan, num_samples=N) as rec:
        for step in range(len(rows)):
            if rows.value("epoch", step) == len(losses):
                break
            labels = {name: rows.value(name, step) for name in ("updates", "epoch", "step_in_epoch", "padding")}
            rec.step(ids=rows.batch(step), **labels)
            if step + 1 == len(rows) or rows.value("step_in_epoch", step + 1) == 0:
                rec.validation(loss=losses[labels["epoch"]], ids=np.arange(8), batch_sizes=[8])
    return Trace.open(path)


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("batch-size-per-replica", {"batch_size": 8}),
        ("short-batch-dropped", {"remainder": "drop"}),
        ("accumulation-steps", {"gradient_accumulation_steps": 2}),
        ("other-seed", {"seed": 5}),
        ("not-shuffled", {"order": "sequential"}),
    ],
)
def test_a_run_that_is_stopped_early_shows_its_cause_first(
    tmp_path: Path, name: str, changed: dict[str, Any], planned: bool
) -> None:
    a = trace(tmp_path / "a", [2.0, 1.0, 1.5], planned=planned)
    b = trace(tmp_path / "b", [2.0, 1.5, 1.0, 1.2], planned=planned, **changed)
    comparison = compare(a, b)
    assert comparison.causes[0].name == name
    assert not any("nothing but the order" in one.sentence for one in comparison.causes)


def test_without_a_plan_too_a_run_may_be_stopped_early(tmp_path: Path) -> None:
    a = trace(tmp_path / "a", [2.0, 1.0, 1.5], planned=False)
    b = trace(tmp_path / "b", [2.0, 1.0, 1.5, 1.6], planned=False)
    cause = compare(a, b).causes[0]
    assert (cause.name, cause.step, cause.certain) == ("early-stopping", 39, False)
    assert "a ends after step 38, 1 validation after its best one" in cause.sentence


def test_an_end_after_the_best_validation_is_no_early_stopping(tmp_path: Path) -> None:
    a = trace(tmp_path / "a", [2.0, 1.0, 0.5], planned=False)
    b = trace(tmp_path / "b", [2.0, 1.0, 0.5, 0.4], planned=False)
    assert compare(a, b).causes[0].name == "limit-confused"
