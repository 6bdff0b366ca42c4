"""Recorders that nobody closed, that were interrupted as they were closed, or whose process forked.

What a recorder holds is written when it is forgotten or Python exits, with a warning; the trace stays truncated, since
nothing shows that its run is over. A process that was forked from the recorder's has a copy of what it holds, writes
none of it, and can record nothing with it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from xframe.errors import UsageError, Verbatim, counted

if TYPE_CHECKING:
    from xframe.recording.recorder import Recorder

_MADE: weakref.WeakSet[Recorder] = weakref.WeakSet()
_ATTEMPTS = 20


def watch(recorder: Recorder) -> int:
    """Keeps an eye on a recorder that is being made; returns the process it is made in."""
    _MADE.add(recorder)
    return os.getpid()


def insist(finish: Callable[[], object]) -> None:
    """Does what must be done though exceptions come from outside, as Ctrl-C's do, and raises the first in the end.

    What fails of itself, as on a full disk, is tried twice.
    """
    first: BaseException | None = None
    failures = 0
    for _ in range(_ATTEMPTS):
        try:
            finish()
            break
        except BaseException as error:
            first = error if first is None else first
            failures += isinstance(error, Exception)
            if failures > 1:
                break
    if first is not None:
        raise first


def settle(recorder: Recorder, made_in: int) -> None:
    """Writes what a recorder of this process holds if nobody closed it, and warns."""
    if made_in != os.getpid() or recorder._writer.ended or recorder._settled:
        return
    tried, recorder._over, recorder._settled = recorder._over, True, True
    recorder._closed.set()
    try:
        insist(recorder.flush)
        kept = f"its rows are kept ({counted(recorder.num_steps, 'step')})"
    except Exception as error:
        kept = f"its last rows are lost ({type(error).__name__}: {error})"
    if not recorder._writer.kept:
        recorder._writer.discard()  # nothing was recorded
        if recorder.in_folder:
            with contextlib.suppress(OSError):  # another replica has recorded something
                recorder.path.parent.rmdir()
    if tried or not recorder._writer.kept:  # whoever tried to close it has got the error
        return
    warnings.warn(
        f"the recorder of {recorder._writer.path} was never closed: {kept}, and the trace counts as truncated, so no "
        "comparison of it passes. Record inside 'with xframe.record(...) as rec:', or end with rec.close().",
        RuntimeWarning,
        stacklevel=3,
    )


def refusal(made_in: int, what: str) -> UsageError:
    """Why a recorder made in that process takes no more: it was closed, or this process was forked from it."""
    if made_in != os.getpid():
        return UsageError(
            "the recorder belongs to the process that made it",
            got=Verbatim("a process forked from it"),
            expected=f"{what} of that process",
            remedy="Record in the child to a trace of its own.",
        )
    return UsageError("the trace is closed", expected=f"{what} before the recorder is left")


def flush_often(reference: weakref.ref[Recorder], closed: threading.Event, seconds: Callable[[], float]) -> None:
    """Until the recorder is closed, or gone. What goes wrong is raised by the next step, and tried again."""
    while not closed.wait(seconds()):
        recorder = reference()
        if recorder is None:
            return
        try:
            recorder.flush()
        except Exception as error:
            with recorder._lock:
                recorder._stop = error if recorder._stop is None else recorder._stop
        del recorder


@atexit.register
def settle_all() -> None:
    """Settles what recorders this process still has; Python's end calls it, and whoever leaves without that."""
    for recorder in list(_MADE):
        settle(recorder, recorder._process)


def _leave_to_the_parent() -> None:
    for recorder in list(_MADE):
        recorder._over, recorder._lock = True, threading.RLock()  # the other is held by a thread that is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
