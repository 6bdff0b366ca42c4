"""Where writing fails: what was flushed stays whole, and the loop learns of it."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import xframe
from xframe.trace import writer as writing
from xframe.trace.journal import MAGIC


@pytest.fixture
def disk(monkeypatch):
    """A disk that can be made full in the middle of the next long writes; has room again after as many."""
    disk = SimpleNamespace(full=0, write=writing._write_at)

    def write(number, data, at):
        if len(data) > 500 and disk.full:
            disk.full -= 1
            disk.write(number, data[:400], at)
            raise OSError(errno.ENOSPC, "No space left on device")
        return disk.write(number, data, at)

    monkeypatch.setattr(writing, "_write_at", write)
    return disk


def test_interrupted_while_it_is_made_compact(small_rows, monkeypatch):
    """The journal has its end and stays whole; the file that was begun beside it is gone."""
    path, record = small_rows

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(path)
    monkeypatch.undo()
    assert path.read_bytes().startswith(MAGIC)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    trace = xframe.Trace.open(path)
    assert (trace.ending, trace.num_rows) == ("complete", 3)
    assert trace.certificate == trace.end["certificate"]
    path.unlink()
    record(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert xframe.Trace.open(path).certificate == trace.certificate


def test_what_a_killed_closing_left_is_removed_by_the_next(small_rows):
    """And nothing else: not what stands beside another name, nor under a name that it never has."""
    path, record = small_rows
    others = {f".{path.name}.closing", f".{path.name}x.0123abcd.closing", f".{path.name}.mine.closing", "mine"}
    for name in (*others, f".{path.name}.0123abcd.closing"):
        (path.parent / name).write_text("")
    record(path)
    assert {file.name for file in path.parent.iterdir()} == {path.name, *others}


def test_closing_follows_no_link(small_rows, monkeypatch):
    path, record = small_rows
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    link, aim = path.parent / f".{path.name}.00000000.closing", path.parent / "aim"
    aim.write_text("mine")
    monkeypatch.setattr(writing, "remove_left", lambda path: link.symlink_to(aim))
    record(path)
    assert (aim.read_text(), link.is_symlink(), path.read_bytes()[:4]) == ("mine", True, b"XFRA")
    assert xframe.Trace.open(path).complete


def test_a_closed_trace_is_on_the_disk_before_it_takes_the_journals_place(small_rows, monkeypatch):
    path, record = small_rows
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda number: done.append(os.readlink(f"/proc/self/fd/{number}")) or fsync(number))
    monkeypatch.setattr("os.replace", lambda *names: done.append("replaced") or replace(*names))
    record(path)
    closing, replaced, folder = done
    assert (closing[-8:], replaced, folder) == (".closing", "replaced", str(path.parent))


@pytest.mark.parametrize("where", ["os.replace", "pyarrow.parquet.ParquetWriter.write_batch"])
def test_disk_full_while_it_is_made_compact(small_rows, monkeypatch, where):
    path, record = small_rows

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, full)
    record(path)
    monkeypatch.undo()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes().startswith(MAGIC)
    trace = xframe.Trace.open(path)
    assert (trace.ending, trace.num_rows) == ("complete", 3)
    assert trace.end["certificate"] == trace.certificate


@pytest.mark.parametrize("times", [1, 100])
def test_disk_full_while_rows_are_written(runs, disk, times):
    """The loop learns of it. No row is lost: it is written as soon as there is room, and what was flushed stays."""
    path = runs.folder / "full.trace"

    def training():
        with xframe.record(path) as rec:
            rec.step(ids=[0], updates=1)
            rec.flush()
            disk.full = times
            rec.step(ids=[1], updates=2)
            rec.flush()

    with pytest.raises(OSError, match="No space left"):
        training()
    trace = xframe.Trace.open(path)
    assert not trace.complete
    assert (trace.num_rows, trace.ending) == ((2, "interrupted by OSError") if times == 1 else (1, "truncated"))


def test_a_disk_that_was_full_at_the_first_flush_has_every_row_in_the_end(runs, disk):
    path = runs.folder / "full.trace"
    rec, refused = xframe.record(path), 0
    disk.full = 3
    for k in range(3999):
        try:
            rec.step(ids=[k], updates=k + 1)
        except OSError:
            refused += 1
    assert (rec.num_steps, 1 <= refused <= 3) == (3999, True)
    disk.full = 2
    with pytest.raises(OSError, match="No space left"):
        rec.close()
    assert rec.num_steps == 3999
    rec.close()
    rec.close()
    trace = xframe.Trace.open(path)
    assert (trace.complete, [ids.tolist() for ids in trace.batches()]) == (True, [[k] for k in range(3999)])


def test_a_file_that_was_never_begun_is_not_left_behind(small_rows, monkeypatch):
    path, record = small_rows
    for error in (OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()):

        def write(*_, error=error):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(writing, "_write_at", write)
            with pytest.raises((xframe.UsageError, KeyboardInterrupt)):
                record(path)
        assert list(path.parent.iterdir()) == []
    rec = xframe.record(path)
    del rec  # forgotten before its first step
    assert list(path.parent.iterdir()) == []
    record(path)


def test_a_trace_that_is_removed_cut_or_moved_while_it_is_recorded(tmp_path):
    """The loop learns of it at the next flush. A file that has its name since is left as it is."""
    for name, harm in {"removed": Path.unlink, "cut": lambda path: os.truncate(path, 40)}.items():
        with pytest.raises(xframe.TraceError, match="was removed or cut"), xframe.record(tmp_path / name) as rec:  # noqa: PT012
            rec.step(ids=[0], updates=1)
            rec.flush()
            harm(tmp_path / name)
            rec.step(ids=[1], updates=2)
            rec.flush()
    with xframe.record(tmp_path / "name") as rec:
        rec.step(ids=[0], updates=1)
        (tmp_path / "name").rename(tmp_path / "moved")
        (tmp_path / "name").write_text("mine")
        rec.step(ids=[1], updates=2)
    assert (tmp_path / "name").read_text() == "mine"
    trace = xframe.Trace.open(tmp_path / "moved")
    assert (trace.complete, trace.num_rows) == (True, 2)


def test_the_working_directory_may_change_while_recording(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with xframe.record("run.trace") as rec:
        rec.step(ids=[0], updates=1)
        os.chdir("elsewhere")
    assert xframe.Trace.open(tmp_path / "run.trace").complete


def test_metadata_may_hold_what_looks_like_a_digest(runs):
    trace = runs([{"ids": [1]}], metadata={"data": "blake2b-256:" + "a" * 64})
    assert trace.complete
    assert trace.path.read_bytes().startswith(b"PAR1")


@pytest.mark.parametrize(("rows", "codec"), [(1024, "UNCOMPRESSED"), (1025, "ZSTD")])
def test_few_rows_are_not_compressed(tmp_path, rows, codec):
    """They would hardly be smaller, and take twice as long to open."""
    import pyarrow.parquet as parquet

    with xframe.record(tmp_path / "run.trace") as rec:
        rec.block(batch_sizes=np.ones(rows, np.int64), updates=np.arange(rows))
    group = parquet.ParquetFile(tmp_path / "run.trace").metadata.row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {codec}
    assert xframe.Trace.open(tmp_path / "run.trace").num_rows == rows
