"""The trace file: what was written is read, and what was cut or changed is never taken for whole."""

import errno
import itertools
import json
import math
import os
import random
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import xframe
from xframe.errors import NotATraceError
from xframe.trace import files as tracefile
from xframe.trace.certificate import CERTIFICATE_BLOCK
from xframe.trace.files import FORMAT, MAGIC, SCHEMA, TraceWriter
from xframe.trace.schema import Column
from xframe.trace.trace import array_digest, open_different, weights_path

PLAN = xframe.TrainingPlan(batch_size=4, epochs=2)
COLUMNS = [field.name for field in SCHEMA]
FIXTURES = Path(__file__).parents[2] / "fixtures"
FRAME = struct.Struct("<cQ8s32s")  # of a journal: kind, length, check, digest


def content(trace):
    return trace.metadata, trace.ending, trace.end, trace.frame().to_json(), trace.certificate


@pytest.fixture
def small(runs):
    """A trace of two blocks."""
    path = runs.folder / "small.trace"
    with xframe.record(path, metadata={"note": "x"}) as rec:
        for k in range(3):
            rec.step(ids=[k, k + 1], updates=k + 1, loss=0.5, lr=0.1, epoch=0)
            if k == 1:
                rec.flush()
    return path


@pytest.fixture
def small_rows(tmp_path):
    """Where a trace may be recorded, alone in its folder, and what records three rows there."""
    (tmp_path / "alone").mkdir()

    def record(path):
        with xframe.record(path) as rec:
            for k in range(3):
                rec.step(ids=[k, k + 1], updates=k + 1, loss=0.5, lr=0.1, epoch=0)

    return tmp_path / "alone" / "small.trace", record


@pytest.fixture
def as_journal():
    """Makes a closed trace the journal it was: the same rows in frames of so many."""

    def journal(path, flush_each=2):
        trace = xframe.Trace.open(path)
        writer = TraceWriter(path.with_suffix(".journal"), trace.metadata)
        for start in range(0, trace.num_rows, flush_each):
            stop = min(start + flush_each, trace.num_rows)
            columns = {name: trace.between(name, start, stop) for name in COLUMNS}
            writer.write(columns)
        end = {name: value for name, value in trace.end.items() if name not in ("rows", "certificate")}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tracefile, "compact", lambda *_: None)
            writer.close(**end)
        return writer.path.replace(path)

    return journal


def frames_of(journal):
    """Kind, first byte and end of each frame of a journal."""
    at, found = len(MAGIC), []
    while at < len(journal):
        kind, length, _, _ = FRAME.unpack_from(journal, at)
        found.append((kind, at, at + FRAME.size + length))
        at = found[-1][2]
    return found


def chunk_places(path):
    """Of each row group of a closed trace, by column, the bytes that hold it."""
    metadata = parquet.read_metadata(path)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    columns = [[group.column(i) for i in range(group.num_columns)] for group in groups]
    return [
        {c.path_in_schema: (c.data_page_offset, c.data_page_offset + c.total_compressed_size) for c in group}
        for group in columns
    ]


def cuts(path):
    """Cuts the file at every byte, from its end to its first; each time, how much is left."""
    for size in reversed(range(path.stat().st_size)):
        os.truncate(path, size)
        yield size


def changes(path, masks):
    """Changes every byte of the file, one at a time, in each of these ways; each time, where."""
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at, mask in itertools.product(range(len(whole)), masks):
            os.pwrite(file.fileno(), bytes([whole[at] ^ mask]), at)
            yield at
            os.pwrite(file.fileno(), whole[at : at + 1], at)


def changed(data, at, mask):
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def edited(table, name, row, value):
    """The table with another value there."""
    values = table[name].to_pylist()
    values[row] = value
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))


def refuse(path):
    """Asserts that opening it says that it is damaged."""
    with pytest.raises(xframe.TraceError, match="is damaged") as caught:
        xframe.Trace.open(path)
    assert caught.value.exit_code == 4
    assert "record the run again" in str(caught.value)


class FullOnce:
    """A file on a disk that is full in the middle of the next long write, and has room again after it."""

    def __init__(self, file):
        self.file, self.full = file, False

    def write(self, data):
        if len(data) > 500 and not self.full:
            self.full = True
            self.file.write(bytes(data)[:400])
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


# Round trip


