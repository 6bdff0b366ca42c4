"""Ways to be a wrong plan, and what each message says: what is wrong, what was got, what was expected, a remedy."""

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

import xframe
from xframe.errors import UsageError, shown
from xframe.plan.fields import ACCUMULATION, FIELDS, LARGEST
from xframe.plan.training_plan import TrainingPlan

GOOD = {"batch_size": 64, "epochs": 3}
LONG = {**GOOD, "steps_per_epoch": 10}
WINDOWS = {**GOOD, "gradient_accumulation_steps": 4}
COUNT = f"an integer from 1 to {LARGEST}"
SEED = f"an integer from 0 to {LARGEST}"
CHOICES = {
    "remainder": ("keep", "drop", "pad", "carry", "error"),
    "epoch_iterator": ("restart", "continue"),
    "on_exhaustion": ("repeat", "short_epoch", "stop"),
    "accumulation_boundary": ("epoch", "pass"),
    "accumulation_remainder": ("flush", "drop", "leak", "carry"),
    "accumulation_at_end": ("drop", "flush"),
    "loss_normalization": ("actual", "window", "sum", "samples"),
    "order": ("sequential", "shuffle"),
}
BASE = dict.fromkeys(("epoch_iterator", "on_exhaustion"), LONG) | dict.fromkeys(ACCUMULATION, WINDOWS)  # fields' needs
WITHOUT_EPOCHS = "no such field, for then an epoch is one pass over the samples"
WITHOUT_WINDOWS = "no such field where gradient_accumulation_steps is 1, for every step has its update"
NEVER = "this plan would never end: its only limit is updates, and no update ever comes"
FILLS = "a window that fills up, or a limit of epochs or steps"
USE_CARRY = "Use accumulation_remainder 'carry' or 'flush', fewer accumulation steps, or set epochs or steps too."


class Wrong(NamedTuple):
    """A plan and its error; ``what`` without the heading ``invalid plan``."""

    fields: dict[str, Any]
    what: str
    got: Any
    expected: str
    remedy: str


def choice(field, got, remedy):
    """A word that is none of a field's."""
    return Wrong({**BASE.get(field, GOOD), field: got}, field, got, "one of " + ", ".join(CHOICES[field]), remedy)


def needs_epochs(field, got):
    return Wrong(
        {**GOOD, field: got},
        f"{field} without steps_per_epoch",
        got,
        WITHOUT_EPOCHS,
        f"Set steps_per_epoch, or remove {field}.",
    )


def needs_windows(field, got, **fields):
    return Wrong(
        {**GOOD, **fields, field: got},
        f"{field} without gradient accumulation",
        got,
        WITHOUT_WINDOWS,
        f"Set gradient_accumulation_steps to 2 or more, or remove {field}.",
    )


def unknown(got_name, remedy, value=3):
    return Wrong({**GOOD, got_name: value}, f"unknown field {got_name!r}", value, "one of " + ", ".join(FIELDS), remedy)


