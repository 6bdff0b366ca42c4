"""Traces of format 1, which xframe wrote before its first release: still read, never written.

An Arrow IPC stream. The schema's metadata holds a JSON object under ``xframe``; each record batch carries
``digest``, BLAKE2b-256 over the digest before it (the first: over the JSON) and the batch's columns; the
last batch has no rows and carries ``end``. The digests cover every value, but not Arrow's own framing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc

from xframe.trace.files import (
    SCHEMA,
    SCHEMA_2,
    arrow_array,
    damaged,
    dtype_of,
    not_a_trace,
    other_format,
    raw_buffer,
)
from xframe.trace.schema import Column

START = b"\xff\xff\xff\xff"  # of any Arrow stream
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # Arrow's own, after the end record
_SCHEMA = pa.schema([f.with_nullable(f.name not in ("step", "batch_size", "time_ns")) for f in SCHEMA_2])


class FormatOne:
    """A ``tracefile.Source`` that holds all rows in memory."""

    digests: list[dict[str, str]] | None = None

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.validations: list[dict[str, Any]] = []
        try:
            reader = ipc.open_stream(file)
            text = (reader.schema.metadata or {})[b"xframe"].decode()
            self.head: dict[str, Any] = json.loads(text)
            version = self.head["format"]
        except (pa.ArrowException, KeyError, TypeError, ValueError, AttributeError, OSError, MemoryError):
            raise not_a_trace(path) from None
        if version != 1:
            raise other_format(path, version)
        if not reader.schema.equals(_SCHEMA):
            raise damaged(path, "its columns are not those of the format")
        digest = hashlib.blake2b(text.encode(), digest_size=32).digest()
        self._batches: list[Any] = []
        end: dict[str, Any] | None = None
        while end is None:
            try:
                batch, custom = reader.read_next_batch_with_custom_metadata()
                batch.validate(full=True)
                found = custom[b"digest"].decode()
                ending = custom.get(b"end")
            except (StopIteration, pa.ArrowException, OSError, MemoryError):
                break  # cut here: what came before is whole
            except (KeyError, TypeError, ValueError):
                raise damaged(path, "a block carries no digest") from None
            if ending is None:
                try:
                    digest = _chain(digest, batch)
                except ValueError:  # its framing speaks of more than there is
                    digest = b""
                expected = digest.hex()
            else:
                expected = hashlib.blake2b(digest + ending, digest_size=32).hexdigest()
            if found != expected:
                raise damaged(path, f"block {len(self._batches)} is not what was written")
            if ending is None:
                self._batches.append(_made_anew(batch))
            else:
                end = json.loads(ending)
        if end is not None:
            rest = file.read()
            if rest != _END_OF_STREAM:
                if not _END_OF_STREAM.startswith(rest):
                    raise damaged(path, "something follows its end")
                end = None
        self.end: dict[str, Any] = end or {}
        self.bounds = [0, *np.cumsum([batch.num_rows for batch in self._batches], dtype=int).tolist()]
        self.num_rows = self.bounds[-1]
        if end is not None and end["rows"] != self.num_rows:
            raise damaged(path, f"it has {self.num_rows} rows where {end['rows']} were written")
        self.unknown = {name: sum(batch.column(name).null_count for batch in self._batches) for name in SCHEMA.names}

    def read(self, block: int, name: str) -> Any:
        return self._batches[block].column(name)


def _known(array: Any) -> Any:
    """Where the array has values, by its bits and not by its null count, which a damaged file may have wrong."""
    bits = array.buffers()[0]
    if bits is None:
        return np.ones(len(array), dtype=bool)
    every = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little")
    return every[array.offset : array.offset + len(array)].astype(bool)


def _stored(array: Any) -> Any:
    """The values as they stand in the file, zeros where they are not known."""
    return raw_buffer(array, 1, dtype_of(array.type))


def _lists(array: Any) -> tuple[Any, Any]:
    """The lists one after the other, and their lengths; an unknown list has none."""
    offsets, known = raw_buffer(array, 1, "<i4", more=1), _known(array)
    lengths, members = np.diff(offsets).astype("<i8"), _stored(array.values)[offsets[0] : offsets[-1]]
    return members[np.repeat(known, lengths)], np.where(known, lengths, 0)


def _made_anew(batch: Any) -> Any:
    """The same rows in arrays of our own making; what no digest covers, such as null counts, is left behind."""
    columns = {}
    for field in SCHEMA_2:
        column = batch.column(field.name)
        values = _lists(column)[0] if pa.types.is_list(field.type) else _stored(column)
        columns[field.name] = Column(values, _known(column))
    return pa.record_batch([arrow_array(field, columns, batch.num_rows) for field in SCHEMA], schema=SCHEMA)


def _chain(before: bytes, batch: Any) -> bytes:
    """The digest after ``batch``: which values are known, and the values, zero where not."""
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
