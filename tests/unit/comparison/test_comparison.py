"""The comparison: runs that follow a plan, and runs that depart from it in one known place.

The plan has ten samples in batches of four, kept: steps of 4 4 2, 4 4 2.
"""

import itertools
import json
import math
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xframe
from xframe.comparison import checks
from xframe.comparison.result import TOLERANCES, Tolerance
from xframe.plan import counting
from xframe.trace import parquet
from xframe.trace.weights import weights_path

N = 10
CHECKS = checks.names()
PLAN = xframe.TrainingPlan(batch_size=4, epochs=2, seed=3)
WITH_PLAN = {"plan": PLAN, "num_samples": N}
KEYS = ["verdict", "structure", "numbers", "checks", "first_difference", "explanation", "runs"]


@pytest.fixture
def follow(runs):
    """Records a run that follows the plan but for what ``change`` does to its rows. They are called a, b, c, …"""
    names = iter(string.ascii_letters)

    def follow(change=None, **options):
        rows = runs.rows(PLAN, N)
        if change is not None:
            change(rows)
        return runs(rows, next(names), **options)

    return follow


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


# The same


@pytest.mark.parametrize("options", [{}, WITH_PLAN, {"ids": False}])
def test_identical(follow, options):
    comparison = consistent(xframe.compare(follow(**options), follow(**options)))
    assert (comparison.verdict, comparison.structure, comparison.numbers) == ("passed", "identical", "identical")
    assert comparison.first_difference is None
    assert list(comparison.runs) == ["a", "b"]
    assert comparison.runs["a"].num_steps == 6
    assert len(set(comparison.certificates.values())) == 1
    assert results(comparison) == dict.fromkeys(CHECKS, "pass") | {"weights": "not judged"}
    assert comparison.check("loss").worst == 0
    assert comparison.check("steps").values == {"a": 6, "b": 6}
    assert comparison.check("steps").rule == ("== plan" if options == WITH_PLAN else "== a")


def test_three_runs(follow):
    assert xframe.compare(follow(), follow(), follow())
    comparison = xframe.compare(follow(), follow(), follow(lambda rows: rows[4].update(updates=4)))
    departs(comparison, 4, "updates")
    assert list(comparison.runs) == ["d", "e", "f"]
    assert comparison.first_difference["names"] == {"reference": "d", "candidate": "f"}


def test_one_run_against_its_plan(follow):
    comparison = consistent(xframe.compare(follow(**WITH_PLAN)))
    assert comparison
    assert comparison.numbers == "not judged"
    assert results(comparison)["loss"] == "not judged"
    assert xframe.compare(follow(), plan=PLAN, num_samples=N)
    other = PLAN.model_copy(update={"seed": 4})
    departs(xframe.compare(follow(), plan=other, num_samples=N), 0, "boundaries")


# Structure


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
        "step 5: b trained on 1 samples, a has 2",
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


@pytest.mark.parametrize(
    ("change", "step", "check", "failed", "detail"), list(STRUCTURAL.values()), ids=list(STRUCTURAL)
)
@pytest.mark.parametrize("side", ["candidate", "reference", "against the plan", "both"])
def test_structure(follow, change, step, check, failed, detail, side):
    if side == "candidate":
        comparison = departs(xframe.compare(follow(), follow(change)), step, check)
        assert detail in comparison.check(check).detail
    elif side == "reference":
        comparison = departs(xframe.compare(follow(change), follow()), step, check)
    elif side == "against the plan":
        comparison = departs(xframe.compare(follow(change, **WITH_PLAN)), step, check)
        assert detail.replace("b ", "a ").split(", a has")[0] in comparison.check(check).detail
        assert "the plan says" in comparison.check(check).detail or "a different order" in detail
    else:  # the same departure in both runs: they agree, and are wrong all the same
        comparison = departs(xframe.compare(follow(change, **WITH_PLAN), follow(change, **WITH_PLAN)), step, check)
    assert failing(comparison) == failed
    assert comparison.structure == "different"
    assert comparison.numbers == "not judged"


def test_agreeing_runs_without_a_plan_pass(follow):
    assert xframe.compare(follow(swap_inside), follow(swap_inside))


def test_the_rows_shown_at_the_first_difference(follow):
    first = xframe.compare(follow(**WITH_PLAN), follow(update_lost, **WITH_PLAN)).first_difference
    shown = {"batch_size": 2, "epoch": 0, "step_in_epoch": 2}
    assert shown.items() <= first["reference"].items()
    assert (first["reference"]["updates"], first["candidate"]["updates"], first["expected"]["updates"]) == (3, 2, 3)
    assert first["reference"]["loss"] == 1 + math.cos(2)
    assert first["reference"]["lr"] == 0.1
    first = xframe.compare(follow(), follow(lambda rows: rows.pop())).first_difference
    assert first["reference"]["batch_size"] == 2
    assert first["candidate"] is first["expected"] is None


