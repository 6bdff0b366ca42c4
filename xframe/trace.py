"""The trace: what was seen in a run, one row a step. Written and read here, and nowhere else.

A trace is an Arrow IPC stream, so every block that was flushed can be read even if the writer was
killed. The schema's metadata holds one key, ``xframe``: a JSON object with ``format`` and what is
known of the run. Each record batch carries ``digest``, BLAKE2b-256 over the digest before it (the
first: over the JSON) and the batch's columns. The last batch has no rows and carries ``end``, a JSON
object with the number of rows, the certificate and how the run ended, and a digest of its own.
Without it the trace is *truncated*: an Arrow stream cut between two batches reads as whole.

The certificate is one digest of what was done: over step, ids_digest, batch_size and updates, in
blocks of 4,096 rows, however the rows were flushed. Equal runs have equal certificates.

Final weights, if any, lie beside ``NAME.trace`` in ``NAME.weights.npz``; ``end`` has their digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc

from xframe.counting import Counts, observed_epochs
from xframe.errors import NotATraceError, PlanError, TraceError, UsageError, Verbatim
from xframe.plan import TrainingPlan

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

FORMAT = 1
CERTIFICATE_BLOCK = 4096
COMPLETE = "complete"
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # Arrow's own, after the end record
_UNKNOWN = -1  # stands for null in the integer columns handed out, none of which can be negative

SCHEMA = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        pa.field("ids_digest", pa.binary(16)),
        pa.field("batch_size", pa.int64(), nullable=False),
        pa.field("updates", pa.int64()),
        pa.field("update_attempts", pa.int64()),
        pa.field("lr", pa.float64()),
        pa.field("loss", pa.float64()),
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("ids", pa.list_(pa.int64())),
        pa.field("epoch", pa.int64()),
        pa.field("step_in_epoch", pa.int64()),
        pa.field("padding", pa.int64()),
    ]
)


def weights_path(trace: Path) -> Path:
    """Where the final weights of the run recorded in ``trace`` are kept."""
    return trace.with_name(trace.stem + ".weights.npz")


def array_digest(array: NDArray[Any]) -> str:
    """Digest of an array's type, shape and little-endian bytes."""
    values = np.ascontiguousarray(array)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    head = f"{values.dtype.str} {values.shape};".encode()
    return hashlib.blake2b(head + values.tobytes(), digest_size=16).hexdigest()


class Certifier:
    """The certificate of rows that arrive in order, in pieces of any length."""

    _ROW = np.dtype([("step", "<i8"), ("ids_digest", "V16"), ("batch_size", "<i8"), ("updates", "<i8")])

    def __init__(self) -> None:
        self._pending = b""
        self._num_rows = 0
        self._blocks: list[bytes] = []

    def add(
        self,
        step: NDArray[np.int64],
        ids_digest: NDArray[np.void],
        batch_size: NDArray[np.int64],
        updates: NDArray[np.int64],
    ) -> None:
        rows = np.empty(len(step), dtype=self._ROW)
        rows["step"], rows["ids_digest"], rows["batch_size"], rows["updates"] = step, ids_digest, batch_size, updates
        self._num_rows += len(rows)
        data, size = self._pending + rows.tobytes(), CERTIFICATE_BLOCK * self._ROW.itemsize
        whole = len(data) - len(data) % size
        self._blocks += [hashlib.blake2b(data[i : i + size]).digest() for i in range(0, whole, size)]
        self._pending = data[whole:]

    def result(self) -> str:
        last = [hashlib.blake2b(self._pending).digest()] if self._pending else []
        text = b"".join([b"xframe-certificate-1", self._num_rows.to_bytes(8, "little"), *self._blocks, *last])
        return "xf1-" + hashlib.blake2b(text, digest_size=20).hexdigest()


class Column(NamedTuple):
    """A column to be written: its values, and where they are known (None: everywhere).

    The column ``ids`` holds the batches one after the other, ``ids_digest`` voids of 16 bytes.
    """

    values: NDArray[Any]
    known: NDArray[np.bool_] | None = None


