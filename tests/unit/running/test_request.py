"""A request: what is refused when it is made, and what when its task and adapters are looked at."""

import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from xframe.errors import UsageError, XframeError
from xframe.plan.training_plan import TrainingPlan
from xframe.running.request import Request, new_folder
from xframe.running.runtime import Runtime

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
    ],
)
def test_what_is_refused_when_it_is_made(fields, message):
    with pytest.raises(UsageError) as refused:
        Request(**{"plan": PLAN, "adapters": "numpy", **fields})
    assert message in str(refused.value)


def test_what_does_not_fit():
    validating = TrainingPlan(batch_size=50, steps=9, validation_every=1)
    for request, message in (
        (Request(plan=PLAN, adapters="numpy", task="no-such-task"), "unknown task"),
        (Request(plan=validating, adapters="numpy", task="ledger"), "has nothing to validate on"),
        (Request(plan=PLAN, adapters="numpy", device="cuda"), "adapter 'numpy' cannot run this"),
        (Request(plan=PLAN, adapters="numpy", task="digits-cnn"), "is not one of its layers"),
    ):
        with pytest.raises(UsageError, match=message):
            request.checked_task()
    assert Request(plan=PLAN, adapters="numpy").checked_task().name == "digits-mlp"


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
