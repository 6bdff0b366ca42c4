"""A request: what is refused when it is made, and what when its task and adapters are looked at."""

import importlib.util
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from xframe.errors import UsageError, XframeError
from xframe.plan.training_plan import TrainingPlan
from xframe.report.text import _one_line, text
from xframe.running.request import Request, new_folder
from xframe.running.runtime import Runtime
from xframe.tasks.optimizers import Adam, Group, read
from xframe.trace.trace import Trace
from xframe.verification import verify

PLAN = TrainingPlan(batch_size=50, steps=9)


def test_defaults():
    request = Request(plan=PLAN)
    assert request.task == "digits-mlp"
    assert [selection.label for selection in request.selections] == ["torch", "tensorflow"]
    assert request.runtime == Runtime()


def test_adapters_in_one_text():
    request = Request(plan=PLAN, adapters="numpy, tensorflow:fit", precision="float64", threads=3)
    assert [selection.label for selection in request.selections] == ["numpy", "tensorflow:fit"]
    assert request.runtime == Runtime(precision="float64", threads=3)
    other = replace(request, threads=2)
    assert (other.runtime.threads, other.selections) == (2, request.selections)
    with pytest.raises(FrozenInstanceError):
        request.task = "ledger"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"plan": 3}, "verify: got"),
        ({"task": 3}, "expected an xframe.TrainingPlan and the name of a task"),
        ({"adapters": ()}, "no adapter given"),
        ({"adapters": "numpy,numpy"}, "an adapter is given twice"),
        ({"adapters": "numpi"}, "Did you mean 'numpy'?"),
        ({"adapters": "numpy:eagre"}, "Did you mean 'eager'?"),
        ({"device": "gpu"}, "NVIDIA GPUs are named cuda"),
        ({"precision": "float8"}, "unknown precision"),
        ({"threads": 0}, "threads: got 0"),
        ({"workers": -1}, "workers: got -1"),
        ({"optimizer": "adamv"}, "Did you mean 'adam"),
    ],
)
def test_what_is_refused_when_it_is_made(fields, message):
    with pytest.raises(UsageError) as refused:
        Request(**{"plan": PLAN, "adapters": "numpy", **fields})
    assert message in str(refused.value)


def test_what_does_not_fit():
    validating = TrainingPlan(batch_size=50, steps=9, validation_every=1)
    grouped = Adam(0.1, groups=(Group(("*/bias", "bias")),))
    for request, message in (
        (Request(plan=PLAN, adapters="numpy", task="no-such-task"), "unknown task"),
        (Request(plan=validating, adapters="numpy", task="ledger"), "has nothing to validate on"),
        (Request(plan=PLAN, adapters="numpy", device="cuda"), "adapter 'numpy' cannot run this"),
        (Request(plan=PLAN, adapters="numpy", precision="bfloat16"), "is not one of its precisions"),
        (Request(plan=PLAN, adapters="numpy", task="ledger", optimizer="adam"), "checks what its own optimizer does"),
        (Request(plan=PLAN, adapters="numpy", optimizer=grouped), "no parameter has this name: got 'bias'"),
    ):
        with pytest.raises(UsageError, match=message):
            request.checked_task()
    assert Request(plan=PLAN, adapters="numpy").checked_task().name == "digits-mlp"


def test_an_optimizer_in_place_of_the_tasks_own(tmp_path):
    """It trains, its data are in the trace and the header, and the folder's file gives the same again."""
    stated = "adamw learning_rate=0.01 weight_decay=0.1"
    rule = Adam(0.01, weight_decay=0.1, decay="decoupled")
    assert Request(plan=PLAN, adapters="numpy", optimizer=stated).checked_task().optimizer == rule
    own, other = (verify(PLAN, adapters="numpy", optimizer=o, out=tmp_path / f"{o}"[:4]) for o in (None, stated))
    again = verify(PLAN, adapters="numpy", optimizer=tmp_path / "adam" / "optimizer.toml", out=tmp_path / "again")
    assert own.certificates == other.certificates  # which is of structure
    assert again.about["numpy"]["optimizer"] == repr(rule)
    traces = {one: Trace.open(tmp_path / one / "numpy.trace") for one in ("None", "adam", "again")}
    assert traces["None"].facts.optimizer == {}
    assert read(traces["adam"].facts.optimizer) == rule
    losses = {name: trace.column("loss").tolist() for name, trace in traces.items()}
    assert losses["adam"] == losses["again"] != losses["None"]
    assert f"\noptimizer: {rule}\n" in text(other)
    assert "optimizer:" not in text(own)


def test_interpreters():
    request = Request(plan=PLAN, adapters="numpy,torch")
    assert request.interpreters() == {"numpy": sys.executable, "torch": sys.executable}
    assert replace(request, python={"torch": sys.executable}).interpreters()["torch"] == sys.executable
    for python, message in (({"jax": "x"}, "not chosen"), ({"torch": "/no/python"}, "no such interpreter for 'torch'")):
        with pytest.raises(UsageError, match=message):
            replace(request, python=python).interpreters()


def test_a_plan_that_cannot_be_written_leaves_no_folder(tmp_path, monkeypatch):
    def full(self, text, encoding):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(XframeError, match=r"cannot write plan\.toml: .* expected .*No space left on device") as one:
        new_folder(Request(plan=PLAN, adapters="numpy", out=tmp_path / "out"))
    assert one.value.exit_code == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("timeout", [0, -1.5, float("nan"), float("inf"), "5"])
def test_a_time_limit_is_a_number_of_seconds(timeout):
    with pytest.raises(UsageError, match=r"timeout: got .*, expected a number of seconds above 0"):
        Request(plan=PLAN, adapters="numpy", timeout=timeout)


def test_what_is_not_installed_is_refused_before_a_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lightning" else find(name))
    with pytest.raises(UsageError, match=r"'torch:lightning' needs a package.*no module 'lightning'.*pip install"):
        verify(TrainingPlan(batch_size=64, epochs=1, remainder="keep"), adapters=("numpy", "torch:lightning"))
    assert not any(tmp_path.iterdir())
    Request(plan=PLAN, adapters="torch:lightning", python={"torch": "/usr/bin/other"}).check_installed()


def test_a_long_rule_is_one_line_of_the_head(tmp_path):
    rule = Adam(0.001, groups=tuple(Group((f"*/bias_{k}",), rate_factor=0.5) for k in range(9)))
    run = SimpleNamespace(folder=tmp_path)
    line = _one_line(repr(rule), run)
    assert len(line) <= 100
    assert line.startswith("Adam(0.001, groups=(Group(")
    assert line.endswith("… (see optimizer.toml)")
    assert _one_line("Adam(0.001)", run) == "Adam(0.001)"
