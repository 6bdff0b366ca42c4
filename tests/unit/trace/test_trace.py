"""A trace as it is read: what was written comes back, in either form."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import xframe
from xframe.trace.certificate import CERTIFICATE_BLOCK
from xframe.trace.schema import COLUMNS, LISTS
from xframe.trace.trace import open_different
from xframe.trace.writer import TraceWriter

PLAN = xframe.TrainingPlan(batch_size=4, epochs=2)


def content(trace):
    return trace.metadata, trace.ending, trace.end, trace.frame().to_json(), trace.certificate


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
    assert tuple(frame.columns) == COLUMNS
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
    assert all(len(trace.column(name)) == 0 for name in COLUMNS if name not in LISTS)


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


@pytest.mark.costly
def test_memory_does_not_grow_with_steps(tmp_path):
    """Two million steps more take no more, closed and killed: recorded, opened, certified and counted."""
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
        few, many = work(250_000), work(2_250_000)
        assert len(certificates) == 2, certificates
        print(many - few)
    """
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-500:]
    assert int(ended.stdout) < 40, f"{ended.stdout} MiB"  # the certified columns of the rows between are 76 MiB


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
    with pytest.raises(xframe.UsageError, match="compared with itself"):
        xframe.compare(first.path, str(first.path))


def test_a_missing_file_is_refused_without_a_pools_traceback(runs, some_rows):
    first = runs(some_rows, "a")
    with pytest.raises(xframe.XframeError, match="cannot read the trace") as caught:
        xframe.compare(first.path, "nowhere.trace")
    assert "concurrent" not in "".join(str(entry.path) for entry in caught.traceback)


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
