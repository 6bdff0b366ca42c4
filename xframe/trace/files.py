"""The trace's two forms on disk, written and read here and nowhere else. FORMAT.md describes them.

While a run goes on its trace is a *journal*: frames, each with a digest over all bytes before it, so that
whatever was flushed can be read after ``kill -9``, and is verified before Arrow looks at it. When the run
ends, the journal is rewritten as one Parquet file, compact and readable by any tool, whose footer holds
a digest over every byte of the file. Both are streamed: memory does not grow with steps.

A journal without its end frame is *truncated*; a cut between two frames looks like any other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc

from xframe.errors import NotATraceError, TraceError
from xframe.trace.certificate import Certifier
from xframe.trace.schema import CERTIFIED, COLUMNS, GROUPS, NEVER_NULL, NULLS, TABLE, Column, of_group, of_kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 3
MAGIC = b"XFRAME-TRACE-3\r\n"
MAGIC_2 = b"XFRAME-TRACE-2\r\n"
FAMILY = b"XFRAME-TRACE-"  # of this format and newer ones
BLOCK_ROWS = 131_072  # of a closed trace; fewer where these have more than so many ids:
BLOCK_IDS = 1 << 21

_FRAME = struct.Struct("<cQ8s32s")  # kind, length, check of these two, digest
_HEAD, _BATCH, _VALIDATION, _END = b"H", b"B", b"V", b"E"
_DIGEST = re.compile(rb"xframe\.digest\x18L" + rb"blake2b-256:([0-9a-f]{64})")  # as Parquet writes key and value
_CHUNK = 1 << 20
_HELD_BYTES = 1 << 25  # of a journal's frames, so that a block's columns are made from one reading

ARROW_TYPES = {"int64": pa.int64(), "float64": pa.float64(), "digest": pa.binary(16), "ids": pa.list_(pa.int64())}
SCHEMA = pa.schema([pa.field(c.name, ARROW_TYPES[c.kind], nullable=c.null != NEVER_NULL) for c in TABLE])
SCHEMA_2 = pa.schema([field for field in SCHEMA if field.name != "accuracy"])  # of format 2, and of 1


def damaged(path: Path, why: str) -> TraceError:
    return TraceError(
        f"{path} is damaged: {why}",
        remedy="Nothing can be judged from it; record the run again, or copy the file again.",
    )


def other_format(path: Path, version: object) -> NotATraceError:
    return NotATraceError(
        f"{path} is a trace of format {version}", expected=f"format 1 to {FORMAT}", remedy="Update xframe."
    )


def not_a_trace(path: Path) -> NotATraceError:
    return NotATraceError(
        "not a trace", got=str(path), expected="a file written by xframe.record, xframe run or xframe import"
    )


# The writer


class TraceWriter:
    """Writes a trace, block by block; each block is handed to the operating system at once."""

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        self.path, self.num_rows = path.absolute(), 0  # the loop may change its folder
        self._head = {**metadata, "format": FORMAT}
        text = json.dumps(self._head, sort_keys=True).encode()
        self._certifier = Certifier()
        self._file: Any = path.open("wb", buffering=0)  # handed to the operating system at once
        self._size = 0
        self._append(MAGIC)
        self._digest = hashlib.blake2b(MAGIC, digest_size=32).digest()
        self._frame(_HEAD, text)

    def _frame(self, kind: bytes, payload: Any) -> None:
        check, digest = _sealed(self._digest, kind, payload)
        self._append(_FRAME.pack(kind, len(payload), check, digest), payload)
        self._digest = digest

    def _append(self, *parts: Any) -> None:
        """All of it, or, if the disk is full, nothing of it: what is whole stays whole."""
        try:
            for part in parts:
                left = memoryview(part)
                while left:
                    left = left[self._file.write(left) :]
        except OSError:
            self._file.truncate(self._size)
            self._file.seek(self._size)
            raise
        self._size += sum(len(part) for part in parts)

    def write(self, columns: Mapping[str, Column]) -> None:
        """Appends rows. A column of the schema that is not given is unknown throughout."""
        count = len(columns["step"].values)
        batch = pa.record_batch([arrow_array(field, columns, count) for field in SCHEMA], schema=SCHEMA)
        self._frame(_BATCH, memoryview(batch.serialize()))
        self._certifier.add(*(values_of(batch.column(name)) for name in CERTIFIED))
        self.num_rows += count

    def validation(self, facts: Mapping[str, Any]) -> None:
        """Appends a validation, made after the rows that are there."""
        self._frame(_VALIDATION, json.dumps({**facts, "after": self.num_rows}, sort_keys=True).encode())

    def close(self, outcome: str, **facts: Any) -> None:
        """Writes the end and makes the trace compact; ``outcome`` is ``complete`` or says what ended the run."""
        end = {"rows": self.num_rows, "outcome": outcome, "certificate": self._certifier.result(), **facts}
        try:
            self._frame(_END, json.dumps(end, sort_keys=True).encode())
        finally:
            self._file.close()
        with self.path.open("rb") as source:
            compact(Journal(self.path, source), self.path)


def _sealed(before: bytes, kind: bytes, payload: Any) -> tuple[bytes, bytes]:
    """A frame's check, over what says how long it is, and its digest, each over all that came before too."""
    check = hashlib.blake2b(before + kind + len(payload).to_bytes(8, "little"), digest_size=8).digest()
    digest = hashlib.blake2b(before + check, digest_size=32)
    digest.update(payload)
    return check, digest.digest()


