"""How wide the screen is, and text that keeps within it: tables for the terminal, sentences, tables of Markdown.

No line breaks within a word. A table that is too wide folds its cells; where the columns' longest words do not fit side
by side, it is continued below with its first column repeated.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest

from xframe.errors import printable

UNKNOWN = 120  # columns that a table may have where no screen shows it
_NARROWEST = 40  # of screens that are written for
_GAP = 2
_LABEL = re.compile(r" *\S+(?: \S+)* {2,}(?=\S)")  # a line's first cell
_JOINTS = re.compile(r"(?<=[-/_.,=:])(?=[^-/_.,=:])")  # where a word that is wider than the screen may break


def plain_only() -> bool:
    """Whether nothing but letters is to be written (NO_COLOR): no bold either, which rich would write then."""
    return bool(os.environ.get("NO_COLOR"))


def screen_width(output: int = 1) -> int | None:
    """Columns of the screen: by COLUMNS, else as the terminal of that output has it; None where it goes elsewhere."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return max(int(given), _NARROWEST)
    try:
        columns = os.get_terminal_size(output).columns
        return max(columns, _NARROWEST) if columns else None
    except OSError:
        return None


def plain(
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    indent: int = 0,
    keep: int = 1,
    width: int | None = None,
) -> list[str]:
    """The lines of a table, the head among them, columns two blanks apart; those of ``right`` are aligned to the right.

    Args:
        rows: all of one length.
        right: indices of columns.
        indent: blanks before each line.
        keep: how many of the first columns fold last.
        width: columns of the screen; default: those it has.
    """
    if not rows:
        return []
    room = max(1, (width or screen_width() or UNKNOWN) - indent)
    lines: list[str] = []
    for columns, widths in _panels(rows, room, keep):
        lines += [""] * bool(lines)
        for row in rows:
            cells = [_fold(row[i], size) for i, size in zip(columns, widths, strict=True)]
            for parts in zip_longest(*cells, fillvalue=""):
                sized = zip(columns, parts, widths, strict=True)
                line = [part.rjust(size) if i in right else part.ljust(size) for i, part, size in sized]
                lines.append((" " * indent + (" " * _GAP).join(line)).rstrip())
    return lines


def _panels(rows: Sequence[Sequence[str]], room: int, keep: int) -> Iterator[tuple[list[int], list[int]]]:
    """The columns that stand side by side, with the width of each: all of them, if they fit."""
    most = [max(map(len, column)) for column in zip(*rows, strict=True)]
    words = [max(len(word) for cell in column for word in ["", *cell.split()]) for column in zip(*rows, strict=True)]
    kept = [*most[:keep], *words[keep:]]
    gaps = _GAP * (len(most) - 1)
    least = words if sum(kept) + gaps > room >= sum(words) + gaps else kept
    first = max(1, min(least[0], room - _GAP - max(words[1:], default=0)))
    least = [first, *(max(1, min(size, room - _GAP - first)) for size in least[1:])]
    rest = list(range(1, len(most)))
    while True:
        taken = [0]
        while rest and (len(taken) == 1 or sum(least[i] + _GAP for i in [*taken, rest[0]]) - _GAP <= room):
            taken.append(rest.pop(0))
        ends, widths = [least[i] for i in taken], [most[i] for i in taken]
        while sum(widths) + _GAP * (len(taken) - 1) > room and widths != ends:
            widest = max(width for width, end in zip(widths, ends, strict=True) if width > end)
            widths = [max(end, min(width, widest - 1)) for width, end in zip(widths, ends, strict=True)]
        yield taken, widths
        if not rest:
            return


def _fold(text: str, width: int) -> list[str]:
    """The text in lines of at most that width, broken between words; a wider word at its joints, or anywhere."""
    if len(text) <= width:
        return [text]
    lines = []
    for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False):
        while len(line) > width:
            at = max((joint.start() for joint in _JOINTS.finditer(line) if joint.start() <= width), default=width)
            lines.append(line[:at])
            line = line[at:]
        lines.append(line)
    return lines


def folded(text: str, width: int | None = None) -> str:
    """The lines of a text, those wider than the screen broken between words and continued further in.

    Args:
        text: sentences, lines with a label before two blanks, tables that fit.
        width: columns of the screen; default: those it has, and where output goes elsewhere nothing is broken.
    """
    width = width or screen_width()
    if width is None:
        return text
    lines = []
    for line in text.split("\n"):
        if len(line) <= width:
            lines.append(line)
            continue
        label = _LABEL.match(line)
        indent = label.end() if label and label.end() <= width // 2 else len(line) - len(line.lstrip()) + 2
        first = line[:indent] if label and indent == label.end() else " " * (indent - 2)
        rest = line[len(first) :]
        lines += textwrap.wrap(
            rest,
            width,
            initial_indent=first,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, one line a row; what the cells hold is escaped."""
    lines = ["| " + " | ".join(map(escaped, cells)) + " |" for cells in (head, *rows)]
    return [lines[0], "|" + " --- |" * len(head), *lines[1:]]


def indented(lines: Sequence[str]) -> list[str]:
    """The lines, two blanks further in."""
    return ["  " + line for line in lines]


def fenced(lines: Sequence[str]) -> list[str]:
    """The lines as a block of Markdown that shows them as they are; no line of theirs can end it."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, *map(printable, lines), fence]


def escaped(value: str) -> str:
    """Text in which nothing is Markdown: no markup, no entity, and no address that would become a link."""
    text = re.sub(r"([\\`*_\[\]<>|#~&!])", r"\\\1", printable(value))
    return re.sub(r"(?i)(www)(?=\.)|(:)(?=//)", lambda found: (found[1] or "") + "\\" + (found[2] or ""), text)
