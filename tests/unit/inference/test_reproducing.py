"""The plans that reproduce rows: each does, none is missing where rows cannot tell apart, and ``infer`` agrees."""

import random
from contextlib import suppress

import numpy as np
import pytest
from sweeps.simulator import random_case

from xframe.errors import PlanError
from xframe.inference.inferring import infer
from xframe.inference.reproducing import UNKNOWN, cells, reproduce
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

OBSERVED = ("batch_size", "updates", "ids")
LABELS = ("epoch", "step_in_epoch", "padding")


def rows_of(num_samples, *labels, **fields):
    """Rows in an order that is not one of xframe's first seeds unless one is given."""
    plan = TrainingPlan.from_mapping({"seed": 99_999, **fields})
    return Rows.of_plan(plan, num_samples).only(*OBSERVED, *labels)


def reproduces(plan, order, num_samples, rows):
    """Whether these are the plan's rows: of a part of a run, its first ones."""
    total = counting.num_steps(plan, num_samples)
    if total != len(rows) if rows.complete else total < len(rows):
        return False
    part = counting.rows(plan, num_samples, 0, len(rows))
    if (part.batch_size != rows.batch_size).any() or (part.updates != rows.updates).any():
        return False
    ids = order.ids(plan, num_samples, cells(plan, num_samples, part))
    known = ids != UNKNOWN
    return bool((ids[known] == rows.ids[known]).all()) and (order.learned is not None or bool(known.all()))


def random_rows(count, seed):
    draw = random.Random(seed)
    while count:
        fields, num_samples = random_case(draw)
        with suppress(PlanError):
            plan = TrainingPlan.from_mapping(fields)
            if 1 <= counting.num_steps(plan, num_samples) <= 500:
                count -= 1
                yield plan, num_samples, Rows.of_plan(plan, num_samples).only(*OBSERVED, *LABELS)


def test_all_plans_reproduce_random_rows():
    with_plans = 0
    for plan, num_samples, rows in random_rows(60, seed=3):
        for part in (rows, rows.only(*OBSERVED), rows.head(max(1, len(rows) // 2))):
            shown = reproduce(part, num_samples)
            assert all(reproduces(one, shown.order, num_samples, part) for one in shown.plans), plan
            assert len(set(shown.plans)) == len(shown.plans)
            with_plans += bool(shown.plans)
    assert with_plans > 0.8 * 180


def test_what_is_reproduced_is_inferred_too():
    draw = random.Random(5)
    for plan, num_samples, rows in random_rows(15, seed=4):
        ids = rows.ids.copy()
        ids[draw.randrange(len(ids))] = draw.randrange(num_samples)
        for part in (rows, rows.with_columns(ids=ids)):
            if reproduce(part, num_samples).plans:
                assert infer(part, num_samples).first_misfit is None, plan


def limits(plan):
    return {name: value for name, value in plan.limits._asdict().items() if value is not None}


def test_a_run_may_have_ended_by_any_limit():
    shown = reproduce(rows_of(1797, batch_size=64, epochs=3), 1797)
    assert [limits(plan) for plan in shown.plans] == [{"epochs": 3}, {"steps": 87}]
    shown = reproduce(rows_of(1797, batch_size=64, epochs=3, gradient_accumulation_steps=4), 1797)
    assert [limits(plan) for plan in shown.plans[:3]] == [{"epochs": 3}, {"steps": 87}, {"updates": 24}]
    assert {plan.gradient_accumulation_steps for plan in shown.plans} == {4}


def test_without_remaining_samples_remainders_are_alike():
    shown = reproduce(rows_of(100, batch_size=10, epochs=3), 100)
    assert {plan.remainder for plan in shown.plans} == {"keep", "drop", "pad", "carry"}


@pytest.mark.parametrize("labels", [(), LABELS])
@pytest.mark.parametrize(
    "fields",
    [
        {"remainder": "drop", "epochs": 3},
        {"remainder": "pad", "epochs": 3},
        {"remainder": "carry", "epochs": 3},
        {"epochs": 8, "steps_per_epoch": 9},
        {"epochs": 40, "steps_per_epoch": 9},
    ],
)
def test_passes(fields, labels):
    plan = reproduce(rows_of(1797, *labels, batch_size=64, **fields), 1797).plans[0]
    assert {name: getattr(plan, name) for name in fields} == fields
    assert plan.epoch_iterator == ("restart" if "steps_per_epoch" in fields else None)


def test_labels_decide_between_plans():
    fields = {"batch_size": 64, "steps_per_epoch": 9, "epoch_iterator": "continue", "steps": 40}
    assert reproduce(rows_of(1797, **fields), 1797).plans[0].steps_per_epoch is None
    assert reproduce(rows_of(1797, *LABELS, **fields), 1797).plans[0].steps_per_epoch == 9


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"order": "sequential", "seed": 0}, (True, 0, True, None)),
        ({"seed": 700}, (False, 700, True, None)),
        ({"seed": 700, "reshuffle": False}, (False, 700, False, None)),
        ({"seed": 99_999}, (False, 0, True, {0, 1, 2})),
        ({"seed": 99_999, "reshuffle": False}, (False, 0, False, {0, 1, 2})),
    ],
)
def test_orders(fields, shown):
    rows = rows_of(100, batch_size=8, epochs=3, **fields)
    order = reproduce(rows, 100).order
    learned = None if order.learned is None else set(order.learned)
    assert (order.sequential, order.seed, order.reshuffle, learned) == shown


def test_a_learned_order_is_known_where_it_was_seen():
    rows = rows_of(100, batch_size=8, steps=5)
    shown = reproduce(rows, 100)
    plan = shown.plans[0]
    part = counting.rows(TrainingPlan.from_mapping({**plan.to_dict(), "steps": 9}), 100, 0, 9)
    ids = shown.order.ids(plan, 100, cells(plan, 100, part))
    assert np.array_equal(ids[:40], rows.ids)
    assert (ids[40:] == UNKNOWN).all()


def test_the_number_of_samples_is_inferred():
    assert reproduce(rows_of(103, batch_size=10, epochs=3)).num_samples == 103
    hashed = Rows.of_batches([[1 << 50, 7], [9, 1 << 60]], [1, 2])
    assert (reproduce(hashed).num_samples, reproduce(hashed).plans) == (None, ())


def test_no_plan_reproduces_damaged_rows():
    rows = rows_of(103, batch_size=10, epochs=3)
    ids, updates = rows.ids.copy(), rows.updates.copy()
    ids[17] = ids[18]
    updates[5:] += 1
    for damaged in (rows.with_columns(ids=ids), rows.with_columns(updates=updates), Rows.of_batches([], [])):
        shown = reproduce(damaged, 103)
        assert (shown.plans, shown.order) == ((), None)
