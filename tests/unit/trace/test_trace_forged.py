"""A trace whose rows and digests disagree is refused, however right the digest of its file has been made again."""

import contextlib
import json
import os
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest
from by_hand import FRAME, framed, frames_of, resealed, rewritten, sealed
from pyarrow import parquet

import xframe
from xframe.cli import app as cli
from xframe.trace import parquet as closed_form
from xframe.trace.arrow import SCHEMA

ROWS = 12


def recorded(path, *, late=0, losses=1.0):
    """A run of three blocks, whose last updates come late."""
    with xframe.record(path, num_samples=4) as rec:
        for k in range(ROWS):
            applied = k + 1 - (k >= ROWS - late)
            rec.step(
                ids=[k % 4, (k + 1) % 4], updates=applied, loss=losses + k, lr=0.1, epoch=k // 2, step_in_epoch=k % 2
            )
    return path


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(closed_form, "BLOCK_ROWS", 5)
    return recorded(tmp_path / "run.trace")


def forge(path, rows=lambda table: table, footer=lambda index, starts, digests: None):
    """Changes rows or footer, and makes the file's digest right again."""
    texts, table = parquet.read_metadata(path).metadata, parquet.read_table(path)
    index, (starts, digests) = (json.loads(texts[key]) for key in (b"xframe", b"xframe.blocks"))
    footer(index, starts, digests)
    sealed(path, rows(table), {"xframe": json.dumps(index), "xframe.blocks": json.dumps([starts, digests])}, rows=5)


def with_value(name, row, value):
    def change(table):
        values = table[name].to_pylist()
        values[row] = value
        at = table.schema.get_field_index(name)
        return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))

    return change


def refuse(path, capsys, says=""):
    """Asserts that nothing is opened, compared, explained or certified."""
    with pytest.raises(xframe.TraceError, match=f"is damaged: .*{says}"):
        xframe.Trace.open(path)
    other = recorded(path.with_name("other.trace"))
    capsys.readouterr()
    for command in (["certificate", path], ["explain", path], ["compare", path, other], ["compare", other, path]):
        assert cli.execute([*map(str, command)]) == 4
        assert capsys.readouterr().out == ""


def test_a_trace_put_together_again_as_it_was_is_whole(path):
    before = xframe.Trace.open(path).certificate
    forge(path)
    trace = xframe.Trace.open(path)
    assert (trace.certificate, trace.source.bounds) == (before, [0, 5, 10, 12])
    assert xframe.compare(path, recorded(path.with_name("other.trace"))).structure == "identical"


@pytest.mark.parametrize("row", [0, 7, ROWS - 1])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", 99),
        ("ids_digest", bytes(16)),
        ("ids_digest", None),
        ("batch_size", 3),
        ("batch_size", None),
        ("updates", 0),
        ("updates", None),
        ("update_attempts", 1),
        ("lr", 0.2),
        ("loss", 0.5),
        ("loss", None),
        ("loss", float("nan")),
        ("accuracy", 0.5),
        ("ids", [3, 3]),
        ("ids", [1]),
        ("ids", [1, 2, 3]),
        ("ids", []),
        ("ids", None),
        ("epoch", 9),
        ("step_in_epoch", 9),
        ("padding", 0),
    ],
)
def test_rows_that_were_changed(path, capsys, name, value, row):
    forge(path, with_value(name, row, value))
    refuse(path, capsys)


def test_rows_left_out_appended_or_swapped(path, capsys):
    whole = path.read_bytes()
    for change in (
        lambda table: table.slice(0, ROWS - 1),
        lambda table: table.slice(0, 10),
        lambda table: pa.concat_tables([table, table.slice(ROWS - 1)]),
        lambda table: table.take([1, 0, *range(2, ROWS)]),
        lambda table: table.drop_columns("loss"),
        lambda table: table.set_column(6, "loss", table["loss"].cast(pa.float32())),
        lambda table: table.set_column(8, "ids", table["ids"].cast(pa.list_(pa.int32()))),
    ):
        path.write_bytes(whole)
        forge(path, change)
        with pytest.raises(xframe.TraceError) as caught:
            xframe.Trace.open(path)
        assert caught.value.exit_code == 4
    refuse(path, capsys)


def of_another(group):
    def change(index, starts, digests):
        digests[1][group] = digests[0][group]

    return change


@pytest.mark.parametrize("group", ["structure", "numbers", "labels"])
def test_block_digests_that_are_not_of_the_columns(path, capsys, group):
    forge(path, footer=of_another(group))
    refuse(path, capsys, "the digests of its rows 5 to 9 are not those of the columns")


