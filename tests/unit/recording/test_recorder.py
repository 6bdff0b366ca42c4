"""The recorder: takes what a loop has at hand, keeps what was seen, steers nothing, loses nothing."""

import inspect
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import xframe
from xframe.recording import recorder as recorder_module
from xframe.recording.recorder import FLUSH_ROWS, Recorder
from xframe.trace import schema

WHOLE = [{"ids": [0, 1], "updates": 1, "loss": 1.0}, {"ids": [2], "updates": 2, "loss": 0.5}]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.trace"


def rows_of(path):
    return [ids.tolist() for ids in xframe.Trace.open(path).batches()]


# What is taken


@pytest.mark.parametrize(
    "ids",
    [
        [3, 1],
        (3, 1),
        range(3, 0, -2),
        np.array([3, 1]),
        np.array([3, 1], dtype=np.uint8),
        np.array([3, 1], dtype=">i4"),
        np.array([3, 9, 1])[::2],
    ],
    ids=lambda ids: type(ids).__name__,
)
def test_ids(path, ids):
    with xframe.record(path) as rec:
        rec.step(ids=ids)
    assert rows_of(path) == [[3, 1]]


@pytest.mark.parametrize(
    "number",
    [
        2,
        2.0,
        np.int32(2),
        np.float16(2),
        np.array(2.0),
        np.array([2]),
        [2.0],
    ],
    ids=lambda number: f"{type(number).__name__}-{getattr(number, 'dtype', '')}",
)
def test_one_number(path, number):
    with xframe.record(path) as rec:
        rec.step(ids=[0], updates=number, update_attempts=number, loss=number, lr=number)
    trace = xframe.Trace.open(path)
    for name in ("updates", "update_attempts", "loss", "lr"):
        assert trace.column(name).tolist() == [2]


def test_update_evidence(path):
    class Counter:
        applied, attempts, evidence = np.int64(3), 4, "optimizer.state['step']"

    with xframe.record(path) as rec:
        rec.step(ids=[0], updates=Counter())
    trace = xframe.Trace.open(path)
    assert (trace.column("updates").tolist(), trace.column("update_attempts").tolist()) == ([3], [4])
    assert trace.end["evidence"] == "optimizer.state['step']"
    with xframe.record(path.with_name("b.trace")) as rec:
        rec.step(ids=[0], updates=3)
    assert xframe.Trace.open(path.with_name("b.trace")).end["evidence"] == "declared by the loop"


def test_blocks_are_steps(path):
    single = path.with_name("single.trace")
    with xframe.record(single) as rec:
        for k, ids in enumerate([[5, 6], [7], [], [8, 9, 1]]):
            rec.step(ids=ids, updates=k + 1, loss=k / 2, lr=0.1, epoch=0, step_in_epoch=k, padding=0)
    with xframe.record(path) as rec:
        rec.step(ids=[5, 6], updates=1, loss=0.0, lr=0.1, epoch=0, step_in_epoch=0, padding=0)
        rec.block(
            ids=np.array([7, 8, 9, 1]),
            batch_sizes=np.array([1, 0, 3]),
            updates=np.array([2, 3, 4]),
            loss=np.array([0.5, 1.0, 1.5]),
            lr=[0.1, 0.1, 0.1],
            epoch=[0, 0, 0],
            step_in_epoch=[1, 2, 3],
            padding=np.zeros(3, dtype=int),
        )
        assert rec.num_steps == 4
    frames = [xframe.Trace.open(p).frame().drop(columns="time_ns") for p in (single, path)]
    assert frames[0].to_json() == frames[1].to_json()
    assert xframe.Trace.open(single).certificate == xframe.Trace.open(path).certificate


def test_every_column_that_a_loop_can_give_is_taken(path):
    names = {*schema.COUNTS, *schema.REALS}
    steps, blocks = {"self", "ids", "also"}, {"self", "ids", "batch_sizes", "time_ns", "also"}
    for take, others in ((Recorder.step, steps), (Recorder.block, blocks)):
        assert set(inspect.signature(take).parameters) == names | others | {schema.OWN}
    with xframe.record(path) as rec:
        prints = dict.fromkeys(schema.PRINTS, np.ones((1, 3), dtype=np.int64))
        rec.step(ids=[0], **dict.fromkeys(names, 1), also=dict.fromkeys(schema.FURTHER, 1) | prints)
        also = dict.fromkeys(schema.FURTHER, (1,)) | prints
        rec.block(ids=[1], batch_sizes=[1], **dict.fromkeys(names, (1,)), also=also)
        rec.step(ids=[0], **dict.fromkeys(names, 1))
        rec.step(ids=[0], **dict.fromkeys(names, 1), also={"loss_rows": 3})
    trace = xframe.Trace.open(path)
    for name in names:
        assert trace.column(name).tolist() == [1, 1, 1, 1], name
    for name in schema.FURTHER:
        assert trace.known(name).tolist() == [True, True, False, name == "loss_rows"], name


