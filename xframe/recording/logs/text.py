"""Logs of lines of text, whose columns Arrow reads: what it leaves to be checked, and its arrays as columns."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xframe.errors import UsageError
from xframe.recording.logs import log
from xframe.recording.logs.log import Log, fits
from xframe.trace.schema import BY_NAME, DTYPES, Column


class TextLog(Log):
    """A file of lines."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not path.is_file():
            raise UsageError("cannot read the log", got=str(path), expected="a file")

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Each line with its number, from 1.

        Raises:
            UsageError: the file cannot be read, is no text in UTF-8, or has a line beyond all measure.
        """
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(iter(lambda: file.readline(log.LONGEST_LINE), b""), 1):
                    if len(line) == log.LONGEST_LINE:
                        self.refuse(number, "a line too long", None, f"less than {log.LONGEST_LINE:,} bytes")
                    if not line.isascii():
                        line.decode()
                    yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        except UnicodeDecodeError as error:
            self.refuse(number, "not text", str(error), "text in UTF-8")
        except OSError as error:
            problem = error.strerror or error
            raise UsageError("cannot read the log", got=str(self.path), expected=f"a file ({problem})") from None


def as_column(column: str, array: Any, kind: pa.DataType | None = None) -> Column | None:
    """An array of Arrow's as that column of a trace, nulls as unknown; None where one of its numbers may not fit.

    Args:
        kind: to read the array's text as numbers of this kind.
    """
    try:
        values: Any = (array if kind is None else array.cast(kind)).fill_null(0).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    # Arrow takes a number that is too large for an infinite one.
    if not fits(column, values).all() or (values.dtype.kind == "f" and np.isinf(values).any()):
        return None
    known = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    return Column(values.astype(DTYPES[BY_NAME[column].kind], copy=False), known)
