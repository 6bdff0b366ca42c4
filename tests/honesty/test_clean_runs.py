"""No false alarm: honest runs of seeded random plans of every kind pass, against the plan and against each other."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from cheats import ADAPTERS
from sampling import part
from sweeps.simulator import VALUES, random_case

from xframe import Comparison, compare
from xframe.comparison import checks
from xframe.errors import PlanError
from xframe.plan.counting import Counts
from xframe.plan.training_plan import TrainingPlan
from xframe.tasks.builtin.ledger import ledger, most_updates
from xframe.testing import observe

CHECKS = checks.names()
# TensorFlow takes half a second for each; 60 more of all three are in the self-test of ``make proof``.
PLANS = {("numpy", "torch", "tensorflow"): 40, ("numpy", "torch"): 180}
MOST_SAMPLES, STEPS = 40, range(6, 61)


@dataclass(frozen=True)
class Draw:
    plan: TrainingPlan
    num_samples: int
    counts: Counts


def draws(frameworks: tuple[str, ...]) -> list[Draw]:
    """Plans and numbers of samples that fit each other and the ledger."""
    source, found = random.Random(f"clean runs of {frameworks}"), []
    while len(found) < PLANS[frameworks]:
        fields, num_samples = random_case(source)
        try:
            plan = TrainingPlan.from_mapping(fields)
            counts = plan.counts(num_samples)
        except PlanError:
            continue
        fits = num_samples <= MOST_SAMPLES and counts.num_steps in STEPS
        if fits and counts.num_updates <= most_updates(plan, "float64", num_samples):
            found.append(Draw(plan, num_samples, counts))
    return found


@pytest.mark.sweep
@pytest.mark.parametrize("frameworks", PLANS, ids="-".join)
def test_clean_runs_pass(frameworks: tuple[str, ...], tmp_path: Path, record_property: Any) -> None:
    compared = steps = updates = 0
    number = part(PLANS[frameworks])
    for i, drawn in enumerate(draws(frameworks)[:number]):
        task, where = ledger(drawn.num_samples), f"plan {i + 1} of {number}, {drawn}"
        traces = {
            name: observe(ADAPTERS[name](), drawn.plan, task, tmp_path / f"{i}-{name}.trace") for name in frameworks
        }
        audits = {name: task.audit(trace, trace.weights()) for name, trace in traces.items()}
        assert not any(audits.values()), f"{where}: {audits}"
        assert [trace.counts() for trace in traces.values()] == [drawn.counts] * len(traces), where
        assert_clean(compare(*traces.values(), plan=drawn.plan, num_samples=drawn.num_samples, audits=audits), where)
        for pair in combinations(traces.values(), 2):
            assert_clean(compare(*pair), where)
            compared += 1
        steps, updates = steps + drawn.counts.num_steps, updates + drawn.counts.num_updates
    assert compared == number * len(list(combinations(frameworks, 2)))
    size = f"{number} plans of {steps:,} steps and {updates:,} updates, {compared} pairs of runs compared"
    record_property("sample", f"clean runs of {', '.join(frameworks)}: {size}")


def assert_clean(comparison: Comparison, where: str) -> None:
    assert comparison, f"{where}: {comparison}"
    assert comparison.structure == "identical", where
    assert comparison.numbers in ("identical", "within tolerance"), where
    assert {check.name: check.result for check in comparison.checks} == dict.fromkeys(CHECKS, "pass"), where


def test_the_draws_are_of_every_kind() -> None:
    """The samples are no accident of one corner."""
    samples = [draws(frameworks) for frameworks in PLANS]
    for drawn in samples:
        plans = [one.plan for one in drawn]
        for name, values in VALUES.items():
            found = [getattr(plan, name) for plan in plans]
            assert all(found.count(value) >= 4 for value in values), f"{name}: {found}"
        for limit in range(3):
            assert {plan.limits[limit] is None for plan in plans} == {True, False}
        assert {plan.reshuffle for plan in plans} == {True, False}
        assert {plan.gradient_accumulation_steps == 1 for plan in plans} == {True, False}
        for rest in ("keep", "drop", "pad", "carry"):
            assert any(one.plan.remainder == rest and one.num_samples % one.plan.batch_size for one in drawn), rest
        assert any(one.plan.batch_size > one.num_samples for one in drawn)
        assert any(one.counts.num_epochs > 2 and one.counts.steps_per_epoch is None for one in drawn)
    assert any(one.counts.num_updates == 0 for drawn in samples for one in drawn)
    assert any(one.counts.samples_padded > one.counts.samples_seen for drawn in samples for one in drawn)
    assert [len(drawn) for drawn in samples] == [40, 180]
