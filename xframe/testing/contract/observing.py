"""Runs for tests: an adapter in the test's own process, and a bare twin in one of its own.

A twin is called as ``python twin.py INPUT.npz OUTPUT.npz``. INPUT has features, targets, the initial
weights under their canonical names, orders (passes × samples), batch_size, drop_last, num_steps,
learning_rate, momentum and loop, the adapter's; OUTPUT gets the final weights under the same names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from xframe.plan import cadence, counting
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import record
from xframe.running import steering
from xframe.running.guard import take_home
from xframe.running.runtime import Runtime
from xframe.tasks.lookup import find_task
from xframe.tasks.task import Task
from xframe.trace.source import exists_already
from xframe.trace.trace import Trace

if TYPE_CHECKING:
    from xframe.running.adapter import Adapter


@contextmanager
def counting_forbidden() -> Iterator[None]:
    """While inside, the plan's own counts, each_step and step raise, and so does what they are made of."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("an adapter may not use plan.counts, plan.each_step or plan.step")

    names = ("Cadence", "counts", "num_steps", "rows", "sample_ids", "step", "each_step")
    functions: dict[str, Any] = dict.fromkeys(names, refuse)
    with (
        mock.patch.multiple(TrainingPlan, counts=refuse, each_step=refuse, step=refuse),
        mock.patch.multiple(counting, **functions),
        mock.patch.object(cadence, "Cadence", refuse),
    ):
        yield


@contextmanager
def a_batch_less(step: int) -> Iterator[Callable[[], bool]]:
    """While inside, ``steering.walk`` leaves out that step's batch, wherever the function was imported to.

    Yields what returns whether anybody has walked.
    """
    honest = steering.walk
    walked: list[bool] = []

    def walk(*args: Any, **kwargs: Any) -> Iterator[Any]:
        walked.append(True)
        return (batch for index, batch in enumerate(honest(*args, **kwargs)) if index != step)

    def put(one: Any, other: Any) -> None:
        for module in list(sys.modules.values()):
            for name in [name for name, value in list(getattr(module, "__dict__", {}).items()) if value is one]:
                setattr(module, name, other)

    put(honest, walk)
    try:
        yield lambda: bool(walked)
    finally:
        put(walk, honest)  # in modules too that were imported meanwhile


@contextmanager
def an_update_less(step: int) -> Iterator[Callable[[], bool]]:
    """While inside, a ``Window`` does not find that step's update due, and leaves its gradients to the next.

    Yields what returns whether any was asked.
    """
    honest = steering.Window.close
    asked: list[bool] = []

    def close(window: steering.Window, place: steering.Place, rows: int) -> int | None:
        asked.append(True)
        divisor = honest(window, place, rows)
        if divisor is None or window.steps != step + 1:
            return divisor
        window.updates -= 1
        window.present, window.fresh = window.weight(rows), False
        return None

    with mock.patch.object(steering.Window, "close", close):
        yield lambda: bool(asked)


def observe(
    adapter: Adapter,
    plan: TrainingPlan,
    task: Task,
    path: Path,
    *,
    precision: str = "float64",
    loop: str | None = None,
    workers: int = 0,
) -> Trace:
    """Runs the adapter in this process with the plan's own functions forbidden, and reads its trace.

    While it runs, the trace is in a folder of its own, so that it stands beside no other that could be copied.
    """
    if path.exists():
        raise exists_already(path)
    place = {
        "device": "cpu",
        "precision": precision,
        "threads": 1,
        "loop": loop or adapter.loops[0],
        "workers": workers,
    }
    runtime = Runtime(**place)  # type: ignore[arg-type]
    facts = {"label": adapter.name, "adapter": adapter.name, "runtime": runtime.to_dict(), "task": task.name}
    own = Path(tempfile.mkdtemp()) / path.name
    try:
        with record(own, plan=plan, num_samples=task.num_samples, metadata=facts) as recorder, counting_forbidden():
            weights = adapter.run(plan, task, runtime, recorder)
            assert not isinstance(weights, list), "a plan for one process"
            recorder.weights(weights)
    finally:
        take_home(own, path.parent)
    return Trace.open(path)


def bare_weights(
    twin: Path, plan: TrainingPlan, folder: Path, loop: str, task: str | Task = "digits-mlp"
) -> dict[str, NDArray[Any]]:
    """What the task's bare twin ends in, run in a process of its own on one thread."""
    task = find_task(task) if isinstance(task, str) else task
    features, targets = task.data("float32")
    counts = plan.counts(task.num_samples)
    assert counts.num_epochs is not None
    order = plan.sample_order(task.num_samples)
    given = {
        "features": features,
        "targets": targets,
        "orders": np.stack([order.ids(epoch) for epoch in range(counts.num_epochs)]),
        "batch_size": plan.batch_size,
        "drop_last": plan.remainder == "drop",
        "num_steps": counts.num_steps,
        "learning_rate": task.optimizer.learning_rate,
        "momentum": getattr(task.optimizer, "momentum", 0.0),
        "loop": loop,
        **task.initial_weights(),
    }
    np.savez(folder / "input.npz", **given)  # type: ignore[arg-type]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    files = str(folder / "input.npz"), str(folder / "output.npz")
    done = run_script(str(twin), *files, environment={**os.environ, **threads})
    assert done.returncode == 0, done.stderr
    with np.load(folder / "output.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def run_script(script: str, *tokens: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """``python SCRIPT TOKENS``, in a process of its own."""
    command = [sys.executable, script, *tokens]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
