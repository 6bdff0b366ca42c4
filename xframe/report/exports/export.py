"""What the forms of an export share: what a form must do, and the trace's columns as text, block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from xframe.errors import UsageError, not_installed, printable
from xframe.trace.schema import BY_NAME, COLUMNS, FURTHER, LISTS, PRINTS
from xframe.trace.trace import Trace

COMPUTED = ("loss", "lr", "accuracy", *FURTHER)  # what curves are drawn of
COUNTED = ("batch_size", "updates", "epoch")


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
        return not_installed(f"exporting to {self.form}", error, self.extra)

    @classmethod
    def adds_to(cls, path: Path) -> bool:
        """Whether what is there takes one run more."""
        return False

    @cached_property
    def began(self) -> float:
        """When recording began, in seconds since 1970; 0 if that is not known."""
        try:
            return datetime.fromisoformat(self.trace.facts.started or "").timestamp()
        except (ValueError, OverflowError, OSError):
            return 0.0

    def at(self, time_ns: int | None) -> float:
        """The time of what was seen so long after recording began, in seconds since 1970."""
        return self.began + (time_ns or 0) / 1e9

    def facts(self) -> dict[str, str]:
        """What else is known of the run, by name, each a line: what it was, was set to, and ran with."""
        facts, named = self.trace.facts, ("task", "adapter", "loop", "num_samples", "num_validation", "platform")
        found: dict[str, Any] = {name: getattr(facts, name) for name in named}
        kinds = {"plan": facts.plan, "runtime": facts.runtime, "versions": facts.versions}
        for kind, of in {"counts": self.trace.counts().to_dict(), **kinds}.items():
            found |= {f"{kind}.{name}": value for name, value in of.items()}
        found |= self.trace.settings
        return {printable(name)[:200]: printable(value)[:500] for name, value in found.items() if value is not None}

    def validated(self) -> Iterator[tuple[int, float, dict[str, float]]]:
        """Each validation: the step before it, its time, and its results."""
        for one in self.trace.validations:
            results = {"validation/loss": one.loss, "validation/accuracy": one.accuracy}
            found = {name: number for name, number in results.items() if number is not None}
            yield max(one.after - 1, 0), self.at(one.time_ns), found

    def numbers(self, names: Sequence[str]) -> Iterator[tuple[int, float, dict[str, float]]]:
        """Each step, its time, and those of these columns that are known there."""
        for start, stop in self.trace.blocks():
            columns = {name: self.trace.between(name, start, stop) for name in ("time_ns", *names)}
            known = {name: None if mask is None else mask.tolist() for name, (_, mask) in columns.items()}
            values = {name: column.values.tolist() for name, column in columns.items()}
            for row in range(stop - start):
                here = {name: each[row] for name, each in values.items() if (mask := known[name]) is None or mask[row]}
                yield start + row, self.at(here.pop("time_ns", None)), here

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
