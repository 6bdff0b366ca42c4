"""Rows are the same whether they come from a trace, a plan or arrays, whole or by blocks."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xframe
from xframe.trace.rows import Rows
from xframe.trace.schema import COLUMNS, LISTS, Column

PLAN = xframe.TrainingPlan(batch_size=4, epochs=3, gradient_accumulation_steps=2, accumulation_remainder="flush")
SAMPLES = 10
SHARED = ("ids", "ids_digest", "batch_size", "updates", "epoch", "step_in_epoch", "padding", "lr")
KINDS = ("trace", "plan", "arrays")


def rate(update):
    return 0.5 / (1 + update)


def clocked(clock):
    """``PLAN``, whose schedule goes by this clock."""
    return xframe.TrainingPlan(**{**PLAN.to_dict(), "schedule_clock": clock})


def recorded(path, plan=PLAN, samples=SAMPLES):
    updates = 0
    with xframe.record(path, plan=plan, num_samples=samples) as rec:
        for step in plan.each_step(samples):
            labels = {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch, "padding": step.padding}
            rec.step(ids=step.sample_ids, updates=step.update, lr=rate(updates), loss=1 / (1 + step.index), **labels)
            updates = step.update
            if step.index % 4 == 3:
                rec.flush()
    return xframe.Trace.open(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The same rows from each source, by its name."""
    trace = recorded(tmp_path_factory.mktemp("rows") / "run.trace")
    return {
        "trace": Rows.of_trace(trace),
        "plan": Rows.of_plan(PLAN, SAMPLES, rate=rate),
        "arrays": Rows.of_arrays(**{name: trace.column(name) for name in (*SHARED, "loss")}),
    }


def content(rows):
    """The columns that all sources have, as lists."""
    return {name: [values.tolist(), known] for name in SHARED for values, known in [rows.column(name)]}


class Counted:
    """Rows of which each reading is noted."""

    def __init__(self, rows):
        self.readings, self._rows = [], rows
        self.rows = Rows(self.read, len(rows), rows.known)

    def read(self, name, start, stop):
        self.readings.append((name, start, stop))
        return self._rows._read(name, start, stop) if name in self._rows.known else Column(np.zeros(stop - start))


# One content, three sources


@pytest.mark.parametrize("kind", KINDS)
def test_all_sources_agree(made, kind):
    rows = made[kind]
    assert (len(rows), rows.complete) == (9, True)
    assert content(rows) == content(made["plan"])
    assert rows.known >= set(SHARED)
    assert ("loss" in rows.known) is (kind != "plan")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 4, 9, 100])
@pytest.mark.parametrize("whole_first", [False, True])
def test_blocks_are_the_rows(made, kind, size, whole_first):
    rows = made[kind].with_columns()  # without what other tests have read
    if whole_first and kind != "arrays":
        content(rows)
    blocks = list(rows.blocks(size))
    assert [block.start for block in blocks] == list(range(0, 9, size))
    assert sum(map(len, blocks)) == 9
    assert [block.complete for block in blocks] == [False] * (len(blocks) - 1) + [True]
    for name in SHARED:
        parts = [block.column(name).values for block in blocks]
        assert np.concatenate(parts).tolist() == rows.column(name).values.tolist(), name
    for block in blocks:
        for i in range(len(block)):
            assert block.batch(i).tolist() == rows.batch(block.start + i).tolist()
            assert block.value("updates", i) == rows.value("updates", block.start + i)


@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 3), st.sampled_from(["keep", "pad"]), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_part_of_a_plan_is_that_part_of_its_steps(samples, batch_size, epochs, remainder, data):
    plan = xframe.TrainingPlan(batch_size=batch_size, epochs=epochs, remainder=remainder)
    rows, steps = Rows.of_plan(plan, samples), list(plan.each_step(samples))
    start = data.draw(st.integers(0, len(steps)))
    stop = data.draw(st.integers(start, len(steps)))
    part = rows.between(start, stop)
    assert len(part) == stop - start
    expected = steps[start:stop]
    assert [part.batch(i).tolist() for i in range(len(part))] == [step.sample_ids.tolist() for step in expected]
    assert part.updates.tolist() == [step.update for step in expected]
    assert part.epoch.tolist() == [step.epoch for step in expected]
    assert part.step_in_epoch.tolist() == [step.step_in_epoch for step in expected]
    assert part.padding.tolist() == [step.padding for step in expected]
    arrays = Rows.of_batches([step.sample_ids.tolist() for step in steps], [step.update for step in steps])
    for name in ("ids", "batch_size", "updates"):
        assert arrays.between(start, stop).column(name).values.tolist() == part.column(name).values.tolist()


