"""Measures what bare, recorded and commonly used loops cost per step, side by side in one run.

Each loop has a process of its own (``xframe.bench.worker``), one thread each on the same core. They train in turns,
a segment each, in an order that is drawn again for each round, so that whatever slows the machine for a while slows
them all alike.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xframe.bench.worker import THREADS, VARIABLES, Measure, Train, Trained, endless, loops_of, runtime
from xframe.errors import UsageError, printable, unknown
from xframe.report.bench import LoopBench, MeasuredLoop, Segment, environment, versions
from xframe.running import registry
from xframe.running.messages import Failed
from xframe.running.processes import Child, listen, start, stop
from xframe.running.progress import Progress
from xframe.tasks.lookup import BUILT_IN, find_task
from xframe.tasks.task import Task

# The trainers take part in the first; in the others, recorded loops are compared with bare ones only.
WORKLOADS = ("xframe.tasks.builtin.bench_mlp:task", "digits-cnn")
BATCH_SIZE = 32
ROUNDS, SECONDS = 15, 0.5
PATIENCE = 300.0  # seconds that a segment may take, its import and compilation included, before it counts as hung


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A loop that could be measured: an adapter's own, or one of ``bench_loops``."""

    name: str
    adapter: str
    own: str | None
    about: str
    base: bool
    requires: tuple[str, ...]
    twin: str | None = None
    reasons: tuple[str, ...] = ()


def bench_loops(
    *,
    loops: Sequence[str] | None = None,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    seed: int = 0,
    workloads: Sequence[str] = WORKLOADS,
    progress: Progress | None = None,
) -> list[LoopBench]:
    """Measures loops against each other, a workload at a time.

    Args:
        loops: names of loops, or of adapters for all of theirs; default: all. The base of each framework is added.
        rounds: segments of each loop.
        seconds: that a segment is to take.
        seed: of the order in the rounds.
        workloads: tasks by name; a built-in one that does not exist is left out.

    Raises:
        UsageError: no such loop, or a number that makes no sense.
    """
    if rounds < 1 or not 0 < seconds <= PATIENCE / 2:
        raise UsageError(
            "rounds and seconds", got=(rounds, seconds), expected=f"1 or more, and up to {PATIENCE / 2:g} seconds"
        )
    candidates = {name: _candidates(find_task(name)) for name in workloads if ":" in name or name in BUILT_IN}
    chosen = {name: _chosen(each, loops) for name, each in candidates.items()}
    if loops is not None:
        known = {word for each in candidates.values() for c in each for word in (c.name, c.adapter)}
        for name in loops:
            if name not in known:
                raise unknown("loop", name, known)
    able = {name: each for name, each in chosen.items() if any(_missing(candidate) is None for candidate in each)}
    return [
        _measure_workload(name, candidates, rounds, seconds, seed, progress or Progress())
        for name, candidates in (able or chosen).items()
        if candidates
    ]


def _candidates(task: Task) -> list[_Candidate]:
    """All loops of all adapters; of each framework the base first, then xframe's own."""
    candidates = []
    for name in registry.available():
        adapter = registry.load(name)
        others = loops_of(adapter, task)
        here = [
            _Candidate(loop.name, name, None, loop.about, loop.base, adapter.requires + loop.requires)
            for loop in others
        ]
        for own in adapter.loops:
            reasons = tuple(adapter.check(endless(BATCH_SIZE), task, runtime(own)))
            twin = next((loop.name for loop in others if own in loop.twin_of), None)
            here.append(
                _Candidate(f"{name}:{own}", name, own, "recorded by xframe", False, adapter.requires, twin, reasons)
            )
        candidates += sorted(here, key=lambda candidate: (not candidate.base, candidate.own is None))
    return candidates


def _chosen(candidates: list[_Candidate], names: Sequence[str] | None) -> list[_Candidate]:
    """Those that were asked for by name or adapter, and their bases."""
    if names is None:
        return candidates
    asked = [c for c in candidates if c.name in names or c.adapter in names]
    adapters = {c.adapter for c in asked}
    return [c for c in candidates if c in asked or (c.base and c.adapter in adapters)]