@pytest.mark.parametrize(
    ("also", "words"),
    [
        ({"gradient": 1.0}, "further column of a step"),
        ({"loss_rows": -1}, "a step's loss_rows: got -1"),
        ({"features": np.zeros((2, 3), dtype=np.int64)}, r"a step's features: got ndarray of shape \(2, 3\)"),
        ({"targets": np.zeros((1, 3))}, r"a step's targets: .* expected prints, int64 of shape \(1, 3\)"),
    ],
)
def test_a_further_column_that_does_not_fit_is_refused(path, also, words):
    with xframe.record(path) as rec:
        with pytest.raises(xframe.UsageError, match=words):
            rec.step(ids=[0], also=also)
        assert rec.num_steps == 0


@pytest.mark.parametrize("ids", [[], np.array([], dtype=np.int64)])
def test_a_block_of_no_steps(path, ids):
    with xframe.record(path) as rec:
        rec.step(**WHOLE[0])
        rec.block(ids=ids, batch_sizes=[])
        rec.step(**WHOLE[1])
    assert rows_of(path) == [[0, 1], [2]]


def test_weights(path):
    with xframe.record(path) as rec:
        rec.weights(
            {"a/kernel": np.arange(4, dtype=np.float32).reshape(2, 2), "file": np.zeros(1), "a/bias": np.float32(3)}
        )
    weights = xframe.Trace.open(path).weights()
    assert weights["a/kernel"].tolist() == [[0, 1], [2, 3]]
    assert {name: values.dtype.str for name, values in weights.items()} == {
        "a/kernel": "<f4",
        "file": "<f8",
        "a/bias": "<f4",
    }


def test_metadata(path):
    plan = xframe.TrainingPlan(batch_size=4, epochs=2)
    with xframe.record(path, plan=plan, num_samples=np.int64(10), metadata={"label": "mine"}):
        pass
    metadata = xframe.Trace.open(path).metadata
    assert (metadata["plan"], metadata["num_samples"], metadata["label"]) == (plan.to_dict(), 10, "mine")
    assert {"python", "xframe", "numpy"} <= set(metadata["versions"])


def test_metadata_cannot_hide_the_format(path):
    with xframe.record(path, metadata={"format": 99}) as rec:
        rec.step(**WHOLE[0])
    assert xframe.Trace.open(path).complete


# What is refused, in the step that brings it, with all before it kept

WRONG_STEPS = {
    "float ids": {"ids": [1.5, 2.5]},
    "whole float ids": {"ids": np.array([1.0, 2.0])},
    "2-D ids": {"ids": [[1, 2], [3, 4]]},
    "ragged ids": {"ids": [[1], [2, 3]]},
    "one id": {"ids": 5},
    "0-D ids": {"ids": np.array(5)},
    "no ids": {"ids": None},
    "text ids": {"ids": ["a", "b"]},
    "bool ids": {"ids": [True, False]},
    "ids beyond int64": {"ids": [2**70]},
    "ids beyond int64, unsigned": {"ids": np.array([2**64 - 1], dtype=np.uint64)},
    "vector loss": {"ids": [1], "loss": np.zeros(3)},
    "empty loss": {"ids": [1], "loss": []},
    "text loss": {"ids": [1], "loss": "0.5"},
    "object loss": {"ids": [1], "loss": object()},
    "complex loss": {"ids": [1], "loss": np.array(1j)},
    "complex number": {"ids": [1], "loss": np.complex64(1)},
    "vector lr": {"ids": [1], "lr": [0.1, 0.2]},
    "vector updates": {"ids": [1], "updates": [1, 2]},
    "vector attempts": {"ids": [1], "update_attempts": [1, 2]},
    "NaN updates": {"ids": [1], "updates": math.nan},
    "infinite updates": {"ids": [1], "updates": math.inf},
    "half an update": {"ids": [1], "updates": 2.5},
    "too many updates": {"ids": [1], "updates": 2**63},
    "text epoch": {"ids": [1], "epoch": "first"},
    "half an epoch": {"ids": [1], "epoch": 0.5},
    "vector padding": {"ids": [1], "padding": [1, 2]},
}


