"""What a trace can hold of a step: each column, once.

The Arrow schema, the columns that recorder, importers and plain reader know, and the digests of a block follow from
``TABLE``. A new column is a new line there, at its end: the order of those above is the order on disk. It is also an
argument of ``Recorder.step`` and ``Recorder.block``, and of ``plainwriter``; its usual names in logs are in
``recording.logs.importing``; FORMAT.md shows it in its table and under block digests, and a test says so. An optional
column is ignored by a reader that doesn't know it, a required one is refused, and what is certified changes every
certificate: a new column is neither, unless it changes the meaning of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

Kind = Literal["int64", "float64", "digest", "ids", "prints"]
Origin = Literal["observed", "declared"]
Group = Literal["structure", "numbers", "labels"]

DTYPES: dict[str, str] = {  # of the values, by kind
    "int64": "<i8",
    "float64": "<f8",
    "digest": "V16",
    "ids": "<i8",
    "prints": "<i8",
}
UNKNOWN = -1  # stands for null in columns of int64, none of which can be negative
NULLS: dict[str, Any] = {
    "int64": UNKNOWN,
    "float64": np.nan,
    "digest": np.void(bytes(16)),
    "ids": UNKNOWN,
    "prints": UNKNOWN,
}
PER_SAMPLE = {"ids": 1, "prints": 3}  # int64 of a list, by kind
NEVER_NULL = "never null"


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """One column of a trace.

    Attributes:
        name: in the file, in Python and in a plain trace.
        kind: ``int64`` (from 0 up), ``float64``, ``digest`` (16 bytes), ``ids`` (a list of int64, one for each row of
            the batch) or ``prints`` (three for each, see ``xframe.recording.identity``).
        unit: what one value is.
        null: what it means that a step has no value.
        origin: ``observed`` in the training step, or ``declared`` by the loop, as a label.
        required: a reader that doesn't know the column must refuse the trace.
        group: the digest of a block that covers it, see FORMAT.md; None: no digest does.
        certified: the certificate covers it.
        given: the loop gives it to the recorder as one number a step; the recorder makes the others itself.
        further: it goes to the recorder in ``also``, not as an argument of its own.
    """

    name: str
    kind: Kind
    unit: str
    null: str
    origin: Origin = "observed"
    required: bool = False
    group: Group | None = None
    certified: bool = False
    given: bool = True
    further: bool = False


def _certified(name: str, kind: Kind, unit: str, null: str, *, given: bool = False) -> ColumnDefinition:
    return ColumnDefinition(name, kind, unit, null, required=True, group="structure", certified=True, given=given)


def _further(name: str, kind: Kind, unit: str, null: str) -> ColumnDefinition:
    return ColumnDefinition(name, kind, unit, null, group="numbers", given=False, further=True)


def _prints(name: str, unit: str) -> ColumnDefinition:
    return ColumnDefinition(name, "prints", unit, "not known, or not asked for", given=False, further=True)


def _label(name: str, unit: str, null: str) -> ColumnDefinition:
    return ColumnDefinition(name, "int64", unit, null, origin="declared", group="labels")


TABLE = (
    _certified("step", "int64", "0-based index", NEVER_NULL),
    _certified("ids_digest", "digest", "XXH3-128 of the batch's ids", "the ids were not given"),
    _certified("batch_size", "int64", "rows of the batch, padding included", "not given"),
    _certified("updates", "int64", "updates applied so far, this step's included", "no evidence", given=True),
    ColumnDefinition(
        "update_attempts", "int64", "updates tried so far, skipped ones included", "no evidence", group="numbers"
    ),
    ColumnDefinition("lr", "float64", "learning rate of this step", "not given", group="numbers"),
    ColumnDefinition("loss", "float64", "loss of this step", "not given", group="numbers"),
    ColumnDefinition(
        "time_ns",
        "int64",
        "nanoseconds from the start of recording to the row's arrival at the recorder",
        "not known, in an imported run",
        given=False,
    ),
    ColumnDefinition(
        "ids",
        "ids",
        "index in the data set, in batch order, padding last",
        "ids were not kept (`ids=False`) or not given",
        given=False,
    ),
    _label("epoch", "label, counted from 0 or from 1", "the loop names no epochs"),
    _label("step_in_epoch", "label, counted from 0 or from 1", "the loop does not say"),
    _label("padding", "how many of the batch's last rows are padding", "the loop does not say"),
    ColumnDefinition(
        "accuracy",
        "float64",
        "share of this step's targets that were predicted correctly",
        "not measured",
        group="numbers",
    ),
    _further("training", "int64", "1 if the model was in training mode, 0 if it was in evaluation mode", "not known"),
    _further("loss_rows", "int64", "rows that the loss was averaged over", "not known, or no mean"),
    _further("gradient_norm", "float64", "L2 norm of all gradients before clipping", "no update, or not known"),
    _further("clipped_norm", "float64", "L2 norm of all gradients as they were applied", "no update, or not known"),
    _prints("features", "what the model took, a print for each row of the batch"),
    _prints("targets", "what the loss took beside the predictions, a print for each row of the batch"),
    ColumnDefinition(
        "weights_mark",
        "float64",
        "squares of each trained weight's first elements after this step, added up: equal on replicas of equal weights",
        "not taken",
        given=False,
        further=True,
    ),
)

BY_NAME = {column.name: column for column in TABLE}
COLUMNS = tuple(BY_NAME)
# The columns that each digest of a block covers, in its order.
GROUPS = {group: tuple(column.name for column in TABLE if column.group == group) for group in get_args(Group)}
CERTIFIED = tuple(column.name for column in TABLE if column.certified)
# What a loop gives to the recorder, one number a step; and what a log of another tool may have.
COUNTS = tuple(column.name for column in TABLE if column.given and column.kind == "int64")
COUNTED = ("epoch", "step_in_epoch")  # labels that a loop counts from 0 or from 1
REALS = tuple(column.name for column in TABLE if column.given and column.kind == "float64")
FURTHER = tuple(column.name for column in TABLE if column.further)
LISTS = {column.name: PER_SAMPLE[column.kind] for column in TABLE if column.kind in PER_SAMPLE}  # int64 a sample
PRINTS = tuple(column.name for column in TABLE if column.kind == "prints")
OWN = "weights_mark"  # which replicas have, and a log of another tool does not
SPARED = (*PRINTS, OWN)  # that a closed trace lacks if no row has any
IMPORTABLE = tuple(name for name in COLUMNS if name not in ("ids_digest", "time_ns", *SPARED))


class Column(NamedTuple):
    """A column of rows: its values, and where they are known (None: everywhere).

    Values are int64 (``UNKNOWN`` where not known), float64 (NaN) or voids of 16 bytes (zeros). A column of ``LISTS``
    holds the batches one after the other; a batch that is not known has none.
    """

    values: NDArray[Any]
    known: NDArray[np.bool_] | None = None


def joined(pieces: Sequence[tuple[Column, int]]) -> Column:
    """Pieces of a column one after the other, each with its number of rows."""
    if len(pieces) == 1:
        return pieces[0][0]
    values = np.concatenate([column.values for column, _ in pieces])
    if all(column.known is None for column, _ in pieces):
        return Column(values)
    known = [np.ones(rows, dtype=bool) if column.known is None else column.known for column, rows in pieces]
    return Column(values, np.concatenate(known))


def unknown_column(name: str, rows: int) -> Column:
    """A column of ``rows`` rows without any value."""
    kind = BY_NAME[name].kind if name in BY_NAME else "int64"
    values = np.full(0 if kind in PER_SAMPLE else rows, NULLS[kind], DTYPES[kind])
    return Column(values, np.zeros(rows, dtype=bool))
