"""Replicas train what one process does: random plans in processes of their own, which meet as those of a run do.

More of them, in tests/: ``python -m sweeps replicated 30``.
"""

from dataclasses import replace

import pytest
from sampling import part

from sweeps import Result
from sweeps.replicated import Processes, _parted, _ranks, cases, run
from xframe.plan.training_plan import TrainingPlan

CASES = 30


@pytest.mark.sweep
@pytest.mark.costly
@pytest.mark.thorough
def test_replicas_train_what_the_simulator_walks(record_property):
    size = part(CASES)
    record_property("sample", f"replicated: {size} random plans through torch, seed 0")
    assert run(size, 0, ["torch"]) == Result(size, [])


def test_the_plans_are_of_every_kind():
    drawn = list(cases(CASES, 0))
    shared = [plan for one in drawn for plan in one.shared]
    assert {plan.replicas for plan in shared} == {2, 4}
    assert {plan.replica_split for plan in shared} == {"slices", "interleaved", "dealt"}
    others = [one.other.plan for one in drawn]
    assert {plan.replica_remainder for plan in others} == {"uneven", "pad", "drop"}
    assert {plan.replica_gradients for plan in others} == {"rows", "replicas"}
    assert sum(plan.gradient_accumulation_steps > 1 for plan in shared) > len(shared) / 3


@pytest.mark.costly
@pytest.mark.thorough
def test_means_of_means_are_found(tmp_path):
    """The same samples in the same steps and as many updates; but for short steps the numbers are one process's too."""
    plan = TrainingPlan(batch_size=8, epochs=2, replicas=2, replica_split="dealt")
    processes = Processes("torch")
    try:
        rows, means = (
            processes.run(replace(plan, replica_gradients=gradients), 21, tmp_path / f"{gradients}.trace", "digits-mlp")
            for gradients in ("rows", "replicas")
        )
    finally:
        processes.end()
    assert rows.certificate == means.certificate
    assert list(_parted(rows, rows)) == list(_ranks(rows, plan)) == list(_ranks(means, plan)) == []
    wrong = list(_parted(rows, means))
    assert any("loss" in line and "of step 3" in line for line in wrong), (
        wrong
    )  # the first after one of 5 rows, 4 and 1
    assert any(line.startswith("weights") for line in wrong)
    assert list(_ranks(rows, TrainingPlan(batch_size=8, epochs=2))) == ["2 replicas"]
