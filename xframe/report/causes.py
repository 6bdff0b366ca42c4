"""Causes as lines of plain text: why, by what chance totals agree, and what fixes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xframe.comparison.result import Explanation
from xframe.errors import printable


def text(causes: Sequence[Explanation], *, most: int | None = 2) -> list[str]:
    """The causes of each run, the first ``most`` of them in full.

    Args:
        causes: most likely first.
        most: of each run; the others are named. None: all.
    """
    lines: list[str] = []
    for run in dict.fromkeys(cause.run for cause in causes):
        own = [cause for cause in causes if cause.run == run]
        for i, cause in enumerate(own[:most]):
            lines += _lines(cause, first=i == 0)
        if most is not None and (rest := own[most:]):
            lines.append(f"  or: {', '.join(cause.name for cause in rest)}")
    return lines


def _lines(cause: Explanation, *, first: bool) -> Iterator[str]:
    head = "Why" if cause.certain else "Likely" if first else "Or"
    yield f"{head}: {printable(cause.sentence)}. [{cause.name}]"
    if cause.by_chance:
        yield f"  By chance: {printable(cause.by_chance)}."
    settings = {"or else the plan" if where == "plan" else where: setting for where, setting in cause.fix.items()}
    width = max(map(len, settings), default=0)
    for i, (where, setting) in enumerate(settings.items()):
        yield f"  {'Fix:' if i == 0 else '    '} {where.ljust(width)}  {printable(setting)}"