def test_digests_of_another_run_do_not_make_it_that_run(path, tmp_path, capsys):
    """Rows of one run under all the digests of another: equal digests alone would say that the runs are the same."""
    other = recorded(tmp_path / "late.trace", late=1, losses=2.0)
    texts = parquet.read_metadata(path).metadata
    sealed(
        other, parquet.read_table(other), {key.decode(): texts[key] for key in (b"xframe", b"xframe.blocks")}, rows=5
    )
    refuse(other, capsys, "the digests of its rows")


FOOTERS = {
    "the certificate": lambda index, starts, digests: index["end"].update(certificate="xf1-" + 40 * "0"),
    "no certificate": lambda index, starts, digests: index["end"].pop("certificate"),
    "the number of rows": lambda index, starts, digests: index["end"].update(rows=ROWS - 1),
    "a column said to be unknown": lambda index, starts, digests: index["unknown"].update(loss=ROWS),
    "a column said to be known": lambda index, starts, digests: index["unknown"].update(accuracy=0),
    "a number of unknown values": lambda index, starts, digests: index["unknown"].update(accuracy=ROWS - 1),
    "what is finite": lambda index, starts, digests: digests[2].update(finite="False"),
    "a block's first row": lambda index, starts, digests: starts.__setitem__(1, 4),
    "a block less": lambda index, starts, digests: (starts.pop(), digests.pop()),
    "a digest less": lambda index, starts, digests: digests.pop(),
    "a group less": lambda index, starts, digests: digests[0].pop("numbers"),
    "no end": lambda index, starts, digests: index.pop("end"),
    "no unknown": lambda index, starts, digests: index.pop("unknown"),
    "a text for a list": lambda index, starts, digests: index.update(end="complete"),
    "no head": lambda index, starts, digests: index.update(head=None),
}


@pytest.mark.parametrize("footer", FOOTERS.values(), ids=FOOTERS)
def test_a_footer_that_is_not_of_the_rows(path, capsys, footer):
    forge(path, footer=footer)
    refuse(path, capsys)


def test_an_end_that_does_not_end(path):
    """Without its end record a closed trace would be one that was cut, and those are journals."""
    forge(path, footer=lambda index, starts, digests: index.update(end={}))
    with pytest.raises(xframe.TraceError, match="is damaged"):
        xframe.Trace.open(path)


@pytest.mark.parametrize(
    ("frame", "change"),
    [
        (b"B", with_value("ids", 0, [3, 3])),
        (b"B", with_value("ids_digest", 1, bytes(16))),
        (b"B", with_value("updates", 1, 0)),
        (b"B", with_value("step", 1, 0)),
        (b"E", {"certificate": "xf1-" + 40 * "0"}),
        (b"E", {"rows": 2}),
        (b"E", []),
        (b"H", {"columns": None}),
    ],
)
def test_journals_too(small, as_journal, frame, change):
    data = as_journal(small).read_bytes()
    payloads = [(kind, data[start + FRAME.size : stop]) for kind, start, stop in frames_of(data)]
    at = [kind for kind, _ in payloads].index(frame)
    if frame != b"B":
        facts = {**json.loads(payloads[at][1]), **change} if change else change
        payloads[at] = frame, json.dumps(facts).encode()
    else:
        table = pa.Table.from_batches([pa.ipc.read_record_batch(payloads[at][1], SCHEMA)])
        (batch,) = change(table).combine_chunks().to_batches()
        payloads[at] = frame, batch.serialize().to_pybytes()
    small.write_bytes(framed(payloads))
    with pytest.raises(xframe.TraceError, match="is damaged") as caught:
        xframe.Trace.open(small)
    assert caught.value.exit_code == 4


def test_digests_over_columns_that_are_not_known_here_are_not_used(path):
    """A later version's digests may cover more: they cannot be checked, so its columns are read."""

    def newer(stated, columns):
        stated.append({"name": "newer", "kind": "float64", "required": False, "group": "numbers"})
        columns["newer"] = pa.array([0.5] * ROWS)

    rewritten(path, newer)
    trace = xframe.Trace.open(path)
    assert [block.keys() for block in trace.source.digests] == [{"structure", "labels", "finite"}]
    other = recorded(path.with_name("other.trace"), losses=3.0)
    comparison = xframe.compare(path, other)
    assert comparison.first_difference["check"] == "loss"


def test_what_is_forged_throughout_is_a_trace_like_any_other(path):
    """There is no key in a trace: who makes all digests again has made another trace, see FORMAT.md."""
    rewritten(path, lambda stated, columns: columns.update(loss=pa.array([0.25] * ROWS)))
    assert xframe.Trace.open(path).column("loss").tolist() == [0.25] * ROWS


