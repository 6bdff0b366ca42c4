"""What traces cost at scale: recording, closing, comparing, beside DuckDB's positional join and pandas.

Usage: python tests/proof/trace_speed.py STEPS [--only-xframe] [--dir FOLDER]

Two traces of STEPS steps without id lists. Each measurement is a process of its own, interleaved over rounds;
its peak memory is the process's. DuckDB and pandas read the very same rows, as plain Parquet. They believe what stands
in the files; xframe opens them first, which makes their digests again from the rows, and is shown apart.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BLOCK = 8192
BATCH = 32
COLUMNS = ("step", "ids_digest", "batch_size", "updates", "lr", "loss", "epoch")


def record(path, steps, *, differs=None):
    """Records through the recorder as a loop would that hands over blocks; returns seconds to record and to close."""
    import xframe

    random = np.random.default_rng(0)
    ids = random.integers(0, 1 << 20, BLOCK * BATCH)
    sizes = np.full(BLOCK, BATCH)
    began = time.perf_counter()
    with xframe.record(path, num_samples=1 << 20, ids=False) as rec:
        for start in range(0, steps, BLOCK):
            count = min(BLOCK, steps - start)
            index = np.arange(start, start + count)
            loss = random.random(count)
            drawn = ids + start  # so that no two batches are alike
            updates = index + 1
            if differs is not None and start <= differs < start + count:
                updates = updates + (index >= differs)
            rec.block(
                ids=drawn[: count * BATCH],
                batch_sizes=sizes[:count],
                updates=updates,
                loss=loss,
                lr=np.full(count, 0.1),
                epoch=index // 32768,
                step_in_epoch=index % 32768,
            )
        recorded = time.perf_counter() - began
    return recorded, time.perf_counter() - began - recorded


def peak_mb():
    """Peak resident memory of this process alone; getrusage counts its parent's too."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def with_xframe(a, b):
    comparison = xframe.compare(a, b)
    found = comparison.first_difference
    return None if found is None else found["step"]


def _unequal(prefix_a="a", prefix_b="b"):
    return " or ".join(f"{prefix_a}.{name} is distinct from {prefix_b}.{name}" for name in COLUMNS)


def with_duckdb(a, b):
    question = f"select min(a.step) from read_parquet('{a}') a positional join read_parquet('{b}') b where {_unequal()}"
    return duckdb.sql(question).fetchall()[0][0]


def with_pandas(a, b):
    first, second = (pd.read_parquet(path, columns=list(COLUMNS)) for path in (a, b))
    unequal = (first != second).any(axis=1)
    return int(unequal.idxmax()) if unequal.any() else None


TOOLS = {"xframe": with_xframe, "duckdb": with_duckdb, "pandas": with_pandas}


def measured(tool, a, b):
    """Runs one comparison in this process and prints what it took."""
    global duckdb, open_all, pd, xframe  # imported before the clock starts
    if tool == "xframe":
        import pyarrow.parquet

        import xframe
        from xframe.trace.trace import open_all

        assert xframe.compare, pyarrow
    elif tool == "duckdb":
        import duckdb
    else:
        import pandas as pd
        import pyarrow.parquet
    began = time.perf_counter()
    if tool == "xframe":
        a, b = open_all([a, b])
    opened = time.perf_counter()
    found = TOOLS[tool](a, b)
    seconds = time.perf_counter() - opened
    peak = peak_mb()
    print(json.dumps({"found": found, "opened": opened - began, "seconds": seconds, "peak_mb": peak}))


def child(*arguments):
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only-xframe", action="store_true")
    parser.add_argument("--dir", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.dir) as folder:
        a, same, other = (Path(folder) / f"{name}.trace" for name in ("a", "same", "other"))
        made = child("--record", a, chosen.steps, -1)
        child("--record", same, chosen.steps, -1)
        child("--record", other, chosen.steps, chosen.steps - 1)
        size = a.stat().st_size / 1e6 / (chosen.steps / 1e6)
        print(f"| {chosen.steps:,} steps, batches of {BATCH}, no id lists | |\n| --- | --- |")
        print(f"| recorded through the recorder | {chosen.steps / made['recorded'] / 1e6:.2f} M rows/s |")
        print(f"| recorded and closed | {chosen.steps / (made['recorded'] + made['closed']) / 1e6:.2f} M rows/s |")
        print(f"| peak memory of recording and closing | {made['peak_mb']:.0f} MB |")
        print(f"| closed trace | {size:.1f} MB per million steps |")
        tools = ["xframe"] if chosen.only_xframe else list(TOOLS)
        for name, candidate, expected in (("identical", same, None), ("last row differs", other, chosen.steps - 1)):
            seconds, opened, peaks = {tool: [] for tool in tools}, [], dict.fromkeys(tools, 0)
            for _ in range(chosen.rounds):
                for tool in tools:
                    found = child("--measure", tool, a, candidate)
                    assert found["found"] == expected, (tool, found)
                    seconds[tool].append(found["seconds"])
                    opened += [found["opened"]] if tool == "xframe" else []
                    peaks[tool] = max(peaks[tool], found["peak_mb"])
            print(f"| {name}: both opened and checked | {statistics.median(opened):.2f} s |")
            for tool in tools:
                ratio = statistics.median(seconds["xframe"]) / statistics.median(seconds[tool])
                shown = "" if tool == "xframe" else f"; xframe takes {ratio:.2f} x as long"
                middle = statistics.median(seconds[tool])
                print(f"| {name}: {tool} | {middle:.2f} s, {peaks[tool]:.0f} MB{shown} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measured(*sys.argv[2:])
    elif sys.argv[1:2] == ["--record"]:
        recorded, closed = record(sys.argv[2], int(sys.argv[3]), differs=int(sys.argv[4]))
        peak = peak_mb()
        print(json.dumps({"recorded": recorded, "closed": closed, "peak_mb": peak}))
    else:
        main()
