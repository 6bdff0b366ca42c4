"""What is known of a run beside its rows: believed only where it is of the right kind."""

import dataclasses

import pytest

import xframe
from xframe.trace.facts import Facts

STATED = {
    "label": "mine",
    "plan": {"batch_size": 4, "epochs": 1},
    "num_samples": 10,
    "num_validation": 5,
    "task": "digits-mlp",
    "adapter": "torch",
    "loop": "compile",
    "started": "2026-11-21T17:00:00+00:00",
    "platform": "Linux x86_64",
    "versions": {"python": "3.11.7"},
    "optimizer": {"rule": "SGD", "learning_rate": 0.1},
    "runtime": {"device": "cpu", "precision": "bf16-mixed"},
    "evidence": "declared by the loop",
    "data_fingerprint": "a",
    "weights_fingerprint": "b",
}


def test_every_fact_is_read_and_written():
    assert set(STATED) == {field.name for field in dataclasses.fields(Facts)}
    facts = Facts.of({**STATED, "note": "of the user", "imported": {}})
    assert {name: getattr(facts, name) for name in STATED} == STATED
    assert facts.metadata() == STATED


def test_what_is_not_stated_is_unknown():
    facts = Facts.of({})
    assert facts == Facts()
    assert facts.metadata() == {}
    assert (facts.label, facts.num_samples, facts.plan, facts.precision) == (None, None, {}, "float32")


@pytest.mark.parametrize("name", STATED)
@pytest.mark.parametrize("wrong", [None, True, 1.5, ["a"], {"a": [2]}, "text", 7])
def test_what_is_of_another_kind_is_no_fact(name, wrong):
    kind = type(STATED[name])
    expected = wrong if type(wrong) is kind else getattr(Facts(), name)
    if name in ("versions", "runtime"):  # of which each is a text, or a scalar
        expected = {}
    assert getattr(Facts.of({name: wrong}), name) == expected


def test_texts_are_one_printable_line_and_sizes_are_sizes():
    hostile = "\x1b[31ma\nPASSED"
    facts = Facts.of(
        {"label": hostile, "versions": {hostile: hostile}, "runtime": {"device": hostile}, "task": "x" * 10**6}
    )
    shown = "?[31ma?PASSED"
    assert (facts.label, facts.versions, facts.runtime) == (shown, {shown: shown}, {"device": shown})
    assert len(facts.task) == 300
    assert {Facts.of({"num_samples": size}).num_samples for size in (-1, 0, 2**63, 10**400)} == {None}


@pytest.mark.parametrize("runtime", [{}, {"precision": "float32"}, {"precision": "float7"}, {"precision": 3}])
def test_precision(runtime):
    assert Facts.of({"runtime": runtime}).precision == "float32"
    assert Facts.of({"runtime": {**runtime, "precision": "float64"}}).precision == "float64"


@pytest.mark.parametrize(
    "plan", ["baseline", {"name": "baseline"}, {"batch_size": 2}, {"batch_size": 2.5, "epochs": 1}]
)
def test_a_plan_of_a_script_s_own_does_not_break_what_reads_plans(tmp_path, plan):
    traces = []
    for name in ("a", "b"):
        with xframe.record(tmp_path / f"{name}.trace", num_samples=4, metadata={"plan": plan}) as rec:
            rec.block(ids=[0, 1, 2, 3], batch_sizes=[2, 2], updates=[1, 2], epoch=[0, 0])
        traces.append(xframe.Trace.open(tmp_path / f"{name}.trace"))
    assert [trace.plan for trace in traces] == [None, None]
    for order in ("exact", "coverage"):
        comparison = xframe.compare(*traces, order=order)
        assert comparison.structure == "identical"
        named = f"what {traces[0].name} states as its plan is no valid plan, so no run is compared with it"
        assert (named in comparison.explanation) == isinstance(plan, dict)
    assert traces[0].counts().num_steps == 2
