"""A comparison holds a block of rows of each side, however many there are."""

import tracemalloc

import numpy as np

import xframe
from xframe.trace.trace import open_all

ROWS, BLOCKS = 1 << 17, 6


def recorded(path):
    with xframe.record(path, num_samples=100, ids=False) as rec:
        for start in range(0, BLOCKS * ROWS, ROWS):
            index = np.arange(start, start + ROWS)
            rec.block(
                ids=np.zeros(ROWS, "i8"),
                batch_sizes=np.ones(ROWS, "i8"),
                updates=index + 1,
                loss=np.ones(ROWS),
                lr=np.full(ROWS, 0.1),
                epoch=index // 1000,
                step_in_epoch=index % 1000,
            )
    return path


def test_comparing_equal_runs_holds_no_more_than_a_block(tmp_path):
    traces = open_all([recorded(tmp_path / name) for name in ("a.trace", "b.trace")])
    assert len(traces[0].source.bounds) == BLOCKS + 1
    tracemalloc.start()
    comparison = xframe.compare(*traces)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert comparison.structure == "identical"
    assert peak < 12 * 8 * ROWS  # less than a column of each block would take
