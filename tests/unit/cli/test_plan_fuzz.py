"""Whatever is given as a plan: a plan, or an error of one clear message and exit code 2. Never anything else."""

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sampling import part

from xframe.cli import app as cli
from xframe.errors import UsageError
from xframe.plan.fields import FIELDS, LARGEST
from xframe.plan.training_plan import TrainingPlan

pytestmark = [pytest.mark.thorough, pytest.mark.sweep]

WORDS = (
    "keep",
    "drop",
    "pad",
    "carry",
    "error",
    "restart",
    "continue",
    "repeat",
    "short_epoch",
    "stop",
    "epoch",
    "pass",
)
WORDS += (
    "flush",
    "leak",
    "actual",
    "window",
    "sum",
    "samples",
    "sequential",
    "shuffle",
    "Keep",
    "keep ",
    "",
    "true",
    "10",
)
NUMBERS = st.integers() | st.sampled_from([0, 1, 2, 3, 7, 64, LARGEST, LARGEST + 1, 2**64, -(2**63), 10**400, 10**4000])
NAMES = st.sampled_from([*FIELDS, "step_limit", "limits", "batch-size", "Epochs", "samples", "device"]) | st.text(
    max_size=9
)
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=9) | st.sampled_from(WORDS)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=9
)
OBJECTS = JSON | st.sampled_from(
    [
        b"64",
        1j,
        object(),
        int,
        np.int64(3),
        np.uint8(200),
        np.float64(2),
        np.array(5),
        np.array([5]),
        np.bool_(True),
        {1},
    ]
)
SENSIBLE = st.integers(1, 30) | st.sampled_from(WORDS) | st.booleans()  # such values often make a plan
FIELD_VALUES = st.dictionaries(st.sampled_from(list(FIELDS)), SENSIBLE | OBJECTS, max_size=len(FIELDS))
BASED = st.builds(lambda fields: {"batch_size": 4, "epochs": 2, **fields}, FIELD_VALUES)
SETTINGS = settings(max_examples=part(300), deadline=None, derandomize=True)


def toml_value(value):
    """A value as TOML might write it, mostly."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value) if isinstance(value, str) else str(value)


def is_json(value):
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


LINE = st.builds(lambda name, value: f"{name} = {toml_value(value)}", NAMES, SENSIBLE | JSON)
TOML = (
    st.text(max_size=60)
    | st.lists(LINE | st.text("[]{}=\"'#.,_-+ \t\n\r\\0123456789abcdeinfxT:", max_size=20), max_size=6).map("\n".join)
    | st.builds(lambda lines: "\n".join(["batch_size = 4", "epochs = 2", *lines]), st.lists(LINE, max_size=4))
)
CONTENT = TOML.map(str.encode) | st.binary(max_size=60)


def plan_or_error(make, value):
    """A plan; None where it is refused as wrong usage. Any other exception fails the test."""
    try:
        plan = make(value)
    except UsageError:
        return None
    assert TrainingPlan.from_mapping(plan.to_dict()) == plan
    assert len(plan.digest) == 32
    for num_samples in (1, 1797, 2**63):
        with contextlib.suppress(UsageError):
            assert plan.counts(num_samples).num_steps >= 1
    return plan


def command(*tokens):
    """Exit code, stdout and stderr of a command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.execute([*tokens])
    return code, out.getvalue(), err.getvalue()


def printed(*tokens):
    """Exit code and stderr of a command line, after a look at what it printed."""
    code, out, err = command(*tokens)
    assert code in (0, 2), err
    assert "Traceback" not in out + err
    if code == 0:
        assert out
        assert err == ""
    else:
        assert err.startswith("xframe: ")
        if "--json" in tokens:
            assert json.loads(out)["error"]["what"] in err
        else:
            assert out == ""
    return code, err


def test_any_mapping():
    made = []

    @given(BASED | FIELD_VALUES | st.dictionaries(NAMES, OBJECTS, max_size=5))
    @example({"batch_size": 1, "epochs": 1})
    @SETTINGS
    def check(values):
        made.append(plan_or_error(TrainingPlan.from_mapping, values))

    check()
    assert 0 < made.count(None) < len(made)


@given(OBJECTS)
@SETTINGS
def test_any_document(document):
    assert plan_or_error(TrainingPlan.model_validate, document) is None  # no plan is made up from what has no fields


@given(JSON | BASED.filter(is_json))
@SETTINGS
def test_any_json_text(document):
    again = json.loads(json.dumps(document))  # NaN and infinities included
    plan = plan_or_error(TrainingPlan.model_validate, document)
    assert plan_or_error(TrainingPlan.model_validate, again) == plan


@pytest.fixture
def file(tmp_path):
    return tmp_path / "plan.toml"


def test_any_file(file):
    made, codes = [], []

    @given(CONTENT)
    @example(b"batch_size = 4\nepochs = 2")
    @SETTINGS
    def check(content):
        file.write_bytes(content)
        plan = plan_or_error(TrainingPlan.from_toml, file)
        made.append(plan)
        code, err = printed("plan", str(file))
        codes.append(code)
        assert err.replace("\n", "").isprintable()  # a file cannot drive the terminal
        assert printed("plan", str(file), "--json") == (code, err)
        assert (code == 0) <= (plan is not None)

    check()
    assert 0 < codes.count(0) < len(codes)
    assert None in made


OPTIONS = ["--" + name.replace("_", "-") for name in FIELDS]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
TOKENS = st.lists(
    st.tuples(
        st.sampled_from([*OPTIONS, "--samples", "--step", "--no-reshuffle", "--batch_size"]),
        st.none() | SENSIBLE.map(str) | NUMBERS.map(str) | TEXT | st.floats().map(str),
    ),
    max_size=4,
)


def test_any_options():
    codes = []

    @given(TOKENS, st.booleans())
    @example([("--batch-size", "10")], True)
    @SETTINGS
    def check(given, as_json):
        tokens = [token for name, value in given for token in (name, value) if token is not None]
        code, _ = printed("plan", *tokens, *["--json"] * as_json)
        codes.append(code)

    check()
    assert 0 < codes.count(0) < len(codes)
