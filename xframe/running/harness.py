"""The harness: a fresh process for each adapter, or for each replica of its run, all at once, each recording its rows.

Each worker gets its own interpreter if asked to, so that the frameworks may live in different
environments. A worker first reports what devices it has; when all have, the harness picks one and lets them go.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from xframe.errors import OverdueError, UsageError, Verbatim, WorkerError, XframeError
from xframe.plan import counting
from xframe.running import registry
from xframe.running.adapter import processes_of
from xframe.running.folders import apart
from xframe.running.judging_messages import Ask, Made, Refused
from xframe.running.meeting import Meeting
from xframe.running.messages import Done, Failed, Go, Job, Ready, Recorded
from xframe.running.processes import listen, start, stop
from xframe.running.progress import Progress
from xframe.running.registry import Selection
from xframe.running.replicas import PORTS_TRIED, deserted, fault, leave_no_meeting, port_was_taken, replicas
from xframe.running.request import Request, log_path
from xframe.running.resynchronising import UnjudgedError, accepted
from xframe.running.runtime import Replica, cores
from xframe.running.workers import Worker, failure
from xframe.tasks.lookup import find_task

_LOOK_SECONDS = 1.0  # between looks at what is overdue
_SILENT_SECONDS = 30.0  # without a word of a worker until that is reported, and again after twice as long
_LEAVE_SECONDS = 6.0  # for a worker that has closed its pipe to be gone


@dataclass(eq=False)
class Run:
    """One selection's training: a worker, or one for each of its replicas."""

    label: str
    size: int  # processes, on all hosts
    replicas: Callable[[], Sequence[Replica | None]]  # those that are started here
    place: Path  # of its trace until all have ended
    begin: Callable[[Replica | None], Worker]
    again: bool = True  # it can be started again, with other ports
    workers: list[Worker] = field(default_factory=list)
    begun: int = 0  # times
    over: bool = False  # and its progress says so

    def start(self) -> None:
        """Starts its workers."""
        self.begun += 1
        for replica in self.replicas():
            self.workers.append(self.begin(replica))

    def start_again(self) -> None:
        """The same, with other ports, when it has not begun to train."""
        stop([worker.child for worker in self.workers])
        leave_no_meeting(self.workers)
        shutil.rmtree(self.place, ignore_errors=True)
        self.workers.clear()
        self.start()

    @property
    def steps(self) -> int:
        """Recorded so far; all replicas make the same."""
        return self.workers[0].steps if self.workers else 0

    @property
    def done(self) -> Done | None:
        """What its workers reported, once all have: replica 0's, with the memory of all."""
        every = [worker.done for worker in self.workers if worker.done is not None]
        if len(every) < len(self.workers) or not every:
            return None
        memory = [done.peak_memory for done in every if done.peak_memory is not None]
        return replace(every[0], peak_memory=sum(memory) if len(memory) == len(every) else None)


class Remote:
    """A worker that has trained and stays, as a side that is asked."""

    def __init__(self, worker: Worker, look: Callable[[Callable[[], bool]], None]) -> None:
        self.label, self._worker, self._look = worker.label, worker, look

    @property
    def done(self) -> Done:
        """What it reported of its training."""
        assert self._worker.done is not None
        return self._worker.done

    def ask(self, ask: Ask) -> None:
        """Has it make something; the answer comes later."""
        self._worker.asked += 1
        self._worker.heard = time.monotonic()
        self._worker.child.send(ask)

    def answer(self) -> Made:
        """The answer to its first question that has none; raises as ``Side.answer``."""
        worker = self._worker
        self._look(lambda: bool(worker.answers) or worker.child.silent)
        if not worker.answers:
            raise UnjudgedError(f"{self.label}: its process {worker.child.fate()}; its log is {worker.child.log.name}")
        worker.asked -= 1
        return accepted(worker.answers.popleft(), self.label)


Judging = Callable[[Sequence[Remote], Sequence[Path]], None]


def execute(
    request: Request,
    traces: Mapping[Selection, Path],
    progress: Progress,
    judging: Judging | None = None,
    meeting: Meeting | None = None,
) -> list[Done]:
    """Runs the plan of a checked request through these selections; returns what their workers report at the end.

    ``traces`` has where the trace of each selection is in the end, all in one folder; a log is written beside it. Until
    all have ended each trace is where no other run can name it. ``judging`` is called when all have trained, with them
    and their traces as they lie then; they stay until it returns. In a ``meeting`` this process starts what is its
    own: one replica of each run, and at replica 0 the runs of a single process too.

    Raises:
        UsageError: a worker cannot be started, or found that something does not fit.
        WorkerError: a worker died, took too long, or its framework is missing or broken.
    """
    with apart(list(traces.values())) as places:
        runs = _run(request, dict(zip(traces.items(), places, strict=True)), progress, judging, meeting)
    return [run.done for run in runs if run.done is not None]


