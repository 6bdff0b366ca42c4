"""A run's worker processes as the harness sees them, and what the user reads of one that ended badly."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xframe.errors import StoppedError, UsageError, Verbatim, WorkerError, XframeError
from xframe.running.judging_messages import Made, Refused
from xframe.running.messages import Done, Failed
from xframe.running.processes import Child
from xframe.running.runtime import Replica

_STOPPED = (130, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)  # how a worker ends that was asked to


class LeftError(WorkerError):
    """A replica failed only since another one is gone, or was not heard of for too long."""


@dataclass(eq=False)
class Worker:
    """A child process that trains, and what it reported."""

    child: Child
    trace: Path  # of its run
    replica: Replica | None = None
    devices: Sequence[str] = ()
    sent: bool = False  # was let go
    steps: int = 0
    began: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)  # when it last said something
    reported: float = 0.0  # how long it had been silent when that was last reported
    done: Done | None = None
    failed: Failed | None = None
    ended: float | None = None  # when, as all times here
    arrived: float | None = None  # where the replicas meet
    stopped: float | None = None  # since when its process is, by a signal
    stays: bool = False  # after its training, to be asked
    asked: int = 0  # questions without an answer
    answers: deque[Made | Refused] = field(default_factory=deque)

    @property
    def label(self) -> str:
        """Of its run."""
        return self.child.label

    @property
    def named(self) -> str:
        """As a sentence begins."""
        which = "" if self.replica is None else f"replica {self.replica.index} of "
        return f"{which}worker {self.label!r}"

    @property
    def trained(self) -> bool:
        """Nothing more will come of it, or nothing unless it is asked."""
        return self.child.silent or (self.stays and self.done is not None)

    @property
    def well(self) -> bool:
        """It has ended, and all of its run was made."""
        return self.ended is not None and self.done is not None and self.child.process.poll() == 0

    @property
    def where(self) -> str:
        """How far it is, as the end of a sentence."""
        return f"after {self.steps:,} recorded steps" if self.steps else "before its first recorded step"

    @property
    def files(self) -> str:
        """What there is to look at, in sentences."""
        kept = f"What was recorded so far: {self.trace}. " if self.steps else ""
        return f"{kept}Log: {self.child.log}"


def failure(worker: Worker) -> XframeError:
    """What the user reads of a worker that has ended, and not well."""
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
    if failed is not None and failed.kind == "full":
        limited = failed.text.startswith(os.strerror(errno.EFBIG))
        room = "Raise the largest size of a file (ulimit -f)" if limited else "Free some space"
        remedy = f"{room}, or choose another place with --out. {worker.files}"
        got = failed.text if ": " in failed.text else f"{failed.text}: {worker.trace}"
        return WorkerError(f"{worker.named} could not write {worker.where}", got=Verbatim(got), remedy=remedy)
    if failed is not None:
        first_line = Verbatim(failed.text.partition("\n")[0])  # the rest, and the traceback, are in the log
        return WorkerError(f"{worker.named} failed {worker.where}", got=first_line, remedy=worker.files)
    kind = StoppedError if worker.child.process.returncode in _STOPPED else WorkerError
    remedy = worker.files + worker.child.last_words()
    return kind(f"{worker.named} {worker.child.fate()} {worker.where}", remedy=remedy)