class TraceWriter:
    """Writes a trace, block by block; each block is handed to the operating system at once."""

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        head = json.dumps({**metadata, "format": FORMAT}, sort_keys=True)
        self.path = path
        self.num_rows = 0
        self._digest = hashlib.blake2b(head.encode(), digest_size=32).digest()
        self._certifier = Certifier()
        self._file: BinaryIO = path.open("wb")
        schema = SCHEMA.with_metadata({"xframe": head})
        self._schema = schema
        self._writer = ipc.new_stream(self._file, schema)
        self.write({"step": Column(np.zeros(0, np.int64)), "batch_size": Column(np.zeros(0, np.int64))})  # the head too

    def write(self, columns: Mapping[str, Column]) -> None:
        """Appends rows. A column of the schema that is not given is unknown throughout."""
        count = len(columns["step"].values)
        lengths = columns["batch_size"].values
        arrays = [_array(field.type, columns.get(field.name), count, lengths) for field in self._schema]
        batch = pa.record_batch(arrays, schema=self._schema)
        self._digest = _chain(self._digest, batch)
        self._certifier.add(*_certified(batch))
        self._writer.write_batch(batch, custom_metadata={"digest": self._digest.hex()})
        self._file.flush()
        self.num_rows += count

    def close(self, outcome: str, **facts: Any) -> None:
        """Writes the end record; ``outcome`` is ``complete`` or says what ended the run."""
        end = {"rows": self.num_rows, "outcome": outcome, "certificate": self._certifier.result(), **facts}
        text = json.dumps(end, sort_keys=True)
        digest = hashlib.blake2b(self._digest + text.encode(), digest_size=32).hexdigest()
        empty = pa.record_batch([pa.nulls(0, field.type) for field in self._schema], schema=self._schema)
        self._writer.write_batch(empty, custom_metadata={"end": text, "digest": digest})
        self._writer.close()
        self._file.close()