def test_every_column_comes_back(runs, some_rows):
    trace = runs(some_rows, plan=PLAN, num_samples=8, metadata={"label": "mine", "deep": {"a": [1, None]}})
    assert trace.complete
    assert (trace.ending, trace.num_rows, trace.name, trace.has_ids) == ("complete", 7, "mine", True)
    assert trace.metadata["plan"] == PLAN.to_dict()
    assert trace.metadata["num_samples"] == 8
    assert trace.metadata["deep"] == {"a": [1, None]}
    assert "format" not in trace.metadata
    assert trace.column("step").tolist() == list(range(7))
    assert trace.column("batch_size").tolist() == [3, 3, 2, 3, 3, 2, 3]
    for name in ("updates", "update_attempts", "loss", "lr", "epoch", "step_in_epoch", "padding"):
        assert trace.column(name).tolist() == [row[name] for row in some_rows]
        assert trace.known(name).all()
    assert [ids.tolist() for ids in trace.batches()] == [row["ids"].tolist() for row in some_rows]
    assert trace.ids(2).tolist() == some_rows[2]["ids"].tolist()
    times = trace.column("time_ns")
    assert (np.diff(times) >= 0).all()
    assert 0 <= times[0] <= times[-1] < 60e9


def test_frame(runs, some_rows):
    frame = runs(some_rows).frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == COLUMNS
    assert frame["batch_size"].tolist() == [3, 3, 2, 3, 3, 2, 3]
    assert frame["ids"][0].tolist() == some_rows[0]["ids"].tolist()
    assert frame["ids_digest"].str.fullmatch("[0-9a-f]{32}").all()


def test_null_is_not_nan(runs):
    trace = runs(
        [{"ids": [1], "loss": None}, {"ids": [2], "loss": math.nan, "updates": 1}, {"ids": [3], "loss": -math.inf}]
    )
    assert trace.known("loss").tolist() == [False, True, True]
    assert np.isnan(trace.column("loss")[:2]).all()
    assert trace.column("loss")[2] == -math.inf
    assert trace.known("updates").tolist() == [False, True, False]
    assert trace.column("updates").tolist() == [-1, 1, -1]
    assert not trace.known("lr").any()
    assert trace.name == "run"


@pytest.mark.parametrize("keep", [True, False])
def test_ids_off(runs, some_rows, keep):
    trace = runs(some_rows, ids=keep)
    assert trace.has_ids is keep
    assert trace.known("ids_digest").all()
    assert trace.certificate == runs(some_rows, "again").certificate
    if not keep:
        with pytest.raises(xframe.UsageError, match=r"lists no sample ids.*expected one recorded with ids"):
            trace.ids(0)


def test_no_rows(runs):
    trace = runs([])
    assert trace.complete
    assert (trace.num_rows, trace.has_ids, list(trace.batches())) == (0, False, [])
    assert trace.frame().shape == (0, len(COLUMNS))
    assert trace.counts().num_steps == 0
    assert trace.counts().last_batch_size is None
    assert all(len(trace.column(name)) == 0 for name in COLUMNS if name != "ids")


def test_empty_batches(runs):
    trace = runs([{"ids": []}, {"ids": [7]}])
    assert trace.column("batch_size").tolist() == [0, 1]
    assert [ids.tolist() for ids in trace.batches()] == [[], [7]]


# Certificate


def test_the_certificate_does_not_depend_on_blocks(runs):
    num_rows = 2 * CERTIFICATE_BLOCK + 5
    sizes = np.arange(num_rows) % 3 + 1
    flat = np.arange(sizes.sum()) % 1000
    ends = sizes.cumsum()

    def written(cuts, name):
        with xframe.record(runs.folder / name) as rec:
            for begin, end in itertools.pairwise([0, *cuts, num_rows]):
                low = ends[begin - 1] if begin else 0
                updates = np.arange(begin, end) + 1
                rec.block(ids=flat[low : ends[end - 1]], batch_sizes=sizes[begin:end], updates=updates)
        return xframe.Trace.open(runs.folder / name)

    one = written([], "one")
    assert one.end["certificate"] == one.certificate
    for i, cuts in enumerate(
        [[1], [CERTIFICATE_BLOCK], [CERTIFICATE_BLOCK - 1, CERTIFICATE_BLOCK + 1], range(700, 8000, 700)]
    ):
        assert written(cuts, f"b{i}").certificate == one.certificate
    steps = [
        {"ids": flat[end - size : end], "updates": k + 1} for k, (end, size) in enumerate(zip(ends, sizes, strict=True))
    ]
    assert runs(steps).certificate == one.certificate
    assert runs(steps[:-1], "shorter").certificate != one.certificate