@pytest.mark.parametrize("ids", [True, False])
def test_without_id_lists_the_digests_still_judge(follow, ids):
    comparison = departs(xframe.compare(follow(ids=ids), follow(swap_across, ids=False)), 1, "boundaries")
    assert "different samples" in comparison.check("boundaries").detail
    assert xframe.compare(follow(ids=ids), follow(ids=False))


def test_numbers_end_where_the_runs_part(follow):
    def change(rows):
        swap_across(rows)
        for row in rows[1:]:
            row.update(loss=math.nan, lr=9.0)

    comparison = departs(xframe.compare(follow(), follow(change, weights={"w": np.ones(1)})), 1, "boundaries")
    assert failing(comparison) == ["boundaries"]
    assert results(comparison)["weights"] == "not judged"
    assert comparison.check("loss").worst_at == 0
    before = lambda rows: (swap_across(rows), rows[0].update(loss=5.0))  # noqa: E731
    departs(xframe.compare(follow(), follow(before)), 0, "loss")
    at_once = lambda rows: rows[0].update(updates=0, loss=5.0, lr=3.0)  # noqa: E731
    comparison = departs(xframe.compare(follow(), follow(at_once)), 0, "updates")
    assert failing(comparison) == ["updates"]
    assert comparison.numbers == "not judged"


# Labels and numbers


def test_epochs_are_labels(follow):
    def change(rows):
        for row in rows[2:]:
            row["epoch"] += 1

    comparison = departs(xframe.compare(follow(), follow(change)), 2, "epochs")
    assert failing(comparison) == ["epochs"]
    assert comparison.structure == "identical"
    assert comparison.check("epochs").values == {"a": 2, "b": 3}
    assert "step 2: b calls it epoch 1, a has 0" in comparison.check("epochs").detail
    comparison = consistent(xframe.compare(follow(), follow(lambda rows: [row.pop("epoch") for row in rows])))
    assert comparison
    assert results(comparison)["epochs"] == "not judged"


@pytest.mark.parametrize("options", [{}, WITH_PLAN])
@pytest.mark.parametrize("labels", [("epoch",), ("step_in_epoch",), ("epoch", "step_in_epoch")])
def test_labels_counted_from_1_are_the_same_labels(follow, labels, options):
    def from_one(rows):
        for row in rows:
            row.update({label: row[label] + 1 for label in labels})

    for changes, from_1 in ((None, from_one), "b"), ((from_one, None), "a"), ((from_one, from_one), "ab"):
        traces = [
            follow(change, metadata={"label": name}, **options) for change, name in zip(changes, "ab", strict=True)
        ]
        comparison = consistent(xframe.compare(*traces))
        assert comparison
        assert comparison.check("epochs").values == {"a": 2, "b": 2}
        assert {counts.num_epochs for counts in comparison.runs.values()} == {2}
        told = comparison.check("epochs").detail
        for name in "ab":  # what only one of two does is stated
            stated = name in from_1 and (options == WITH_PLAN or len(from_1) == 1)
            text = "epochs" if "epoch" in labels else "the steps of an epoch"
            assert (f"{name} counts {text} from 1" in told) is stated


def test_labels_counted_from_1_that_are_wrong_fail(follow):
    def late(rows):
        for row in rows:
            row.update(epoch=1 + row["epoch"] - (row["epoch"] > 0 and row["step_in_epoch"] == 0))

    comparison = departs(xframe.compare(follow(), follow(late)), 3, "epochs")
    expected = "step 3: b calls it epoch 0, a has 1, counted from 0; b counts epochs from 1"
    assert comparison.check("epochs").detail == expected


def test_equal_numbers_are_not_equal_labels_where_the_counting_differs(follow, monkeypatch):
    """Blocks whose labels have the same digest are read all the same if the two count from different numbers."""
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 3)

    def skipping(rows):  # 1 1 1 1 1 1, where 0 0 0 1 1 1 is due
        for row in rows:
            row["epoch"] = 1

    departs(xframe.compare(follow(), follow(skipping)), 3, "epochs")


def test_learning_rates(follow):
    comparison = departs(xframe.compare(follow(), follow(lambda rows: rows[3].update(lr=0.11))), 3, "lr")
    assert (comparison.structure, comparison.numbers) == ("identical", "different")
    check = comparison.check("lr")
    assert (check.worst_at, round(check.worst, 6)) == (3, 0.01)
    comparison = xframe.compare(follow(), follow(lambda rows: [row.pop("lr") for row in rows]))
    assert results(comparison)["lr"] == "not judged"


@pytest.mark.parametrize(("precision", "passes"), [("float32", True), ("float64", False)])
def test_learning_rates_in_the_precision_of_the_runs(follow, precision, passes):
    options = {"metadata": {"runtime": {"precision": precision}}}
    rounded = follow(lambda rows: [row.update(lr=float(np.float32(0.1))) for row in rows], **options)
    assert bool(xframe.compare(follow(**options), rounded)) is passes


