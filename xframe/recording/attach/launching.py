"""``xframe record``: a command runs as it is, and the Python process in it that trains records itself.

The command's environment leads Python to ``site/sitecustomize.py``. Each Python process that the command starts watches
the frameworks that it imports; the first that makes a step opens the trace.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from xframe.errors import UsageError, Verbatim, XframeError, counted
from xframe.recording.attach.instruments import available
from xframe.recording.attach.machine import Machine
from xframe.recording.recorder import Recorder, record
from xframe.trace.source import exists_already
from xframe.trace.trace import COMPLETE

_OUT, _SAID, _FRAMEWORKS = "XFRAME_OUT", "XFRAME_SAID", "XFRAME_FRAMEWORKS"
_SITE = Path(__file__).with_name("site")
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)


class Outcome(NamedTuple):
    """What came of a command: its exit code, how many steps were recorded (None: unknown), and that in words."""

    exit_code: int
    steps: int | None
    words: str


def run_recorded(command: Sequence[str], out: Path) -> Outcome:
    """Runs a command with its own input, output and signals, and records the training in it.

    Raises:
        UsageError: no command, none of that name, or the trace exists.
    """
    if not command:
        raise UsageError("no command to record", expected="-- python train.py, with its arguments")
    if out.exists():
        raise exists_already(out)
    if not out.absolute().parent.is_dir():
        raise UsageError("cannot write the trace", got=str(out), expected="a file in a folder that exists")
    with tempfile.TemporaryDirectory(prefix="xframe-") as folder:
        said = Path(folder) / "said"
        environment = {
            **os.environ,
            _OUT: str(out.absolute()),
            _SAID: str(said),
            _FRAMEWORKS: ",".join(available()),
            "PYTHONPATH": os.pathsep.join([str(_SITE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        code = _run(command, environment)
        words = [json.loads(line) for line in said.read_text().splitlines()] if said.exists() else []
    return Outcome(code, *_recorded(words, out))


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}

    def be_default() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        process = subprocess.Popen(command, env=environment, preexec_fn=be_default)
    except OSError as error:
        raise UsageError(f"cannot run {command[0]!r}", got=Verbatim(error.strerror or error)) from None
    for number in _PASSED_ON:
        before[number] = signal.signal(number, lambda which, _frame: process.send_signal(which))
    try:
        code = process.wait()
    finally:
        be_default()
    return code if code >= 0 else 128 - code


def _recorded(words: list[dict[str, Any]], out: Path) -> tuple[int | None, str]:
    """What the processes said: how many steps were recorded, and that in words."""
    lines = [str(word["trouble"]) for word in words if "trouble" in word]
    steps = sum(word.get("steps", 0) for word in words)
    if steps:
        lines.append(f"{counted(steps, 'step')} recorded in {out}")
    elif out.exists():
        lines.append(f"what trained did not end by itself; {out} has what was recorded until then")
        return None, "\n".join(lines)
    elif not any("attached" in word or "trouble" in word for word in words):
        lines.append(
            "nothing was recorded: the command ran no Python that imported a framework "
            "(python -I and -E hide from xframe)"
        )
    elif not lines:
        lines.append("nothing was recorded: a framework was imported, and nothing was trained with it")
    return steps, "\n".join(lines)


class _Here:
    """This process, which may train."""

    def __init__(self) -> None:
        self.machine = Machine(self._open)
        self._process = os.getpid()
        self._recorder: Recorder | None = None
        self._outcome = COMPLETE
        before = sys.excepthook

        def noted(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
            self._outcome = f"interrupted by {kind.__name__}"
            before(kind, error, at)

        sys.excepthook = noted
        atexit.register(self._close)

    def _open(self) -> Recorder:
        self._recorder = record(os.environ[_OUT])
        return self._recorder

    def _close(self) -> None:
        """When the process ends by itself."""
        if self._process != os.getpid():  # one that was forked since
            return
        self.machine.finish()
        if self._recorder is not None:
            self._recorder.close(self._outcome)
            say(steps=self._recorder.num_steps)


@cache
def _here() -> _Here:
    return _Here()


def say(**words: Any) -> None:
    """Tells the launcher."""
    with open(os.environ[_SAID], "a", encoding="utf-8") as file:
        file.write(json.dumps(words) + "\n")


def attach_here(framework: str) -> None:
    """Watches a framework that has just been imported. What goes wrong is said, and the script goes on."""
    try:
        available()[framework].load()(_here().machine).attach()
    except XframeError as error:
        say(trouble=f"nothing of {framework} is recorded: {error}")
    else:
        say(attached=framework)
