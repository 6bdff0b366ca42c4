"""Where training is known to be the same, or not known to differ, causes speak of the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xframe
from xframe.comparison.result import Comparison

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
