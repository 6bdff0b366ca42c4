"""Runs with checkpoints that are killed at random moments, again and again, and go on from their last one.

In the end each is the run that nobody killed: its rows, losses, validations and weights to the bit, no step lost and
none made twice. After each kill the checkpoint there is whole, and all its rows are in its trace.
"""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from checkpointed import differences

import xframe
from sweeps import Result
from sweeps.kills import Forks, Worker
from xframe.running.checkpoints import Wanted, read_checkpoint
from xframe.trace.continued import certified_before

_VALIDATES: Any = {"validation_every": 40, "validation_unit": "steps", "early_stopping_patience": 50}
STEPS = 200
PLANS = {
    "numpy": xframe.TrainingPlan(
        batch_size=48, steps=STEPS, gradient_accumulation_steps=7, accumulation_remainder="carry", **_VALIDATES
    ),
    "torch": xframe.TrainingPlan(
        batch_size=64, steps=STEPS, gradient_accumulation_steps=3, remainder="carry", restore_best=True, **_VALIDATES
    ),
    "tensorflow:function": xframe.TrainingPlan(
        batch_size=64, steps=STEPS, gradient_accumulation_steps=5, accumulation_remainder="leak", **_VALIDATES
    ),
}


@dataclass
class Killed(Result):
    """``moments``: how many kills came when; ``again``: how many times a run went on."""

    moments: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    again: int = 0

    @property
    def text(self) -> str:
        lines = [f"{count:6,}  {moment}" for moment, count in sorted(self.moments.items())]
        head = f"{self.cases:,} kills of {self.runs:,} runs, which went on {self.again:,} times to the identical end"
        return "\n".join([head, *lines])


def run(size: int, seed: int, plans: Mapping[str, xframe.TrainingPlan] = PLANS) -> Killed:
    """That many kills, shared out among the adapters."""
    share = -(-size // len(plans))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(plans)) as pool:
        results = pool.map(
            lambda one: _of_adapter(*one, share, random.Random(f"{one[0]} {seed}"), Path(folder)), plans.items()
        )
        together = Killed()
        for one in results:
            together.cases += one.cases
            together.mismatches += one.mismatches
            together.moments += one.moments
            together.runs += one.runs
            together.again += one.again
    return together


def _of_adapter(adapter: str, plan: xframe.TrainingPlan, kills: int, rng: random.Random, folder: Path) -> Killed:
    result = Killed()
    with Forks(adapter, plan) as forks:
        began = time.monotonic()
        assert forks.start(folder / f"{_named(adapter)}-whole.trace").wait() == 0
        whole, took = xframe.Trace.open(folder / f"{_named(adapter)}-whole.trace"), time.monotonic() - began
        while result.cases < kills:
            own = folder / f"{_named(adapter)}-{result.runs}"
            own.mkdir()
            try:
                wrong = _one_run(forks, own, whole, took, rng, result)
            except Exception as error:
                wrong = [f"{type(error).__name__}: {error}"]
            result.mismatches += [f"{adapter}, run {result.runs}: {one}" for one in wrong]
            result.runs += 1
    return result


def _named(adapter: str) -> str:
    return adapter.replace(":", "-")


def _one_run(
    forks: Forks, folder: Path, whole: xframe.Trace, took: float, rng: random.Random, result: Killed
) -> list[str]:
    """Kills a run now and then until it is done; returns what is wrong in the end or in between."""
    checkpoint, every = folder / "state", rng.choice([2, 7, 30])
    for part in range(rng.randrange(2, 6)):
        resume = str(checkpoint) if checkpoint.exists() else None
        trace = folder / f"{part}.trace"
        worker = forks.start(trace, Wanted(str(checkpoint), every, None, resume))
        _wait(worker, checkpoint, rng, took)
        if not worker.kill():
            break  # it had ended, as nobody asked it to stop
        result.cases += 1
        result.again += resume is not None
        moment = "while a checkpoint was written" if [*folder.glob(".*.closing")] else "elsewhere"
        result.moments[moment if checkpoint.exists() else "before the first checkpoint"] += 1
        if checkpoint.exists():
            _, of = read_checkpoint(checkpoint)
            rows = xframe.Trace.open(folder / of.trace)
            if certified_before(rows.source, of.steps).result() != of.certificate:
                return [f"after kill {part} the {of.steps} rows of its checkpoint are not in the trace"]
    last = folder / "last.trace"
    if forks.start(last, Wanted(str(checkpoint), every, None, str(checkpoint) if checkpoint.exists() else None)).wait():
        return ["it does not go on"]
    trace = xframe.Trace.open(last)
    wrong = differences(whole, trace) + ([] if trace.complete else [trace.ending])
    if not np.array_equal(trace.column("step"), np.arange(whole.num_rows)):
        wrong.append("a step is lost, or there twice")
    return wrong


def _wait(worker: Worker, checkpoint: Path, rng: random.Random, took: float) -> None:
    """Until a random moment; mostly one behind a first checkpoint, or at which one is being written."""
    kind, until = rng.choice(["any", "after", "in", "in"]), time.monotonic() + took
    if kind != "any":
        before = _written(checkpoint)
        while time.monotonic() < until and _written(checkpoint) == before:
            time.sleep(0.001)
    time.sleep(rng.uniform(0, took if kind == "any" else took / 5))
    while kind == "in" and time.monotonic() < until and not any(checkpoint.parent.glob(".*.closing")):
        pass


def _written(file: Path) -> int:
    """When it was; 0 if it is not there."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
