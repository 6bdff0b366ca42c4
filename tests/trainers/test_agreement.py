"""Each preset that says *ran*, against the installed trainer. ``make proof`` asks more often."""

import importlib.metadata

import pytest
from agreement import TRAINERS, Agreement, agree, compare
from sampling import part
from torch_loop import run_torch

import xframe
from xframe.plan import presets

CONFIGURATIONS, SEED = part(25), 0


def test_every_preset_that_ran_is_run():
    assert {name for name in presets.trainers() if presets.preset(name).evidence == "ran"} == set(TRAINERS)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_version_named_is_the_one_that_runs(trainer):
    distribution, version = presets.preset(trainer).trainer.split()
    assert importlib.metadata.version(distribution).split("+")[0] == version
    assert f"{distribution} {version}" in presets.preset(trainer).text


@pytest.mark.sweep
@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_trainer_counts_as_its_preset(trainer, record_property):
    found = agree(trainer, CONFIGURATIONS, SEED)
    record_property("sample", f"{found}, seed {SEED}")
    assert found.compared == CONFIGURATIONS
    assert found.mismatches == []


# The check can fail: a preset that is wrong in one respect is found out.

WRONG = {
    "flush for carry": ({"leftover": "carry"}, {"leftover": "flush"}),
    "carry for leak": ({"leftover": "leak"}, {"leftover": "carry"}),
    "drop for leak": ({"leftover": "leak"}, {"leftover": "zero"}),
    "flush for drop": ({"leftover": "zero"}, {"leftover": "flush"}),
    "sum for window": ({"normalization": "window"}, {"normalization": "sum"}),
    "keep for drop_last": ({"drop_last": True}, {"drop_last": False}),
    "one epoch more": ({"epochs": 2}, {"epochs": 3}),
    "one step less": ({"max_steps": 9}, {"max_steps": 8}),
    "other window": ({"gradient_accumulation_steps": 3}, {"gradient_accumulation_steps": 4}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_preset_is_found_out(name):
    common = {"batch_size": 5, "epochs": 2, "gradient_accumulation_steps": 3, "leftover": "flush"}
    does, says = ({**common, **change} for change in WRONG[name])
    plan = xframe.TrainingPlan.like("pytorch", num_samples=23, order="sequential", **says)
    right = xframe.TrainingPlan.like("pytorch", num_samples=23, order="sequential", **does)
    seen = run_torch(23, **does)
    assert compare(right, 23, seen) is None
    assert compare(plan, 23, seen) is not None


def test_the_result_says_how_many():
    found = Agreement("keras", compared=3, refused={"no": 2}, mismatches=["x"])
    assert str(found) == "keras: 3 compared, 1 mismatches, 2 refused by name"