TICKS = 5000
FLOAT32_SCHEDULES = {  # as Keras evaluates them, in float32, and as a script does in Python floats
    "exponential": (lambda t: 0.1 * np.float32(0.96) ** (t / 100), lambda t: 0.1 * 0.96 ** (t / 100)),
    "exponential by tick": (lambda t: np.float32(0.1) * np.float32(0.9999) ** t, lambda t: 0.1 * 0.9999**t),
    "restarts": (
        lambda t: np.float32(0.05) * (1 + np.cos(np.float32(math.pi) * (t / np.float32(30) % 1))),
        lambda t: 0.05 * (1 + np.cos(math.pi * (t % 30) / 30)),
    ),
    "cosine": (
        lambda t: np.float32(0.1) * (np.float32(0.5) * (1 + np.cos(np.float32(math.pi) * (t / TICKS)))),
        lambda t: 0.1 * (1 + np.cos(math.pi * t / TICKS)) / 2,
    ),
    "root": (lambda t: np.float32(0.1) * (1 - t / TICKS) ** np.float32(0.5), lambda t: 0.1 * (1 - t / TICKS) ** 0.5),
    "inverse time": (lambda t: np.float32(0.1) / (1 + np.float32(0.7) * t / 30), lambda t: 0.1 / (1 + 0.7 * t / 30)),
}


@pytest.mark.parametrize("name", FLOAT32_SCHEDULES)
def test_one_schedule_evaluated_in_two_precisions_has_the_same_rates(tmp_path, name):
    by_float32, by_float64 = FLOAT32_SCHEDULES[name]
    ticks = np.arange(TICKS)
    rates = by_float32(ticks.astype(np.float32)), by_float64(ticks.astype(np.float64))
    assert rates[0].dtype == np.float32
    assert not np.array_equal(*rates)

    names = iter(string.ascii_letters)

    def compared(*both, **options):
        paths = [tmp_path / f"{next(names)}.trace" for _ in both]
        for path, rate in zip(paths, both, strict=True):
            with xframe.record(path, **options) as rec:
                rec.block(ids=ticks % N, batch_sizes=[1] * TICKS, updates=ticks + 1, lr=np.asarray(rate, float))
        return xframe.compare(*paths)

    comparison = compared(*rates)
    assert (comparison.verdict, comparison.check("lr").result) == ("passed", "pass")
    assert comparison.check("lr").rule == "rtol 7.6e-06 + 3e-08/step, atol 9.5e-07 peak"
    late = compared(rates[0], by_float64(np.maximum(ticks - 1.0, 0)))
    assert late.first_difference["check"] == "lr"
    assert late.first_difference["step"] < 60  # a cosine begins flat
    assert "is allowed" in late.check("lr").detail
    double = {"metadata": {"runtime": {"precision": "float64"}}}
    assert not compared(*rates, **double)


@pytest.mark.parametrize("rate", [math.nan, math.inf, 1e300])
def test_learning_rates_that_are_no_numbers(follow, rate):
    wrong = follow(lambda rows: rows[2].update(lr=rate))
    departs(xframe.compare(follow(), wrong), 2, "lr")
    consistent(xframe.compare(wrong, follow(lambda rows: rows[2].update(lr=rate))))


def offsets(*values):
    def change(rows):
        for row, value in zip(rows, values, strict=True):
            row["loss"] += value

    return change


def test_loss_within_tolerance(follow):
    comparison = consistent(xframe.compare(follow(), follow(offsets(0, 1e-6, -2e-6, 5e-6, 0, 1e-6))))
    assert (comparison.verdict, comparison.structure, comparison.numbers) == ("passed", "identical", "within tolerance")
    assert comparison.check("loss").worst_at == 3
    assert comparison.check("loss").worst == pytest.approx(5e-6, rel=1e-6)
    assert comparison.check("loss").rule == "rtol 0.0001, atol 0.0001"


def test_loss_beyond_tolerance(follow):
    comparison = departs(xframe.compare(follow(), follow(offsets(0, 1e-6, 0.01, 0, -0.5, 0.3))), 2, "loss")
    assert (comparison.structure, comparison.numbers) == ("identical", "different")
    assert comparison.check("loss").worst_at == 4  # the worst is not the first
    assert comparison.check("loss").worst == pytest.approx(0.5)
    assert "which differ by 0.01 where" in comparison.check("loss").detail
    shown = comparison.first_difference
    assert shown["candidate"]["loss"] - shown["reference"]["loss"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("rtol", "atol", "apart", "passes"),
    [
        (0, 0, 0, True),
        (0, 0, 1e-12, False),
        (0, 1e-3, 0.9e-3, True),
        (0, 1e-3, 1.1e-3, False),
        (1e-3, 0, 1.9e-3, True),  # the larger loss, of step 0, is 2
        (1e-3, 0, 2.1e-3, False),
        (1e-3, 1e-3, 2.9e-3, True),
        (1e-3, 1e-3, 3.1e-3, False),
    ],
)
def test_tolerance(follow, rtol, atol, apart, passes):
    comparison = xframe.compare(follow(), follow(offsets(apart, 0, 0, 0, 0, 0)), rtol=rtol, atol=atol)
    assert bool(comparison) is passes
    assert comparison.check("loss").rule == str(Tolerance(rtol, atol))


