"""What does a checkpoint cost beside writing its bytes alone, and a run that may keep one beside one that can't?

Usage: python tests/proof/checkpoint_cost.py [ROUNDS] [--write results/checkpoint.md]
By hand; on a machine that does nothing else.

Its bytes are written as safely: to a new name, synchronised, renamed, the folder synchronised. Both in turns; medians
of the ratios of one round. A run's first checkpoint also does what later ones need not repeat, and has no bound.
Markdown on stdout, and what is beyond its bound as a list below it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xframe.files.new import Passing
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import record
from xframe.running import checkpoints as kept
from xframe.running import registry
from xframe.running.checkpoints import NONE, Checkpoints, Of, Wanted
from xframe.running.drive import Drive
from xframe.running.runtime import Runtime
from xframe.running.states import write_state
from xframe.running.steering import CourseState, Position, WalkState, WindowState
from xframe.state.state import State
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import Adam

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

SIZES = (1, 30, 300)  # megabytes: weights and two slots
AT_MOST, BETWEEN = 1.3, 1.02
STEPS = 3000


def of_megabytes(size: int, layer: str) -> State:
    """A state of about that many, of parameters of that name."""
    rng, parts = np.random.default_rng(0), 8
    weights = {
        f"{layer}_{i}/kernel": rng.normal(size=size * 1_000_000 // (12 * parts)).astype("float32") for i in range(parts)
    }
    slots = {
        name: {one: values.copy() for one, values in weights.items()} for name in ("first_moment", "second_moment")
    }
    return State(parameters=weights, slots=slots, rule=Adam(0.1).to_dict())


def at_step(state: State, steps: int) -> State:
    """The state after that many steps."""
    position = Position(WalkState(offset=16 * steps), WindowState(steps, steps, over=False), CourseState())
    numbers = {"updates": steps, "attempts": steps, "rate": 0.1}
    return replace(state, numbers=numbers, position=position.to_dict())


def of_run() -> dict[str, Any]:
    """What the head of a run's checkpoint states of the run."""
    task, plan, runtime = find_task("diabetes-regression"), TrainingPlan(batch_size=16, steps=STEPS), Runtime("cpu")
    prints = task.fingerprints()
    of = Of(
        plan=plan.to_dict(),
        plan_digest=plan.digest,
        task=task.name,
        runtime=asdict(runtime),
        adapter="numpy",
        loop="eager",
        data_fingerprint=prints["data_fingerprint"],
        weights_fingerprint=prints["weights_fingerprint"],
        computes=task.computes(),
        trace="run.trace",
        steps=0,
        certificate="",
        losses="",
    )
    return kept.head(of) | {"steps": 1, "certificate": "xf1-" + "0" * 40, "losses": "0" * 32}


def plainly(path: Path, content: bytes) -> None:
    """Writes bytes, as safely as a checkpoint is."""
    with Passing(path) as passing:
        with os.fdopen(os.dup(passing.number), "wb") as file:
            file.write(content)
        passing.put()


class Taken(NamedTuple):
    """Seconds, and of them those of the processor."""

    seconds: float
    busy: float


def taken(call: Callable[[], object]) -> Taken:
    """How long a call takes."""
    began = time.perf_counter(), time.process_time()
    call()
    return Taken(time.perf_counter() - began[0], time.process_time() - began[1])


def steps(folder: Path, name: str, checkpoints: Checkpoints) -> float:
    """Seconds of a run."""
    task, plan = find_task("diabetes-regression"), TrainingPlan(batch_size=16, steps=STEPS)
    with record(folder / f"{name}.trace") as recorder:
        drive = Drive(registry.load("numpy"), plan, task, Runtime("cpu", threads=1), recorder, checkpoints)  # type: ignore[arg-type]
        return taken(drive).seconds


