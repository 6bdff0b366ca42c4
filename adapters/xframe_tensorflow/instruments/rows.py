"""What a row says, and columns made of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from xframe.recording.attach.machine import Batch

NORMS = "gradient_norm", "clipped_norm"
WHOLES = "training", "loss_rows"
REALS = "loss", "lr", "weights_mark"


@dataclass(eq=False, slots=True)
class Optimizer:
    """What is known of an optimizer.

    Attributes:
        keras: the optimizer itself, the one inside of a scaled loss.
        last: its iterations when they were last read, in the order of rows.
        window: calls that make one update.
    """

    keras: Any
    last: int
    window: int


@dataclass(eq=False, slots=True)
class Row:
    """One step.

    Attributes:
        updates: optimizers that stepped in it, each with its iterations before (None: not read) and after.
        amends: it only says what came later of the last row before it.
        test: it is of an evaluation.
        prints: of its samples, by the name of their column.
    """

    size: Any = None
    ids: Any = None
    reals: dict[str, Any] = field(default_factory=dict)
    wholes: dict[str, Any] = field(default_factory=dict)
    updates: list[tuple[Optimizer, Any, Any]] = field(default_factory=list)
    prints: dict[str, Any] = field(default_factory=dict)
    batch: Batch | None = None
    epoch: int | None = None
    place: int | None = None
    amends: bool = False
    test: bool = False

    def take(self, name: str, numbers: Any) -> None:
        """A list, as it stands in the table."""
        if name == "ids":
            self.ids = numbers
        else:
            self.prints[name] = numbers.reshape(-1, 3)

    def settle(self) -> None:
        """Reads what lies on a device."""
        self.size = None if self.size is None else int(self.size)
        self.reals = {name: _real(name, float(value)) for name, value in self.reals.items()}
        self.wholes = {name: int(value) for name, value in self.wholes.items()}
        self.updates = [(one, None if b is None else int(b), int(a)) for one, b, a in self.updates]
        self.prints = {name: np.asarray(made) for name, made in self.prints.items()}
        self.prints = {name: made for name, made in self.prints.items() if len(made) == self.size}
        self.ids = None if self.ids is None else np.asarray(self.ids, dtype=np.int64)


def _real(name: str, value: float) -> float:
    """A value as it is reported: graphs write half of a norm's square."""
    if name not in NORMS:
        return value
    return float(np.sqrt(2 * value)) if value >= 0 else float("nan")


class Totals:
    """Updates by all optimizers so far.

    Attributes:
        optimizers: whether there is one at all.
    """

    def __init__(self) -> None:
        self.applied = self.tried = 0

    def add(self, row: Row) -> None:
        """Those of a row."""
        for optimizer, before, after in row.updates:
            tried = before is not None and before >= 0  # otherwise it may have been in a branch that was not taken
            start = before if before is not None and tried else optimizer.last
            applied = after // optimizer.window - start // optimizer.window
            self.applied += applied
            self.tried += max(applied, int(tried and after == start))
            optimizer.last = after


def blocks(rows: Sequence[Row], counted: Sequence[tuple[int, int] | None]) -> list[dict[str, Any]]:
    """What ``Recorder.block`` takes, of rows and the updates applied and tried after each (None: not known)."""
    made = []
    pairs = list(zip(rows, counted, strict=True))
    for (has_ids, has_size, prints), group in groupby(pairs, key=lambda pair: _lists_of(pair[0])):
        some = list(group)
        columns: dict[str, Any] = {
            "updates": _column([None if count is None else count[0] for _, count in some], np.int64),
            "update_attempts": _column([None if count is None else count[1] for _, count in some], np.int64),
            "epoch": _column([row.epoch for row, _ in some], np.int64),
            "step_in_epoch": _column([row.place for row, _ in some], np.int64),
        }
        columns |= {name: _column([row.reals.get(name) for row, _ in some], np.float64) for name in REALS}
        also = {name: _column([row.reals.get(name) for row, _ in some], np.float64) for name in NORMS}
        also |= {name: _column([row.wholes.get(name) for row, _ in some], np.int64) for name in WHOLES}
        if has_size:
            columns["batch_sizes"] = np.array([row.size for row, _ in some], dtype=np.int64)
        if has_ids:
            columns["ids"] = np.concatenate([row.ids for row, _ in some])
        also |= {name: np.concatenate([row.prints[name] for row, _ in some]) for name in prints}
        known = {name: column for name, column in columns.items() if column is not None}
        made.append({**known, "also": {name: column for name, column in also.items() if column is not None}})
    return made


def _lists_of(row: Row) -> tuple[bool, bool, tuple[str, ...]]:
    return row.ids is not None, row.size is not None, tuple(sorted(row.prints))


def _column(values: list[Any], kind: type) -> Any:
    missing = [value is None for value in values]
    if all(missing):
        return None
    array: Any = np.array([0 if value is None else value for value in values], dtype=kind)
    return np.ma.array(array, mask=missing) if any(missing) else array
