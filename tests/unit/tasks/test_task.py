"""Tasks by name, their data, the built-in ones; and the runtime, which says where they run."""

import os
import re
import sys
import sysconfig
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xframe
from xframe.running.runtime import cores
from xframe.tasks.builtin import bundled
from xframe.tasks.builtin.ledger import digits, ledger, tally
from xframe.tasks.lookup import BUILT_IN, find_task


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that can be imported, and returns its name."""
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])

    def module(source, name):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    return module


def small(**changes):
    values = {
        "name": "small",
        "num_samples": 3,
        "load": lambda: (np.arange(6).reshape(3, 2) / 2, np.array([0, 1, 0])),
        "initial_weights": lambda: {"w": np.zeros(2)},
        "loss": "mean_squared_error",
        "optimizer": xframe.SGD(0.1),
    }
    return xframe.Task(**values | changes)


# By name

NAMES = ["digits-mlp", "digits-cnn", "rows-lstm", "tiny-transformer", "diabetes-regression", "ledger"]


def test_built_in():
    assert list(BUILT_IN) == NAMES
    for name in BUILT_IN:
        assert find_task(name).name == name
        assert find_task(name) is find_task(name)
        assert find_task(name).description


@pytest.mark.parametrize(
    ("name", "hint"), [("digits", "Did you mean 'digits-mlp'?"), ("legder", "'ledger'"), ("", ""), ("zz", "")]
)
def test_unknown(name, hint):
    with pytest.raises(xframe.UsageError) as caught:
        find_task(name)
    text = str(caught.value)
    assert text.startswith(f"unknown task: got '{name}'")
    assert f"one of {', '.join(sorted(NAMES))}" in text
    assert hint in text
    assert "package.module:name" in text
    assert caught.value.exit_code == 2


SOURCE = """
    import numpy as np, xframe
    def make():
        return mine
    def wrong():
        return 3
    def needs(x):
        return mine
    mine = xframe.Task(
        name="mine", num_samples=2, load=lambda: (np.zeros((2, 1)), np.zeros(2)), initial_weights=dict,
        loss="negative_sum", optimizer=xframe.SGD(1.0),
    )
    number = 3
