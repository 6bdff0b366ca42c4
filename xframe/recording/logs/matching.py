"""Which column of a log is which of a trace's: as the caller names it, else by the names that are usual for it."""

from __future__ import annotations

from collections.abc import Mapping

from xframe.errors import UsageError, Verbatim, unknown
from xframe.recording.logs.log import Log
from xframe.trace.schema import importable

COLUMNS = importable()
ALIASES: Mapping[str, tuple[str, ...]] = {  # usual names beside the column's own, in lower case
    "step": ("global_step", "iteration", "train/global_step", "trainer/global_step"),
    "ids": ("sample_ids",),
    "updates": ("num_updates",),
    "lr": ("learning_rate", "train/lr", "train/learning_rate"),
    "loss": ("train_loss", "train/loss"),
    "epoch": ("train/epoch",),
    "accuracy": ("train_accuracy", "train/accuracy"),
}


def match_columns(log: Log, given: Mapping[str, str]) -> dict[str, str]:
    """By the trace's name of each column that is there, its name in the log.

    Args:
        log: the log.
        given: names in the log by the trace's names; an empty name leaves the column out.

    Raises:
        UsageError: a name is unknown, or fits more than one column; or nothing says which step a row is.
    """
    for column in given:
        if column not in COLUMNS:
            raise unknown("column of a trace", column, COLUMNS)
    used = {}
    for column in COLUMNS:
        name = given[column] if column in given else _guess(log, column, given)
        if name:
            if name not in log.names:
                raise unknown(f"column of {log.path.name}", name, log.names)
            used[column] = name
    names = list(used.values())
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise UsageError("a column of the log is used twice", got=doubled[0], expected="each for one thing")
    _require_rows(log, used)
    return used


def _guess(log: Log, column: str, given: Mapping[str, str]) -> str:
    usual = (column, *ALIASES.get(column, ()))
    fitting = [name for name in log.candidates(column, usual) if name not in given.values()]
    if len(fitting) > 1:
        raise UsageError(
            f"more than one column of {log.path.name} could be the {column}",
            got=Verbatim(", ".join(fitting)),
            expected="one",
            remedy=f"Name it, in Python with columns={{{column!r}: {fitting[0]!r}}}, "
            f"on the command line with --column {column}={fitting[0]}",
        )
    return fitting[0] if fitting else ""


def _require_rows(log: Log, used: Mapping[str, str]) -> None:
    names = Verbatim(", ".join(log.names[:20]))
    if not used.keys() & {"step", "ids", "batch_size"}:
        raise UsageError(
            f"nothing says which step a row of {log.path.name} is",
            got=Verbatim(f"columns {names}"),
            expected="a column with the step, one row a step; or with ids or batch_size",
            remedy="Name it, in Python with columns={'step': ...}, on the command line with --column step=…",
        )
    if used.keys() == {"step"}:
        raise UsageError(
            f"none of the columns of {log.path.name} is known by its name",
            got=names,
            expected="one beside the step: " + ", ".join(COLUMNS[1:]),
            remedy="Name it, in Python with columns={'loss': ...}, on the command line with --column loss=…",
        )