def compact(source: Source, path: Path) -> None:
    """Rewrites a journal as Parquet, in place of ``path``. If that fails, as on a full disk, the journal stays."""
    temporary = path.with_name(f".{path.name}.closing")
    try:
        _write_parquet(source, temporary)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_parquet(source: Source, path: Path) -> None:
    import pyarrow.parquet as parquet

    listed = source.unknown["ids"] < source.num_rows
    digests = []
    blocks = list(_block_bounds(source, listed))
    certifier = Certifier()
    index = json.dumps(
        {"head": source.head, "end": source.end, "unknown": source.unknown, "validations": source.validations},
        sort_keys=True,
    )
    integers = [*of_kind("int64"), "ids.list.element"]
    encodings = dict.fromkeys(integers, "DELTA_BINARY_PACKED") | {"loss": "BYTE_STREAM_SPLIT"}
    with parquet.ParquetWriter(
        path,
        SCHEMA,
        use_dictionary=["lr"],
        column_encoding=encodings,
        compression="zstd",
        compression_level=1,
        write_statistics=False,
        store_schema=False,
    ) as writer:
        for start, stop in blocks:
            columns = {name: rows_between(source, name, start, stop) for name in COLUMNS}
            certifier.add(*(columns[name].values for name in CERTIFIED))
            digests.append({group: _group_digest(columns, of_group(group)) for group in GROUPS})
            digests[-1]["finite"] = str(_all_finite(columns))
            batch = pa.record_batch([arrow_array(field, columns, stop - start) for field in SCHEMA], schema=SCHEMA)
            writer.write_batch(batch, row_group_size=max(stop - start, 1))
        table = [[start for start, _ in blocks], digests]
        if certifier.result() != source.end["certificate"]:
            raise damaged(path, "its rows are not those that were certified")
        facts = {"xframe": index, "xframe.blocks": json.dumps(table), "xframe.digest": "blake2b-256:" + "0" * 64}
        writer.add_key_value_metadata(facts)
    with path.open("r+b") as file:
        at = _digest_place(file)
        if at is None:
            raise OSError("the footer is not as it was written")
        digest = _file_digest(file, at)
        file.seek(at)
        file.write(digest)
        file.flush()


def _all_finite(columns: Mapping[str, Column]) -> bool:
    """Whether every loss and learning rate is a finite number."""
    return all(columns[name].known is None and bool(np.isfinite(columns[name].values).all()) for name in ("lr", "loss"))


