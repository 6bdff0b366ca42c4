"""The pages of benches: every measurement is on them, and what a framework or a file calls itself is no markup."""

from dataclasses import replace

import numpy as np
import pytest
from outlines import Outline

import xframe
from xframe.report.bench import LoopBench, MeasuredLoop, MeasuredRun, PlanBench, Segment
from xframe.report.page.benches import loops_page, plan_bench_page

HERE = {"processor": "<b>a</b>", "cores": 2, "threads": 1, "system": "Linux", "versions": {"python": "3"}}
PLAN = xframe.TrainingPlan(batch_size=3, epochs=2)


@pytest.fixture
def bench(runs, tmp_path):
    reference = runs(runs.rows(PLAN, 8), "torch", plan=PLAN, num_samples=8)
    rows = runs.rows(PLAN, 8)
    comparison = xframe.compare(reference, runs(rows, "tensorflow", plan=PLAN, num_samples=8))
    rows[3]["ids"] = rows[3]["ids"][::-1]
    other = xframe.compare(reference, runs(rows, "other", plan=PLAN, num_samples=8))
    steps = np.full(4, 0.001)
    measured = {
        name: tuple(MeasuredRun(i, "t", 0.5, 0.1, steps * (i + 1), 12, False, None) for i in range(3))
        for name in ("torch", "tensorflow")
    }
    same = PlanBench("a plan", "digits", {"rounds": 3}, HERE, measured, (comparison,), tmp_path)
    return same, replace(same, comparisons=(comparison, other))


def test_of_a_plan(bench):
    same, different = (Outline(plan_bench_page(one)) for one in bench)
    assert (
        "Same work, but too few rounds Samples a second, tensorflow / torch: 1.000 few rounds [1.000, 1.000]."
        in same.text
    )
    assert "<b>a</b>, 2 cores" in same.text
    assert [attributes["aria-label"] for _, attributes in same.tags if attributes.get("class") == "dots"] == [
        f"{name}: 3 measurements from 1,000 to 3,000" for name in ("torch", "tensorflow")
    ]
    assert "Not comparable" in different.text
    assert "structure different, first in step 3" in different.text


def test_the_command_has_every_setting(bench):
    given = {"device": "cpu", "precision": "float64", "threads": 1, "deterministic": True, "seed": 3, "rounds": 3}
    one = replace(bench[0], settings={**given, "tf32": True, "python": {"torch": "/py"}})
    page = Outline(plan_bench_page(one))
    words = "--device cpu --precision float64 --threads 1 --rounds 3 --seed 3 --tf32 --python torch=/py"
    assert f"--task digits --adapters torch,tensorflow {words}" in page.text
    assert "cpu, float64, deterministic kernels asked for, TF32 allowed, 3 rounds" in page.text
    assert "in brackets the range of 3 rounds" in page.text


def test_of_loops():
    bare = MeasuredLoop("bare", "numpy", "plain", False, True, segments=[Segment(0, 10, 0.001, 0.001)])
    lost = MeasuredLoop("lost", "numpy", "plain", False, False, failed="<i>died</i>")
    workload = {"task": "mlp", "description": "small", "batch_size": 32}
    bench = LoopBench(workload, {"rounds": 1, "seed": 0, "seconds": 0.5}, HERE, (bare, lost), {"gone": "not installed"})
    page = Outline(loops_page([bench]))
    for words in (
        "A loop failed",
        "lost failed: <i>died</i>",
        "not installed (gone)",
        "100.0",
        "--loops bare,lost --rounds 1 --seconds 0.5 --seed 0",
    ):
        assert words in page.text
