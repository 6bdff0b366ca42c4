"""Plans inferred from rows: random plans and edges, what is certain, what rows leave open, where no plan fits."""

import contextlib
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from sampling import part
from sweeps import inference as sweep
from sweeps.inference import check_case, passes_impossible, run, walked
from sweeps.simulator import EDGES, Refused

from xframe.inference.inferring import MORE, infer
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan
from xframe.report.inferred import one
from xframe.trace.rows import Rows


def rows_of(num_samples, **fields):
    """Rows without labels, in an order that is none of xframe's first seeds unless one is given."""
    plan = TrainingPlan.from_mapping({"seed": 99_999, **fields})
    return Rows.of_plan(plan, num_samples).only("batch_size", "updates", "ids")


def inferred(num_samples, **fields):
    return infer(rows_of(num_samples, **fields), num_samples)


# Random plans


@pytest.mark.thorough
@pytest.mark.sweep
def test_random_plans_are_inferred_from_their_rows(record_property):
    cases = part(300)
    result = run(cases, seed=1)
    record_property(
        "sample", f"plans inferred from rows: {cases:,} random plans, {result.corrupted:,} damaged rows, seed 1"
    )
    assert result.mismatches == []
    assert 0 < result.refused < cases / 10
    assert result.alike < cases / 20
    assert result.corrupted > cases / 2 > result.other_runs


@pytest.mark.parametrize(
    ("fields", "num_samples"),
    EDGES,
    ids=["-".join([str(n), *(f"{name}={value}" for name, value in fields.items())]) for fields, n in EDGES],
)
def test_edge(fields, num_samples):
    assert check_case(fields, num_samples) is None


def test_a_wrong_inference_is_noticed(monkeypatch):
    """The sweep can fail: by a plan with other rows, a false certainty, and a misfit where there is none."""
    fields = {"batch_size": 4, "epochs": 3, "gradient_accumulation_steps": 2}
    assert check_case(fields, 10) is None

    def wrong(**changes):
        with monkeypatch.context() as patch:
            patch.setattr(sweep, "infer", lambda rows, n, seeds: replace(infer(rows, n, seeds=seeds), **changes))
            return check_case(fields, 10)

    assert "sizes" in wrong(plan=TrainingPlan.from_mapping({**fields, "batch_size": 5, "epochs": None, "steps": 9}))
    assert "updates" in wrong(plan=TrainingPlan.from_mapping({**fields, "accumulation_remainder": "drop"}))
    assert "gradient_accumulation_steps is 2" in wrong(certain={"gradient_accumulation_steps": 3}, undecided={})
    assert "no plan fits" in wrong(first_misfit=5)


# What is certain


def test_a_textbook_run():
    inference = inferred(1797, batch_size=64, epochs=3)
    assert inference.plan == TrainingPlan(batch_size=64, epochs=3)
    assert inference.certain["batch_size"] == 64
    assert inference.certain["remainder"] == "keep"
    assert inference.certain["gradient_accumulation_steps"] == 1
    assert (inference.order, inference.seed, inference.first_misfit) == ("new each pass", None, None)
    assert inference.undecided == {"epochs": (None, 3), "steps": (None, 87), "updates": (None, 87)}


