"""Workers of both frameworks killed at random moments: what had been flushed is readable, and none passes.

A framework is imported once, by a process that forks the workers: each is ``xframe.running.worker`` as the harness
starts it.
"""

import gc
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

import xframe
from sweeps import Result
from sweeps.damage import frames_of
from xframe.running.checkpoints import NOTHING_KEPT, Wanted
from xframe.running.messages import Done, Failed, Go, Job, Ready, Recorded, decode, encode
from xframe.running.runtime import Runtime
from xframe.trace.journal import MAGIC

# About as many steps as take three seconds, and write a megabyte at a time.
PLANS = {
    "torch": xframe.TrainingPlan(batch_size=64, steps=12_000, gradient_accumulation_steps=2),
    "tensorflow": xframe.TrainingPlan(batch_size=64, steps=4_000, gradient_accumulation_steps=2),
}
LOADED = {
    "numpy": ("xframe_numpy.adapter",),
    "torch": ("torch", "torch._dynamo"),
    "tensorflow": ("tensorflow",),
}  # what a worker of it imports
SURE_TO_COMPARE = ("step", "batch_size", "ids_digest", "ids", "updates", "lr", "loss", "epoch", "step_in_epoch")
NUM_SAMPLES = 1797  # the digits
DEADLINE = 120.0


@dataclass
class Kills(Result):
    """What the killed runs left, by framework, and how many rows were flushed, and read.

    A worker that had ended before it could be killed is not a case.
    """

    endings: Counter[tuple[str, str]] = field(default_factory=Counter)
    flushed: int = 0
    read: int = 0

    @property
    def text(self) -> str:
        return (
            f"{self.cases:,} kills of torch and tensorflow workers: {dict(self.endings)}\n"
            f"{self.flushed:,} rows flushed, {self.read:,} read"
        )

    def truncated(self, framework: str) -> int:
        return sum(n for (name, ending), n in self.endings.items() if name == framework and "truncated" in ending)


