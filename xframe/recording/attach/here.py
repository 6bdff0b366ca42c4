"""A process under ``xframe record`` that may train: opens a trace with its first step, and closes it when it ends."""

from __future__ import annotations

import atexit
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from xframe.errors import UsageError
from xframe.recording.attach.capturing import Capture
from xframe.recording.attach.continuing import Continuing, resumed_with
from xframe.recording.attach.guarding import GuardedMachine
from xframe.recording.attach.proving import prove
from xframe.recording.identity import checked_kind, stated
from xframe.recording.recorder import Recorder, record
from xframe.trace.captured import beside
from xframe.trace.ranks import rank_path
from xframe.trace.trace import COMPLETE


class Here:
    """This process, and each that is forked from it.

    Attributes:
        current: of this process, if it is one.
        machine: what its instruments speak to.
        out: the trace that the command was to be recorded to.
    """

    current: Here | None = None

    def __init__(
        self,
        out: str,
        say: Callable[..., None],
        trouble: Callable[[str], None],
        identity: str,
        capture: tuple[int, int],
        proof: str = "",
        continues: str = "",
    ) -> None:
        self.machine = GuardedMachine(self._open, self._stopped)
        self.machine.identity = checked_kind(identity)
        self.machine.capture = Capture.of(self.machine, *capture)
        prove(self.machine, proof, say)
        self.out, self._say, self._trouble = Path(out), say, trouble
        self._continues = Continuing.of(continues)
        self._recorder: Recorder | None = None
        self._closing = self._goes_on = False
        Here.current = self
        atexit.register(self._close)
        os.register_at_fork(after_in_child=self._forked)
        for name in ("_exit", "execv", "execve"):
            self._close_before(name)

    def _open(self) -> Recorder:
        """A trace of this process's own: the first that trains has the name asked for, the next NAME-2.trace.

        Replicas share a folder of that name; where their launcher starts them all again, they share the next.
        """
        replica = self.machine.replica
        several = replica[1] > 1
        for number in count(1 + (_restarts() if several else 0)):
            path = self.out.with_stem(f"{self.out.stem}-{number}") if number > 1 else self.out
            file = rank_path(path, replica[0]) if several else path
            try:
                before = self._continues.options(self.machine.updates_before, replica) if path == self.out else {}
                self._recorder = record(path, metadata=self._metadata(file), replica=replica, **before)
                self._recorder.counts_anew, self._goes_on = True, bool(before)
                break
            except UsageError:
                if not any(map(os.path.lexists, beside(file))) and not (several and path.is_file()):
                    raise
        self._say(opened=str(file), **({"replica": replica, "folder": str(path)} if several else {}))
        self._outlast_a_pool()
        assert self._recorder is not None
        return self._recorder

    def _metadata(self, path: Path) -> dict[str, Any]:
        capture, seen = (
            self.machine.capture,
            {"replica_split": self.machine.split, "replica_losses": self.machine.losses},
        )
        metadata = {} if capture is None else capture.metadata(path)
        return stated(self.machine.identity, metadata | {name: one for name, one in seen.items() if one is not None})

    def _outlast_a_pool(self) -> None:
        """A pool of processes ends its workers by SIGTERM, though they have done all that they had to."""
        multiprocessing = sys.modules.get("multiprocessing")
        if multiprocessing is None or multiprocessing.parent_process() is None:
            return
        if threading.current_thread() is not threading.main_thread() or (
            signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        ):
            return

        def close(number: int, _frame: Any) -> None:
            if self._closing:  # the worker ends by itself just now, and goes on to do so
                return
            self._close("interrupted by SIGTERM")
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        signal.signal(signal.SIGTERM, close)

    def _stopped(self, error: Exception) -> None:
        begun = "nothing more is recorded" if self._recorder is not None else "nothing is recorded"
        self._trouble(f"{begun}, and the script goes on: {error or type(error).__name__}")

    def _forked(self) -> None:
        self._recorder = None

    def _close_before(self, name: str) -> None:
        """Closes the trace before a function of ``os`` that ends what this process is."""
        original = getattr(os, name)

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            code = args[0] if args else kwargs.get("status")
            self._close(f"interrupted by os._exit({code})" if name == "_exit" and code != 0 else COMPLETE)
            return original(*args, **kwargs)

        setattr(os, name, call)

    def _close(self, outcome: str | None = None) -> None:
        """When the process ends by itself, or is about to become another."""
        self._closing = True
        recorder, self._recorder = self._recorder, None
        try:
            self.machine.finish()
            recorder = recorder or self._recorder  # the first step may have waited for the end
            if recorder is not None:
                resumed = {} if self._goes_on else resumed_with(self.machine.updates_before)
                recorder.end_facts |= resumed
                recorder.close(outcome or self._outcome())
                captured = "" if self.machine.capture is None else self.machine.capture.words()
                self._say(ended=str(recorder.path), steps=recorder.num_steps, captured=captured, **resumed)
        except Exception as error:
            self._trouble(f"the last steps are lost: {error or type(error).__name__}")
        self.machine.closed()
        self._closing = False
        if isinstance(getattr(sys, "last_value", None), KeyboardInterrupt):
            # Python ends by the signal, as a shell expects it, if this was the last that evaluated code raised. Closing
            # has imported modules, some of which evaluate code.
            with suppress(KeyboardInterrupt):
                exec("raise KeyboardInterrupt")  # noqa: S102

    def _outcome(self) -> str:
        if self.machine.trouble is not None:
            return f"interrupted by {type(self.machine.trouble).__name__}"
        error = getattr(sys, "last_value", None)  # of the exception that ended the script, whatever its hook did
        return COMPLETE if error is None else f"interrupted by {type(error).__name__}"


def _restarts() -> int:
    """How often torchrun has started all ranks again."""
    stated = os.environ.get("TORCHELASTIC_RESTART_COUNT", "")
    return int(stated) if stated.isdecimal() else 0
