"""What the forms of an export share: what a form must do, and the trace's columns as text, block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from xframe.errors import UsageError, Verbatim
from xframe.trace.schema import BY_NAME, COLUMNS, LISTS, PRINTS
from xframe.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote.

    Attributes:
        form, path: as they were asked for.
        rows: steps in the trace.
        columns: of the trace that were written.
        remarks: sentences on what the form cannot hold.
    """

    form: str
    path: Path
    rows: int
    columns: tuple[str, ...]
    remarks: tuple[str, ...] = ()


class Export(ABC):
    """One form.

    Attributes:
        form: as the command line calls it.
        extra: of this distribution that it needs; empty if none.
        states_ending: it can say that a run was cut short, so that it takes such a run.
    """

    form: ClassVar[str]
    extra: ClassVar[str] = ""
    states_ending: ClassVar[bool] = False

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.remarks: list[str] = []

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to write: those of which the trace has any value."""
        unknown, rows = self.trace.source.unknown, self.trace.num_rows
        return tuple(name for name in COLUMNS if name not in PRINTS and unknown[name] < rows)

    @abstractmethod
    def write(self, path: Path) -> None:
        """Writes a new file or folder; whoever calls it removes what a failure leaves."""

    def missing(self, error: ImportError) -> UsageError:
        """The error that the form's library is not installed."""
        return UsageError(
            f"exporting to {self.form} needs a package that is not installed",
            got=Verbatim(error),
            remedy=f"Install it: pip install 'xframe-toolkit[{self.extra}]'",
        )

    def blocks(self) -> Iterator[dict[str, Any]]:
        """The columns' Arrow arrays, by name, a block of the file at a time."""
        source = self.trace.source
        for block in range(len(source.bounds) - 1):
            yield {name: source.read(block, name) for name in self.columns}


class RowsAsText(Export):
    """A form of rows of text, which ``xframe import`` reads; it lists ids if every row has them."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that the importers can take: ids and batch sizes where every row has them."""
        every = ("ids", "batch_size")
        return tuple(name for name in super().columns if name not in every or self.trace.known_throughout(name))

    def note_ids(self) -> None:
        """Says what is lost where samples are not listed."""
        if not self.trace.has_ids:
            self.remarks.append(
                "not every step lists its samples' ids, so none are written: an import of it is certified without them"
            )


def texts(name: str, array: Any, *, separator: str, brackets: tuple[str, str] = ("", "")) -> Any:
    """A column as an Arrow array of text that reads back as the same values; null where a value is unknown.

    Args:
        separator: between the ids of a list.
        brackets: around a list.
    """
    if name not in LISTS:
        if BY_NAME[name].kind == "digest":
            return pa.array([value.hex() if value is not None else None for value in array.to_pylist()], pa.string())
        text = array.cast(pa.string())
        return pc.if_else(pc.equal(text, "-0"), "-0.0", text)  # as a whole number it would lose its sign
    members = pa.ListArray.from_arrays(array.offsets, array.values.cast(pa.string()))
    return pc.binary_join_element_wise(brackets[0], pc.binary_join(members, separator), brackets[1], "")
