"""Finds the reader for a trace's file by its first bytes, the one place where its forms are distinguished."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path
from typing import BinaryIO

from xframe.trace import plainreader
from xframe.trace.head import other_format
from xframe.trace.journal import FAMILY, MAGIC, Journal
from xframe.trace.parquet import Closed
from xframe.trace.source import Source, not_a_trace, unreadable


def open_source(path: Path) -> Source:
    """Opens a file of any form and verifies it; the file is closed when nobody holds the source any more.

    Raises:
        NotATraceError: the file is no trace, or of a newer format.
        TraceError: the file is damaged.
    """
    try:
        file = path.open("rb")
        start = file.read(len(MAGIC))
        file.seek(0)
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        source = _reader(path, file, start)
    except BaseException:
        file.close()
        raise
    weakref.finalize(source, file.close)
    return source


def _reader(path: Path, file: BinaryIO, start: bytes) -> Source:
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
        raise other_format(path, start[len(FAMILY) :].split(b"\r")[0].decode(errors="replace"))
    raise not_a_trace(path)
