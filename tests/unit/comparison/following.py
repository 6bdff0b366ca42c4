"""What the tests of the comparison share: a plan, runs that follow it but for one known change, and how to judge.

The plan has ten samples in batches of four, kept: steps of 4 4 2, 4 4 2.
"""

import json

import xframe
from xframe.comparison import checks

N = 10
CHECKS = checks.names()
PLAN = xframe.TrainingPlan(batch_size=4, epochs=2, seed=3)
WITH_PLAN = {"plan": PLAN, "num_samples": N}
KEYS = ["verdict", "structure", "numbers", "checks", "first_difference", "explanation", "runs"]


def results(comparison):
    return {check.name: check.result for check in comparison.checks}


def failing(comparison):
    return [check.name for check in comparison.checks if check.result == "fail"]


def consistent(comparison):
    """What holds for every comparison."""
    code = {"passed": 0, "failed": 1, "inconclusive": 4}[comparison.verdict]
    assert comparison.exit_code == code
    assert bool(comparison) is (code == 0)
    assert [check.name for check in comparison.checks] == list(CHECKS)
    assert comparison.verdict in str(comparison)
    told = comparison.to_dict()
    assert list(told)[: len(KEYS)] == KEYS
    assert json.loads(json.dumps(told, allow_nan=False))["verdict"] == comparison.verdict
    for check in told["checks"]:
        assert check["result"] in ("pass", "fail", "not judged")
    first = told["first_difference"]
    if first is not None:
        assert {"step", "check", "reference", "candidate", "expected"} <= set(first)
        assert first["step"] == min(check["first"] for check in told["checks"] if check["first"] is not None)
    assert (told["structure"] == "different") == any(
        check["result"] == "fail" for check in told["checks"] if check["name"] in ("steps", "boundaries", "updates")
    )
    return comparison


def departs(comparison, step, check):
    """The comparison failed, and its first difference is this one."""
    assert consistent(comparison).verdict == "failed"
    assert (comparison.first_difference["step"], comparison.first_difference["check"]) == (step, check)
    assert comparison.check(check).first == step
    return comparison


def swap_inside(rows):
    rows[3]["ids"][[1, 2]] = rows[3]["ids"][[2, 1]]


def swap_across(rows):
    rows[1]["ids"][0], rows[4]["ids"][3] = rows[4]["ids"][3], rows[1]["ids"][0]


def update_lost(rows):
    for row in rows[2:]:
        row["updates"] -= 1


STRUCTURAL = {
    # name: change, step, check, failing checks, words of the detail
    "batch dropped": (
        lambda rows: rows.pop(2),
        2,
        "boundaries",
        ["steps", "boundaries", "updates", "epochs"],
        "step 2: b trained on 4 samples, a has 2",
    ),
    "order inside a batch": (
        swap_inside,
        3,
        "boundaries",
        ["boundaries"],
        "step 3: the same 4 samples in a different order inside the batch, 2 places differ, first place 1",
    ),
    "swapped across batches": (
        swap_across,
        1,
        "boundaries",
        ["boundaries"],
        "step 1: 1 of 4 samples differ: b has",
    ),
    "batches swapped": (
        lambda rows: rows.insert(0, rows.pop(1) | {"updates": 1}),
        0,
        "boundaries",
        ["boundaries", "updates", "epochs"],
        "step 0: 4 of 4 samples differ",
    ),
    "last batch short": (
        lambda rows: rows[5].update(ids=rows[5]["ids"][:1]),
        5,
        "boundaries",
        ["boundaries"],
        "step 5: b trained on 1 sample, a has 2",
    ),
    "a sample twice": (
        lambda rows: rows[0]["ids"].__setitem__(1, rows[0]["ids"][0]),
        0,
        "boundaries",
        ["boundaries"],
        "step 0: 1 of 4 samples differ",
    ),
    "update lost": (update_lost, 2, "updates", ["updates"], "step 2: b had applied 2 updates, a has 3"),
    "update late": (lambda rows: rows[2].update(updates=2), 2, "updates", ["updates"], "step 2: b had applied 2"),
    "updates twice": (
        lambda rows: [row.update(updates=2 * row["updates"]) for row in rows],
        0,
        "updates",
        ["updates"],
        "step 0: b had applied 2 updates, a has 1",
    ),
    "one step less": (lambda rows: rows.pop(), 5, "steps", ["steps"], "b made 5 steps, a has 6"),
    "one step more": (
        lambda rows: rows.append(rows[0] | {"updates": 7, "epoch": 2}),
        6,
        "steps",
        ["steps"],
        "b made 7 steps, a has 6",
    ),
}
