"""The one writer of tables: rows of cells as lines of plain text, or of Markdown."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from xframe.errors import printable


def plain(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """One line a row, the head among them, columns two blanks apart; those of ``right`` are aligned to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, one line a row; what the cells hold is escaped."""
    lines = ["| " + " | ".join(map(escaped, cells)) + " |" for cells in (head, *rows)]
    return [lines[0], "|" + " --- |" * len(head), *lines[1:]]


def indented(lines: Sequence[str]) -> list[str]:
    """The lines, two blanks further in."""
    return ["  " + line for line in lines]


def escaped(value: str) -> str:
    """Text in which nothing is Markdown."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", printable(value))
