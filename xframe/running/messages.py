"""What a process and its child say to each other: JSON lines, each message of a kind.

A message is a small frozen dataclass, and its line is ``{"kind": {"field": value, …}}``. The parent writes to the
child's standard input. The child writes to a pipe of its own, whose number is its first argument, so that whatever a
framework prints cannot be taken for a message. When its standard input ends, the parent is gone.

What every child says if it fails (``Failed``) and what the harness and its workers say is here; the bench and the
self-test have further kinds of their own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NoReturn, TypeVar

from xframe.errors import UsageError, XframeError

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Job:
    """To a worker, first: what to train, and where its trace goes."""

    adapter: str
    label: str  # of the run, in reports
    loop: str | None  # None for the adapter's first
    plan: dict[str, Any]  # as its ``to_dict`` returns it
    task: str
    runtime: dict[str, Any]  # as its ``to_dict`` returns it
    trace: str
    home: str = ""  # the folder that the worker takes it to when the harness is gone; empty: it stays


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: its framework is imported. Versions by package, devices from the best down."""

    devices: Sequence[str]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Go:
    """To a worker, when all are ready: train on that device."""

    device: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """From a worker: the steps that are in its trace so far, with the last one's epoch and loss."""

    steps: int
    epoch: int | None
    loss: float | None


@dataclass(frozen=True, slots=True)
class Done:
    """From a worker, last: its trace is complete."""

    steps: int
    setup_seconds: float  # until training began
    peak_memory: int | None  # of the process, in bytes; None where the system does not say


@dataclass(frozen=True, slots=True)
class Failed:
    """From any child, last: why it ends.

    ``usage``: what was asked for does not fit. ``missing``: a package is not installed. ``broken``: it is installed and
    cannot be imported.
    """

    text: str
    kind: Literal["failed", "usage", "missing", "broken"] = "failed"
    install: str = ""  # the command that installs what is missing


class FailedError(Exception):
    """Ends a child; ``message`` is what its parent gets."""

    def __init__(self, message: Failed) -> None:
        super().__init__(message.text)
        self.message = message


def encode(message: Any) -> bytes:
    """The line of a message."""
    return json.dumps({_kind(type(message)): asdict(message)}).encode() + b"\n"


def decode(line: bytes | str, kinds: Iterable[type[M]]) -> M:
    """The message of a line, which is of one of these kinds."""
    ((name, fields),) = json.loads(line).items()
    return {_kind(kind): kind for kind in kinds}[name](**fields)


def _kind(message: type) -> str:
    return message.__name__.lower()


class Parent:
    """A child's way back to its parent: messages on the file of that number, answers on standard input."""

    def __init__(self, number: int) -> None:
        self._file, self._input = os.fdopen(number, "wb", buffering=0), sys.stdin

    def send(self, message: Any) -> None:
        """One message, at once."""
        self._file.write(encode(message))

    def receive(self, kind: type[M]) -> M | None:
        """The next message, which is of that kind; None if the parent is gone."""
        line = self._input.readline()
        return decode(line, [kind]) if line else None

    def leave_with_it(self) -> None:
        """From now on this process gets SIGTERM when its parent is gone. Nothing can be received any more."""
        threading.Thread(target=self._leave, daemon=True).start()

    def _leave(self) -> None:
        # Not self._input.read(): a process forked while that waits, as a DataLoader's are, would find its lock taken.
        while os.read(self._input.fileno(), 1 << 10):
            pass
        os.kill(os.getpid(), signal.SIGTERM)


def report(number: int, work: Callable[[Parent], None]) -> int:
    """A child's life: does the work, lets the parent know if it fails, and returns the exit code."""
    parent = Parent(number)
    try:
        work(parent)
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        traceback.print_exc()
        parent.send(_failure(error))
        return error.exit_code if isinstance(error, XframeError) else 3
    return 0


def _failure(error: BaseException) -> Failed:
    if isinstance(error, FailedError):
        return error.message
    if isinstance(error, XframeError):
        return Failed(str(error), "usage" if isinstance(error, UsageError) else "failed")
    return Failed(f"{type(error).__name__}: {error}")


def leave(code: int) -> NoReturn:
    """Ends this process at once: a framework's own teardown can crash or hang after all is written."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
