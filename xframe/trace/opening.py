"""Opens one file of any form of a trace, and verifies it, whatever else the run may have."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path
from typing import BinaryIO

from xframe.errors import printable
from xframe.files.limits import opened
from xframe.trace import plainreader
from xframe.trace.agreement import verified
from xframe.trace.journal import FAMILY, MAGIC, Journal
from xframe.trace.parquet import Closed
from xframe.trace.source import FORMAT, newer, not_a_trace, unreadable

File = Closed | Journal


def open_source(path: Path) -> File:
    """Opens a file of any form and verifies it; the file is closed when nobody holds the source any more."""
    try:
        file = opened(path)
        start = file.read(len(MAGIC))
        file.seek(0)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise unreadable(path, error) from None
    try:
        source = _reader(path, file, start)
        source.certificate, source.fingerprints = verified(path, source)
    except BaseException:
        file.close()
        raise
    weakref.finalize(source, file.close)
    return source


def _reader(path: Path, file: BinaryIO, start: bytes) -> File:
    """The reader for a file with these first bytes, by which its forms are distinguished."""
    if start == MAGIC:
        return Journal(path, file)
    if start.startswith(b"PAR1"):
        return Closed(path, file)
    if plainreader.is_plain(start):
        with file, tempfile.TemporaryDirectory(prefix="xframe-") as folder:
            converted = Path(folder) / "converted.trace"
            plainreader.convert(path, converted)
            return open_source(converted)  # a file that is open stays readable without its name
    if start.startswith(FAMILY):
        version = printable(start[len(FAMILY) :].split(b"\r")[0].decode(errors="replace"))
        raise newer(path, f"is a trace of format {version}", f"format {FORMAT}")
    raise not_a_trace(path)
