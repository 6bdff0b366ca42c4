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
from xframe.trace import parquet as closed_form
from xframe.trace import writer as writing
from xframe.trace.arrow import SCHEMA
from xframe.trace.schema import FURTHER, NEVER_NULL, SPARED, TABLE

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
    monkeypatch.setattr(writing, "compact", lambda *_: None)
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
    head, table, end = readers["read_closed"](closed)
    assert (head["format"], head["metadata"]) == (1, trace.metadata)
    assert end == trace.end
    assert table.num_rows == trace.num_rows == 10_003
    assert set(SCHEMA.names) - set(table.column_names) == {*SPARED}  # nobody gave any
    for name in table.column_names:
        assert table[name].null_count == trace.num_rows - trace.known(name).sum()
    assert table["ids"].to_pylist()[:4] == [[], [0], [1, 2], [3, 4, 5]]
    np.testing.assert_array_equal(table["loss"].to_numpy(), trace.column("loss"))


def test_a_journal(readers, journal):
    trace = xframe.Trace.open(journal)
    head, table, end = readers["read_journal"](journal)
    assert (head["format"], head["metadata"]) == (1, trace.metadata)
    assert end == trace.end
    assert table.num_rows == trace.num_rows
    assert table["ids"].to_pylist()[:4] == [[], [0], [1, 2], [3, 4, 5]]
    os.truncate(journal, journal.stat().st_size - 1)
    _, cut, end = readers["read_journal"](journal)
    assert end == {}
    assert cut.drop_columns("loss").equals(table.drop_columns("loss"))  # where NaN is not equal to itself


@pytest.mark.parametrize("form", ["closed", "journal"])
def test_damage_is_refused(readers, tmp_path, monkeypatch, form):
    if form == "journal":
        monkeypatch.setattr(writing, "compact", lambda *_: None)
    path = recorded(tmp_path / "small.trace", steps=3)
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at in range(len(whole)):
            os.pwrite(file.fileno(), bytes([whole[at] ^ 0x08]), at)
            with pytest.raises(ValueError, match=r"^damaged, or no"):
                readers[f"read_{form}"](path)
            os.pwrite(file.fileno(), whole[at : at + 1], at)
    readers[f"read_{form}"](path)


def test_a_journal_cut_in_its_head(readers, journal):
    os.truncate(journal, 100)
    head, table, end = readers["read_journal"](journal)
    assert (head, table.num_rows, end) == ({"columns": []}, 0, {})
    assert xframe.Trace.open(journal).ending == "truncated"


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
    assert list(frame.columns) == [name for name in SCHEMA.names if name not in SPARED]
    assert frame["batch_size"].sum() == xframe.Trace.open(closed).column("batch_size").sum()


# The tables


def test_columns():
    rows = table_after("## Columns")
    types = {"list<item: int64>": "list of int64"}
    shown = {field.name: types.get(str(field.type), str(field.type)) for field in SCHEMA}
    assert rows == [[f"`{c.name}`", shown[c.name], c.unit, c.origin, c.null] for c in TABLE]
    assert {c.name for c in TABLE if c.origin == "declared"} == {"epoch", "step_in_epoch", "padding"}
    assert [c.name for c in TABLE if c.null == NEVER_NULL] == ["step"]