CHANGES = {
    "ids": lambda rows: rows[3].update(ids=rows[3]["ids"] + 1),
    "order in a batch": lambda rows: rows[3].update(ids=rows[3]["ids"][::-1]),
    "batch": lambda rows: rows[3].update(ids=rows[3]["ids"][:-1]),
    "updates": lambda rows: rows[3].update(updates=3),
    "no updates": lambda rows: rows[3].update(updates=None),
    "one row less": lambda rows: rows.pop(),
    "rows swapped": lambda rows: rows.insert(2, rows.pop(3)),
}
NO_CHANGES = {
    "loss": lambda rows: rows[3].update(loss=9.0),
    "lr": lambda rows: rows[3].update(lr=None),
    "attempts": lambda rows: rows[3].update(update_attempts=99),
    "epoch": lambda rows: rows[3].update(epoch=5),
    "step_in_epoch": lambda rows: rows[3].update(step_in_epoch=None),
    "padding": lambda rows: rows[3].update(padding=1),
    "ids as int32": lambda rows: rows[3].update(ids=rows[3]["ids"].astype(np.int32)),
    "ids as list": lambda rows: rows[3].update(ids=rows[3]["ids"].tolist()),
}


@pytest.mark.parametrize(
    ("change", "same"),
    [*((c, False) for c in CHANGES.values()), *((c, True) for c in NO_CHANGES.values())],
    ids=[*CHANGES, *NO_CHANGES],
)
def test_what_the_certificate_covers(runs, some_rows, change, same):
    before = runs(some_rows, "before").certificate
    change(some_rows)
    assert (runs(some_rows, "after").certificate == before) is same


def test_certificate_is_what_it_was(runs):
    assert (
        runs([{"ids": [0, 1], "updates": 1}, {"ids": [2], "updates": 2}]).certificate
        == "xf1-7df7f178d5a87763e54ebc69030244297912e92a"
    )
    assert runs([], "empty").certificate == "xf1-fb940113a1dce17abb0e3440aa387e8ae7a26b89"


# Damage


def test_both_forms_say_the_same(small, as_journal):
    assert small.read_bytes().startswith(b"PAR1")
    closed, journal = xframe.Trace.open(small), xframe.Trace.open(as_journal(small))
    assert small.read_bytes().startswith(MAGIC)
    assert content(closed) == content(journal)
    assert closed.complete
    assert closed.num_rows == 3


def test_a_closed_trace_cut_at_every_byte(small):
    for _ in cuts(small):
        with pytest.raises(xframe.TraceError):
            xframe.Trace.open(small)


def test_a_journal_cut_at_every_byte(small, as_journal):
    """What was flushed stays readable, and is truncated: never whole, never damaged."""
    frames = frames_of(as_journal(small).read_bytes())
    for size in cuts(small):
        if size < len(MAGIC):
            with pytest.raises(NotATraceError):
                xframe.Trace.open(small)
            continue
        trace = xframe.Trace.open(small)
        written = sum(kind == b"B" and stop <= size for kind, _, stop in frames)
        assert (trace.ending, trace.complete, trace.end) == ("truncated", False, {})
        assert trace.num_rows == (0, 2, 3)[written], size


@pytest.mark.parametrize("form", ["closed", "journal", "killed"])
def test_a_changed_byte_anywhere(small, as_journal, form):
    if form != "closed":
        as_journal(small)
    if form == "killed":  # just after a flush
        os.truncate(small, frames_of(small.read_bytes())[-1][1])
        assert xframe.Trace.open(small).ending == "truncated"
    for _ in changes(small, masks=(0x01, 0x80, 0xFF)):
        with pytest.raises(xframe.TraceError) as caught:
            xframe.Trace.open(small)
        assert str(small) in str(caught.value)
        assert caught.value.exit_code in (2, 4)


@pytest.mark.parametrize("left", [1, 40, 60])
def test_a_changed_byte_in_a_frame_that_was_cut(small, as_journal, left):
    """Only what the missing rest of a frame would have vouched for is taken for the cut that it is."""
    _, start, _ = frames_of(as_journal(small).read_bytes())[2]
    os.truncate(small, start + left)
    unnoticed = []
    for at in changes(small, masks=(0x10,)):
        try:
            trace = xframe.Trace.open(small)
        except xframe.TraceError:
            continue
        unnoticed.append(at - start)
        assert (trace.ending, trace.num_rows) == ("truncated", 2)
    kind_length_and_check = 17 if left >= FRAME.size else 0
    assert unnoticed == list(range(kind_length_and_check, left))


