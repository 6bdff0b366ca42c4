"""The harness: one fresh process per adapter, all at once, each recording its run.

Each worker gets its own interpreter if asked to, so that the frameworks may live in different
environments. A worker first reports what devices it has; when all have, the harness picks one and lets them go.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xframe.errors import UsageError, Verbatim, WorkerError, XframeError
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.messages import Done, Failed, Go, Job, Ready, Recorded
from xframe.running.processes import Child, listen, start, stop
from xframe.running.progress import Progress
from xframe.running.registry import Selection
from xframe.running.runtime import Runtime, cores
from xframe.tasks.task import Task, find_task

DEFAULT_TASK = "digits-mlp"
DEFAULT_ADAPTERS = ("torch", "tensorflow")
RUNS = Path("xframe-runs")


@dataclass(eq=False)
class Worker:
    """A child process that trains, and what it reported."""

    child: Child
    trace: Path
    devices: Sequence[str] = ()
    steps: int = 0
    began: float = field(default_factory=time.monotonic)
    done: Done | None = None
    failed: Failed | None = None

    @property
    def label(self) -> str:
        """Of its run."""
        return self.child.label


def execute(
    plan: TrainingPlan,
    task: str,
    selections: Sequence[Selection],
    places: Sequence[Path],
    runtime: Runtime,
    interpreters: Mapping[str, str],
    progress: Progress,
) -> list[Done]:
    """Starts a worker for each selection and returns what they report when all have written their traces."""
    counts = counting.counts(plan, find_task(task).num_samples)
    total, epochs = counts.num_steps, counts.num_epochs
    threads = runtime.threads or max(1, cores() // len(selections))
    workers: list[Worker] = []
    try:
        for selection, place in zip(selections, places, strict=True):
            job = Job(
                adapter=selection.adapter,
                label=selection.label,
                loop=selection.loop,
                plan=plan.to_dict(),
                task=task,
                runtime=replace(runtime, threads=threads).to_dict(),
                trace=str(place.resolve()),
            )
            child = start(
                "xframe.running.worker",
                job,
                label=selection.label,
                log=log_path(place),
                kinds=(Ready, Recorded, Done, Failed),
                interpreter=interpreters[selection.adapter],
            )
            workers.append(Worker(child, place))
            progress.begin(selection.label, total, epochs)
        _watch(workers, runtime, progress)
    finally:
        stopped = stop([worker.child for worker in workers])
        for worker in workers:
            if worker.child in stopped:
                progress.end(worker.label, worker.steps, "stopped")
    return [worker.done for worker in workers if worker.done is not None]


def _watch(workers: list[Worker], runtime: Runtime, progress: Progress) -> None:
    """Takes in what the workers report until all have ended well."""
    by_child = {id(worker.child): worker for worker in workers}
    for worker in workers:
        progress.state(worker.label, "starting")
    for child, message in listen([worker.child for worker in workers]):
        worker = by_child[id(child)]
        match message:
            case None:
                _finish(worker, progress)
            case Ready():
                worker.devices = message.devices
                if all(each.devices for each in workers):
                    go = Go(_device(runtime.device, workers))
                    for each in workers:
                        each.child.send(go)
                        progress.state(each.label, "training")
            case Recorded():
                worker.steps = message.steps
                progress.advance(worker.label, message.steps, message.epoch, message.loss)
            case Done():
                worker.done = message
            case Failed():
                worker.failed = message


def _finish(worker: Worker, progress: Progress) -> None:
    """Judges a worker's end: all is well, or an error says what happened."""
    code = worker.child.process.wait()
    if worker.done is not None and code == 0:
        seconds = time.monotonic() - worker.began
        progress.end(worker.label, worker.done.steps, f"{seconds:5.1f} s   trace complete")
        return
    progress.end(worker.label, worker.steps, "failed")
    raise _failure(worker)


def _failure(worker: Worker) -> XframeError:
    """What the user reads of a worker that ended otherwise."""
    label, failed, log = worker.label, worker.failed, worker.child.log
    match failed:
        case Failed(text, kind="usage"):
            return UsageError(f"{label}: {text}")
        case Failed(text, kind="missing", install=install):
            return WorkerError(
                f"adapter {label!r} needs a package that is not installed",
                got=Verbatim(text),
                remedy=f"Install it: {install}",
            )
        case Failed(text, kind="broken"):
            return WorkerError(
                f"adapter {label!r}: its framework is installed but broken",
                got=Verbatim(text),
                remedy=f"The whole message is in {log}",
            )
    where = f"after {worker.steps:,} recorded steps" if worker.steps else "before its first recorded step"
    remedy = f"Log: {log}"
    if worker.steps:
        remedy = f"What was recorded so far: {worker.trace}. {remedy}"
    if failed is not None:
        first_line = Verbatim(failed.text.partition("\n")[0])  # the rest, and the traceback, are in the log
        return WorkerError(f"worker {label!r} failed {where}", got=first_line, remedy=remedy)
    return WorkerError(f"worker {label!r} {worker.child.fate()} {where}", remedy=remedy + worker.child.last_words())


