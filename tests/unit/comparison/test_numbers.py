"""Labels, learning rates, losses and weights of runs that follow one plan."""

import math
import string

import numpy as np
import pytest
from following import WITH_PLAN, N, consistent, departs, failing, results

import xframe
from xframe.comparison.result import TOLERANCES, Tolerance
from xframe.trace import parquet
from xframe.trace.weights import weights_path

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


@pytest.mark.parametrize("rate", [math.nan, math.inf, 1e300, 1.7e308])
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