@dataclass(frozen=True)
class Trace:
    """A trace that was read.

    Attributes:
        path: the file.
        metadata: what is known of the run: plan, task, adapter, versions, …; see ``xframe.recorder``.
        ending: ``complete``, ``truncated``, or what ended the run early.
        end: the end record; empty if truncated.
    """

    path: Path
    metadata: dict[str, Any]
    ending: str
    end: dict[str, Any]
    _table: Any

    @classmethod
    def open(cls, path: str | Path) -> Trace:
        """Reads a trace and checks its digests.

        Raises:
            NotATraceError: the file is none, or of a newer format.
            TraceError: the file is damaged.
        """
        path = Path(path)
        try:
            source = path.open("rb")
        except OSError as error:
            raise NotATraceError(
                "cannot read the trace", got=str(path), expected=f"a readable file ({error.strerror or error})"
            ) from None
        with source:
            return cls._read(path, source)

    @classmethod
    def _read(cls, path: Path, source: BinaryIO) -> Trace:
        try:
            reader = ipc.open_stream(source)
            head = (reader.schema.metadata or {})[b"xframe"].decode()
            metadata = json.loads(head)
            version = metadata.pop("format")
        except (pa.ArrowException, KeyError, TypeError, ValueError, AttributeError, OSError, MemoryError):
            raise NotATraceError(
                "not a trace", got=str(path), expected="a file written by xframe.record or xframe run"
            ) from None
        if version != FORMAT:
            raise NotATraceError(
                f"{path} is a trace of format {version!r}", expected=f"format {FORMAT}", remedy="Update xframe."
            )
        if not reader.schema.equals(SCHEMA):
            raise _damaged(path, "its columns are not those of the format")
        digest = hashlib.blake2b(head.encode(), digest_size=32).digest()
        batches: list[Any] = []
        end: dict[str, Any] | None = None
        while end is None:
            try:
                batch, custom = reader.read_next_batch_with_custom_metadata()
                batch.validate(full=True)
                found = custom[b"digest"].decode()
                text = custom.get(b"end")
            except (StopIteration, pa.ArrowException, OSError, MemoryError):
                break  # cut here: what came before is whole
            except (KeyError, TypeError, ValueError):
                raise _damaged(path, "a block carries no digest") from None
            if text is None:
                digest = _chain(digest, batch)
                batches.append(_made_anew(batch))
                expected = digest.hex()
            else:
                expected = hashlib.blake2b(digest + text, digest_size=32).hexdigest()
            if found != expected:
                raise _damaged(path, f"block {len(batches)} is not what was written")
            if text is not None:
                end = json.loads(text)
        if end is not None:
            rest = source.read()
            if rest != _END_OF_STREAM:
                if not _END_OF_STREAM.startswith(rest):
                    raise _damaged(path, "something follows its end")
                end = None
        table = pa.Table.from_batches(batches, schema=reader.schema)
        if end is not None and end["rows"] != table.num_rows:
            raise _damaged(path, f"it has {table.num_rows} rows where {end['rows']} were written")
        return cls(path, metadata, "truncated" if end is None else str(end["outcome"]), end or {}, table)

    @property
    def name(self) -> str:
        """What a report calls this run: its adapter if a harness recorded it, else the file's name."""
        return str(self.metadata.get("label") or self.path.stem)

    @property
    def complete(self) -> bool:
        """Whether the run was recorded to its regular end."""
        return self.ending == COMPLETE

    @property
    def num_rows(self) -> int:
        return int(self._table.num_rows)

    def known(self, name: str) -> NDArray[np.bool_]:
        """For each row, whether the column has a value there."""
        return _known(self._table[name].combine_chunks())

    def column(self, name: str) -> NDArray[Any]:
        """A column as int64 (-1 where unknown), float64 (NaN where unknown) or, for digests, 16-byte voids."""
        return _values(self._table[name].combine_chunks())

    @cached_property
    def _flat_ids(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        ids = self._table["ids"].combine_chunks()
        if not len(ids) or not _known(ids).all():
            return None
        values, lengths = _lists(ids)
        return values, np.concatenate([[0], np.cumsum(lengths)])

    @property
    def has_ids(self) -> bool:
        """Whether every row lists its sample ids."""
        return self._flat_ids is not None

    def ids(self, row: int) -> NDArray[np.int64]:
        """The sample ids of that row. Only where ``has_ids``."""
        if self._flat_ids is None:
            raise UsageError("the trace lists no sample ids", got=str(self.path), expected="one recorded with ids")
        values, bounds = self._flat_ids
        return values[bounds[row] : bounds[row + 1]]

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """The sample ids of each row, in order."""
        return (self.ids(row) for row in range(self.num_rows))

    @cached_property
    def certificate(self) -> str:
        """One digest of what was done; equal for runs that did the same."""
        certifier = Certifier()
        for batch in self._table.to_batches():
            certifier.add(*_certified(batch))
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
            raise _damaged(file, f"{type(error).__name__}: {error}") from None
        if {name: array_digest(values) for name, values in weights.items()} != told:
            raise _damaged(file, "these are not the weights that the trace vouches for")
        return weights

    def frame(self) -> pd.DataFrame:
        """The rows as a pandas data frame; digests in hex."""
        frame: pd.DataFrame = self._table.to_pandas()
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

    def _by_plan(self, epochs: NDArray[np.int64], rows_seen: int) -> tuple[int | None, int] | None:
        """Steps of the completed epochs and samples dropped, where the plan says what a whole epoch and pass is."""
        total = self.metadata.get("num_samples")
        try:
            return None if self.plan is None else observed_epochs(self.plan, total, epochs, rows_seen)  # type: ignore[arg-type]
        except PlanError:  # it does not fit the data, or is none
            return None

    def counts(self) -> Counts:
        """What the rows amount to. Epochs are the loop's own labels; what cannot be told is None."""
        sizes = self.column("batch_size")
        padding = np.maximum(self.column("padding"), 0)
        updates = self.column("updates")
        total = self.metadata.get("num_samples")
        num_epochs = per_epoch = dropped = None
        if self.num_rows and self.known("epoch").all():
            epochs = self.column("epoch")
            num_epochs = int(epochs[-1]) + 1
            by_plan = self._by_plan(epochs, int((sizes - padding).sum()))
            starts = np.flatnonzero(np.diff(epochs, prepend=epochs[0] - 1))
            steps = np.diff(starts, append=self.num_rows)
            seen = np.add.reduceat(sizes - padding, starts)
            if by_plan is not None:
                per_epoch, dropped = by_plan
            elif isinstance(total, int):
                over = np.ones(len(seen), dtype=bool)  # epochs that were walked to their end: all but perhaps the last
                over[-1] = seen[-1] == total
                told = True
                if 0 < total - seen[-1] < sizes.max():
                    # Samples too few for a batch were left: dropped, or a limit came before a short last batch.
                    # Earlier epochs tell which.
                    over[-1] = seen[0] < total
                    told = len(seen) > 1
                if told:
                    per_epoch = int(steps[over][0]) if over.any() and len(set(steps[over])) == 1 else None
                    dropped = int((total - seen[over]).clip(min=0).sum())
            elif len(steps) > 1 and len(set(steps[:-1])) == 1:
                per_epoch = int(steps[0])
        return Counts(
            num_steps=self.num_rows,
            num_updates=int(updates[-1]) if self.num_rows and self.known("updates").all() else None,
            num_epochs=num_epochs,
            steps_per_epoch=per_epoch,
            samples_seen=int((sizes - padding).sum()),
            samples_dropped=dropped,
            samples_padded=int(padding.sum()),
            last_batch_size=int(sizes[-1]) if self.num_rows else None,
        )


def _damaged(path: Path, why: str) -> TraceError:
    return TraceError(
        f"{path} is damaged: {why}",
        remedy="Nothing can be judged from it; record the run again, or copy the file again.",
    )


# Arrow's arrays are made from and read as plain buffers: pa.array and to_numpy would import pandas.


def _array(kind: Any, column: Column | None, count: int, lengths: NDArray[np.int64]) -> Any:
    """An Arrow array of ``count`` rows; those of a list are ``lengths`` long."""
    if column is None:
        return pa.nulls(count, kind)
    known = column.known if column.known is not None and not column.known.all() else None
    valid = None if known is None else pa.py_buffer(np.packbits(known, bitorder="little"))
    values = pa.py_buffer(np.ascontiguousarray(column.values))
    if not pa.types.is_list(kind):
        return pa.Array.from_buffers(kind, count, [valid, values])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    members = pa.Array.from_buffers(kind.value_type, len(column.values), [None, values])
    return pa.Array.from_buffers(kind, count, [valid, pa.py_buffer(offsets)], children=[members])


def _buffer(array: Any, index: int, dtype: str, more: int = 0) -> NDArray[Any]:
    """One of the array's buffers, from the array's first row on."""
    buffer = array.buffers()[index]
    if buffer is None:
        return np.zeros(len(array) + more, dtype=dtype)
    return np.frombuffer(buffer, dtype=dtype, count=array.offset + len(array) + more)[array.offset :]


def _known(array: Any) -> NDArray[np.bool_]:
    bits = array.buffers()[0]
    if bits is None:
        return np.ones(len(array), dtype=bool)
    every = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little")
    return every[array.offset : array.offset + len(array)].astype(bool)


def _stored(array: Any) -> NDArray[Any]:
    """The values as they stand in the file, zeros where they are not known."""
    kinds = {pa.float64(): "<f8", pa.binary(16): "V16"}
    return _buffer(array, 1, kinds.get(array.type, "<i8"))


def _values(array: Any) -> NDArray[Any]:
    """The values, with a mark of their own where they are not known."""
    floating = pa.types.is_floating(array.type)
    wide = pa.types.is_fixed_size_binary(array.type)
    values = _stored(array)
    known = _known(array)  # and not null_count, which a damaged file may have wrong
    if not known.all():
        values = values.copy()
        values[~known] = np.void(bytes(16)) if wide else np.nan if floating else _UNKNOWN
    return values


def _lists(array: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lists of an array one after the other, and their lengths; an unknown list has none."""
    offsets = _buffer(array, 1, "<i4", more=1)
    lengths, members = np.diff(offsets).astype("<i8"), _values(array.values)[offsets[0] : offsets[-1]]
    known = _known(array)
    if known.all():
        return members, lengths
    return members[np.repeat(known, lengths)], np.where(known, lengths, 0)


def _made_anew(batch: Any) -> Any:
    """The same rows in arrays of our own making; what no digest covers, such as null counts, is left behind."""
    lengths = _lists(batch.column("ids"))[1]
    arrays = []
    for field in SCHEMA:
        column = batch.column(field.name)
        values = _lists(column)[0] if pa.types.is_list(field.type) else _values(column)
        arrays.append(_array(field.type, Column(values, _known(column)), batch.num_rows, lengths))
    return pa.record_batch(arrays, schema=batch.schema)


def _certified(batch: Any) -> tuple[NDArray[Any], ...]:
    return tuple(_values(batch.column(name)) for name in ("step", "ids_digest", "batch_size", "updates"))


def _chain(before: bytes, batch: Any) -> bytes:
    """The digest after ``batch``: which values are known, and the values, zero where not; not over Arrow's framing."""
    digest = hashlib.blake2b(before, digest_size=32)
    for field in batch.schema:
        column = batch.column(field.name)
        digest.update(_known(column).tobytes())
        if pa.types.is_list(field.type):
            members, lengths = _lists(column)
            digest.update(lengths.tobytes())
            digest.update(members.tobytes())
        else:
            digest.update(_stored(column).tobytes())
    return digest.digest()


def open_all(paths: list[str | Path]) -> list[Trace]:
    """Opens traces that are to be compared; each file once."""
    resolved = [Path(path).resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise UsageError("a trace is compared with itself", got=Verbatim(paths[0]), expected="two different files")
    return [Trace.open(path) for path in paths]