def test_frames_left_out_doubled_or_swapped(runs, as_journal):
    """Whole frames moved about are no trace: each digest goes over all that came before."""
    path = runs.folder / "frames.trace"
    with xframe.record(path) as rec:
        for k in range(5):
            rec.step(ids=[k], updates=k + 1)
            rec.flush()
    whole = as_journal(path, flush_each=1).read_bytes()
    head, *frames = (whole[start:stop] for _, start, stop in frames_of(whole))
    *blocks, end = frames
    head = MAGIC + head
    assert head + b"".join(blocks) + end == whole
    other = runs.folder / "other.trace"
    for chosen in ([0, 1, 3], [1, 2, 3, 4], [0, 2, 1, 3, 4], [0, 1, 1, 2, 3, 4], [0, 1, 2, 3], [0, 1, 2, 3, 4, 4], []):
        other.write_bytes(head + b"".join(blocks[i] for i in chosen) + end)
        refuse(other)
    for moved in (
        end + head,
        head + end + b"".join(blocks),
        whole + end,
        whole + blocks[0],
        whole + b"\0",
        MAGIC + end,
    ):
        other.write_bytes(moved if moved.startswith(MAGIC) else MAGIC + moved.replace(MAGIC, b""))
        refuse(other)
    for count in range(5):
        other.write_bytes(head + b"".join(blocks[:count]))
        trace = xframe.Trace.open(other)
        assert (trace.ending, trace.num_rows) == ("truncated", count)


def test_frames_of_two_traces_mixed(runs, as_journal):
    """Of runs with the same head, the same first block, and as many rows: each vouches for its own rows alone."""
    metadata, rows = {"note": "x"}, [np.arange(3), np.array([0, 1, 3])]
    files = []
    for name, updates in zip("ab", rows, strict=True):
        writer = TraceWriter(runs.folder / f"{name}.trace", metadata)
        for k in range(3):
            writer.write({"step": Column(np.array([k])), "updates": Column(updates[k : k + 1])})
        writer.close("complete")
        whole = as_journal(writer.path, flush_each=1).read_bytes()
        files.append([whole[start:stop] for _, start, stop in frames_of(whole)])
    first, second = files
    assert (first[:3] == second[:3], first[3] == second[3]) == (True, False)
    mixed = runs.folder / "mixed.trace"
    for frames in (first[:3] + second[3:4] + first[4:], second[:4] + first[4:], first[:4] + second[4:]):
        mixed.write_bytes(MAGIC + b"".join(frames))
        refuse(mixed)