@pytest.mark.parametrize("remainder", ["keep", "drop", "pad", "carry"])
@pytest.mark.parametrize(
    ("fields", "certain"),
    [
        ({"epochs": 4}, {"gradient_accumulation_steps": 1}),
        ({"epochs": 9, "steps_per_epoch": 5}, {"steps_per_epoch": 5, "epoch_iterator": "restart"}),
        ({"epochs": 4, "gradient_accumulation_steps": 4}, {"gradient_accumulation_steps": 4}),
        (
            {"epochs": 9, "steps_per_epoch": 5, "gradient_accumulation_steps": 3},
            {"steps_per_epoch": 5, "gradient_accumulation_steps": 3, "accumulation_remainder": "flush"},
        ),
        (
            {"epochs": 19, "steps_per_epoch": 5, "gradient_accumulation_steps": 3, "epoch_iterator": "continue"},
            {"steps_per_epoch": 5, "epoch_iterator": "continue", "accumulation_boundary": "epoch"},
        ),
    ],
)
def test_settings_that_show_are_certain(remainder, fields, certain):
    if remainder == "carry" and fields.get("steps_per_epoch"):
        fields = {"epoch_iterator": "restart", **fields}
    inference = inferred(103, batch_size=10, remainder=remainder, **fields)
    assert {name: inference.certain[name] for name in certain} == certain
    if fields.get("steps_per_epoch", 0) == 5:
        return
    if remainder == "drop":  # which is also to leave each pass for the next after 10 steps
        assert inference.undecided["steps_per_epoch"] == (None, 10)
    else:
        assert (inference.certain["remainder"], inference.certain["steps_per_epoch"]) == (remainder, None)


@pytest.mark.parametrize(
    ("fields", "order", "seed"),
    [
        ({"order": "sequential", "seed": 0}, "sequential", None),
        ({"seed": 7}, "new each pass", 7),
        ({"seed": 7, "reshuffle": False}, "same each pass", 7),
        ({"seed": 99_999}, "new each pass", None),
        ({"seed": 99_999, "reshuffle": False}, "same each pass", None),
    ],
)
def test_orders(fields, order, seed):
    inference = inferred(100, batch_size=8, epochs=3, **fields)
    assert (inference.order, inference.seed) == (order, seed)
    assert inference.plan.order == ("sequential" if order == "sequential" else "shuffle")


def test_one_pass_shows_no_order_of_passes():
    assert inferred(100, batch_size=8, epochs=1).order == "unknown"
    assert inferred(100, batch_size=8, epochs=1, order="sequential").order == "sequential"


# What rows cannot tell apart


def test_how_a_window_is_averaged_never_shows():
    inference = inferred(103, batch_size=10, epochs=3, gradient_accumulation_steps=4, loss_normalization="window")
    assert inference.undecided["loss_normalization"] == ("actual", "window", "sum", "samples")


def test_leak_and_drop_leave_the_same_updates():
    for leftover in ("leak", "drop"):
        windows = {"gradient_accumulation_steps": 4, "accumulation_remainder": leftover}
        inference = inferred(103, batch_size=10, epochs=3, **windows)
        assert inference.undecided["accumulation_remainder"] == ("drop", "leak")


def test_without_remaining_samples_remainders_are_alike():
    inference = inferred(100, batch_size=10, epochs=3)
    assert inference.undecided["remainder"] == ("keep", "drop", "pad", "carry", "error")


def test_no_batch_is_full():
    inference = inferred(5, batch_size=8, epochs=30)
    assert inference.undecided["batch_size"] == (5, MORE)


def test_labels_decide_between_what_the_rows_leave_open():
    plan = TrainingPlan(batch_size=10, epochs=5, steps_per_epoch=4, epoch_iterator="continue", seed=99_999)
    rows = Rows.of_plan(plan, 103)
    without, with_labels = infer(rows.only("batch_size", "updates", "ids"), 103), infer(rows, 103)
    assert without.plan.steps_per_epoch is None
    assert with_labels.certain["steps_per_epoch"] == 4
    assert any("labels" in note for note in with_labels.notes)
    counted_from_1 = rows.with_columns(epoch=rows.epoch + 1, step_in_epoch=rows.step_in_epoch + 1)
    assert infer(counted_from_1, 103).certain["steps_per_epoch"] == 4


def test_labels_never_overrule_rows():
    rows = Rows.of_plan(TrainingPlan(batch_size=10, epochs=4, steps_per_epoch=7), 103)
    lying = rows.with_columns(epoch=np.sort(rows.epoch * 3 % 5), step_in_epoch=None)
    inference = infer(lying, 103)
    assert inference.certain["steps_per_epoch"] == 7
    assert any("left aside" in note for note in inference.notes)


