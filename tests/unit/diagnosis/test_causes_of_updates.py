"""Updates that differ: what is said of them, and what fixes them, is what the counts and the losses show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xframe
from xframe.comparison.result import Comparison
from xframe.report.text import text

STEPS = 48
SIMPLE, FOURS = np.ones(STEPS, int), (np.arange(STEPS) % 4 == 3).astype(int)
LOSS = 2 / (1 + np.arange(STEPS) / 9)
PARTING = LOSS * (1 - 1e-2 * (np.arange(STEPS) > 5))


def compared(folder: Path, a: Any, b: Any, *, loss: Any = PARTING, begins: int = 0, frameworks: str = "") -> Comparison:
    """A run with these updates after each step beside one with those, and the second's losses."""
    metadata = {"versions": dict.fromkeys(frameworks.split(), "1")} if frameworks else {}
    for name, updates, losses, first in (("a", a, LOSS, 0), ("b", b, loss, begins)):
        counts = first + np.cumsum(updates)
        with xframe.record(folder / name, num_samples=10 * STEPS, metadata=metadata) as rec:
            for i in range(STEPS):
                ids = np.arange(10 * i, 10 * i + 10)
                rec.step(ids=ids, updates=int(counts[i]), epoch=0, loss=losses[i])
    return xframe.compare(folder / "a", folder / "b")


def test_a_few_updates_skipped_and_doubled_are_no_windows(tmp_path: Path) -> None:
    updates = SIMPLE.copy()
    updates[[5, 30]], updates[20] = 0, 2
    found = compared(tmp_path, SIMPLE, updates).causes
    assert [(one.name, one.step, one.besides) for one in found] == [
        ("update-skipped", 5, False),
        ("update-doubled", 20, True),
    ]
    assert found[0].sentence.endswith("skips the update of steps 5, 30")
    assert found[1].sentence.endswith("an update too many at step 20")  # and no total that is one less


def test_no_window_is_asked_for_where_none_is_due(tmp_path: Path) -> None:
    comparison = compared(tmp_path, SIMPLE, FOURS)
    first, report = comparison.causes[0], text(comparison)
    assert first.name == "accumulation-steps"
    assert "gradient_accumulation_steps=1" not in " ".join(first.fix.values())
    assert "every 1" not in report
    assert "updates after every 4 steps; a after every step" in first.sentence


@pytest.mark.parametrize("updates", [SIMPLE, FOURS])
def test_a_counter_that_begins_elsewhere_is_no_windows_fault(tmp_path: Path, updates: Any) -> None:
    first = compared(tmp_path, updates, updates, begins=100, loss=LOSS).causes[0]
    assert first.name == "update-offset"
    assert set(first.fix) == {"any"}
    assert "begin the counter at 0" in first.fix["any"]


def test_updates_that_the_losses_do_not_show_are_said_to_be_counted_only(tmp_path: Path) -> None:
    comparison = compared(tmp_path, FOURS, SIMPLE, loss=LOSS * (1 + 1e-7))
    assert [one.name for one in comparison.causes] == ["updates-counted-as-steps"]
    assert "counts an update after every step; a after every 4 steps" in comparison.causes[0].sentence
    assert "only the counts of updates differ" in comparison.causes[0].sentence
    assert "b had applied 1 update, a has 0" in text(comparison)
    (tmp_path / "shown").mkdir()
    shown = compared(tmp_path / "shown", FOURS, SIMPLE)
    assert "accumulation-steps" in [one.name for one in shown.causes]
    assert "only the counts" not in text(shown)


def test_a_skip_that_the_losses_do_not_show_is_not_certain(tmp_path: Path) -> None:
    updates = SIMPLE.copy()
    updates[5] = 0
    for name, loss, certain in (("same", LOSS, False), ("parting", PARTING, True)):
        (tmp_path / name).mkdir()
        (first, *_) = compared(tmp_path / name, SIMPLE, updates, loss=loss).causes
        assert (first.name, first.certain) == ("update-skipped", certain)


def test_one_is_counted_in_the_singular(tmp_path: Path) -> None:
    for name, ids in (("a", (4, 3)), ("b", (5,))):
        with xframe.record(tmp_path / name, num_samples=10) as rec:
            for i, sample in enumerate(ids):
                rec.step(ids=[sample], updates=i + 1)
    report = text(xframe.compare(tmp_path / "a", tmp_path / "b"))
    assert "b made 1 step, a has 2" in report
    assert "1 of 1 sample differs" in report


@pytest.mark.parametrize("idle", [(0,), (0, 1), (17,)])
@pytest.mark.parametrize("of_reference", [False, True])
def test_steps_that_lead_to_no_update_are_told_from_windows(tmp_path: Path, idle: Any, of_reference: bool) -> None:
    batches = np.random.default_rng(0).permutation(10 * STEPS).reshape(STEPS, 10)
    more = np.insert(batches, [0] * len(idle) if idle[0] == 0 else idle, np.arange(10), axis=0)
    for name, ids, without in (("a", batches, ()), ("b", more, idle)):
        updates = np.cumsum(~np.isin(np.arange(len(ids)), without))
        with xframe.record(tmp_path / name, num_samples=10 * STEPS) as rec:
            for i, each in enumerate(ids):
                rec.step(ids=each, updates=int(updates[i]), loss=1.0)
    files = [tmp_path / name for name in "ab"]
    first = xframe.compare(*(files[::-1] if of_reference else files)).causes[0]
    assert (first.name, first.run, first.step) == ("step-without-update", "b", idle[0])
    assert "no optimizer stepped" in first.sentence


def test_a_second_optimizer_that_steps_less_often_is_no_window(tmp_path: Path) -> None:
    runs = [SIMPLE + (np.arange(STEPS) % k == k - 1) for k in (3, 5)]
    first = compared(tmp_path, *runs).causes[0]
    assert (first.name, first.step) == ("second-optimizer-interval", 2)
    assert "after every 5 steps, first at step 4; a after every 3 steps, first at step 2" in first.sentence
