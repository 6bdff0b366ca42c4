"""The comparison: runs that follow a plan, and runs that depart from it in one known place.

The plan has ten samples in batches of four, kept: steps of 4 4 2, 4 4 2.
"""

import itertools
import math

import numpy as np
import pytest
from following import (
    CHECKS,
    PLAN,
    STRUCTURAL,
    WITH_PLAN,
    N,
    consistent,
    departs,
    failing,
    results,
    swap_across,
    swap_inside,
    update_lost,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import part

import xframe
from xframe.plan import counting

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


# Never passed


def test_no_evidence_of_updates(follow):
    comparison = consistent(xframe.compare(follow(), follow(lambda rows: [row.pop("updates") for row in rows])))
    assert results(comparison)["updates"] == "not judged"
    assert (comparison.verdict, comparison.exit_code, comparison.structure) == ("inconclusive", 4, "not judged")
    assert "recorded no evidence of updates" in comparison.check("updates").detail


@pytest.mark.parametrize("options", [{}, WITH_PLAN, {"ids": False}])
@pytest.mark.parametrize("column", ["updates", "epoch"])
def test_what_some_steps_lack_is_judged_at_the_others(follow, column, options):
    """A difference at a step where both sides know the value fails there. Updates that agree there agree: they are
    counts, so that none between two of them is hidden; of labels, agreement there is not agreement."""

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
    judged = "3 of 6" if options == WITH_PLAN else "2 of 6"  # the plan knows every step
    if column == "epoch":
        assert comparison.verdict == "passed"
        assert results(comparison)[check] == "not judged"
        assert f"at some steps; the {judged} judged agree" in comparison.check(check).detail
    else:
        assert results(comparison)[check] == "pass"
        assert f"recorded at {judged} steps" in comparison.check(check).detail


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
        comparison = xframe.compare(*traces, order=order)
        departs(comparison, 0, "steps")
        assert comparison.causes == ()
        assert sum("has no steps: nothing was trained" in text for text in comparison.explanation) == 1
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


# Any single departure is found


@pytest.mark.sweep
@pytest.mark.thorough
def test_any_departure_is_found_at_its_step(runs):
    plan = xframe.TrainingPlan(batch_size=3, epochs=3, seed=1)
    number = itertools.count()

    @given(st.integers(0, 11), st.sampled_from(["ids", "updates", "loss", "lr", "epoch"]))
    @settings(max_examples=part(60), deadline=None, derandomize=True)
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