EDITS = {
    "nothing": lambda table: table,
    "a loss": lambda table: edited(table, "loss", 1, 0.25),
    "an update": lambda table: edited(table, "updates", 1, 1),
    "a learning rate": lambda table: edited(table, "lr", 0, 0.1 + 2**-55),
    "a time": lambda table: edited(table, "time_ns", 2, 7),
    "a batch's ids": lambda table: edited(table, "ids", 1, [1, 3]),
    "a batch's digest": lambda table: edited(table, "ids_digest", 1, bytes(16)),
    "a label": lambda table: edited(table, "epoch", 2, None),
    "a row left out": lambda table: table.slice(0, 2),
    "rows appended": lambda table: pa.concat_tables([table, table.slice(2)]),
    "rows swapped": lambda table: table.take([1, 0, 2]),
    "a column left out": lambda table: table.drop_columns("loss"),
    "a column more": lambda table: table.append_column("more", table["loss"]),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_written_anew_with_all_metadata_kept(small, edit):
    """By pyarrow, as someone would who edits a number: the digests in the metadata are of the bytes that were."""
    metadata = parquet.read_metadata(small).metadata
    parquet.write_table(edit(parquet.read_table(small)).replace_schema_metadata(metadata), small)
    assert metadata.items() <= parquet.read_metadata(small).metadata.items()
    refuse(small)


METADATA = {
    "a fact": (b'"note": "x"', b'"note": "y"'),
    "the outcome": (b'"outcome": "complete"', b'"outcome": "comp1ete"'),
    "the number of rows": (b'"rows": 3', b'"rows": 4'),
    "the certificate": (b'"xf1-', b'"xf2-'),
    "the format": (b'"format": 3', b'"format": 1'),
    "a block's digest": (b'"structure": "', b'"structurE": "'),
    "the digest": (b"blake2b-256:", b"blake2b-512:"),
    "a column's name": (b"updates", b"upd4tes"),
}


@pytest.mark.parametrize(("before", "after"), METADATA.values(), ids=METADATA)
def test_edited_metadata(small, before, after):
    whole = small.read_bytes()
    assert before in whole
    small.write_bytes(whole.replace(before, after))
    refuse(small)


def test_a_forged_digest(small):
    whole = small.read_bytes()
    (digest,) = re.findall(rb"blake2b-256:([0-9a-f]{64})", whole)
    for other in (b"0" * 64, digest.upper(), digest[::-1], digest[1:] + b"0"):
        small.write_bytes(whole.replace(digest, other))
        refuse(small)


def test_blocks_of_a_closed_trace_moved_about(runs, monkeypatch):
    monkeypatch.setattr(tracefile, "BLOCK_ROWS", 4)
    path, other = runs.folder / "blocks.trace", runs.folder / "other.trace"
    for file, shift in ((path, 0), (other, 1)):
        with xframe.record(file, ids=False) as rec:
            rec.block(batch_sizes=np.full(16, 2), ids=np.arange(32) + shift, updates=np.arange(16))
    whole, foreign = path.read_bytes(), other.read_bytes()
    places, theirs = chunk_places(path), chunk_places(other)
    assert len(places) == 4
    for name in ("ids_digest", "updates"):
        (a, b), (c, d) = places[1][name], places[2][name]
        assert b - a == d - c
        path.write_bytes(whole[:a] + whole[c:d] + whole[b:c] + whole[a:b] + whole[d:])
        refuse(path)
    (a, b), (c, d) = places[3]["ids_digest"], theirs[3]["ids_digest"]
    assert b - a == d - c
    path.write_bytes(whole[:a] + foreign[c:d] + whole[b:])
    refuse(path)


def test_a_changed_byte_under_an_unknown_value_is_damage(runs, monkeypatch):
    """A column of unknown values is zeros in a journal; they are vouched for too."""
    monkeypatch.setattr(tracefile, "compact", lambda *_: None)
    path = runs.folder / "unknown.trace"
    with xframe.record(path) as rec:
        for k in range(200):
            rec.step(ids=[k])
    whole = path.read_bytes()
    at = whole.rindex(bytes(8 * 200)) + 8  # inside the longest run of zeros: a column that was never given
    path.write_bytes(changed(whole, at, 0x01))
    refuse(path)


@pytest.mark.parametrize("name", ["format1", "format1-killed"])
def test_damage_to_a_trace_of_format_1(tmp_path, name):
    """Its digests cover every value but not Arrow's own framing: what is not refused says the same, or is truncated."""
    damaged = tmp_path / f"{name}.trace"
    shutil.copy(FIXTURES / damaged.name, damaged)
    told = content(xframe.Trace.open(damaged))
    for at in itertools.chain(changes(damaged, masks=(0x01, 0xFF)), cuts(damaged)):
        try:
            trace = xframe.Trace.open(damaged)
        except xframe.TraceError:
            continue
        assert trace.ending == "truncated" or content(trace) == told, at


# Where writing fails


def test_killed_while_it_is_made_compact(small_rows, monkeypatch):
    """The journal has its end and stays whole; the file that was begun beside it does no harm."""
    path, record = small_rows

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        record(path)
    monkeypatch.undo()
    assert path.read_bytes().startswith(MAGIC)
    assert sorted(file.name for file in path.parent.iterdir()) == [f".{path.name}.closing", path.name]
    trace = xframe.Trace.open(path)
    assert (trace.ending, trace.num_rows) == ("complete", 3)
    assert trace.certificate == trace.end["certificate"]
    path.unlink()
    record(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert xframe.Trace.open(path).certificate == trace.certificate


@pytest.mark.parametrize("where", ["os.replace", "pyarrow.parquet.ParquetWriter.write_batch"])
def test_disk_full_while_it_is_made_compact(small_rows, monkeypatch, where):
    path, record = small_rows

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, full)
    record(path)
    monkeypatch.undo()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes().startswith(MAGIC)
    trace = xframe.Trace.open(path)
    assert (trace.ending, trace.num_rows) == ("complete", 3)
    assert trace.end["certificate"] == trace.certificate


def test_disk_full_while_rows_are_written(runs):
    """The rows before stay readable, and the loop is told what happened."""
    path = runs.folder / "full.trace"

    def training():
        with xframe.record(path) as rec:
            rec.step(ids=[0], updates=1)
            rec.flush()
            rec._writer._file = FullOnce(rec._writer._file)
            rec.step(ids=[1], updates=2)
            rec.flush()

    with pytest.raises(OSError, match="No space left"):
        training()
    trace = xframe.Trace.open(path)
    assert not trace.complete
    assert trace.num_rows == 1


def test_the_working_directory_may_change_while_recording(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with xframe.record("run.trace") as rec:
        rec.step(ids=[0], updates=1)
        os.chdir("elsewhere")
    assert xframe.Trace.open(tmp_path / "run.trace").complete


def test_metadata_may_hold_what_looks_like_a_digest(runs):
    trace = runs([{"ids": [1]}], metadata={"data": "blake2b-256:" + "a" * 64})
    assert trace.complete
    assert trace.path.read_bytes().startswith(b"PAR1")


# Unknown values


@pytest.mark.parametrize("flush", [False, True])
def test_masked_and_missing_values(runs, as_journal, flush):
    """In a block as one by one, in the journal as in the closed trace."""
    path = runs.folder / "masked.trace"
    masked = np.ma.array
    with xframe.record(path) as rec:
        rec.block(
            ids=np.arange(4),
            batch_sizes=[1, 0, 3],
            updates=masked([1, 99, 3], mask=[0, 1, 0]),
            loss=masked([0.5, np.nan, 9.0], mask=[0, 0, 1]),
            epoch=masked([5, 5, 5], mask=True),
        )
        if flush:
            rec.flush()
        rec.block(batch_sizes=[2, 2], lr=[0.1, np.inf])
        rec.step(ids=[7, 8], updates=4)
    for trace in (xframe.Trace.open(path), xframe.Trace.open(as_journal(path))):
        assert trace.column("batch_size").tolist() == [1, 0, 3, 2, 2, 2]
        assert trace.column("updates").tolist() == [1, -1, 3, -1, -1, 4]
        assert trace.known("updates").tolist() == [True, False, True, False, False, True]
        assert repr(trace.column("loss").tolist()) == "[0.5, nan, nan, nan, nan, nan]"
        assert trace.known("loss").tolist() == [True, True, False, False, False, False]
        assert repr(trace.column("lr").tolist()) == "[nan, nan, nan, 0.1, inf, nan]"
        assert not trace.known("epoch").any()
        assert trace.column("epoch").tolist() == [-1] * 6
        assert trace.known("ids").tolist() == trace.known("ids_digest").tolist() == [True] * 3 + [False] * 2 + [True]
        assert trace.column("ids").tolist() == [0, 1, 2, 3, 7, 8]
        assert trace.end["certificate"] == trace.certificate
        assert not trace.has_ids


def test_masked_batch_sizes(tmp_path):
    """In a process of its own, which must not die of it."""
    script = """if True:
        import numpy as np, xframe
        try:
            with xframe.record("x.trace") as rec:
                sizes = np.ma.array([2, 3, 2], mask=[False, True, False])
                rec.block(ids=np.arange(7), batch_sizes=sizes, updates=[1, 2, 3])
        except xframe.UsageError:
            pass
        xframe.Trace.open("x.trace").frame()
    """
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-500:]


def test_ids_off_in_both_forms(runs, some_rows, as_journal):
    path = runs(some_rows, ids=False).path
    closed, journal = content(xframe.Trace.open(path)), content(xframe.Trace.open(as_journal(path)))
    assert closed == journal


# Memory


def test_memory_does_not_grow_with_steps(tmp_path):
    """Three million steps take what one million do, closed and killed: recorded, opened, certified and counted."""
    script = """if True:
        import resource, sys
        from itertools import pairwise
        import numpy as np, pyarrow.parquet, xframe

        def rest(rec, steps, done=0):
            while done < steps:
                count = min(100_000, steps - done)
                updates = np.arange(done, done + count) + 1
                rec.block(batch_sizes=np.full(count, 8), updates=updates, loss=1 / updates)
                done += count

        def work(steps):
            with xframe.record(f"{steps}.trace") as rec:
                rest(rec, steps)
                with open(f"{steps}.trace", "rb") as file, open(f"{steps}-killed.trace", "wb") as copy:
                    while chunk := file.read(1 << 20):
                        copy.write(chunk)
            for name in (f"{steps}.trace", f"{steps}-killed.trace"):
                trace = xframe.Trace.open(name)
                assert trace.counts().num_updates == steps
                certificates.add(trace.certificate)
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

        certificates = set()
        few, many = work(1_000_000), work(3_000_000)
        assert len(certificates) == 2, certificates
        print(many - few)
    """
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-500:]
    assert int(ended.stdout) < 40, f"{ended.stdout} MiB"  # the certified columns of the rows between are 76 MiB


