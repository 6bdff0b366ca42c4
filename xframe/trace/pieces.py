"""The parts of a run that is in several traces, and the one source that they are together, read by blocks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xframe.files.limits import LARGEST
from xframe.trace.arrow import SCHEMA, array_of, column_of
from xframe.trace.certificate import Certifier, LossesDigest
from xframe.trace.facts import text
from xframe.trace.schema import CERTIFIED, COLUMNS, Column, unknown_column
from xframe.trace.source import Source, damaged, read_between

BETWEEN = "+"  # the parts of a run that is named by them
ROWS = 1 << 17  # that are certified at once
_AT_FIRST = "weights."  # settings of the weights that training began with


def behind_update(source: Source, updates: int) -> int:
    """The step behind the one that made that many updates; the run's end where it made no more, or does not say."""
    if not source.num_rows or source.unknown["updates"]:
        return source.num_rows
    if int(read_between(source, "updates", source.num_rows - 1, source.num_rows).values[0]) <= updates:
        return source.num_rows
    for start in range(0, source.num_rows, ROWS):
        values = read_between(source, "updates", start, min(start + ROWS, source.num_rows)).values
        if int(values[-1]) >= updates:
            return start + int(np.searchsorted(values, updates)) + 1
    return source.num_rows


@dataclass(slots=True)
class Piece:
    """Rows of one file that are of the run.

    Attributes:
        first: the first one's step in the run; rows: how many, from the file's first on.
        added: what is added to the values of these columns.
        before: certifies the rows before them.
        largest: rows in the largest batch of this part and those before it.
        dropped: columns that are not the run's: labels that a process has begun anew.
        losses_before: of the rows before them, their losses and rates.
    """

    path: Path
    source: Source
    first: int
    rows: int
    added: dict[str, int]
    before: Certifier
    largest: int = 0
    dropped: tuple[str, ...] = ()
    losses_before: LossesDigest = field(default_factory=LossesDigest)

    def column(self, name: str, start: int, stop: int) -> Column:
        """Rows of the file, as they are in the run."""
        if name in self.dropped:
            return unknown_column(name, stop - start)
        return moved(read_between(self.source, name, start, stop), self.added.get(name, 0))

    def certify(self, stop: int) -> Certifier:
        """All rows of the run up to that of the file."""
        certifier = copy.copy(self.before)
        for start in range(0, stop, ROWS):
            rows = {name: self.column(name, start, min(start + ROWS, stop)).values for name in CERTIFIED}
            certifier.add(*rows.values())
            self.largest = max(self.largest, int(rows["batch_size"].max(initial=0)))
        if self.largest * certifier.num_rows > LARGEST or max(self.added.values(), default=0) > LARGEST:
            raise damaged(self.path, "with the parts before it, it has more than can be counted")
        return certifier

    def losses(self, stop: int) -> LossesDigest:
        """Of all rows of the run up to that of the file."""
        digest = copy.copy(self.losses_before)
        for start in range(0, stop, ROWS):
            digest.add(*(self.column(name, start, min(start + ROWS, stop)) for name in digest.NAMES))
        return digest


def moved(column: Column, more: int) -> Column:
    """The column with so much added, where it is known."""
    values, known = column
    if not more:
        return column
    return Column(values + more if known is None else np.where(known, values + more, values), known)


def last_of(piece: Piece, name: str) -> int:
    """The value of a piece's last row; 0 where there is none."""
    values, known = piece.column(name, piece.rows - 1, piece.rows) if piece.rows else Column(np.zeros(0))
    return int(values[0]) if len(values) and known is None else 0


class Continued:
    """The rows of all parts, see ``xframe.trace.source.Source``; without digests, since blocks are cut and renumbered.

    What stands beside the rows is the last part's, and what only an earlier one states. The start is the first's:
    when it began and with which weights.

    Attributes:
        pieces: the parts.
    """

    def __init__(self, pieces: Sequence[Piece], certificate: str) -> None:
        self.pieces, self.certificate, sources = tuple(pieces), certificate, [one.source for one in pieces]
        self.digests: list[dict[str, str]] | None = None
        self.covered: dict[str, list[str]] = {}
        self.whole: dict[str, Column] = {}
        self.starts = [one.first for one in pieces]  # steps of the run
        self.columns = tuple(name for name in COLUMNS if any(name in source.columns for source in sources))
        self._blocks = [
            (piece, index, min(stop, piece.rows) - start)
            for piece in pieces
            for index, (start, stop) in enumerate(pairwise(piece.source.bounds))
            if start < min(stop, piece.rows)
        ]
        self.bounds: list[int] = np.cumsum([0, *(rows for _, _, rows in self._blocks)]).tolist()
        self.num_rows = self.bounds[-1]
        self.unknown = dict.fromkeys(COLUMNS, 0)
        for piece in pieces:
            for name in COLUMNS:
                self.unknown[name] += _unknown(piece, name)
        stated = [source.settings.items() for source in sources]
        self.settings = {name: value for one in stated for name, value in one if not name.startswith(_AT_FIRST)}
        self.settings |= {name: value for name, value in stated[0] if name.startswith(_AT_FIRST)}
        self.validations = list(_validations(pieces))
        self.checkpoints = [
            {**facts, "after": facts["after"] + piece.first}
            for piece in pieces
            for facts in piece.source.checkpoints
            if facts["after"] <= piece.rows
        ]
        self.metadata = _metadata([source.metadata for source in sources])
        end = sources[-1].end
        self.end: dict[str, Any] = {**end, "rows": self.num_rows, "certificate": certificate} if end else {}

    def read(self, block: int, name: str) -> Any:
        """A block's column, as an Arrow array."""
        piece, index, rows = self._blocks[block]
        if name not in piece.source.columns or name in piece.dropped:
            return pa.nulls(rows, SCHEMA.field(name).type)
        array = piece.source.read(index, name).slice(0, rows)
        more = piece.added.get(name)
        return array_of(name, moved(column_of(array, 0, rows), more)) if more else array


def _unknown(piece: Piece, name: str) -> int:
    """How many of a piece's rows have no value in that column."""
    source = piece.source
    unknown = source.unknown[name]
    if unknown == source.num_rows or name not in source.columns or name in piece.dropped:
        return piece.rows
    if not unknown or piece.rows == source.num_rows:
        return unknown
    nulls = 0
    for index, (start, stop) in enumerate(pairwise(source.bounds)):
        if start < piece.rows:
            nulls += source.read(index, name).slice(0, min(stop, piece.rows) - start).null_count
    return nulls


def _validations(pieces: Sequence[Piece]) -> Iterator[dict[str, Any]]:
    """Those of all parts; one that was made where two are joined and stands in both is the later one's."""
    for index, piece in enumerate(pieces):
        after = pieces[index + 1].source.validations if index + 1 < len(pieces) else []
        repeated = bool(after) and after[0]["after"] == 0
        for facts in piece.source.validations:
            if facts["after"] < piece.rows or (facts["after"] == piece.rows and not repeated):
                time = facts.get("time_ns")
                more = {} if time is None else {"time_ns": time + piece.added.get("time_ns", 0)}
                yield {**facts, "after": facts["after"] + piece.first, **more}


def _metadata(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    metadata = {name: value for part in parts for name, value in part.items() if name != "continues"}
    metadata |= {name: parts[0][name] for name in ("started", "weights_fingerprint") if name in parts[0]}
    labels = [part.get("label") for part in parts]
    if all(type(label) is str for label in labels):
        metadata["label"] = BETWEEN.join(map(text, dict.fromkeys(labels)))
    else:
        metadata.pop("label", None)
    return metadata