PLANS = {
    # what is missing
    "no batch size": Wrong({"epochs": 1}, "batch_size is missing", None, COUNT, "Set batch_size = 64, for example."),
    **{
        f"no limit, {name}": Wrong(
            {"batch_size": 64, **fields},
            "no limit",
            "neither epochs nor steps nor updates",
            "at least one of them, or training never ends",
            "Set epochs = 3, for example.",
        )
        for name, fields in {
            "none given": {},
            "None given": {"epochs": None, "steps": None, "updates": None},
            "the length of an epoch is none": {"steps_per_epoch": 10},
        }.items()
    },
    # names
    "a near miss": unknown("batchsize", "Did you mean 'batch_size'?"),
    "a dash": unknown("steps-per-epoch", "Did you mean 'steps_per_epoch'?"),
    "capitals": unknown("Epochs", "Did you mean 'epochs'?"),
    "singular": unknown("epoch", "Did you mean 'epochs'?"),
    "another library's name": unknown(
        "max_steps", "A plan calls it steps, or updates if optimizer updates are counted."
    ),
    "Lightning's name": unknown("accumulate_grad_batches", "A plan calls it gradient_accumulation_steps."),
    "the runtime's business": unknown("device", "Remove it.", "cuda"),
    "the task's business": unknown("learning_rate", "Remove it.", 0.1),
    "a name that is close to no field": unknown("step_limit", "Remove it."),
    "a property": unknown("limits", "Remove it."),
    "a table": Wrong(
        {**GOOD, "plan": {"batch_size": 64}},
        "a table [plan]",
        None,
        "the fields at the top level, as batch_size = 64",
        "Remove the line [plan].",
    ),
    # words
    "remainder misspelt": choice("remainder", "kep", "Did you mean 'keep'?"),
    "remainder capitalised": choice("remainder", "Keep", "Did you mean 'keep'?"),
    "remainder of a window": choice("remainder", "flush", 'Set remainder = "keep", for example.'),
    "remainder a flag": choice("remainder", True, 'Set remainder = "keep", for example.'),
    "remainder a list": choice("remainder", ["keep"], 'Set remainder = "keep", for example.'),
    "epoch_iterator misspelt": choice("epoch_iterator", "restrat", "Did you mean 'restart'?"),
    "epoch_iterator a flag": choice("epoch_iterator", False, 'Set epoch_iterator = "restart", for example.'),
    "on_exhaustion cut short": choice("on_exhaustion", "short", "Did you mean 'short_epoch'?"),
    "on_exhaustion with a dash": choice("on_exhaustion", "short-epoch", "Did you mean 'short_epoch'?"),
    "on_exhaustion of an iterator": choice("on_exhaustion", "restart", "Did you mean 'repeat'?"),
    "accumulation_boundary plural": choice("accumulation_boundary", "epochs", "Did you mean 'epoch'?"),
    "accumulation_boundary a step": choice(
        "accumulation_boundary", "step", 'Set accumulation_boundary = "epoch", for example.'
    ),
    "accumulation_remainder of a pass": choice(
        "accumulation_remainder", "keep", 'Set accumulation_remainder = "flush", for example.'
    ),
    "accumulation_remainder misspelt": choice("accumulation_remainder", "cary", "Did you mean 'carry'?"),
    "accumulation_at_end of a cut": choice(
        "accumulation_at_end", "carry", 'Set accumulation_at_end = "drop", for example.'
    ),
    "loss_normalization of a loss": choice(
        "loss_normalization", "mean", 'Set loss_normalization = "actual", for example.'
    ),
    "loss_normalization singular": choice("loss_normalization", "sample", "Did you mean 'samples'?"),
    "loss_normalization a number": choice("loss_normalization", 4, 'Set loss_normalization = "actual", for example.'),
    "order misspelt": choice("order", "sequental", "Did you mean 'sequential'?"),
    "order unknown": choice("order", "random", 'Set order = "shuffle", for example.'),
    # numbers and flags; counts have a table of their own
    "seed negative": Wrong({**GOOD, "seed": -1}, "seed", -1, SEED, "Set seed = 0, for example."),
    "seed a text": Wrong({**GOOD, "seed": "0"}, "seed", "0", SEED, "Set seed = 0, for example."),
    "seed beyond int64": Wrong({**GOOD, "seed": 2**63}, "seed", 2**63, SEED, "Set seed = 0, for example."),
    "reshuffle a word": Wrong(
        {**GOOD, "reshuffle": "yes"}, "reshuffle", "yes", "true or false", "Set reshuffle = true, for example."
    ),
    "reshuffle a number": Wrong(
        {**GOOD, "reshuffle": 1}, "reshuffle", 1, "true or false", "Set reshuffle = true, for example."
    ),
    # combinations
    "epoch_iterator without steps_per_epoch": needs_epochs("epoch_iterator", "restart"),
    "on_exhaustion without steps_per_epoch": needs_epochs("on_exhaustion", "stop"),
    "on_exhaustion under carry": Wrong(
        {**LONG, "remainder": "carry", "on_exhaustion": "repeat"},
        "on_exhaustion with remainder 'carry'",
        "repeat",
        "no such field, for under carry passes form one endless stream",
        "Remove on_exhaustion, or choose another remainder.",
    ),
    **{f"{field} without accumulation": needs_windows(field, value) for field, value in ACCUMULATION.items()},
    "windows of one step": needs_windows("loss_normalization", "sum", gradient_accumulation_steps=1),
}
# Plans that no number of samples would end.
ENDLESS = {
    "epochs shorter than a window, zeroed": {"steps_per_epoch": 3, "accumulation_remainder": "drop"},
    "epochs shorter than a window, leaking": {"steps_per_epoch": 3, "accumulation_remainder": "leak"},
    "epochs of one step": {"steps_per_epoch": 1, "accumulation_remainder": "leak"},
    "epochs cut shorter still": {
        "steps_per_epoch": 3,
        "on_exhaustion": "short_epoch",
        "accumulation_remainder": "drop",
    },
    "an endless stream": {"steps_per_epoch": 3, "remainder": "carry", "accumulation_remainder": "drop"},
}
# Plans that some numbers of samples would not end: windows of 4 over 12 samples. The most steps a window gets.
ENDLESS_OVER_12 = {
    "passes shorter than a window": ({"batch_size": 4, "accumulation_remainder": "drop"}, 3, "epoch"),
    "passes, leaking": ({"batch_size": 4, "accumulation_remainder": "leak"}, 3, "epoch"),
    "passes that leave samples": ({"batch_size": 5, "remainder": "drop", "accumulation_remainder": "drop"}, 2, "epoch"),
    "a stream": ({"batch_size": 5, "remainder": "carry", "accumulation_remainder": "drop"}, 3, "epoch"),
    "a stream of wide batches": (
        {"batch_size": 30, "remainder": "carry", "accumulation_remainder": "leak"},
        1,
        "epoch",
    ),
    "long epochs, cut by the pass": (
        {"batch_size": 6, "steps_per_epoch": 9, "epoch_iterator": "continue", "accumulation_boundary": "pass"},
        2,
        "pass",
    ),
    "long epochs that restart, cut by the pass": (
        {"batch_size": 6, "steps_per_epoch": 3, "accumulation_boundary": "pass"},
        3,
        "pass",
    ),
    "long epochs, ended by the pass": (
        {"batch_size": 6, "steps_per_epoch": 9, "on_exhaustion": "short_epoch"},
        2,
        "epoch",
    ),
}


