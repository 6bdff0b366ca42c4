import itertools
import re

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xframe
from xframe.plan import FIELDS, LARGEST, NOT_YET_FIELDS, TrainingPlan

GOOD = {"batch_size": 64, "epochs": 3}
WRONG_COUNTS = {
    "text": "64",
    "bytes": b"64",
    "float": 64.0,
    "fraction": 1.5,
    "nan": float("nan"),
    "True": True,
    "False": False,
    "zero": 0,
    "negative": -1,
    "beyond int64": 2**63,
    "5,001 digits": 10**5000,
    "minus 5,001 digits": -(10**5000),
    "list": [64],
    "table": {},
}
VALID = st.fixed_dictionaries(
    {"batch_size": st.integers(1, LARGEST)},
    optional={
        "epochs": st.integers(1, LARGEST),
        "updates": st.integers(1, LARGEST),
        "remainder": st.sampled_from(["keep", "drop", "error"]),
        "order": st.sampled_from(["sequential", "shuffle"]),
        "seed": st.integers(0, LARGEST),
        "reshuffle": st.booleans(),
    },
).map(lambda fields: fields if {"epochs", "updates"} & set(fields) else {**fields, "steps": 7})


def refused(**fields):
    with pytest.raises(xframe.PlanError) as caught:
        TrainingPlan(**{**GOOD, **fields})
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, xframe.UsageError)
    assert isinstance(caught.value, xframe.XframeError)
    return caught.value


def test_defaults():
    plan = TrainingPlan(**GOOD)
    assert (plan.batch_size, plan.limits) == (64, (3, None, None))
    assert (plan.remainder, plan.order, plan.seed, plan.reshuffle) == ("keep", "shuffle", 0, True)
    assert TrainingPlan(batch_size=1, steps=4).limits.steps == 4
    assert TrainingPlan(batch_size=1, updates=5).limits.updates == 5


# Wrong plans


@pytest.mark.parametrize(
    ("field", "meant"),
    [("batchsize", "batch_size"), ("epoch", "epochs"), ("max_steps", "steps"), ("learning_rate", None)],
)
def test_unknown_field(field, meant):
    text = str(refused(**{field: 3}))
    assert f"unknown field '{field}'" in text
    assert "got 3" in text
    assert all(name in text for name in FIELDS)
    assert (f"Did you mean '{meant}'?" if meant else "Remove it.") in text


def test_the_attribute_behind_a_limit_is_no_field():
    assert "unknown field 'step_limit'" in str(refused(step_limit=3))


@pytest.mark.parametrize("field", NOT_YET_FIELDS)
def test_vocabulary_not_in_this_version(field):
    text = str(refused(**{field: 2}))
    assert f"field '{field}' is not in this version of xframe" in text
    assert f"Remove {field}" in text


@pytest.mark.parametrize("value", ["pad", "carry"])
def test_value_not_in_this_version(value):
    text = str(refused(remainder=value))
    assert f"remainder '{value}' is not in this version" in text
    assert "one of keep, drop, error" in text


@pytest.mark.parametrize("field", ["batch_size", "epochs", "steps", "updates"])
@pytest.mark.parametrize("value", list(WRONG_COUNTS.values()), ids=list(WRONG_COUNTS))
def test_a_count_is_an_integer_from_1(field, value):
    error = refused(**{field: value})
    text = str(error)
    assert f"invalid plan: {field}: got " in text
    assert f"expected an integer from 1 to {LARGEST}" in text
    assert f"Set {field} = " in text
    assert error.remedy
    assert len(text) < 300


@pytest.mark.parametrize("value", ["0", 0.0, True, -1, 2**63, pytest.param(10**5000, id="5,001 digits")])
def test_a_seed_is_an_integer_from_0(value):
    assert f"expected an integer from 0 to {LARGEST}" in str(refused(seed=value))


@pytest.mark.parametrize("value", [np.array([1, 2]), np.array(1.5), np.float64(2), np.True_, object], ids=repr)
def test_what_only_looks_like_an_integer(value):
    assert "invalid plan: batch_size" in str(refused(batch_size=value))


@pytest.mark.parametrize(
    ("field", "value", "expected", "hint"),
    [
        ("remainder", "kep", "one of keep, drop, error", "Did you mean 'keep'?"),
        ("remainder", 1, "one of keep, drop, error", 'Set remainder = "keep"'),
        ("remainder", ["keep"], "one of keep, drop, error", 'Set remainder = "keep"'),
        ("order", "sequental", "one of sequential, shuffle", "Did you mean 'sequential'?"),
        ("order", "random", "one of sequential, shuffle", 'Set order = "shuffle"'),
        ("order", None, "one of sequential, shuffle", 'Set order = "shuffle"'),
        ("reshuffle", "yes", "true or false", "Set reshuffle = true"),
        ("reshuffle", 1, "true or false", "Set reshuffle = true"),
    ],
)
def test_wrong_choice(field, value, expected, hint):
    text = str(refused(**{field: value}))
    assert text.startswith(f"invalid plan: {field}: ")
    assert expected in text
    assert hint in text


def test_no_batch_size():
    with pytest.raises(xframe.PlanError, match=r"batch_size is missing.*expected an integer.*Set batch_size = 64"):
        TrainingPlan(epochs=1)


@pytest.mark.parametrize("fields", [{}, {"epochs": None}, {"epochs": None, "steps": None, "updates": None}])
def test_no_limit(fields):
    with pytest.raises(xframe.PlanError) as caught:
        TrainingPlan(batch_size=1, **fields)
    assert (
        str(caught.value) == "invalid plan: no limit: got neither epochs nor steps nor updates, "
        "expected at least one of them, or training never ends. Set epochs = 3, for example."
    )


