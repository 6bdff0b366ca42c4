"""Where early stopping ends a run, causes are found as in any other, and an end of its own is put down to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnosed import diagnose

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
    assert cause.fix["any"] == "the same monitor, patience and min_delta in both runs"
    assert "plan" not in cause.fix  # the validations agree: no rounding ended it


def plain(path: Path, passes: float, *, part: int = 0) -> Trace:
    """A run of whole passes, and of a part of one more."""
    rows = Rows.of_plan(TrainingPlan(batch_size=16, epochs=8), N)
    with record(path, num_samples=N, metadata={"versions": {"torch": "2"}}) as rec:
        for step in range(int(13 * passes) + part):
            rec.step(ids=rows.batch(step), updates=step + 1, epoch=step // 13)
    return Trace.open(path)


def test_whole_passes_more_or_fewer_are_counted_as_such(tmp_path: Path) -> None:
    three, four = plain(tmp_path / "a", 3), plain(tmp_path / "b", 4)
    (cause,) = compare(three, four).causes
    assert cause.name == "limit-confused"
    assert "after 4 passes where 3 are due: 52 steps where 39 are due, 13 more" in cause.sentence
    assert cause.fix == {"torch": "for epoch in range(3), in both runs", "plan": "epochs = 4"}
    (cause,) = compare(three, plain(tmp_path / "c", 2, part=9)).causes
    assert "pass" not in cause.sentence
    assert next(iter(cause.fix)) == "any"


def test_an_end_after_the_best_validation_is_no_early_stopping(tmp_path: Path) -> None:
    a = trace(tmp_path / "a", [2.0, 1.0, 0.5], planned=False)
    b = trace(tmp_path / "b", [2.0, 1.0, 0.5, 0.4], planned=False)
    assert compare(a, b).causes[0].name == "limit-confused"


def test_a_sample_lost_beside_a_skipped_update_is_named_before_an_early_stop() -> None:
    """Runs that were not followed to their end lose samples like any other."""
    rows = Rows.of_plan(TrainingPlan.from_mapping(FIELDS), N).only("batch_size", "updates", "ids").head(39)
    batches = [rows.batch(step).tolist() for step in range(39)]
    gone, updates = batches[20].pop(3), rows.column("updates").values
    lost = Rows.of_batches(batches, updates.tolist()).with_columns(complete=False)
    skipped = lost.with_columns(updates=updates - (np.arange(39) >= 5))
    for run, names in ((lost, ["sample-lost"]), (skipped, ["update-skipped", "sample-lost"])):
        found = diagnose(run, rows.with_columns(complete=False), run="B", other="A", num_samples=N, plan=None)
        assert [one.name for one in found] == names
        assert found[-1].sentence.endswith(f"is without sample {gone} of step 20")
