"""The contract suite, bound to the tutorial's loop over a DataLoader; what it has no setting for is refused by name."""

import importlib.util
from pathlib import Path

import pytest
from trained import bound, made

from xframe.errors import WorkerError
from xframe.running.registry import load
from xframe.running.runtime import Runtime
from xframe.testing.contract import LEDGER, observe

TWIN = Path(__file__).parents[1] / "native" / "torch_digits.py"


class TestLoader(bound("loader", TWIN, fewest=18, loss_normalization="window")):
    pass


@pytest.mark.parametrize(
    ("fields", "precision", "reason"),
    [
        ({"epochs": 2, "remainder": "carry"}, "float64", "remainder 'carry'"),
        ({"epochs": 2, "steps_per_epoch": 3}, "float64", "pytorch has no steps_per_epoch"),
        (
            {"epochs": 2, "gradient_accumulation_steps": 2},
            "float64",
            "loss_normalization 'window', and the plan 'actual'",
        ),
        ({"epochs": 2}, "mixed_float16", "scales no loss"),
    ],
)
def test_what_it_has_no_setting_for_is_refused_by_name(fields, precision, reason):
    reasons = load("torch").check(made(**fields), LEDGER, Runtime(device="cpu", precision=precision, loop="loader"))
    assert reason in "; ".join(reasons)


def test_the_trainer_and_its_arguments_are_settings_of_the_trace(tmp_path):
    trace = observe(load("torch"), made(epochs=2, remainder="drop"), LEDGER, tmp_path / "a.trace", loop="loader")
    assert trace.settings["trainer"].startswith("torch 2.")
    assert (trace.settings["trainer.batch_size"], trace.settings["trainer.drop_last"]) == (5, True)


def test_a_trainer_that_is_not_installed_is_named_with_what_installs_it(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lightning" else find(name))
    with pytest.raises(WorkerError, match=r"needs lightning. Install it: pip install .*trainers"):
        observe(load("torch"), made(epochs=2), LEDGER, tmp_path / "a.trace", loop="lightning")
