"""The trace file: what was written is read, and what was cut or changed is never taken for whole."""

import itertools
import json
import math
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import xframe
from xframe.errors import NotATraceError
from xframe.trace import CERTIFICATE_BLOCK, FORMAT, SCHEMA, TraceWriter, array_digest, open_all, weights_path

PLAN = xframe.TrainingPlan(batch_size=4, epochs=2)
COLUMNS = [field.name for field in SCHEMA]


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


def test_cut_at_every_byte(small):
    whole = small.read_bytes()
    cut = small.with_name("cut.trace")
    endings = set()
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        try:
            trace = xframe.Trace.open(cut)
        except xframe.TraceError:
            endings.add("refused")
            continue
        assert trace.ending == "truncated", size
        assert not trace.complete
        assert trace.end == {}
        assert trace.num_rows in (0, 2, 3)
        endings.add(trace.num_rows)
    assert endings == {"refused", 0, 2, 3}


def test_a_changed_byte_anywhere(small):
    whole, told = small.read_bytes(), content(xframe.Trace.open(small))
    damaged = small.with_name("damaged.trace")
    outcomes = set()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= (0x01, 0x80, 0xFF, 0x20)[at % 4]
        damaged.write_bytes(changed)
        try:
            trace = xframe.Trace.open(damaged)
        except xframe.TraceError as error:
            outcomes.add((type(error), str(damaged) in str(error)))
            continue
        outcomes.add(trace.ending)
        assert trace.ending == "truncated" or content(trace) == told, at
    assert outcomes == {(NotATraceError, True), (xframe.TraceError, True), "truncated", "complete"}


def test_blocks_left_out_doubled_or_swapped(runs):
    """Whole blocks moved about are no trace: each digest goes over the one before."""
    path = runs.folder / "blocks.trace"
    with xframe.record(path) as rec:
        ends = []
        for k in range(5):
            rec.step(ids=[k], updates=k + 1)
            rec.flush()
            ends.append(path.stat().st_size)
    whole = path.read_bytes()
    head, tail = whole[: ends[0]], whole[ends[-1] :]  # the head goes with the first block
    blocks = [whole[begin:end] for begin, end in itertools.pairwise(ends)]
    assert xframe.Trace.open(path).num_rows == 5
    assert head + b"".join(blocks) + tail == whole
    other = runs.folder / "other.trace"
    for chosen in ([0, 1, 3], [1, 2, 3], [0, 2, 1, 3], [0, 1, 1, 2, 3], [0, 1, 2], [0, 1, 2, 3, 3], []):
        other.write_bytes(head + b"".join(blocks[i] for i in chosen) + tail)
        with pytest.raises(xframe.TraceError, match="is damaged") as caught:
            xframe.Trace.open(other)
        assert caught.value.exit_code == 4
        assert "record the run again" in str(caught.value)


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
    schema = pa.schema([("step", pa.int64())]).with_metadata({"xframe": json.dumps({"format": FORMAT})})
    with pyarrow.ipc.new_stream(path, schema):
        pass
    with pytest.raises(xframe.TraceError, match="its columns are not those"):
        xframe.Trace.open(path)


def test_a_newer_format(tmp_path):
    path = tmp_path / "x.trace"
    with pyarrow.ipc.new_stream(path, SCHEMA.with_metadata({"xframe": json.dumps({"format": FORMAT + 1})})):
        pass
    with pytest.raises(NotATraceError, match=f"format {FORMAT + 1}: expected format {FORMAT}. Update xframe") as caught:
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
    assert [trace.path for trace in open_all([first.path, second.path])] == [first.path, second.path]
    with pytest.raises(xframe.UsageError, match="compared with itself"):
        open_all([first.path, runs.folder / "x" / ".." / "a.trace"])


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


def test_a_changed_byte_under_an_unknown_value_is_damage(runs):
    """A column of unknown values is zeros in the file; they are vouched for too."""
    path = runs.folder / "unknown.trace"
    with xframe.record(path) as rec:
        for k in range(200):
            rec.step(ids=[k])
    whole = path.read_bytes()
    at = whole.rindex(bytes(8 * 200)) + 8  # inside the longest run of zeros: a column that was never given
    path.write_bytes(whole[:at] + b"\x01" + whole[at + 1 :])
    with pytest.raises(xframe.TraceError, match="is damaged"):
        xframe.Trace.open(path)