def _device(wanted: str, workers: list[Worker]) -> str:
    if wanted == "auto":
        shared = [d for d in workers[0].devices if all(d in worker.devices for worker in workers)]
        if not shared:
            has = "; ".join(f"{worker.label}: {', '.join(worker.devices)}" for worker in workers)
            raise UsageError("the adapters have no device in common", got=Verbatim(has), expected="one that all have")
        return shared[0]
    for worker in workers:
        if wanted not in worker.devices:
            raise UsageError(
                f"device {wanted!r} is not there for adapter {worker.label!r}",
                got=wanted,
                expected="one of " + ", ".join(worker.devices),
                remedy="Use --device auto or cpu, or install the framework's build for that device.",
            )
    return wanted


def log_path(trace: Path) -> Path:
    return trace.with_suffix(".log")


def make_folder(folder: Path, *, exist_ok: bool = False) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise
    except OSError as error:
        raise UsageError(
            "cannot make the folder",
            got=str(folder),
            expected=f"a writable place ({error.strerror})",
            remedy="Choose another with --out.",
        ) from None


def where(device: str, precision: str, threads: int | None, tf32: bool, workers: int) -> Runtime:
    """The runtime of the harness' options."""
    return Runtime(device, precision, threads, tf32=tf32, workers=workers)  # type: ignore[arg-type]


def checked(plan: TrainingPlan, task: str, selections: Sequence[Selection], runtime: Runtime) -> Task:
    """The task, once the plan fits it and every adapter can run it."""
    found = find_task(task)
    if plan.validation_every is not None and found.validation is None:
        raise UsageError(
            f"the plan validates, and task {found.name!r} has nothing to validate on",
            got=Verbatim(f"validation_every {plan.validation_every}"),
            expected="a task with validation and num_validation",
        )
    if plan.early_stopping_monitor == "accuracy" and "accuracy" not in found.metrics:
        raise UsageError(
            f"the plan stops by accuracy, and task {found.name!r} does not measure it",
            got=Verbatim(f"metrics {found.metrics}"),
            expected="a task with metrics=('accuracy',), or early_stopping_monitor loss",
        )
    updates = counting.Cadence(plan, found.num_samples).num_updates
    most = None if found.max_updates is None else found.max_updates(plan, runtime.precision)
    if most is not None and updates > most:
        raise UsageError(
            f"task {found.name!r} cannot hold that many updates in {runtime.precision}",
            got=updates,
            expected=f"at most {most} under this plan",
            remedy="Use a larger batch_size, fewer epochs, or --precision float64.",
        )
    for selection in selections:
        adapter = registry.load(selection.adapter)
        reasons = adapter.check(plan, found, replace(runtime, loop=selection.loop))
        if reasons:
            raise UsageError(f"adapter {selection.label!r} cannot run this", got=Verbatim("; ".join(reasons)))
    return found


def chosen_interpreters(given: Mapping[str, str], selections: Sequence[Selection]) -> dict[str, str]:
    """By adapter, the interpreter to run it with: those given, else this one."""
    chosen = {selection.adapter: sys.executable for selection in selections}
    for name, interpreter in given.items():
        if name not in chosen:
            raise UsageError(
                "an interpreter for an adapter that is not chosen", got=name, expected="one of " + ", ".join(chosen)
            )
        path = shutil.which(interpreter)
        if path is None:
            raise UsageError(f"no such interpreter for {name!r}", got=interpreter, expected="the path of a Python")
        chosen[name] = path
    return chosen


def refuse_existing(place: Path) -> None:
    if place.exists():
        raise UsageError(
            "the output exists already", got=str(place), expected="a new name", remedy="Remove it or choose another."
        )


def new_folder(out: str | Path | None, name: str) -> Path:
    """``out``, which must not exist, or the next free ``xframe-runs/name-n``."""
    if out is not None:
        folder = Path(out)
        refuse_existing(folder)
        make_folder(folder)
        return folder
    number = 1
    while True:
        folder = RUNS / f"{name}-{number}"
        try:
            make_folder(folder)
        except FileExistsError:
            number += 1
        else:
            return folder
