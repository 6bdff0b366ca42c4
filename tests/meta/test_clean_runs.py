"""No false alarm: honest runs of seeded random plans pass, against the plan and against NumPy."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from cheats import ADAPTERS

from xframe.comparison import CHECKS, compare
from xframe.errors import PlanError
from xframe.plan import TrainingPlan
from xframe.tasks.ledger import MAX_UPDATES, ledger
from xframe.testing import observe

RUNS = {"numpy": 20, "torch": 15, "tensorflow": 15}


@dataclass(frozen=True)
class Draw:
    plan: TrainingPlan
    num_samples: int


def draw(random: random.Random) -> Draw:
    """A plan and a number of samples that fit each other and the ledger."""
    while True:
        num_samples = random.randint(5, 40)
        limits = random.sample(("epochs", "steps", "updates"), random.randint(1, 3))
        fields = {
            "batch_size": random.randint(1, 30),
            **{limit: random.randint(1, 4 if limit == "epochs" else 30) for limit in limits},
            "remainder": random.choice(("keep", "drop", "error")),
            "order": random.choice(("sequential", "shuffle", "shuffle")),
            "seed": random.choice((0, random.getrandbits(62))),
            "reshuffle": random.random() < 0.7,
        }
        plan = TrainingPlan.from_mapping(fields)
        try:
            steps = plan.counts(num_samples).num_steps
        except PlanError:
            continue
        if steps <= MAX_UPDATES["float64"]:
            return Draw(plan, num_samples)


def draws(framework: str) -> list[Draw]:
    source = random.Random(f"clean runs of {framework}")
    return [draw(source) for _ in range(RUNS[framework])]


@pytest.mark.parametrize("framework", RUNS, ids=lambda framework: f"{framework}-{RUNS[framework]}-runs")
def test_clean_runs_pass(framework: str, tmp_path: Path) -> None:
    passed = 0
    for i, drawn in enumerate(draws(framework)):
        task, where = ledger(drawn.num_samples), f"run {i + 1} of {RUNS[framework]}, {drawn}"
        reference = observe(ADAPTERS["numpy"](), drawn.plan, task, tmp_path / f"{i}-reference.trace")
        candidate = observe(ADAPTERS[framework](), drawn.plan, task, tmp_path / f"{i}-candidate.trace")
        audits = {trace.path.stem: task.audit(trace, trace.weights()) for trace in (reference, candidate)}
        assert not any(audits.values()), f"{where}: {audits}"
        assert candidate.num_rows > 0, where
        alone = compare(candidate)
        assert alone.verdict == "passed", f"{where}: {alone}"
        comparison = compare(reference, candidate, audits=audits)
        assert comparison.verdict == "passed", f"{where}: {comparison}"
        assert comparison.structure == "identical", where
        assert comparison.numbers in ("identical", "within tolerance"), where
        assert {check.name: check.result for check in comparison.checks} == dict.fromkeys(CHECKS, "pass"), where
        passed += 1
    assert passed == RUNS[framework], f"{passed} of {RUNS[framework]} runs were compared"


def test_the_draws_are_50_and_of_every_kind() -> None:
    """The sample is no accident of one corner."""
    drawn = [one for framework in RUNS for one in draws(framework)]
    assert len(drawn) == sum(RUNS.values()) == 50
    plans = [one.plan for one in drawn]
    assert {plan.remainder for plan in plans} == {"keep", "drop", "error"}
    assert {plan.order for plan in plans} == {"sequential", "shuffle"}
    assert {plan.reshuffle for plan in plans} == {True, False}
    for limit in range(3):
        assert {plan.limits[limit] is None for plan in plans} == {True, False}
    short = [one for one in drawn if one.num_samples % one.plan.batch_size]
    assert any(one.plan.remainder == "keep" for one in short)
    assert any(one.plan.remainder == "drop" for one in short)
    assert any(one.plan.batch_size > one.num_samples for one in drawn)
    assert any(one.plan.counts(one.num_samples).num_epochs > 1 for one in drawn)
