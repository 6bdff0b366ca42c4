"""Compares what was recorded with what it should be compared with: what the table expects and was not found."""

from __future__ import annotations

from pathlib import Path

import xframe
from scripts.replicas.table import FOUND


def judged(folder: Path, script: str, row: str, *, turned: bool = False) -> str:
    """What is wrong; empty if nothing is. ``turned``: the faulty one is the reference."""
    due = FOUND[script, row]
    sides = folder / f"{due.against}.trace", folder / f"{script}-{row}.trace"
    comparison = xframe.compare(*sides[:: -1 if turned else 1])
    difference = comparison.first_difference
    first = (difference["step"], difference["check"]) if difference else (None, "none")
    cause = next((one.name for one in comparison.causes), "")
    found = (cause, first)
    expected = (due.cause, due.first)
    verdict = "failed" if due.cause else "passed"
    names = comparison.causes[0].sentence.find(f"{script}-{row}") if comparison.causes else -1
    if found == expected and comparison.verdict == verdict and (names >= 0 or not due.cause):
        return ""
    return f"{script} {row}: {comparison.verdict}, {found}, expected {expected}\n{comparison}"
