"""Drawn rules, changes, precisions and states: what is called proven is what was changed."""

from dataclasses import fields, replace

import numpy as np
import pytest
from made_updates import made

from xframe.numerics.naming.causes import explain
from xframe.numerics.naming.wording import WORDS
from xframe.optimizers import named, names

NUMBERS = {
    "learning_rate": lambda rng, old: old * rng.choice([1.0001, 0.9999, 2.0, 0.1, 10.0]),
    "weight_decay": lambda rng, old: float(rng.choice([0.0, 1e-4, 1e-3, 0.01, 0.1])),
    "momentum": lambda rng, old: float(rng.choice([0.9, 0.9001, 0.95, 0.5, 0.99])),
    "beta1": lambda rng, old: float(rng.choice([0.9, 0.9001, 0.95, 0.5, 0.8])),
    "beta2": lambda rng, old: float(rng.choice([0.999, 0.9999, 0.99, 0.95, 0.9])),
    "rho": lambda rng, old: float(rng.choice([0.9, 0.99, 0.95, 0.999])),
    "epsilon": lambda rng, old: float(rng.choice([1e-8, 1e-7, 1e-6, 1e-5, 1e-3])),
    "momentum_decay": lambda rng, old: float(rng.choice([4e-3, 1.0, 0.01])),
    "rate_decay": lambda rng, old: float(rng.choice([0.0, 0.01, 0.1])),
    "nesterov": lambda rng, old: not old,
    "decay": lambda rng, old: "l2" if old == "decoupled" else "decoupled",
    "epsilon_on": None,
}
PLACES = {
    "Adam": ("corrected", "uncorrected"),
    "Adamax": ("gradient", "norm"),
    "RMSprop": ("inside", "outside"),
    "Adagrad": ("inside", "outside"),
}


def drawn(seed):
    """A rule, and it with one thing set otherwise or two."""
    rng = np.random.default_rng(seed)
    rule = named(str(rng.choice(names())))
    rule = replace(rule, weight_decay=float(rng.choice([0.0, 0.01])), learning_rate=float(rng.choice([1e-3, 0.01])))
    held = [one.name for one in fields(rule) if one.name in NUMBERS]
    places = PLACES.get(type(rule).__name__, ())
    held = [name for name in held if name not in ("epsilon_on",) or places]
    held = [name for name in held if name != "nesterov" or (rule.momentum and not rule.dampening)]
    if type(rule).__name__ == "Adafactor":
        held = [name for name in held if name != "epsilon_on"]
    changed = {}
    for name in rng.choice(held, size=1 + int(rng.random() < 0.3), replace=False).tolist():
        old = getattr(rule, name)
        changed[name] = places[1 - places.index(old)] if name == "epsilon_on" else NUMBERS[name](rng, old)
    changed = {name: value for name, value in changed.items() if value != getattr(rule, name)}
    if changed.get("momentum") and not rule.momentum:
        del changed["momentum"]  # a velocity that no state has
    return rule, changed, int(rng.integers(0, 4)), str(rng.choice(["float64", "float32"])), int(rng.integers(0, 1000))


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(300))
def test_nothing_wrong_is_proven(seed):
    rule, changed, updates, precision, weights = drawn(seed)
    reference = made(rule, updates=updates, seed=weights, precision=precision)
    candidate = made(rule, replace(rule, **changed), updates, weights, precision)
    found = explain(reference, candidate, rules=(rule, rule))
    proven = {one.name for one in found if one.certainty == "proven"}
    assert proven <= {WORDS[name].cause for name in changed}
    if not changed:
        assert found == ()
