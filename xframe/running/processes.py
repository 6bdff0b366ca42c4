"""The one launcher of child processes: for the harness' workers, the bench's loops, the self-test's adapters.

``start`` gives a child its first message, a pipe to report on and a log file for all it prints; ``listen`` returns
what children report as it arrives; ``stop`` ends them all, and must be called whatever happened. What the messages
are is in ``xframe.running.messages``.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from xframe.errors import UsageError, printable
from xframe.running.messages import decode, encode

_GRACE_SECONDS = 5.0  # for a child that is stopped to write what it has


@dataclass(eq=False)
class Child:
    """A process that was started here."""

    label: str  # its name in messages
    log: Path  # where all it prints goes
    process: subprocess.Popen[bytes]
    pipe: IO[bytes]
    kinds: tuple[type, ...]  # of the messages it may send
    silent: bool = False  # nothing more will arrive
    _lines: deque[bytes] = field(default_factory=deque)
    _rest: bytes = b""  # of a line that has not arrived in full

    def send(self, message: Any) -> None:
        """A message to its standard input. A child that has died shows it by the end of its own messages."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(encode(message))
            self.process.stdin.flush()

    def read(self) -> None:
        """Takes in what is on the pipe; waits if there is nothing."""
        data = os.read(self.pipe.fileno(), 1 << 16)
        self.silent = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(lines)

    def arrived(self) -> Iterator[Any]:
        """The messages that were read and not yet looked at."""
        while self._lines:
            yield decode(self._lines.popleft(), self.kinds)

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
) -> Child:
    """Starts ``interpreter -m module NUMBER``, where NUMBER is the pipe to report on.

    The module's main goes through ``xframe.running.messages.report``; ``first`` is the first message to it. ``label``,
    ``log`` and ``kinds`` are those of ``Child``; ``variables`` are added to its environment.

    Raises:
        UsageError: the log cannot be written, or the interpreter not started.
    """
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
                start_new_session=True,  # Ctrl-C is for the parent, which lets its children write what they have
            )
    except OSError as error:
        os.close(reading)
        raise UsageError(
            f"cannot start {label!r} with that interpreter", got=interpreter, expected=f"a Python ({error})"
        ) from None
    finally:
        os.close(writing)
    child = Child(label, log, process, os.fdopen(reading, "rb", buffering=0), kinds)
    child.send(first)
    return child


def listen(children: Iterable[Child], seconds: float | None = None) -> Iterator[tuple[Child, Any]]:
    """Each message as it arrives, and None when a child's messages are over; ends when those of all are.

    A list of children may get further ones meanwhile, which are listened to as well.

    Raises:
        TimeoutError: that long was listened, and some child could still report.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while speaking := [child for child in children if not child.silent]:
        with selectors.DefaultSelector() as selector:
            for child in speaking:
                for message in child.arrived():
                    yield child, message
                selector.register(child.pipe, selectors.EVENT_READ, child)
            ready = selector.select(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        for key, _ in ready:
            child = key.data
            child.read()
            for message in child.arrived():
                yield child, message
            if child.silent:
                yield child, None


def stop(children: Sequence[Child]) -> list[Child]:
    """Ends those that still run: asks first, so that they can write what they have, then by force. Returns them."""
    running = [child for child in children if child.process.poll() is None]
    for child in running:
        child.process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for child in children:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        child.pipe.close()
        if child.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                child.process.stdin.close()
    return running