def test_part_of_a_run_has_no_limits():
    inference = infer(rows_of(103, batch_size=10, epochs=4).head(25), 103)
    assert not {"epochs", "steps", "updates"} & {*inference.certain, *inference.undecided}
    assert counting.num_steps(inference.plan, 103) >= 25


def test_the_number_of_samples_from_ids_or_sizes():
    rows = rows_of(103, batch_size=10, epochs=3)
    assert infer(rows, None).num_samples == 103
    assert infer(rows.with_columns(ids=None), None).num_samples == 103
    inference = infer(rows_of(100, batch_size=10, epochs=3), None)
    assert inference.num_samples == 100
    assert "not given" in inference.notes[0]
    blind = infer(rows_of(100, batch_size=10, epochs=3).with_columns(ids=None), None)
    assert blind.num_samples is None
    assert blind.certain["batch_size"] == 10
    assert "remainder" not in {**blind.certain, **blind.undecided}


def test_without_ids_or_updates():
    rows = rows_of(103, batch_size=10, epochs=3, gradient_accumulation_steps=4)
    inference = infer(rows.with_columns(ids=None), 103)
    assert (inference.order, inference.certain["remainder"]) == ("unknown", "keep")
    assert inference.plan.gradient_accumulation_steps == 4
    inference = infer(rows.with_columns(updates=None), 103)
    assert (inference.order, inference.undecided["gradient_accumulation_steps"]) == ("new each pass", (1, MORE))


def test_no_rows():
    inference = infer(Rows.of_batches([], []), 10)
    assert (inference.plan, inference.first_misfit) == (None, None)
    assert one(inference, "x").startswith("x: 0 steps")


# Where no plan fits


def damaged(rows, **changes):
    return rows.only("batch_size", "updates", "ids").with_columns(**changes)


def test_an_update_too_many():
    rows = rows_of(103, batch_size=10, epochs=3, gradient_accumulation_steps=4)
    updates = rows.updates.copy()
    updates[13:] += 1
    inference = infer(damaged(rows, updates=updates), 103)
    assert inference.first_misfit == 13
    assert "update" in inference.odd
    assert inference.plan.gradient_accumulation_steps == 4


def test_a_step_with_two_updates():
    rows = rows_of(103, batch_size=10, epochs=3)
    updates = rows.updates.copy()
    updates[-1] += 1
    inference = infer(damaged(rows, updates=updates), 103)
    assert (inference.first_misfit, inference.odd) == (32, "2 updates with one step")


def test_a_lost_step():
    rows = rows_of(103, batch_size=10, epochs=3, seed=0)
    batches = [rows.batch(step).tolist() for step in range(len(rows)) if step != 4]
    inference = infer(Rows.of_batches(batches, range(1, len(batches) + 1)), 103)
    assert inference.first_misfit == 9  # until then the pass may as well have another order
    assert "batch of 3" in inference.odd
    assert any("only up to step 4" in note for note in inference.notes)


def test_a_foreign_sample():
    rows = rows_of(103, batch_size=10, epochs=3)
    ids = rows.ids.copy()
    ids[137] = 103
    inference = infer(damaged(rows, ids=ids), 103)
    assert (inference.first_misfit, inference.odd) == (14, "sample 103 is none of the 103 samples")


def test_draws_with_replacement():
    draw = random.Random(1)
    batches = [[draw.randrange(200) for _ in range(8)] for _ in range(200)]
    inference = infer(Rows.of_batches(batches, range(1, 201)), 200)
    assert inference.order == "none"
    assert inference.first_misfit is not None
    assert inference.first_misfit < 50


def test_nothing_fits_from_the_first_step():
    inference = infer(Rows.of_batches([[3, 3], [1, 2]], [1, 2]), 5)
    assert (inference.plan, inference.first_misfit) == (None, 0)
    assert "from the first step on" in one(inference, "x")


