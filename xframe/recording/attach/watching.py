"""``xframe.watch``: whatever trains inside its block is recorded, step by step, and nothing in it is changed.

with xframe.watch("new.trace"):
    train()
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xframe.errors import UsageError, Verbatim, counted, printable
from xframe.recording.attach.capturing import MEGABYTES, Capture
from xframe.recording.attach.continuing import resumed_with
from xframe.recording.attach.guarding import GuardedMachine
from xframe.recording.attach.instruments import Instrument, OnImport, available, untrained
from xframe.recording.identity import Kind, checked_kind, stated
from xframe.recording.recorder import Recorder, record
from xframe.recording.replicas import own_path
from xframe.trace.captured import beside, remove
from xframe.trace.source import exists_already

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan

_WATCHED: list[Path] = []  # one at most: frameworks are watched for the whole process
_LOCK = threading.Lock()


def watch(
    path: str | Path,
    *,
    replace: bool = False,
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    identity: Kind = "close",
    capture: int = 0,
    capture_mb: int = MEGABYTES,
    continues: str | Path | None = None,
    step: int | None = None,
) -> AbstractContextManager[Recorder]:
    """Records what trains inside the block into ``path``, and says on stderr when it ends what was recorded.

    What goes wrong in the recording does not stop the training: it is printed, and raised when the block ends.

    Args:
        path: the trace; must not exist. Of several replicas each has its own in a folder of that name.
        replace: whether an earlier trace there is replaced, as when a notebook's cell runs again. It is removed when
            the new one is closed, and stays if no step was recorded.
        plan, num_samples, metadata: as of ``xframe.record``.
        identity: how samples are known by their content, beside their index where there is one: ``close`` (up to
            rounding), ``exact``, ``layout`` (close, in any order of their values), or ``index``: not at all.
        capture: of so many updates at the beginning, and then of 2, 4, 8 ... times as many, the weights before and
            after, gradients, batch and outputs are kept, in a folder beside the trace: docs/howto/record.md.
        capture_mb: megabytes that are kept of them at most.
        continues, step: the trace of the run that this training resumes, and the run's first step here, as of
            ``xframe.record``; updates are counted on, and epochs are left unlabelled.

    Raises:
        UsageError: the trace exists or cannot be written, another is recorded in this process, several threads train.
    """
    path, identity = Path(path), checked_kind(identity)
    Capture.checked(capture, capture_mb)
    facts: dict[str, Any] = {"plan": plan, "num_samples": num_samples, "metadata": stated(identity, metadata)}
    facts |= {} if continues is None and step is None else {"continues": continues, "step": step}
    entered: list[bool] = []
    watching = _watching(path, replace, (identity, capture, capture_mb), facts, entered)
    weakref.finalize(watching, _warn_unless, entered, path)
    return watching


def _warn_unless(entered: list[bool], path: Path) -> None:
    if not entered:
        advice = f'write: with xframe.watch("{path}"): ..., with the training inside'
        warnings.warn(f"xframe.watch was called and never entered, so nothing is recorded: {advice}", stacklevel=3)


@contextmanager
def _watching(
    path: Path, replace: bool, how: tuple[Kind, int, int], facts: dict[str, Any], entered: list[bool]
) -> Iterator[Recorder]:
    entered.append(True)
    own = own_path(path)  # of one process the path itself
    with _alone(path), in_place_of(own, replace) as steps:
        machine, process = GuardedMachine(lambda: recorder, _report), os.getpid()
        machine.identity = how[0]
        machine.capture = capture = Capture.of(machine, *how[1:])
        if capture is not None:
            facts["metadata"] |= capture.metadata(own)
        recorder, frameworks = record(path, **facts), list[str]()
        recorder.counts_anew = True
        error: BaseException | None = None
        try:
            with recorder:
                try:
                    with _attached(machine, frameworks):
                        yield recorder
                finally:
                    machine.finish()
                if "continues" not in facts:
                    recorder.end_facts |= resumed_with(machine.updates_before)
                if machine.trouble is not None:
                    raise machine.trouble
        except BaseException as caught:
            error = caught
            raise
        finally:
            steps.append(recorder.num_steps)
            if process == os.getpid():
                captured = "" if capture is None else capture.words()
                _tell(own, recorder.num_steps, frameworks, error, captured)


def _tell(path: Path, steps: int, frameworks: list[str], error: BaseException | None, captured: str = "") -> None:
    """What was recorded, in the words of ``xframe record``."""
    left = "" if error is None else f", interrupted by {type(error).__name__}"
    if steps:
        words = f"{counted(steps, 'step')} recorded in {printable(path)}{captured}{left}"
    else:
        why = (
            untrained(frameworks)
            if error is None
            else f"{type(error).__name__} ended the block before its first update"
        )
        words = f"nothing was recorded: {why}"
    _say(words)


@contextmanager
def in_place_of(path: Path, replace: bool) -> Iterator[list[int]]:
    """An earlier trace stands aside until the new one is closed, and comes back if that one got no step.

    Yields:
        a list that takes the number of steps recorded.
    """
    if path.exists() and not replace:
        raise exists_already(path, "Remove it, choose another name, or say replace=True.")
    said, path, steps = printable(path), path.absolute(), list[int]()  # the block may go to another folder
    aside = _moved(path) if path.exists() else None
    try:
        yield steps
    finally:
        if aside is not None and any(steps):
            for file in beside(aside):
                remove(file)
        elif aside is not None:
            for file in beside(path)[1:]:
                remove(file)
            for file, place in zip(beside(aside), beside(path), strict=True):
                if file.exists():
                    file.replace(place)
            _say(f"{said} is the earlier trace, as it was")


def _moved(path: Path) -> Path:
    """Where an earlier trace stands now, with its weights; what is none is not moved."""
    from xframe.trace.trace import Trace

    Trace.open(path)
    names = (path.with_stem(f"{path.stem}-before" + (f"-{n}" if n > 1 else "")) for n in count(1))
    aside = next(name for name in names if not any(file.exists() for file in beside(name)))
    for file, place in zip(beside(path), beside(aside), strict=True):
        if file.exists():
            file.rename(place)
    return aside


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
def _attached(machine: GuardedMachine, names: list[str]) -> Iterator[None]:
    """The instruments of all frameworks that are imported, or will be; their names are added."""
    entries, attached = available(), []

    def attach(framework: str) -> None:
        instrument: Instrument = entries[framework].load()(machine)
        instrument.attach()
        attached.append(instrument)
        names.append(framework)

    finder = OnImport(list(entries), attach)
    try:
        finder.start()
        yield
    finally:
        finder.stop()
        while attached:
            attached.pop().detach()


def _report(error: Exception) -> None:
    _say(f"nothing more is recorded: {error}")


def _say(words: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # closed by the script, or none
        print(f"xframe: {words}", file=sys.stderr, flush=True)  # noqa: T201