"""


def test_a_users_own(module):
    name = module(SOURCE, "own_tasks_1")
    assert find_task(f"{name}:mine").name == "mine"
    assert find_task(f"{name}:make") is find_task(f"{name}:mine")


@pytest.mark.parametrize(
    ("attribute", "match"),
    [
        ("nothing", "has no such task: got 'nothing', expected one of mine"),
        ("", "has no such task: got '', expected one of mine"),
        ("number", "is no task: got 3, expected an xframe.Task, or a function that returns one"),
        ("wrong", "is no task: got 3"),
        ("needs", "is no task"),
        ("np", "is no task"),
    ],
)
def test_no_such_task_in_a_module(module, attribute, match):
    with pytest.raises(xframe.UsageError, match=re.escape(match)):
        find_task(f"{module(SOURCE, 'own_tasks_2')}:{attribute}")


@pytest.mark.parametrize(
    "name", ["no_such_module_anywhere:x", "no.such.package:x", "json.zz:x", ":x", "..up:x", ".:x", "a b:x"]
)
def test_no_such_module(name):
    with pytest.raises(xframe.UsageError, match=r"cannot find the task's module.*Run from the folder that holds it"):
        find_task(name)


def test_a_module_that_fails_says_so_itself(module):
    for name, source, message in (
        (
            "own_tasks_3",
            "import some_missing_dependency",
            "ModuleNotFoundError: No module named 'some_missing_dependency'",
        ),
        ("own_tasks_4", "x = 1\n1 / 0", "ZeroDivisionError: division by zero"),
        ("own_tasks_5", "import sys\nsys.exit(0)", "SystemExit: 0"),
        ("own_tasks_6", "def f(:", "SyntaxError"),
        ("own_tasks_10", "import xframe\nxframe.GRU(4)", "AttributeError: .*xframe.layers.GRU"),
        ("own_tasks_11", "import json\njson.loads('{')", "JSONDecodeError"),
    ):
        with pytest.raises(xframe.UsageError, match=f"module '{name}' cannot be imported: got {message}") as caught:
            find_task(f"{module(source, name)}:x")
        assert "SyntaxError" in message or f"{name}.py, line {len(source.splitlines())})" in str(caught.value)


def test_a_module_has_no_terminal(module, monkeypatch):
    """What it reads is empty, and a debugger, which would wait for words, says why it cannot."""
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    monkeypatch.setattr("sys.breakpointhook", sys.__breakpointhook__)  # pytest has its own
    assert find_task(f"{module(SOURCE + '    import sys; assert sys.stdin.read() == str()', 'own_tasks_8')}:mine")
    with pytest.raises(xframe.UsageError, match="the task starts a debugger, and a run has no terminal"):
        find_task(f"{module('breakpoint()', 'own_tasks_debugged')}:mine")
    assert "PYTHONBREAKPOINT" not in os.environ


def test_the_current_folder_hides_nothing_of_pythons_own(tmp_path, monkeypatch):
    (tmp_path / "own_tasks_9.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.chdir(tmp_path)
    own = [path for path in sys.path if path not in ("", os.getcwd())]
    monkeypatch.setattr("sys.path", own.copy())
    assert find_task("digits-mlp")
    assert sys.path == own
    assert find_task("own_tasks_9:mine").name == "mine"
    place = sys.path.index("")
    assert [path for path in sys.path if path] == own
    assert sysconfig.get_path("stdlib") in sys.path[:place]
    assert not any("site-packages" in path for path in sys.path[sys.path.index(sysconfig.get_path("stdlib")) : place])


def test_what_a_module_prints_is_no_result(module, capsys):
    find_task(f"{module(SOURCE + '    print(5)', 'own_tasks_7')}:mine")
    assert capsys.readouterr() == ("", "5\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"loss": "mse"},
            r"unknown loss: got 'mse', expected one of .*, mean_squared_error, negative_sum, .*softmax_cross",
        ),
        ({"optimizer": "sgd"}, "a task's optimizer: got 'sgd', expected a rule of xframe.optimizers"),
        ({"layers": xframe.Dense(1)}, "a task's layers"),
        ({"layers": ("dense",)}, "a task's layers"),
    ],
)
def test_a_task_is_checked_when_it_is_made(change, message):
    with pytest.raises(xframe.UsageError, match=message):
        replace(find_task("digits-mlp"), **change)


def test_a_layer_is_checked_when_it_is_made():
    with pytest.raises(xframe.UsageError, match="unknown activation: got 'swish', expected one of elu, gelu"):
        xframe.Dense(3, "swish")
    with pytest.raises(xframe.UsageError, match="a layer's units: got 0"):
        xframe.Dense(0)


def test_weights_fit_the_layers():
    task = find_task("digits-mlp")
    assert task.weights().keys() == task.initial_weights().keys()
    with pytest.raises(
        xframe.UsageError, match=r"do not fit the layers: got .*dense_1/kernel \(32, 10\), expected .*\(32, 9\)"
    ):
        replace(task, layers=(xframe.Dense(32, "relu"), xframe.Dense(9))).weights()


# Data


def test_data():
    features, targets = small().data("float32")
    assert (features.dtype, targets.dtype) == (np.float32, np.int64)
    assert features.tolist() == [[0, 0.5], [1, 1.5], [2, 2.5]]
    assert small().data("float64")[0].dtype == np.float64
    features, targets = small(load=lambda: ([[1], [2], [3]], [0.5, 1.5, 2.5])).data("float32")
    assert (features.dtype, targets.dtype) == (np.int64, np.float32)
    turned = small(load=lambda: (np.zeros((2, 3)).T, np.zeros(3))).data("float32")[0]
    assert turned.flags.c_contiguous


@pytest.mark.parametrize(("rows", "targets"), [(2, 3), (3, 2), (2, 2), (4, 4), (0, 0)])
def test_another_number_of_rows(rows, targets):
    task = small(load=lambda: (np.zeros((rows, 2)), np.zeros(targets)))
    expected = f"got {rows} features and {targets} targets, expected num_samples = 3 of each"
    with pytest.raises(xframe.UsageError, match=expected) as caught:
        task.data("float32")
    assert "'small'" in str(caught.value)


def test_fingerprints():
    reference = small().fingerprints()
    assert all(re.fullmatch("[0-9a-f]{32}", text) for text in reference.values())
    assert small(name="other", optimizer=xframe.SGD(9.0)).fingerprints() == reference
    features, targets = small().load()
    assert small(load=lambda: (features.astype(">f8"), targets)).fingerprints() == reference
    for changed in (
        (features + 1, targets),
        (features, 1 - targets),
        (features.astype("f4"), targets),
        (features.reshape(3, 2, 1), targets),
    ):
        changed_prints = small(load=lambda changed=changed: changed).fingerprints()
        assert changed_prints["data_fingerprint"] != reference["data_fingerprint"]
        assert changed_prints["weights_fingerprint"] == reference["weights_fingerprint"]
    for weights in ({"w": np.ones(2)}, {"v": np.zeros(2)}, {"w": np.zeros((2, 1))}, {}):
        changed_prints = small(initial_weights=lambda weights=weights: weights).fingerprints()
        assert changed_prints["data_fingerprint"] == reference["data_fingerprint"]
        assert changed_prints["weights_fingerprint"] != reference["weights_fingerprint"]


# Built in


def test_digits_mlp():
    task = find_task("digits-mlp")
    features, targets = task.data("float32")
    assert (features.shape, targets.shape, task.num_samples) == ((1797, 64), (1797,), 1797)
    assert (features.min(), features.max(), sorted(set(targets.tolist()))) == (0, 1, list(range(10)))
    assert np.array_equal(features * 16, np.round(features * 16))  # exact in every precision
    weights = task.initial_weights()
    assert {name: values.shape for name, values in weights.items()} == {
        "dense_0/kernel": (64, 32),
        "dense_0/bias": (32,),
        "dense_1/kernel": (32, 10),
        "dense_1/bias": (10,),
    }
    assert [layer.units for layer in task.layers] == [32, 10]
    assert all(
        np.abs(weights[f"dense_{i}/kernel"]).max() <= np.sqrt(6 / sum(weights[f"dense_{i}/kernel"].shape))
        for i in (0, 1)
    )
    again = task.initial_weights()
    assert all(np.array_equal(weights[name], again[name]) for name in weights)
    assert task.fingerprints() == {
        "data_fingerprint": "bd97e9f15c7c430ecc3d551abc6da243",
        "weights_fingerprint": "d3ba9c8c212bae6ef9f9e9ecf0fc96a4",
    }


MAX_UPDATES = {"float32": 12, "float64": 26}  # of at most three entries a sample: two bits in a mantissa of 24 or 53


def test_ledger():
    task = find_task("ledger")
    features, targets = task.data("float64")
    assert np.array_equal(features, np.eye(103))
    assert not targets.any()
    assert {name: (w.shape, w.any()) for name, w in task.initial_weights().items()} == {
        "dense_0/kernel": ((103, 1), False)
    }
    assert (task.loss, task.optimizer) == ("negative_sum", xframe.SGD(1.0, weight_decay=0.75))
    plan = xframe.TrainingPlan(batch_size=10, steps=1)
    assert {precision: task.max_updates(plan, precision) for precision in MAX_UPDATES} == MAX_UPDATES
    assert ledger(7).num_samples == len(ledger(7).load()[0]) == 7


def trained(batches, num_samples, precision="float64", applied=None):
    """The ledger's training in plain NumPy, in that precision: gradient, decay, update."""
    dtype = np.dtype(precision).type
    features, weights = ledger(num_samples).data(precision)[0], np.zeros(num_samples, dtype)
    for k, batch in enumerate(batches):
        if applied is None or applied[k]:
            gradient = -features[batch].sum(axis=0)
            weights = weights - dtype(1) * (gradient + dtype(0.75) * weights)
    return weights


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_ledger_spells_what_was_trained(runs, precision):
    number = iter(range(10**6))

    @given(st.lists(st.lists(st.integers(0, 4), max_size=9), min_size=1, max_size=MAX_UPDATES[precision]), st.data())
    @settings(max_examples=60, deadline=None, derandomize=True)
    def check(batches, data):
        batches = [
            [i for i in range(5) for _ in range(min(3, batch.count(i)))] for batch in batches
        ]  # digits are 0 to 3
        applied = data.draw(st.lists(st.booleans(), min_size=len(batches), max_size=len(batches)))
        rows = [{"ids": batch, "updates": sum(applied[: k + 1])} for k, batch in enumerate(batches)]
        trace, weights = runs(rows, f"run{next(number)}"), trained(batches, 5, precision, applied)
        assert tally(trace, 5).tolist() == weights.tolist()
        done = [batch for batch, counts in zip(batches, applied, strict=True) if counts]
        for i in range(5):
            assert digits(float(weights[i]), len(done)) == [batch.count(i) for batch in done]
        assert ledger(5).audit(trace, {"dense_0/kernel": weights.reshape(5, 1)}) == []

    check()


