"""Imports a log: opens it as what it is, matches its columns, and copies its rows into a trace, block by block.

    imported = import_run("metrics.csv", "old.trace", columns={"loss": "train/loss"})

A log has no end that would say that it is whole, so the trace is as complete as the log: of an event file that
breaks off inside a record the trace is *truncated*.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xframe.errors import UsageError, Verbatim, unknown
from xframe.recording.logs.csv_file import CsvFile
from xframe.recording.logs.event_files import EventFiles
from xframe.recording.logs.json_lines import JsonLines
from xframe.recording.logs.log import Block, Log
from xframe.recording.recorder import Recorder, record
from xframe.trace.schema import FURTHER, IMPORTABLE

LOGS: Mapping[str, type[Log]] = {kind.form: kind for kind in (CsvFile, JsonLines, EventFiles)}
ALIASES: Mapping[str, tuple[str, ...]] = {  # usual names beside the column's own, in lower case
    "step": ("global_step", "iteration", "train/global_step", "trainer/global_step"),
    "ids": ("sample_ids",),
    "updates": ("num_updates",),
    "lr": ("learning_rate", "train/lr", "train/learning_rate"),
    "loss": ("train_loss", "train/loss"),
    "epoch": ("train/epoch",),
    "gradient_norm": ("grad_norm", "train/grad_norm"),
    "accuracy": ("train_accuracy", "train/accuracy"),
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a log.

    Attributes:
        rows: steps in the trace.
        columns: by the trace's name of a column, what it is called in the log.
        known: the trace's columns that the log has a value of in every step.
        ending: ``complete``, or ``truncated`` where the log breaks off inside a record.
    """

    rows: int
    columns: dict[str, str]
    known: tuple[str, ...]
    ending: str


def import_run(
    source: str | Path,
    out: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    num_samples: int | None = None,
    form: str | None = None,
) -> Imported:
    """Writes a trace at ``out`` from the log at ``source``.

    Args:
        source: a CSV file, a file of JSON lines, a TensorBoard event file, or the folder of one run's event files.
        out: a file that does not exist yet; removed again where the log is refused.
        columns: by the trace's name of a column, its name in the log; an empty name leaves it out. What is not
            given is guessed, see ``ALIASES``.
        num_samples: size of the data set.
        form: the kind of log, one of ``LOGS``; default: by the file's name.

    Raises:
        UsageError: the log is none, is not strictly one, or does not have one row for each step.
    """
    path = Path(source)
    kind = _kind(path, form)
    if not os.path.exists(path):
        raise UsageError("cannot read the log", got=str(source), expected="a file, or a folder of event files")
    log = kind(path)
    used = match_columns(log, columns or {})
    facts = {
        "imported": {"from": path.name, "form": log.form, "columns": used},
        # Nothing is known of the run itself, and what is known of this process is not the run's.
        "started": "unknown",
        "platform": "unknown",
        "versions": {},
    }
    rec = record(out, num_samples=num_samples, metadata=facts, replica=(0, 1))
    rec.evidence = f"as a log says ({log.form})"
    try:
        rows, partly = _copy(log, used, rec)
        if not rows:
            raise UsageError("the log has no steps", got=str(path), expected="at least one")
        rec.close(log.ending)
    except BaseException:
        with suppress(Exception):
            rec.close("not imported")  # so that its file is closed
        Path(out).unlink(missing_ok=True)
        raise
    return Imported(rows, used, tuple(name for name in used if name not in partly), log.ending)


def _kind(path: Path, form: str | None) -> type[Log]:
    if form is not None:
        if form not in LOGS:
            raise unknown("form of a log", form, LOGS)
        return LOGS[form]
    for kind in LOGS.values():
        if kind.is_at(path):
            return kind
    endings = [ending for kind in LOGS.values() for ending in kind.endings]
    raise UsageError(
        "a log of an unknown form",
        got=path.name,
        expected="a name that ends in " + ", ".join(endings) + ", or TensorBoard's event files",
        remedy="Say which with --form (in Python form=): " + ", ".join(LOGS) + ".",
    )


def match_columns(log: Log, given: Mapping[str, str]) -> dict[str, str]:
    """By the trace's name of each column that is there, its name in the log; ``given`` as ``import_run`` takes it.

    Raises:
        UsageError: a name is unknown, or fits more than one column; or nothing says which step a row is.
    """
    for column in given:
        if column not in IMPORTABLE:
            raise unknown("column of a trace", column, IMPORTABLE)
    used = {}
    for column in IMPORTABLE:
        name = given[column] if column in given else _guess(log, column, given)
        if name:
            if name not in log.names:
                raise unknown(f"column of {log.name}", name, log.names)
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
            f"more than one column of {log.name} could be the {column}",
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
            f"nothing says which step a row of {log.name} is",
            got=Verbatim(f"columns {names}"),
            expected="a column with the step, one row a step; or with ids or batch_size",
            remedy="Name it, in Python with columns={'step': ...}, on the command line with --column step=…",
        )
    if used.keys() == {"step"}:
        raise UsageError(
            f"none of the columns of {log.name} is known by its name",
            got=names,
            expected="one beside the step: " + ", ".join(IMPORTABLE[1:]),
            remedy="Name it, in Python with columns={'loss': ...}, on the command line with --column loss=…",
        )


