"""Rules drawn from all: PyTorch and TensorFlow update as NumPy does; and what updates otherwise is seen.

All of them, in tests/: ``python -m sweeps rules 1000``.
"""

from dataclasses import replace

import numpy as np
import pytest

from sweeps import rules
from sweeps._drivers import Torch
from sweeps._rounding import Rounded, constant
from sweeps.rules import ADAPTERS, Case, Distances, cases, run
from xframe.tasks.optimizers import named, names

SIZES = {"torch": 4, "tensorflow": 3}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_update_as_numpy_does(adapter, record_property):
    result = run(SIZES[adapter], 1, (adapter,))
    record_property("sample", f"rules: {result.cases} drawn rules through {adapter}, seed 1")
    assert result.mismatches == []
    assert result.cases == SIZES[adapter]
    assert len(result.worst) + 2 * len(result.refused) == 2 * SIZES[adapter]
    assert result.text.count("\n| ") == len({name for name, *_ in result.worst}) + 2


def test_every_rule_dialect_and_setting_is_a_case():
    every = list(cases())
    assert {case.name for case in every} == set(names())
    assert len({(case.name, case.setting) for case in every}) == len(every)
    dialects = {case.name for case in every if case.setting == "L2"}
    assert {type(case.rule) for case in every} == {type(named(name)) for name in dialects}


@pytest.mark.parametrize(
    ("name", "wrong", "precision"),
    [
        ("torch.sgd", {"weight_decay": 1e-6}, "float64"),
        ("torch.sgd", {"momentum": 0.9001}, "float64"),
        ("keras.sgd", {"momentum": 0.901}, "float32"),
        ("keras.sgd", {"velocity": "gradient"}, "float64"),
        ("torch.adam", {"beta2": 0.9990001}, "float64"),
        ("torch.adam", {"epsilon": 1.0001e-8}, "float64"),
        ("torch.adam", {"epsilon_on": "uncorrected"}, "float64"),
        ("torch.adam", {"beta1": 0.901}, "float32"),
        ("torch.adamw", {"decay": "l2"}, "float32"),
        ("torch.rmsprop", {"epsilon_on": "inside"}, "float32"),
        ("keras.nadam", {"momentum_decay": 0.999}, "float64"),
        ("keras.adafactor", {"epsilon_on": "clamp"}, "float64"),
        ("keras.adafactor", {"clip_threshold": 1.001}, "float32"),
        ("lion", {"beta2": 0.9901}, "float32"),
    ],
)
def test_a_wrong_rule_is_seen(name, wrong, precision, monkeypatch):
    rule = named(name, {"momentum": 0.9, "learning_rate": 0.001} if name.endswith(".sgd") else {})
    if "velocity" in wrong:
        rule = replace(rule, learning_rate=rules.COMMON["schedule"]["learning_rate"])
    begin, result = Torch.begin, Distances(adapters=("torch",))
    monkeypatch.setattr(Torch, "begin", lambda self, one: begin(self, replace(one, **wrong)))
    rules.check(result, Torch(precision), Case(name, "", rule), "torch", precision, 1)
    assert result.mismatches


def test_bounds_hold_for_numpys_own_float32():
    """What NumPy computes in float32 lies within the bound that the same operations make, and not far below it."""
    rng, worst = np.random.default_rng(0), 0.0
    for name in ("torch.adam", "keras.adafactor", "torch.rmsprop", "keras.nadam"):
        rule = named(name)
        weights = {"w": rng.normal(size=(4, 3)).astype("float32")}
        state = rules.reference.lower(rule, {"w": weights["w"].astype("float64")})
        native, exact = rules.reference.lower(rule, weights), {"w": weights["w"].astype("float64")}
        gradient = {"w": rng.normal(size=(4, 3)).astype("float32")}
        bounds = rules.in_float32(rule, state, exact, {"w": gradient["w"].astype("float64")})
        native.apply(weights, gradient)
        worst = max(worst, float(np.max(np.abs(weights["w"] - bounds["w"].value) / bounds["w"].error)))
    assert 0.02 < worst <= 1


def test_rounding_by_hand():
    third = constant(1 / 3)
    assert float(third.error) == abs(float(np.float32(1 / 3)) - 1 / 3)
    total = Rounded(1.0) + third
    assert float(total.error) == float(third.error) + 2.0**-24 * (1 + 1 / 3)
    assert float((Rounded(1e-30) * Rounded(1e-30)).error) >= 1e-60  # flushed to 0
    assert np.isinf((Rounded(1e30) * Rounded(1e30)).error)
    assert float(np.sign(Rounded(1e-9, 1e-8)).error) == 2
    assert float(np.sqrt(Rounded(-1e-64, 1e-60)).value) == 0