def test_all_wrong_fields_at_once():
    text = str(refused(batch_size=0, seed="1", remainder="pad", order="x", epoc=1))
    assert text.startswith("invalid plan, in 5 places:\n")
    for part in (
        "batch_size: got 0",
        "seed: got '1'",
        "remainder 'pad' is not",
        "order: got 'x'",
        "unknown field 'epoc'",
    ):
        assert f"\n  - {part}" in text


@pytest.mark.parametrize("values", [{1: 2, **GOOD}, {None: 2, **GOOD}, {("a",): 1, **GOOD}])
def test_fields_have_names(values):
    with pytest.raises(xframe.PlanError):
        TrainingPlan.from_mapping(values)


@pytest.mark.parametrize("values", [5, [1, 2], "batch_size", None])
def test_what_is_no_mapping(values):
    with pytest.raises(xframe.PlanError, match="expected fields by name"):
        TrainingPlan.model_validate(values)


def test_messages_stay_short_and_printable():
    text = str(refused(**{"x\x1b[31m" + "y" * 5000: "z\n" * 5000}))
    assert len(text) < 500
    assert text.isprintable()


# Values


def test_frozen_and_hashable():
    plan = TrainingPlan(**GOOD)
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        plan.batch_size = 3
    assert len({plan, TrainingPlan(**GOOD), TrainingPlan(batch_size=65, epochs=3)}) == 2


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_numpy_integers(kind):
    plan = TrainingPlan(batch_size=kind(10), epochs=kind(2), steps=kind(3), updates=kind(4), seed=kind(0))
    assert plan == TrainingPlan(batch_size=10, epochs=2, steps=3, updates=4)
    assert {type(value) for value in plan.to_dict().values()} == {int, str, bool}


@given(VALID)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_to_dict_holds_the_whole_plan(fields):
    plan = TrainingPlan(**fields)
    assert fields.items() <= plan.to_dict().items()
    assert TrainingPlan.from_mapping(plan.to_dict()) == plan


# Files


def test_toml_round_trip(tmp_path):
    file = tmp_path / "plan.toml"

    @given(VALID)
    @settings(max_examples=100, deadline=None, derandomize=True)
    def check(fields):
        plan = TrainingPlan(**fields)
        file.write_text(plan.to_toml())
        again = TrainingPlan.from_toml(file)
        assert again == plan
        assert again.digest == plan.digest
        assert TrainingPlan.from_toml(str(file)) == plan

    check()


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path, "a\0b.toml"):
        with pytest.raises(xframe.UsageError, match="cannot read the plan file") as caught:
            TrainingPlan.from_toml(path)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "content",
    [
        b"batch_size 64",
        b"batch_size = 64\nbatch_size = 65",
        b"batch_size = ",
        b'\x7fELF\x02\x01\x01\x00\x00"\xff\xfe',
        bytes(range(256)),
        b"\xff\xfeb\x00=\x001\x00",
        b"a = " + b"[" * 100_000,
        b"a = " + b"{b=" * 50_000,
        b"batch_size = " + b"9" * 5000,
    ],
    ids=["no equals", "twice", "no value", "ELF", "bytes", "UTF-16", "deep list", "deep table", "5,000 digits"],
)
def test_no_toml(tmp_path, content):
    file = tmp_path / "plan.toml"
    file.write_bytes(content)
    with pytest.raises(xframe.PlanError) as caught:
        TrainingPlan.from_toml(file)
    assert "no TOML" in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "batch_size is missing"),
        ("batch_size = 1979-05-27\nepochs = 1", "batch_size: got datetime"),
        ("batch_size = 0x" + "f" * 5000 + "\nepochs = 1", "batch_size: got <int>"),
        ("[plan]\nbatch_size = 1", "unknown field 'plan'"),
        ("batch_size = 9223372036854775808\nepochs = 1", "batch_size: got 9223372036854775808"),
    ],
)
def test_toml_that_is_no_plan(tmp_path, content, match):
    file = tmp_path / "plan.toml"
    file.write_text(content)
    with pytest.raises(xframe.PlanError, match=re.escape(match)):
        TrainingPlan.from_toml(file)


# Digest


def test_digest_is_what_it_was():
    assert TrainingPlan(batch_size=64, epochs=3).digest == "7d54e8f6ea7621c76dfa947b0ccbae55"
    assert (
        TrainingPlan(batch_size=10, steps=7, remainder="drop", order="sequential").digest
        == "633e56bcf4207a65d5ec9247e5685b56"
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({}, {"remainder": "keep", "order": "shuffle", "seed": 0, "reshuffle": True}),
        ({"order": "sequential"}, {"order": "sequential", "seed": 5, "reshuffle": False}),
        ({"steps": None}, {"updates": None}),
        ({"epochs": np.int64(3)}, {"epochs": 3}),
    ],
)
def test_equal_meaning_equal_digest(a, b):
    assert TrainingPlan(**{**GOOD, **a}).digest == TrainingPlan(**{**GOOD, **b}).digest


def test_other_meaning_other_digest():
    changes = [
        {},
        {"batch_size": 65},
        {"epochs": 4},
        {"steps": 3},
        {"epochs": None, "steps": 3},
        {"epochs": None, "updates": 3},
        {"remainder": "drop"},
        {"remainder": "error"},
        {"order": "sequential"},
        {"seed": 1},
        {"reshuffle": False},
    ]
    digests = [TrainingPlan(**{**GOOD, **change}).digest for change in changes]
    for (a, first), (b, second) in itertools.combinations(zip(changes, digests, strict=True), 2):
        assert first != second, (a, b)
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in digests)
