"""Small traces for the tests of their files."""

import pytest

import xframe
from xframe.trace import writer as writing
from xframe.trace.schema import COLUMNS
from xframe.trace.writer import TraceWriter


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


@pytest.fixture
def small_rows(tmp_path):
    """Where a trace may be recorded, alone in its folder, and what records three rows there."""
    (tmp_path / "alone").mkdir()

    def record(path):
        with xframe.record(path) as rec:
            for k in range(3):
                rec.step(ids=[k, k + 1], updates=k + 1, loss=0.5, lr=0.1, epoch=0)

    return tmp_path / "alone" / "small.trace", record


@pytest.fixture
def as_journal():
    """Makes a closed trace the journal it was: the same rows in frames of so many."""

    def journal(path, flush_each=2):
        trace = xframe.Trace.open(path)
        writer = TraceWriter(path.with_suffix(".journal"), trace.metadata)
        for start in range(0, trace.num_rows, flush_each):
            stop = min(start + flush_each, trace.num_rows)
            columns = {name: trace.between(name, start, stop) for name in COLUMNS}
            writer.write(columns)
        end = {name: value for name, value in trace.end.items() if name not in ("rows", "certificate")}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writing, "compact", lambda *_: None)
            writer.close(**end)
        return writer.path.replace(path)

    return journal
