"""``xframe run`` under Ctrl-C at a random moment, once or twice: it ends by 130, and its trace has what was recorded.

Of a run with the same plan that nobody interrupts every trace is a beginning, and the whole of it if it is complete.
"""

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

import numpy as np

import xframe
from sweeps import Result
from sweeps.kills import SURE_TO_COMPARE

PLAN = "batch_size = 8\nepochs = 16\n"
DEADLINE = 120.0
ENDED = (
    0,
    130,
    -signal.SIGINT,
)  # the last where it comes as Python itself ends, after all was said; shells call it 130


@dataclass
class Interrupts(Result):
    """What the interrupted runs left, and how many rows."""

    endings: Counter[str] = field(default_factory=Counter)
    rows: int = 0

    @property
    def text(self) -> str:
        shown = ", ".join(f"{ending} {count:,}" for ending, count in self.endings.most_common())
        return f"{self.cases:,} runs under Ctrl-C: {shown}; {self.rows:,} rows read"


def run(size: int, seed: int) -> Interrupts:
    """That many interrupted runs."""
    rng, result = random.Random(seed), Interrupts()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, children ignore it too
    try:
        return _all(result, rng, size)
    finally:
        signal.signal(signal.SIGINT, before)


def _all(result: Interrupts, rng: random.Random, size: int) -> Interrupts:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plan.toml").write_text(PLAN)
        began = time.monotonic()
        whole = Path(folder) / "whole.trace"
        code, said = _run(Path(folder), whole, [])
        assert code == 0, said
        honest, took = xframe.Trace.open(whole), time.monotonic() - began
        for i in range(size):
            moments = sorted(rng.uniform(0.3, 1.05) * took for _ in range(rng.choice((1, 1, 2))))
            trace = Path(folder) / f"{i}.trace"
            code, said = _run(Path(folder), trace, moments)
            result.cases += 1
            problem = _wrong(result, code, said, trace, honest)
            if problem is not None:
                result.mismatches.append(f"run {i} at {moments}: {problem}")
    return result


def _run(folder: Path, trace: Path, moments: list[float]) -> tuple[int, str]:
    """Runs the plan with a Ctrl-C at those moments; returns its exit code and what it printed."""
    command = [sys.executable, "-m", "xframe", "run", "plan.toml", "--adapter", "numpy", "--task", "digits-mlp"]
    with subprocess.Popen(
        [*command, "--out", str(trace)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        began = time.monotonic()
        for moment in moments:
            try:
                process.wait(max(0, began + moment - time.monotonic()))
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGINT)
        try:
            said = process.communicate(timeout=DEADLINE)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            return -9, "it hung"
    return process.returncode, said


def _wrong(result: Interrupts, code: int, said: str, trace: Path, honest: xframe.Trace) -> str | None:
    left = [file.name for file in trace.parent.iterdir() if file.name.startswith(f".{trace.name}.")]
    if left or code not in ENDED or "Traceback" in said:
        return f"exit code {code}, left behind {left}: {said}"
    if not trace.exists():
        result.endings["no trace yet"] += 1
        return "there is no trace" if code == 0 else None
    found = xframe.Trace.open(trace)
    result.endings[found.ending] += 1
    result.rows += found.num_rows
    if found.complete and found.num_rows != honest.num_rows:
        return f"complete with {found.num_rows} rows of {honest.num_rows}"
    if code == 0 and not found.complete:
        return f"exit code 0, and {found.ending}"
    for name in SURE_TO_COMPARE:
        rows, expected = found.between(name, 0, found.num_rows), honest.between(name, 0, found.num_rows)
        if rows.known is not None or not np.array_equal(rows.values, expected.values):
            return f"the rows' {name} are not those of an honest run"
    return None