class Unfit(NamedTuple):
    """A plan, a number of samples, and the error that they make together."""

    fields: dict[str, Any]
    num_samples: int
    what: str
    got: Any
    expected: str
    remedy: str


UNFIT = {
    "drop leaves no batch": Unfit(
        {**GOOD, "remainder": "drop"},
        63,
        "remainder 'drop' leaves no batch at all: the data set is smaller than one batch",
        63,
        "at least 64 samples",
        "Use a smaller batch_size, or remainder 'keep'.",
    ),
    "error refuses a short batch": Unfit(
        {**GOOD, "remainder": "error"},
        1797,
        "remainder 'error' refuses 1,797 samples in batches of 64",
        5,
        "0 samples left over",
        "Choose a batch_size that divides the number of samples, or another remainder, such as 'keep'.",
    ),
    "error refuses it whatever the limit": Unfit(
        {"batch_size": 64, "steps": 1, "remainder": "error"},
        65,
        "remainder 'error' refuses 65 samples in batches of 64",
        1,
        "0 samples left over",
        "Choose a batch_size that divides the number of samples, or another remainder, such as 'keep'.",
    ),
}


def refused(**fields):
    with pytest.raises(xframe.PlanError) as caught:
        TrainingPlan(**{**GOOD, **fields})
    return caught.value


def refused_alone(fields):
    with pytest.raises(xframe.PlanError) as caught:
        TrainingPlan.from_mapping(fields)
    return caught.value


def says(error, what, got, expected, remedy):
    """The error has these parts, and its text shows them."""
    assert isinstance(error, xframe.PlanError)
    assert isinstance(error, xframe.UsageError)
    assert error.exit_code == 2
    assert (error.what, error.got, error.expected, error.remedy) == (what, got, expected, remedy)
    text = str(error)
    assert text.startswith(what)
    assert got is None or f"got {shown(error.got)}" in text
    if remedy and remedy.startswith("Did you mean") and len(expected) > 60:
        assert text.endswith(f". {remedy} Expected {expected}.")
    else:
        assert f"expected {expected}" in text
        assert remedy is None or text.endswith(f". {remedy}")
    assert text.isprintable()


@pytest.mark.parametrize("name", PLANS)
def test_wrong_plan(name):
    fields, what, *parts = PLANS[name]
    for make in (TrainingPlan.from_mapping, lambda values: TrainingPlan(**values), TrainingPlan.model_validate):
        with pytest.raises(xframe.PlanError) as caught:
            make(fields)
        says(caught.value, f"invalid plan: {what}", *parts)


@pytest.mark.parametrize("field", CHOICES)
def test_every_word_of_a_field_is_in_the_table(field):
    """What these tests take to be a field's words is what it takes."""
    for word in CHOICES[field]:
        plan = TrainingPlan.from_mapping({**BASE.get(field, GOOD), field: word})
        assert getattr(plan, field) == word


