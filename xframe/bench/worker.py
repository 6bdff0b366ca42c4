"""The child process in which one loop is measured: it trains a segment when told to, and waits in between.

``xframe.bench.measuring`` starts one for each loop. All stay alive and train in turns, so that whatever slows the
machine for a while slows them all alike, and importing and compiling are paid once. The loops that people
use come from the adapters (``Benched``), for they import frameworks; xframe's recorded loops are the
adapters' own ``run``, with a real recorder that meets the gate after each row.

The protocol is JSON lines, the configuration first. The loop begins at once and reports its first segment,
its warm-up, at the first place where it can pause; then each ``{"steps": n}`` on standard input lets it
train on until n steps or more are made, and it answers with what they took:
``{"segment": {"steps": …, "seconds": …, "cpu_seconds": …}}``. It leaves when standard input ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from xframe.plan.training_plan import LARGEST, TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.running.worker import Pipe
from xframe.tasks.task import Task, find_task
from xframe.trace.files import TraceWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

THREADS = 1
# Before a framework is imported; some libraries make their pools then.
VARIABLES = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), str(THREADS)
)


class Gate:
    """Where a loop pauses. It calls ``meet`` as often as it can at no cost: after each epoch, or each row.

    Args:
        report: told the steps of a segment that is over, its seconds, and those that the process had a processor.
        wait: returns the steps to make before the next pause, when it is time for them.
        settle: what belongs to a segment's work and would be done in the pause, for free, if it had not to be now.
    """

    def __init__(
        self,
        report: Callable[[int, float, float], None],
        wait: Callable[[], int],
        settle: Callable[[], None] | None = None,
    ) -> None:
        self._report, self._wait = report, wait
        self.settle = settle
        self._made, self._wanted = 0, 1
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def meet(self, steps: int) -> None:
        """So many steps were made since the last call."""
        self._made += steps
        if self._made < self._wanted:
            return
        if self.settle is not None:
            self.settle()
        self._report(self._made, time.perf_counter() - self._began, time.process_time() - self._cpu)
        self._wanted, self._made = self._wait(), 0
        self._began, self._cpu = time.perf_counter(), time.process_time()


class GatedRecorder(Recorder):
    """A recorder that meets a gate after each row; it writes a real trace, and before a pause all of it."""

    def __init__(self, path: Path, gate: Gate) -> None:
        super().__init__(TraceWriter(path, {}), keep_ids=True)
        self._gate = gate
        gate.settle = self.flush

    def step(self, **row: Any) -> None:
        super().step(**row)
        self._gate.meet(1)

    def block(self, **rows: Any) -> None:
        before = self.num_steps
        super().block(**rows)
        self._gate.meet(self.num_steps - before)


class Workload(NamedTuple):
    """What all loops of a bench train: a task in float32, in batches of that size; ``folder`` takes what they write."""

    task: Task
    batch_size: int
    folder: Path

    def data(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Features and targets."""
        return self.task.data("float32")

    @property
    def num_samples(self) -> int:
        return self.task.num_samples

    @property
    def starts(self) -> range:
        """Where each batch of an epoch begins; its length is the epoch's steps."""
        return range(0, self.num_samples, self.batch_size)


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop that people use.

    Attributes:
        name: as ``--loops`` takes it.
        about: what it is, in a few words.
        train: trains the workload for ever, and calls ``gate.meet`` after each epoch.
        requires: modules it imports beside its framework.
        base: the loop that the framework's others are held against.
        bare: nothing but the framework.
        twin_of: the adapter's own loops that train in the same way, so that what they add is xframe's.
    """

    name: str
    about: str
    train: Callable[[Workload, Gate], None]
    requires: tuple[str, ...] = ()
    base: bool = False
    bare: bool = False
    twin_of: tuple[str, ...] = ()


@runtime_checkable
class Benched(Protocol):
    """What an adapter may have beside its contract: other loops of its framework, to be measured beside its own."""

    def bench_loops(self, task: Task) -> tuple[Loop, ...]:
        """Those that can train the task. Does not import the framework."""


def loops_of(adapter: object, task: Task) -> tuple[Loop, ...]:
    """The other loops an adapter has for a task; none if it has no such method."""
    return adapter.bench_loops(task) if isinstance(adapter, Benched) else ()


def endless(batch_size: int) -> TrainingPlan:
    """A plan whose limit no bench reaches."""
    return TrainingPlan(batch_size=batch_size, steps=LARGEST)


def runtime(loop: str | None = None) -> Runtime:
    """Where every loop of a bench runs."""
    return Runtime(device="cpu", precision="float32", threads=THREADS, loop=loop)


def main(number: int) -> int:
    pipe = Pipe(number)
    try:
        _measure(pipe, json.loads(sys.stdin.readline()))
    except BaseException as error:
        traceback.print_exc()
        pipe.send(error={"text": f"{type(error).__name__}: {error}"})
        return 3
    pipe.send(error={"text": "the loop ended by itself"})
    return 3


def _measure(pipe: Pipe, config: dict[str, Any]) -> None:
    if config["core"] is not None:
        os.sched_setaffinity(0, {config["core"]})  # before any thread is started, so that all of them inherit it
    adapter = registry.load(config["adapter"])
    task = replace(find_task(config["task"]), metrics=())  # bare loops measure none either
    workload = Workload(task, config["batch_size"], Path(config["folder"]))

    def wait() -> int:
        line = sys.__stdin__.readline() if sys.__stdin__ else ""
        if not line:
            os._exit(0)  # however deep in a trainer; nothing is left to be done
        return int(json.loads(line)["steps"])

    def report(steps: int, seconds: float, cpu_seconds: float) -> None:
        pipe.send(segment={"steps": steps, "seconds": seconds, "cpu_seconds": cpu_seconds})

    gate = Gate(report, wait)
    if config["loop"] is None:
        (loop,) = (loop for loop in loops_of(adapter, workload.task) if loop.name == config["name"])
        loop.train(workload, gate)
        return
    recorder = GatedRecorder(workload.folder / f"{config['name'].replace(':', '-')}.trace", gate)
    with contextlib.closing(recorder):
        adapter.run(endless(workload.batch_size), workload.task, runtime(config["loop"]), recorder)


if __name__ == "__main__":
    code = main(int(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as a worker does