def test_tolerance_follows_the_precision(follow):
    change, double = offsets(1e-6, 0, 0, 0, 0, 0), {"metadata": {"runtime": {"precision": "float64"}}}
    assert TOLERANCES["float64"].rtol < 1e-6 < TOLERANCES["float32"].rtol
    departs(xframe.compare(follow(**double), follow(change, **double)), 0, "loss")


STATES = {name: {"metadata": {"runtime": {"precision": name}}} for name in TOLERANCES} | {"nothing": {}}


@pytest.mark.parametrize(
    ("one", "other", "stored", "judged"),
    [
        # what the runs state, the type of the other's final weights, and the tolerance in force
        ("nothing", "bfloat16", None, "float32"),
        ("nothing", "bfloat16", np.float32, "float32"),
        ("float32", "mixed_float16", np.float64, "float32"),
        ("float32", "mixed_float16", np.float16, "mixed_float16"),
        ("nothing", "nothing", np.float16, "float32"),  # whoever stores less has not computed with less
        ("float64", "float32", None, "float64"),
        ("float64", "float32", np.float64, "float64"),
        ("float64", "float32", np.float32, "float32"),
        ("float64", "nothing", np.float32, "float32"),
        ("float64", "nothing", None, "float64"),
        ("float64", "bfloat16", np.float32, "float32"),  # as far as the weights show it
        ("mixed_float16", "mixed_float16", None, "mixed_float16"),
    ],
)
def test_one_runs_metadata_do_not_widen_the_tolerance(follow, one, other, stored, judged):
    """Of the precisions that runs state the finest holds, but where recorded weights show the coarser."""
    weights = None if stored is None else {"k": np.ones(2, stored), "steps": np.ones(1, np.int64)}
    traces = follow(**STATES[one]), follow(**STATES[other], weights=weights)
    for order in (traces, traces[::-1]):
        comparison = consistent(xframe.compare(*order))
        assert comparison.check("loss").rule == str(TOLERANCES[judged])
        told = " ".join(comparison.explanation)
        assert (f"numbers are judged as {judged} allows: " in told) is (one != other)
        assert ("b states bfloat16, and no weights recorded show it" in told) is (other == "bfloat16")
    assert not any("numbers are judged" in text for text in xframe.compare(*traces, rtol=1, atol=1).explanation)


@pytest.mark.parametrize("wrong", [(-1, 0), (0, math.nan), (math.inf, 0)])
def test_no_tolerance(follow, wrong):
    with pytest.raises(xframe.UsageError, match=r"a tolerance.*expected finite numbers from 0 up"):
        xframe.compare(follow(), follow(), rtol=wrong[0], atol=wrong[1])


@pytest.mark.parametrize("alone", ["rtol", "atol"])
def test_one_of_two_tolerances(follow, alone):
    expected = rf"a tolerance: got {alone} 0\.001 alone, expected rtol and atol, or neither\. Give both"
    with pytest.raises(xframe.UsageError, match=expected):
        xframe.compare(follow(), follow(), **{alone: 1e-3})


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("mine", "theirs", "verdict", "first"),
    [
        (NAN, 1.0, "failed", 3),
        (1.0, NAN, "failed", 3),
        (INF, 1.0, "failed", 3),
        (INF, -INF, "failed", 3),
        (NAN, INF, "failed", 3),
        (NAN, NAN, "inconclusive", None),
        (INF, INF, "inconclusive", None),
        (-INF, -INF, "inconclusive", None),
    ],
)
def test_losses_that_are_not_finite(follow, mine, theirs, verdict, first):
    traces = [follow(lambda rows, loss=loss: rows[3].update(loss=loss)) for loss in (theirs, mine)]
    comparison = consistent(xframe.compare(*traces))
    assert (comparison.verdict, comparison.check("loss").first) == (verdict, first)
    assert comparison.check("loss").undecided is (first is None)
    assert comparison.structure == "identical"
    assert comparison.numbers == ("different" if first else "not judged")
    if first is not None:
        departs(comparison, 3, "loss")


def test_not_finite_after_a_difference(follow):
    def both(rows):
        rows[4].update(loss=NAN)

    def earlier(rows):
        both(rows)
        rows[1].update(loss=7.0)

    departs(xframe.compare(follow(both), follow(earlier)), 1, "loss")
    departs(xframe.compare(follow(both), follow(lambda rows: rows[2].update(loss=NAN))), 2, "loss")


def test_losses_as_large_as_floats_can_be(follow):
    traces = [follow(lambda rows, loss=loss: rows[3].update(loss=loss)) for loss in (1.7e308, -1.7e308)]
    departs(xframe.compare(*traces), 3, "loss")
    assert xframe.compare(traces[0], follow(lambda rows: rows[3].update(loss=1.7e308)))


def test_loss_missing(follow):
    comparison = consistent(xframe.compare(follow(), follow(lambda rows: [row.pop("loss") for row in rows])))
    assert results(comparison)["loss"] == "not judged"
    assert (comparison.verdict, comparison.numbers) == ("passed", "not judged")  # the structure was compared


