"""Runs whose replicas have a process each: where these meet, and which of them is at fault when the run ends badly.

When one of them dies, hangs or never comes, the others' framework fails too, after its own patience, or waits without
end. What the user reads is the one it began with: one that died by a signal or by an error of its own, before one that
says nothing, before those whose errors say that another one is gone.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from xframe.errors import WorkerError, XframeError
from xframe.running.processes import Child
from xframe.running.runtime import Replica
from xframe.running.workers import LeftError, Worker, failure

PORTS_TRIED = 3  # times that a run begins with other ports
_PORT_TAKEN = "Could not start gRPC server"  # TensorFlow binds its port itself, some time after it was found free
_GRACE = 2.0  # seconds for what the same fault does to the others to be seen, once one has ended
_MEETING = "xframe-meeting-"
_WAITING = "while the others wait for it"
_GIVEN_UP = "and the others have given up waiting for it"


def replicas(of: int, patience: float) -> tuple[Replica | None, ...]:
    """Those of a run in so many processes, which have a place to meet; of one process, none."""
    if of == 1:
        return (None,)
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(of))
    meeting = new_meeting()
    return tuple(Replica(index, of, meeting, addresses, patience) for index in range(of))


def new_meeting() -> str:
    """The name of a file on this machine that nobody has made."""
    return str(Path(tempfile.gettempdir(), _MEETING + secrets.token_hex(16)))


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody has now; of any of this machine's addresses if ``host`` is empty."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((host, 0))
        return [one.getsockname()[1] for one in sockets]


def leave_no_meeting(workers: Sequence[Worker]) -> None:
    """Removes what replicas that are gone have left where they met."""
    for worker in workers:
        if worker.replica is not None:
            for file in worker.replica.litter:
                with contextlib.suppress(OSError):
                    Path(file).unlink(missing_ok=True)


def port_was_taken(workers: Sequence[Worker]) -> bool:
    """Whether one of them ended since another program had taken its port meanwhile."""
    ended = [worker for worker in workers if worker.ended is not None and not worker.well]
    return any(_PORT_TAKEN in (one.failed.text if one.failed else one.child.last_words()) for one in ended)


def fault(workers: Sequence[Worker]) -> XframeError | None:
    """The error that a run of several replicas ends with, once it is clear; None while all is well, or not clear.

    To be asked about every second, of all the run's workers.
    """
    for worker in workers:
        _look_at(worker)
    bad = [worker for worker in workers if worker.ended is not None and not worker.well]
    if not bad:
        return _absence(workers)
    going = [worker for worker in workers if worker.ended is None]
    first = min(bad, key=_suspicion)
    kind, _ = _suspicion(first)
    if going and kind > _DIED and time.monotonic() < min(worker.ended or 0.0 for worker in bad) + _GRACE:
        return None
    if going and kind > _FAILED:
        late = min(going, key=lambda worker: (worker.steps, worker.heard))
        return silent(late, _GIVEN_UP)
    error = failure(first)
    if kind <= _FAILED:
        return error
    return LeftError(error.what, got=error.got, expected=error.expected, remedy=error.remedy)


def deserted(workers: Sequence[Worker], awaited: Mapping[str, float], given_up: bool) -> XframeError | None:
    """The error of a replica here that says nothing for too long while those elsewhere wait for it.

    ``awaited`` has for how many seconds they have waited where the framework meets, by run; or they have ``given_up``.
    """
    now = time.monotonic()
    for worker in sorted(workers, key=lambda worker: worker.heard):
        if worker.replica is None or worker.ended is not None or now <= worker.heard + worker.replica.patience:
            continue
        if given_up:
            return silent(worker, _GIVEN_UP)
        if worker.arrived is None and awaited.get(worker.label, 0.0) > worker.replica.patience:
            return silent(worker, _WAITING)
    return None


_DIED, _FAILED, _ABORTED, _LEFT = range(4)  # how late in a chain of events an end must be


def _suspicion(worker: Worker) -> tuple[int, float]:
    """How late in the chain of events a worker's bad end must be, and when it was."""
    if worker.failed is not None:
        kind = _LEFT if worker.failed.kind == "left" else _FAILED
    else:  # some frameworks abort the process when another one is gone
        kind = _ABORTED if worker.child.process.returncode == -signal.SIGABRT else _DIED
    return kind, worker.ended or 0.0


def _look_at(worker: Worker) -> None:
    """Notes since when it is where all meet, and since when it is stopped."""
    now = time.monotonic()
    if worker.arrived is None and worker.replica is not None and Path(worker.replica.arrival).exists():
        worker.arrived = now
    worker.stopped = (worker.stopped or now) if worker.ended is None and is_stopped(worker.child) else None


def _absence(workers: Sequence[Worker]) -> XframeError | None:
    """What there is to say of one that the others wait for, some frameworks without end."""
    now, patience = time.monotonic(), max(one.replica.patience for one in workers if one.replica is not None)
    stopped = {worker: worker.stopped for worker in workers if worker.stopped is not None}
    if stopped and now > min(stopped.values()) + patience:
        return silent(min(stopped, key=stopped.__getitem__), _WAITING)
    # All must come to the start, then to where they meet, then to the end.
    ready = {worker: worker.heard for worker in workers if worker.devices}
    arrived = {worker: worker.arrived for worker in workers if worker.arrived is not None}
    over = {worker: worker.ended for worker in workers if worker.ended is not None}
    for there in (ready, arrived, over):
        late = [worker for worker in workers if worker not in there and now > worker.heard + patience]
        if there and late and now > max(there.values()) + patience:
            return silent(min(late, key=lambda worker: (worker.steps, worker.heard)), _WAITING)
    return None


def silent(worker: Worker, why: str) -> WorkerError:
    """What the user reads of one that says nothing."""
    seconds = time.monotonic() - worker.heard
    state = "is stopped, as by SIGSTOP," if is_stopped(worker.child) else f"has said nothing for {seconds:.0f} s,"
    return WorkerError(f"{worker.named} {state} {why}, {worker.where}", remedy=worker.files)


def is_stopped(child: Child) -> bool:
    """Whether a child's process is stopped by a signal, as far as the system says."""
    with contextlib.suppress(OSError, IndexError):  # there is no /proc, or it has just ended
        guard = child.process.pid
        (number, *_) = Path(f"/proc/{guard}/task/{guard}/children").read_text(encoding="ascii").split() or ["none"]
        return Path(f"/proc/{number}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"
    return False