def _run(
    request: Request,
    places: Mapping[tuple[Selection, Path], Path],
    progress: Progress,
    judging: Judging | None,
    meeting: Meeting | None,
) -> list[Run]:
    """The runs, once all have ended well; ``places`` has where each trace goes, by where it is in the end."""
    interpreters = request.interpreters()
    counts = counting.counts(request.plan, find_task(request.task).num_samples)
    sizes = [processes_of(registry.load(name), request.plan, loop) for (name, loop), _ in places]
    at_once = sum(sizes) if meeting is None else len(sizes) * meeting.launch.here[1]  # on this machine
    threads = request.runtime.threads or max(1, cores() // at_once)
    runs: list[Run] = []

    def begin(selection: Selection, trace: Path, place: Path, replica: Replica | None) -> Worker:
        job = Job(
            adapter=selection.adapter,
            label=selection.label,
            loop=selection.loop,
            plan=request.plan.to_dict(),
            task=request.task,
            optimizer=None if request.rule is None else request.rule.to_dict(),
            runtime=replace(request.runtime, threads=threads).to_dict(),
            trace=str(place.resolve()),
            stays=judging is not None,
            checkpoints=request.checkpoints,
            replica=replica,
        )
        child = start(
            "xframe.running.worker",
            job,
            label=selection.label,
            log=log_path(trace, None if replica is None else replica.index),
            kinds=(Ready, Recorded, Done, Failed, Made, Refused),
            interpreter=interpreters[selection.adapter],
            place=job.trace if place != trace else "",
            home=str(trace.resolve().parent),
            litter=() if replica is None else replica.litter,
        )
        return Worker(child, trace, replica, stays=job.stays)

    try:
        for ((selection, trace), place), size in zip(places.items(), sizes, strict=True):
            started: Callable[[], Sequence[Replica | None]] = partial(replicas, size, request.patience)
            if meeting is not None and size > 1:
                started = partial(_own_replica, meeting, selection.label)
            elif meeting is not None and meeting.launch.index:
                continue
            start_one = partial(begin, selection, trace, place)
            runs.append(Run(selection.label, size, started, place, start_one, again=meeting is None))
            progress.begin(selection.label, counts.num_steps, counts.num_epochs)
            runs[-1].start()
        _watch(runs, request, progress, judging, list(places.values()), meeting)
    except BaseException as error:
        if meeting is not None:  # before those here are ended, which takes a while
            meeting.report(error)
        raise
    finally:
        stopped = stop([worker.child for worker in _workers(runs)])
        leave_no_meeting(_workers(runs))
        for run in runs:
            at_work = any(one.child in stopped and not (one.stays and one.done) for one in run.workers)
            if at_work and not run.over:
                progress.end(run.label, run.steps, "stopped")
    return runs


def _own_replica(meeting: Meeting, label: str) -> tuple[Replica]:
    return (meeting.replica(label),)


def _watch(
    runs: Sequence[Run],
    request: Request,
    progress: Progress,
    judging: Judging | None,
    traces: Sequence[Path],
    meeting: Meeting | None,
) -> None:
    """Takes in what the workers report until all have ended well, judging them before that."""
    limit = None if request.timeout is None else time.monotonic() + request.timeout

    def look(until: Callable[[], bool]) -> None:
        while not until():
            by_child = {worker.child: (worker, run) for run in runs for worker in run.workers}
            with contextlib.suppress(TimeoutError):
                for child, message in listen(list(by_child), _LOOK_SECONDS):
                    _take(message, *by_child[child], runs, request.device, progress, meeting)
                    if until():
                        break
            for run in runs:
                _look_after(run, progress)
            if meeting is not None:
                _look_at_others(meeting, runs, progress)
            if limit is not None and time.monotonic() > limit:
                raise _overdue(_workers(runs), request)
            _report_silence(_workers(runs), progress)
            progress.look()

    for run in runs:
        progress.state(run.label, "starting")
    look(lambda: all(worker.trained for worker in _workers(runs)))
    if judging is not None:
        judging([Remote(worker, look) for worker in _workers(runs)], traces)
        for worker in _workers(runs):
            worker.child.send(Ask("leave"))
        deadline = time.monotonic() + _LEAVE_SECONDS
        look(lambda: all(worker.child.silent for worker in _workers(runs)) or time.monotonic() > deadline)


def _look_at_others(meeting: Meeting, runs: Sequence[Run], progress: Progress) -> None:
    """Begins to train when the replicas of all hosts can. An error is another one's, or of one they wait for here."""
    left_alone = meeting.look()
    if not all(worker.sent for worker in _workers(runs)) and (devices := meeting.devices()):
        _let_go(runs, devices[0], progress)
    meeting.arrived([run.label for run in runs if run.workers[0].arrived is not None])
    if (error := deserted(_workers(runs), meeting.awaited(), left_alone)) is not None:
        raise error


def _workers(runs: Sequence[Run]) -> list[Worker]:
    return [worker for run in runs for worker in run.workers]


def _take(
    message: Any,
    worker: Worker,
    run: Run,
    runs: Sequence[Run],
    device: str,
    progress: Progress,
    meeting: Meeting | None,
) -> None:
    """Takes in what one of the workers reports."""
    worker.heard, worker.reported = time.monotonic(), 0.0
    match message:
        case None if worker.stays and worker.done is not None:
            pass  # if it was not told to leave, who asks it learns that
        case None:
            _finish(worker, run, progress)
        case Ready():
            worker.devices = message.devices
            if all(each.devices for each in _workers(runs)):
                devices = _devices(device, _workers(runs))
                if meeting is None:
                    _let_go(runs, devices[0], progress)
                else:
                    meeting.ready(devices)
        case Recorded():
            worker.steps = message.steps
            if worker is run.workers[0]:
                progress.advance(run.label, message.steps, message.epoch, message.loss)
        case Done():
            worker.done = message
            if worker.stays:
                _complete(run, worker, progress)
        case Made() | Refused():
            worker.answers.append(message)
        case Failed():
            worker.failed = message


def _let_go(runs: Sequence[Run], device: str, progress: Progress) -> None:
    """Lets those that wait train, all on one device."""
    go = Go(device)
    for run in runs:
        for worker in run.workers:
            if not worker.sent:
                worker.child.send(go)
                worker.sent, worker.heard = True, time.monotonic()
                progress.state(run.label, "training")


def _report_silence(workers: list[Worker], progress: Progress) -> None:
    """Says so when nothing was heard for long of a worker that does not wait for others."""
    started = all(worker.sent for worker in workers)
    for worker in workers:
        silent = time.monotonic() - worker.heard
        if (
            worker.child.silent
            or (worker.devices and not started)
            or (worker.trained and not worker.asked)
            or silent < max(_SILENT_SECONDS, 2 * worker.reported)
        ):
            continue
        worker.reported = silent
        progress.silent(worker.label, silent, None if worker.replica is None else worker.replica.index)


def _overdue(workers: list[Worker], request: Request) -> OverdueError:
    """What the user reads when the time is over."""
    late = [worker for worker in workers if not worker.trained or worker.asked]
    now = time.monotonic()
    states = (f"{w.label} {w.where}, silent for {now - w.heard:.0f} s, log {w.child.log}" for w in late)
    kept = ", ".join(dict.fromkeys(str(worker.trace) for worker in workers if worker.steps))
    return OverdueError(
        f"not done within --timeout {request.timeout:g} s",
        got=Verbatim("; ".join(states)),
        remedy=f"What was recorded so far: {kept}" if kept else None,
    )


def _finish(worker: Worker, run: Run, progress: Progress) -> None:
    """Judges a worker's end: all is well, or an error says what happened."""
    try:
        worker.child.process.wait(_LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        raise WorkerError(
            f"{worker.named} closed its pipe to xframe {worker.where}, and went on",
            expected="a task that closes only what it has opened",
            remedy=f"Log: {worker.child.log}",
        ) from None
    worker.ended = time.monotonic()
    if all(each.well for each in run.workers):
        _complete(run, worker, progress)
    elif run.size == 1:
        raise _failed(run, failure(worker), progress)


def _look_after(run: Run, progress: Progress) -> None:
    """Whether the replicas of a run get on: an error says which does not. A taken port is replaced."""
    if run.size == 1 or run.over:
        return
    if run.again and run.begun < PORTS_TRIED and not run.steps and port_was_taken(run.workers):
        run.start_again()
    elif (error := fault(run.workers)) is not None:
        raise _failed(run, error, progress)


def _failed(run: Run, error: XframeError, progress: Progress) -> XframeError:
    progress.end(run.label, run.steps, "failed")
    run.over = True
    return error


def _complete(run: Run, worker: Worker, progress: Progress) -> None:
    assert worker.done is not None
    run.over = True
    seconds = time.monotonic() - worker.began
    ending = "stopped, as asked" if worker.done.stopped else "trace complete"
    progress.end(run.label, worker.done.steps, f"{seconds:5.1f} s   {ending}")


def _devices(wanted: str, workers: list[Worker]) -> list[str]:
    """The devices that all can train on, the best first; the one that is wanted."""
    if wanted == "auto":
        shared = [d for d in workers[0].devices if all(d in worker.devices for worker in workers)]
        if not shared:
            has = "; ".join(f"{worker.label}: {', '.join(worker.devices)}" for worker in workers)
            raise UsageError("the adapters have no device in common", got=Verbatim(has), expected="one that all have")
        return shared
    for worker in workers:
        if wanted not in worker.devices:
            raise UsageError(
                f"device {wanted!r} is not there for adapter {worker.label!r}",
                got=wanted,
                expected="one of " + ", ".join(worker.devices),
                remedy="Use --device auto or cpu, or install the framework's build for that device.",
            )
    return [wanted]
