"""A trace as it is read: one row a step, and what is known of the run. FORMAT.md describes the files.

Rows are read from disk in blocks when they are asked for, after the digests of the whole file were checked.
Final weights, if any, lie beside ``NAME.trace`` in ``NAME.weights.npz``; the trace has their digests.
"""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from xframe.errors import NotATraceError, PlanError, UsageError, Verbatim
from xframe.plan.counting import Counts, observed_epochs
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.certificate import Certifier
from xframe.trace.facts import Facts
from xframe.trace.files import (
    FAMILY,
    MAGIC,
    MAGIC_2,
    SCHEMA,
    Closed,
    Journal,
    Source,
    damaged,
    not_a_trace,
    other_format,
    rows_between,
)
from xframe.trace.schema import CERTIFIED, COLUMNS, Column

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

COMPLETE = "complete"
WINDOW = 131_072  # rows that are in memory at once


def weights_path(trace: Path) -> Path:
    """Where the final weights of the run recorded in ``trace`` are kept."""
    return trace.with_name(trace.stem + ".weights.npz")


def array_digest(array: NDArray[Any]) -> str:
    """Digest of an array's type, shape and little-endian bytes."""
    values = np.ascontiguousarray(array)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    head = f"{values.dtype.str} {values.shape};".encode()
    return hashlib.blake2b(head + values.tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Validation:
    """One validation, as it was observed.

    Attributes:
        after: steps that were made before it.
        num_batches, num_samples: that went through it.
        batch_sizes: of the batches in order, as pairs of a size and how many times in a row it came.
        ids_digest: XXH3-128 of the validation samples' ids in order, in hex.
        loss, accuracy: means over the samples.
        time_ns: since recording began.
    """

    after: int
    num_batches: int | None = None
    num_samples: int | None = None
    batch_sizes: tuple[tuple[int, int], ...] | None = None
    ids_digest: str | None = None
    loss: float | None = None
    accuracy: float | None = None
    time_ns: int | None = None


@dataclass(frozen=True, eq=False)
class Trace:
    """A trace that was read.

    Attributes:
        path: the file.
        metadata: what is known of the run: plan, task, adapter, versions, …; see ``xframe.recording.recorder``.
        ending: ``complete``, ``truncated``, or what ended the run early.
        end: the end record; empty if truncated.
        source: the rows.
    """

    path: Path
    metadata: dict[str, Any]
    ending: str
    end: dict[str, Any]
    source: Source = field(repr=False)

    @classmethod
    def open(cls, path: str | Path) -> Trace:
        """Opens a trace and checks its digests, over every byte of it.

        Raises:
            NotATraceError: the file is none, or of a newer format.
            TraceError: the file is damaged.
        """
        path = Path(path)
        source, file = _opened(path)
        weakref.finalize(source, file.close)
        metadata = {key: value for key, value in source.head.items() if key != "format"}
        ending = str(source.end["outcome"]) if source.end else "truncated"
        return cls(path, metadata, ending, source.end, source)

    @property
    def name(self) -> str:
        """What a report calls this run: its adapter if a harness recorded it, else the file's name."""
        return str(self.metadata.get("label") or self.path.stem)

    @cached_property
    def facts(self) -> Facts:
        """What is known of the run beside its rows."""
        return Facts.of(self.metadata)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that the trace has."""
        return COLUMNS

    @property
    def complete(self) -> bool:
        """Whether the run was recorded to its regular end."""
        return self.ending == COMPLETE

    @property
    def num_rows(self) -> int:
        return self.source.num_rows

    def known_throughout(self, name: str) -> bool:
        """Whether every row has a value in that column."""
        return not self.source.unknown[name]

    def between(self, name: str, start: int, stop: int) -> Column:
        """Rows ``start`` to ``stop`` of a column, and where they are known (None: everywhere).

        int64 (-1 where unknown), float64 (NaN where unknown), 16-byte voids for digests; for ``ids`` the batches
        one after the other.
        """
        return rows_between(self.source, name, start, stop)

    def known(self, name: str) -> NDArray[np.bool_]:
        """For each row, whether the column has a value there."""
        known = self.between(name, 0, self.num_rows).known
        return np.ones(self.num_rows, dtype=bool) if known is None else known

    def column(self, name: str) -> NDArray[Any]:
        """A whole column, as ``between`` gives it."""
        return self.between(name, 0, self.num_rows).values

    @property
    def has_ids(self) -> bool:
        """Whether every row lists its sample ids."""
        return self.num_rows > 0 and self.known_throughout("ids")

    def ids(self, row: int) -> NDArray[np.int64]:
        """The sample ids of that row. Only where ``has_ids``."""
        return self.ids_between(row, row + 1)

    def ids_between(self, start: int, stop: int) -> NDArray[np.int64]:
        """The sample ids of these rows, one batch after the other. Only where ``has_ids``."""
        if not self.has_ids:
            raise UsageError("the trace lists no sample ids", got=str(self.path), expected="one recorded with ids")
        return self.between("ids", start, stop).values

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """The sample ids of each row, in order."""
        for start, stop in pairwise(self.source.bounds):
            if start == stop:
                continue
            ids = self.ids_between(start, stop)
            yield from np.split(ids, np.cumsum(self.between("batch_size", start, stop).values)[:-1])

    def windows(self) -> Iterator[tuple[int, int]]:
        """All rows, as many at a time as are held in memory: the file's blocks, small ones together."""
        bounds, start = self.source.bounds, 0
        for i, stop in enumerate(bounds[1:], 2):
            if i == len(bounds) or bounds[i] - start > WINDOW:
                yield start, stop
                start = stop

    @cached_property
    def certificate(self) -> str:
        """One digest of what was done; equal for runs that did the same."""
        if self.source.digests is not None:  # when it was closed, the rows were held against it
            return str(self.end["certificate"])
        certifier = Certifier()
        for start, stop in self.windows():
            certifier.add(*(self.between(name, start, stop).values for name in CERTIFIED))
        return certifier.result()

    def weights(self) -> dict[str, NDArray[Any]] | None:
        """The final weights, or None if there are none beside the trace.

        Raises:
            TraceError: the file is not the one that was written.
        """
        told = self.end.get("weights")
        file = weights_path(self.path)
        if not told or not file.exists():
            return None
        try:
            with file.open("rb") as source, np.load(source, allow_pickle=False) as stored:
                weights = {name: stored[name] for name in stored.files}
        except Exception as error:  # zipfile, zlib and NumPy each have their own
            raise damaged(file, f"{type(error).__name__}: {error}") from None
        if {name: array_digest(values) for name, values in weights.items()} != told:
            raise damaged(file, "these are not the weights that the trace vouches for")
        return weights

    @cached_property
    def validations(self) -> tuple[Validation, ...]:
        """What was validated between the steps, in order."""
        known, found = Validation.__slots__, []
        for facts in self.source.validations:
            sizes = facts.get("batch_sizes")
            told = {name: facts[name] for name in known if name in facts}
            found.append(Validation(**{**told, "batch_sizes": sizes and tuple(map(tuple, sizes))}))
        return tuple(found)

    def epochs(self) -> pd.DataFrame:
        """Each epoch by the loop's labels: steps, samples, loss and accuracy, averaged by sample."""
        frame = self.frame()
        rows = frame["batch_size"].astype("float64")
        weighted = frame.assign(rows=rows, **{name: frame[name] * rows for name in ("loss", "accuracy")})
        found = weighted.groupby("epoch").agg(
            steps=("step", "size"),
            samples=("batch_size", "sum"),
            loss=("loss", lambda values: values.sum(skipna=False)),
            accuracy=("accuracy", lambda values: values.sum(skipna=False)),
        )
        for name in ("loss", "accuracy"):
            found[name] = found[name] / found["samples"]
        return found

    def frame(self) -> pd.DataFrame:
        """The rows as a pandas data frame; digests in hex."""
        import pyarrow as pa

        blocks = range(len(self.source.bounds) - 1)
        table = {
            name: pa.chunked_array([self.source.read(i, name) for i in blocks], type=SCHEMA.field(name).type)
            for name in COLUMNS
        }
        frame: pd.DataFrame = pa.table(table).to_pandas()
        frame["ids_digest"] = [None if value is None else value.hex() for value in frame["ids_digest"]]
        return frame

    @cached_property
    def plan(self) -> TrainingPlan | None:
        """The plan it was recorded under, if there was one.

        Raises:
            PlanError: the metadata hold one that is none.
        """
        fields = self.metadata.get("plan")
        return TrainingPlan.from_mapping(fields) if isinstance(fields, dict) and fields else None

    def counts(self) -> Counts:
        """What the rows amount to. Epochs are the loop's own labels; what cannot be told is None."""
        tally = self._tally
        labelled = bool(self.num_rows) and self.known_throughout("epoch")
        per_epoch, dropped = self._epochs(tally) if labelled else (None, None)
        sized = self.known_throughout("batch_size")
        return Counts(
            num_steps=self.num_rows,
            num_updates=self._last("updates"),
            num_epochs=int(tally.epochs[-1]) + 1 if labelled else None,
            steps_per_epoch=per_epoch,
            samples_seen=int(tally.seen.sum()) if sized else None,
            samples_dropped=dropped if sized else None,
            samples_padded=tally.padded,
            last_batch_size=self._last("batch_size"),
        )

    def _last(self, name: str) -> int | None:
        """The last row's value, where every row has one."""
        rows = self.num_rows
        return int(self.between(name, rows - 1, rows).values[0]) if rows and self.known_throughout(name) else None

    @cached_property
    def _tally(self) -> _Tally:
        tally, padded = _Tally(), self.source.unknown["padding"] < self.num_rows
        for start, stop in self.windows():
            sizes, epochs = (self.between(name, start, stop).values for name in ("batch_size", "epoch"))
            tally.add(sizes, self.between("padding", start, stop).values if padded else None, epochs)
        return tally

    def _epochs(self, tally: _Tally) -> tuple[int | None, int | None]:
        """Steps of the completed epochs and samples dropped: by the plan, else as far as the labels tell."""
        total, steps, seen = self.metadata.get("num_samples"), tally.lengths, tally.seen
        try:
            if self.plan is not None:
                return observed_epochs(self.plan, total, tally.epochs, steps, int(seen.sum()))  # type: ignore[arg-type]
        except PlanError:  # it does not fit the data, or is none
            pass
        if not isinstance(total, int):
            return (int(steps[0]) if len(steps) > 1 and len(set(steps[:-1].tolist())) == 1 else None), None
        over = np.ones(len(seen), dtype=bool)  # epochs that were walked to their end: all but perhaps the last
        over[-1] = seen[-1] == total
        if 0 < total - seen[-1] < tally.largest:
            # Samples too few for a batch were left: dropped, or a limit came before a short last batch.
            # Earlier epochs tell which.
            over[-1] = seen[0] < total
            if len(seen) == 1:
                return None, None
        alike = over.any() and len(set(steps[over].tolist())) == 1
        return (int(steps[over][0]) if alike else None), int((total - seen[over]).clip(min=0).sum())


class _Tally:
    """What counts need of the rows, which arrive in pieces: of each epoch, its label, steps and samples."""

    def __init__(self) -> None:
        self.epochs = self.lengths = self.seen = np.zeros(0, dtype=np.int64)
        self.padded = self.largest = 0

    def add(self, sizes: NDArray[Any], padding: NDArray[Any] | None, epochs: NDArray[Any]) -> None:
        starts = np.concatenate([[0], np.flatnonzero(epochs[1:] != epochs[:-1]) + 1])
        drawn = sizes = np.maximum(sizes, 0)
        if padding is not None:
            padding = np.maximum(padding, 0)
            drawn = sizes - padding
            self.padded += int(padding.sum())
        lengths, seen = np.diff(starts, append=len(epochs)), np.add.reduceat(drawn, starts)
        goes_on = int(len(self.epochs) > 0 and self.epochs[-1] == epochs[0])
        if goes_on:
            self.lengths[-1] += lengths[0]
            self.seen[-1] += seen[0]
        self.epochs = np.concatenate([self.epochs, epochs[starts[goes_on:]]])
        self.lengths = np.concatenate([self.lengths, lengths[goes_on:]])
        self.seen = np.concatenate([self.seen, seen[goes_on:]])
        self.largest = max(self.largest, int(sizes.max()))


def _opened(path: Path) -> tuple[Source, BinaryIO]:
    """The reader for a file, by how it begins, and the file that it reads from."""
    try:
        file = path.open("rb")
        start = file.read(len(MAGIC))
        file.seek(0)
    except OSError as error:
        raise NotATraceError(
            "cannot read the trace", got=str(path), expected=f"a readable file ({error.strerror or error})"
        ) from None
    try:
        if start in (MAGIC, MAGIC_2):
            return Journal(path, file), file
        if start.startswith(b"PAR1"):
            return Closed(path, file), file
        from xframe.trace import oldformat
        from xframe.trace import plainreader as plain

        if start.startswith(oldformat.START):
            return oldformat.FormatOne(path, file), file
        if plain.is_plain(start):
            with file, tempfile.TemporaryDirectory(prefix="xframe-") as folder:
                converted = Path(folder) / "converted.trace"
                plain.convert(path, converted)
                return _opened(converted)  # what a file holds stays readable while it is open
        if start.startswith(FAMILY):
            raise other_format(path, start[len(FAMILY) :].split(b"\r")[0].decode(errors="replace"))
        raise not_a_trace(path)
    except BaseException:
        file.close()
        raise


def open_all(paths: Sequence[str | Path]) -> list[Trace]:
    """Opens traces, several at once, since most of the time goes into digests, which run in parallel."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(Trace.open, paths))


def open_different(paths: Sequence[str | Path]) -> list[Trace]:
    """Opens traces that are to be compared; each file once."""
    resolved = [Path(path).resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise UsageError("a trace is compared with itself", got=Verbatim(paths[0]), expected="two different files")
    return open_all(paths)
