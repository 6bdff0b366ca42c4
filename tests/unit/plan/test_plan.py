import itertools
import json
import random
import re

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps.counting import order_of
from sweeps.simulator import DEFAULTS, REPLICA_VALUES, VALUES, Refused, random_case, replicated_case, simulate

import xframe
from xframe.plan.fields import ACCUMULATION, LARGEST
from xframe.plan.training_plan import TrainingPlan

GOOD = {"batch_size": 64, "epochs": 3}
LONG = {**GOOD, "steps_per_epoch": 10}
WINDOWS = {**GOOD, "gradient_accumulation_steps": 4}
COUNTS = st.integers(1, LARGEST) | st.integers(1, 9)
WORDS = {name: st.sampled_from(values) for name, values in {**VALUES, **REPLICA_VALUES}.items()}


@st.composite
def valid(draw):
    """The fields of any valid plan."""
    fields = {"batch_size": draw(COUNTS), draw(st.sampled_from(["epochs", "steps"])): draw(COUNTS)}
    epochs = ["epoch_iterator"]
    if (remainder := draw(st.none() | WORDS["remainder"])) is not None:
        fields["remainder"] = remainder
    if remainder != "carry":
        epochs.append("on_exhaustion")
    free = dict.fromkeys(["epochs", "steps", "updates"], COUNTS) | {
        "order": WORDS["order"],
        "seed": st.integers(0, LARGEST),
        "reshuffle": st.booleans(),
    }
    if draw(st.booleans()):
        fields["steps_per_epoch"] = draw(COUNTS)
        free |= {name: WORDS[name] for name in epochs}
    if draw(st.booleans()):
        fields["gradient_accumulation_steps"] = draw(st.integers(2, LARGEST) | st.integers(2, 9))
        free |= {name: WORDS[name] for name in ACCUMULATION}
    if draw(st.booleans()):
        fields["replicas"] = draw(st.integers(2, LARGEST) | st.integers(2, 9))
        free |= {name: WORDS[name] for name in ("replica_split", "replica_gradients")}
        if remainder != "carry" and fields["batch_size"] % fields["replicas"] == 0:
            free["replica_remainder"] = WORDS["replica_remainder"]
    return fields | draw(st.fixed_dictionaries({}, optional=free))


def test_defaults():
    plan = TrainingPlan(**GOOD)
    assert (plan.batch_size, plan.limits) == (64, (3, None, None))
    assert (plan.remainder, plan.order, plan.seed, plan.reshuffle) == ("keep", "shuffle", 0, True)
    assert plan.gradient_accumulation_steps == 1
    for name in ("steps_per_epoch", "epoch_iterator", "on_exhaustion", *ACCUMULATION):  # they would mean nothing
        assert getattr(plan, name) is None
    assert TrainingPlan(batch_size=1, steps=4).limits.steps == 4
    assert TrainingPlan(batch_size=1, updates=5).limits.updates == 5


def test_defaults_that_depend_on_other_fields():
    long = TrainingPlan(**LONG)
    assert (long.epoch_iterator, long.on_exhaustion) == ("restart", "repeat")
    carried = TrainingPlan(**LONG, remainder="carry")
    assert (carried.epoch_iterator, carried.on_exhaustion) == ("continue", None)
    windows = TrainingPlan(**WINDOWS)
    assert {name: getattr(windows, name) for name in ACCUMULATION} == ACCUMULATION
    assert {name: DEFAULTS[name] for name in ACCUMULATION} == ACCUMULATION


def test_to_dict_names_what_is_set():
    assert TrainingPlan(**GOOD).to_dict() == {
        **GOOD,
        "remainder": "keep",
        "order": "shuffle",
        "seed": 0,
        "reshuffle": True,
    }
    assert TrainingPlan(**LONG, steps=7).to_dict().keys() - GOOD.keys() == {
        *("steps", "remainder", "steps_per_epoch", "epoch_iterator", "on_exhaustion", "order", "seed", "reshuffle")
    }
    assert TrainingPlan(**WINDOWS).to_dict().keys() >= {"gradient_accumulation_steps", *ACCUMULATION}


# Values


def test_frozen_and_hashable():
    plan = TrainingPlan(**GOOD)
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        plan.batch_size = 3
    assert len({plan, TrainingPlan(**GOOD), TrainingPlan(batch_size=65, epochs=3)}) == 2


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_numpy_integers(kind):
    fields = {"batch_size": 10, "epochs": 2, "steps": 3, "updates": 4, "seed": 0, "steps_per_epoch": 5}
    fields["gradient_accumulation_steps"] = 2
    plan = TrainingPlan(**{name: kind(value) for name, value in fields.items()})
    assert plan == TrainingPlan(**fields)
    assert plan.digest == TrainingPlan(**fields).digest
    assert {type(value) for value in plan.to_dict().values()} == {int, str, bool}