@pytest.mark.parametrize("name", ENDLESS)
def test_no_number_of_samples_would_end_it(name):
    fields = {"batch_size": 2, "updates": 1, "gradient_accumulation_steps": 4, **ENDLESS[name]}
    with pytest.raises(xframe.PlanError) as caught:
        TrainingPlan.from_mapping(fields)
    got = (
        f"gradient_accumulation_steps 4, cut after at most {fields['steps_per_epoch']} by the end of each epoch "
        f"and then not applied (accumulation_remainder {fields['accumulation_remainder']!r})"
    )
    says(caught.value, NEVER, got, FILLS, USE_CARRY)
    # The remedies are some.
    for remedy in ("carry", "flush"):
        assert TrainingPlan.from_mapping({**fields, "accumulation_remainder": remedy}).counts(100).num_updates == 1
    fewer = {**fields, "gradient_accumulation_steps": fields["steps_per_epoch"]}
    if fewer["gradient_accumulation_steps"] > 1:
        assert TrainingPlan.from_mapping(fewer).counts(100).num_updates == 1
    for limit in ("epochs", "steps"):
        assert TrainingPlan.from_mapping({**fields, limit: 2}).counts(100).num_updates == 0


@pytest.mark.parametrize("name", ENDLESS_OVER_12)
def test_these_samples_would_not_end_it(name):
    changed, most, boundary = ENDLESS_OVER_12[name]
    fields = {"updates": 1, "gradient_accumulation_steps": 4, "accumulation_remainder": "drop", **changed}
    plan = TrainingPlan.from_mapping(fields)
    got = (
        f"gradient_accumulation_steps 4, cut after at most {most} by the end of each {boundary} "
        f"and then not applied (accumulation_remainder {fields['accumulation_remainder']!r})"
    )
    for ask in (plan.counts, lambda n: plan.step(0, n), lambda n: list(plan.each_step(n))):
        with pytest.raises(xframe.PlanError) as caught:
            ask(12)
        says(caught.value, NEVER, got, FILLS, USE_CARRY)
    assert plan.counts(600).num_updates == 1
    if most > 1:  # that many steps do fill a window
        filled = TrainingPlan.from_mapping({**fields, "gradient_accumulation_steps": most})
        assert filled.counts(12).num_updates == 1
    with pytest.raises(xframe.PlanError, match="would never end"):
        TrainingPlan.from_mapping({**fields, "gradient_accumulation_steps": most + 1}).counts(12)


def test_a_stop_that_never_comes():
    """Epochs that restart within the pass never exhaust it."""
    fields = {"batch_size": 4, "updates": 1, "steps_per_epoch": 2, "on_exhaustion": "stop"}
    plan = TrainingPlan.from_mapping({**fields, "gradient_accumulation_steps": 3, "accumulation_remainder": "drop"})
    for endless in (5, 8, 12, 10**15):
        with pytest.raises(xframe.PlanError, match=r"would never end.* cut after at most 2 by the end of each epoch"):
            plan.counts(endless)
    counts = plan.counts(4)  # a pass of one step ends the first epoch, and with it the training
    assert (counts.num_steps, counts.num_updates) == (1, 0)


@pytest.mark.parametrize("name", UNFIT)
def test_plan_and_samples_that_do_not_fit(name):
    fields, num_samples, *parts = UNFIT[name]
    plan = TrainingPlan.from_mapping(fields)
    for ask in (plan.counts, lambda n: plan.step(0, n), lambda n: list(plan.each_step(n))):
        with pytest.raises(xframe.PlanError) as caught:
            ask(num_samples)
        says(caught.value, *parts)


@pytest.mark.parametrize(
    "num_samples", [0, -1, 1.0, float("nan"), "10", b"10", None, True, 2**63 + 1, [10], np.float64(10)], ids=repr
)
def test_wrong_number_of_samples(num_samples):
    plan = TrainingPlan(**GOOD)
    for ask in (plan.counts, lambda n: plan.step(0, n), lambda n: list(plan.each_step(n))):
        with pytest.raises(xframe.PlanError) as caught:
            ask(num_samples)
        assert caught.value.exit_code == 2
        assert caught.value.what == "the number of samples"
        assert caught.value.got is num_samples
        assert caught.value.expected == f"an integer from 1 to {2**63}, as many as there are ids from 0 to {2**63 - 1}"
        assert num_samples is None or f"got {num_samples!r}" in str(caught.value)


