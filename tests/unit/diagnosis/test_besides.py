"""Causes that hold together are joined by Also, those of which one is right by Or; each has its sentence and fix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

import xframe
from xframe.comparison.result import Comparison
from xframe.plan.training_plan import TrainingPlan
from xframe.report.text import text

N = 200
PLAN = TrainingPlan(batch_size=16, epochs=3)


def compared(
    folder: Path, other: TrainingPlan = PLAN, order: str = "exact", of_a: Any = None, **changes: Any
) -> Comparison:
    """A run of the plan beside one of another, with these columns."""
    for name, plan in (("a", PLAN), ("b", other)):
        own = changes if name == "b" else of_a or {}
        with xframe.record(folder / name, num_samples=N) as rec:
            for i, step in enumerate(plan.each_step(N)):
                numbers = {"lr": 0.1, "loss": 1 / (i + 1), "updates": i + 1}
                numbers |= {key: column[i] for key, column in own.items()}
                rec.step(ids=step.sample_ids, epoch=step.epoch, **numbers)
    return xframe.compare(folder / "a", folder / "b", order=order)


def heads(comparison: Comparison) -> list[tuple[str, str]]:
    """The words that begin each cause in the report, and the causes' names."""
    blocks = re.findall(r"^(Why|Likely|Also|Or): (?:.|\n  )*?\[([a-z-]+)\]", text(comparison), re.M)
    assert [name for _, name in blocks] == [cause.name for cause in comparison.causes]
    return blocks


def test_a_start_and_a_rate_hold_together_and_what_may_be_the_start_is_alternative(tmp_path: Path) -> None:
    losses = 1.1 / (np.arange(39) + 1) ** 1.1
    found = heads(compared(tmp_path, lr=[0.2] * 39, loss=losses))
    assert found[0] == ("Likely", "learning-rate")
    assert [word for word, _ in found[1:]] == ["Also", "Or", "Or"]
    assert {name for _, name in found[1:]} == {"different-data", "different-loss", "starting-weights"}


def test_a_rate_and_a_remainder_hold_together(tmp_path: Path) -> None:
    dropping = TrainingPlan(batch_size=16, epochs=3, remainder="drop")
    comparison = compared(tmp_path, dropping, "coverage", lr=[0.2] * 36)
    assert heads(comparison)[:2] == [("Likely", "learning-rate"), ("Also", "short-batch-dropped")]
    assert [one["besides"] for one in comparison.to_dict()["causes"][:2]] == [False, True]


def test_every_cause_that_is_named_has_a_sentence_and_a_fix(tmp_path: Path) -> None:
    comparison = compared(tmp_path, loss=1.1 / (np.arange(39) + 1) ** 1.1)
    report = text(comparison)
    assert len(comparison.causes) == 3
    assert report.count("Fix: ") == 3
    assert [word for word, _ in heads(comparison)] == ["Likely", "Or", "Or"]


def test_a_schedule_as_long_as_the_run_follows_from_what_makes_it_shorter(tmp_path: Path) -> None:
    dropping = TrainingPlan(batch_size=16, epochs=3, remainder="drop")
    of_a, of_b = ({"lr": 0.05 * (1 + np.cos(np.pi * np.arange(n) / n))} for n in (39, 36))
    comparison = compared(tmp_path, dropping, of_a=of_a, **of_b)
    assert [word[1] for word in heads(comparison)] == ["short-batch-dropped", "learning-rate"]
    assert comparison.causes[1].besides
    assert "its schedule is that of a over its own 36 updates, where a makes 39" in comparison.causes[1].sentence