@given(valid())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_to_dict_holds_the_whole_plan(fields):
    plan = TrainingPlan(**fields)
    assert fields.items() <= plan.to_dict().items()
    assert TrainingPlan.from_mapping(plan.to_dict()) == plan


@given(valid())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_equal_plans_are_equal_however_they_are_written(fields):
    plan = TrainingPlan(**fields)
    for again in (
        TrainingPlan.from_mapping(dict(reversed(fields.items()))),
        TrainingPlan.from_mapping(json.loads(json.dumps(fields))),
        TrainingPlan.from_mapping(dict.fromkeys(("epochs", "steps_per_epoch", "on_exhaustion")) | fields),
        TrainingPlan.from_mapping({k: np.int64(v) if type(v) is int else v for k, v in fields.items()}),
    ):
        assert again == plan
        assert hash(again) == hash(plan)
        assert again.digest == plan.digest


# Files


def test_toml_round_trip(tmp_path):
    file = tmp_path / "plan.toml"

    @given(valid())
    @settings(max_examples=100, deadline=None, derandomize=True)
    def check(fields):
        plan = TrainingPlan(**fields)
        file.write_text(plan.to_toml())
        again = TrainingPlan.from_toml(file)
        assert again == plan
        assert again.digest == plan.digest
        assert TrainingPlan.from_toml(str(file)) == plan

    check()


# Digest


def run_of(fields, num_samples):
    """What happens, down to each gradient's weight in its update and each replica's rows; None if nothing does."""
    try:
        run = simulate(fields, num_samples, order_of(TrainingPlan.from_mapping(fields), num_samples))
    except Refused:
        return None
    several = (fields.get("replicas") or 1) > 1
    return run, several and (fields.get("replica_gradients") or "rows"), [step.shares for step in run.steps]


def mutated(rng, fields):
    """The same fields with one of them changed, left out or new."""
    steps_per_epoch, k = fields.get("steps_per_epoch", 1), fields.get("gradient_accumulation_steps", 2)
    values = {
        **VALUES,
        **(REPLICA_VALUES | {"replicas": (2, 3, 4, fields["batch_size"])} if "replicas" in fields else {}),
        **dict.fromkeys(("epochs", "steps", "updates"), (None, 1, 2, 3, 10, 300, steps_per_epoch, k * k)),
        "steps_per_epoch": (None, 1, 2, 3, k, 2 * k),
        "gradient_accumulation_steps": (None, 1, 2, 3, steps_per_epoch),
        "batch_size": (1, 2, fields["batch_size"] + 1),
        "seed": (None, 0, 1),
        "reshuffle": (None, True, False),
    }
    name = rng.choice(list(values))
    return {**fields, name: rng.choice([value for value in values[name] if value != fields.get(name)])}


