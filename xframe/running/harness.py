"""The harness: one fresh process per adapter, all at once, then the comparison of what they recorded.

Each worker gets its own interpreter if asked to, so that the frameworks may live in different
environments. It reports by JSON lines on a pipe of its own; all it prints goes to a log file. A
worker first says what devices it has; when all have, the harness picks one and lets them go.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from xframe.errors import UsageError, Verbatim, WorkerError, printable
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.progress import Progress
from xframe.running.registry import Selection
from xframe.running.runtime import Runtime, cores
from xframe.tasks.task import Task, find_task

if TYPE_CHECKING:
    pass

DEFAULT_TASK = "digits-mlp"
DEFAULT_ADAPTERS = ("torch", "tensorflow")
RUNS = Path("xframe-runs")
_GRACE_SECONDS = 5.0  # to write what was recorded, after being told to stop


@dataclass
class Worker:
    """A child process and what is known of it."""

    selection: Selection
    trace: Path
    log: Path
    process: subprocess.Popen[bytes]
    pipe: IO[bytes]
    received: bytes = b""
    devices: tuple[str, ...] = ()
    steps: int = 0
    began: float = field(default_factory=time.monotonic)
    done: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def label(self) -> str:
        return self.selection.label

    def tell(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a worker that died says so by its exit
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def messages(self) -> Iterator[dict[str, Any]] | None:
        """What has arrived on the pipe; None at its end."""
        data = os.read(self.pipe.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self.received = (self.received + data).split(b"\n")
        return (json.loads(line) for line in lines)


def execute(
    plan: TrainingPlan,
    task: str,
    selections: Sequence[Selection],
    places: Sequence[Path],
    runtime: Runtime,
    interpreters: Mapping[str, str],
    progress: Progress,
) -> list[dict[str, Any]]:
    """Starts a worker for each selection and returns what they report when all have written their traces."""
    counts = counting.counts(plan, find_task(task).num_samples)
    total, epochs = counts.num_steps, counts.num_epochs
    threads = runtime.threads or max(1, cores() // len(selections))
    workers: list[Worker] = []
    try:
        for selection, place in zip(selections, places, strict=True):
            config = {
                "adapter": selection.adapter,
                "label": selection.label,
                "loop": selection.loop,
                "plan": plan.to_dict(),
                "task": task,
                "runtime": replace(runtime, threads=threads).to_dict(),
                "trace": str(place.resolve()),
            }
            workers.append(start(selection, place, interpreters[selection.adapter], config))
            progress.begin(selection.label, total, epochs)
        _watch(workers, runtime, progress)
    finally:
        stop(workers, progress)
    return [worker.done or {} for worker in workers]


def _watch(workers: list[Worker], runtime: Runtime, progress: Progress) -> None:
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.pipe, selectors.EVENT_READ, worker)
            progress.state(worker.label, "starting")
        while selector.get_map():
            for key, _ in selector.select():
                worker = key.data
                messages = worker.messages()
                if messages is None:
                    selector.unregister(worker.pipe)
                    _finish(worker, progress)
                    continue
                for message in messages:
                    if "devices" in message:
                        worker.devices = tuple(message["devices"])
                        if all(w.devices for w in workers):
                            device = _device(runtime.device, workers)
                            for w in workers:
                                w.tell({"go": {"device": device}})
                                progress.state(w.label, "training")
                    elif "steps" in message:
                        worker.steps = message["steps"]
                        progress.advance(worker.label, worker.steps, message.get("epoch"), message.get("loss"))
                    elif "done" in message:
                        worker.done = message["done"]
                    elif "error" in message:
                        worker.error = message["error"]


def _finish(worker: Worker, progress: Progress) -> None:
    """Reads a worker's end: all is well, or the error that says what happened."""
    code = worker.process.wait()
    if worker.done is not None and code == 0:
        seconds = time.monotonic() - worker.began
        progress.end(worker.label, worker.done["steps"], f"{seconds:5.1f} s   trace complete")
        return
    progress.end(worker.label, worker.steps, "failed")
    error = worker.error
    if error is not None and error["kind"] == "usage":
        raise UsageError(f"{worker.label}: {error['text']}")
    if error is not None and error["kind"] == "missing":
        raise WorkerError(
            f"adapter {worker.label!r} needs a package that is not installed",
            got=Verbatim(error["text"]),
            remedy=f"Install it: {error['install']}",
        )
    if error is not None and error["kind"] == "broken":
        raise WorkerError(
            f"adapter {worker.label!r}: its framework is installed but broken",
            got=Verbatim(error["text"]),
            remedy=f"The whole message is in {worker.log}",
        )
    where = f"after {worker.steps:,} recorded steps" if worker.steps else "before its first recorded step"
    remedy = f"Log: {worker.log}"
    if worker.steps:
        remedy = f"What was recorded so far: {worker.trace}. {remedy}"
    if error is not None:
        what = Verbatim(error["text"].partition("\n")[0])  # the rest, and the traceback, are in the log
        raise WorkerError(f"worker {worker.label!r} failed {where}", got=what, remedy=remedy)
    raise WorkerError(
        f"worker {worker.label!r} {ended(code)} {where}",
        remedy=remedy + last_words(worker.log),
    )


def ended(code: int) -> str:
    """How a process ended, from its exit code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def last_words(log: Path) -> str:
    """The last line a process printed, as the end of a sentence."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    if not lines:
        return ""
    hint = ""
    if "No module named" in lines[-1] and "xframe" in lines[-1]:
        hint = " Install xframe-toolkit for that interpreter."
    return f". Its last words: {printable(lines[-1])[:200]}{hint}"


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


def start(
    selection: Selection,
    place: Path,
    interpreter: str,
    config: dict[str, Any],
    *,
    module: str = "xframe.running.worker",
    variables: Mapping[str, str] | None = None,
) -> Worker:
    """Starts ``python -m module`` with a pipe to report on, a log beside ``place``, and its configuration.

    Args:
        variables: of the environment, beside those that are there.
    """
    log = log_path(place)
    try:
        output = log.open("wb")
    except OSError as error:
        raise UsageError(
            "cannot write the log", got=str(log), expected=f"a writable place ({error.strerror})"
        ) from None
    reading, writing = os.pipe()
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1", **(variables or {})}
    try:
        with output:
            process = subprocess.Popen(
                [interpreter, "-m", module, str(writing)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[writing],
                env=environment,
                start_new_session=True,  # Ctrl-C is for the harness, which lets the workers write what they have
            )
    except OSError as error:
        os.close(reading)
        raise UsageError(
            f"cannot start {selection.label!r} with that interpreter", got=interpreter, expected=f"a Python ({error})"
        ) from None
    finally:
        os.close(writing)
    worker = Worker(selection, place, log, process, os.fdopen(reading, "rb", buffering=0))
    worker.tell(config)
    return worker


def stop(workers: list[Worker], progress: Progress) -> None:
    """Ends what still runs: told first, so that it can write what it recorded, then by force."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.terminate()
            progress.end(worker.label, worker.steps, "stopped")
    deadline = time.monotonic() + _GRACE_SECONDS
    for worker in workers:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        worker.pipe.close()
        if worker.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                worker.process.stdin.close()


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