def _block_bounds(source: Source, listed: bool) -> Iterator[tuple[int, int]]:
    """The rows of each block: ``BLOCK_ROWS``, or up to the row at which it has ``BLOCK_IDS`` ids."""
    if not listed:
        for start in range(0, source.num_rows, BLOCK_ROWS):
            yield start, min(start + BLOCK_ROWS, source.num_rows)
        return
    start, rows, ids = 0, 0, 0
    for i in range(len(source.bounds) - 1):
        lengths = lists_of(source.read(i, "ids"))[1]
        while len(lengths):
            ends = np.cumsum(lengths)
            take = min(int(np.searchsorted(ends, BLOCK_IDS - ids)) + 1, BLOCK_ROWS - rows, len(lengths))
            rows, ids = rows + take, ids + int(ends[take - 1])
            lengths = lengths[take:]
            if rows == BLOCK_ROWS or ids >= BLOCK_IDS:
                yield start, start + rows
                start, rows, ids = start + rows, 0, 0
    if rows:
        yield start, start + rows


def _group_digest(columns: Mapping[str, Column], names: tuple[str, ...]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        values, known = columns[name]
        digest.update(b"all" if known is None else known.tobytes())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _digest_place(file: BinaryIO) -> int | None:
    """Where in a Parquet file's footer its own digest stands; None if there is none."""
    size = file.seek(0, os.SEEK_END)
    if size < 12:
        return None
    file.seek(size - 8)
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > size - 12:
        return None
    file.seek(size - 8 - length)
    found = list(_DIGEST.finditer(file.read(length)))
    return size - 8 - length + found[-1].start(1) if found else None


def _file_digest(file: BinaryIO, at: int) -> bytes:
    """BLAKE2b-256, in hex, over the whole file with zeros in place of the digest at ``at``."""
    digest = hashlib.blake2b(digest_size=32)
    file.seek(0)
    left = at
    while left:
        chunk = file.read(min(left, _CHUNK))
        digest.update(chunk)
        left -= len(chunk)
    file.seek(64, os.SEEK_CUR)
    digest.update(b"0" * 64)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest().encode()


# The readers


class Source(Protocol):
    """Rows on disk, in blocks.

    Attributes:
        head: what is known of the run.
        end: the end record; empty if truncated.
        num_rows: rows in all.
        bounds: the first row of each block, and ``num_rows``.
        unknown: by column, how many rows have no value.
        digests: of each block, by the names of ``GROUPS`` and ``finite``; None if it has none.
        validations: made between the rows.
    """

    head: dict[str, Any]
    end: dict[str, Any]
    num_rows: int
    bounds: list[int]
    unknown: dict[str, int]
    digests: list[dict[str, str]] | None
    validations: list[dict[str, Any]]

    def read(self, block: int, name: str) -> Any:
        """A block's column, as an Arrow array."""


class Journal:
    """The form of a trace that is being written, or whose writer was killed."""

    digests: list[dict[str, str]] | None = None

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.head: dict[str, Any] = {}
        self.end: dict[str, Any] = {}
        self.bounds = [0]
        self.unknown = dict.fromkeys(COLUMNS, 0)
        self.validations: list[dict[str, Any]] = []
        self._file, self._schema = file, SCHEMA
        self._places: list[tuple[int, int]] = []
        self._held: dict[int, Any] = {}  # frames last read
        self._scan()

    def _scan(self) -> None:
        """Verifies every frame and notes where it is."""
        file = self._file
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        magic, version = file.read(len(MAGIC)), FORMAT
        if magic == MAGIC_2:
            self._schema, version = SCHEMA_2, 2
        elif magic != MAGIC:
            raise damaged(self.path, "its first bytes are not those of a trace")
        digest = hashlib.blake2b(magic, digest_size=32).digest()
        frames = 0
        while len(header := file.read(_FRAME.size)) == _FRAME.size:
            kind, length, check, sealed = _FRAME.unpack(header)
            expected = hashlib.blake2b(digest + kind + length.to_bytes(8, "little"), digest_size=8).digest()
            if check != expected or self.end:
                raise damaged(self.path, f"what follows its frame {frames} is not what was written")
            at = file.tell()
            if length > size - at:
                break  # cut here: what came before is whole
            payload = file.read(length)
            if _sealed(digest, kind, payload)[1] != sealed:
                raise damaged(self.path, f"frame {frames} is not what was written")
            digest = sealed
            if kind == _BATCH:
                batch = completed(ipc.read_record_batch(pa.py_buffer(payload), self._schema))
                self._places.append((at, length))
                self.bounds.append(self.bounds[-1] + batch.num_rows)
                for name in COLUMNS:
                    self.unknown[name] += batch.column(name).null_count
            elif kind == _HEAD:
                self.head = json.loads(payload)
                if self.head["format"] != version:
                    raise other_format(self.path, self.head["format"])
            elif kind == _VALIDATION:
                self.validations.append(json.loads(payload))
            else:
                self.end = json.loads(payload)
            frames += 1
        if self.end and header:
            raise damaged(self.path, "something follows its end")
        self.num_rows = self.bounds[-1]

    def read(self, block: int, name: str) -> Any:
        batch = self._held.get(block)
        if batch is None:
            at, length = self._places[block]
            self._file.seek(at)
            batch = completed(ipc.read_record_batch(pa.py_buffer(self._file.read(length)), self._schema))
            while self._held and length + sum(self._places[held][1] for held in self._held) > _HELD_BYTES:
                del self._held[next(iter(self._held))]
            self._held[block] = batch
        return batch.column(name)


class Closed:
    """The form of a trace whose run has ended."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        import pyarrow.parquet as parquet

        at = _digest_place(file)
        if at is None:
            raise damaged(path, "it was cut or changed, or it is a Parquet file that is no trace")
        file.seek(at)
        if file.read(64) != _file_digest(file, at):
            raise damaged(path, "it is not what was written")
        file.seek(0)
        self._parquet = parquet.ParquetFile(pa.PythonFile(file, mode="r"))
        facts = self._parquet.metadata.metadata
        index = json.loads(facts[b"xframe"])
        if index["head"]["format"] not in (2, FORMAT):
            raise other_format(path, index["head"]["format"])
        starts, self.digests = json.loads(facts[b"xframe.blocks"])
        self.head, self.end, self.unknown = index["head"], index["end"], index["unknown"]
        self.num_rows = int(self._parquet.metadata.num_rows)
        self.bounds = [*starts, self.num_rows]
        self.validations = index.get("validations", [])
        self.unknown = dict.fromkeys(COLUMNS, self.num_rows) | self.unknown
        self._columns = frozenset(self._parquet.schema_arrow.names)
        self._held: dict[str, tuple[int, Any]] = {}  # the block last read of each column

    def read(self, block: int, name: str) -> Any:
        if name not in self._columns:
            return pa.nulls(self.bounds[block + 1] - self.bounds[block], SCHEMA.field(name).type)
        held, array = self._held.get(name, (-1, None))
        if held != block:
            found = self._parquet.read_row_group(block, columns=[name], use_threads=False).column(0)
            array = found.combine_chunks() if found.num_chunks != 1 else found.chunk(0)
            self._held[name] = block, array
        return array


def completed(batch: Any) -> Any:
    """A record batch of an older format with the columns that it lacks, unknown throughout."""
    if len(batch.schema) == len(SCHEMA):
        return batch
    found = {field.name: batch.column(i) for i, field in enumerate(batch.schema)}
    columns = [found.get(field.name, pa.nulls(batch.num_rows, field.type)) for field in SCHEMA]
    return pa.record_batch(columns, schema=SCHEMA)


def rows_between(source: Source, name: str, start: int, stop: int) -> Column:
    """Rows ``start`` to ``stop`` (excluded) of a column."""
    first = max(int(np.searchsorted(source.bounds, start, side="right")) - 1, 0)
    pieces: list[Column] = []
    known: list[NDArray[np.bool_]] = []
    for i in range(first, len(source.bounds) - 1):
        low, high = source.bounds[i], source.bounds[i + 1]
        if low >= stop:
            break
        if high > start:
            begin, end = max(start - low, 0), min(stop, high) - low
            pieces.append(_part(source.read(i, name), begin, end))
            where = pieces[-1].known
            known.append(np.ones(end - begin, dtype=bool) if where is None else where)
    if len(pieces) == 1:
        return pieces[0]
    kind = dtype_of(SCHEMA.field(name).type)
    values = np.concatenate([piece.values for piece in pieces]) if pieces else np.zeros(0, dtype=kind)
    if all(piece.known is None for piece in pieces):
        return Column(values)
    return Column(values, np.concatenate(known))


# Arrow's arrays are made from and read as plain buffers: pa.array and to_numpy would import pandas.


def arrow_array(field: Any, columns: Mapping[str, Column], count: int) -> Any:
    """An Arrow array of ``count`` rows; a list is as long as its batch."""
    column, kind = columns.get(field.name), field.type
    if column is None:
        return pa.nulls(count, kind)
    known = column.known if column.known is not None and not column.known.all() else None
    valid = None if known is None else pa.py_buffer(np.packbits(known, bitorder="little"))
    values = pa.py_buffer(np.ascontiguousarray(column.values))
    if not pa.types.is_list(kind):
        return pa.Array.from_buffers(kind, count, [valid, values])
    lengths = columns["batch_size"].values if known is None else np.where(known, columns["batch_size"].values, 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    members = pa.Array.from_buffers(kind.value_type, len(column.values), [None, values])
    return pa.Array.from_buffers(kind, count, [valid, pa.py_buffer(offsets)], children=[members])


def dtype_of(kind: Any) -> str:
    return "<f8" if pa.types.is_floating(kind) else "V16" if pa.types.is_fixed_size_binary(kind) else "<i8"


def raw_buffer(array: Any, index: int, dtype: str, more: int = 0) -> NDArray[Any]:
    """One of the array's buffers, from the array's first row on."""
    buffer = array.buffers()[index]
    if buffer is None:
        return np.zeros(len(array) + more, dtype=dtype)
    return np.frombuffer(buffer, dtype=dtype, count=array.offset + len(array) + more)[array.offset :]


def known_of(array: Any) -> NDArray[np.bool_]:
    """Where an Arrow array has values."""
    bits = array.buffers()[0]
    if bits is None:
        return np.ones(len(array), dtype=bool)
    every = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little")
    return every[array.offset : array.offset + len(array)].astype(bool)


def values_of(array: Any) -> NDArray[Any]:
    """An Arrow array's values; where there are none, -1, NaN, or zeros for a digest."""
    values = raw_buffer(array, 1, dtype_of(array.type))
    if not array.null_count:
        return values
    known, values = known_of(array), values.copy()
    values[~known] = next(NULLS[kind] for kind, stored in ARROW_TYPES.items() if stored == array.type)
    return values


def lists_of(array: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lists of an Arrow array one after the other, and their lengths; an unknown list has none."""
    offsets = raw_buffer(array, 1, "<i4", more=1)
    lengths, members = np.diff(offsets).astype("<i8"), values_of(array.values)[offsets[0] : offsets[-1]]
    if not array.null_count:
        return members, lengths
    known = known_of(array)
    return members[np.repeat(known, lengths)], np.where(known, lengths, 0)


def _part(array: Any, start: int, stop: int) -> Column:
    part = array.slice(start, stop - start)
    known = known_of(part) if part.null_count else None
    return Column(lists_of(part)[0] if pa.types.is_list(part.type) else values_of(part), known)