@pytest.mark.parametrize("wrong", list(WRONG_STEPS.values()), ids=list(WRONG_STEPS))
def test_wrong_steps(path, wrong):
    with pytest.raises(xframe.UsageError) as caught, xframe.record(path) as rec:  # noqa: PT012
        for row in WHOLE:
            rec.step(**row)
        rec.step(**wrong)
        pytest.fail("taken")
    assert caught.value.exit_code == 2
    assert "a step's" in str(caught.value)
    trace = xframe.Trace.open(path)
    assert trace.ending == "interrupted by UsageError"
    assert rows_of(path) == [[0, 1], [2]]


def test_a_refused_step_leaves_the_recorder_whole(path):
    with xframe.record(path) as rec:
        rec.step(**WHOLE[0])
        for name in ("float ids", "vector loss", "vector lr", "vector updates"):
            with pytest.raises(xframe.UsageError):
                rec.step(**WRONG_STEPS[name])
        rec.step(**WHOLE[1])
        assert rec.num_steps == 2
    trace = xframe.Trace.open(path)
    assert trace.complete
    assert rows_of(path) == [[0, 1], [2]]
    assert trace.column("loss").tolist() == [1.0, 0.5]


WRONG_BLOCKS = {
    "too few ids": {"ids": [1, 2], "batch_sizes": [1, 2]},
    "too many ids": {"ids": [1, 2, 3, 4], "batch_sizes": [1, 2]},
    "a negative size": {"ids": [1, 2, 3, 4], "batch_sizes": [3, -1, 2]},
    "float ids": {"ids": [1.5, 2.5], "batch_sizes": [1, 1]},
    "updates": {"ids": [1, 2], "batch_sizes": [1, 1], "updates": [1]},
    "loss": {"ids": [1, 2], "batch_sizes": [1, 1], "updates": [1, 2], "loss": [1.0, 2.0, 3.0]},
    "epoch": {"ids": [1, 2], "batch_sizes": [1, 1], "epoch": []},
    "one loss": {"ids": [1, 2], "batch_sizes": [1, 1], "loss": 1.0},
    "2-D loss": {"ids": [1, 2], "batch_sizes": [1, 1], "loss": [[1.0, 2.0], [3.0, 4.0]]},
    "NaN updates": {"ids": [1, 2], "batch_sizes": [1, 1], "updates": [1, math.nan]},
    "text loss": {"ids": [1, 2], "batch_sizes": [1, 1], "loss": ["a", "b"]},
}


@pytest.mark.parametrize("wrong", list(WRONG_BLOCKS.values()), ids=list(WRONG_BLOCKS))
def test_wrong_blocks(path, wrong):
    with pytest.raises(xframe.UsageError), xframe.record(path) as rec:  # noqa: PT012
        for row in WHOLE:
            rec.step(**row)
        rec.block(**wrong)
        pytest.fail("taken")
    assert xframe.Trace.open(path).ending == "interrupted by UsageError"
    assert rows_of(path) == [[0, 1], [2]]


@pytest.mark.parametrize(
    "wrong",
    [{"num_samples": 0}, {"num_samples": -4}, {"num_samples": "a"}, {"metadata": {"a": object()}}],
    ids=["none", "negative", "text", "an object"],
)
def test_wrong_facts(path, wrong):
    with pytest.raises(xframe.UsageError) as caught:
        xframe.record(path, **wrong)
    assert caught.value.exit_code == 2
    assert not path.exists()
    with pytest.raises(xframe.UsageError, match="the name of a file"):
        xframe.record("")


def test_no_step_after_the_end(path):
    with xframe.record(path) as rec:
        rec.step(ids=[0])
    for late in (lambda: rec.step(ids=[1]), lambda: rec.block(ids=[1], batch_sizes=[1])):
        with pytest.raises(xframe.UsageError, match="the trace is closed"):
            late()
    assert rows_of(path) == [[0]]


def test_an_existing_path_is_refused(path):
    path.write_text("mine")
    for taken in (path, path.parent):
        with pytest.raises(xframe.UsageError, match=r"exists already.*expected a new file. Remove it") as caught:
            xframe.record(taken)
        assert caught.value.exit_code == 2
    assert path.read_text() == "mine"


def test_no_place_for_a_file(path):
    path.write_text("")
    for place in (path.parent / "no" / "folder" / "x", path / "below"):
        with pytest.raises(xframe.UsageError, match="cannot write the trace"):
            xframe.record(place)


# What reaches the file


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_keeps_the_rows(path, error):
    with pytest.raises(error), xframe.record(path) as rec:  # noqa: PT012
        for row in WHOLE:
            rec.step(**row)
        raise error
    trace = xframe.Trace.open(path)
    assert (trace.ending, trace.complete) == (f"interrupted by {error.__name__}", False)
    assert rows_of(path) == [[0, 1], [2]]