@pytest.mark.parametrize("index", [-1, 87, 10**30, -(10**30), 1.0, True, "0", None, np.float64(1)], ids=repr)
def test_no_such_step(index):
    with pytest.raises(xframe.UsageError) as caught:
        TrainingPlan(**GOOD).step(index, 1797)
    assert caught.value.exit_code == 2
    assert (caught.value.what, caught.value.expected) == ("no such step", "a 0-based index from 0 to 86")
    assert caught.value.got is index


# Counts


WRONG_COUNTS = {
    "text": "64",
    "bytes": b"64",
    "float": 64.0,
    "fraction": 1.5,
    "nan": float("nan"),
    "infinity": float("inf"),
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
COUNTS = ["batch_size", "epochs", "steps", "updates", "steps_per_epoch", "gradient_accumulation_steps"]


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", list(WRONG_COUNTS.values()), ids=list(WRONG_COUNTS))
def test_a_count_is_an_integer_from_1(field, value):
    error = refused(**{field: value})
    assert (error.what, error.expected, error.exit_code) == (f"invalid plan: {field}", COUNT, 2)
    assert error.got is value
    assert re.fullmatch(rf"Set {field} = \d+, for example\.", error.remedy)
    text = str(error)
    assert text.startswith(f"invalid plan: {field}: got ")
    assert f"expected {COUNT}" in text
    assert text.endswith(error.remedy)
    assert len(text) < 300


@pytest.mark.parametrize("field", ["batch_size", "gradient_accumulation_steps", "order", "remainder", "seed"])
def test_none_is_no_value_of_a_field_that_always_has_one(field):
    error = refused(**{field: None})
    assert (error.what, error.got) == (f"invalid plan: {field}", "None")


@pytest.mark.parametrize("value", [np.array([1, 2]), np.array(1.5), np.float64(2), np.True_, object], ids=repr)
@pytest.mark.parametrize("field", ["batch_size", "gradient_accumulation_steps"])
def test_what_only_looks_like_an_integer(field, value):
    assert refused(**{field: value}).what == f"invalid plan: {field}"


# Several at once, and what is no plan at all


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        (
            {"batch_size": 0, "seed": "1", "remainder": "padd", "order": "x", "epoc": 1},
            [
                f"batch_size: got 0, expected {COUNT}. Set batch_size = 64",
                "remainder: got 'padd', expected one of keep, drop, pad, carry, error. Did you mean 'pad'?",
                "order: got 'x', expected one of sequential, shuffle. Set order",
                f"seed: got '1', expected {SEED}. Set seed = 0",
                "unknown field 'epoc': got 1. Did you mean 'epochs'? Expected one of batch_size, epochs",
            ],
        ),
        (
            {"epoch_iterator": "restart", "on_exhaustion": "stop"},
            ["epoch_iterator without steps_per_epoch: got 'restart'", "on_exhaustion without steps_per_epoch"],
        ),
        (
            dict(ACCUMULATION),
            [f"{field} without gradient accumulation: got '{ACCUMULATION[field]}'" for field in ACCUMULATION],
        ),
        (
            {"epochs": None, "on_exhaustion": "stop", "loss_normalization": "sum"},
            ["no limit: got neither", "on_exhaustion without", "loss_normalization without"],
        ),
        (
            {"steps_per_epoch": 5, "remainder": "carry", "on_exhaustion": "stop", "accumulation_at_end": "flush"},
            ["on_exhaustion with remainder 'carry'", "accumulation_at_end without"],
        ),
    ],
    ids=["fields", "epochs", "windows", "no limit and more", "carry and more"],
)
def test_several_at_once(fields, parts):
    error = refused(**fields)
    heading, *lines = str(error).split("\n  - ")
    assert heading == f"invalid plan, in {len(parts)} places:"
    assert len(lines) == len(parts)
    for line, part in zip(lines, parts, strict=True):
        assert line.startswith(part)
        assert ", expected " in line or " Expected " in line
        assert line.endswith((".", "?"))
    assert error.exit_code == 2


def test_a_field_misspelt_is_not_missing_too():
    error = str(refused_alone({"batchsize": 64, "epochs": 3}))
    assert error.startswith("invalid plan: unknown field 'batchsize': got 64. Did you mean 'batch_size'? Expected one")
    assert "missing" in str(refused_alone({"epochz": 3}))


def test_a_table_in_a_plan_file_is_named_as_that():
    error = refused_alone({"plan": dict(GOOD)})
    assert str(error) == (
        "invalid plan: a table [plan]: expected the fields at the top level, as batch_size = 64. "
        "Remove the line [plan]."
    )


