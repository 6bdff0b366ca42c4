"""What runs of many replicas cost to read: bytes, opening, merging, comparing, peak memory.

Usage: python tests/proof/replica_traces.py REPLICAS STEPS [--rows N] [--dir FOLDER] [--on-paper REPLICAS STEPS]

Traces of REPLICAS ranks over STEPS steps of N rows each, dealt in slices, and of one process that made the same run.
Then, in processes of their own: the folder is opened, which makes each file's digests again from its rows; its rows
are merged, as whoever reads them does; and the run is compared with that of the one process, block by block. A merged
step is a step of the run, made of a row of every replica. Times are of the processor, of all threads together, since
other work on the machine does not change these much; waiting is in none of them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

SAMPLES = 1 << 20
BLOCK = 8192
RATE, PASS = 0.1, 4096  # a pass has so many steps
LIMIT_MB, LIMIT_RATE = 500, 200_000


def ids_of(start, count, rows):
    """The samples of these steps, mixed from their places: all ranks and one process make the same."""
    mixed = np.arange(start * rows, (start + count) * rows, dtype=np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed >> np.uint64(31)) % np.uint64(SAMPLES)).astype(np.int64)


def write(path, steps, rows, replica=(0, 1)):
    """Records one rank of a run, or all of it in one process."""
    import xframe

    rank, replicas = replica
    own = slice(rank * rows // replicas, (rank + 1) * rows // replicas)
    with xframe.record(path, num_samples=SAMPLES, replica=replica) as rec:
        block = max(1, min(BLOCK, (1 << 21) // rows))
        for start in range(0, steps, block):
            count = min(block, steps - start)
            index = np.arange(start, start + count)
            ids = ids_of(start, count, rows).reshape(count, rows)[:, own].reshape(-1)
            rec.block(
                ids=ids,
                batch_sizes=np.full(count, own.stop - own.start),
                updates=index + 1,
                loss=1 / (1.0 + index) + (rank - (replicas - 1) / 2) / 1024,  # whose mean is that of one process
                lr=np.full(count, RATE),
                epoch=index // PASS,
                step_in_epoch=index % PASS,
                padding=np.zeros(count, np.int64),
                **({"weights_mark": index / 8} if replicas > 1 else {}),
            )


def make(folder, replicas, steps, rows, workers=2):
    """The run's folder and the trace of one process that made the same steps."""
    many, one = folder / "many.trace", folder / "one.trace"
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(write, one, steps, rows * replicas)]
        jobs += [pool.submit(write, many, steps, rows * replicas, (rank, replicas)) for rank in range(replicas)]
        for job in jobs:
            job.result()
    return many, one


def _peak_mb():
    """The most memory this process has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def timed_merge(many):
    """Opens the folder's files, then merges their rows; seconds of each, rows, certificate, peak memory."""
    from xframe.trace import ranks
    from xframe.trace.merged import Merged

    seconds = {}

    def merged(*parts):
        seconds["opened"] = time.process_time()
        run = Merged(*parts)
        seconds["merged"] = time.process_time()
        return run

    ranks.Merged, began = merged, time.process_time()
    run = ranks.open_any(many)
    return {
        "opened": seconds["opened"] - began,
        "merged": seconds["merged"] - seconds["opened"],
        "rows": run.num_rows,
        "certificate": run.certificate,
        "peak": _peak_mb(),
    }


def timed_comparison(many, one):
    """Compares the two, both open; seconds, what came out, peak memory."""
    import xframe

    traces = [xframe.Trace.open(path) for path in (one, many)]
    began = time.process_time()
    comparison = xframe.compare(*traces)
    return {
        "compared": time.process_time() - began,
        "structure": comparison.structure,
        "failed": [check.name for check in comparison.checks if check.result == "fail"],
        "certificates": sorted(set(comparison.certificates.values())),
        "peak": _peak_mb(),
    }


def in_a_process(name, *paths):
    """What one of the functions above returns, from a process that does nothing else."""
    code = f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path\n"
    code += f"import replica_traces; print(json.dumps(replica_traces.{name}(*map(Path, sys.argv[1:]))))"
    done = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(folder, replicas, steps, rows):
    """All figures of a run of that size."""
    many, one = make(folder, replicas, steps, rows)
    size = sum(file.stat().st_size for file in many.iterdir())
    merged, compared = in_a_process("timed_merge", many), in_a_process("timed_comparison", many, one)
    assert merged["rows"] == steps, merged
    assert compared["structure"] == "identical", compared
    assert not compared["failed"], compared
    assert compared["certificates"] == [merged["certificate"]], compared
    return {
        "replicas": replicas,
        "steps": steps,
        "rows": rows,
        "mb": size / 1e6,
        "one_mb": one.stat().st_size / 1e6,
        **{name: merged[name] for name in ("opened", "merged", "certificate")},
        "compared": compared["compared"],
        "merge_rate": steps / merged["merged"],
        "compared_rate": steps / compared["compared"],
        "through_rate": steps * replicas / (merged["opened"] + merged["merged"] + compared["compared"]),
        "peak": max(merged["peak"], compared["peak"]),
    }


def lines(found):
    """The figures as lines of a table."""
    each = found["mb"] * 1e6 / found["steps"] / found["replicas"]
    one, replicas = f"of one process {found['one_mb']:,.0f} MB", found["replicas"]
    yield f"| files | {found['mb']:,.0f} MB, {each:.1f} bytes a replica's step; {one} |"
    yield f"| opening: every file verified from its rows | {found['opened']:.1f} s |"
    yield f"| merging: bounds, unknown values, certificate | {found['merged']:.1f} s |"
    yield f"| comparing with one process, both open | {found['compared']:.1f} s |"
    for name, rate in (("merged", found["merge_rate"]), ("compared", found["compared_rate"])):
        yield f"| {name} a second | {rate:,.0f} steps of the run, {rate * replicas:,.0f} of replicas |"
    yield f"| opened, merged and compared a second | {found['through_rate']:,.0f} steps of replicas |"
    yield f"| peak memory | {found['peak']:,.0f} MB |"
    yield f"| certificate, of both | `{found['certificate']}` |"


def on_paper(found, replicas, steps):
    """A larger run by these figures: work and bytes grow with replicas times steps."""
    times = replicas * steps / (found["replicas"] * found["steps"])
    minutes = [times * found[name] / 60 for name in ("opened", "merged")]
    yield f"| files | {found['mb'] * times / 1e3:,.1f} GB |"
    yield f"| opening and merging, processor time | {sum(minutes):,.0f} minutes, {minutes[1]:,.0f} of them merging |"
    yield f"| merged a second | {steps / (times * found['merged']):,.0f} steps of the run |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("replicas", type=int)
    parser.add_argument("steps", type=int)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--on-paper", type=int, nargs=2, metavar=("REPLICAS", "STEPS"))
    asked = parser.parse_args()
    with np.errstate(over="ignore"), tempfile.TemporaryDirectory(dir=asked.dir) as folder:
        found = measure(Path(folder), asked.replicas, asked.steps, asked.rows)
    print(json.dumps(found))
    print("\n".join(lines(found)))
    if asked.on_paper:
        print("\n".join(on_paper(found, *asked.on_paper)))


if __name__ == "__main__":
    main()