def test_rows_are_written_every_thousand_steps(path, monkeypatch):
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 1e9)
    flushed = []
    with xframe.record(path) as rec:
        rec.on_flush = lambda steps, *_: flushed.append(steps)
        for _ in range(2 * FLUSH_ROWS + 1):
            rec.step(ids=[0])
        assert xframe.Trace.open(path).num_rows == 2 * FLUSH_ROWS
        rec.flush()
        rec.flush()
    assert flushed == [FLUSH_ROWS, 2 * FLUSH_ROWS, 2 * FLUSH_ROWS + 1]
    assert xframe.Trace.open(path).column("step").tolist() == list(range(2 * FLUSH_ROWS + 1))


def test_rows_are_written_by_size(path, monkeypatch):
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 1e9)
    monkeypatch.setattr(recorder_module, "FLUSH_IDS", 10)
    with xframe.record(path) as rec:
        rec.step(ids=range(5))
        assert xframe.Trace.open(path).num_rows == 0
        rec.step(ids=range(5))
        assert xframe.Trace.open(path).num_rows == 2


def test_rows_are_written_by_time_though_no_step_follows(path, monkeypatch):
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.05)
    with xframe.record(path) as rec:
        rec.step(ids=[0])
        rec.step(ids=[1])
        deadline = time.monotonic() + 20
        while xframe.Trace.open(path).num_rows < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert xframe.Trace.open(path).num_rows == 2
        rec.step(ids=[2])
    assert rows_of(path) == [[0], [1], [2]]


def test_what_goes_wrong_in_between_is_raised_by_the_next_step(path, monkeypatch):
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.02)
    with pytest.raises(OSError, match="disk"), xframe.record(path) as rec:  # noqa: PT012

        def full(*_, **__):
            raise OSError("the disk is full")

        monkeypatch.setattr(rec._writer, "write", full)
        for _ in range(500):
            rec.step(ids=[0])
            time.sleep(0.005)


def test_a_recorder_that_is_forgotten_leaves_no_thread(path, monkeypatch):
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.02)
    before = set(sys._current_frames())
    rec = xframe.record(path)
    deadline = time.monotonic() + 20
    while not (begun := set(sys._current_frames()) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    (thread,) = begun
    del rec
    deadline = time.monotonic() + 20
    while thread in sys._current_frames() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert thread not in sys._current_frames()


def test_kill_minus_9(path):
    script = """
        import sys, time, xframe
        with xframe.record(sys.argv[1]) as rec:
            for k in range(10_000):
                rec.step(ids=[k], updates=k + 1)
                print(time.monotonic(), flush=True)
                time.sleep(0.01)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        lines = [child.stdout.readline()]
        time.sleep(2.5)
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.read().splitlines()
    made = [float(line) for line in lines[:-1]]  # the last line may be cut
    trace = xframe.Trace.open(path)
    assert (trace.ending, trace.complete, trace.end) == ("truncated", False, {})
    assert sum(at <= made[-1] - 1 for at in made) <= trace.num_rows <= len(made) + 2
    assert made[-1] - made[0] > 1.5
    assert trace.num_rows > 10
    assert rows_of(path) == [[k] for k in range(trace.num_rows)]


UNCLOSED = {
    "forgotten by a function": """
        def train():
            rec = xframe.record(path)
            for k in range(3):
                rec.step(ids=[k], updates=k + 1)
        train()
    """,
    "open at the end of the script": """
        rec = xframe.record(path)
        for k in range(3):
            rec.step(ids=[k], updates=k + 1)
    """,
    "open at sys.exit, with a child that was forked from it": """
        rec = xframe.record(path)
        for k in range(3):
            rec.step(ids=[k], updates=k + 1)
        import os
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        sys.exit(0)
    """,
    "the writer for old scripts": """
        rec = xframe.trace.plainwriter.record(path)
        for k in range(3):
            rec.step(ids=[k], updates=k + 1)
    """,
}


@pytest.mark.parametrize("case", UNCLOSED)
def test_a_recorder_that_was_never_closed_keeps_its_rows_and_warns(path, case):
    script = "import sys, xframe, xframe.trace.plainwriter\npath = sys.argv[1]\n" + textwrap.dedent(UNCLOSED[case])
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("was never closed") == 1, done.stderr
    assert "its rows are kept (3 steps)" in done.stderr
    assert "rec.close()" in done.stderr
    trace = xframe.Trace.open(path)
    assert (trace.ending, rows_of(path)) == ("truncated", [[0], [1], [2]])


def test_a_recorder_that_was_closed_does_not_warn(path):
    script = "import sys, xframe\nrec = xframe.record(sys.argv[1])\nrec.step(ids=[0])\nrec.close()"
    command = [sys.executable, "-W", "error", "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert xframe.Trace.open(path).complete
