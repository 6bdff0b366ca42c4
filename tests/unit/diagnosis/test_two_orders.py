"""Two runs with orders of their own and a second difference: a cause for the order, one for the rest."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from diagnosed import diagnose

from xframe.diagnosis.causes import by_name
from xframe.diagnosis.reference import changed
from xframe.inference.inferring import infer
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

N = 200
BASE = TrainingPlan(batch_size=16, epochs=3)

SECOND: dict[str, dict[str, Any]] = {
    "short-batch-dropped": {"remainder": "drop"},
    "short-batch-padded": {"remainder": "pad"},
    "accumulation-steps": {"gradient_accumulation_steps": 3},
    "batch-size-per-replica": {"batch_size": 32},
    "batch-size": {"batch_size": 10},
    "limit-confused": {"epochs": 2},
    "update-skipped": {},
}


def shuffled(plan: TrainingPlan, seed: int) -> Rows:
    """The plan's rows, each pass in an order that is not xframe's."""
    rows = Rows.of_plan(changed(plan, order="sequential") or plan, N).only("batch_size", "updates", "ids", "epoch")
    assert rows.ids is not None
    passes = [np.random.default_rng([seed, index]).permutation(N) for index in range(plan.epochs or 1)]
    index = np.repeat(rows.column("epoch").values, rows.batch_size)
    return rows.with_columns(ids=np.stack(passes)[index, rows.ids])


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("second", SECOND)
def test_each_difference_has_its_cause(second: str, given: bool) -> None:
    candidate = shuffled(changed(BASE, **SECOND[second]) or BASE, 2)
    if second == "update-skipped":
        candidate = candidate.with_columns(updates=candidate.updates - (np.arange(len(candidate)) >= 9))
    reference = Rows.of_plan(BASE, N).only("batch_size", "updates", "ids", "epoch") if given else shuffled(BASE, 1)
    plan = BASE if given else None
    order, other, *_ = diagnose(
        candidate, reference, run="B", other="A", num_samples=N, plan=plan, reference_is_plan=given
    )
    assert by_name()[order.name].about_order
    assert order.step == 0
    assert other.name == second
    assert not order.certain
    assert not other.certain
    assert not any("nothing but the order" in one.sentence for one in (order, other))


def test_an_order_alone_has_one_cause() -> None:
    causes = diagnose(shuffled(BASE, 2), shuffled(BASE, 1), run="B", other="A", num_samples=N, plan=None)
    assert [one.name for one in causes] == ["shuffled-independently"]
    assert "nothing but the order of the samples differs" in causes[0].sentence


def test_no_seed_is_named_on_what_chance_gives() -> None:
    """Of a thousand seeds some begin as any shuffle does, and of few samples some give all of them."""
    plan = TrainingPlan(batch_size=1, epochs=1)
    for n, seed in itertools.product((4, 12), range(5)):
        rows = Rows.of_plan(plan, n).only("batch_size", "updates")
        a, b = (rows.with_columns(ids=np.random.default_rng([n, seed, run]).permutation(n)) for run in (1, 2))
        causes = diagnose(b, a, run="B", other="A", num_samples=n, plan=None)
        assert not [one.sentence for one in causes if "seed" in one.sentence]
        assert n > 4 or infer(b, n).seed is None


@pytest.mark.parametrize(("epochs", "longer"), [(2, BASE), (3, changed(BASE, epochs=5))])
def test_what_the_shorter_run_does_not_show_is_no_other_order(epochs: int, longer: TrainingPlan) -> None:
    reference = shuffled(changed(BASE, epochs=epochs) or BASE, 1)
    causes = diagnose(shuffled(longer, 1), reference, run="B", other="A", num_samples=N, plan=None)
    assert [one.name for one in causes] == ["limit-confused"]


def test_a_run_that_goes_on_in_a_later_pass_needs_no_more_of_it_than_was_seen() -> None:
    """From step 20 on it has the batches of the third pass; what follows the third, the reference never shows."""
    reference, longer = shuffled(BASE, 1), shuffled(changed(BASE, epochs=5) or BASE, 1)
    batches = [longer.batch(step).tolist() for step in (*range(20), *range(33, len(longer)))]
    (cause, *_) = diagnose(Rows.of_batches(batches), reference, run="B", other="A", num_samples=N, plan=None)
    assert (cause.name, cause.step, cause.certain) == ("resumed-at-wrong-place", 20, False)