@pytest.mark.parametrize("values", [{1: 2, **GOOD}, {None: 2, **GOOD}, {("a",): 1, **GOOD}], ids=repr)
def test_fields_have_names(values):
    with pytest.raises(xframe.PlanError, match="expected one of batch_size") as caught:
        TrainingPlan.from_mapping(values)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("values", [5, [1, 2], "batch_size", None])
def test_what_is_no_mapping(values):
    with pytest.raises(xframe.PlanError, match="expected fields by name, such as batch_size and epochs") as caught:
        TrainingPlan.model_validate(values)
    assert (caught.value.what, caught.value.got, caught.value.exit_code) == ("invalid plan", values, 2)


def test_messages_stay_short_and_printable():
    text = str(refused(**{"x\x1b[31m" + "y" * 5000: "z\n" * 5000}))
    assert len(text) < 1000
    assert text.isprintable()


# Files


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path, "a\0b.toml"):
        with pytest.raises(xframe.UsageError) as caught:
            TrainingPlan.from_toml(path)
        assert caught.value.exit_code == 2
        assert (caught.value.what, caught.value.got) == ("cannot read the plan file", str(path))
        assert caught.value.expected.startswith("a readable TOML file (")


@pytest.mark.parametrize(
    "content",
    [
        b"batch_size 64",
        b"batch_size = 64\nbatch_size = 65",
        b"batch_size = ",
        b"batch_size: 64\nepochs: 3\n",
        b'{"batch_size": 64, "epochs": 3}',
        b"remainder = keep",
        b"reshuffle = True",
        b"epochs = 03",
        b'\x7fELF\x02\x01\x01\x00\x00"\xff\xfe',
        bytes(range(256)),
        b"\xff\xfeb\x00=\x001\x00",
        b"a = " + b"[" * 100_000,
        b"a = " + b"{b=" * 50_000,
        b"batch_size = " + b"9" * 5000,
    ],
    ids=[
        "no equals",
        "twice",
        "no value",
        "YAML",
        "JSON",
        "a word without quotes",
        "Python's True",
        "a leading zero",
        "ELF",
        "bytes",
        "UTF-16",
        "deep list",
        "deep table",
        "5,000 digits",
    ],
)
def test_no_toml(tmp_path, content):
    file = tmp_path / "plan.toml"
    file.write_bytes(content)
    with pytest.raises(xframe.PlanError) as caught:
        TrainingPlan.from_toml(file)
    assert caught.value.exit_code == 2
    assert caught.value.what == "the plan file is no TOML"
    assert caught.value.got.startswith(str(file))
    assert caught.value.expected == "lines such as batch_size = 64"
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "batch_size is missing"),
        ("batch_size = 1979-05-27\nepochs = 1", "batch_size: got datetime"),
        ("batch_size = 0x" + "f" * 5000 + "\nepochs = 1", "batch_size: got <int>"),
        ("[plan]\nbatch_size = 1", "a table [plan]"),
        ("batch_size = 9223372036854775808\nepochs = 1", "batch_size: got 9223372036854775808"),
        ("batch_size = 1\nepochs = inf", "epochs: got inf"),
        ("batch_size = 1\nepochs = 1e3", "epochs: got 1000.0"),
        ("batch_size = 1\nepochs.number = 3", "epochs: got {'number': 3}"),
        ("batch_size = 1\n[[epochs]]\n", "epochs: got [{}]"),
        ('batch_size = 1\nepochs = 1\nreshuffle = "true"', "reshuffle: got 'true'"),
        ('batch_size = 1\nepochs = 1\n"" = 1', "unknown field ''"),
    ],
    ids=[
        "empty",
        "a date",
        "5,000 hex digits",
        "a section",
        "beyond int64",
        "infinity",
        "a float",
        "a dotted key",
        "tables",
        "a quoted flag",
        "no name",
    ],
)
def test_toml_that_is_no_plan(tmp_path, content, match):
    file = tmp_path / "plan.toml"
    file.write_text(content)
    with pytest.raises(xframe.PlanError, match=re.escape(match)) as caught:
        TrainingPlan.from_toml(file)
    assert caught.value.exit_code == 2


def test_a_plan_file_without_end_is_refused_at_once():
    with pytest.raises(UsageError, match=r"cannot read the plan file: got '/dev/zero', .*more than 1,048,576 bytes"):
        TrainingPlan.from_toml("/dev/zero")
