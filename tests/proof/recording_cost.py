"""What does `xframe record` cost a script? Loops as tutorials write them, bare, watched by index, watched with prints.

Usage: python tests/proof/recording_cost.py [--minutes M] [--state FILE] [--only WORD] [--write results/recording.md]

Three processes of each framework, one thread each on one core, train in turns, a segment each, in an order that is
drawn for each round. What a segment took is processor time of the whole process, which other work on the machine
changes less than the clock's; a ratio is of two segments of one round. What was measured is kept in FILE: the same
command again goes on from there, with all workloads unless --only chooses. Markdown on stdout.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

BATCH, SECONDS = 64, 0.4
ABOUT = """
Loops as tutorials write them, bare and watched: by index alone (`--identity index`), and with prints (`close`, the
default). Ratios are of processor time, of two segments of one round, medians with quartiles; *at most* is what each is
to stay below. What prints add to the index alone is given a step, and for a megabyte of features."""
WAYS = ("bare", "index", "close")


class Workload(NamedTuple):
    """A loop, features of a sample, how long its bare step is meant to take, and the most that it may cost then."""

    loop: str
    features: int
    milliseconds: float
    index: float | None = None
    close: float | None = None

    @property
    def name(self) -> str:
        """In the file."""
        return f"{self.loop} {self.features} {self.milliseconds:g}"


WORKLOADS = (
    Workload("torch-bulk", 64, 0.25, 1.25),
    Workload("torch-slice", 64, 0.25, 1.25),
    Workload("torch-loader", 64, 1, 1.05, 1.12),
    Workload("torch-loader", 64, 5, 1.05, 1.05),
    Workload("torch-loader", 3072, 1, 1.05),
    Workload("torch-loader", 3072, 5, 1.05),
    Workload("keras-fit-8", 64, 0.25, 1.25),
    Workload("keras-fit", 64, 1, 1.05, 1.12),
    Workload("keras-fit", 64, 5, 1.05, 1.05),
    Workload("keras-fit", 3072, 5, 1.05),
)

# The loops, in a child process. Each makes a function that trains that many steps.


def torch_loop(workload: Workload, width: int) -> Callable[[int], None]:
    """A loop by hand over a DataLoader; ``bulk``: one that takes all rows of a batch at once; ``slice``: over none."""
    import torch
    from torch import nn
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(50 * BATCH, workload.features), torch.randint(0, 10, (50 * BATCH,)))
    loader: Any = DataLoader(data, batch_size=BATCH, shuffle=True)
    if workload.loop == "torch-bulk":
        loader = DataLoader(data, batch_size=None, sampler=BatchSampler(RandomSampler(data), BATCH, drop_last=False))
    layers = nn.Linear(workload.features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    model, loss_fn = nn.Sequential(*layers), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def sliced() -> Iterator[Any]:
        order = torch.randperm(len(data))
        for start in range(0, len(data), BATCH):
            yield data.tensors[0][order[start : start + BATCH]], data.tensors[1][order[start : start + BATCH]]

    def train(steps: int) -> None:
        for _ in range(steps // 50):
            for features, targets in sliced() if workload.loop == "torch-slice" else loader:
                optimizer.zero_grad()
                loss_fn(model(features), targets).backward()
                optimizer.step()

    return train


def keras_loop(workload: Workload, width: int) -> Callable[[int], None]:
    """``fit`` on arrays; ``fit-8``: eight steps in each execution."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import numpy as np
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # set by the workload before
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(0)
    draw, dense = np.random.default_rng(0), keras.layers.Dense
    x, y = draw.random((50 * BATCH, workload.features), dtype=np.float32), draw.integers(0, 10, 50 * BATCH)
    model = keras.Sequential([keras.Input((workload.features,)), dense(width, "relu"), dense(width, "relu"), dense(10)])
    model.compile(
        keras.optimizers.SGD(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=8 if workload.loop == "keras-fit-8" else 1,
    )
    return lambda steps: model.fit(x, y, batch_size=BATCH, epochs=steps // 50, verbose=0)


def child(way: str) -> None:
    """Serves segments, in lines of JSON: a workload begins, trains steps, ends."""
    train: Callable[[int], None]
    recorder: Any
    train, recorder = print, None
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        for number, line in enumerate(sys.stdin):
            order = json.loads(line)
            began, wall = time.process_time(), time.perf_counter()
            if "steps" in order:
                train(order["steps"])
                if recorder is not None:
                    recorder.flush()
            else:
                stack.close()
                workload = Workload(*order["begin"])
                loop = torch_loop if workload.loop.startswith("torch") else keras_loop
                if way != "bare":
                    import xframe

                    recorder = stack.enter_context(xframe.watch(f"{folder}/{number}.trace", identity=way))
                train = loop(workload, order["width"])
                train(100)
            taken = {"cpu": time.process_time() - began, "wall": time.perf_counter() - wall}
            print(json.dumps(taken), file=sys.__stdout__, flush=True)


# The parent.


class Child:
    """One process of a framework, bare or watched."""

    def __init__(self, way: str) -> None:
        core = ["taskset", "-c", str(max(os.sched_getaffinity(0)))] if hasattr(os, "sched_getaffinity") else []
        command = [*core, sys.executable, __file__, "--child", way]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, **order: Any) -> dict[str, float]:
        """Gives an order; what it took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith('{"cpu"'):
                taken: dict[str, float] = json.loads(line)
                return taken
        raise SystemExit(f"a process ended with {self.process.wait()}")

    def per_step(self, steps: int) -> tuple[float, float]:
        """Milliseconds of processor time a step, and of the clock."""
        taken = self.ask(steps=steps)
        return 1e3 * taken["cpu"] / steps, 1e3 * taken["wall"] / steps


@contextlib.contextmanager
def children() -> Iterator[dict[str, Child]]:
    """One for each way."""
    made = {way: Child(way) for way in WAYS}
    try:
        yield made
    finally:
        for one in made.values():
            one.process.kill()
            one.process.wait()


def calibrated(bare: Child, workload: Workload) -> int:
    """The width of the layers with which a bare step takes about as long as it is meant to."""
    width = 16
    while width < 4096:
        bare.ask(begin=workload, width=width)
        taken = min(bare.per_step(100)[0] for _ in range(2))
        if taken > 0.85 * workload.milliseconds:
            break
        width = width * 2 if taken < 0.5 * workload.milliseconds else width * 5 // 4
    return width


def measure(workload: Workload, state: dict[str, Any], each: dict[str, Child], until: float) -> None:
    """Rounds of this workload, until that time."""
    kept = state.setdefault(workload.name, {"width": None, "rounds": []})
    if kept["width"] is None:
        kept["width"] = calibrated(each["bare"], workload)
    for one in each.values():
        one.ask(begin=workload, width=kept["width"])
    steps = 50 * max(1, round(1e3 * SECONDS / workload.milliseconds / 50))
    while True:
        ways = random.sample(WAYS, len(WAYS))
        kept["rounds"].append({way: each[way].per_step(steps) for way in ways})
        if time.monotonic() > until:
            return


def median(values: list[float]) -> str:
    """The median, and the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def table(state: dict[str, Any]) -> str:
    """What was measured."""
    lines = [
        "| loop | batch, bytes | bare, ms | index | at most | prints | at most | prints, µs | µs per MB | rounds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for workload in WORKLOADS:
        rounds = state.get(workload.name, {"rounds": []})["rounds"]
        if not rounds:
            continue
        bare = statistics.median(one["bare"][0] for one in rounds)
        index, close = ([one[way][0] / one["bare"][0] for one in rounds] for way in ("index", "close"))
        added = 1e3 * statistics.median(one["close"][0] - one["index"][0] for one in rounds)
        size = BATCH * workload.features * 4
        most = [f"{bar:g}" if bar else "" for bar in (workload.index, workload.close)]
        lines.append(
            f"| {workload.loop} | {size:,} | {bare:.2f} | {median(index)} | {most[0]} | {median(close)} | {most[1]} "
            f"| {added:.0f} | {1e6 * added / size:.0f} | {len(rounds)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--state", type=Path, default=Path("recording_cost.json"))
    parser.add_argument("--only", default="")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return
    chosen = [workload for workload in WORKLOADS if given.only in workload.name]
    state = json.loads(given.state.read_text()) if given.state.exists() else {}
    end = time.monotonic() + 60 * given.minutes
    for number, framework in enumerate(("torch", "keras")):
        mine = [workload for workload in chosen if workload.loop.startswith(framework)]
        others = sum(not workload.loop.startswith(framework) for workload in chosen[len(mine) :]) * (number == 0)
        with children() if mine else contextlib.nullcontext({}) as each:
            for place, workload in enumerate(mine):
                left = len(mine) - place + others
                measure(workload, state, each, time.monotonic() + max(0, end - time.monotonic()) / left)
                given.state.write_text(json.dumps(state))
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    made = (
        f"`python tests/proof/recording_cost.py --minutes {given.minutes:g}`, commit {commit}, {os.cpu_count()} cores"
    )
    text = f"{made}, load {load} at the end.\n{ABOUT}\n\n{table(state)}\n"
    print(text)
    if given.write is not None:
        given.write.write_text(f"# What recording costs a script\n\n{text}")


if __name__ == "__main__":
    main()
