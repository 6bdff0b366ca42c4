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
from collections.abc import Sequence
from pathlib import Path

from xframe.errors import WorkerError, XframeError
from xframe.running.processes import Child
from xframe.running.runtime import Replica
from xframe.running.workers import Worker, failure

PORTS_TRIED = 3  # times that a run begins with other ports
_PORT_TAKEN = "Could not start gRPC server"  # TensorFlow binds its port itself, some time after it was found free
_GRACE = 2.0  # seconds for what the same fault does to the others to be seen, once one has ended
_MEETING = "xframe-meeting-"


def replicas(of: int, patience: float) -> tuple[Replica | None, ...]:
    """Those of a run in so many processes, which have a place to meet; of one process, none."""
    if of == 1:
        return (None,)
    meeting = str(Path(tempfile.gettempdir(), _MEETING + secrets.token_hex(16)))
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(of))
    return tuple(Replica(index, of, meeting, addresses, patience) for index in range(of))


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
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
        return _silent(late, "and the others have given up waiting for it")
    return failure(first)


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
        return _silent(min(stopped, key=stopped.__getitem__), "while the others wait for it")
    # All must come to the start, then to where they meet, then to the end.
    ready = {worker: worker.heard for worker in workers if worker.devices}
    arrived = {worker: worker.arrived for worker in workers if worker.arrived is not None}
    over = {worker: worker.ended for worker in workers if worker.ended is not None}
    for there in (ready, arrived, over):
        late = [worker for worker in workers if worker not in there and now > worker.heard + patience]
        if there and late and now > max(there.values()) + patience:
            return _silent(min(late, key=lambda worker: (worker.steps, worker.heard)), "while the others wait for it")
    return None


def _silent(worker: Worker, why: str) -> WorkerError:
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
