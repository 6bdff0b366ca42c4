"""What a process and its child say to each other: JSON lines, each message of a kind.

A message is a small frozen dataclass, and its line is ``{"kind": {"field": value, …}}``. They go through two pipes of
their own, whose numbers are the child's arguments: what a framework prints cannot be taken for a message, and what a
task reads from standard input, which is empty, cannot be one. When the pipe to the child ends, the parent is gone.

What every child says if it fails (``Failed``) and what the harness and its workers say is here; the bench and the
self-test have further kinds of their own.
"""

from __future__ import annotations

import bdb
import contextlib
import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import TypeAdapter

from xframe.errors import UsageError, XframeError
from xframe.running.checkpoints import NOTHING_KEPT, Wanted
from xframe.running.runtime import Replica
from xframe.tasks.lookup import NO_TERMINAL

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
    optimizer: dict[str, Any] | None = None  # in place of the task's own, as its ``to_dict`` returns it
    stays: bool = False  # after its training, to answer what its parent asks, see ``judging_messages``
    checkpoints: Wanted = NOTHING_KEPT  # what to keep, where to stop, what to go on from
    replica: Replica | None = None  # which of the run's it is, where they have a process each; ``trace`` is a folder


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
    """From a worker, last but for what it is asked if it stays: its trace is complete."""

    steps: int
    setup_seconds: float  # until training began
    peak_memory: int | None  # of the process, in bytes; None where the system does not say
    processor_share: float | None = None  # of the training's seconds, those that its threads had a processor
    train_seconds: float = 0.0
    stopped: bool = False  # it was to stop there


@dataclass(frozen=True, slots=True)
class Failed:
    """From any child, last: why it ends.

    ``usage``: what was asked for does not fit. ``missing``: a package is not installed. ``broken``: it is installed and
    cannot be imported. ``full``: the disk is, or a file has the largest size that it may have. ``left``: another
    replica is gone, or was not heard of for too long.
    """

    text: str
    kind: Literal["failed", "usage", "missing", "broken", "full", "left"] = "failed"
    install: str = ""  # the command that installs what is missing


class FailedError(Exception):
    """Ends a child; ``message`` is what its parent gets."""

    def __init__(self, message: Failed) -> None:
        super().__init__(message.text)
        self.message = message


def encode(message: Any) -> bytes:
    """The line of a message."""
    return json.dumps({_kind(type(message)): asdict(message)}).encode() + b"\n"


def decode(line: bytes | str, kinds: Iterable[type]) -> Any:
    """The message of a line, which is of one of these kinds.

    Raises:
        ValueError: it is none.
    """
    try:
        ((name, fields),) = json.loads(line).items()
        kind = {_kind(kind): kind for kind in kinds}[name]
    except (AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(f"no message: {error}") from None
    return _checker(kind).validate_python(fields)


def _kind(message: type) -> str:
    return message.__name__.lower()


@cache
def _checker(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


class Parent:
    """A child's way back to its parent: messages out of the pipe of one number, and into that of the other."""

    def __init__(self, numbers: Sequence[str]) -> None:
        self._numbers = reading, writing = [int(number) for number in numbers]
        self._process = os.getpid()
        self._input, self._output = os.fdopen(reading, "rb", closefd=False), os.fdopen(writing, "wb", 0, closefd=False)
        self._pipes = [self._pipe(number) for number in self._numbers]
        for number in self._numbers:
            os.set_inheritable(number, False)  # a program that the task starts in this one's place has no part in them

    def send(self, message: Any) -> None:
        """One message, at once. A parent that is gone does not get it; this process will soon be asked to stop.

        Raises:
            XframeError: this is a copy of the process, or its pipes were closed.
        """
        self._check()
        with contextlib.suppress(BrokenPipeError):
            self._output.write(encode(message))

    def receive(self, kind: type[M]) -> M | None:
        """The next message, which is of that kind; None if the parent is gone.

        Raises:
            XframeError: this is a copy of the process, or its pipes were closed.
        """
        self._check()
        line = self._input.readline()
        return decode(line, [kind]) if line else None

    def _check(self) -> None:
        # What a task did to the process it runs in; a number that was closed may be that of another file by now.
        if os.getpid() != self._process:
            raise XframeError("a copy of the worker went on", got=os.getpid(), expected="a fork that ends by os._exit")
        if [self._pipe(number) for number in self._numbers] != self._pipes:
            raise XframeError("the pipes to xframe were closed", expected="a task that closes only what it opened")

    @staticmethod
    def _pipe(number: int) -> tuple[int, int] | None:
        """What identifies an open file."""
        try:
            status = os.fstat(number)
        except OSError:
            return None
        return status.st_dev, status.st_ino


def report(numbers: Sequence[str], work: Callable[[Parent], None]) -> int:
    """A child's life: does the work, lets the parent know if it fails, and returns the exit code."""
    try:
        parent = Parent(numbers)
    except (OSError, ValueError):
        print("xframe: a worker was started by itself: only xframe can, with pipes to it", file=sys.stderr)  # noqa: T201
        return 2
    try:
        work(parent)
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        with contextlib.suppress(Exception):  # first: where the disk is full, the traceback cannot be printed
            parent.send(_failure(error))
        with contextlib.suppress(OSError):
            traceback.print_exc()
        return error.exit_code if isinstance(error, XframeError) else 3
    return 0


def _failure(error: BaseException) -> Failed:
    if isinstance(error, FailedError):
        return error.message
    if isinstance(error, XframeError):
        return Failed(str(error), "usage" if isinstance(error, UsageError) else "failed")
    if isinstance(error, bdb.BdbQuit):
        return Failed(NO_TERMINAL)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Failed(f"{error.strerror}{f': {error.filename}' if error.filename else ''}", "full")
    return Failed(f"{type(error).__name__}: {error}")


def leave(code: int) -> NoReturn:
    """Ends this process at once: a framework's own teardown can crash or hang after all is written."""
    with contextlib.suppress(OSError):  # a full disk
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)