def test_a_part_of_a_part(made):
    for rows in made.values():
        part = rows.between(2, 8).between(1, 4)
        assert (part.start, len(part), part.complete) == (3, 3, False)
        assert part.ids.tolist() == np.concatenate([rows.batch(i) for i in (3, 4, 5)]).tolist()
        assert rows.between(2, 9).between(3, 7).complete


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("start", "stop"), [(0, 9), (-5, 99), (4, 4), (9, 20), (20, 30), (5, 2)])
def test_parts_end_where_the_rows_end(made, kind, start, stop):
    part = made[kind].between(start, stop)
    length = len(range(9)[max(start, 0) : stop])
    assert len(part) == length
    assert len(part.ids) == part.batch_size.sum() == (30 if length else 0)
    assert {len(part.column(name).values) for name in SHARED if name != "ids"} == {length}


# What is read, and how often


@pytest.mark.parametrize("size", [4, 100])
def test_a_column_is_read_once_for_its_block(made, size):
    counted = Counted(made["trace"])
    for start in range(0, 9, size):
        for _ in range(3):
            block = counted.rows.between(start, start + size)
            assert block.updates is block.updates
            assert len(block.batch(0)) == block.value("batch_size", 0)
            assert block.ids is not None
            assert block.batch(len(block) - 1).tolist() == block.ids[block.bounds[-2] :].tolist()
    expected = [(start, min(start + size, 9)) for start in range(0, 9, size)]
    whole = [reading for reading in counted.readings if reading[2] - reading[1] > 1 or reading[1] == 8]
    for name in ("updates", "ids", "batch_size"):
        assert [(start, stop) for column, start, stop in whole if column == name].count(expected[0]) == 1
    assert {column for column, _, _ in counted.readings} == {"updates", "ids", "batch_size"}


def test_nothing_is_read_that_nobody_asks_for(made):
    counted = Counted(made["trace"])
    rows = counted.rows
    assert (len(rows), len(rows.head(4)), len(list(rows.blocks(2))), rows.with_columns(loss=None).loss) == (
        9,
        4,
        5,
        None,
    )
    assert rows.only("updates").lr is None
    assert counted.readings == []
    assert rows.value("updates", 3) == 2
    assert rows.batch(5).tolist() == made["plan"].batch(5).tolist()
    assert counted.readings == [("updates", 3, 4), ("ids", 5, 6)]


def test_what_was_read_serves_the_parts(made):
    counted = Counted(made["trace"])
    assert counted.rows.ids is not None
    readings = len(counted.readings)
    part = counted.rows.between(3, 6)
    assert part.ids.tolist() == made["plan"].between(3, 6).ids.tolist()
    assert part.batch(1).tolist() == made["plan"].batch(4).tolist()
    assert [name for name, _, _ in counted.readings[readings:]] == ["batch_size"]


# What is known


def partly(**more):
    """Rows with values that are not known."""
    masked = Column(np.array([1, -1, 3, -1]), np.array([True, False, True, False]))
    ids = Column(np.array([7, 8, 9]), np.array([True, False, True, False]))
    return Rows.of_arrays(batch_size=[2, 3, 1, 4], updates=masked, ids=ids, loss=[0.5, math.nan, 0.1, 0.2], **more)


