"""The traces of all replicas of a run as one source: row i is step i, in which each had its own rows.

A step's samples are in the plan's order: joined, or woven where rows went round the replicas. Sizes and padding are
summed, loss and accuracy weighted by rows, losses that are parts of the step's summed; what must be the same in all is
that where it is, and unknown where it is not. The run ends where the first replica does. Nothing is written, so there
is nothing that could contradict the replicas' own files.

Numbers are merged in chunks of rows, one replica after the other, and lists are streamed from all replicas together in
blocks that have no more elements than one file's: memory grows neither with the steps nor with the samples of a step.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xframe.files.limits import LARGEST
from xframe.trace.amounts import agreeing, alike, mean, reduced
from xframe.trace.arrow import SCHEMA, array_of, lists_array
from xframe.trace.certificate import Certifier, as_bytes, ids_digests
from xframe.trace.opening import File
from xframe.trace.parquet import BLOCK_IDS, BLOCK_ROWS
from xframe.trace.schema import COLUMNS, LISTS, Column, joined, unknown_column
from xframe.trace.source import Source, damaged
from xframe.trace.stated import StatedReplica
from xframe.trace.streams import Stream, rows_of
from xframe.trace.weaving import Lists, together

_SUMMED = ("batch_size", "padding", "loss_rows")
_WEIGHTED = ("loss", "accuracy")
_KEPT = 1 << 25  # bytes of what was read that are kept of all replicas together
_KEPT_DIGESTS = 1 << 22  # rows whose digests are kept, so that they are made once
_FEW = 1 << 16  # rows of replicas up to which one reads after the other; else how many at once:
_AT_ONCE = min(4, os.cpu_count() or 1)
_OF_THE_FIRST = ("started", "platform", "versions", "runtime")  # what is each replica's own, and stands for the run
INTERLEAVED = "interleaved"


class Parting(NamedTuple):
    """A row at which a replica has another value than the first one."""

    row: int
    replica: int


class Merged:
    """The rows of all replicas, see ``xframe.trace.source.Source``.

    Attributes:
        paths, parts: the replicas' files and their sources, by index.
        stated: what each states of itself.
        split: how they say that a step's rows are dealt; None if they do not know, or say it differently.
        losses_summed: a step's loss is the sum of its replicas', for their gradients are summed.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], parts: Sequence[File], stated: Sequence[StatedReplica]):
        self.path, self.paths, self.parts, self.stated = folder, tuple(paths), tuple(parts), tuple(stated)
        self.split = stated[0].split if len({one.split for one in stated}) == 1 else None
        self.digests: list[dict[str, str]] | None = None
        self.covered: dict[str, list[str]] = {}
        self.whole: dict[str, Column] = {}
        self.num_rows = min(part.num_rows for part in parts)
        shared = [name for name in COLUMNS if all(name in part.columns for part in parts)]
        self.columns = tuple(shared)
        self.metadata, self.settings = (
            _metadata(parts, stated[0], self.split),
            _agreed([part.settings for part in parts]),
        )
        self.validations = self._first([part.validations for part in parts])
        self.checkpoints = self._first([part.checkpoints for part in parts])
        self._woven = self.split == INTERLEAVED
        self.losses_summed = stated[0].losses == "sum"
        self._chunk: dict[str, tuple[int, Column]] = {}  # of each column the one last merged
        self._lists: dict[str, tuple[int, Lists]] = {}  # of each column the block last merged
        self._streams: dict[str, list[Stream]] = {}
        self._partings: dict[str, Parting | None] = {}
        self._digests: list[Column] | None = [] if self.num_rows <= _KEPT_DIGESTS else None
        self._same_blocks = len({tuple(part.bounds) for part in parts}) == 1 and all(
            part.fingerprints for part in parts
        )
        self.unknown = dict.fromkeys(COLUMNS, self.num_rows)
        self.bounds = [0]
        self.certificate = self._certified()
        self.end = _end(parts, self.num_rows, self.certificate)

    def _first(self, placed: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Of what stands between the rows that of the first replica which has any: all have it, or one for all."""
        return [one for one in next(filter(None, placed), []) if one["after"] <= self.num_rows]

    def _certified(self) -> str:
        """Goes through all rows once: bounds, unknown values, and the certificate."""
        certifier, counted = Certifier(), [name for name in self.columns if self._may_be_known(name)]
        for name in counted:
            self.unknown[name] = 0
        listed = [name for name in LISTS if name in self.columns]
        for start in range(0, self.num_rows, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, self.num_rows)
            sizes = self._numbers("batch_size", start).values.clip(min=0)
            self._bound(start, sizes if listed else np.zeros(stop - start, np.int64))
            for name in counted:
                known = None if self._known_throughout(name, sizes) else self._numbers(name, start).known
                self.unknown[name] += 0 if known is None else len(known) - int(np.count_nonzero(known))
            updates, digests = self._numbers("updates", start), list[tuple[Column, int]]()
            for block in range(bisect_right(self.bounds, start) - 1, len(self.bounds) - 1):
                digests.append((self._made_digests(block), self.bounds[block + 1] - self.bounds[block]))
            digest = joined(digests)
            if self._digests is not None:
                self._digests.append(digest)
            self.unknown["ids_digest"] -= stop - start if digest.known is None else int(digest.known.sum())
            sized = self._numbers("batch_size", start).values
            certifier.add(np.arange(start, stop), digest.values, sized, updates.values)
        for name in listed:
            lacking = [part for part in self.parts if part.unknown[name]]
            self.unknown[name] = 0 if not lacking else self._unlisted(name)
        return certifier.result()

    def _may_be_known(self, name: str) -> bool:
        """Whether a column of numbers may have a value, by how many each replica has."""
        nothing = [part.unknown[name] == part.num_rows for part in self.parts]
        return not (name in LISTS or name == "ids_digest" or (all if name in _WEIGHTED else any)(nothing))

    def _bound(self, start: int, sizes: NDArray[np.int64]) -> None:
        """Adds the bounds of the blocks of a chunk: no more rows than have the elements that a block may have."""
        ends, first = np.cumsum(sizes), 0
        while first < len(sizes):
            before = int(ends[first - 1]) if first else 0
            first = max(int(np.searchsorted(ends, before + BLOCK_IDS, side="right")), first + 1)
            self.bounds.append(start + first)

    def _known_throughout(self, name: str, sizes: NDArray[np.int64]) -> bool:
        """Whether that can be said of the rows with these sizes without reading the column."""
        if any(part.unknown[name] for part in self.parts):
            return False
        return name == "step" or name == "time_ns" or name in _SUMMED or (name in _WEIGHTED and bool(sizes.all()))

    def _unlisted(self, name: str) -> int:
        blocks = range(len(self.bounds) - 1)
        known = [self._list(name, block).known for block in blocks]
        return sum(0 if one is None else len(one) - int(one.sum()) for one in known)

    def read(self, block: int, name: str) -> Any:
        """A block's column, as an Arrow array."""
        start, stop = self.bounds[block], self.bounds[block + 1]
        if name in LISTS:
            lists = self._list(name, block)
            return lists_array(name, Column(lists.values, lists.known), lists.lengths)
        if name not in self.columns:
            return pa.nulls(stop - start, SCHEMA.field(name).type)
        if name == "step":
            return array_of(name, Column(np.arange(start, stop)))
        first = start - start % BLOCK_ROWS
        if name != "ids_digest":
            values, known = self._numbers(name, first)
        elif self._digests is None:
            return array_of(name, self._made_digests(block))
        else:
            values, known = self._digests[start // BLOCK_ROWS]
        at = slice(start - first, stop - first)
        return array_of(name, Column(values[at], None if known is None else known[at]))

    # Numbers: a chunk is BLOCK_ROWS rows, the last one less

    def _numbers(self, name: str, start: int) -> Column:
        """A column of numbers of the chunk that begins there."""
        at, held = self._chunk.get(name, (-1, Column(np.zeros(0))))
        if at != start:
            stop = min(start + BLOCK_ROWS, self.num_rows)
            held = unknown_column(name, stop - start) if name not in self.columns else self._merged(name, start, stop)
            self._chunk[name] = start, held
        return held

    def _merged(self, name: str, start: int, stop: int) -> Column:
        columns = self.of_each(name, start, stop)
        if name in _WEIGHTED:
            sized, summed = self.of_each("batch_size", start, stop), name == "loss" and self.losses_summed
            return mean(zip(columns, sized, strict=True), stop - start, summed=summed)
        if name in _SUMMED:
            return reduced(self._summable(columns), np.add, name)
        return reduced(columns, np.maximum, name) if name == "time_ns" else agreeing(columns, name)

    def _summable(self, columns: Iterator[Column]) -> Iterator[Column]:
        """The same columns, if numbers of all replicas like these have a sum that can be counted."""
        most, last = LARGEST // (len(self.parts) * max(self.num_rows, 1)), None
        for column in columns:
            if column is not last and int(column.values.max(initial=0)) > most:
                raise damaged(self.path, "its replicas' batches have more samples than can be counted")
            last = column
            yield column

    def _alike_in_all(self, name: str, start: int, stop: int) -> bool:
        """Whether fingerprints show that all replicas have the same in these rows, so that one need be read."""
        bounds = self.parts[0].bounds
        blocks = range(bisect_right(bounds, start) - 1, bisect_left(bounds, stop)) if self._same_blocks else range(0)
        return bool(blocks) and all(
            len({part.fingerprints[block].get(name) for part in self.parts} | {None}) == 2 for block in blocks
        )

    def of_each(self, name: str, start: int, stop: int) -> Iterator[Column]:
        """Rows of a column of each replica, one after the other; little of them is kept, and one is read for all where
        they are known to be alike."""
        same = self._alike_in_all(name, start, stop)
        for part in self.parts[:1] if same else self.parts:
            column = rows_of(part, name, start, stop)
            part.forget(_KEPT // len(self.parts))
            yield from repeat(column, len(self.parts) if same else 1)

    def lists_of_each(self, name: str, rows: Sequence[int]) -> Iterator[list[Lists]]:
        """The lists of these rows, in order, of each replica, one after the other; of what was read nothing is kept."""
        for part in self.parts:
            stream = Stream(part, name)
            lists = [stream.lists(row, row + 1) for row in rows]
            part.forget(_KEPT // len(self.parts))
            yield [Lists(one.values.copy(), one.lengths, one.known) for one in lists]

    def parting(self, name: str) -> Parting | None:
        """The first row at which a replica has another value than the first one, where both know it."""
        if name not in self._partings:
            self._partings[name] = self._parting(name)
        return self._partings[name]

    def _parting(self, name: str) -> Parting | None:
        if name not in self.columns or not self.unknown[name]:
            return None
        for start in range(0, self.num_rows, BLOCK_ROWS):
            columns = self.of_each(name, start, min(start + BLOCK_ROWS, self.num_rows))
            first, found = next(columns), list[Parting]()
            for index, column in enumerate(columns, 1):
                unequal = ~alike(column, first)
                for known in (first.known, column.known):
                    unequal &= True if known is None else known
                if unequal.any():
                    found.append(Parting(start + int(np.argmax(unequal)), index))
            if found:
                return min(found)
        return None

    # Lists: a block is that of ``bounds``

    def _list(self, name: str, block: int) -> Lists:
        at, held = self._lists.get(name, (-1, Lists(np.zeros(0, np.int64), np.zeros(0, np.int64))))
        if at != block:
            start, stop = self.bounds[block], self.bounds[block + 1]
            if name not in self._streams:
                self._streams[name] = [Stream(part, name) for part in self.parts]
            held = together(self._listed(name, start, stop), woven=self._woven, each=LISTS[name])
            self._lists[name] = block, held
        return held

    def _listed(self, name: str, start: int, stop: int) -> list[Lists]:
        """Of each replica; of many rows several at once, for decoding is most of the work."""
        streams = self._streams[name]
        if (stop - start) * len(streams) < _FEW:
            return [stream.lists(start, stop) for stream in streams]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            return list(pool.map(lambda stream: stream.lists(start, stop), streams))

    def _made_digests(self, block: int) -> Column:
        """The digests of a block's samples, which are in no replica's file."""
        rows = self.bounds[block + 1] - self.bounds[block]
        if "ids" not in self.columns:
            return unknown_column("ids_digest", rows)
        values, lengths, known = self._list("ids", block)
        digests = ids_digests(as_bytes(values), lengths).values
        if known is not None and known.all():
            known = None
        if known is not None:
            digests = digests.copy()
            digests[~known] = np.zeros(1, "V16")
        return Column(digests, known)


@dataclass(frozen=True, slots=True)
class Dealt:
    """Steps of a run that replicas shared.

    Attributes:
        source: of all replicas, from the first of these steps on.
        first, rows: the first of them in the run, and how many; of_the_end: they are the run's last.
    """

    source: Merged
    first: int
    rows: int
    of_the_end: bool


# What stands beside the rows


def _agreed(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all state alike."""
    return {name: value for name, value in facts[0].items() if all(name in one and one[name] == value for one in facts)}


def _metadata(parts: Sequence[Source], stated: StatedReplica, split: str | None) -> dict[str, Any]:
    metadata = _agreed([part.metadata for part in parts])
    metadata |= {name: parts[0].metadata[name] for name in _OF_THE_FIRST if name in parts[0].metadata}
    losses = {} if stated.losses is None else {"losses": stated.losses}
    return metadata | {"replica": {"of": stated.of, "split": split, "gradients": stated.gradients, **losses}}


def _end(parts: Sequence[Source], rows: int, certificate: str) -> dict[str, Any]:
    """The end record; none if a replica's was cut off. The outcome is the first that is not ``complete``."""
    ends = [part.end for part in parts]
    if not all(ends):
        return {}
    outcome = next((end["outcome"] for end in ends if end["outcome"] != "complete"), "complete")
    end = {name: value for name, value in ends[0].items() if name != "captured"}
    return {**end, "rows": rows, "outcome": outcome, "certificate": certificate}
