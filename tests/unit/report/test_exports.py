"""A trace written for other tools: what they read is what was recorded, and xframe reads it back."""

import json
import math
import typing

import numpy as np
import pandas as pd
import pytest

import xframe
from xframe.cli import app as cli
from xframe.cli import exports as commands
from xframe.errors import TraceError, UsageError
from xframe.recording.logs import import_run
from xframe.report.exports import export_run
from xframe.report.exports.exporting import EXPORTS
from xframe.trace.schema import IMPORTABLE

ROWS = ("csv", "jsonl")


@pytest.fixture
def odd_rows(some_rows):
    """Rows with everything that text could get wrong: gaps, what is no number, signs, numbers of 17 digits."""
    losses = [0.1 + 0.2, math.nan, math.inf, -math.inf, -0.0, 1e-300, None]
    for row, loss in zip(some_rows, losses, strict=True):
        row["loss"] = loss
        row["also"] = {"gradient_norm": math.nan if row["updates"] == 3 else 1 / 3}
    del some_rows[2]["lr"]
    some_rows[4]["ids"] = np.array([], dtype=np.int64)
    some_rows[5]["updates"], some_rows[6]["updates"] = 2**53 + 1, 2**53 + 3
    return some_rows


@pytest.mark.parametrize("form", ROWS)
def test_rows_read_back_are_the_rows_that_were_recorded(tmp_path, runs, odd_rows, form):
    trace = runs(odd_rows, num_samples=8)
    exported = export_run(trace, tmp_path / f"run.{form}", form=form)
    import_run(exported.path, tmp_path / "again.trace", num_samples=8)
    again = xframe.Trace.open(tmp_path / "again.trace")
    assert again.certificate == trace.certificate
    same = [name for name in IMPORTABLE if name in exported.columns]
    assert {"ids", "loss", "lr", "gradient_norm", "epoch"} <= {*same}
    for name in same:
        values, known = (one.between(name, 0, 7) for one in (trace, again))
        np.testing.assert_array_equal(values.values, known.values, err_msg=name)
    np.testing.assert_array_equal(np.signbit(again.column("loss")), np.signbit(trace.column("loss")))


def test_pandas_reads_the_csv(tmp_path, runs, some_rows):
    trace = runs(some_rows, num_samples=8)
    frame = pd.read_csv(export_run(trace, tmp_path / "run.csv", form="csv").path)
    assert frame["loss"].tolist() == trace.column("loss").tolist()
    assert [[*map(int, ids.split())] for ids in frame["ids"]] == [ids.tolist() for ids in trace.batches()]
    assert frame["ids_digest"].tolist() == trace.frame()["ids_digest"].tolist()


def test_each_line_is_json_by_its_standard(tmp_path, runs, odd_rows):
    path = export_run(runs(odd_rows), tmp_path / "run.jsonl", form="jsonl").path

    def refused(word):
        raise AssertionError(word)

    rows = [json.loads(line, parse_constant=refused) for line in path.read_text().splitlines()]
    assert [row["loss"] for row in rows[:3]] == [0.1 + 0.2, "nan", "inf"]
    assert rows[0]["ids"] == [0, 1, 2]
    assert rows[2]["lr"] is None


def test_traces_of_many_blocks_are_written_whole(tmp_path):
    path = tmp_path / "long.trace"
    with xframe.record(path) as rec:
        for first in range(0, 140_000, 70_000):
            steps = np.arange(first, first + 70_000)
            rec.block(ids=steps, batch_sizes=np.ones_like(steps), updates=steps + 1, loss=1 / (steps + 1))
    assert len(xframe.Trace.open(path).source.bounds) > 2
    for form in ROWS:
        exported = export_run(path, tmp_path / f"long.{form}", form=form)
        import_run(exported.path, tmp_path / f"{form}.trace")
        assert xframe.Trace.open(tmp_path / f"{form}.trace").certificate == xframe.Trace.open(path).certificate


@pytest.mark.parametrize("form", ROWS)
def test_a_run_cut_short_is_not_made_to_look_whole(tmp_path, runs, some_rows, form):
    for trace in (runs(some_rows, "cut", cut=True), runs(some_rows, "failed", error=KeyError("x"))):
        with pytest.raises(TraceError, match=r"after 7 steps.*the run would look whole"):
            export_run(trace, tmp_path / "out", form=form)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", EXPORTS)
def test_nothing_is_overwritten_and_nothing_left_of_what_failed(tmp_path, runs, some_rows, form, monkeypatch):
    trace, out = runs(some_rows), tmp_path / "new" / "out"
    (tmp_path / "there").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        export_run(trace, tmp_path / "there", form=form)
    assert (tmp_path / "there").read_text() == "mine"

    def full(self, path):
        path.mkdir()
        (path / "some").write_text("of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EXPORTS[form], "write", full)
    with pytest.raises(OSError, match="No space"):
        export_run(trace, out, form=form)
    assert not out.exists()


def test_a_run_without_lists_of_ids_says_what_is_lost(tmp_path, runs, some_rows):
    exported = export_run(runs(some_rows, ids=False), tmp_path / "run.csv", form="csv")
    assert "ids" not in exported.columns
    assert "certified without them" in exported.remarks[0]


def test_the_command(tmp_path, runs, some_rows, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs(some_rows)
    assert cli.execute(["export", "run.trace", "--to", "csv", "--out", "run.csv"]) == 0
    assert capsys.readouterr().out.startswith("run.csv: 7 steps; step, ids_digest, batch_size, updates")
    assert cli.execute(["export", "run.trace", "--to", "jsonl", "--out", "run.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_steps"] == 7
    assert cli.execute(["export", "run.trace", "--to", "cvs", "--out", "x"]) == 2
    assert "Did you mean 'csv'?" in capsys.readouterr().err
    assert cli.execute(["export", "run.trace", "--to", "csv", "--out", "run.csv"]) == 2


def test_the_command_knows_every_form():
    (forms,) = (one for one in typing.get_type_hints(commands.export, include_extras=True).items() if one[0] == "to")
    assert typing.get_args(typing.get_args(forms[1])[0]) == tuple(EXPORTS)