class Row(NamedTuple):
    """Of the table: what was done, what it is compared with, the median of the ratios, and what that may be.

    Attributes:
        more: milliseconds of the processor, beyond what it is compared with.
    """

    what: str
    alone: str
    ratio: float
    at_most: float | None
    more: str = ""

    @property
    def beyond(self) -> bool:
        """Whether it is."""
        return self.at_most is not None and self.ratio > self.at_most

    def __str__(self) -> str:
        return f"| {self.what} | {self.alone} | {self.ratio:.3f} | {self.at_most or ''} | {self.more} |"


def of_later(folder: Path, size: int, rounds: int) -> Row:
    """A checkpoint of that many megabytes, of a run that has written one of them."""
    state = of_megabytes(size, "dense")
    what = f"a run's later checkpoint of {size} MB"
    return beside_bytes(folder, what, (at_step(state, steps) for steps in count(1)), rounds, AT_MOST)


def of_first(folder: Path, size: int, rounds: int) -> Row:
    """One of that many, of a run that has written none: no other had parameters of these names."""
    states = (at_step(of_megabytes(size, f"layer_{run}"), 1) for run in count())
    return beside_bytes(folder, f"a run's first checkpoint of {size} MB", states, rounds, None)


def beside_bytes(folder: Path, what: str, states: Iterator[State], rounds: int, at_most: float | None) -> Row:
    """Checkpoints of these states, the first of them uncounted, each beside its bytes alone."""
    file, plain, run = folder / "state", folder / "plain", of_run()
    write_state(file, next(states), run)
    content = file.read_bytes()
    writes, alone = partial(write_state, file, run=run), partial(plainly, plain, content)
    pairs = [(taken(partial(writes, state=state)), taken(alone)) for state in islice(states, rounds)]
    milliseconds = 1000 * statistics.median(bare.seconds for _, bare in pairs)
    ratio = statistics.median(one.seconds / bare.seconds for one, bare in pairs)
    more = 1000 * statistics.median(one.busy - bare.busy for one, bare in pairs)
    return Row(what, f"its bytes alone, {milliseconds:.1f} ms", ratio, at_most, f"{more:.2f} ms")


def of_none(folder: Path, rounds: int) -> Row:
    """A run that may keep one and comes to none."""
    ratios = []
    for i in range(rounds):
        never = Checkpoints(Wanted(str(folder / "never"), stop_after=10 * STEPS))
        ratios.append(steps(folder, f"{i}-a", never_ends(never)) / steps(folder, f"{i}-b", NONE))
    return Row(f"none, in {STEPS:,} steps", "the run without the option", statistics.median(ratios), BETWEEN)


def main() -> None:
    """Prints the table, and writes the page."""
    from proof.provenance import commit

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("rounds", nargs="?", type=int, default=9)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = [of_later(Path(name), size, asked.rounds) for size in SIZES]
        rows += [of_first(Path(name), SIZES[0], asked.rounds), of_none(Path(name), asked.rounds)]
    loads = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    command = f"python tests/proof/checkpoint_cost.py {asked.rounds}"
    lines = [
        "# What a checkpoint costs",
        "",
        f"`{command}`, commit {commit()}, {os.cpu_count()} cores, load {loads} at the end.",
        "",
        "Writing a state's file, beside writing its bytes as safely: to a new name, synchronised, renamed, the folder",
        "synchronised. Both in turns; medians, of the ratios those of each round. A run's first checkpoint also lays",
        "out the file's head and checks names, shapes and rule, which later ones have in common with it.",
        "Where others load the machine both wait for its disk, and the ratios say less than the processor's time.",
        "",
        f"| what | beside | ratio, median of {asked.rounds} | at most | of the processor, more |",
        "| --- | --- | --- | --- | --- |",
        *map(str, rows),
    ]
    beyond = [f"- {row.what}: {row.ratio:.3f}, and at most {row.at_most}" for row in rows if row.beyond]
    lines += ["", "Beyond the bound:", "", *beyond] if beyond else []
    print("\n".join(lines))
    if asked.write is not None:
        asked.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


def never_ends(checkpoints: Checkpoints) -> Checkpoints:
    """One that is not written at the run's end either."""
    checkpoints.end = lambda export: None  # type: ignore[method-assign]
    return checkpoints


if __name__ == "__main__":
    main()