def test_known_and_unknown():
    rows = partly()
    assert rows.known == {"batch_size", "loss"}
    assert (rows.updates, rows.ids, rows.lr, rows.epoch, rows.padding, rows.batch(0)) == (None,) * 6
    assert rows.column("updates").values.tolist() == [1, -1, 3, -1]
    assert [rows.value("updates", i) for i in range(4)] == [1, None, 3, None]
    assert math.isnan(rows.value("loss", 1)), "NaN is a value"
    assert [rows.value("epoch", i) for i in range(4)] == [None] * 4
    for name in COLUMNS:
        values, known = rows.column(name)
        assert len(values) == (3 if name == "ids" else 0 if name in LISTS else 4)
        assert known is None or known.shape == (4,)


def test_parts_of_what_is_partly_known():
    batches, known = [[7, 8], [], [9], []], [True, False, True, False]
    for start in range(5):
        for stop in range(start, 5):
            part = partly().between(start, stop)
            assert part.column("ids").values.tolist() == list(itertools.chain(*batches[start:stop]))
            assert part.column("updates").known.tolist() == known[start:stop]
            assert part.known == {"batch_size", "loss"}


def test_unknown_values_of_a_trace(tmp_path):
    with xframe.record(tmp_path / "run.trace", ids=False) as rec:
        rec.step(ids=[1, 2], updates=None, loss=None)
        rec.step(ids=[3], updates=1, loss=math.nan)
    rows = Rows.of_trace(xframe.Trace.open(tmp_path / "run.trace"))
    assert {"step", "ids_digest", "batch_size", "time_ns"} == rows.known
    assert (rows.ids, rows.updates, rows.loss, rows.batch(0)) == (None,) * 4
    assert [rows.value("updates", 0), rows.value("updates", 1), rows.value("loss", 0)] == [None, 1, None]
    assert rows.value("ids_digest", 1) == rows.column("ids_digest").values[1].tobytes()


def test_a_truncated_trace_is_not_complete(tmp_path):
    trace = recorded(tmp_path / "run.trace")
    short = type(trace)(trace.path, trace.metadata, "truncated", {}, trace.source)
    assert not Rows.of_trace(short).complete
    assert not Rows.of_trace(short).between(8, 9).complete


# Changing them


def test_head(made):
    for rows in made.values():
        head = rows.head(4)
        assert (len(head), head.start, head.complete) == (4, 0, False)
        assert head.updates.tolist() == rows.updates[:4].tolist()
        assert rows.head(9) is rows
        assert rows.head(50) is rows


@pytest.mark.parametrize("kind", KINDS)
def test_limited(made, kind):
    rows = made[kind].with_columns()
    sizes = rows.batch_size.tolist()
    for most in range(40):
        limited = rows.limited(most_ids=most)
        expected = max((n for n in range(10) if sum(sizes[:n]) <= most), default=0)
        assert len(limited) == max(expected, 1)
        assert limited.complete is (len(limited) == 9)
    assert [len(rows.limited(most_rows=n)) for n in (1, 5, 9, 100)] == [1, 5, 9, 9]
    assert len(rows.only("batch_size").limited(most_ids=1)) == 9, "no ids, no limit to them"
    assert len(Rows.of_batches([]).limited()) == 0


def test_limited_reads_no_more_than_it_keeps(made):
    counted = Counted(made["plan"])
    limited = counted.rows.limited(most_rows=5, most_ids=9)
    assert (len(limited), limited.batch_size.tolist()) == (2, [4, 4])
    assert counted.readings == [("batch_size", 0, 5)]


@pytest.mark.parametrize("kind", KINDS)
def test_only(made, kind):
    rows = made[kind].only("batch_size", "ids")
    assert rows.known == {"batch_size", "ids"}
    assert rows.batch(3).tolist() == made["plan"].batch(3).tolist()
    assert (rows.updates, rows.epoch, rows.lr, rows.value("updates", 0)) == (None,) * 4
    assert rows.column("updates").values.tolist() == [-1] * 9
    assert not rows.between(2, 4).column("epoch").known.any()
    assert partly().only("batch_size").column("updates").values.tolist() == [-1] * 4, "not even where it was known"


