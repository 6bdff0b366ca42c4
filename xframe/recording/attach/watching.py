"""``xframe.watch``: whatever trains inside its block is recorded, step by step, and nothing in it is changed.

with xframe.watch("new.trace"):
    train()
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xframe.errors import UsageError, Verbatim
from xframe.recording.attach.guarding import GuardedMachine
from xframe.recording.attach.instruments import Instrument, OnImport, available
from xframe.recording.identity import Kind, checked_kind, stated
from xframe.recording.recorder import Recorder, record
from xframe.trace.source import exists_already

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan

_WATCHED: list[Path] = []  # one at most: frameworks are watched for the whole process
_LOCK = threading.Lock()


@contextmanager
def watch(
    path: str | Path,
    *,
    replace: bool = False,
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    identity: Kind = "close",
) -> Iterator[Recorder]:
    """Records what trains inside the block into ``path``.

    What goes wrong in the recording does not stop the training: it is printed, and raised when the block ends.

    Args:
        path: the trace; must not exist.
        replace: whether an earlier trace there is removed first, as when a notebook's cell runs again.
        plan, num_samples, metadata: as of ``xframe.record``.
        identity: how samples are known by their content, beside their index where there is one: ``close`` (up to
            rounding), ``exact``, ``layout`` (close, in any order of their values), or ``index``: not at all.

    Raises:
        UsageError: the trace exists or cannot be written, another is recorded in this process, several threads train.
    """
    path, identity = Path(path), checked_kind(identity)
    with _alone(path):
        if replace:
            _remove(path)
        elif path.exists():
            raise exists_already(path, "Remove it, choose another name, or say replace=True.")
        with record(path, plan=plan, num_samples=num_samples, metadata=stated(identity, metadata)) as recorder:
            machine = GuardedMachine(lambda: recorder, _report)
            machine.identity = identity
            try:
                with _attached(machine):
                    yield recorder
            finally:
                machine.finish()
            if machine.trouble is not None:
                raise machine.trouble


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Refuses a second watch at once, in this thread or another."""
    with _LOCK:
        here = sys.modules.get("xframe.recording.attach.here")
        other = _WATCHED[0] if _WATCHED else here.Here.current.out if here and here.Here.current else None
        if other is not None:
            raise UsageError(
                "this process is recorded already",
                got=Verbatim(f"{path}, while {other} is recorded"),
                expected="one 'with xframe.watch(...)' at a time, and none in a command that xframe record runs",
            )
        _WATCHED.append(path)
    try:
        yield
    finally:
        _WATCHED.clear()


@contextmanager
def _attached(machine: GuardedMachine) -> Iterator[None]:
    """The instruments of all frameworks that are imported, or will be."""
    entries, attached = available(), []

    def attach(framework: str) -> None:
        instrument: Instrument = entries[framework].load()(machine)
        instrument.attach()
        attached.append(instrument)

    finder = OnImport(list(entries), attach)
    try:
        finder.start()
        yield
    finally:
        finder.stop()
        while attached:
            attached.pop().detach()


def _remove(path: Path) -> None:
    """An earlier trace, with its weights; what is none is not removed."""
    from xframe.trace.trace import Trace
    from xframe.trace.weights import weights_path

    if path.exists():
        Trace.open(path)
        for file in (path, weights_path(path)):
            file.unlink(missing_ok=True)


def _report(error: Exception) -> None:
    with suppress(OSError, ValueError):  # closed by the script
        print(f"xframe: nothing more is recorded: {error}", file=sys.stderr, flush=True)  # noqa: T201