def test_keys(readers, closed, journal):
    assert {row[0].strip("`") for row in table_after("## The closed trace")} == {
        key.decode() for key in parquet.read_metadata(closed).metadata
    }
    for path in (closed, journal):
        trace, head = xframe.Trace.open(path), readers["read_closed" if path == closed else "read_journal"](path)[0]
        assert {row[0].strip("`") for row in table_after("The head is written")} == set(head)
        required = [column["name"] for column in head["columns"] if column["required"]]
        assert "`, `".join(required[:3]) + f"` and `{required[3]}`" in " ".join(PAGE.split())
        ends = [row[0].strip("`") for row in table_after("The end is written") if "absent if none" not in row[1]]
        assert set(ends) == set(trace.end)
        assert {"started", "platform", "versions", "num_samples"} <= set(trace.metadata)
    assert [int(row[0]) for row in table_after("## The journal")] == [1, 8, 8, 32]
    assert f"{closed_form.BLOCK_ROWS:,} rows" in PAGE
    assert f"{closed_form.BLOCK_IDS:,}" in PAGE


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
    monkeypatch.setattr(closed_form, "BLOCK_ROWS", 3000)
    path = recorded(tmp_path / "run.trace")
    rows = rows_of(path)
    starts, digests = json.loads(parquet.read_metadata(path).metadata[b"xframe.blocks"])
    assert starts == [0, 3000, 6000, 9000]
    columns = {
        "structure": ("step", "ids_digest", "batch_size", "updates"),
        "numbers": ("update_attempts", "lr", "loss", "accuracy", *[name for name in FURTHER if name not in SPARED]),
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
    elif name in ("lr", "loss", "accuracy", "gradient_norm", "clipped_norm"):
        data = np.array([np.nan if value is None else value for value in values], "<f8").tobytes()
    else:
        data = np.array([-1 if value is None else value for value in values], "<i8").tobytes()
    return name.encode() + (b"all" if all(known) else bytes(known)) + data


def test_weight_digests(closed):
    ((name, values),) = WEIGHTS.items()
    digest = hashlib.blake2b(b"<f4 (2, 3);" + values.tobytes(), digest_size=16).hexdigest()
    assert xframe.Trace.open(closed).end["weights"] == {name: digest}


# Format 1 is kept

BATCHES = [
    [15, 19, 14, 6, 11, 0, 13, 18],
    [10, 12, 7, 9, 4, 5, 17, 16],
    [3, 2, 1, 8],
    [4, 11, 8, 6, 12, 15, 7, 5],
    [17, 0, 2, 9, 14, 10, 16, 3],
    [13, 19, 18, 1],
]
KEPT_PLAN = xframe.TrainingPlan(batch_size=8, epochs=2, gradient_accumulation_steps=2)


def columns_of_the_kept():
    """The columns of the kept run but for ``time_ns`` and those of ids."""
    return {
        "step": list(range(6)),
        "batch_size": [8, 8, 4, 8, 8, 4],
        "updates": [0, 1, 2, 2, 3, 4],
        "update_attempts": [0, 1, 2, 2, 3, 4],
        "lr": [0.1] * 6,
        "loss": [1 / (k + 1) for k in range(6)],
        "epoch": [0, 0, 0, 1, 1, 1],
        "step_in_epoch": [0, 1, 2, 0, 1, 2],
        "padding": [0] * 6,
        "accuracy": [k / 8 for k in range(6)],
    }


@pytest.mark.parametrize(("form", "first"), [("closed", b"PAR1"), ("journal", b"XFRA"), ("plain", b'{"xf')])
def test_format_1_is_read_for_ever(form, first):
    """The files in tests/fixtures are never written again: what reads them today must always read them."""
    path = FIXTURES / f"format1-{form}.trace"
    assert path.read_bytes()[:4] == first
    trace = xframe.Trace.open(path)
    assert (trace.ending, trace.num_rows) == ("truncated" if form == "journal" else "complete", 6)
    assert trace.certificate == "xf1-f0e459359ed287fc9a0c722400ed73f9f514196d"
    assert [ids.tolist() for ids in trace.batches()] == BATCHES
    for name, values in columns_of_the_kept().items():
        assert trace.column(name).tolist() == values, name
        assert trace.known_throughout(name)
    assert trace.column("ids_digest")[0].tobytes().hex() == "9befd7d07b3edea79b34f381e2ec3aa2"
    assert np.all(np.diff(trace.column("time_ns")) > 0)
    assert (trace.name, trace.facts.num_samples, trace.facts.task) == ("kept", 20, "fixture")
    assert trace.plan.digest == KEPT_PLAN.digest
    assert trace.counts() == KEPT_PLAN.counts(20)


def test_what_else_a_closed_trace_of_format_1_has():
    trace = xframe.Trace.open(FIXTURES / "format1-closed.trace")
    assert {name: values.tolist() for name, values in trace.weights().items()} == {
        "dense_0/kernel": [[0, 1, 2], [3, 4, 5]]
    }
    assert trace.end["certificate"] == trace.certificate
    assert trace.end["evidence"] == "declared by the loop"
    for other in (trace, xframe.Trace.open(FIXTURES / "format1-journal.trace")):
        (validation,) = other.validations
        assert (validation.after, validation.loss, validation.accuracy) == (3, 0.5, 0.25)
        assert (validation.num_samples, validation.batch_sizes) == (5, ((4, 1), (1, 1)))


def record_the_kept(rec):
    """Records the kept run; ``rec`` may be of ``plainwriter`` too."""
    columns = columns_of_the_kept()
    for step in KEPT_PLAN.each_step(20):
        row = {name: values[step.index] for name, values in columns.items() if name not in ("step", "batch_size")}
        rec.step(ids=step.sample_ids, **row)
        if step.index == 2:
            rec.flush()
        if step.index == 2 and hasattr(rec, "validation"):
            rec.validation(loss=0.5, accuracy=0.25, ids=np.arange(5), batch_sizes=[4, 1])


def test_a_run_of_format_1_equals_one_of_today(tmp_path):
    for name in ("format1-closed.trace", "format1-closed.weights.npz", "format1-plain.trace", "format1-journal.trace"):
        shutil.copy(FIXTURES / name, tmp_path)
    facts = {"task": "fixture", "runtime": {"device": "cpu", "precision": "float32"}}
    with xframe.record(tmp_path / "today.trace", plan=KEPT_PLAN, num_samples=20, metadata=facts) as rec:
        record_the_kept(rec)
        rec.weights(WEIGHTS)
    today, closed = tmp_path / "today.trace", tmp_path / "format1-closed.trace"
    for traces in ([closed, today], [today, closed]):
        comparison = xframe.compare(*traces)
        assert comparison, comparison
        assert comparison.numbers == "identical"
        judged = {check.name: check.result for check in comparison.checks if check.name != "validation"}
        assert set(judged.values()) == {"pass"}  # the plan has no validation
    comparison = xframe.compare(tmp_path / "format1-journal.trace", today)
    assert (comparison.verdict, comparison.exit_code) == ("inconclusive", 4)


DIGEST = "ab" * 16


def validated(path):
    with xframe.record(path) as rec:
        for i in range(3):
            rec.step(ids=[i, i + 1], accuracy=0.5 * (i % 2), loss=1.0)
            rec.validation(loss=1 / (i + 1), accuracy=None, ids=[0, 1, 2], batch_sizes=[2, 1])
            rec.checkpointed(DIGEST)
    return path


def test_validations_and_checkpoints_stand_in_both_forms(tmp_path, monkeypatch, readers):
    closed = xframe.Trace.open(validated(tmp_path / "closed.trace"))
    monkeypatch.setattr(writing, "compact", lambda *_: None)
    journal = xframe.Trace.open(validated(tmp_path / "journal.trace"))
    digest = xxh3_128_digest(np.arange(3, dtype="<i8").tobytes()).hex()
    for trace in (closed, journal):
        found = [(v.after, v.loss, v.accuracy) for v in trace.validations]
        assert found == [(1, 1.0, None), (2, 0.5, None), (3, 1 / 3, None)]
        assert {(v.num_samples, v.num_batches, v.ids_digest) for v in trace.validations} == {(3, 2, digest)}
        assert trace.column("accuracy").tolist() == [0.0, 0.5, 0.0]
        assert [trace.checkpoints(after) for after in range(4)] == [set(), {DIGEST}, {DIGEST}, {DIGEST}]
    _, rows, end = readers["read_journal"](tmp_path / "journal.trace")
    assert (rows.num_rows, end["outcome"]) == (3, "complete")
    index = json.loads(parquet.read_metadata(tmp_path / "closed.trace").metadata[b"xframe"])
    assert [v["after"] for v in index["validations"]] == [1, 2, 3]
    assert index["checkpoints"] == [{"after": after, "digest": DIGEST} for after in (1, 2, 3)]
