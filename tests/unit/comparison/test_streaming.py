"""Traces are read and compared a part at a time: how they are parted must not matter."""

import random

import numpy as np
import pytest

import xframe
from xframe.comparison import pairing
from xframe.comparison.judging import judge
from xframe.trace import parquet, trace
from xframe.trace.rows import MOST_IDS, Rows

ROWS = 40


def rows_of(seed):
    """Some rows with ids, labels, a NaN here and there and unknown values."""
    draw = random.Random(seed)
    rows, updates = [], 0
    for i in range(draw.randint(0, ROWS)):
        updates += draw.random() < 0.8
        rows.append(
            {
                "ids": [draw.randrange(50) for _ in range(draw.randint(0, 4))],
                "updates": updates,
                "loss": draw.choice([0.5, 1.5, 1e-5 * i]),
                "lr": 0.1,
                "epoch": i // 7,
                "step_in_epoch": i % 7,
                "padding": 0,
            }
        )
    return rows


def changed(rows, seed):
    """The rows with a few changes, some of them in what may be unknown."""
    draw = random.Random(seed)
    rows = [dict(row) for row in rows]
    for _ in range(draw.randint(0, 3)):
        if not rows:
            break
        row = rows[draw.randrange(len(rows))]
        name, value = draw.choice(
            [
                ("ids", [1, 2, 3]),
                ("updates", None),
                ("updates", 7),
                ("loss", float("nan")),
                ("loss", 0.7),
                ("loss", None),
                ("loss", 0.5 + 1e-6),
                ("lr", 0.2),
                ("epoch", 3),
                ("padding", 1),
            ]
        )
        row[name] = value
    return rows[: draw.choice([None, None, None, -1, -5])]


def write(path, rows, *, ids=True, flush=5):
    with xframe.record(path, num_samples=50, ids=ids) as rec:
        for i, row in enumerate(rows):
            rec.step(**row)
            if i % flush == flush - 1:
                rec.flush()
    return path


@pytest.mark.parametrize("seed", range(60))
def test_parts_do_not_matter(tmp_path, monkeypatch, seed):
    draw = random.Random(seed)
    rows = rows_of(seed)
    others = changed(rows, seed + 1000)
    plan = xframe.TrainingPlan(batch_size=3, epochs=2) if draw.random() < 0.3 else None
    found = []
    for name, block, ids, window in (("whole", 1 << 17, 1 << 22, 1 << 17), ("small", 4, 1 << 22, 3), ("ids", 9, 7, 5)):
        monkeypatch.setattr(parquet, "BLOCK_ROWS", block)
        monkeypatch.setattr(parquet, "BLOCK_IDS", ids)
        monkeypatch.setattr(trace, "BLOCK_ROWS", window)
        monkeypatch.setattr(pairing, "BLOCK_ROWS", window)
        monkeypatch.setattr(pairing, "MOST_IDS", ids)
        (tmp_path / name).mkdir()
        a = write(tmp_path / name / "a.trace", rows, flush=draw.randint(1, 9))
        b = write(tmp_path / name / "b.trace", others, ids=draw.random() < 0.7)
        if rows and block == 4:
            assert len(xframe.Trace.open(a).source.bounds) == -(-len(rows) // 4) + 1
        told = judge([xframe.Trace.open(a), xframe.Trace.open(b)], plan=plan).comparison.to_dict()
        for key in ("explanation", "first_difference"):
            told[key] = str(told[key]) if key == "explanation" else told[key] and told[key]["step"]
        for check in told["checks"]:  # without id lists the text knows less
            check.pop("detail")
        del told["about"], told["versions"]
        found.append(told)
    assert found[0] == found[1] == found[2]


def test_equal_blocks_are_not_read(tmp_path, monkeypatch):
    """A comparison reads the blocks whose digests differ, and no others."""
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 10)
    rows = [{"ids": [i], "updates": i + 1, "loss": 1.0, "lr": 0.1, "epoch": 0} for i in range(100)]
    a = write(tmp_path / "a.trace", rows)
    rows[57]["ids"] = [1]
    b = write(tmp_path / "b.trace", rows)
    traces = xframe.Trace.open(a), xframe.Trace.open(b)
    read = []
    for one in traces:
        honest = one.source.read
        monkeypatch.setattr(
            one.source, "read", lambda block, name, honest=honest: (read.append((block, name)), honest(block, name))[1]
        )
    found = judge(traces).comparison
    assert found.first_difference["step"] == 57
    assert {block for block, name in read if name == "ids_digest"} == {5}
    assert {block for block, name in read if name == "lr"} <= {5}


def test_the_peak_of_the_rates_may_be_in_a_block_that_was_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 10)
    rows = [{"ids": [i], "updates": i + 1, "loss": 1.0, "lr": 0.1 if i < 20 else 1e-6} for i in range(30)]
    a = write(tmp_path / "a.trace", rows)
    for by, passes in ((5e-8, True), (5e-7, False)):  # of a peak of 0.1
        b = write(tmp_path / f"{by}.trace", [{**row, "lr": row["lr"] + by * (i == 25)} for i, row in enumerate(rows)])
        assert bool(xframe.compare(a, b)) is passes


def test_a_trace_of_many_blocks(tmp_path):
    """At the real size of blocks: columns, ids and certificate go over their edges."""
    steps, block = parquet.BLOCK_ROWS + 5000, 4096
    path = tmp_path / "long.trace"
    with xframe.record(path) as rec:
        for start in range(0, steps, block):
            index = np.arange(start, min(start + block, steps))
            rec.block(ids=np.repeat(index, 2), batch_sizes=np.full(len(index), 2), updates=index + 1)
    found = xframe.Trace.open(path)
    assert found.source.bounds == [0, parquet.BLOCK_ROWS, steps]
    assert np.array_equal(found.column("updates"), np.arange(steps) + 1)
    edge = parquet.BLOCK_ROWS
    assert found.ids(edge - 1, edge + 1).tolist() == [edge - 1, edge - 1, edge, edge]
    assert found.counts().samples_seen == 2 * steps


@pytest.mark.parametrize(("at", "told"), [(12, True), (70, False)])
def test_causes_are_looked_for_at_the_beginning_of_a_long_run(tmp_path, monkeypatch, at, told):
    """What part of a run was not looked at leaves no cause certain, and what differs there has none."""
    rows = [{"ids": [i], "updates": i + 1} for i in range(100)]
    a = write(tmp_path / "a.trace", rows)
    b = write(tmp_path / "b.trace", [{**row, "updates": i + 1 - (i >= at)} for i, row in enumerate(rows)])
    whole = xframe.compare(a, b)
    assert [cause.name for cause in whole.causes][:1] == ["update-skipped"]
    monkeypatch.setattr(Rows.limited, "__defaults__", (50, MOST_IDS))
    found = xframe.compare(a, b)
    assert found.first_difference["step"] == at
    assert bool(found.causes) is told
    assert not any(cause.certain for cause in found.causes)
    assert any("first 50 steps" in text for text in found.explanation) is not told
