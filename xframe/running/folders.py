"""A folder of its own for each of the runs that go on at once, so that none can name what another writes.

An adapter that looked for another's trace could record that in place of its own. So while several runs go on, each has
its trace and weights in a folder with a name drawn at random, in one that does not list its names, and the run's folder
has none of them; when all have ended they are taken there. That is a screen and no wall: a process that may read every
file, as root may, can search the disk, and what earlier runs left lies where it lies.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

_UNLISTED = 0o300  # what is in the folder can be opened by its name, and its names cannot be read


@contextlib.contextmanager
def apart(traces: Sequence[Path]) -> Iterator[list[Path]]:
    """Where runs whose traces are to be there write them; afterwards what each has written is where it is to be.

    The traces are to be in one folder. One alone is written there at once.
    """
    if len(traces) == 1:
        yield list(traces)
        return
    folder = Path(tempfile.mkdtemp(prefix=".running-", dir=traces[0].resolve().parent))
    places = [folder / secrets.token_hex(16) / trace.name for trace in traces]
    for place in places:
        place.parent.mkdir(mode=0o700)
    folder.chmod(_UNLISTED)
    try:
        yield places
    finally:
        for place, trace in zip(places, traces, strict=True):
            take_home(place, trace.parent)
        folder.rmdir()


def take_home(trace: Path, folder: Path) -> None:
    """Moves that trace, and what lies beside it, into the folder, if nobody has done so."""
    if trace.parent == folder:
        return
    with contextlib.suppress(FileNotFoundError):
        for file in trace.parent.iterdir():
            shutil.move(file, folder / file.name)
        trace.parent.rmdir()
