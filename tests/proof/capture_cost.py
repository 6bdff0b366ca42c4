"""What does `xframe record --capture` cost? A captured step in milliseconds per megabyte kept, and a step that is not.

Usage: python tests/proof/capture_cost.py [--rounds R] [--only torch] [--write results/capture.md]

A process of each framework, one thread on one core. Networks of three Dense layers train with Adam on batches of 64,
recorded with and without --capture in turns. A captured step is compared with the median of those that are not, in the
same segment; one that is not captured with one of a recording without --capture, as a ratio of processor times of two
segments of one round. Markdown on stdout.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

WIDTHS = (64, 512, 2048)
BATCH, CAPTURED, STEPS = 64, 6, 200
ABOUT = """
A captured step against one that is not, in the same run, on the clock and in processor time: its file is on the disk
before the step ends. The ratio is that of steps that are not captured, in a recording with --capture and one without,
in processor time. Medians with quartiles."""
HEAD = ("framework", "width", "kept of a step, MB", "step, ms", "capturing adds, ms", "ms per MB", "of them computing")


def torch_loop(width: int) -> Callable[[int, Callable[[], None]], None]:
    """Trains so many steps, and calls the function after each."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer, loss = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    x, y = torch.rand(4 * BATCH, width), torch.randint(0, 10, (4 * BATCH,))

    def train(steps: int, after: Callable[[], None]) -> None:
        for step in range(steps):
            rows = slice(BATCH * (step % 4), BATCH * (step % 4 + 1))
            optimizer.zero_grad()
            loss(model(x[rows]), y[rows]).backward()
            optimizer.step()
            after()

    return train


def keras_loop(width: int) -> Callable[[int, Callable[[], None]], None]:
    """As ``torch_loop``."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import numpy as np
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # set by the segment before
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(0)
    draw, dense = np.random.default_rng(0), keras.layers.Dense
    model = keras.Sequential([keras.Input((width,)), dense(width, "relu"), dense(width, "relu"), dense(10)])
    model.compile(keras.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = draw.random((4 * BATCH, width), dtype=np.float32), draw.integers(0, 10, 4 * BATCH)

    def train(steps: int, after: Callable[[], None]) -> None:
        for step in range(steps):
            rows = slice(BATCH * (step % 4), BATCH * (step % 4 + 1))
            model.train_on_batch(x[rows], y[rows])
            after()

    return train


LOOPS = {"torch": torch_loop, "keras": keras_loop}


class Segment(NamedTuple):
    """Of each step seconds on the clock and of processor time; sizes of what was kept."""

    clock: list[float]
    computing: list[float]
    sizes: list[int]


def segment(framework: str, width: int, capture: int) -> Segment:
    """Trains, and captures that many steps at the beginning."""
    import xframe

    steps = 3 * CAPTURED + max(20, STEPS * 64 // width)
    train, clock, computing = LOOPS[framework](width), [time.perf_counter()], [time.process_time()]

    def after() -> None:
        clock.append(time.perf_counter())
        computing.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.trace"
        with xframe.watch(path, capture=capture, capture_mb=10_000):
            train(steps, after)
        sizes = [one.stat().st_size for one in sorted(path.with_suffix(".captured").glob("*"))]
    return Segment(*([b - a for a, b in pairwise(each)] for each in (clock, computing)), sizes)


def usual(seconds: list[float]) -> float:
    """Of steps that are not captured: the first of those and what is captured sparsely are not counted."""
    late = [one for index, one in enumerate(seconds) if index > CAPTURED and index % CAPTURED]
    return statistics.median(late)


def child(framework: str, rounds: int) -> None:
    """Measures, and prints a line of JSON for each width."""
    for width in WIDTHS:
        found: dict[str, list[float]] = {"mb": [], "clock": [], "computing": [], "step": [], "ratio": []}
        for number in range(rounds + 1):
            without, captured = segment(framework, width, 0), segment(framework, width, CAPTURED)
            if not number:  # what is compiled, loaded and allocated once
                continue
            found["ratio"].append(usual(captured.computing) / usual(without.computing))
            found["step"].append(1e3 * usual(without.clock))
            found["mb"] += [one / 1e6 for one in captured.sizes[1:CAPTURED]]
            for name, seconds in (("clock", captured.clock), ("computing", captured.computing)):
                # The first step builds what every run does.
                found[name] += [1e3 * (one - usual(seconds)) for one in seconds[1:CAPTURED]]
        print(json.dumps({"width": width, **found}), flush=True)


def quartiles(values: list[float], digits: int) -> str:
    """The median, and the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=sorted(LOOPS))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        child(given.child, given.rounds)
        return
    lines = [f"| {' | '.join((*HEAD, 'ratio of the others'))} |", f"|{' --- |' * (len(HEAD) + 1)}"]
    core = ["taskset", "-c", str(max(os.sched_getaffinity(0)))] if hasattr(os, "sched_getaffinity") else []
    for framework in [given.only] if given.only else LOOPS:
        command = [*core, sys.executable, __file__, "--child", framework, "--rounds", str(given.rounds)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        for one in (json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"width"')):
            size = statistics.median(one["mb"])
            per = [statistics.median(one[way]) / size for way in ("clock", "computing")]
            lines.append(
                f"| {framework} | {one['width']} | {size:.2f} | {statistics.median(one['step']):.2f} "
                f"| {quartiles(one['clock'], 1)} | {per[0]:.1f} | {per[1]:.1f} | {quartiles(one['ratio'], 3)} |"
            )
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    made = f"`python tests/proof/capture_cost.py --rounds {given.rounds}`, commit {commit}, {os.cpu_count()} cores"
    text = f"{made}, load {load} at the end.\n{ABOUT}\n\n" + "\n".join(lines) + "\n"
    print(text)
    if given.write is not None:
        given.write.write_text(f"# What capturing costs a script\n\n{text}")


if __name__ == "__main__":
    main()
