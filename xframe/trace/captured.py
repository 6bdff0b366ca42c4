"""Updates of a script taken apart: a folder beside the trace, with the file of a Record for each that was captured.

The folder of ``NAME.trace`` is ``NAME.captured``; of the update with index 12 of the first optimizer it has
``update-000012.safetensors``, of that of the second one ``update-000012-1.safetensors``. The trace's end has a digest
of each file, and why others are not there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xframe.errors import StateError, counted
from xframe.state.record import Record, read_record
from xframe.trace.pieces import Continued
from xframe.trace.source import damaged
from xframe.trace.weights import weights_path

if TYPE_CHECKING:
    from xframe.trace.trace import Trace

_REPLICA = re.compile(r"\d+\.trace")
_FILE = re.compile(r"update-(\d{6,18})(?:-([1-9]\d{0,8}))?\.safetensors")


class Captured(NamedTuple):
    """One captured update.

    Attributes:
        update: its index among those of its optimizer, from 0; optimizer: that one's number, by when it first stepped.
        path: its file.
        digest: of the file, as the trace vouches for it; None where nobody closed the trace.
    """

    update: int
    optimizer: int
    path: Path
    digest: str | None = None

    def read(self) -> Record:
        """Its record.

        Raises:
            TraceError: the file is damaged, or not the one that was written.
        """
        try:
            return read_record(self.path, self.digest)
        except StateError as error:
            raise damaged(self.path, str(error.got)) from None


def captured_path(trace: Path) -> Path:
    """The folder of what was captured beside ``trace``."""
    return trace.with_name(f"{trace.name.removesuffix('.trace') or trace.name}.captured")


def file_name(update: int, optimizer: int) -> str:
    """Of the file of an update."""
    return f"update-{update:06}{f'-{optimizer}' if optimizer else ''}.safetensors"


def captured_of(trace: Trace) -> list[Captured]:
    """What was captured beside a trace, by update and then by optimizer; empty if none was.

    Of a run in several traces, beside the first, up to where the next goes on: each process counts its own updates.

    Raises:
        TraceError: a file that the trace vouches for is not there, or the folder of them all.
    """
    if isinstance(trace.source, Continued):
        values, known = trace.between("updates", trace.source.starts[1] - 1, trace.source.starts[1])
        made = int(values[0]) if len(values) and known is None else 0
        return [one for one in captured_of(type(trace).open(trace.files[0])) if one.update < made]
    folder = captured_path(trace.path)
    if not folder.is_dir():
        if kept := ((trace.end or {}).get("captured") or {}).get("files"):
            files = counted(len(kept), "captured update")
            why = f"it is not there, and the trace has digests of {files} in it; it goes with a trace that is moved"
            raise damaged(folder, why)
        return []
    names = dict.fromkeys(os.listdir(folder))
    vouched = (trace.end.get("captured") or {}).get("files", {}) if trace.end else names
    found = [
        Captured(*_numbers(name), folder / name, digest) for name, digest in vouched.items() if _FILE.fullmatch(name)
    ]
    if lost := [one.path for one in found if one.path.name not in names]:
        raise damaged(lost[0], "it is not there, and the trace has its digest")
    return sorted(found)


def left_out(trace: Trace) -> str | None:
    """Why nothing was captured beside a trace, where something was to be; else None."""
    stated = ((trace.end or {}).get("captured") or {}) if not captured_path(trace.path).is_dir() else {}
    return next(iter((stated.get("left_out") or {}).values()), None) if not stated.get("files") else None


def _numbers(name: str) -> tuple[int, int]:
    update, optimizer = _FILE.fullmatch(name).groups()  # type: ignore[union-attr]
    return int(update), int(optimizer or 0)


def beside(trace: Path) -> tuple[Path, ...]:
    """A trace and all that may lie beside it and is of it."""
    return trace, weights_path(trace), captured_path(trace)


def remove(path: Path) -> None:
    """Removes a file, or a folder of captured updates or of replicas' traces, of which nothing else is removed."""
    if path.is_dir() and not path.is_symlink():
        for name in os.listdir(path):
            if _FILE.fullmatch(name):
                (path / name).unlink()
            elif _REPLICA.fullmatch(name):
                for file in beside(path / name):
                    remove(file)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
