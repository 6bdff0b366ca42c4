"""Where writing fails: what was flushed stays whole, and the loop learns of it."""

import errno
import os

import pytest

import xframe
from xframe.trace.journal import MAGIC


class FullOnce:
    """A file on a disk that is full in the middle of the next long write, and has room again after it."""

    def __init__(self, file):
        self.file, self.full = file, False

    def write(self, data):
        if len(data) > 500 and not self.full:
            self.full = True
            self.file.write(bytes(data)[:400])
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_killed_while_it_is_made_compact(small_rows, monkeypatch):
    """The journal has its end and stays whole; the file that was begun beside it does no harm."""
    path, record = small_rows

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        record(path)
    monkeypatch.undo()
    assert path.read_bytes().startswith(MAGIC)
    assert sorted(file.name for file in path.parent.iterdir()) == [f".{path.name}.closing", path.name]
    trace = xframe.Trace.open(path)
    assert (trace.ending, trace.num_rows) == ("complete", 3)
    assert trace.certificate == trace.end["certificate"]
    path.unlink()
    record(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert xframe.Trace.open(path).certificate == trace.certificate


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


def test_disk_full_while_rows_are_written(runs):
    """The rows before stay readable, and the loop is told what happened."""
    path = runs.folder / "full.trace"

    def training():
        with xframe.record(path) as rec:
            rec.step(ids=[0], updates=1)
            rec.flush()
            journal = rec._writer._journal
            journal._file = FullOnce(journal._file)
            rec.step(ids=[1], updates=2)
            rec.flush()

    with pytest.raises(OSError, match="No space left"):
        training()
    trace = xframe.Trace.open(path)
    assert not trace.complete
    assert trace.num_rows == 1


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
