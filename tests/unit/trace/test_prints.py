"""Prints in a trace: three numbers for each sample, in any form of the file, and nothing where there are none."""

import numpy as np
import pytest
import torch

import xframe
from xframe.comparison.prints import numbers
from xframe.recording.identity import prints
from xframe.trace.rows import Rows
from xframe.trace.schema import PRINTS
from xframe.trace.writer import TraceWriter

SIZES = (3, 1, 4, 2)


def of(size, seed):
    return prints(np.random.default_rng(seed).random((size, 5)))


@pytest.fixture
def recorded(tmp_path):
    """Steps, the second without targets and the third on no known features, then a block."""
    with xframe.record(tmp_path / "a.trace") as rec:
        for step, size in enumerate(SIZES):
            also = {"features": torch.from_numpy(of(size, step)), "targets": of(size, 10 + step)}
            also |= {1: {"targets": None}, 2: {"features": None}}.get(step, {})
            rec.step(ids=np.arange(size), also=also)
        rec.flush()
        rec.block(batch_sizes=[2, 1], also={"features": of(3, 20)})
        rec.flush()
        yield tmp_path / "a.trace"


def test_they_are_read_as_they_were_given(recorded, tmp_path):
    journal = xframe.Trace.open(recorded)
    expected = [of(size, step) for step, size in enumerate(SIZES)]
    for name, known, made in (
        ("features", [True, True, False, True, True, True], [*expected[:2], expected[3], of(3, 20)]),
        ("targets", [True, False, True, True, False, False], [of(s, 10 + i) for i, s in enumerate(SIZES) if i != 1]),
    ):
        values, where = journal.between(name, 0, 6)
        assert where.tolist() == known
        assert np.array_equal(values.reshape(-1, 3), np.concatenate(made))
    assert journal.frame()["features"][0].tolist() == of(3, 0).ravel().tolist()
    rows = Rows.of_trace(journal)
    rows.column("features")
    assert np.array_equal(rows.between(1, 4).column("features").values.reshape(-1, 3), np.concatenate(made_of(1, 3)))
    assert numbers(of(3, 0)).shape == (3, 4)


def made_of(*steps):
    return [of(SIZES[step], step) for step in steps]


def test_a_closed_trace_has_the_same(recorded):
    journal = xframe.Trace.open(recorded)
    before = {name: [each.tolist() for each in journal.between(name, 0, 6)] for name in PRINTS}
    # What was recorded is closed by a recorder of its own.
    closed = recorded.with_suffix(".closed")
    writer = TraceWriter(closed, journal.metadata)
    writer.write({name: journal.between(name, 0, 6) for name in journal.columns})
    writer.close("complete")
    trace = xframe.Trace.open(closed)
    assert trace.path.read_bytes()[:4] == b"PAR1"
    assert {name: [each.tolist() for each in trace.between(name, 0, 6)] for name in PRINTS} == before
    assert trace.certificate == journal.certificate


def test_a_closed_trace_without_any_has_no_such_column(tmp_path):
    with xframe.record(tmp_path / "a.trace") as rec:
        rec.step(ids=[1], also={"loss_rows": 1})
    trace = xframe.Trace.open(tmp_path / "a.trace")
    assert not set(trace.columns) & {*PRINTS}
    assert trace.frame()["features"].isna().all()
    assert not trace.known_throughout("features")


def test_prints_of_another_number_of_samples_are_damage(tmp_path):
    writer = TraceWriter(tmp_path / "a.trace", {})
    with xframe.record(tmp_path / "b.trace") as rec:
        rec.step(ids=[1, 2], also={"features": of(2, 0)})
        rec.flush()
        good = xframe.Trace.open(tmp_path / "b.trace")
        columns = {name: good.between(name, 0, 1) for name in good.columns}
    columns["batch_size"] = columns["batch_size"]._replace(values=np.array([3]))
    for name in ("ids", "ids_digest"):
        del columns[name]
    columns["features"] = columns["features"]._replace(values=np.zeros(9, dtype=np.int64))
    writer.write(columns)
    assert xframe.Trace.open(tmp_path / "a.trace").num_rows == 1
    columns["features"] = columns["features"]._replace(known=np.array([True]))
    other = TraceWriter(tmp_path / "c.trace", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("xframe.trace.arrow", fromlist=["LISTS"]).LISTS, "features", 2)
        columns["features"] = columns["features"]._replace(values=np.zeros(6, dtype=np.int64))
        other.write(columns)
        patch.undo()
        with pytest.raises(
            xframe.TraceError, match="the features of its rows 0 to 0 are not those of their batch sizes"
        ):
            xframe.Trace.open(tmp_path / "c.trace")


def test_every_nan_has_one_form(tmp_path):
    odd = of(2, 0)
    odd.view("<f4").reshape(2, 6)[0, 2:4] = np.array([0xFFC00000, 0x7FC01234], "<u4").view("<f4")
    with xframe.record(tmp_path / "a.trace") as rec:
        rec.step(ids=[1, 2], also={"features": odd})
    values = xframe.Trace.open(tmp_path / "a.trace").column("features").reshape(2, 3)
    assert np.isnan(numbers(values)[0, :2]).all()
    assert values[0, 1] == np.array([np.nan, np.nan], "<f4").view("<i8")[0]
    assert values[1].tolist() == odd[1].tolist()