# What is no trace


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"step,loss\n1,2\n",
        b"\0" * 5000,
        b"\xff" * 5000,
        "Schritt für Schritt\n".encode() * 300,
        b"ARROW1\0\0",
    ],
    ids=["empty", "a zero", "text", "zeros", "ones", "prose", "arrow file"],
)
def test_what_is_no_trace(tmp_path, data):
    path = tmp_path / "x.trace"
    path.write_bytes(data)
    with pytest.raises(NotATraceError, match=r"not a trace.*expected a file written by xframe.record") as caught:
        xframe.Trace.open(path)
    assert caught.value.exit_code == 2


def test_random_bytes(tmp_path):
    path = tmp_path / "x.trace"
    rng = random.Random(0)
    for size in range(0, 3000, 30):
        path.write_bytes(rng.randbytes(size))
        with pytest.raises(NotATraceError):
            xframe.Trace.open(path)


@pytest.mark.parametrize(
    "metadata", [None, {"other": "1"}, {"xframe": "["}, {"xframe": b"\xff"}, {"xframe": "[1]"}, {"xframe": "3"}]
)
def test_an_arrow_stream_that_is_no_trace(tmp_path, metadata):
    path = tmp_path / "x.trace"
    with pyarrow.ipc.new_stream(path, SCHEMA.with_metadata(metadata)):
        pass
    with pytest.raises(NotATraceError, match="not a trace"):
        xframe.Trace.open(path)


