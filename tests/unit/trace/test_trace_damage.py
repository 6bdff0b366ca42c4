"""What was cut or changed is never taken for whole, and what is no trace is refused by name."""

import os
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from by_hand import FRAME, changed, changes, cuts, framed, frames_of
from pyarrow import parquet

import xframe
from xframe.errors import NotATraceError
from xframe.trace import parquet as closed_form
from xframe.trace import source
from xframe.trace import writer as writing
from xframe.trace.arrow import SCHEMA
from xframe.trace.journal import MAGIC
from xframe.trace.schema import Column
from xframe.trace.source import FORMAT
from xframe.trace.writer import TraceWriter


def content(trace):
    return trace.metadata, trace.ending, trace.end, trace.frame().to_json(), trace.certificate


def chunk_places(path):
    """Of each row group of a closed trace, by column, the bytes that hold it."""
    metadata = parquet.read_metadata(path)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    columns = [[group.column(i) for i in range(group.num_columns)] for group in groups]
    return [
        {c.path_in_schema: (c.data_page_offset, c.data_page_offset + c.total_compressed_size) for c in group}
        for group in columns
    ]


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


def test_frames_that_no_writer_wrote(small, as_journal):
    """With digests that match: a second head, none, or one that comes too late."""
    data = as_journal(small).read_bytes()
    head, first, second, end = [(kind, data[start + FRAME.size : stop]) for kind, start, stop in frames_of(data)]
    small.write_bytes(framed([head, first, second, end]))
    assert small.read_bytes() == data
    for frames in ([first, second, end], [first, head, second, end], [head, first, head, second, end], [end]):
        small.write_bytes(framed(frames))
        refuse(small)
    small.write_bytes(framed([head, first, (b"X", b"whatever a newer version writes"), second, end]))
    with pytest.raises(NotATraceError, match=r"has a frame of the kind b'X': expected frames of the kinds B.*Update"):
        xframe.Trace.open(small)


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
    "the format": (b'"format": 1', b'"format": 2'),
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
    monkeypatch.setattr(closed_form, "BLOCK_ROWS", 4)
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
    monkeypatch.setattr(writing, "compact", lambda *_: None)
    path = runs.folder / "unknown.trace"
    with xframe.record(path) as rec:
        for k in range(200):
            rec.step(ids=[k])
    whole = path.read_bytes()
    at = whole.rindex(bytes(8 * 200)) + 8  # inside the longest run of zeros: a column that was never given
    path.write_bytes(changed(whole, at, 0x01))
    refuse(path)


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


@pytest.mark.parametrize("metadata", [None, {"xframe": "["}, {"xframe": '{"format": 1}'}])
def test_an_arrow_stream_that_is_no_trace(tmp_path, metadata):
    path = tmp_path / "x.trace"
    with pyarrow.ipc.new_stream(path, SCHEMA.with_metadata(metadata)):
        pass
    with pytest.raises(NotATraceError, match="not a trace"):
        xframe.Trace.open(path)


def test_a_parquet_file_that_is_no_trace(tmp_path):
    path = tmp_path / "x.trace"
    for metadata in ({}, {"xframe": "{}"}, {"xframe.digest": "blake2b-256:" + "0" * 64}):
        parquet.write_table(pa.table({"step": [0, 1]}).replace_schema_metadata(metadata), path)
        with pytest.raises(
            xframe.TraceError, match=r"is damaged: .*(a Parquet file that is no trace|not what was written)"
        ):
            xframe.Trace.open(path)


def newer_closed(path, monkeypatch):
    monkeypatch.setattr(source, "FORMAT", FORMAT + 1)
    TraceWriter(path, {}).close("complete")
    monkeypatch.undo()


def newer_journal(path, monkeypatch):
    path.write_bytes(MAGIC.replace(b"1", b"2") + b"whatever it is that follows there" * 20)


@pytest.mark.parametrize("newer", [newer_closed, newer_journal])
def test_a_newer_format(tmp_path, monkeypatch, newer):
    path = tmp_path / "x.trace"
    newer(path, monkeypatch)
    expected = f"x.trace is a trace of format {FORMAT + 1}: expected format {FORMAT}. Update xframe"
    with pytest.raises(NotATraceError, match=expected) as caught:
        xframe.Trace.open(path)
    assert caught.value.exit_code == 2


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.trace", tmp_path, str(tmp_path)):
        with pytest.raises(NotATraceError, match=r"cannot read the trace|no trace in the folder") as caught:
            xframe.Trace.open(path)
        assert caught.value.exit_code == 2
