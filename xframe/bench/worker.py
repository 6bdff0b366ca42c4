"""The child process that runs one loop in segments, on request.

``xframe.bench.loops`` starts one for each loop. All stay alive, so that importing and compiling are paid once. The
loops that people use come from the adapters (``Benched``), for they import frameworks; xframe's recorded loops are the
adapters' own ``run``, with a real recorder that meets the gate after each row.

Its first message is ``Measure``. The loop begins at once and reports its first segment, its warm-up, at the first
place where it can pause; then each ``Train`` lets it train on until that many steps or more are made, and it
answers with what they took, ``Trained``. It leaves when the bench is gone.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from xframe.plan.fields import LARGEST
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running import registry
from xframe.running.messages import Failed, FailedError, Parent, leave, report
from xframe.running.runtime import Runtime
from xframe.tasks.lookup import find_task
from xframe.tasks.task import Task
from xframe.trace.writer import TraceWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

THREADS = 1
# Before a framework is imported; some libraries make their pools then.
VARIABLES = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), str(THREADS)
)


@dataclass(frozen=True, slots=True)
class Measure:
    """To the process, first: the loop to be measured, by its name, and the folder for what it writes."""

    name: str
    adapter: str
    loop: str | None  # of the adapter's own, recorded; None for one of its ``bench_loops``
    task: str  # as ``find_task`` takes it
    batch_size: int
    folder: str
    core: int | None  # to run on; None for any


@dataclass(frozen=True, slots=True)
class Train:
    """To the process: the steps to make, at least."""

    steps: int


@dataclass(frozen=True, slots=True)
class Trained:
    """From the process: a segment is over. Its steps, its seconds, and those of all its threads on a processor."""

    steps: int
    seconds: float
    cpu_seconds: float


class Gate:
    """Where a loop pauses. It calls ``meet`` as often as it can at no cost: after each epoch, or each row.

    Args:
        report: gets the steps of a segment that is over, its seconds, and those that the process had a processor.
        wait: returns the steps to make before the next pause, when it is time for them.

    Attributes:
        settle: what belongs to a segment's work and would be done in the pause, for free, if it had not to be now.
    """

    settle: Callable[[], None] | None = None

    def __init__(self, report: Callable[[int, float, float], None], wait: Callable[[], int]) -> None:
        self._report, self._wait = report, wait
        self._made, self._wanted = 0, 1
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def meet(self, steps: int) -> None:
        """That many steps were made since the last call."""
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
        """See ``Recorder.step``."""
        super().step(**row)
        self._gate.meet(1)

    def block(self, **rows: Any) -> None:
        """See ``Recorder.block``."""
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
        """Of an epoch."""
        return self.task.num_samples

    @property
    def starts(self) -> range:
        """Where each batch of an epoch begins; its length is the epoch's steps."""
        return range(0, self.num_samples, self.batch_size)


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop that people use."""

    name: str  # as ``--loops`` takes it
    about: str  # what it is, in a few words
    train: Callable[[Workload, Gate], None]  # trains the workload for ever, and calls ``gate.meet`` after each epoch
    requires: tuple[str, ...] = ()  # modules it imports beside its framework
    base: bool = False  # the loop that the framework's others are compared with
    bare: bool = False  # nothing but the framework
    twin_of: tuple[str, ...] = ()  # the adapter's own loops that train in the same way: what they add is xframe's


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


def _measure(bench: Parent) -> None:
    job = bench.receive(Measure)
    if job is None:
        return
    if job.core is not None:
        os.sched_setaffinity(0, {job.core})  # before any thread is started, so that all of them inherit it
    adapter = registry.load(job.adapter)
    task = replace(find_task(job.task), metrics=())  # bare loops measure none either
    workload = Workload(task, job.batch_size, Path(job.folder))

    def wait() -> int:
        train = bench.receive(Train)
        if train is None:
            os._exit(0)  # however deep in a trainer; nothing is left to be done
        return train.steps

    gate = Gate(lambda *trained: bench.send(Trained(*trained)), wait)
    registry.probe(adapter)
    if job.loop is None:
        (loop,) = (loop for loop in loops_of(adapter, workload.task) if loop.name == job.name)
        loop.train(workload, gate)
    else:
        recorder = GatedRecorder(workload.folder / f"{job.name.replace(':', '-')}.trace", gate)
        with contextlib.closing(recorder):
            adapter.run(endless(workload.batch_size), workload.task, runtime(job.loop), recorder)
    raise FailedError(Failed("the loop ended by itself"))


if __name__ == "__main__":
    leave(report(sys.argv[1:], _measure))
