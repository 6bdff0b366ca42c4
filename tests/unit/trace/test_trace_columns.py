"""The columns that a trace's head states: those of newer and older versions of xframe, in both forms."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest
from by_hand import frames_of, rewritten
from pyarrow import parquet

import xframe
from xframe.errors import NotATraceError
from xframe.trace.rows import Rows
from xframe.trace.schema import COLUMNS, SPARED, TABLE

LARGER = {
    "int64": pa.array([3, None, 5]),
    "float64": pa.array([0.5, None, 2.5]),
    "digest": pa.array([b"0" * 16, None, b"1" * 16], pa.binary(16)),
    "ids": pa.array([[1, 2], None, []], pa.list_(pa.int64())),
    "string": pa.array(["a", None, "longer"]),
    "bool": pa.array([True, None, False]),
}


@pytest.fixture(params=["closed", "journal", "killed"])
def trace(request, small, as_journal):
    """A trace of three rows in two blocks; killed, it has lost its last."""
    if request.param != "closed":
        as_journal(small)
    if request.param == "killed":
        os.truncate(small, frames_of(small.read_bytes())[2][1])
    return small


def with_column(place, kind, *, required=False, name="newer"):
    """A change that puts in a column that this version of xframe doesn't know."""

    def change(stated, columns):
        stated.insert(place, {"name": name, "kind": kind, "required": required})
        rows = len(columns["step"])
        start = columns["step"][0].as_py() if rows else 0
        before = list(columns.items())
        before.insert(place, (name, LARGER.get(kind, LARGER["bool"]).slice(start, rows)))
        columns.clear()
        columns.update(before)

    return change


def without_column(*names):
    """A change that leaves columns out, as a version did that didn't have them yet."""

    def change(stated, columns):
        stated[:] = [column for column in stated if column["name"] not in names]
        for name in names:
            del columns[name]

    return change


def content(path):
    trace = xframe.Trace.open(path)
    return trace.frame().to_json(), trace.columns, trace.certificate, trace.ending, trace.metadata, trace.counts()


def test_a_head_states_the_columns(small, as_journal):
    groups = [{"group": c.group} if c.group else {} for c in TABLE]
    facts = [{"name": c.name, "kind": c.kind, "required": c.required} for c in TABLE]
    stated = [fact | group for fact, group in zip(facts, groups, strict=True)]
    index = json.loads(parquet.read_metadata(small).metadata[b"xframe"])
    assert index["head"]["columns"] == [column for column in stated if column["name"] not in SPARED]  # nobody gave any
    _, start, stop = frames_of(as_journal(small).read_bytes())[0]
    assert json.loads(small.read_bytes()[start + 49 : stop])["columns"] == stated
    assert xframe.Trace.open(small).columns == COLUMNS


def test_rewritten_without_a_change_it_is_the_same(trace):
    before = content(trace)
    rewritten(trace, lambda stated, columns: None)
    assert content(trace) == before


@pytest.mark.parametrize("kind", LARGER)
@pytest.mark.parametrize("place", [0, 5, len(COLUMNS)])
def test_an_optional_column_that_it_does_not_know_is_ignored(trace, kind, place):
    before, data = content(trace), trace.read_bytes()
    rewritten(trace, with_column(place, kind))
    assert trace.read_bytes() != data
    assert content(trace) == before


def test_a_trace_with_a_newer_column_is_compared(small, runs):
    other = runs([{"ids": [k, k + 1], "updates": k + 1, "loss": 0.5, "lr": 0.1, "epoch": 0} for k in range(3)]).path
    rewritten(small, with_column(13, "float64"))
    assert xframe.compare(small, other)


@pytest.mark.parametrize("kind", ["int64", "tensor"])
def test_a_required_column_that_it_does_not_know_is_refused(trace, kind):
    rewritten(trace, with_column(13, kind, required=True, name="replica"))
    with pytest.raises(NotATraceError) as caught:
        xframe.Trace.open(trace)
    assert str(caught.value) == f"{trace} requires the column 'replica': expected {', '.join(COLUMNS)}. Update xframe."
    assert caught.value.exit_code == 2