def run(size: int, seed: int, plans: Mapping[str, xframe.TrainingPlan] = PLANS) -> Kills:
    """That many kills, half of each framework, two at a time."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(PLANS)) as pool:
        shares = [size // 2, size - size // 2]
        one, other = pool.map(_killed, plans, plans.values(), shares, [seed] * 2, [Path(folder)] * 2)
    return Kills(
        one.cases + other.cases,
        one.mismatches + other.mismatches,
        one.endings + other.endings,
        one.flushed + other.flushed,
        one.read + other.read,
    )


def _killed(framework: str, plan: xframe.TrainingPlan, kills: int, seed: int, folder: Path) -> Kills:
    rng, result = random.Random(f"{framework} {seed}"), Kills()
    steps = plan.counts(NUM_SAMPLES).num_steps
    with Forks(framework, plan) as forks:
        honest, flushing, closing = _undisturbed(forks, folder / f"{framework}-honest.trace", steps)
        for i in itertools.count():
            if result.cases >= kills:
                break
            worker = forks.start(folder / f"{framework}-{i}.trace")
            if i % 10 == 9:  # while it closes the trace
                worker.until_flushed(steps)
                time.sleep(rng.uniform(0, closing))
            else:
                worker.until_flushed(rng.randrange(1, steps - 1000))
                time.sleep(rng.uniform(0, flushing))
            if i % 4 == 0:
                worker.until_it_writes()
            if not worker.kill():
                continue
            result.cases += 1
            _add(result, framework, i, worker, honest)
            worker.trace.unlink(missing_ok=True)
    return result


def _undisturbed(forks: "Forks", path: Path, steps: int) -> tuple[xframe.Trace, float, float]:
    """A run that nobody kills, and its seconds from one flush to the next and from the last flush to the end."""
    worker = forks.start(path)
    first, last = worker.until_flushed(1), worker.until_flushed(steps)
    assert worker.wait() == 0
    closing = time.monotonic() - last
    trace = xframe.Trace.open(path)
    assert trace.complete
    assert trace.num_rows == steps
    return trace, (last - first) * 1000 / steps, closing


def _add(result: Kills, framework: str, i: int, worker: "Worker", honest: xframe.Trace) -> None:
    """What a killed worker left, and what is wrong with it."""
    flushed = worker.flushed()
    try:
        trace = xframe.Trace.open(worker.trace)
        mismatch = judged(honest, trace, flushed)
    except Exception as error:
        result.mismatches.append(f"{framework}, kill {i}: {type(error).__name__}: {error}")
        return
    result.endings[framework, ending_of(trace)] += 1
    result.flushed += flushed
    result.read += trace.num_rows
    if mismatch is not None:
        result.mismatches.append(f"{framework}, kill {i}, {flushed} rows flushed: {mismatch}")


def ending_of(trace: xframe.Trace) -> str:
    """How it ended, and where in the file the kill came."""
    data = trace.path.read_bytes()
    if not data.startswith(MAGIC):
        return trace.ending
    whole = frames_of(data)[-1][1] == len(data)
    return f"{trace.ending}, a journal" if trace.complete else f"{trace.ending} {'after' if whole else 'in'} a frame"


def judged(honest: xframe.Trace, trace: xframe.Trace, flushed: int) -> str | None:
    """What is wrong with the trace that a killed worker left."""
    rows = trace.num_rows
    if rows < flushed:
        return f"{rows} rows are readable"
    if trace.complete and rows != honest.num_rows:
        return f"complete with {rows} rows of {honest.num_rows}"
    if not trace.complete and (trace.ending != "truncated" or trace.end):
        return f"it is called {trace.ending}"
    for name in SURE_TO_COMPARE:
        left, whole = trace.between(name, 0, rows), honest.between(name, 0, rows)
        if left.known is not None or not np.array_equal(left.values, whole.values):
            return f"the rows' {name} are not those of an honest run"
    if [len(ids) for ids in trace.batches()] != honest.column("batch_size")[:rows].tolist():
        return "the ids of some row are missing"
    comparison = xframe.compare(honest, trace)
    if trace.complete:
        return None if comparison else f"complete, and not passed: {comparison}"
    if comparison or comparison.exit_code != 4:
        return f"it is {comparison.verdict}, exit code {comparison.exit_code}"
    return None


class Worker(NamedTuple):
    """A worker that runs: its trace, what it reports to the harness, and the process that forked it."""

    pid: int
    trace: Path
    report: Path
    parent: subprocess.Popen[str]

    def flushed(self) -> int:
        """The rows that it has reported as flushed."""
        lines = [line for line in self.report.read_text().splitlines() if line.endswith("}}")]
        messages = [decode(line, (Ready, Recorded, Done, Failed)) for line in lines]
        return max([message.steps for message in messages if isinstance(message, Recorded)], default=0)

    def until_flushed(self, rows: int) -> float:
        """Returns when that many rows were flushed, and the time it is then."""
        began = time.monotonic()
        while self.flushed() < rows:
            report = self.report.read_text()
            assert '"failed"' not in report, report
            assert time.monotonic() < began + DEADLINE, report
            time.sleep(0.002)
        return time.monotonic()

    def until_it_writes(self) -> None:
        size, began = self.trace.stat().st_size, time.monotonic()
        while self.trace.stat().st_size == size and time.monotonic() < began + 1.5:
            pass

    def kill(self) -> bool:
        """Kills it, and says whether it had not ended yet."""
        os.kill(self.pid, signal.SIGKILL)  # a process that ended keeps its number until its parent asks for it
        return self.wait() == -signal.SIGKILL

    def wait(self) -> int:
        return int(_answer(self.parent, "wait"))


class Forks:
    """A process that has imported a framework, and forks workers; of a loop, as ``tensorflow:function``."""

    def __init__(self, framework: str, plan: xframe.TrainingPlan) -> None:
        self.framework, _, self.loop = framework.partition(":")
        self.plan = plan

    def __enter__(self) -> "Forks":
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sweeps.kills", self.framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # an error is in the report
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def start(self, trace: Path, checkpoints: Wanted = NOTHING_KEPT) -> Worker:
        report = trace.with_suffix(".report")
        report.touch()
        job = Job(
            adapter=self.framework,
            label=self.framework,
            loop=self.loop or None,
            plan=self.plan.to_dict(),
            task="digits-mlp",
            runtime=Runtime(device="cpu", threads=1).to_dict(),
            trace=str(trace),
            checkpoints=checkpoints,
        )
        pid = int(_answer(self.process, json.dumps({"report": str(report), "job": encode(job).decode()})))
        return Worker(pid, trace, report, self.process)


def _answer(process: subprocess.Popen[str], line: str) -> str:
    """Sends a process a line, and returns its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline()


def _fork_workers(framework: str) -> None:
    """Runs in a process of its own: answers the number of a worker, or how it ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.disable()
        for module in (*LOADED[framework], "pyarrow.parquet"):
            __import__(module)
        gc.freeze()  # of what stays as it is, forks then need no copy
        gc.enable()
    pid = 0
    for line in sys.stdin:
        if line.strip() == "wait":
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            continue
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            _work(asked["job"], asked["report"])
        print(pid, flush=True)


def _work(job: str, report: str) -> None:
    """A worker as the harness starts it, in a forked process that ends with it."""
    from xframe.running import worker

    code = 3
    try:
        number = os.open(report, os.O_WRONLY)
        reading, writing = os.pipe()  # stays open, as if the harness were there
        os.write(writing, job.encode() + encode(Go("cpu")))
        os.dup2(2, 1)  # what it prints is no answer
        code = worker.main([str(reading), str(number)])
    finally:
        os._exit(code)


if __name__ == "__main__":
    _fork_workers(sys.argv[1])
