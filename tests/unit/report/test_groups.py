"""A page of many runs: only those that were meant to be alike are compared, and all are shown side by side."""

import json

import pytest
from outlines import Outline

import xframe
from xframe.cli.app import execute
from xframe.report.groups import GroupsView
from xframe.report.page.rendering import groups_page
from xframe.verification import compare_groups

UNKNOWN = object()


@pytest.fixture
def trial(runs, tmp_path):
    """A sweep's trial, under a plan with these fields; or a script's run, which states a seed and no plan."""

    def trial(name, change=None, stated=None, **fields):
        plan = xframe.TrainingPlan.from_mapping({"batch_size": 3, "epochs": 2, **fields})
        rows = runs.rows(plan, 8)
        if change:
            change(rows)
        if stated is None:
            return runs(rows, name, num_samples=8, plan=plan)
        with xframe.record(tmp_path / f"{name}.trace", num_samples=8) as rec:
            rec.settings({"seed.torch": stated} if stated is not UNKNOWN else {})
            for row in rows:
                rec.step(**row)
        return xframe.Trace.open(tmp_path / f"{name}.trace")

    return trial


def other_samples(rows):
    rows[2]["ids"] = rows[2]["ids"][:1]


def louder(rows):
    rows[2]["loss"] += 1


def test_each_run_of_a_sweep_is_compared_with_its_own_plan(trial):
    sizes_and_seeds = [(size, seed) for size in (4, 3) for seed in (1, 0)]
    view = compare_groups(*(trial(f"{b}-{seed}", batch_size=b, seed=seed) for b, seed in sizes_and_seeds))
    which = "4 runs of 4 plans, which differ in batch_size and seed, were not meant to be alike"
    assert (view.verdict, view.headline) == ("passed", f"{which}. Each did what its plan says")
    order = sorted(sizes_and_seeds)
    assert [row[0] for row in view.groups[1:]] == [f"batch_size {b}, seed {seed}" for b, seed in order]
    assert [row[:3] for row in view.table[1:]] == [[f"{b}-{seed}", str(b), str(seed)] for b, seed in order]
    assert view.parts == []


def test_runs_of_one_plan_among_others_are_compared_with_each_other(trial):
    given = [trial("a", seed=0), trial("b", louder, seed=0), trial("c", seed=1), trial("d", other_samples, seed=2)]
    view = compare_groups(*given)
    assert view.verdict == "failed"
    assert "4 runs of 3 plans, which differ in seed, were not all meant to be alike. With seed 0: " in view.headline
    assert "; 2 of 3 plans did not pass" in view.headline
    assert [row[:4] for row in view.groups[1:]] == [
        ["seed 0", "2", "failed", "step 2, loss"],
        ["seed 1", "1", "passed", ""],
        ["seed 2", "1", "failed", "step 2, batch boundaries"],
    ]
    page = Outline(groups_page(view)).text
    assert all(title in page for title in ("seed 0: failed", "seed 2: failed"))
    assert "seed 1: passed" not in page  # there is nothing more to say of it


def test_scripts_of_different_seeds_are_shown_and_those_of_one_compared(trial):
    runs = [trial(name, seed=seed, stated=seed) for name, seed in (("a", 0), ("b", 1), ("c", 2))]
    view = compare_groups(*runs)
    assert view.verdict == "not judged"
    assert view.headline == "3 runs of 3 seeds were not meant to be alike, so that none is compared with another"
    view = compare_groups(*runs, trial("d", louder, seed=1, stated=1))
    assert (view.verdict, [title for title, _ in view.parts]) == ("failed", ["seed 1"])


@pytest.mark.parametrize("case", ["two", "alike", "no seed", "order"])
def test_runs_that_nothing_shows_to_be_meant_otherwise_are_compared_with_the_first(trial, case):
    stated = {"alike": (0, 0, 0), "no seed": (UNKNOWN, 1, 2), "order": (0, 1, 2), "two": (0, 1)}[case]
    given = [trial(f"run {i}", stated=seed) for i, seed in enumerate(stated)]
    options = {"order": "exact"} if case == "order" else {}
    assert isinstance(compare_groups(*given, **options), xframe.Comparison)


def test_the_command_takes_a_sweeps_folder_and_says_what_it_shows(trial, tmp_path, capsys):
    (tmp_path / "trials").mkdir()
    for seed in (0, 1, 2):
        path = trial(f"<b>{seed}", seed=seed).path
        path.rename(tmp_path / "trials" / path.name)
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    assert execute(["report", str(tmp_path), "--out", str(pages[0])]) == 0
    assert "passed, 3 runs of 3 plans, which differ in seed," in capsys.readouterr().out
    assert execute(["report", str(tmp_path), "--out", str(pages[1]), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {**facts, "headline": ""} == {
        "page": str(pages[1]), "verdict": "passed", "headline": "", "runs": ["<b>0", "<b>1", "<b>2"],
    }  # fmt: skip
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert "<b>" not in pages[0].read_text()
    assert isinstance(compare_groups(tmp_path), GroupsView)