def test_other_columns(tmp_path):
    path = tmp_path / "x.trace"
    schema = pa.schema([("step", pa.int64())]).with_metadata({"xframe": json.dumps({"format": 1})})
    with pyarrow.ipc.new_stream(path, schema):
        pass
    with pytest.raises(xframe.TraceError, match="its columns are not those"):
        xframe.Trace.open(path)


def test_a_parquet_file_that_is_no_trace(tmp_path):
    path = tmp_path / "x.trace"
    for metadata in ({}, {"xframe": "{}"}, {"xframe.digest": "blake2b-256:" + "0" * 64}):
        parquet.write_table(pa.table({"step": [0, 1]}).replace_schema_metadata(metadata), path)
        with pytest.raises(
            xframe.TraceError, match=r"is damaged: .*(a Parquet file that is no trace|not what was written)"
        ):
            xframe.Trace.open(path)


def newer_stream(path, monkeypatch):
    with pyarrow.ipc.new_stream(path, SCHEMA.with_metadata({"xframe": json.dumps({"format": FORMAT + 1})})):
        pass


def newer_closed(path, monkeypatch):
    monkeypatch.setattr(tracefile, "FORMAT", FORMAT + 1)
    TraceWriter(path, {}).close("complete")
    monkeypatch.undo()


def newer_journal(path, monkeypatch):
    path.write_bytes(MAGIC.replace(b"3", b"4") + b"whatever it is that follows there" * 20)


@pytest.mark.parametrize(
    "newer",
    [
        newer_stream,
        newer_closed,
        newer_journal,
    ],
)
def test_a_newer_format(tmp_path, monkeypatch, newer):
    path = tmp_path / "x.trace"
    newer(path, monkeypatch)
    expected = f"x.trace is a trace of format {FORMAT + 1}: expected format 1 to {FORMAT}. Update xframe"
    with pytest.raises(NotATraceError, match=expected) as caught:
        xframe.Trace.open(path)
    assert caught.value.exit_code == 2


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.trace", tmp_path, str(tmp_path)):
        with pytest.raises(NotATraceError, match="cannot read the trace") as caught:
            xframe.Trace.open(path)
        assert caught.value.exit_code == 2


def test_the_end_says_what_ended_the_run(tmp_path):
    path = tmp_path / "x.trace"
    TraceWriter(path, {}).close("interrupted by Me")
    trace = xframe.Trace.open(path)
    assert (trace.ending, trace.complete, trace.num_rows) == ("interrupted by Me", False, 0)


def test_opened_together(runs, some_rows):
    first, second = runs(some_rows, "a"), runs(some_rows, "b")
    assert [trace.path for trace in open_different([first.path, second.path])] == [first.path, second.path]
    with pytest.raises(xframe.UsageError, match="compared with itself"):
        open_different([first.path, runs.folder / "x" / ".." / "a.trace"])


# Weights


