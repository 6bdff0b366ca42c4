"""Where training is known to be the same, or not known to differ, causes speak of the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xframe
from xframe.comparison.result import Comparison
from xframe.report.text import text

STEPS, N = 48, 480
LOSS = 2 * np.exp(-np.arange(STEPS) / 40) * (1 + 0.1 * np.sin(1.7 * np.arange(STEPS)))
RATE = 0.05 * (1 + np.cos(np.pi * np.arange(STEPS + 1) / STEPS))


def compared(tmp_path: Path, *runs: dict[str, Any], order: str = "exact") -> Comparison:
    for name, run in zip("ab", runs, strict=True):
        ids = np.random.default_rng(0 if order == "exact" else ord(name)).permutation(N)
        with xframe.record(tmp_path / name, num_samples=N) as rec:
            for i in range(STEPS):
                known = {key: values[i] for key, values in run.items() if key != "weights" and values[i] is not None}
                rec.step(ids=ids[10 * i : 10 * i + 10], updates=i + 1, **known)
            if "weights" in run:
                rec.weights({"w": np.full(3, run["weights"])})
    return xframe.compare(tmp_path / "a", tmp_path / "b", order=order)


def each(k: int, values: Any) -> list[Any]:
    return [float(value) if i % k == 0 else None for i, value in enumerate(values)]


@pytest.mark.parametrize("first", [0.0, 0.3])
def test_equal_final_weights_refute_different_data(tmp_path: Path, first: float) -> None:
    means = np.cumsum(LOSS) / np.arange(1, STEPS + 1) + first
    a, b = ({"loss": each(10, losses), "weights": 1.0} for losses in (LOSS, means))
    comparison = compared(tmp_path, a, b)
    assert comparison.verdict == "failed"
    names = [cause.name for cause in comparison.causes]
    assert names[0] == "loss-recorded-otherwise"
    assert not {"different-data", "starting-weights", "other-gradient"} & set(names)
    assert "the final weights of b and a agree, so the training is the same" in str(comparison)


def test_a_rate_read_after_its_tick_is_to_be_read_before_it(tmp_path: Path) -> None:
    """Losses that agree show that training is right as it is."""
    comparison = compared(tmp_path, {"loss": each(10, LOSS), "lr": RATE}, {"loss": each(10, LOSS), "lr": RATE[1:]})
    cause = comparison.causes[0]
    assert (cause.name, cause.certain) == ("schedule-late", False)
    assert cause.fix["torch"] == "read the rate before scheduler.step()"


@pytest.mark.parametrize("order", ["exact", "coverage"])
def test_where_losses_do_not_show_which_both_fixes_are_offered(tmp_path: Path, order: str) -> None:
    other = LOSS + 0.01 * (np.arange(STEPS) > 0)
    comparison = compared(tmp_path, {"loss": LOSS, "lr": RATE}, {"loss": other, "lr": RATE[1:]}, order=order)
    cause = comparison.causes[0]
    assert (cause.name, cause.certain) == ("schedule-late", False)
    assert cause.sentence.startswith("b records the rate")
    assert "read the rate before scheduler.step(); if training itself is a tick off" in cause.fix["torch"]


def test_between_which_steps_sparse_losses_begin_to_differ_is_said(tmp_path: Path) -> None:
    other = LOSS + 0.05 * (np.arange(STEPS) > 0)
    comparison = compared(tmp_path, {"loss": LOSS, "weights": 1.0}, {"loss": each(10, other), "weights": 2.0})
    assert comparison.check("loss").detail.endswith("; recorded at 5 of 48 steps")
    difference = comparison.first_difference
    assert difference is not None
    assert (difference["step"], difference["compared"], difference["last_compared"]) == (10, 1, 0)
    assert "step 10 (1 of 10 earlier steps compared, which agrees; none from step 1 to 9)" in text(comparison)
    assert comparison.causes[0].name == "other-gradient"
    assert "first differ between step 1 and 10" in comparison.causes[0].sentence
    for cause in comparison.causes:
        assert "from step 10 on" not in cause.sentence
        assert "of step 10 may" not in cause.sentence


def test_a_rate_not_recorded_where_losses_begin_to_differ_comes_first(tmp_path: Path) -> None:
    late = np.arange(STEPS)
    rates, other = np.full(STEPS, 0.05), np.where(late < 25, 0.05, 0.025)
    runs = {"loss": LOSS, "lr": rates}, {"loss": LOSS + 0.05 * (late > 25), "lr": each(7, other)}
    comparison = compared(tmp_path, *runs)
    assert [(cause.name, cause.certain) for cause in comparison.causes] == [("learning-rate", False)]
    assert "from step 22 to 27 a rate is not known, and losses differ from step 26 on" in comparison.causes[0].sentence


def test_weights_that_differ_behind_the_last_loss_compared_are_not_said_to_be_others(tmp_path: Path) -> None:
    runs = [{"loss": each(k, LOSS), "weights": float(k)} for k in (7, 10)]
    comparison = compared(tmp_path, *runs)
    assert [cause.name for cause in comparison.causes] == ["other-gradient"]
    assert "no loss behind step 0 was recorded by both" in comparison.causes[0].sentence
    assert "rates that were not recorded" in comparison.causes[0].sentence
    assert "or the weights recorded are not those that they made" in comparison.causes[0].sentence
