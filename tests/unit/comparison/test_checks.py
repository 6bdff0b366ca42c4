"""Checks are found in their folder: a new one is one file, and shows in result, text, Markdown and JSON."""

import json
import sys

import pytest

import xframe
from xframe.comparison import checks
from xframe.report.markdown import markdown
from xframe.report.text import text

PLAN = xframe.TrainingPlan(batch_size=32, epochs=3, seed=1)
N = 900  # 87 steps
NEW = '''
"""No step's accuracy is lower than the reference's."""

from xframe.comparison.check import Check
from xframe.comparison.result import Judgement


class NoWorse(Check):
    name, title, rank, group = "no-worse", "no worse accuracy", 55, "numbers"
    shown = ("accuracy", "accuracy")
    first = None

    @classmethod
    def rule(cls, terms, runs):
        return ">= " + runs[0].name

    @classmethod
    def applies(cls, pair):
        return not pair.reference.is_plan

    @classmethod
    def values(cls, runs):
        return {run.name: f"{run.rows.value('accuracy', 0):.2f}" for run in runs}

    def feed(self, block):
        a, b = block.both("accuracy")
        lower = (a.values < b.values).nonzero()[0]
        if self.first is None and lower.size:
            self.first = block.start + int(lower[0])

    def judge(self):
        if self.first is None:
            return Judgement("pass")
        return Judgement("fail", self.first, f"step {self.first}: the accuracy is lower")
'''


@pytest.fixture
def run(runs):
    """Records a run of 87 steps that follows the plan but for what ``change`` does to its rows."""
    names = iter("abcdef")

    def run(change=None, **options):
        rows = runs.rows(PLAN, N)
        for row in rows:
            row["accuracy"] = 0.5
        if change is not None:
            change(rows)
        return runs(rows, next(names), **options)

    return run


@pytest.fixture
def new_check(monkeypatch, tmp_path):
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "no_worse.py").write_text(NEW, encoding="utf-8")
    monkeypatch.setattr(checks, "__path__", [*checks.__path__, str(folder)])
    checks.every.cache_clear()
    yield
    monkeypatch.undo()
    sys.modules.pop(f"{checks.__name__}.no_worse", None)
    checks.every.cache_clear()


@pytest.mark.usefixtures("new_check")
def test_a_new_check_is_one_file(run):
    comparison = xframe.compare(run(), run(lambda rows: rows[40].update(accuracy=0.48)))
    names = [check.name for check in comparison.checks]
    assert names[names.index("no-worse") - 1] == "lr"
    assert comparison.check("no-worse").detail == "step 40: the accuracy is lower"
    assert (comparison.verdict, comparison.structure, comparison.numbers) == ("failed", "identical", "different")
    for report in (text(comparison), markdown(comparison)):
        assert "no worse accuracy" in report
        assert "0.48" in report
    told = json.loads(json.dumps(comparison.to_dict()))
    assert told["checks"][names.index("no-worse")]["values"] == {"a": "0.50", "b": "0.50"}
    assert (told["first_difference"]["check"], told["first_difference"]["candidate"]["accuracy"]) == ("no-worse", 0.48)
    assert xframe.compare(run(), run()).check("no-worse").result == "pass"


def test_checks_are_told_apart():
    for order in ("exact", "coverage"):
        found = checks.of(order)
        assert len({check.name for check in found}) == len({check.title for check in found}) == len(found)
        assert [check.rank for check in found] == sorted({check.rank for check in found})
    assert checks.names() == ("steps", "boundaries", "updates", "epochs", "lr", "loss", "weights")
    inherited = [
        check for check in checks.every() if check.rule.__func__ is xframe.comparison.check.Check.rule.__func__
    ]
    assert all(hasattr(check, "each") for check in inherited), "each states what it requires"


def drop_a_batch(rows):
    del rows[50]


def shift_losses(rows):
    for row in rows[30:]:
        row["loss"] += 0.5


@pytest.mark.parametrize("change", [drop_a_batch, shift_losses])
@pytest.mark.parametrize("options", [{}, {"plan": PLAN, "num_samples": N}], ids=["alone", "plan"])
def test_each_column_is_read_at_most_three_times(run, monkeypatch, change, options):
    """By the checks, by what counts the rows, and by whoever explains a failure, together."""
    traces = run(**options), run(change, **options)
    read = {}
    between = xframe.Trace.between

    def counted(trace, name, start, stop):
        read[trace.path.stem, name] = read.get((trace.path.stem, name), 0) + 1
        return between(trace, name, start, stop)

    monkeypatch.setattr(xframe.Trace, "between", counted)
    comparison = xframe.compare(*traces)
    assert comparison.verdict == "failed"
    assert comparison.causes
    assert read
    assert max(read.values()) <= 3, read