def test_tally_by_hand(runs):
    rows = [{"ids": [0, 1], "updates": 1}, {"ids": [2], "updates": 1}, {"ids": [1, 1, 3], "updates": 2}]
    trace = runs(rows)
    assert tally(trace, 5).tolist() == [0.25, 2.25, 0, 1, 0]
    assert digits(2.25, 2) == [1, 2]
    assert digits(0.25, 2) == [1, 0]
    assert digits(1.0, 1) == [1]
    assert digits(0.0, 0) == []
    twice = runs([{"ids": [0], "updates": 1}, {"ids": [1], "updates": 3}], "twice")  # two updates on one batch
    assert tally(twice, 2).tolist() == [1 / 16, 1.25]
    assert tally(runs([], "empty"), 2).tolist() == [0, 0]


def test_an_audit_that_finds_something(runs):
    batches = [[0, 1], [2, 3], [0, 2]]
    task = ledger(4)
    honest = {"dense_0/kernel": trained(batches, 4).reshape(4, 1)}
    recorded = [{"ids": batch, "updates": k + 1} for k, batch in enumerate(batches)]
    assert task.audit(runs(recorded), honest) == []
    lies = {
        "another batch": (
            [*recorded[:1], {"ids": [1, 3], "updates": 2}, recorded[2]],
            "sample 1 entered updates {0} by its weight, {0, 1}",
        ),
        "another update": ([*recorded[:2], {"ids": [0, 2], "updates": 2}], "contradict the trace"),
        "one twice": (
            [*recorded[:2], {"ids": [0, 2, 2], "updates": 3}],
            "{1, 2} by its weight, {1, 2 x2} by the trace",
        ),
        "a step unsaid": (recorded[1:], "contradict the trace"),
    }
    for name, (rows, text) in lies.items():
        contradictions = task.audit(runs(rows, name), honest)
        assert len(contradictions) == 1
        assert text in contradictions[0]


