"""A folder of its own for each of the runs that go on at once, so that none can name what another writes.

An adapter that looked for another's trace could record that in place of its own. So while several runs go on, each has
its trace and weights in a folder with a name drawn at random, in one that does not list its names, and the run's folder
has none of them; when all have ended they are taken there. That is a screen and no wall: a process that may read every
file, as root may, can search the disk, and what earlier runs left lies where it lies.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from xframe.running.guard import take_home


@contextlib.contextmanager
def apart(traces: Sequence[Path]) -> Iterator[list[Path]]:
    """Where runs whose traces are to be there write them; afterwards what each has written is where it is to be.

    The traces are to be in one folder. One alone is written there at once; the folders of several are made by their
    guards, which take what is in them home too if this process is killed.
    """
    if len(traces) == 1:
        yield list(traces)
        return
    folder = traces[0].resolve().parent / f".running-{secrets.token_hex(8)}"
    places = [folder / secrets.token_hex(16) / trace.name for trace in traces]
    try:
        yield places
    finally:
        with contextlib.suppress(FileNotFoundError):
            folder.chmod(0o700)  # first: what is left if this process is killed can be read
        for place, trace in zip(places, traces, strict=True):
            take_home(place, trace.parent)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
