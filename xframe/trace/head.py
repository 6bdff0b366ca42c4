"""A trace's head: the format's number, the columns that the file has, and what is known of the run.

Since the head states the columns, new evidence needs no new format. A reader ignores an optional column that it
doesn't know, and refuses a required one; a column that it knows and the file lacks is unknown throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xframe.errors import NotATraceError
from xframe.trace.schema import BY_NAME, COLUMNS, TABLE
from xframe.trace.source import damaged

FORMAT = 1


@dataclass(frozen=True, slots=True)
class StatedColumn:
    """A column as a head states it; ``kind`` may be one that this version of xframe doesn't know."""

    name: str
    kind: str
    required: bool


def head_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The head of a new trace, a JSON object."""
    columns = [{"name": c.name, "kind": c.kind, "required": c.required} for c in TABLE]
    return {"format": FORMAT, "columns": columns, "metadata": dict(metadata)}


def stated_columns(path: Path, head: Mapping[str, Any]) -> tuple[StatedColumn, ...]:
    """The columns of the file with this head, in its order.

    Raises:
        NotATraceError: its format, or one of its required columns, is newer than this version of xframe.
        TraceError: the head states no columns.
    """
    version = head.get("format")
    if version != FORMAT:
        raise other_format(path, version)
    try:
        columns = tuple(StatedColumn(str(c["name"]), str(c["kind"]), bool(c["required"])) for c in head["columns"])
    except (KeyError, TypeError):
        columns = ()
    if "step" not in {column.name for column in columns}:
        raise damaged(path, "its head does not state its columns")
    for column in columns:
        known = BY_NAME.get(column.name)
        if known is None and column.required:
            raise newer(path, f"requires the column {column.name!r}", ", ".join(COLUMNS))
        if known is not None and known.kind != column.kind:
            raise newer(path, f"has the column {column.name!r} as {column.kind}", known.kind)
    return columns


def other_format(path: Path, version: object) -> NotATraceError:
    """The error for a trace of a format that this version of xframe doesn't know."""
    return newer(path, f"is a trace of format {version}", f"format {FORMAT}")


def newer(path: Path, what: str, expected: str) -> NotATraceError:
    """The error for a trace that has something which this version of xframe doesn't know."""
    return NotATraceError(f"{path} {what}", expected=expected, remedy="Update xframe.")
