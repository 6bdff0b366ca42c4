"""The one launcher of child processes: for the harness' workers, the bench's loops, the self-test's adapters.

``start`` gives a child its first message, two pipes, a log file for all it prints, and a guard, ``guard.py``, that ends
it when this process is gone; ``listen`` returns what children report as it arrives; ``stop`` ends them all, and must be
called whatever happened. What the messages are is in ``xframe.running.messages``.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from xframe.errors import UsageError, WorkerError, printable, unwritable
from xframe.running import guard
from xframe.running.messages import decode, encode
from xframe.tasks.lookup import BREAKPOINT, REFUSED

_GRACE_SECONDS = 5.0  # for a child that is stopped to write what it has
_GUARD_SECONDS = 5.0  # for its guard to see to what is left of it then
_LOOK_SECONDS = 1.0  # between looks at whether a child that says nothing is still there
_LONGEST = 1 << 24  # bytes of a message


@dataclass(eq=False)
class Child:
    """A process that was started here."""

    label: str  # its name in messages
    log: Path  # where all it prints goes
    process: subprocess.Popen[bytes]  # its guard, which ends as it ends
    inlet: IO[bytes]  # of the pipe to it
    pipe: IO[bytes]  # from it
    kinds: tuple[type, ...]  # of the messages it may send
    silent: bool = False  # nothing more will arrive
    _lines: deque[bytes] = field(default_factory=deque)
    _rest: bytes = b""  # of a line that has not arrived in full

    def send(self, message: Any) -> None:
        """A message to it. A child that has died shows it by the end of its own messages."""
        with contextlib.suppress(BrokenPipeError):
            self.inlet.write(encode(message))

    def read(self) -> None:
        """Takes in what is on the pipe; waits if there is nothing.

        Raises:
            WorkerError: there is no end to a message.
        """
        data = os.read(self.pipe.fileno(), 1 << 16)
        self.silent = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(lines)
        if len(self._rest) > _LONGEST:
            raise self._junk(self._rest)

    def arrived(self) -> Iterator[Any]:
        """The messages that were read and not yet looked at.

        Raises:
            WorkerError: something is no message.
        """
        while self._lines:
            line = self._lines.popleft()
            try:
                message: Any = decode(line, self.kinds)
            except ValueError:
                raise self._junk(line) from None
            yield message

    def _junk(self, line: bytes) -> WorkerError:
        return WorkerError(
            f"process {self.label!r} wrote into xframe's pipe what is no message",
            got=line[:200],
            expected="a task that writes only into files which it has opened",
            remedy=f"Log: {self.log}",
        )

    def fate(self) -> str:
        """How the process ended; waits for that."""
        code = self.process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def last_words(self) -> str:
        """The last line it printed, as the end of a sentence."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines:
            return ""
        hint = ""
        if "No module named" in lines[-1] and "xframe" in lines[-1]:
            hint = " Install xframe-toolkit for that interpreter."
        return f". Its last words: {printable(lines[-1])[:200]}{hint}"


def start(
    module: str,
    first: Any,
    *,
    label: str,
    log: Path,
    kinds: tuple[type, ...],
    interpreter: str = sys.executable,
    variables: Mapping[str, str] | None = None,
    place: str = "",
    home: str = "",
    litter: Sequence[str] = (),
) -> Child:
    """Starts ``interpreter -m module NUMBER NUMBER``, where the numbers are the pipes to it and from it.

    The module's main goes through ``xframe.running.messages.report``; ``first`` is the first message to it. ``label``,
    ``log`` and ``kinds`` are those of ``Child``; ``variables`` are added to its environment. What it writes at
    ``place``, if anything is given there, goes ``home`` when this process is gone; the files of ``litter`` are removed.

    Raises:
        UsageError: the log cannot be written, or the interpreter not started.
    """
    try:
        output = log.open("wb")
    except OSError as error:
        raise unwritable("write the log", log, error) from None
    debugger = os.environ.get(BREAKPOINT) or REFUSED
    own = {"PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1", BREAKPOINT: debugger, **(variables or {})}
    theirs, inlet = os.pipe()
    pipe, reports = os.pipe()
    with output, os.fdopen(theirs, "rb"), os.fdopen(reports, "wb"):
        ours = os.fdopen(inlet, "wb", buffering=0), os.fdopen(pipe, "rb", buffering=0)
        try:
            # -P: what lies in the current folder is not in the way of what a framework imports.
            child = [_found(interpreter, label), "-P", "-m", module, str(theirs), str(reports)]
            options = [str(os.getpid()), str(_GRACE_SECONDS), place, home, os.pathsep.join(litter)]
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, *options, *child],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs, reports],
                env={**os.environ, **own},
                start_new_session=True,
            )
        except BaseException:
            for end in ours:
                end.close()
            raise
    started = Child(label, log, process, *ours, kinds)
    started.send(first)
    return started


def _found(interpreter: str, label: str) -> str:
    path = shutil.which(interpreter)
    if path is None:
        raise UsageError(f"cannot start {label!r} with that interpreter", got=interpreter, expected="a Python's path")
    return path


def listen(children: Iterable[Child], seconds: float | None = None) -> Iterator[tuple[Child, Any]]:
    """Each message as it arrives, and None when a child's messages are over; ends when those of all are.

    A list of children may get further ones meanwhile, which are listened to as well.

    Raises:
        TimeoutError: that long was listened, and some child could still report.
        WorkerError: what a child wrote is no message.
    """
    deadline = float("inf") if seconds is None else time.monotonic() + seconds
    while speaking := [child for child in children if not child.silent]:
        ended = {id(child) for child in speaking if child.process.poll() is not None}
        with selectors.DefaultSelector() as selector:
            for child in speaking:
                for message in child.arrived():
                    yield child, message
                selector.register(child.pipe, selectors.EVENT_READ, child)
            left = max(0.0, deadline - time.monotonic())
            ready = [key.data for key, _ in selector.select(0 if ended else min(_LOOK_SECONDS, left))]
        for child in speaking:
            if child in ready:
                child.read()
            elif id(child) in ended:  # a copy of it may hold the pipe
                child.silent = True
            for message in child.arrived():
                yield child, message
            if child.silent:
                yield child, None
        if time.monotonic() >= deadline and any(not child.silent for child in children):
            raise TimeoutError


def stop(children: Sequence[Child]) -> list[Child]:
    """Ends those that still run: asks first, so that they can write what they have, then by force. Returns them."""
    running = [child for child in children if child.process.poll() is None]
    for child in running:
        child.process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS + _GUARD_SECONDS
    for child in children:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()  # the guard; the kernel does the rest
            child.process.wait()
        child.pipe.close()
        child.inlet.close()
    return running
