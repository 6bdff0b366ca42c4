"""An explanation starts from what the comparison found: its tolerance, its precision, the rows that it read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xframe
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.trace import Trace

STEPS = 40
LOSS = np.linspace(2, 1, STEPS) + np.sin(np.arange(STEPS)) / 10


def written(path: Path, *, loss: Any = LOSS, lr: Any = 0.1, precision: str = "float32") -> Path:
    rates = np.broadcast_to(lr, STEPS)
    with xframe.record(path, num_samples=STEPS, metadata={"runtime": {"precision": precision}}) as rec:
        for i in range(STEPS):
            rec.step(ids=[i], updates=i + 1, loss=float(loss[i]), lr=float(rates[i]))
    return path


def test_a_tolerance_that_is_given_has_a_cause_too(tmp_path: Path) -> None:
    """What fails by a finer tolerance than the precision's is explained as what fails by that."""
    a = written(tmp_path / "a.trace")
    b = written(tmp_path / "b.trace", loss=LOSS + 1e-5 * (np.arange(STEPS) > 8))
    far = written(tmp_path / "far.trace", loss=LOSS + 1e-2 * (np.arange(STEPS) > 8))
    assert xframe.compare(a, b).causes == ()  # within the tolerance of float32
    strict, default = xframe.compare(a, b, rtol=1e-6, atol=1e-7), xframe.compare(a, far)
    assert strict.verdict == default.verdict == "failed"
    assert [cause.name for cause in strict.causes] == [cause.name for cause in default.causes]
    assert [cause.step for cause in strict.causes] == [9, 9]


def test_rates_that_differ_in_double_precision_only_have_a_cause(tmp_path: Path) -> None:
    a = written(tmp_path / "a.trace", lr=0.1, precision="float64")
    b = written(tmp_path / "b.trace", lr=0.1 + 1e-10, precision="float64")
    comparison = xframe.compare(a, b)
    assert comparison.check("lr").result == "fail"
    assert [(cause.name, cause.certain, cause.step) for cause in comparison.causes] == [("learning-rate", True, 0)]
    assert "0.1000000001" in comparison.causes[0].sentence


@pytest.mark.parametrize("planned", [True, False])
def test_a_failed_comparison_reads_each_column_thrice_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planned: bool
) -> None:
    plan = TrainingPlan(batch_size=64, epochs=3)
    for name, remainder in (("a", "keep"), ("b", "drop")):
        with xframe.record(tmp_path / name, plan=plan if planned else None, num_samples=1797) as rec:
            for step in TrainingPlan(batch_size=64, epochs=3, remainder=remainder).each_step(1797):
                rec.step(ids=step.sample_ids, updates=step.update, epoch=step.epoch, loss=1.0, lr=0.1)
    traces = [Trace.open(tmp_path / name) for name in ("a", "b")]
    reads: Counter[tuple[str, str]] = Counter()
    between = Trace.between

    def counted(trace: Trace, name: str, start: int, stop: int) -> Any:
        reads[trace.name, name] += stop - start > 1
        return between(trace, name, start, stop)

    monkeypatch.setattr(Trace, "between", counted)
    comparison = xframe.compare(*traces)
    assert comparison.causes[0].name == "short-batch-dropped"
    assert max(reads.values()) <= 3, reads
