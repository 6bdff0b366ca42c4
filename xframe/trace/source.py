"""What every reader of a trace's file offers, whichever form the file has, its head, and how a file is refused.

Since the head states the columns, new evidence needs no new format. A reader ignores an optional column that it
doesn't know, and refuses a required one; a column that it knows and the file lacks is unknown throughout.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from xframe.errors import NotATraceError, TraceError, UsageError, Verbatim, printable, shown
from xframe.trace.arrow import column_of
from xframe.trace.schema import BY_NAME, COLUMNS, GROUPS, TABLE, Column, joined, unknown_column
from xframe.trace.stated import Head, fitted

FORMAT = 1


class Source(Protocol):
    """A verified file: its rows, in blocks, and what stands beside them.

    Attributes:
        metadata: what is known of the run.
        columns: the names of the columns that the file has, of those that this version of xframe knows.
        end: the end record; empty if truncated.
        num_rows: rows in all.
        bounds: the first row of each block, and ``num_rows``.
        unknown: for every column of the schema, how many rows have no value.
        digests: of each block, by the groups ``covered`` and ``finite``; None if the file has none.
        covered: the columns that each digest covers, by group.
        validations: those made between the rows, as JSON objects.
        checkpoints: those written between the rows, likewise.
        settings: what was set, by name; empty if the file states none.
        whole: columns of a file of one block that were read, and are kept beside its Arrow arrays.
        certificate: of the rows; made from them when the file is opened.
    """

    metadata: dict[str, Any]
    columns: tuple[str, ...]
    end: dict[str, Any]
    num_rows: int
    bounds: list[int]
    unknown: dict[str, int]
    digests: list[dict[str, str]] | None
    covered: dict[str, list[str]]
    validations: list[dict[str, Any]]
    checkpoints: list[dict[str, Any]]
    settings: dict[str, Any]
    whole: dict[str, Column]
    certificate: str

    def read(self, block: int, name: str) -> Any:
        """A block's column, one of ``columns``, as an Arrow array."""


def read_between(source: Source, name: str, start: int, stop: int) -> Column:
    """Rows ``start`` to ``stop`` (excluded) of a column; unknown throughout if the file doesn't have it."""
    bounds = source.bounds
    if name not in source.columns:
        return unknown_column(name, max(min(stop, bounds[-1]) - max(start, 0), 0))
    if len(bounds) == 2 and start <= 0 and stop >= bounds[1]:
        if name not in source.whole:
            source.whole[name] = column_of(source.read(0, name), 0, bounds[1])
        return source.whole[name]
    first = max(bisect_right(bounds, start) - 1, 0)
    pieces: list[tuple[Column, int]] = []
    for i in range(first, len(bounds) - 1):
        low, high = bounds[i], bounds[i + 1]
        if low >= stop:
            break
        if high > start:
            begin, end = max(start - low, 0), min(stop, high) - low
            pieces.append((column_of(source.read(i, name), begin, end), end - begin))
    return joined(pieces) if pieces else Column(unknown_column(name, 0).values)


def head_of(metadata: Mapping[str, Any], names: Collection[str] = COLUMNS) -> dict[str, Any]:
    """The head of a new trace, a JSON object: the format's number, its columns, and what is known of the run."""
    columns = [
        {"name": c.name, "kind": c.kind, "required": c.required} | ({"group": c.group} if c.group else {})
        for c in TABLE
        if c.name in names
    ]
    return {"format": FORMAT, "columns": columns, "metadata": dict(metadata)}


def stated_columns(path: Path, head: Mapping[str, Any]) -> dict[str, str]:
    """The kinds of the columns of the file with this head, by name, in its order; some may be unknown here.

    Raises:
        NotATraceError: its format, or one of its required columns, is newer than this version of xframe.
        TraceError: the head does not fit the schema.
    """
    if type(head.get("format")) is int and head["format"] != FORMAT:
        raise newer(path, f"is a trace of format {head['format']}", f"format {FORMAT}")
    try:
        columns = fitted(Head, head).columns
    except ValueError as error:
        raise damaged(path, f"its head does not state its columns as it must ({error})") from None
    if head.get("format") != FORMAT or "step" not in [column.name for column in columns]:
        raise damaged(path, "its head does not state its columns")
    for column in columns:
        name, known = column.name, BY_NAME.get(column.name)
        if known is None and column.required:
            raise newer(path, f"requires the column {shown(name)}", ", ".join(COLUMNS))
        if known is not None and known.kind != column.kind:
            raise newer(path, f"has the column {name!r} as {shown(Verbatim(column.kind))}", known.kind)
    return {column.name: column.kind for column in columns}


def covered_columns(head: Mapping[str, Any]) -> dict[str, list[str]]:
    """The columns that each digest of a block covers, by group.

    A group with a column that this version of xframe doesn't know is left out, since its digests cannot be checked.
    """
    groups: dict[str, list[str]] = {group: [] for group in GROUPS}
    for column in head["columns"]:
        name = str(column["name"])
        group = column.get("group", BY_NAME[name].group if name in BY_NAME else None)
        if group in groups:
            groups[group].append(name)
    return {group: names for group, names in groups.items() if BY_NAME.keys() >= set(names)}


# Refusals


def newer(path: Path, what: str, expected: str) -> NotATraceError:
    """The error for a trace that has something which this version of xframe doesn't know."""
    return NotATraceError(f"{printable(path)} {what}", expected=expected, remedy="Update xframe.")


def exists_already(path: Path, remedy: str = "Remove it or choose another name.") -> UsageError:
    """The error for a trace that would replace a file."""
    return UsageError("the trace exists already", got=str(path), expected="a new file", remedy=remedy)


def damaged(path: Path, why: str) -> TraceError:
    """The error for a file that is not what was written."""
    return TraceError(
        f"{printable(path)} is damaged: {printable(why)}",
        remedy="Nothing can be judged from it; record the run again, or copy the file again.",
    )


def not_a_trace(path: Path) -> NotATraceError:
    """The error for a file that no version of xframe wrote."""
    return NotATraceError(
        "not a trace", got=str(path), expected="a file written by xframe.record, xframe run or xframe import"
    )


def unreadable(path: Path, error: OSError | ValueError) -> NotATraceError:
    """The error for a file that cannot be opened."""
    why = getattr(error, "strerror", None) or error
    whole = path.with_name(f"{path.name}.trace") if path.name and isinstance(error, FileNotFoundError) else None
    remedy = f"Did you mean {printable(whole)}?" if whole is not None and whole.exists() else None
    expected = f"a readable file ({printable(why)})"
    return NotATraceError("cannot read the trace", got=str(path), expected=expected, remedy=remedy)
