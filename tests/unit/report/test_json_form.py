"""JSON says what the other forms say: the values behind them, with the sentence that they begin with."""

import json

import pytest

import xframe
from xframe.cli.app import execute
from xframe.report.json_form import dumped, json_form
from xframe.report.text import text
from xframe.report.view import View

PLAN = xframe.TrainingPlan(batch_size=3, epochs=2)


def other_batch(rows):
    rows[2]["ids"] = rows[2]["ids"][:1]


def cut_short(rows):
    del rows[-2:]


def not_finite(rows):
    rows[3]["loss"] = float("nan")


def same(rows):
    pass


@pytest.mark.parametrize("order", ["exact", "coverage"])
@pytest.mark.parametrize("plan", [PLAN, None])
@pytest.mark.parametrize("change", [same, other_batch, cut_short, not_finite])
def test_each_key_is_as_the_comparison_has_it(runs, change, plan, order):
    rows = runs.rows(PLAN, 8)
    reference = runs(rows, "reference <b>", plan=plan, num_samples=8)
    change(rows)
    comparison = xframe.compare(reference, runs(rows, "candidate", plan=plan, num_samples=8), order=order)
    view = View.of(comparison)
    before = dumped(comparison.to_dict(), indent=2)
    assert json_form(view).startswith(before.removesuffix("\n}") + ",\n")  # nothing of it moved or changed
    assert json.loads(json_form(view)) == {**json.loads(before), "headline": view.headline}


def test_the_command_and_the_terminal_say_one_verdict(runs, capsys):
    rows = runs.rows(PLAN, 8)
    files = [runs(rows, "one", plan=PLAN, num_samples=8)]
    other_batch(rows)
    files.append(runs(rows, "two", plan=PLAN, num_samples=8))
    comparison = xframe.compare(*files)
    assert execute(["compare", "--json", *(str(one.path) for one in files)]) == comparison.exit_code
    printed = json.loads(capsys.readouterr().out)
    assert printed["verdict"].upper() in text(comparison)
    assert printed["headline"] == View.of(comparison).headline