def test_300_million_ids_in_3574_bytes_are_not_read(tmp_path):
    """As they are, and with every number of them in footer and pages replaced by a smaller one."""
    data = (Path(__file__).parents[2] / "fixtures" / "many-ids.trace").read_bytes()
    stated = b"\x80\x8c\x8d\x9e\x02"  # 600,000,000, as Thrift writes 300,000,000
    places = [at for at in range(len(data)) if data.startswith(stated, at)]
    for chosen in ([], *([at] for at in places), places):
        forged = data
        for at in chosen:
            forged = forged[:at] + b"\x82\x80\x80\x80\x00" + forged[at + 5 :]
        path = tmp_path / "forged.trace"
        path.write_bytes(resealed(forged))
        tracemalloc.start()
        with pytest.raises(xframe.TraceError, match="is damaged"):
            xframe.Trace.open(path)
        held = pa.total_allocated_bytes() + tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert held < 50e6


@pytest.mark.parametrize("odd", [[[1]] * ROWS, ["1"] * ROWS, [1.0] * ROWS, [[None]] * ROWS])
def test_a_column_of_another_type_is_refused(path, capsys, odd):
    forge(path, lambda table: table.set_column(2, "batch_size", pa.array(odd)))
    refuse(path, capsys, "TypeError: batch_size")


def test_a_compressed_record_batch_is_refused_before_it_is_unpacked(small, as_journal):
    data = as_journal(small).read_bytes()
    payloads = [(kind, data[start + FRAME.size : stop]) for kind, start, stop in frames_of(data)]
    batch = pa.ipc.read_record_batch(payloads[1][1], SCHEMA)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(sink.getvalue()))
    reader.read_next_message()
    payloads[1] = b"B", reader.read_next_message().serialize().to_pybytes()
    small.write_bytes(framed(payloads))
    with pytest.raises(xframe.TraceError, match=r"is damaged: .*a compressed record batch"):
        xframe.Trace.open(small)


DEEP = 200_000


@pytest.mark.parametrize(
    "text",
    [
        b"[" * DEEP + b"]" * DEEP,
        b'{"a": ' * DEEP + b"1" + b"}" * DEEP,
        b"[" * DEEP,
        b'{"rows": ' + b"7" * 5000 + b"}",
        b'{"format": 1, "format": 1}',
        b"[" + b"{}," * 5_000_000 + b"{}]",
        b'{"a": "' + b'\\"' * 10_000_000,
        '{"format": 1}'.encode("utf-16"),
        b"\xff",
    ],
    ids=["lists", "objects", "open lists", "digits", "a key twice", "values", "quotes", "utf-16", "no text"],
)
@pytest.mark.parametrize("frame", [0, -1])
def test_json_beyond_all_measure_is_refused_before_it_is_parsed(small, as_journal, text, frame):
    data = as_journal(small).read_bytes()
    payloads = [(kind, data[start + FRAME.size : stop]) for kind, start, stop in frames_of(data)]
    payloads[frame] = payloads[frame][0], text
    small.write_bytes(framed(payloads))
    with pytest.raises(xframe.TraceError, match="is damaged") as caught:
        xframe.Trace.open(small)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["updates", "batch_size", "epoch", "time_ns", "padding"])
@pytest.mark.parametrize("value", [-1, -(2**63), 2**63 - 1])
def test_counts_that_are_none(path, capsys, name, value):
    """Two traces of -1 updates would agree."""

    def change(stated, columns):
        values = columns[name].to_pylist()
        values[3] = value
        columns[name] = pa.array(values, pa.int64())
        if name == "batch_size":
            columns["ids"] = pa.nulls(ROWS, columns["ids"].type)

    rewritten(path, change)
    refuse(path, capsys, f"the {name} of its rows 0 to .* are not all from 0 to")


def test_a_pipe_or_device_is_refused_at_once(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.trace")
    for name in (str(tmp_path / "pipe.trace"), "/dev/zero"):
        assert cli.execute(["explain", name]) == 2
        assert "it is a folder, a pipe or a device" in capsys.readouterr().err


def test_types_of_arrow_s_own_are_refused(path, capsys):
    table = parquet.read_table(path)
    texts = {key.decode(): text for key, text in parquet.read_metadata(path).metadata.items()}
    sealed(path, table, texts | {"ARROW:schema": "x"}, rows=5)
    refuse(path, capsys, "types of Arrow's own")


def test_a_codec_that_there_is_not_does_not_end_the_process(path):
    """Of every byte that the footer has on a column; pyarrow aborts where it is asked for such a codec."""
    data = path.read_bytes()
    first = data.rindex(b"\x19\x18\x04step")  # the path of a column, before its codec
    for at in range(first - 10, first + 30):
        for mask in (0x80, 0x40, 1):
            path.write_bytes(resealed(data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]))
            with contextlib.suppress(xframe.TraceError):
                xframe.Trace.open(path)