@pytest.mark.parametrize("column", ["loss", "lr", "accuracy"])
def test_numbers_recorded_at_some_steps_are_judged_at_those(follow, column):
    """One missing value hides nothing, and neither does a value at every second step."""
    name = {"accuracy": "loss"}.get(column, column)

    def sparse(known, wrong=()):
        def change(rows):
            for i, row in enumerate(rows):
                row["accuracy"] = 0.5
                row[column] = row[column] + 10 * (i in wrong) if i in known else None

        return follow(change)

    whole = range(6)
    comparison = consistent(xframe.compare(sparse(whole), sparse([0, 2, 4])))
    assert (comparison.verdict, results(comparison)[name]) == ("passed", "pass")
    if column != "accuracy":
        assert comparison.check(name).detail == "recorded at 3 of 6 steps"
    for known, wrong in (([0, 2, 4], 0), ([0, 1, 3, 4, 5], 3), ([5], 5)):
        departs(xframe.compare(sparse(whole), sparse(known, [wrong])), wrong, name)
        departs(xframe.compare(sparse(known), sparse(whole, [wrong])), wrong, name)
    if column != "accuracy":
        assert results(xframe.compare(sparse([0, 2]), sparse([1, 3], [1])))[name] == "not judged"


# Weights


def test_weights(follow):
    values = {"k": np.array([1.0, 2.0]), "b": np.zeros(1)}
    run = lambda **changes: follow(weights=values | changes)  # noqa: E731
    comparison = xframe.compare(run(), run())
    assert (results(comparison)["weights"], comparison.numbers) == ("pass", "identical")
    comparison = xframe.compare(run(), run(k=np.array([1.0, 2.00001])))
    assert (comparison.numbers, comparison.check("weights").worst_at) == ("within tolerance", "k")
    for changed in (
        {"k": np.array([1.0, 2.1])},
        {"b": np.array([1e-3])},
        {"k": np.array([[1.0, 2.0]])},
        {"c": np.zeros(1)},
    ):
        comparison = consistent(xframe.compare(run(), run(**changed)))
        assert failing(comparison) == ["weights"]
        assert (comparison.structure, comparison.numbers, comparison.first_difference) == (
            "identical",
            "different",
            None,
        )
    assert "differs by up to 0.1 where" in xframe.compare(run(), run(k=np.array([1.0, 2.1]))).check("weights").detail


def test_weights_that_are_not_finite(follow):
    run = lambda value: follow(weights={"k": np.array([1.0, value])})  # noqa: E731
    comparison = consistent(xframe.compare(run(1.0), run(NAN)))
    assert failing(comparison) == ["weights"]
    for value in (NAN, INF):
        assert consistent(xframe.compare(run(value), run(value))).verdict == "inconclusive"
    assert xframe.compare(run(INF), run(-INF)).verdict == "failed"


def test_weights_missing(follow):
    values = {"k": np.array([1.0])}
    with_weights = follow(weights=values)
    assert results(xframe.compare(with_weights, follow()))["weights"] == "not judged"
    same, other = follow(weights=values), follow(weights={"k": np.array([2.0])})
    for trace in (same, other):
        weights_path(trace.path).unlink()
    assert results(xframe.compare(with_weights, same))["weights"] == "pass"  # by their digests
    assert results(xframe.compare(with_weights, other))["weights"] == "not judged"


def test_audits(follow):
    comparison = xframe.compare(follow(), follow(), audits={"a": [], "b": ["3 weights contradict the trace"]})
    assert failing(comparison) == ["weights"]
    assert "b: 3 weights contradict" in str(consistent(comparison))
    assert xframe.compare(follow(), audits={"a": []}, **WITH_PLAN)


# Never passed


def test_no_evidence_of_updates(follow):
    for change in (lambda rows: [row.pop("updates") for row in rows], lambda rows: rows[3].update(updates=None)):
        comparison = consistent(xframe.compare(follow(), follow(change)))
        assert results(comparison)["updates"] == "not judged"
        assert (comparison.verdict, comparison.exit_code, comparison.structure) == ("inconclusive", 4, "not judged")
        assert "recorded no evidence of updates" in comparison.check("updates").detail


@pytest.mark.parametrize("options", [{}, WITH_PLAN, {"ids": False}])
@pytest.mark.parametrize("column", ["updates", "epoch"])
def test_what_some_steps_lack_is_judged_at_the_others(follow, column, options):
    """A difference at a step where both sides know the value fails there; agreement there is not agreement."""

    def sparse(*steps, change=lambda row: None):
        def to(rows):
            for i, row in enumerate(rows):
                if i in steps:
                    change(row)
                else:
                    row[column] = None

        return to

    def wrong(row):
        row[column] += 5

    check = {"epoch": "epochs"}.get(column, column)
    comparison = departs(xframe.compare(follow(**options), follow(sparse(1, 4, change=wrong), **options)), 1, check)
    assert comparison.check(check).detail.startswith("step 1: ")
    shown = comparison.first_difference
    assert shown["candidate"][column] == shown["reference"][column] + 5
    comparison = consistent(xframe.compare(follow(sparse(1, 2, 4), **options), follow(sparse(2, 3, 4), **options)))
    assert comparison.verdict == ("passed" if column == "epoch" else "inconclusive")
    assert results(comparison)[check] == "not judged"
    judged = "3 of 6" if options == WITH_PLAN else "2 of 6"  # the plan knows every step
    assert f"at some steps; the {judged} judged agree" in comparison.check(check).detail