@pytest.mark.thorough
@pytest.mark.parametrize("pairs", [4000])
@pytest.mark.parametrize("draw", [random_case, replicated_case], ids=["one", "replicas"])
def test_equal_digest_equal_run(pairs, draw):
    rng = random.Random("digests")
    equal = 0
    for _ in range(pairs):
        fields, num_samples = draw(rng)
        other = mutated(rng, fields)
        try:
            digests = {TrainingPlan.from_mapping(each).digest for each in (fields, other)}
        except xframe.PlanError:
            continue
        if len(digests) == 1:
            equal += 1
            for n in {num_samples, 1, 7, 12, num_samples // 2 + 1}:
                assert run_of(fields, n) == run_of(other, n), (n, fields, other)
    assert equal > pairs / 20


def test_digest_is_what_it_was():
    assert TrainingPlan(batch_size=64, epochs=3).digest == "7d54e8f6ea7621c76dfa947b0ccbae55"
    assert (
        TrainingPlan(batch_size=10, steps=7, remainder="drop", order="sequential").digest
        == "633e56bcf4207a65d5ec9247e5685b56"
    )


B = {"batch_size": 4}
E, S = {**B, "epochs": 3}, {**B, "steps": 12}
L = {**E, "steps_per_epoch": 5}  # long epochs
W = {**E, "gradient_accumulation_steps": 3}
LW = {**L, **W}
ALIKE = {  # two plans of one meaning
    "defaults written out": (E, {**E, "remainder": "keep", "order": "shuffle", "seed": 0, "reshuffle": True}),
    "one step a window": (E, {**E, "gradient_accumulation_steps": 1}),
    "None": (E, {**E, "steps": None, "updates": None, "steps_per_epoch": None}),
    "epochs' defaults written out": (L, {**L, "epoch_iterator": "restart", "on_exhaustion": "repeat"}),
    "a stream's defaults written out": (
        {**L, "remainder": "carry"},
        {**L, "remainder": "carry", "epoch_iterator": "continue"},
    ),
    "windows' defaults written out": (W, {**W, **ACCUMULATION}),
    "seed in turn": ({**E, "order": "sequential"}, {**E, "order": "sequential", "seed": 5}),
    "reshuffle in turn": ({**E, "order": "sequential"}, {**E, "order": "sequential", "reshuffle": False}),
    "one pass, never reshuffled": ({**B, "epochs": 1}, {**B, "epochs": 1, "reshuffle": False}),
    "a pass that ends training": (
        {**L, "epoch_iterator": "continue", "on_exhaustion": "stop"},
        {**L, "epoch_iterator": "continue", "on_exhaustion": "stop", "reshuffle": False},
    ),
    "an epoch is a pass": (W, {**W, "accumulation_boundary": "pass"}),
    "no end cuts a window that goes on": (
        {**LW, "accumulation_remainder": "carry"},
        {**LW, "accumulation_remainder": "carry", "accumulation_boundary": "pass"},
    ),
    "nothing is open after whole passes": (
        {**E, "gradient_accumulation_steps": 2},
        {**E, "gradient_accumulation_steps": 2, "accumulation_at_end": "flush"},
    ),
    "nothing is open after whole epochs": (LW, {**LW, "accumulation_at_end": "flush"}),
    "nothing is open after an update": (
        {**B, "updates": 5, "gradient_accumulation_steps": 3},
        {**B, "updates": 5, "gradient_accumulation_steps": 3, "accumulation_at_end": "flush"},
    ),
    "nothing is open after short epochs": (
        {**LW, "on_exhaustion": "short_epoch"},
        {**LW, "on_exhaustion": "short_epoch", "accumulation_at_end": "flush"},
    ),
    "nothing is open after so many steps": (
        {**B, "steps": 10, "steps_per_epoch": 5, "gradient_accumulation_steps": 3},
        {**B, "steps": 10, "steps_per_epoch": 5, "gradient_accumulation_steps": 3, "accumulation_at_end": "flush"},
    ),
    "windows are full: what is left is zeroed": (
        {**W, "accumulation_remainder": "drop"},
        {**W, "accumulation_remainder": "drop", "loss_normalization": "window"},
    ),
    "windows are full: what is left goes on": (
        {**W, "accumulation_remainder": "carry"},
        {**W, "accumulation_remainder": "carry", "loss_normalization": "window"},
    ),
    **{
        f"batches are alike under {remainder}": (
            {**W, "remainder": remainder},
            {**W, "remainder": remainder, "loss_normalization": "samples"},
        )
        for remainder in ("drop", "pad", "error")
    },
    "batches of an endless stream are alike": (
        {**LW, "remainder": "carry"},
        {**LW, "remainder": "carry", "loss_normalization": "samples"},
    ),
    "epochs of so many steps": (L, {**B, "steps": 15, "steps_per_epoch": 5}),
    "epochs of so many steps that stop": (
        {**L, "on_exhaustion": "stop"},
        {**B, "steps": 15, "steps_per_epoch": 5, "on_exhaustion": "stop"},
    ),
    "the lesser of epochs and steps": ({**L, "steps": 12}, {**B, "steps": 12, "steps_per_epoch": 5}),
    "epochs of one step are not short": (
        {**E, "steps_per_epoch": 1, "epoch_iterator": "continue"},
        {**E, "steps_per_epoch": 1, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"},
    ),
    "epochs of one step that restart exhaust nothing": (
        {**E, "steps_per_epoch": 1},
        {**E, "steps_per_epoch": 1, "on_exhaustion": "stop"},
    ),
    "as many updates as steps": (S, {**S, "updates": 12}),
    "more updates than steps": (S, {**S, "updates": 100}),
    "more updates than steps, in windows": (
        {**S, "gradient_accumulation_steps": 3},
        {**S, "gradient_accumulation_steps": 3, "updates": 12},
    ),
}
R, P = {**E, "replicas": 2}, {**E, "replicas": 4}
ALIKE |= {
    "one replica": (E, {**E, "replicas": 1}),
    "replicas' defaults written out": (
        R,
        {**R, "replica_split": "slices", "replica_remainder": "uneven", "replica_gradients": "rows"},
    ),
    "what replicas drop, batches drop": (
        {**R, "remainder": "drop"},
        {**R, "remainder": "drop", "replica_remainder": "drop"},
    ),
    "what replicas fill up, batches fill up": (
        {**R, "remainder": "pad"},
        {**R, "remainder": "pad", "replica_remainder": "pad"},
    ),
    **{
        f"a batch has a row for each replica: {word} is {policy} before {remainder}": (
            {**P, "remainder": policy},
            {**P, "remainder": remainder, "replica_remainder": policy, "replica_split": word},
        )
        for word, policy, remainder in itertools.product(
            REPLICA_VALUES["replica_split"], ("pad", "drop"), ("keep", "drop", "pad", "error")
        )
    },
    "replicas have a row at most": ({**E, "replicas": 5}, {**E, "replicas": 5, "replica_split": "interleaved"}),
    **{
        f"full batches are dealt in slices under {remainder}": (
            {**R, "remainder": remainder},
            {**R, "remainder": remainder, "replica_split": "dealt"},
        )
        for remainder in ("drop", "pad", "error")
    },
    "an endless stream is dealt in slices": (
        {**L, "remainder": "carry", "replicas": 3},
        {**L, "remainder": "carry", "replicas": 3, "replica_split": "dealt"},
    ),
}
APART = {  # two plans that some data or some run tells apart
    "updates may be skipped, steps not": (S, {**B, "updates": 12}),
    "fewer updates than steps": (S, {**S, "updates": 11}),
    "short epochs have fewer steps": (
        {**L, "on_exhaustion": "short_epoch"},
        {**B, "steps": 15, "steps_per_epoch": 5, "on_exhaustion": "short_epoch"},
    ),
    "epochs of one step stop at an exhausted pass": (
        {**E, "steps_per_epoch": 1, "epoch_iterator": "continue"},
        {**E, "steps_per_epoch": 1, "epoch_iterator": "continue", "on_exhaustion": "stop"},
    ),
    "a pass that ends each epoch": (
        {**L, "on_exhaustion": "stop"},
        {**L, "on_exhaustion": "stop", "reshuffle": False},
    ),
    "epochs are no passes": (LW, {**LW, "accumulation_boundary": "pass"}),
    "steps may end in a window": (
        {**S, "gradient_accumulation_steps": 3},
        {**S, "gradient_accumulation_steps": 3, "accumulation_at_end": "flush"},
    ),
    "a cut window is short": (W, {**W, "loss_normalization": "window"}),
    "a leaking window is more than full": (
        {**W, "accumulation_remainder": "leak"},
        {**W, "accumulation_remainder": "leak", "loss_normalization": "window"},
    ),
    "a last batch is short": (W, {**W, "loss_normalization": "samples"}),
    "a stream's last batch is short": (
        {**W, "remainder": "carry"},
        {**W, "remainder": "carry", "loss_normalization": "samples"},
    ),
    **{
        f"another {name}, {kind}": (base, {**base, name: value})
        for kind, base in {"passes": E, "long epochs": L, "windows": W}.items()
        for name, value in {
            "batch_size": 5,
            "epochs": 4,
            "steps": 3,
            "updates": 2,
            "remainder": "drop",
            "seed": 1,
            "reshuffle": False,
            "order": "sequential",
            "steps_per_epoch": 7,
            "gradient_accumulation_steps": 2,
        }.items()
    },
    **{
        f"{name} {a} or {b}": ({**base, name: a}, {**base, name: b})
        for base, name in (
            (E, "remainder"),
            (L, "epoch_iterator"),
            (L, "on_exhaustion"),
            ({**LW, "steps": 14}, "accumulation_boundary"),
            (LW, "accumulation_remainder"),
            ({**LW, "steps": 14}, "accumulation_at_end"),
            (LW, "loss_normalization"),
        )
        for a, b in itertools.combinations(VALUES[name], 2)
    },
    "replicas share": (E, R),
    "more replicas": (R, {**R, "replicas": 3}),
    "filled up for replicas before batches are dropped": (
        {**R, "remainder": "drop"},
        {**R, "remainder": "drop", "replica_remainder": "pad"},
    ),
    "left out by replicas before batches are filled up": (
        {**R, "remainder": "pad"},
        {**R, "remainder": "pad", "replica_remainder": "drop"},
    ),
    **{
        f"{name} {a} or {b}": ({**R, name: a}, {**R, name: b})
        for name, values in REPLICA_VALUES.items()
        for a, b in itertools.combinations(values, 2)
    },
}


@pytest.mark.parametrize("name", ALIKE)
def test_equal_meaning_equal_digest(name):
    one, other = ALIKE[name]
    for n in range(1, 41):
        assert run_of(one, n) == run_of(other, n), n
    assert TrainingPlan(**one).digest == TrainingPlan(**other).digest


@pytest.mark.parametrize("name", APART)
def test_other_meaning_other_digest(name):
    one, other = APART[name]
    assert any(run_of(one, n) != run_of(other, n) for n in range(1, 41)) or name.startswith("updates may be skipped")
    digests = {TrainingPlan(**fields).digest for fields in (one, other)}
    assert len(digests) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in digests)
