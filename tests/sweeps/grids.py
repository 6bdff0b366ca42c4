"""Kills sweeps at random moments and starts them again: each must end with the table of one that nobody disturbed.

By SIGKILL, Ctrl-C and SIGTERM in turns, and by SIGTERM to all of its processes, as a batch system ends a job. A sweep
is started again at once, while what the killed one has left may still be about to end. Trials that were done must not
be run again, and no process may be left.
"""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sweeps import Result
from xframe.sweep.table import TIMES

GRID = """
[plan]
epochs = 1
[run]
adapter = "numpy"
[grid]
batch_size = [200, 300, 400]
remainder = ["keep", "drop"]
seed = [0, 1, 2, 3]
"""
WAYS = {"SIGKILL": signal.SIGKILL, "SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGTERM to all": signal.SIGTERM}
MARK = "XFRAME_TEST_SWEEP"  # in the environment of a sweep and of all it starts
LEAVE_SECONDS = 20.0


@dataclass
class Grids(Result):
    """How often sweeps were stopped, and with how many trials done."""

    trials: int = 0  # of a sweep
    stops: Counter[str] = field(default_factory=Counter)
    done: list[int] = field(default_factory=list)  # trials, at each stop

    @property
    def text(self) -> str:
        spread = f"with {min(self.done)} to {max(self.done)} trials done" if self.done else ""
        return f"{self.cases:,} sweeps of {self.trials} trials, stopped by {dict(self.stops)}, {spread}".rstrip(", ")


def run(size: int, seed: int, text: str = GRID, engine: str = "local", stops: int | None = None) -> Grids:
    """That many sweeps, each stopped at random moments, once or twice; or ``stops`` times, the n-th after n trials."""
    rng, result = random.Random(seed), Grids()
    with tempfile.TemporaryDirectory(prefix="xframe-grids-") as name:
        folder = Path(name)
        (folder / "grid.toml").write_text(text)
        began = time.monotonic()
        whole = start(folder, "whole", "local")
        assert whole.wait() == 0, log(folder, "whole")
        seconds = time.monotonic() - began
        expected = steady(folder / "whole")
        if engine != "local":
            began = time.monotonic()
            assert start(folder, engine, engine).wait() == 0, log(folder, engine)
            seconds = time.monotonic() - began
            result.mismatches += filter(None, [differs(expected, steady(folder / engine))])
        result.trials = len(expected)
        ways = itertools.cycle(WAYS)
        for i in range(size):
            number = stops or rng.choice([1, 1, 1, 2])
            late = seconds if stops is None else seconds / result.trials
            plan = [(next(ways), n if stops else 0, rng.uniform(0, late)) for n in range(number)]
            problem = _stopped(folder, f"stopped-{i}", engine, plan, result)
            problem = problem or differs(expected, steady(folder / f"stopped-{i}"))
            if problem:
                result.mismatches.append(f"sweep {i}, {plan}: {problem}")
    return result


def _stopped(folder: Path, name: str, engine: str, plan: list[tuple[str, int, float]], result: Grids) -> str | None:
    """Stops a sweep so after these trials and seconds, and runs it to its end; what is wrong but for its table."""
    mark, before = f"{name}-{os.getpid()}-{time.monotonic_ns()}", dict[str, int]()
    for how, trials, moment in plan:
        process = start(folder, name, engine, mark)
        while len(done(folder / name)) < trials and process.poll() is None:
            time.sleep(0.02)
        time.sleep(moment)
        for number in [process.pid, *(_marked(f"{MARK}={mark}".encode()) if "all" in how else ())]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, WAYS[how])
        code = process.wait()
        if code not in (0, -WAYS[how], 130 if how != "SIGKILL" else 0):  # by the signal itself before it is caught
            return f"exit code {code}: {log(folder, name)}"
        before |= done(folder / name)
        if code != 0:  # else it was over before
            result.stops[how] += 1
            result.done.append(len(before))
    result.cases += 1
    if (code := start(folder, name, engine, mark).wait()) != 0:
        return f"started again, exit code {code}: {log(folder, name)}"
    after = done(folder / name)
    if rerun := [trial for trial, time_ns in before.items() if after[trial] != time_ns]:
        return f"run again though done: {rerun}"
    if left := alive(
        mark, "" if engine == "local" else "xframe/running/guard.py"
    ):  # a cluster's own agents leave later
        return f"processes are left: {left}"
    return None


def start(folder: Path, name: str, engine: str, mark: str = "") -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "xframe", "sweep", "grid.toml", "--out", name, "--engine", engine, "--jobs", "2"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), MARK: mark}
    with (folder / f"{name}.log").open("ab") as output:
        return subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, env=environment, preexec_fn=_heeds_interrupts
        )


def _heeds_interrupts() -> None:
    """Which what a shell runs in the background ignores."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def log(folder: Path, name: str) -> str:
    return (folder / f"{name}.log").read_text(errors="replace")[-500:]


def done(sweep: Path) -> dict[str, int]:
    """When each trial was done."""
    return {path.stem: path.stat().st_mtime_ns for path in (sweep / "rows").glob("[!.]*.json")}


def steady(sweep: Path) -> pd.DataFrame:
    """The table without its times."""
    return pd.read_parquet(sweep / "results.parquet").drop(columns=list(TIMES))


def differs(expected: pd.DataFrame, table: pd.DataFrame) -> str | None:
    try:
        pd.testing.assert_frame_equal(table, expected)
    except AssertionError as error:
        return str(error)
    return None


def alive(mark: str, word: str = "") -> list[str]:
    """Commands with that word that still run, after some seconds to leave, of all that a sweep so marked began."""
    deadline = time.monotonic() + LEAVE_SECONDS
    while left := [command for command in _marked(f"{MARK}={mark}".encode()).values() if word in command]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.1)
    return []


def _marked(entry: bytes) -> dict[int, str]:
    """The commands of all processes with that in their environment, by number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(folder.name)] = command
    return found