def test_samples_listed_at_some_steps_are_judged_there(follow, tmp_path):
    def listed(name, change=lambda rows: None):
        """A run that lists its ids in the first epoch only."""
        rows = list(PLAN.each_step(N))
        batches = [step.sample_ids.copy() for step in rows]
        change(batches)
        sizes, updates = np.array(list(map(len, batches))), np.array([step.update for step in rows])
        with xframe.record(tmp_path / f"{name}.trace") as rec:
            rec.block(ids=np.concatenate(batches[:3]), batch_sizes=sizes[:3], updates=updates[:3])
            rec.block(batch_sizes=sizes[3:], updates=updates[3:])
        return xframe.Trace.open(tmp_path / f"{name}.trace")

    comparison = consistent(xframe.compare(follow(), listed("same")))
    assert (comparison.verdict, results(comparison)["boundaries"]) == ("inconclusive", "not judged")
    assert "the 3 of 6 judged agree" in comparison.check("boundaries").detail
    other = listed("other", lambda batches: batches[1].__setitem__(0, batches[0][0]))
    comparison = departs(xframe.compare(follow(), other), 1, "boundaries")
    assert "1 of 4 samples differ" in comparison.check("boundaries").detail


@pytest.mark.parametrize("drop", [0, 2])
@pytest.mark.parametrize("options", [{}, WITH_PLAN])
def test_truncated(follow, drop, options):
    def change(rows):
        del rows[6 - drop :]

    for traces in (
        (follow(**options), follow(change, cut=True, **options)),
        (follow(change, cut=True, **options), follow(**options)),
        (follow(change, cut=True, **options), follow(change, cut=True, **options)),
    ):
        comparison = consistent(xframe.compare(*traces))
        assert (comparison.verdict, comparison.exit_code) == ("inconclusive", 4)
        assert "truncated" in comparison.endings.values()
        assert results(comparison)["boundaries"] == "pass"


def test_truncated_and_different(follow):
    departs(xframe.compare(follow(), follow(swap_inside, cut=True)), 3, "boundaries")
    longer = follow(lambda rows: rows.append(rows[0] | {"updates": 7}), cut=True)
    departs(xframe.compare(longer, plan=PLAN, num_samples=N), 6, "steps")


def test_interrupted(follow):
    shorter = lambda rows: rows.pop()  # noqa: E731
    interrupted = [follow(shorter, error=ValueError()) for _ in range(2)]
    for traces in (interrupted, [follow(), interrupted[0]], [interrupted[0], follow()]):
        comparison = consistent(xframe.compare(*traces))
        assert (comparison.verdict, comparison.exit_code) == ("inconclusive", 4)
    comparison = xframe.compare(follow(), interrupted[0])
    assert "a is interrupted by ValueError after 5 steps" in comparison.check("steps").detail
    departs(xframe.compare(follow(), follow(swap_inside, error=ValueError())), 3, "boundaries")


@pytest.mark.parametrize("order", ["exact", "coverage"])
def test_empty(follow, order):
    empty = lambda: follow(lambda rows: rows.clear())  # noqa: E731
    comparison = consistent(xframe.compare(empty(), empty(), order=order))
    assert (comparison.verdict, comparison.structure, comparison.numbers) == (
        "inconclusive",
        "not judged",
        "not judged",
    )
    for traces in ((empty(), follow()), (follow(), empty())):
        departs(xframe.compare(*traces, order=order), 0, "steps")
    departs(xframe.compare(empty(), order=order, **WITH_PLAN), 0, "steps")


# The plan


def test_different_plans(follow):
    other = PLAN.model_copy(update={"seed": 9})
    comparison = consistent(xframe.compare(follow(**WITH_PLAN), follow(plan=other, num_samples=N)))
    assert comparison  # they did the same
    assert comparison.plan is None
    assert any("different plans" in text for text in comparison.explanation)
    assert comparison.check("steps").rule.startswith("== ")
    assert comparison.check("steps").rule != "== plan"


def test_a_plan_that_cannot_be_applied_is_not_silent(follow):
    """Without the size of the data set there are no expected steps; the comparison must not look as if there were."""
    comparison = consistent(xframe.compare(follow(), follow(), plan=PLAN))
    assert any("plan" in text for text in comparison.explanation)
    comparison = consistent(xframe.compare(follow(**WITH_PLAN), follow(**{**WITH_PLAN, "num_samples": 11})))
    assert any("plan" in text for text in comparison.explanation)


