"""Plans of several replicas inferred from their merged rows: what makes a pass even for them is found or left open."""

import random

import numpy as np
import pytest
from sampling import part

from xframe.errors import PlanError
from xframe.inference.inferring import infer
from xframe.plan.training_plan import TrainingPlan
from xframe.report.inferred import one
from xframe.trace.rows import Rows

DDP = {"replicas": 2, "replica_split": "interleaved"}


def rows_of(num_samples, **fields):
    plan = TrainingPlan.from_mapping({"seed": 99_999, **fields})
    return Rows.of_plan(plan, num_samples).only("batch_size", "updates", "ids")


def drawn(rng):
    replicas = rng.randint(2, 4)
    fields = {"batch_size": replicas * rng.randint(1, 5), "epochs": rng.randint(1, 3), "replicas": replicas}
    fields["remainder"] = rng.choice(("keep", "drop", "pad"))
    fields["replica_split"] = rng.choice(("slices", "interleaved", "dealt"))
    fields["replica_remainder"] = rng.choice(("uneven", "pad", "drop"))
    if rng.random() < 0.4:
        fields["gradient_accumulation_steps"] = rng.randint(2, 4)
    return rng.randint(replicas, 60), fields


def test_random_plans_of_replicas_are_inferred(record_property):
    rng, cases, shown = random.Random(1), part(60), 0
    for _ in range(cases):
        num_samples, fields = drawn(rng)
        try:
            rows = rows_of(num_samples, **fields)
        except PlanError:  # the pass has no batch
            continue
        stated = {name: fields[name] for name in ("replicas", "replica_split")}
        inference = infer(rows, num_samples, replicas=stated, seeds=())
        assert inference.first_misfit is None, (num_samples, fields)
        plan = inference.plan
        again = Rows.of_plan(plan, num_samples)
        assert np.array_equal(again.batch_size, rows.batch_size), (num_samples, fields)
        assert np.array_equal(again.updates, rows.updates), (num_samples, fields)
        assert {name: getattr(plan, name) for name in stated} == stated
        assert inference.undecided["replica_gradients"] == ("rows", "replicas")
        for name in ("remainder", "replica_remainder"):
            known = (inference.certain.get(name), *inference.undecided.get(name, ()))
            assert fields[name] in known, (num_samples, fields, name)
        assert fields["batch_size"] == inference.certain.get("batch_size", fields["batch_size"])
        shown += 1
    record_property("sample", f"plans of replicas inferred from rows: {cases:,} random plans, seed 1")
    assert shown > 0


@pytest.mark.parametrize(
    ("remainder", "last", "words"),
    [("pad", 8, "a pass of 103 is filled up to 104"), ("drop", 6, "a pass of 103 is cut down to 102")],
)
def test_a_distributed_sampler_is_a_plan(remainder, last, words):
    rows = rows_of(103, batch_size=16, epochs=2, **DDP, replica_remainder=remainder)
    assert int(rows.batch_size[-1]) == last
    assert infer(rows, 103).first_misfit == 6  # of one process no plan has these rows
    inference = infer(rows, 103, replicas=DDP)
    assert inference.first_misfit is None
    assert {**DDP, "replica_remainder": remainder, "remainder": "keep"}.items() <= inference.certain.items()
    assert inference.to_dict()["plan"]["replica_remainder"] == remainder
    text = one(inference, "run")
    assert words in text
    assert f"mod 16 = {last}, and the last batch of a pass has {last}" in text


@pytest.mark.parametrize("made", [("pad", "keep"), ("pad", "drop"), ("pad", "pad"), ("uneven", "pad"), ("drop", "pad")])
@pytest.mark.parametrize(("split", "shown"), [("interleaved", ("pad", "keep")), ("slices", ("uneven", "pad"))])
def test_of_plans_with_the_same_rows_none_is_certain(made, split, shown):
    replicas = {"replicas": 3, "replica_split": split}
    even, remainder = made
    rows = rows_of(61, batch_size=9, epochs=2, **replicas, replica_remainder=even, remainder=remainder)
    assert rows.batch_size.tolist() == [9] * 14
    inference = infer(rows, 61, replicas=replicas)
    assert inference.first_misfit is None
    assert not {"remainder", "replica_remainder"} & inference.certain.keys()
    assert inference.undecided["replica_remainder"] == ("uneven", "pad", "drop")
    assert inference.undecided["remainder"] == ("keep", "drop", "pad", "error")
    assert (inference.plan.replica_remainder, inference.plan.remainder) == shown  # what engines that share so do
    text = one(inference, "run")
    assert "pad with remainder keep or drop or pad" in text
    assert "uneven with remainder pad; " in text
    assert ("likely, as by a DistributedSampler; or uneven, or drop" in text) == (split == "interleaved")
    assert not any("certain" in line for line in text.splitlines() if line.split()[0] in ("made", "remainder"))


def test_padding_of_other_samples_is_no_plan():
    rows = rows_of(103, batch_size=16, epochs=2, **DDP, replica_remainder="pad")
    ids = rows.ids.copy()
    ids[103] = ids[50]  # in place of the pass's first sample
    inference = infer(rows.with_columns(ids=ids), 103, replicas=DDP)
    assert inference.first_misfit == 6
    assert inference.undecided["replica_remainder"] == ("uneven", "pad", "drop")


def test_a_split_that_the_run_does_not_state_stays_open():
    inference = infer(rows_of(96, batch_size=16, epochs=2), 96, replicas={"replicas": 2})
    assert inference.undecided["replica_split"] == ("slices", "interleaved", "dealt")
    assert "how they share a step is not known" in one(inference, "run")
