"""What the kinds of logs share: blocks of rows, strict numbers, and errors that say where.

A kind reads blocks fast where every value is what it should be beyond doubt. Where one is not, it hands the cells
to ``Log.numbers`` or ``Log.ids``, which decide one by one, and refuse the first that cannot be with its line.
"""

from __future__ import annotations

import codecs
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xframe.errors import UsageError, Verbatim, printable, shown
from xframe.files.limits import opened
from xframe.trace.schema import BY_NAME, DTYPES, Column
from xframe.trace.trace import COMPLETE

BLOCK_ROWS = 1 << 16
BLOCK_BYTES = 1 << 22  # of text; more where a single row has more
LONGEST_LINE = 1 << 24  # bytes; two million ids in a row
MOST_NAMES = 10_000  # of columns

_LARGEST = 2**63 - 1
_EXACT = 2**53  # below it a float is one whole number and no other
_LEAVE_OUT = "Leave the column out, in Python with columns={{{0!r}: ''}}, on the command line with --column {0}="


def counts(column: str) -> bool:
    """Whether that column of a trace holds whole numbers."""
    return BY_NAME[column].kind == "int64"


def expected(column: str) -> str:
    """Which numbers that column takes, in words."""
    return "a whole number from 0 up" if counts(column) else "a finite number" if column == "lr" else "a number"


def fit(column: str, number: float) -> int | float | None:
    """The number as that column holds it; None where it takes no such number: see ``expected``.

    3.0 is a whole number too, as a log that has gaps writes it.
    """
    if counts(column):
        whole = type(number) is int or (abs(number) < _EXACT and number == int(number))
        return int(number) if whole and 0 <= number <= _LARGEST else None
    try:
        real = float(number)
    except OverflowError:
        return None
    return real if column != "lr" or math.isfinite(real) else None  # what is computed may be any number


def fits(column: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the numbers ``fit`` takes."""
    fitting: NDArray[np.bool_]
    if not counts(column):
        fitting = np.isfinite(values) | (column != "lr")
    elif values.dtype.kind == "f":
        fitting = (values >= 0) & (values < _EXACT) & (values == np.trunc(values))
    else:
        fitting = values >= 0
    return fitting


class Ids(NamedTuple):
    """The sample ids of a block one after the other, and how many each row has."""

    flat: NDArray[np.int64]
    sizes: NDArray[np.int64]


class Block(NamedTuple):
    """Consecutive rows of a log.

    Attributes:
        columns: the numbers, by the trace's names.
        ids: the samples' ids, if the log has them.
        line: the line of the log on which a row stands, by its index in the block; 0 where a log has no lines.
    """

    num_rows: int
    columns: dict[str, Column]
    ids: Ids | None
    line: Callable[[int], int]


class Log:
    """One log, opened.

    Attributes:
        form: the kind of log, as the command line calls it.
        endings: of the names of such files.
        names: of its columns.
        ending: ``complete``, or ``truncated`` where the log breaks off inside a record.
    """

    form: ClassVar[str]
    endings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.ending = COMPLETE

    @property
    def name(self) -> str:
        """What an error calls the file."""
        return printable(self.path.name)

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether such a log lies there, by its name."""
        return path.suffix.lower() in cls.endings

    def blocks(self, used: Mapping[str, str]) -> Iterator[Block]:
        """All rows in order.

        Args:
            used: by the trace's name of a column, its name in the log.

        Raises:
            UsageError: a value is not what its column takes, or the file is no such log.
        """
        raise NotImplementedError

    def candidates(self, column: str, usual: Sequence[str]) -> list[str]:
        """The log's columns that could be that one of a trace, by the names that are usual for it."""
        return [name for name in self.names if name.strip().lower() in usual]

    def value(self, cell: Any) -> int | float | None:
        """The number in a cell; None where it is none."""
        return cell if type(cell) in (int, float) else None

    def members(self, cell: Any) -> Iterable[int]:
        """The ids in a cell; a ValueError where it has none, or something else."""
        if type(cell) is not list or not set(map(type, cell)) <= {int}:
            raise ValueError
        return cell

    def numbers(self, column: str, name: str, cells: Sequence[Any], line: Callable[[int], int]) -> Column:
        """A column of numbers, cell by cell; an empty cell is unknown."""
        values = np.zeros(len(cells), dtype=DTYPES[BY_NAME[column].kind])
        known = np.zeros(len(cells), dtype=bool)
        for i, cell in enumerate(cells):
            if cell is None or (isinstance(cell, str) and not cell.strip()):
                continue
            number = self.value(cell)
            fitted = None if number is None else fit(column, number)
            if fitted is None:
                self.refuse_cell(line(i), cell, column, name, expected(column))
            values[i], known[i] = fitted, True
        return Column(values, None if known.all() else known)

    def ids(self, name: str, cells: Sequence[Any], line: Callable[[int], int]) -> Ids:
        """The column of the samples' ids, cell by cell."""
        flat, sizes = array("q"), []
        for i, cell in enumerate(cells):
            before = len(flat)
            try:
                flat.extend(self.members(cell))
            except (ValueError, OverflowError):
                self.refuse_cell(line(i), cell, "ids", name, "sample ids: integers below 2**63, in every row")
            sizes.append(len(flat) - before)
        return Ids(np.array(flat, dtype=np.int64), np.array(sizes, dtype=np.int64))

    def refuse(
        self, line: int, what: str, got: str | None, expected: str | None = None, remedy: str | None = None
    ) -> NoReturn:
        """Raises the error that this line of the log (0: the log as a whole) cannot be imported."""
        where = f"{self.name}, line {line}" if line else self.name
        shown = None if got is None else Verbatim(got if len(got) <= 100 else got[:99] + "…")
        raise UsageError(f"{where}: {what}", got=shown, expected=expected, remedy=remedy)

    def refuse_cell(self, line: int, cell: Any, column: str, name: str, expected: str) -> NoReturn:
        """Raises the error that this cell is not what its column takes."""
        called = column if name == column else f"{column} (column {shown(name, 100)})"
        missing = cell is None or cell == ""
        remedy = None if column in ("step", "batch_size") else _LEAVE_OUT.format(column)
        self.refuse(line, f"the {called}", "nothing" if missing else repr(cell), expected, remedy)


class TextLog(Log):
    """A file of lines."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not path.is_file():
            raise UsageError("cannot read the log", got=str(path), expected="a regular file")

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Each line with its number, from 1.

        Raises:
            UsageError: the file cannot be read, is no text in UTF-8, or has a line beyond all measure.
        """
        try:
            with opened(self.path) as file:
                for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
                    if len(line) == LONGEST_LINE:
                        self.refuse(number, "a line too long", None, f"less than {LONGEST_LINE:,} bytes")
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