def test_a_column_of_another_kind_is_refused(trace):
    def change(stated, columns):
        for column in stated:
            column["kind"] = "int64" if column["name"] == "loss" else column["kind"]

    rewritten(trace, change)
    with pytest.raises(NotATraceError, match=r"has the column 'loss' as int64: expected float64\. Update xframe\."):
        xframe.Trace.open(trace)


def test_an_optional_column_of_a_kind_that_it_does_not_know(trace):
    """Parquet says how to read past it; a journal doesn't."""
    before, closed = content(trace), trace.read_bytes().startswith(b"PAR1")
    rewritten(trace, with_column(4, "tensor"))
    if closed:
        assert content(trace) == before
        return
    with pytest.raises(NotATraceError, match=r"has the column 'newer' as tensor: expected int64, .*\. Update xframe\."):
        xframe.Trace.open(trace)


@pytest.mark.parametrize("change", [without_column("step"), lambda stated, columns: stated.clear()])
def test_a_head_without_the_columns_is_damage(trace, change):
    rewritten(trace, change)
    with pytest.raises(xframe.TraceError, match="is damaged: its head does not state its columns") as caught:
        xframe.Trace.open(trace)
    assert caught.value.exit_code == 4


def test_a_column_that_a_trace_lacks_is_unknown(trace):
    whole = xframe.Trace.open(trace)
    frame, rows, known, certificate = whole.frame(), whole.num_rows, Rows.of_trace(whole).known, whole.certificate
    lost = {"loss": np.nan, "accuracy": np.nan, "epoch": -1}
    rewritten(trace, without_column(*lost, "ids"))
    lacking = xframe.Trace.open(trace)
    assert set(lacking.columns) == set(whole.columns) - {*lost, "ids"}
    assert lacking.certificate == certificate
    for name, null in lost.items():
        values, where = lacking.between(name, 0, rows)
        assert repr(values.tolist()) == repr([null] * rows)
        assert where.tolist() == [False] * rows
        assert lacking.between(name, 1, 9).known.tolist() == [False] * (rows - 1)
        assert not lacking.known_throughout(name)
    assert lacking.column("ids").tolist() == []
    assert not lacking.has_ids
    assert lacking.frame()[[*lost, "ids"]].isna().all(axis=None)
    assert lacking.frame()["lr"].equals(frame["lr"])
    assert (lacking.counts().num_epochs, lacking.counts().samples_seen) == (None, 2 * rows)
    assert Rows.of_trace(lacking).known == known - {*lost, "ids"}


def test_a_certified_column_that_a_trace_lacks_is_unknown_to_the_certificate(trace, runs):
    rows = xframe.Trace.open(trace).num_rows
    rewritten(trace, without_column("updates"))
    lacking = xframe.Trace.open(trace)
    assert lacking.column("updates").tolist() == [-1] * rows
    assert lacking.certificate == runs([{"ids": [k, k + 1]} for k in range(rows)]).certificate


def test_equal_traces_of_different_columns_are_equal(small, runs):
    other = runs([{"ids": [k, k + 1], "updates": k + 1, "loss": 0.5, "lr": 0.1, "epoch": 0} for k in range(3)]).path
    rewritten(small, without_column("accuracy", "padding"))
    comparison = xframe.compare(small, other)
    assert comparison, comparison
    assert comparison.numbers == "identical"


def test_metadata_may_be_named_like_what_a_head_has(runs):
    metadata = {"format": 99, "columns": ["a"], "metadata": {"x": np.pi}}
    trace = runs([{"ids": [1]}], metadata=metadata)
    assert trace.complete
    assert metadata.items() <= trace.metadata.items()
