"""``xframe record``: a command runs as it is, and each Python process in it that trains is recorded by itself.

The command's environment leads Python to ``site/sitecustomize.py``. Each Python process that the command starts watches
the frameworks that it imports (``here.py``); with its first step it opens a trace. What it has to say it writes into a
file that only the launcher reads.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from xframe.errors import UsageError, Verbatim, unwritable
from xframe.files.new import remove_left
from xframe.recording.attach.capturing import MEGABYTES, Capture
from xframe.recording.attach.continuing import NOTHING_BEFORE, Continuing
from xframe.recording.attach.here import Here
from xframe.recording.attach.instruments import available
from xframe.recording.attach.reporting import recorded
from xframe.recording.attach.watching import in_place_of
from xframe.recording.identity import checked_kind
from xframe.recording.replicas import own_path
from xframe.trace.source import exists_already

_SITE = Path(__file__).absolute().with_name("site")
_PASSED_ON = [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
_ENDING = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
_GRACE = 0.5  # seconds in which what a command leaves behind may end

Words = dict[str, Any]


class Outcome(NamedTuple):
    """What came of a command: its exit code, how many steps were recorded (None: unknown), and that in words.

    Attributes:
        said: what its processes reported, each a JSON object.
    """

    exit_code: int
    steps: int | None
    words: str
    said: tuple[Words, ...] = ()


def run_recorded(
    command: Sequence[str],
    out: Path,
    identity: str = "close",
    *,
    replace: bool = False,
    capture: tuple[int, int] = (0, MEGABYTES),
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
    continues: Continuing = NOTHING_BEFORE,
    patience: float | None = None,
) -> Outcome:
    """Runs a command with its own input, output and signals, and records the training in it.

    Args:
        command, out: what runs, and the trace.
        identity: how samples are known by their content, as of ``xframe.watch``.
        replace: whether an earlier trace there is replaced: when the command has ended and has trained.
        capture: of how many updates at the beginning the state and stages are kept, and of how many megabytes.
        environment: what is added to the command's.
        log: a file that takes what it prints.
        continues: the trace of the run up to here, where the command resumes one.
        patience: seconds in which the command, with all that it started, may end once this process is asked to, as by
            Ctrl-C; a second time it is killed at once. None: it ends when it likes, and what came of it is returned.

    Raises:
        KeyboardInterrupt: it was asked to end, and ``patience`` is given; nothing of the command runs any more.
        UsageError: no command, none of that name, the trace exists or cannot be written.
        TraceError: what it continues is damaged, or none.
    """
    if not command:
        raise UsageError("no command to record", expected="-- python train.py, with its arguments")
    Capture.checked(*capture)
    own = own_path(out)  # each replica may have a recorded command of its own
    _look_at(own, replace=replace)
    added = {**(environment or {}), **continues.environment()}
    with in_place_of(own, replace) as steps:
        outcome = _run_recorded(command, out, identity, capture, added, log, patience)
        steps.append(own.exists() if outcome.steps is None else outcome.steps)
    return outcome


def _run_recorded(
    command: Sequence[str],
    out: Path,
    identity: str,
    capture: tuple[int, int],
    added: Mapping[str, str],
    log: Path | None,
    patience: float | None,
) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="xframe-") as folder:
        said = Path(folder) / "said"
        environment = {
            **os.environ,
            **added,
            "XFRAME_OUT": str(out.absolute()),
            "XFRAME_SAID": str(said),
            "XFRAME_STDERR": _own_stderr(),
            "XFRAME_FRAMEWORKS": ",".join(available()),
            "XFRAME_IDENTITY": checked_kind(identity),
            "XFRAME_CAPTURE": " ".join(map(str, capture)),
            "PYTHONPATH": os.pathsep.join([str(_SITE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        ending = None if patience is None else _Ending(patience, said)
        try:
            with nullcontext() if log is None else log.open("ab") as output:
                code = _run(command, environment, output, ending)
            if ending is not None and ending.asked:
                raise KeyboardInterrupt
            words = _settled(said)
            _clear(words)
        except KeyboardInterrupt:
            if ending is not None:
                ending.kill()
            raise
        return Outcome(code, *recorded(words, out, code), tuple(words))


def _own_stderr() -> str:
    """Which file this process writes its own words to, as its processes know it; empty if to none."""
    try:
        place = os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):
        return ""
    return f"{place.st_dev} {place.st_ino}"


def _look_at(out: Path, *, replace: bool) -> None:
    """Refuses a trace that could not be written, before hours of training and not after them."""
    if os.path.lexists(out) and not replace:
        raise exists_already(out, "Remove it, choose another name, or say --replace.")
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.absolute().parent):
            pass
    except OSError as error:
        raise unwritable("write the trace", out, error, "Choose a file in a folder that exists.") from None


class _Ending:
    """Of a command that has to end if this process is asked to.

    Attributes:
        asked: by which signals it was.
        process: the command, once it runs.
    """

    def __init__(self, patience: float, said: Path) -> None:
        self.asked = list[int]()
        self.process: subprocess.Popen[bytes] | None = None
        self._patience, self._said = patience, said
        self._last: threading.Timer | None = None

    def ask(self, number: int) -> None:
        """This process was asked to end; a second time, and when its patience ends, all are killed."""
        self.asked.append(number)
        if self._last is None:
            self._last = threading.Timer(self._patience, self.kill)
            self._last.daemon = True
            self._last.start()
        else:
            self.kill()

    def kill(self) -> None:
        """Kills it, and what it has started, where the system shows what that is."""
        if self.process is not None:
            self.process.kill()
        deadline = time.monotonic() + self._patience
        while (left := [one for one in _processes() if _runs(one, self._said)]) and time.monotonic() < deadline:
            for number in left:
                with suppress(OSError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(_GRACE / 100)

    def done(self) -> None:
        """The command has ended."""
        if self._last is not None:
            self._last.cancel()


def _run(command: Sequence[str], environment: dict[str, str], output: Any = None, ending: _Ending | None = None) -> int:
    """Runs it; its exit code, as a shell has it."""
    early = list[int]()  # asked to end before there is a command

    def note(number: int, _frame: FrameType | None) -> None:
        early.append(number)

    held, handler = ((signal.SIGINT, signal.SIGQUIT), signal.SIG_IGN) if ending is None else (_ENDING, note)
    before: dict[int, Any] = {number: signal.signal(number, handler) for number in held}

    def be_default() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        # Descriptors that a shell opened for the command are passed on too; those of this process are never inherited.
        process = subprocess.Popen(
            command, env=environment, preexec_fn=be_default, close_fds=False, stdout=output, stderr=output
        )
    except OSError as error:
        be_default()
        remedy = "Begin with the interpreter: -- python train.py" if command[0].endswith(".py") else None
        what = f"cannot run {command[0]!r}"
        raise UsageError(what, got=Verbatim(error.strerror or error), remedy=remedy) from None

    def pass_on(number: int, _frame: FrameType | None = None) -> None:
        if ending is not None and number in _ENDING and before[number] != signal.SIG_IGN:
            ending.ask(number)
        if number in _PASSED_ON or not _in_a_terminal():  # a terminal sends Ctrl-C to the command too
            process.send_signal(number)

    for number in _PASSED_ON:
        before.setdefault(number, signal.getsignal(number))
        signal.signal(number, pass_on)
    if ending is not None:
        ending.process = process
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, pass_on)
    try:
        for one in early:
            pass_on(one)
        code = process.wait()
    finally:
        be_default()
        if ending is not None:
            ending.done()
    return code if code >= 0 else 128 - code


def _in_a_terminal() -> bool:
    """Whether a terminal sends its signals to this process, and so to the command."""
    try:
        with open("/dev/tty") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _settled(said: Path) -> list[Words]:
    """What the processes said; of those that the command left behind only the ones that stay are marked as running."""
    deadline = time.monotonic() + _GRACE
    while True:
        words = [json.loads(line) for line in said.read_text().splitlines()] if said.exists() else []
        running = [process for process in sorted({word["process"] for word in words}) if _runs(process, said)]
        if not (running or _left(said)) or time.monotonic() > deadline:
            return [*words, *({"running": process} for process in running)]
        time.sleep(_GRACE / 10)


def _clear(words: Sequence[Words]) -> None:
    """Removes what a process left that was killed as it closed its trace: the trace is as it was before."""
    over = {word["ended"] for word in words if "ended" in word}
    running = {word["running"] for word in words if "running" in word}
    for word in words:
        if "opened" in word and word["opened"] not in over and word["process"] not in running:
            remove_left(Path(word["opened"]))


def _left(said: Path) -> bool:
    """Whether the command has left any process behind, which may not have said so yet."""
    return any(_runs(number, said) for number in _processes())


def _processes() -> list[int]:
    """All that run, where the system lists them."""
    return [int(name.name) for name in Path("/proc").glob("[0-9]*")]


def _runs(process: int, said: Path) -> bool:
    """Whether it still runs; its number may be that of a different process by now."""
    try:
        os.kill(process, 0)
        if Path("/proc/self/environ").exists():
            return os.fsencode(said) in Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return False
    return True


@cache
def _here(
    out: str,
    say: Callable[..., None],
    trouble: Callable[[str], None],
    identity: str,
    capture: tuple[int, int],
    proof: str,
    continues: str,
) -> Here:
    return Here(out, say, trouble, identity, capture, proof, continues)


def attach_here(
    framework: str,
    out: str,
    say: Callable[..., None],
    trouble: Callable[[str], None],
    identity: str = "close",
    capture: tuple[int, int] = (0, MEGABYTES),
    proof: str = "",
    continues: str = "",
) -> None:
    """Watches a framework that has just been imported. What goes wrong is said, and the script goes on."""
    try:
        here = _here(out, say, trouble, identity, capture, proof, continues)
        available()[framework].load()(here.machine).attach()
    except Exception as error:
        trouble(f"nothing of {framework} is recorded: {error or type(error).__name__}")
    else:
        say(attached=framework)
