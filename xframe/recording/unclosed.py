"""Recorders that nobody closed: what they hold is written when they are forgotten or Python exits, with a warning.

The trace stays truncated, since nothing shows that its run is over. A process that was forked from the recorder's has a
copy of what it holds, and writes none of it.
"""

from __future__ import annotations

import atexit
import os
import warnings
import weakref
from typing import TYPE_CHECKING

from xframe.errors import counted

if TYPE_CHECKING:
    from xframe.recording.recorder import Recorder

_MADE: weakref.WeakSet[Recorder] = weakref.WeakSet()


def watch(recorder: Recorder) -> int:
    """Keeps an eye on a recorder that is being made; returns the process it is made in."""
    _MADE.add(recorder)
    return os.getpid()


def settle(recorder: Recorder, made_in: int) -> None:
    """Writes what a recorder of this process holds if nobody closed it, and warns."""
    if recorder._over or made_in != os.getpid() or not recorder.num_steps:
        return
    recorder._over = True
    recorder._closed.set()
    try:
        recorder.flush()
        kept = f"its rows are kept ({counted(recorder.num_steps, 'step')})"
    except Exception as error:
        kept = f"its last rows are lost ({type(error).__name__}: {error})"
    warnings.warn(
        f"the recorder of {recorder._writer.path} was never closed: {kept}, and the trace counts as truncated, so no "
        "comparison of it passes. Record inside 'with xframe.record(...) as rec:', or end with rec.close().",
        RuntimeWarning,
        stacklevel=3,
    )


@atexit.register
def _settle_all() -> None:
    for recorder in list(_MADE):
        settle(recorder, recorder._process)