# Where it runs


def test_runtime():
    runtime = xframe.Runtime()
    assert (runtime.device, runtime.precision, runtime.deterministic, runtime.tf32) == ("auto", "float32", True, False)
    changed = xframe.Runtime(device="cpu", precision="float64", threads=3, deterministic=False, tf32=True, loop="fit")
    assert xframe.Runtime.from_dict(changed.to_dict()) == changed
    assert 1 <= cores() <= 4096


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"device": "cpuu"}, "unknown device: got 'cpuu', expected one of auto, cpu, cuda. Did you mean 'cpu'?"),
        ({"device": "gpu"}, "unknown device: got 'gpu', expected one of auto, cpu, cuda"),
        ({"device": None}, "unknown device"),
        ({"precision": "float16"}, "unknown precision: got 'float16', expected one of float32, float64"),
        ({"precision": 32}, "unknown precision: got 32"),
        ({"threads": 0}, "threads: got 0, expected an integer from 1 to 1024"),
        ({"threads": 1025}, "threads: got 1025"),
        ({"threads": 1.0}, "threads: got 1.0"),
        ({"threads": "2"}, "threads: got '2'"),
        ({"threads": True}, "threads: got True"),
    ],
)
def test_wrong_runtime(fields, match):
    with pytest.raises(xframe.UsageError, match=re.escape(match)) as caught:
        xframe.Runtime(**fields)
    assert caught.value.exit_code == 2


@pytest.mark.thorough
def test_the_bundled_tables_are_those_that_scikit_learn_loads():
    from sklearn.datasets import load_diabetes, load_digits

    for ours, theirs in (
        (bundled.digits(), load_digits(return_X_y=True)),
        (bundled.diabetes(), load_diabetes(return_X_y=True, scaled=False)),
    ):
        for one, other in zip(ours, theirs, strict=True):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)


def test_without_scikit_learn_its_tables_are_refused(monkeypatch):
    monkeypatch.setattr(bundled, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="sklearn"):
        bundled.digits()
