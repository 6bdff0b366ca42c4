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
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xframe.bench.worker import THREADS, VARIABLES, Measure, Train, Trained, endless, loops_of, runtime
from xframe.errors import UsageError, printable, unknown
from xframe.report.bench import LoopBench, MeasuredLoop, Segment
from xframe.report.machine import environment, versions
from xframe.running import registry
from xframe.running.adapter import modules
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


@dataclass(eq=False)
class _Candidate:
    """A loop that could be measured: an adapter's ``own``, or one of ``bench_loops``."""

    loop: MeasuredLoop
    own: str | None
    requires: tuple[str, ...]
    reasons: tuple[str, ...] = ()  # why the adapter refuses it
    worker: Child = field(init=False)
    steps: int = field(init=False)  # that fill a segment


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
        known = {word for each in candidates.values() for c in each for word in (c.loop.name, c.loop.framework)}
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
            _Candidate(MeasuredLoop(o.name, name, o.about, False, o.base), None, adapter.requires + o.requires)
            for o in others
        ]
        for own in adapter.loops:
            twin = next((other.name for other in others if own in other.twin_of), None)
            loop = MeasuredLoop(f"{name}:{own}", name, "recorded by xframe", True, False, twin)
            reasons = tuple(adapter.check(endless(BATCH_SIZE), task, runtime(own)))
            here.append(_Candidate(loop, own, tuple(modules(adapter, own)), reasons))
        candidates += sorted(here, key=lambda candidate: (not candidate.loop.base, candidate.own is None))
    return candidates


def _chosen(candidates: list[_Candidate], names: Sequence[str] | None) -> list[_Candidate]:
    """Those that were asked for by name or adapter, and their bases."""
    if names is None:
        return candidates
    asked = [c for c in candidates if c.loop.name in names or c.loop.framework in names]
    adapters = {c.loop.framework for c in asked}
    return [c for c in candidates if c in asked or (c.loop.base and c.loop.framework in adapters)]


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
    left_out = {c.loop.name: why for c in candidates if (why := _missing(c)) is not None}
    present = [c for c in candidates if c.loop.name not in left_out]
    folder = Path(tempfile.mkdtemp(prefix="xframe-bench-"))
    pinned = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    workers: list[Child] = []
    try:
        label = f"start {task.name}"
        for candidate in progress.each(label, present, "loops"):
            loop = candidate.loop
            progress.state(label, loop.name)
            job = Measure(loop.name, loop.framework, candidate.own, name, BATCH_SIZE, str(folder), pinned)
            candidate.worker = worker = _start(job)
            workers.append(worker)
            try:
                loop.warm_up = _segment(worker).seconds
                candidate.steps = _calibrate(worker, seconds)
            except _LostError as lost:
                loop.failed = str(lost)
        _rounds(present, rounds, seed, progress, f"measure {task.name}")
    finally:
        stop(workers)
        if not any(c.loop.failed for c in present):  # else the logs, which the reasons point to, stay
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
        loops=tuple(c.loop for c in present),
        left_out=left_out,
    )


def _rounds(candidates: list[_Candidate], rounds: int, seed: int, progress: Progress, label: str) -> None:
    """Lets the loops train in turns; one that is lost is left out from there on."""
    draw = random.Random(seed)  # noqa: S311
    for index in progress.each(label, range(rounds), "rounds"):
        order = [c for c in candidates if c.loop.failed is None]
        draw.shuffle(order)
        for candidate in order:
            progress.state(label, candidate.loop.name)
            try:
                candidate.loop.segments.append(_segment(candidate.worker, candidate.steps, index))
            except _LostError as lost:
                candidate.loop.failed = f"in round {index + 1} of {rounds}: {lost}"


def _start(job: Measure) -> Child:
    log = Path(job.folder) / f"{job.name.replace(':', '-')}.log"
    kinds = (Trained, Failed)
    return start("xframe.bench.worker", job, label=job.name, log=log, kinds=kinds, variables=VARIABLES)


class _LostError(Exception):
    """A loop that answers no more; its text says what became of it."""


def _segment(worker: Child, steps: int | None = None, index: int = -1) -> Segment:
    """Lets a loop make that many steps, or, without, waits for the first segment, which it makes unasked."""
    if steps is not None:
        worker.send(Train(steps))
    failed = None
    try:
        for _, message in listen([worker], PATIENCE):
            if isinstance(message, Trained):
                return Segment(index, message.steps, message.seconds, message.cpu_seconds)
            failed = message or failed
    except TimeoutError:
        stop([worker])
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