# Long runs


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 20_000, "gradient_accumulation_steps": 4},
        {"epochs": 40, "steps_per_epoch": 500, "gradient_accumulation_steps": 3},
        {"epochs": 12, "steps_per_epoch": 1300, "gradient_accumulation_steps": 7, "accumulation_boundary": "pass"},
        {"epochs": 20, "steps_per_epoch": 700, "epoch_iterator": "continue", "gradient_accumulation_steps": 3},
        {"steps": 20_000, "remainder": "carry", "gradient_accumulation_steps": 4, "accumulation_remainder": "drop"},
    ],
)
def test_long_runs(fields):
    rows = rows_of(10_001, batch_size=10, **fields)
    inference = infer(rows, 10_001)
    assert inference.first_misfit is None
    part = counting.rows(inference.plan, 10_001, 0, len(rows))
    assert counting.num_steps(inference.plan, 10_001) == len(rows)
    assert (part.batch_size == rows.batch_size).all()
    assert (part.updates == rows.updates).all()
    own = counting.rows(TrainingPlan.from_mapping({"batch_size": 10, **fields}), 10_001, 0, len(rows))
    assert (part.pass_index == own.pass_index).all()
    assert (part.position == own.position).all()


def test_a_long_run_of_passes_left_so_early_that_samples_seldom_come_again():
    rows = rows_of(100_000, batch_size=1, steps=60_000, steps_per_epoch=500)
    inference = infer(rows, 100_000)
    assert inference.first_misfit is None
    assert (inference.certain["steps_per_epoch"], inference.plan.epoch_iterator) == (500, "restart")


# In words


def test_in_words():
    inference = inferred(1797, batch_size=64, epochs=3, gradient_accumulation_steps=4)
    text = one(inference, "torch")
    lines = text.splitlines()
    assert lines[0] == "torch: 87 steps, 24 updates over 1,797 samples"
    assert any("1,797 mod 64 = 5" in line and "certain" in line for line in lines)
    assert any("3 epochs" in line and "87 steps" in line and "can't tell" in line for line in lines)
    assert any("a new one each pass" in line for line in lines)
    assert max(map(len, lines)) <= 120
    assert json.loads(json.dumps(inference.to_dict()))["plan"]["gradient_accumulation_steps"] == 4


def walkable(cases):
    for fields, num_samples in cases:
        with contextlib.suppress(Refused):
            walked(fields, num_samples, lambda _, n=num_samples: range(n))
            yield fields, num_samples


@pytest.mark.parametrize(
    ("fields", "num_samples"),
    list(walkable([case for case in EDGES if case[0].get("steps_per_epoch")][::6] + EDGES[:12])),
)
def test_every_inference_has_words(fields, num_samples):
    rows = walked(fields, num_samples, lambda _: range(num_samples))
    for some in (rows, rows.with_columns(ids=None), rows.with_columns(updates=None), rows.head(max(1, len(rows) // 2))):
        for samples in (num_samples, None):
            inference = infer(some, samples)
            json.dumps(inference.to_dict())
            assert one(inference, "run").startswith("run: ")


@pytest.mark.parametrize(("sizes", "at"), [([-1, -1], None), ([4, 0, 4], 1), ([0], 0)])
def test_batches_of_nothing_follow_no_plan(sizes, at):
    rows = Rows.of_arrays(batch_size=sizes, updates=np.arange(len(sizes)) + 1)
    inference = infer(rows, 8)
    assert (inference.plan, inference.first_misfit) == (None, at)
    assert one(inference, "run").startswith("run: ")


def test_an_unfinished_run_shows_no_limits():
    rows = Rows.of_plan(TrainingPlan(batch_size=4, epochs=3), 10)
    assert infer(rows, 10).to_dict()["plan"]["epochs"] == 3
    shown = infer(rows.head(5), 10).to_dict()["plan"]
    assert not {"epochs", "steps", "updates"} & set(shown)
    assert shown["batch_size"] == 4


def test_the_walk_of_the_sweep_finds_what_is_impossible():
    plan = TrainingPlan(batch_size=2, epochs=2, order="sequential")
    twice = Rows.of_batches([[0, 1], [2], [0, 0], [2]])
    assert "sample 0 is impossible" in passes_impossible(plan, twice, 3, 4)