def test_other_data(follow):
    same, other = ({"metadata": {"data_fingerprint": text}} for text in "xy")
    comparison = departs(xframe.compare(follow(**same), follow(**other)), 0, "boundaries")
    assert "hold different data" in comparison.check("boundaries").detail
    assert xframe.compare(follow(**same), follow(**same))
    assert xframe.compare(follow(**same), follow())


def test_other_initial_weights(follow):
    comparison = xframe.compare(*[follow(metadata={"weights_fingerprint": text}) for text in "xy"])
    assert any("did not start from the same weights" in text for text in comparison.explanation)


def test_nothing_to_compare_with(follow):
    for traces in ([], [follow()], [follow(plan=PLAN)]):
        with pytest.raises(
            xframe.UsageError, match=r"nothing to compare with.*expected two traces, or one with its plan"
        ):
            xframe.compare(*traces)
    with pytest.raises(xframe.UsageError, match=r"unknown order.*one of coverage, exact.*Did you mean 'coverage'"):
        xframe.compare(follow(), follow(), order="coverag")


def test_a_long_plan_and_a_short_run(follow, monkeypatch):
    """A run interrupted early is judged at once, however long its plan is."""
    asked = 0
    rows = counting.rows

    def counted(plan, num_samples, start, stop):
        nonlocal asked
        asked += stop - start
        assert asked <= 2**21, "more of the plan was unrolled than the run has steps"
        return rows(plan, num_samples, start, stop)

    monkeypatch.setattr(counting, "rows", counted)
    long = xframe.TrainingPlan(batch_size=4, epochs=10**9, seed=3)
    recorded = {"plan": PLAN, "num_samples": N}
    comparison = departs(xframe.compare(follow(**recorded), plan=long, num_samples=N), 6, "steps")
    assert comparison.first_difference["expected"]["batch_size"] == 4
    assert "a made 6 steps, the plan says 3,000,000,000" in comparison.check("steps").detail


# Names


def test_names(follow, runs):
    labels = lambda *names: list(  # noqa: E731
        xframe.compare(*(follow(metadata={"label": name} if name else {}) for name in names)).runs
    )
    assert labels("torch", "tensorflow") == ["torch", "tensorflow"]
    assert labels("torch", "torch") == ["c", "d"]
    assert len(labels("plan", "torch")) == 2
    assert "plan" not in labels("plan", "torch")
    same = [runs(runs.rows(PLAN, N), f"{folder}/run") for folder in map(_made(runs), "xy")]
    assert list(xframe.compare(*same).runs) == ["x/run", "y/run"]


def _made(runs):
    def make(name):
        (runs.folder / name).mkdir()
        return name

    return make


# Coverage


def reordered(seed):
    def change(rows):
        rng = np.random.default_rng(seed)
        for epoch in (0, 1):
            inside = [row for row in rows if row["epoch"] == epoch]
            mixed = np.split(rng.permutation(np.concatenate([row["ids"] for row in inside])), [4, 8])
            for row, ids in zip(inside, mixed, strict=True):
                row.update(ids=ids, loss=float(rng.random()))

    return change


@pytest.mark.parametrize("options", [{}, WITH_PLAN])
def test_coverage_of_other_orders(follow, options):
    traces = [follow(reordered(seed), **options) for seed in (1, 2)]
    comparison = consistent(xframe.compare(*traces, order="coverage"))
    assert (comparison.verdict, comparison.structure, comparison.numbers) == ("passed", "identical", "not judged")
    assert "drew the samples in different orders" in str(comparison)
    assert comparison.check("boundaries").rule.endswith("per pass")
    expected = {"lr": "pass", "loss": "not judged", "weights": "not judged"}  # a rate does not depend on the order
    assert expected.items() <= results(comparison).items()
    departs(xframe.compare(*traces), 0, "boundaries")


def test_coverage_of_the_same_order(follow):
    comparison = consistent(xframe.compare(follow(), follow(), order="coverage"))
    assert comparison
    assert comparison.numbers == "not judged"
    assert not any("different orders" in text for text in comparison.explanation)


@pytest.mark.parametrize("labels", ["both", "one", "none"])
def test_coverage_of_other_samples(follow, labels):
    def unlabelled(rows):
        for row in rows:
            row.pop("epoch")

    def replaced(rows):
        reordered(1)(rows)
        rows[4]["ids"][0] = rows[5]["ids"][0]
        if labels != "both":
            unlabelled(rows)

    reference = follow(unlabelled if labels == "none" else None)
    comparison = departs(xframe.compare(reference, follow(replaced), order="coverage"), 3, "boundaries")
    assert "1 samples differ" in comparison.check("boundaries").detail


@pytest.mark.parametrize("name", ["batch dropped", "last batch short", "update lost", "one step more"])
def test_coverage_of_other_structure(follow, name):
    change, step, check, *_ = STRUCTURAL[name]
    departs(xframe.compare(follow(reordered(1)), follow(change), order="coverage"), step, check)


