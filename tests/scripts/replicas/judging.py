"""Compares what was recorded with what it should be compared with: what the table expects and was not found."""

from __future__ import annotations

from pathlib import Path

import xframe
from scripts.replicas.table import FOUND


def judged(folder: Path, script: str, row: str) -> str:
    """What is wrong; empty if nothing is."""
    due = FOUND[script, row]
    comparison = xframe.compare(folder / f"{due.against}.trace", folder / f"{script}-{row}.trace")
    difference = comparison.first_difference
    first = (difference["step"], difference["check"]) if difference else (None, "none")
    cause = next((one.name for one in comparison.causes), "")
    found = (cause, first)
    expected = (due.cause, due.first)
    verdict = "failed" if due.cause else "passed"
    if found == expected and comparison.verdict == verdict:
        return ""
    return f"{script} {row}: {comparison.verdict}, {found}, expected {expected}\n{comparison}"