@pytest.mark.parametrize("kind", KINDS)
def test_with_columns(made, kind):
    rows = made[kind]
    other = rows.with_columns(updates=np.arange(9), epoch=None, complete=False)
    assert other.updates.tolist() == list(range(9))
    assert (other.epoch, other.complete) == (None, False)
    assert other.known == rows.known - {"epoch"}
    assert other.ids.tolist() == rows.ids.tolist()
    assert other.between(3, 5).updates.tolist() == [3, 4]
    assert other.between(3, 5).ids.tolist() == rows.between(3, 5).ids.tolist()
    assert rows.updates.tolist() == made["plan"].updates.tolist(), "the first ones stay what they were"
    part = rows.between(3, 6).with_columns(updates=[7, 8, 9])
    assert part.between(1, 3).updates.tolist() == [8, 9]
    assert part.between(1, 3).batch_size.tolist() == rows.batch_size[4:6].tolist()
    assert part.batch(2).tolist() == rows.batch(5).tolist()


def test_other_batches(made):
    sizes = np.array([1, 2, 0, 3, 1, 1, 1, 1, 1])
    rows = made["trace"].with_columns(batch_size=sizes, ids=np.arange(11))
    assert [rows.batch(i).tolist() for i in range(5)] == [[0], [1, 2], [], [3, 4, 5], [6]]
    assert rows.between(1, 4).ids.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("columns", [{"updates": [1, 2]}, {"ids": [1, 2, 3]}, {"loss": np.zeros(10)}])
def test_columns_that_do_not_fit(columns):
    with pytest.raises(xframe.UsageError, match=r"the column \w+: got \d+, expected \d+ values"):
        Rows.of_batches([[1, 2], [3], [4]]).with_columns(**columns)


# A plan's own


@pytest.mark.parametrize("clock", ["steps", "epochs", "updates"])
def test_the_learning_rate_follows_the_schedules_clock(clock):
    plan = clocked(clock)
    rows, before, expected = Rows.of_plan(plan, SAMPLES, rate=rate), 0, []
    for step in plan.each_step(SAMPLES):
        expected.append(rate({"steps": step.index, "epochs": step.epoch, "updates": before}[clock]))
        before = step.update
    assert rows.lr.tolist() == expected
    for start in range(10):
        for stop in range(start, 10):
            assert rows.with_columns().between(start, stop).column("lr").values.tolist() == expected[start:stop]
    assert rows.value("lr", 5) == expected[5]


def test_without_a_schedule_the_learning_rate_is_unknown():
    rows = Rows.of_plan(PLAN, SAMPLES)
    assert rows.lr is None
    assert rows.value("lr", 0) is None
    assert "lr" not in rows.known


def test_a_plans_rows_may_end_early_and_be_complete():
    rows = Rows.of_plan(PLAN, SAMPLES, num_rows=5)
    assert (len(rows), rows.complete, rows.head(4).complete) == (5, True, False)
    assert len(Rows.of_plan(PLAN, SAMPLES, num_rows=500)) == 9
    assert rows.column("pass_index").values.tolist() == [0, 0, 0, 1, 1]
    assert rows.column("position").values.tolist() == [0, 4, 8, 0, 4]


def test_no_rows():
    for rows in (Rows.of_batches([]), Rows.of_batches([[1]]).head(0)):
        assert len(rows) == 0
        assert rows.bounds.tolist() == [0]
        assert list(rows.blocks(3)) == []
        assert rows.ids.tolist() == []
    assert (
        repr(Rows.of_batches([[1, 2], [3]], [1, 2]).between(1, 2)) == "<1 Rows from 1, known: batch_size, ids, updates>"
    )


def test_a_plan_of_more_steps_than_can_be_numbered():
    plan = xframe.TrainingPlan(batch_size=1, epochs=2**62)
    rows = Rows.of_plan(plan, 2**62)
    assert len(rows) == 2**63 - 1
    assert rows.between(3, 5).batch_size.tolist() == [1, 1]


def test_a_plan_of_batches_beyond_what_is_looked_at_has_sizes_alone():
    plan = xframe.TrainingPlan(batch_size=10**9, epochs=1)
    rows = Rows.of_plan(plan, 10**9)
    assert not {"ids", "ids_digest"} & rows.known
    assert (rows.batch_size.tolist(), rows.column("ids_digest").known.tolist()) == ([10**9], [False])
    assert "ids" in Rows.of_plan(plan, 100).known
