"""What does a checkpoint cost beside writing its bytes alone, and a run that may keep one beside one that can't?

Usage: python tests/proof/checkpoint_cost.py [ROUNDS] [--write results/checkpoint.md]
By hand; on a machine that does nothing else.

Its bytes are written as safely: to a new name, synchronised, renamed, the folder synchronised. Both in turns; medians
of the ratios of one round. Markdown on stdout, and what is beyond its bound as a list below it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xframe.files.new import Passing
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import record
from xframe.running import registry
from xframe.running.checkpoints import NONE, Checkpoints, Wanted
from xframe.running.drive import Drive
from xframe.running.runtime import Runtime
from xframe.running.states import write_state
from xframe.state.state import State
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import Adam

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

SIZES = (1, 30, 300)  # megabytes: weights and two slots
AT_MOST, BETWEEN = 1.3, 1.02
STEPS = 3000


def of_megabytes(size: int) -> State:
    """A state of about that many."""
    rng, parts = np.random.default_rng(0), 8
    weights = {
        f"dense_{i}/kernel": rng.normal(size=size * 1_000_000 // (12 * parts)).astype("float32") for i in range(parts)
    }
    slots = {
        name: {one: values.copy() for one, values in weights.items()} for name in ("first_moment", "second_moment")
    }
    numbers = {"updates": 1, "attempts": 1, "rate": 0.1}
    return State(parameters=weights, slots=slots, rule=Adam(0.1).to_dict(), numbers=numbers)


def plainly(path: Path, content: bytes) -> None:
    """Writes bytes, as safely as a checkpoint is."""
    with Passing(path) as passing:
        with os.fdopen(os.dup(passing.number), "wb") as file:
            file.write(content)
        passing.put()


def taken(call: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def steps(folder: Path, name: str, checkpoints: Checkpoints) -> float:
    """Seconds of a run."""
    task, plan = find_task("diabetes-regression"), TrainingPlan(batch_size=16, steps=STEPS)
    with record(folder / f"{name}.trace") as recorder:
        drive = Drive(registry.load("numpy"), plan, task, Runtime("cpu", threads=1), recorder, checkpoints)  # type: ignore[arg-type]
        return taken(drive)


class Row(NamedTuple):
    """Of the table: what was done, what it is compared with, the median of the ratios, and what that may be."""

    what: str
    alone: str
    ratio: float
    at_most: float

    def __str__(self) -> str:
        return f"| {self.what} | {self.alone} | {self.ratio:.3f} | {self.at_most} |"


def of_size(folder: Path, size: int, rounds: int) -> Row:
    """A checkpoint of that many megabytes."""
    state, file = of_megabytes(size), folder / "state"
    write_state(file, state)
    content = file.read_bytes()
    pairs = [
        (taken(lambda: write_state(file, state)), taken(lambda: plainly(folder / "plain", content)))
        for _ in range(rounds)
    ]
    alone = statistics.median(other for _, other in pairs)
    ratio = statistics.median(one / other for one, other in pairs)
    return Row(
        f"a checkpoint of {len(content) / 1e6:.0f} MB", f"its bytes alone, {1000 * alone:.1f} ms", ratio, AT_MOST
    )


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
        rows = [of_size(Path(name), size, asked.rounds) for size in SIZES] + [of_none(Path(name), asked.rounds)]
    loads = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    command = f"python tests/proof/checkpoint_cost.py {asked.rounds}"
    lines = [
        "# What a checkpoint costs",
        "",
        f"`{command}`, commit {commit()}, {os.cpu_count()} cores, load {loads} at the end.",
        "",
        "Writing a state's file, beside writing its bytes as safely: to a new name, synchronised, renamed, the folder",
        "synchronised. Both in turns; medians, of the ratios those of each round.",
        "",
        f"| what | beside | ratio, median of {asked.rounds} | at most |",
        "| --- | --- | --- | --- |",
        *map(str, rows),
    ]
    beyond = [f"- {row.what}: {row.ratio:.3f}, and at most {row.at_most}" for row in rows if row.ratio > row.at_most]
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