def _missing(candidate: _Candidate) -> str | None:
    """Why a candidate cannot be started here, if it cannot."""
    if candidate.reasons:
        return "left out: " + "; ".join(candidate.reasons)
    absent = [module for module in candidate.requires if importlib.util.find_spec(module) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def _measure_workload(
    name: str, candidates: list[_Candidate], rounds: int, seconds: float, seed: int, progress: Progress
) -> LoopBench:
    task = find_task(name)
    left_out = {c.name: why for c in candidates if (why := _missing(c)) is not None}
    present = [c for c in candidates if c.name not in left_out]
    measured = {c.name: MeasuredLoop(c.name, c.adapter, c.about, c.own is not None, c.base, c.twin) for c in present}
    folder = Path(tempfile.mkdtemp(prefix="xframe-bench-"))
    pinned = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    workers: dict[str, Child] = {}
    wanted: dict[str, int] = {}
    try:
        began = time.monotonic()
        starting = f"start {task.name}"
        progress.begin(starting, len(present), unit="loops")
        for i, candidate in enumerate(present):
            progress.state(starting, candidate.name)
            job = Measure(candidate.name, candidate.adapter, candidate.own, name, BATCH_SIZE, str(folder), pinned)
            workers[candidate.name] = worker = _start(job)
            loop = measured[candidate.name]
            try:
                loop.warm_up = _segment(worker).seconds
                wanted[candidate.name] = _calibrate(worker, seconds)
            except _LostError as lost:
                loop.failed = str(lost)
            progress.advance(starting, i + 1)
        progress.end(starting, len(present), f"{time.monotonic() - began:5.1f} s")
        _rounds(workers, wanted, measured, rounds, seed, progress, f"measure {task.name}")
    finally:
        stop(list(workers.values()))
        if not any(loop.failed for loop in measured.values()):  # else the logs, which the reasons point to, stay
            shutil.rmtree(folder, ignore_errors=True)
    return LoopBench(
        workload={
            "task": task.name,
            "description": task.description,
            "num_samples": task.num_samples,
            "batch_size": BATCH_SIZE,
            "precision": "float32",
        },
        settings={"rounds": rounds, "seconds": seconds, "seed": seed, "core": pinned},
        environment=environment(THREADS, versions({module for c in present for module in c.requires})),
        loops=tuple(measured.values()),
        left_out=left_out,
    )


def _rounds(
    workers: Mapping[str, Child],
    wanted: Mapping[str, int],
    measured: Mapping[str, MeasuredLoop],
    rounds: int,
    seed: int,
    progress: Progress,
    label: str,
) -> None:
    """Lets the loops train in turns; one that is lost is left out from there on."""
    draw = random.Random(seed)  # noqa: S311
    began = time.monotonic()
    progress.begin(label, rounds, unit="rounds")
    for index in range(rounds):
        order = [name for name in wanted if measured[name].failed is None]
        draw.shuffle(order)
        for name in order:
            progress.state(label, name)
            try:
                measured[name].segments.append(_segment(workers[name], wanted[name], index))
            except _LostError as lost:
                measured[name].failed = f"in round {index + 1} of {rounds}: {lost}"
        progress.advance(label, index + 1)
    progress.end(label, rounds, f"{time.monotonic() - began:5.1f} s")


def _start(job: Measure) -> Child:
    return start(
        "xframe.bench.worker",
        job,
        label=job.name,
        log=Path(job.folder) / f"{job.name.replace(':', '-')}.log",
        kinds=(Trained, Failed),
        variables=VARIABLES,
    )


class _LostError(Exception):
    """A loop that answers no more; its text says what became of it."""


def _segment(worker: Child, steps: int | None = None, index: int = -1) -> Segment:
    """Lets a loop make that many steps, or waits for its first segment, which it makes unasked.

    Args:
        worker: the process that measures it.
        steps: None for the first segment.
        index: of the round; below 0 before the first.
    """
    if steps is not None:
        worker.send(Train(steps))
    failed = None
    try:
        for _, message in listen([worker], PATIENCE):
            if isinstance(message, Trained):
                return Segment(index, message.steps, message.seconds, message.cpu_seconds)
            failed = message or failed
    except TimeoutError:
        worker.process.kill()
        raise _LostError(f"no answer in {PATIENCE:g} s. Log: {worker.log}") from None
    if failed is not None:
        raise _LostError(f"{printable(failed.text.partition(chr(10))[0])}. Log: {worker.log}")
    raise _LostError(f"the process {worker.fate()}. Log: {worker.log}{worker.last_words()}")


def _calibrate(worker: Child, seconds: float) -> int:
    """The steps that fill a segment. The segments measured for it warm the loop up."""
    steps = 1
    while True:
        segment = _segment(worker, steps)
        if segment.seconds >= seconds / 4:
            return max(1, round(segment.steps * seconds / segment.seconds))
        steps = 4 * segment.steps
