"""A recorder among processes, threads and signals: it belongs to one process, has one file, and is closed once."""

import contextlib
import math
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import xframe
from xframe.recording import recorder as recorder_module
from xframe.recording import waiting
from xframe.trace import writer


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.trace"


def ids_of(path):
    return [ids.tolist() for ids in xframe.Trace.open(path).batches()]


def python(script, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# Closing and entering


def test_a_recorder_is_closed_once_and_again_does_nothing(path):
    rec = xframe.record(path)
    rec.step(ids=[0])
    rec.close()
    before = path.read_bytes()
    rec.close()
    rec.close("interrupted by Me")
    rec.flush()
    with pytest.raises(xframe.UsageError, match="the trace is closed"):
        rec.weights({"w": np.zeros(1)})
    assert (path.read_bytes(), rec.num_steps) == (before, 1)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_recorder_that_is_closed_inside_its_with_is_left_as_it_is(path):
    with xframe.record(path) as rec:
        rec.step(ids=[0])
        rec.close()
    assert xframe.Trace.open(path).complete


def test_entering_a_recorder_twice_is_a_clear_error(path):
    with xframe.record(path) as rec:
        rec.step(ids=[0])
        with pytest.raises(xframe.UsageError, match=r"entered already.*one 'with'"), rec:
            pytest.fail("entered")
        rec.step(ids=[1])
    with pytest.raises(xframe.UsageError, match="the trace is closed"), rec:
        pytest.fail("entered")
    assert xframe.Trace.open(path).complete
    assert ids_of(path) == [[0], [1]]


def test_closing_while_another_thread_records(path, monkeypatch):
    """What a step returned from is in the trace, and the trace's end counts what is there."""
    monkeypatch.setattr(recorder_module, "FLUSH_ROWS", 7)
    for i in range(10):
        rec, done = xframe.record(path.with_name(f"{i}.trace")), []

        def train(rec=rec, done=done):
            with contextlib.suppress(xframe.UsageError):
                for k in range(10**9):
                    rec.step(ids=[k], updates=k + 1)
                    done.append(k)

        thread = threading.Thread(target=train)
        thread.start()
        while len(done) < 20 * i:
            time.sleep(0.0005)
        rec.close()
        thread.join()
        trace = xframe.Trace.open(path.with_name(f"{i}.trace"))
        assert (trace.complete, trace.end["rows"]) == (True, trace.num_rows)
        assert trace.num_rows == rec.num_steps
        assert [ids.tolist() for ids in trace.batches()] == [[k] for k in range(trace.num_rows)]
        assert trace.num_rows - len(done) in (0, 1)


def test_many_threads_record_and_close(path):
    rec, done = xframe.record(path), []

    def train(thread):
        for k in range(300):
            rec.step(ids=[1000 * thread + k])
            done.append(1000 * thread + k)
        rec.flush()

    threads = [threading.Thread(target=train, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    closing = [threading.Thread(target=rec.close) for _ in range(4)]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()
    trace = xframe.Trace.open(path)
    assert trace.complete
    assert sorted(i for (i,) in ids_of(path)) == sorted(done)


# Forks


def test_a_forked_child_is_refused(path):
    script = """
        import os, sys, xframe
        with xframe.record(sys.argv[1]) as rec:
            for k in range(3):
                rec.step(ids=[k], updates=k + 1)
            if not os.fork():
                for call in (
                    lambda: rec.step(ids=[9], updates=9),
                    lambda: rec.block(ids=[9], batch_sizes=[1]),
                    lambda: rec.validation(loss=1),
                    lambda: rec.weights({}),
                ):
                    try:
                        call()
                    except xframe.UsageError as error:
                        print(error)
                sys.stdout.flush()
                os._exit(0)
            os.wait()
            rec.step(ids=[3], updates=4)
    """
    done = python(script, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("the recorder belongs to the process that made it") == 4
    assert xframe.Trace.open(path).complete
    assert ids_of(path) == [[0], [1], [2], [3]]


def test_a_forked_child_that_leaves_does_nothing_to_the_trace(path):
    """It may go through the ``with``'s end, close, flush, or end as Python ends; also while a thread is flushing."""
    script = """
        import os, sys, pyarrow.parquet, xframe
        from xframe.recording import recorder
        recorder.FLUSH_SECONDS = 0.001
        leaves = ["sys.exit()", "rec.close()", "rec.flush()", "raise KeyboardInterrupt", "del rec", "pass"]
        with xframe.record(sys.argv[1]) as rec:
            for k in range(300):
                rec.step(ids=[k], updates=k + 1)
                if k in range(100, 106) and not os.fork():
                    exec(leaves[k - 100])
                    break
            else:
                for _ in leaves:
                    os.wait()
    """
    done = python(script, path)
    assert done.returncode == 0, done.stderr
    assert "was never closed" not in done.stderr
    assert xframe.Trace.open(path).complete
    assert ids_of(path) == [[k] for k in range(300)]


def test_a_child_records_to_a_trace_of_its_own(path):
    script = """
        import os, sys, xframe
        with xframe.record(sys.argv[1]) as rec:
            rec.step(ids=[0])
            if not os.fork():
                with xframe.record(sys.argv[2]) as own:
                    own.step(ids=[1])
                os._exit(0)
            os.wait()
    """
    done = python(script, path, path.with_name("child.trace"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (ids_of(path), ids_of(path.with_name("child.trace"))) == ([[0]], [[1]])


# Two writers


def test_of_processes_that_open_one_path_at_once_one_records(path):
    script = """
        import os, sys, pyarrow.parquet, xframe
        def record(path, i):
            try:
                with xframe.record(path) as rec:
                    for k in range(50):
                        rec.step(ids=[i], updates=k + 1)
            except xframe.UsageError as error:
                return int("exists already" in str(error))
            return 0
        for again in range(5):
            (reading, writing), children = os.pipe(), []
            for i in range(4):
                if not (pid := os.fork()):
                    os.close(writing)
                    os.read(reading, 1)  # all of them begin when it is closed
                    os._exit(record(f"{sys.argv[1]}/{again}.trace", i))
                children.append(pid)
            os.close(writing)
            print(*[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
    """
    done = python(script, path.parent)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 5), done.stderr
    for again, line in enumerate(done.stdout.splitlines()):
        codes = line.split()
        assert sorted(codes) == ["0", "1", "1", "1"]
        trace = xframe.Trace.open(path.with_name(f"{again}.trace"))
        assert trace.complete
        assert ids_of(trace.path) == [[codes.index("0")]] * 50


def test_a_link_to_nowhere_is_not_followed(path):
    path.symlink_to(path.with_name("aim"))
    with pytest.raises(xframe.UsageError, match="exists already"):
        xframe.record(path)
    assert path.is_symlink()
    assert not path.exists()


# Signals


def test_a_signals_handler_may_close_the_recorder(path):
    """As a cluster's notice to end asks for; whatever the recorder is at when it comes."""
    script = """
        import signal, sys, time, xframe
        rec = xframe.record(sys.argv[1])
        def end(*_):
            rec.close("interrupted by SIGTERM")
            sys.exit(7)
        signal.signal(signal.SIGTERM, end)
        k = 0
        while True:
            rec.step(ids=[k], updates=k + 1)
            k += 1
            if k % 100 == 0:
                print(k, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for _ in range(30):
            child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        made = [3000, *map(int, child.stdout.read().split())][-1]
    assert child.returncode == 7
    trace = xframe.Trace.open(path)
    assert trace.ending == "interrupted by SIGTERM"
    assert trace.num_rows >= made
    assert ids_of(path) == [[k] for k in range(trace.num_rows)]


def test_steps_with_one_whose_values_cannot_be_had_are_kept_up_to_it(path):
    class Lost:
        """A scalar on a device that is gone."""

        shape, is_cpu, device, dtype = (), False, "cuda:0", np.dtype(float)

        def detach(self):
            return self

        clone = detach

        def dim(self):
            return 0

        def cpu(self):
            raise RuntimeError("device lost")

    Lost.__module__ = "torch"
    rec = xframe.record(path)
    for k in range(300):
        rec.step(ids=[k], updates=k + 1, loss=Lost() if k == 217 else 0.5)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="device lost"):
            rec.flush()
    with pytest.raises(RuntimeError, match="device lost"):
        rec.close()
    assert xframe.Trace.open(path).ending == "truncated"
    assert ids_of(path) == [[k] for k in range(217)]


def test_a_huge_block_is_written_in_frames_that_a_reader_takes(path, monkeypatch):
    monkeypatch.setattr(waiting, "FRAME_ROWS", 4)
    monkeypatch.setattr(waiting, "FRAME_IDS", 6)
    sizes = [1, 9, 0, 2, 2, 2, 1, 0, 0, 0, 0, 0, 3]
    ids = np.arange(sum(sizes))
    loss = np.ma.masked_array(np.arange(13.0), mask=[k % 3 == 0 for k in range(13)])
    with xframe.record(path) as rec:
        flushed = []
        rec.on_flush = lambda steps, *_: flushed.append(steps)
        rec.block(ids=ids, batch_sizes=sizes, loss=loss, updates=np.arange(1, 14))
        rec.step(ids=[99], updates=14)
        assert rec.num_steps == 14
    trace = xframe.Trace.open(path)
    assert np.diff([0, *flushed]).max() <= 4
    assert ids_of(path) == [part.tolist() for part in np.split(ids, np.cumsum(sizes)[:-1])] + [[99]]
    assert trace.column("updates").tolist() == list(range(1, 15))
    known = [not math.isnan(loss) for loss in trace.column("loss").tolist()]
    assert known == [k % 3 != 0 for k in range(13)] + [False]


def test_a_validation_that_is_refused_leaves_the_steps_whole(path, monkeypatch):
    with xframe.record(path) as rec:
        rec.step(ids=[0])
        with monkeypatch.context() as patch:
            patch.setattr(writer, "JSON_BYTES", 10)
            with pytest.raises(xframe.UsageError, match="a validation"):
                rec.validation(loss=1.0)
        rec.step(ids=[1])
    assert xframe.Trace.open(path).complete
    assert ids_of(path) == [[0], [1]]