def test_weights_beside_the_trace(runs, some_rows):
    weights = {"dense_0/kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3), "dense_0/bias": np.zeros(3)}
    trace = runs(some_rows, weights=weights)
    file = weights_path(trace.path)
    assert file == runs.folder / "run.weights.npz"
    read = trace.weights()
    assert {name: (values.dtype, values.tolist()) for name, values in read.items()} == {
        name: (values.dtype, values.tolist()) for name, values in weights.items()
    }
    assert trace.end["weights"] == {name: array_digest(values) for name, values in weights.items()}
    assert runs(some_rows, "none").weights() is None
    file.unlink()
    assert trace.weights() is None


@pytest.mark.parametrize(
    "tampered",
    [
        {"w": np.array([1.0, 2.0, 3.5])},
        {"w": np.array([1.0, 2.0, 3.0], dtype=np.float32)},
        {"w": np.array([[1.0, 2.0, 3.0]])},
        {"v": np.array([1.0, 2.0, 3.0])},
        {"w": np.array([1.0, 2.0, 3.0]), "v": np.zeros(1)},
        {},
        {"w": np.array([None, 1], dtype=object)},
    ],
    ids=["value", "type", "shape", "name", "one more", "none", "pickled"],
)
def test_other_weights(runs, some_rows, tampered):
    trace = runs(some_rows, weights={"w": np.array([1.0, 2.0, 3.0])})
    np.savez(weights_path(trace.path), **tampered)
    with pytest.raises(xframe.TraceError, match="is damaged"):
        trace.weights()


def test_damaged_weights(runs, some_rows):
    trace = runs(some_rows, weights={"w": np.arange(3.0)})
    file = weights_path(trace.path)
    whole = file.read_bytes()
    for data in (b"", b"text", whole[:-30], whole[: len(whole) // 2], whole.replace(b"PK", b"KP")):
        file.write_bytes(data)
        with pytest.raises(xframe.TraceError, match="is damaged"):
            trace.weights()
    file.write_bytes(whole)
    assert trace.weights()["w"].tolist() == [0, 1, 2]


def test_array_digest():
    values = np.arange(6.0)
    grid = values.reshape(2, 3)
    assert array_digest(values) == array_digest(values.astype(">f8"))
    assert array_digest(grid.T) == array_digest(np.ascontiguousarray(grid.T))
    assert len({array_digest(a) for a in (values, grid, grid.T, values.astype("f4"), values.astype("i8"))}) == 5


# Counts


def follow(runs, planned, samples, name="run", **options):
    return runs(runs.rows(planned, samples), name, num_samples=samples, **options)


@pytest.mark.parametrize("remainder", ["keep", "drop"])
def test_counts_of_digits(runs, remainder):
    plan = xframe.TrainingPlan(batch_size=64, epochs=3, remainder=remainder)
    assert follow(runs, plan, 1797, plan=plan).counts() == plan.counts(1797)


def test_counts_of_an_unfinished_epoch(runs):
    plan = xframe.TrainingPlan(batch_size=4, steps=7)
    counts = follow(runs, plan, 10).counts()
    assert counts == plan.counts(10)
    assert (counts.steps_per_epoch, counts.num_epochs, counts.samples_dropped) == (3, 3, 0)


@pytest.mark.parametrize("recorded", [True, False], ids=["plan recorded", "no plan"])
def test_counts_are_those_of_the_plan_or_unknown(runs, recorded):
    """What a trace tells of itself never contradicts the plan that it followed."""
    number = itertools.count()

    @given(st.integers(1, 25), st.integers(1, 12), st.integers(1, 20), st.sampled_from(["keep", "drop"]))
    @settings(max_examples=120, deadline=None, derandomize=True)
    def check(samples, batch_size, steps, remainder):
        assume(remainder == "keep" or batch_size <= samples)
        plan = xframe.TrainingPlan(batch_size=batch_size, steps=steps, remainder=remainder)
        trace = follow(runs, plan, samples, f"run{next(number)}", plan=plan if recorded else None)
        found, planned = trace.counts().to_dict(), plan.counts(samples).to_dict()
        assert {name: value for name, value in found.items() if value not in (planned[name], None)} == {}

    check()


def test_counts_without_labels(runs, some_rows):
    for row in some_rows:
        row.update(epoch=None, updates=None, padding=1)
    counts = runs(some_rows).counts()
    assert (counts.num_epochs, counts.steps_per_epoch, counts.samples_dropped, counts.num_updates) == (None,) * 4
    assert (counts.num_steps, counts.samples_seen, counts.samples_padded, counts.last_batch_size) == (7, 12, 7, 3)