def _copy(log: Log, used: Mapping[str, str], rec: Recorder) -> tuple[int, set[str]]:
    """Copies all rows; returns how many they are, and which columns are not known in all of them."""
    rows, first, partly, counted = 0, 0, set(), dict.fromkeys(("updates", "update_attempts"), 0)
    for block in log.blocks(used):
        for name, (_, known) in block.columns.items():
            if known is not None:
                partly.add(name)
                if name in ("step", "batch_size"):
                    line = block.line(int(np.argmin(known)))
                    log.refuse(line, f"no {name}", None, "one in every row", "Keep only the rows of training steps.")
        if "step" in block.columns:
            first = first if rows else int(block.columns["step"].values[0])
            _require_consecutive(log, block, rows, first)
        for name in counted.keys() & block.columns.keys():
            counted[name] = _require_no_fall(log, block, name, counted[name])
        if block.ids is not None and "batch_size" in block.columns:
            present, sizes = block.ids.sizes, block.columns["batch_size"].values
            if (present != sizes).any():
                at = int(np.argmax(present != sizes))
                log.refuse(block.line(at), "the ids", f"{present[at]}", f"{sizes[at]} of them, by batch_size")
        _write(block, rec)
        rows += block.num_rows
    return rows, partly


def _require_consecutive(log: Log, block: Block, before: int, first: int) -> None:
    """Refuses steps that do not follow one another from 0 or 1 on, and says what they look like.

    The log begins with the step ``first``, and has ``before`` rows before the block.
    """
    steps = block.columns["step"].values
    wanted = np.arange(first + before, first + before + len(steps))
    unequal = np.flatnonzero(steps != wanted)
    if first in (0, 1) and not unequal.size:
        return
    at = int(unequal[0]) if unequal.size else 0
    last = int(wanted[at]) - 1 if at or before else None  # the step before this one, as all up to here are in order
    strides = np.diff(steps[max(at - 1, 0) : at + 10])
    expected = f"step {last + 1}" if last is not None else "step 0 or 1"
    if strides.size and strides[0] > 1 and (strides == strides[0]).all():
        why = f"the log holds only one in {strides[0]} steps"
        remedy = "Log every step and train again: what happened between two logged steps is not known."
    elif first not in (0, 1):
        at, expected, why = 0, "step 0 or 1", "the log begins late"
        remedy = "Put the log of the run's first part before it."
    elif steps[at] == last:
        why = "a step comes twice"
        remedy = "Keep one row a step: leave out validation rows, and what a resumed run logged again."
    else:
        why = "steps are missing or out of order"
        remedy = "Log every step, once and in order."
    log.refuse(block.line(at), why, f"step {steps[at]}", expected, remedy)


def _require_no_fall(log: Log, block: Block, name: str, before: int) -> int:
    """The last number of a column that counts from the run's start on; refuses one below the number before it."""
    values, known = block.columns[name]
    rows = np.arange(len(values)) if known is None else np.flatnonzero(known)
    counted = np.concatenate([[before], values[rows]])
    falls = np.flatnonzero(np.diff(counted) < 0)
    if falls.size:
        last, number = counted[falls[0] : falls[0] + 2]
        log.refuse(
            block.line(int(rows[falls[0]])),
            f"{name} fall",
            f"{number} after {last}",
            f"{last} or more, for they are counted from the run's first step on",
            "Import one run by itself, and a resumed run with the count of its first part added.",
        )
    return int(counted[-1])


def _write(block: Block, rec: Recorder) -> None:
    """Hands a block to the recorder, with or without its samples' ids."""
    given: dict[str, Any] = {
        name: np.ma.array(values, mask=False if known is None else ~known)
        for name, (values, known) in block.columns.items()
        if name not in ("step", "batch_size")
    }
    given["time_ns"] = np.ma.array(np.zeros(block.num_rows, np.int64), mask=True)  # when a step was made is not known
    if block.ids is not None:
        given |= {"ids": block.ids.flat, "batch_sizes": block.ids.sizes}
    elif "batch_size" in block.columns:
        given["batch_sizes"] = block.columns["batch_size"].values
    further = {name: given.pop(name) for name in FURTHER if name in given}
    rec.block(**given, also=further)
