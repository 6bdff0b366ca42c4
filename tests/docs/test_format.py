"""FORMAT.md is right: its readers run as they stand there, its tables and constructions hold of real traces."""

import ast
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from xxhash import xxh3_128_digest

import xframe
from xframe.trace import files as tracefile
from xframe.trace.files import SCHEMA
from xframe.trace.schema import NEVER_NULL, TABLE

PAGE = (Path(__file__).parents[2] / "FORMAT.md").read_text()
FIXTURES = Path(__file__).parents[1] / "fixtures"
READERS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
WEIGHTS = {"dense_0/kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture(scope="module")
def readers():
    """The page's functions, by name."""
    names = {}
    exec("\n".join(READERS), names)
    return names


def recorded(path, steps=10_000):
    """A trace with values, nulls and oddities; of so many steps it has three blocks of the certificate."""
    with xframe.record(path, num_samples=1000, metadata={"data": "blake2b-512:" + "0" * 64}) as rec:
        sizes = np.arange(steps) % 4
        rec.block(
            ids=np.arange(sizes.sum()) % 1000,
            batch_sizes=sizes,
            updates=np.ma.array(np.arange(steps), mask=np.arange(steps) % 7 == 0),
            loss=np.ma.array(np.where(np.arange(steps) % 5, 0.5, np.nan), mask=np.arange(steps) % 3 == 0),
            lr=np.linspace(0, 1, steps),
            epoch=np.arange(steps) // 100,
        )
        rec.block(batch_sizes=[2, 2], updates=[1, 2])
        rec.step(ids=[], updates=5, padding=0)
        rec.weights(WEIGHTS)
    return path


@pytest.fixture
def closed(tmp_path):
    return recorded(tmp_path / "closed.trace")


@pytest.fixture
def journal(tmp_path, monkeypatch):
    monkeypatch.setattr(tracefile, "compact", lambda *_: None)
    return recorded(tmp_path / "journal.trace")


def table_after(text):
    """The rows of the first table after a text of the page."""
    lines = PAGE[PAGE.index(text) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


# The readers


def test_readers_are_short():
    assert [len([line for line in reader.splitlines() if line.strip()]) <= 20 for reader in READERS] == [True, True]
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(ast.parse("\n".join(READERS)))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported == {"hashlib", "json", "pathlib", "re", "struct", "pyarrow"}


def test_a_closed_trace(readers, closed):
    trace = xframe.Trace.open(closed)
    metadata, table, end = readers["read_closed"](closed)
    assert metadata == {**trace.metadata, "format": 3}
    assert end == trace.end
    assert table.num_rows == trace.num_rows == 10_003
    for name in SCHEMA.names:
        assert table[name].null_count == trace.num_rows - trace.known(name).sum()
    assert table["ids"].to_pylist()[:4] == [[], [0], [1, 2], [3, 4, 5]]
    np.testing.assert_array_equal(table["loss"].to_numpy(), trace.column("loss"))


def test_a_journal(readers, journal):
    trace = xframe.Trace.open(journal)
    metadata, table, end = readers["read_journal"](journal, SCHEMA)
    assert metadata == {**trace.metadata, "format": 3}
    assert end == trace.end
    assert table.num_rows == trace.num_rows
    assert table["ids"].to_pylist()[:4] == [[], [0], [1, 2], [3, 4, 5]]
    os.truncate(journal, journal.stat().st_size - 1)
    _, cut, end = readers["read_journal"](journal, SCHEMA)
    assert end == {}
    assert cut.drop_columns("loss").equals(table.drop_columns("loss"))  # where NaN is not equal to itself


@pytest.mark.parametrize("form", ["closed", "journal"])
def test_damage_is_refused(readers, tmp_path, monkeypatch, form):
    if form == "journal":
        monkeypatch.setattr(tracefile, "compact", lambda *_: None)
    path = recorded(tmp_path / "small.trace", steps=3)
    whole, options = path.read_bytes(), {"schema": SCHEMA} if form == "journal" else {}
    with path.open("r+b", buffering=0) as file:
        for at in range(len(whole)):
            os.pwrite(file.fileno(), bytes([whole[at] ^ 0x08]), at)
            with pytest.raises(ValueError, match=r"^damaged, or no"):
                readers[f"read_{form}"](path, **options)
            os.pwrite(file.fileno(), whole[at : at + 1], at)
    readers[f"read_{form}"](path, **options)


def test_an_edited_number_is_refused(readers, closed):
    metadata = parquet.read_metadata(closed).metadata
    table = parquet.read_table(closed)
    at = table.schema.get_field_index("lr")
    table = table.set_column(at, table.schema.field(at), pa.array([0.1] * table.num_rows))
    parquet.write_table(table.replace_schema_metadata(metadata), closed)
    with pytest.raises(ValueError, match="damaged"):
        readers["read_closed"](closed)


def test_other_tools_open_it(closed):
    frame = pd.read_parquet(closed)
    assert list(frame.columns) == SCHEMA.names
    assert frame["batch_size"].sum() == xframe.Trace.open(closed).column("batch_size").sum()


# The tables


def test_columns():
    rows = table_after("## Columns")
    types = {"list<item: int64>": "list of int64"}
    shown = {field.name: types.get(str(field.type), str(field.type)) for field in SCHEMA}
    assert rows == [[f"`{c.name}`", shown[c.name], c.unit, c.origin, c.null] for c in TABLE]
    assert {c.name for c in TABLE if c.origin == "declared"} == {"epoch", "step_in_epoch", "padding"}
    assert [c.name for c in TABLE if c.null == NEVER_NULL] == ["step"]


def test_keys(closed, journal):
    assert {row[0].strip("`") for row in table_after("## The closed trace")} == {
        key.decode() for key in parquet.read_metadata(closed).metadata
    }
    for path in (closed, journal):
        trace = xframe.Trace.open(path)
        assert {row[0].strip("`") for row in table_after("The end is written")} == set(trace.end)
        assert {"started", "platform", "versions", "num_samples"} <= set(trace.metadata)
    assert [int(row[0]) for row in table_after("## The journal")] == [1, 8, 8, 32]
    assert f"{tracefile.BLOCK_ROWS:,} rows" in PAGE
    assert f"{tracefile.BLOCK_IDS:,}" in PAGE


# The constructions, from the page's words alone


def rows_of(path):
    """A closed trace's rows as Python values."""
    return parquet.read_table(path).to_pylist()


def test_batch_digests(closed):
    rows = rows_of(closed)
    listed = [row for row in rows if row["ids"] is not None]
    assert len(listed) == len(rows) - 2
    for row in listed:
        assert row["ids_digest"] == xxh3_128_digest(b"".join(i.to_bytes(8, "little") for i in row["ids"]))


@pytest.mark.parametrize("steps", [0, 1, 4093, 4096, 10_000])
def test_the_certificate(tmp_path, steps):
    path = recorded(tmp_path / "run.trace", steps=steps)
    packed = b"".join(
        row["step"].to_bytes(8, "little", signed=True)
        + (row["ids_digest"] or bytes(16))
        + row["batch_size"].to_bytes(8, "little", signed=True)
        + (-1 if row["updates"] is None else row["updates"]).to_bytes(8, "little", signed=True)
        for row in rows_of(path)
    )
    blocks = [hashlib.blake2b(packed[i : i + 40 * 4096]).digest() for i in range(0, len(packed), 40 * 4096)]
    text = b"xframe-certificate-1" + (len(packed) // 40).to_bytes(8, "little") + b"".join(blocks)
    expected = "xf1-" + hashlib.blake2b(text, digest_size=20).hexdigest()
    assert xframe.Trace.open(path).certificate == expected


def test_block_digests(tmp_path, monkeypatch):
    monkeypatch.setattr(tracefile, "BLOCK_ROWS", 3000)
    path = recorded(tmp_path / "run.trace")
    rows = rows_of(path)
    starts, digests = json.loads(parquet.read_metadata(path).metadata[b"xframe.blocks"])
    assert starts == [0, 3000, 6000, 9000]
    columns = {
        "structure": ("step", "ids_digest", "batch_size", "updates"),
        "numbers": ("update_attempts", "lr", "loss", "accuracy"),
        "labels": ("epoch", "step_in_epoch", "padding"),
    }
    for start, stop, found in zip(starts, [*starts[1:], len(rows)], digests, strict=True):
        for group, names in columns.items():
            digest = hashlib.blake2b(digest_size=16)
            for name in names:
                digest.update(packed_column(name, [row[name] for row in rows[start:stop]]))
            assert found[group] == digest.hexdigest()
        numbers = [row[name] for name in ("lr", "loss") for row in rows[start:stop]]
        assert found["finite"] == str(all(value is not None and np.isfinite(value) for value in numbers))


def packed_column(name, values):
    known = [value is not None for value in values]
    if name == "ids_digest":
        data = b"".join(value or bytes(16) for value in values)
    elif name in ("lr", "loss", "accuracy"):
        data = np.array([np.nan if value is None else value for value in values], "<f8").tobytes()
    else:
        data = np.array([-1 if value is None else value for value in values], "<i8").tobytes()
    return (b"all" if all(known) else bytes(known)) + data


def test_weight_digests(closed):
    ((name, values),) = WEIGHTS.items()
    digest = hashlib.blake2b(b"<f4 (2, 3);" + values.tobytes(), digest_size=16).hexdigest()
    assert xframe.Trace.open(closed).end["weights"] == {name: digest}


# Format 1

BATCHES = [
    [15, 19, 14, 6, 11, 0, 13, 18],
    [10, 12, 7, 9, 4, 5, 17, 16],
    [3, 2, 1, 8],
    [4, 11, 8, 6, 12, 15, 7, 5],
    [17, 0, 2, 9, 14, 10, 16, 3],
    [13, 19, 18, 1],
]


def test_format_1_is_read():
    trace = xframe.Trace.open(FIXTURES / "format1.trace")
    assert trace.complete
    assert trace.certificate == trace.end["certificate"] == "xf1-f0e459359ed287fc9a0c722400ed73f9f514196d"
    assert trace.counts().to_dict() == {
        "num_steps": 6,
        "num_updates": 4,
        "num_epochs": 2,
        "steps_per_epoch": 3,
        "samples_seen": 40,
        "samples_dropped": 0,
        "samples_padded": 0,
        "last_batch_size": 4,
    }
    assert trace.column("batch_size").tolist() == [8, 8, 4, 8, 8, 4]
    assert trace.column("updates").tolist() == [0, 1, 2, 2, 3, 4]
    assert trace.column("lr").tolist() == [0.1] * 6
    assert trace.column("loss").tolist() == [1 / (k + 1) for k in range(6)]
    assert trace.column("epoch").tolist() == [0, 0, 0, 1, 1, 1]
    assert trace.column("step_in_epoch").tolist() == [0, 1, 2, 0, 1, 2]
    assert trace.column("padding").tolist() == [0] * 6
    assert not trace.known("update_attempts").any()
    assert [trace.ids(row).tolist() for row in range(6)] == BATCHES
    assert trace.column("time_ns").tolist() == [1990430, 2011280, 2020780, 2356500, 2368930, 2374480]
    assert trace.column("ids_digest")[0].tobytes().hex() == "9befd7d07b3edea79b34f381e2ec3aa2"
    assert (trace.name, trace.metadata["num_samples"], trace.metadata["task"]) == ("torch", 20, "fixture")
    assert trace.metadata["started"] == "2026-11-21T04:55:03+00:00"
    assert trace.plan.digest == xframe.TrainingPlan(batch_size=8, epochs=2, gradient_accumulation_steps=2).digest
    assert {name: values.tolist() for name, values in trace.weights().items()} == {
        "dense_0/kernel": [[0, 1, 2], [3, 4, 5]]
    }


def test_the_batches_of_format_1():
    trace = xframe.Trace.open(FIXTURES / "format1.trace")
    assert [ids.tolist() for ids in trace.batches()] == BATCHES


def test_a_killed_run_of_format_1_is_truncated():
    trace, whole = (xframe.Trace.open(FIXTURES / f"{name}.trace") for name in ("format1-killed", "format1"))
    assert (trace.ending, trace.complete, trace.end, trace.num_rows) == ("truncated", False, {}, 6)
    assert trace.certificate == whole.certificate
    comparison = xframe.compare(whole, trace)
    assert (comparison.verdict, comparison.exit_code) == ("inconclusive", 4)


def test_a_run_of_format_1_equals_one_of_today(tmp_path):
    for name in ("format1.trace", "format1.weights.npz"):
        shutil.copy(FIXTURES / name, tmp_path)
    plan = xframe.TrainingPlan(batch_size=8, epochs=2, gradient_accumulation_steps=2)
    facts = {"task": "fixture", "runtime": {"device": "cpu", "precision": "float32"}}
    with xframe.record(tmp_path / "today.trace", plan=plan, num_samples=20, metadata=facts) as rec:
        for step in plan.each_step(20):
            labels = {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch, "padding": step.padding}
            loss = 1 / (step.index + 1)
            rec.step(ids=step.sample_ids, updates=step.update, loss=loss, lr=0.1, **labels)
        rec.weights(WEIGHTS)
    today = xframe.Trace.open(tmp_path / "today.trace")
    assert today.certificate == "xf1-f0e459359ed287fc9a0c722400ed73f9f514196d"
    for traces in ([tmp_path / "format1.trace", today], [today, tmp_path / "format1.trace"]):
        comparison = xframe.compare(*traces)
        assert comparison, comparison
        assert comparison.numbers == "identical"
        assert {check.result for check in comparison.checks} == {"pass"}


@pytest.mark.parametrize(("name", "ending", "rows"), [("format2", "complete", 6), ("format2-killed", "truncated", 4)])
def test_format_2_is_read(name, ending, rows):
    trace = xframe.Trace.open(FIXTURES / f"{name}.trace")
    assert (trace.ending, trace.num_rows, trace.validations) == (ending, rows, ())
    steps = xframe.TrainingPlan(batch_size=4, epochs=2).each_step(10)
    assert [ids.tolist() for ids in trace.batches()] == [step.sample_ids.tolist() for step in steps][:rows]
    assert trace.column("loss").tolist() == [1 / (1 + i) for i in range(rows)]
    assert np.isnan(trace.column("accuracy")).all()
    assert not trace.known_throughout("accuracy")
    assert trace.frame()["accuracy"].isna().all()


def test_a_run_of_format_2_equals_one_of_today(tmp_path):
    plan = xframe.TrainingPlan(batch_size=4, epochs=2)
    with xframe.record(tmp_path / "today.trace", plan=plan, num_samples=10) as rec:
        for step in plan.each_step(10):
            labels = {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch, "padding": step.padding}
            counts = {"updates": step.update, "update_attempts": step.update}
            rec.step(ids=step.sample_ids, loss=1 / (1 + step.index), lr=0.1, **counts, **labels)
        rec.weights({"w": np.arange(3, dtype="f4")})
    for name in ("format2.trace", "format2.weights.npz"):
        shutil.copy(FIXTURES / name, tmp_path)
    comparison = xframe.compare(tmp_path / "format2.trace", tmp_path / "today.trace")
    assert comparison, comparison
    assert comparison.numbers == "identical"


def validated(path):
    with xframe.record(path) as rec:
        for i in range(3):
            rec.step(ids=[i, i + 1], accuracy=0.5 * (i % 2), loss=1.0)
            rec.validation(loss=1 / (i + 1), accuracy=None, ids=[0, 1, 2], batch_sizes=[2, 1])
    return path


def test_validations_stand_in_both_forms(tmp_path, monkeypatch, readers):
    closed = xframe.Trace.open(validated(tmp_path / "closed.trace"))
    monkeypatch.setattr(tracefile, "compact", lambda *_: None)
    journal = xframe.Trace.open(validated(tmp_path / "journal.trace"))
    digest = xxh3_128_digest(np.arange(3, dtype="<i8").tobytes()).hex()
    for trace in (closed, journal):
        found = [(v.after, v.loss, v.accuracy) for v in trace.validations]
        assert found == [(1, 1.0, None), (2, 0.5, None), (3, 1 / 3, None)]
        assert {(v.num_samples, v.num_batches, v.ids_digest) for v in trace.validations} == {(3, 2, digest)}
        assert trace.column("accuracy").tolist() == [0.0, 0.5, 0.0]
    _, rows, end = readers["read_journal"](tmp_path / "journal.trace", SCHEMA)
    assert (rows.num_rows, end["outcome"]) == (3, "complete")
    index = json.loads(parquet.read_metadata(tmp_path / "closed.trace").metadata[b"xframe"])
    assert [v["after"] for v in index["validations"]] == [1, 2, 3]