@pytest.mark.parametrize("side", ["candidate", "reference"])
@pytest.mark.parametrize("steps", [1, 2, 4, 5])
def test_coverage_of_a_truncated_run(follow, side, steps):
    """Of a pass that was cut nobody knows which samples were to come."""

    def cut(rows):
        reordered(1)(rows)
        del rows[steps:]

    traces = [follow(), follow(cut, cut=True)]
    comparison = consistent(xframe.compare(*traces[:: 1 if side == "candidate" else -1], order="coverage"))
    assert (comparison.verdict, comparison.exit_code) == ("inconclusive", 4)


def test_coverage_across_passes(follow):
    """A sample that moved to another pass is a difference, though the whole run has the same samples."""

    def moved(rows):
        rows[0]["ids"][0], rows[3]["ids"][[*rows[3]["ids"]].index(other)] = other, rows[0]["ids"][0]

    rows = list(PLAN.each_step(N))
    other = next(i for i in rows[3].sample_ids.tolist() if i != rows[0].sample_ids[0])
    departs(xframe.compare(follow(), follow(moved), order="coverage"), 0, "boundaries")


def test_coverage_needs_ids(follow):
    comparison = consistent(xframe.compare(follow(), follow(reordered(1), ids=False), order="coverage"))
    assert (comparison.verdict, results(comparison)["boundaries"]) == ("inconclusive", "not judged")


# Any single departure is found


@pytest.mark.thorough
def test_any_departure_is_found_at_its_step(runs):
    plan = xframe.TrainingPlan(batch_size=3, epochs=3, seed=1)
    number = itertools.count()

    @given(st.integers(0, 11), st.sampled_from(["ids", "updates", "loss", "lr", "epoch"]))
    @settings(max_examples=60, deadline=None, derandomize=True)
    def check(at, column):
        rows = runs.rows(plan, 11)
        row = rows[at]
        if column == "ids":
            row["ids"] = row["ids"][::-1]
        else:
            row[column] += 1
        name = next(number)
        reference, candidate = runs(runs.rows(plan, 11), f"a{name}"), runs(rows, f"b{name}")
        departs(xframe.compare(reference, candidate), at, {"ids": "boundaries", "epoch": "epochs"}.get(column, column))

    check()


# Scripts that shuffle on their own, recorded in three lines


@pytest.fixture
def script(tmp_path):
    """Records an order of samples in batches as a script would; labels and the size of the data set are extras."""
    number = itertools.count()

    def make(order, batch, *, epochs=None, num_samples=None, loss=1.0):
        path = tmp_path / f"script{next(number)}.trace"
        with xframe.record(path, num_samples=num_samples) as rec:
            for i, ids in enumerate(order):
                assert len(ids) <= batch
                label = None if epochs is None else epochs[i]
                rec.step(ids=ids, updates=i + 1, loss=loss, epoch=label)
        return xframe.Trace.open(path)

    return make


def cut(stream, batch, drop=False):
    batches = [stream[i : i + batch] for i in range(0, len(stream), batch)]
    return [b for b in batches if len(b) == batch] if drop else batches


def passes(seed, samples, batch, drop=False):
    random = np.random.default_rng(seed)
    return [b for _ in range(3) for b in cut(random.permutation(samples), batch, drop)]


@pytest.mark.parametrize("num_samples", [12, None])
@pytest.mark.parametrize("batch", [4, 5])
def test_passes_are_found_without_labels(script, batch, num_samples):
    """Where no epoch is labelled, a pass ends when all samples have been through; shuffling over passes is found."""
    one, other = (script(passes(seed, 12, batch), batch, num_samples=num_samples) for seed in (1, 2))
    assert xframe.compare(one, other, order="coverage").verdict == "passed"
    random = np.random.default_rng(3)
    stream = random.permutation(np.tile(np.arange(12), 3))
    mixed = [b for i in range(3) for b in cut(stream[12 * i : 12 * (i + 1)], batch)]
    departs(xframe.compare(one, script(mixed, batch, num_samples=num_samples), order="coverage"), 0, "boundaries")


def test_dropped_remainders_under_coverage(script):
    """Scripts that drop what is left drop different samples: fine if told the size, undecided if not."""
    epochs = [0, 0, 1, 1, 2, 2]
    for options, verdict, told in (
        ({"epochs": epochs, "num_samples": 13}, "passed", "left some samples out"),
        ({"epochs": epochs}, "inconclusive", "give num_samples="),
        ({"num_samples": 13}, "inconclusive", "give epoch="),
        ({}, "inconclusive", "give epoch="),
    ):
        traces = [script(passes(seed, 13, 5, drop=True), 5, **options) for seed in (1, 2)]
        comparison = xframe.compare(*traces, order="coverage")
        assert (comparison.verdict, told in comparison.check("boundaries").detail) == (verdict, True), options


def test_coverage_says_when_a_loss_is_no_number(script):
    traces = [script(passes(seed, 12, 4), 4, loss=loss) for seed, loss in ((1, 1.0), (2, math.nan))]
    assert any("the loss is nan at step 0" in text for text in xframe.compare(*traces, order="coverage").explanation)
