"""Fixes are for the frameworks in use."""

import numpy as np
import pytest

import xframe
from xframe.diagnosis import causes
from xframe.diagnosis.explaining import fix_places
from xframe.diagnosis.fixes import in_use
from xframe.trace.facts import Facts

EVERY = dict.fromkeys(
    (
        "any",
        "plan",
        "compare",
        "torch",
        "tensorflow",
        "keras",
        "lightning",
        "transformers",
        "accelerate",
        "ignite",
        "optax",
    ),
    "…",
)
ANYWHERE = {"any", "plan", "compare"}
GENERAL = ANYWHERE | {"torch", "tensorflow", "keras"}


def of(*packages, adapter=None):
    return Facts(versions=dict.fromkeys(("python", "numpy", *packages), "1"), adapter=adapter)


@pytest.mark.parametrize(
    ("runs", "frameworks"),
    [
        ((of("torch"), of("tensorflow", "keras")), GENERAL),
        ((of("torch"), of("torch")), ANYWHERE | {"torch"}),
        ((of("torch"), of("torch", "lightning")), ANYWHERE | {"torch", "lightning"}),
        ((of("torch", "transformers", "accelerate"),), ANYWHERE | {"torch", "transformers", "accelerate"}),
        ((of("torch"), of("optax")), ANYWHERE | {"torch", "optax"}),
        ((of("keras", "torch"), of("torch")), ANYWHERE | {"keras", "torch"}),
        ((of(adapter="tensorflow"), of("tensorflow")), ANYWHERE | {"tensorflow", "keras"}),
        ((of(), of()), GENERAL),
        ((of(adapter="numpy"), of(adapter="numpy")), GENERAL),
        ((of(adapter="numpy"), of("torch")), ANYWHERE | {"torch"}),
        ((Facts(), of("torch", "ignite")), GENERAL | {"ignite"}),
    ],
)
def test_only_what_is_in_use_is_listed(runs, frameworks):
    assert set(in_use(EVERY, runs)) == frameworks


def test_every_fix_is_for_something_that_runs_can_name_or_for_all():
    named = {framework for cause in causes.every() for framework in cause.fixes}
    assert named <= {*EVERY, "xframe"}


@pytest.mark.parametrize(
    ("packages", "frameworks"),
    [
        (("torch", "tensorflow"), {"plan", "torch", "tensorflow"}),
        (("torch", "torch"), {"plan", "torch"}),
        (("torch", "transformers"), {"plan", "torch", "transformers"}),
    ],
)
def test_a_comparison_lists_the_fixes_for_its_runs(tmp_path, packages, frameworks):
    for name, package, sizes in (("a", packages[0], (4, 4, 2)), ("b", packages[1], (4, 4))):
        metadata = {"versions": {"numpy": "2", package: "1"}}
        with xframe.record(tmp_path / f"{name}.trace", num_samples=10, metadata=metadata) as rec:
            for epoch in range(3):
                for i, size in enumerate(sizes):
                    rec.step(ids=np.arange(4 * i, 4 * i + size), updates=epoch * len(sizes) + i + 1, epoch=epoch)
    comparison = xframe.compare(tmp_path / "a.trace", tmp_path / "b.trace")
    cause = comparison.causes[0]
    assert cause.name == "short-batch-dropped"
    assert set(cause.fix) == set(comparison.to_dict()["causes"][0]["mend"]) == frameworks


def test_the_plan_is_an_alternative_only_where_there_is_something_else():
    assert list(fix_places({"torch": "…", "plan": "…"})) == ["torch", "or else the plan"]
    assert list(fix_places({"plan": "…"})) == ["the plan"]
    assert fix_places({}) == {}
