"""The journal: the form of a trace while its run goes on, and of one whose writer was killed. See FORMAT.md.

It is made of frames, each with a digest over all bytes before it. So whatever was flushed can be read after
``kill -9``, and is verified before Arrow looks at it. A journal without its end frame is *truncated*; a cut between
two frames looks like any other.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.ipc as ipc

from xframe.trace.arrow import TYPES, arrow_type, record_batch, values_of
from xframe.trace.certificate import Certifier
from xframe.trace.parquet import compact
from xframe.trace.schema import BY_NAME, CERTIFIED, COLUMNS, Column
from xframe.trace.source import damaged, head_of, newer, stated_columns

FAMILY = b"XFRAME-TRACE-"  # begins journals of this format and of newer ones
MAGIC = FAMILY + b"1\r\n"
HEAD, BATCH, VALIDATION, END = b"H", b"B", b"V", b"E"

_HEADER = struct.Struct("<cQ8s32s")  # kind, length, check of these two, digest
_HELD_BYTES = 1 << 25  # of frames, so that a block's columns are made from one reading


class JournalWriter:
    """Appends frames; each is handed to the operating system at once."""

    def __init__(self, path: Path) -> None:
        self._file: Any = path.open("wb", buffering=0)
        self._size = 0
        self._append(MAGIC)
        self._digest = _digest(MAGIC)

    def write(self, kind: bytes, payload: Any) -> None:
        """Appends a frame: the whole of it, or, if the disk is full, nothing."""
        check = _check(self._digest, kind, len(payload))
        digest = _digest(self._digest, check, payload)
        self._append(_HEADER.pack(kind, len(payload), check, digest), payload)
        self._digest = digest

    def close(self) -> None:
        """Closes the file; what it holds is whole, with an end or without."""
        self._file.close()

    def _append(self, *parts: Any) -> None:
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


class TraceWriter:
    """Writes a trace block by block; each block is handed to the operating system at once.

    It is a journal while the run goes on, and becomes one Parquet file when it ends.

    Attributes:
        path: the file, absolute, for the loop may change its folder.
        num_rows: rows written so far.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        """Begins the file.

        Raises:
            TypeError: the metadata are not JSON; no file was made.
            OSError: the file cannot be written.
        """
        self.path, self.num_rows = path.absolute(), 0
        head = _json(head_of(metadata))
        self._certifier, self._journal = Certifier(), JournalWriter(path)
        self._journal.write(HEAD, head)

    def write(self, columns: Mapping[str, Column]) -> None:
        """Appends rows. A column of the schema that is not given is unknown throughout."""
        count = len(columns["step"].values)
        batch = record_batch(columns, count)
        self._journal.write(BATCH, memoryview(batch.serialize()))
        self._certifier.add(*(values_of(batch.column(name)) for name in CERTIFIED))
        self.num_rows += count

    def validation(self, facts: Mapping[str, Any]) -> None:
        """Appends a validation, made after the rows that are there."""
        self._journal.write(VALIDATION, _json({**facts, "after": self.num_rows}))

    def close(self, outcome: str, **facts: Any) -> None:
        """Writes the end and makes the trace compact; ``outcome`` is ``complete`` or states what ended the run."""
        end = {"rows": self.num_rows, "outcome": outcome, "certificate": self._certifier.result(), **facts}
        try:
            self._journal.write(END, _json(end))
        finally:
            self._journal.close()
        with self.path.open("rb") as file:
            compact(Journal(self.path, file), self.path)


def _json(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True).encode()


class Journal:
    """Reads a journal, see ``xframe.trace.source.Source``: every frame is verified when it is opened."""

    certificate: str

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.digests: list[dict[str, str]] | None = None
        self.covered: dict[str, list[str]] = {}
        self.metadata: dict[str, Any] = {}
        self.columns: tuple[str, ...] = ()
        self.end: dict[str, Any] = {}
        self.bounds = [0]
        self.unknown = dict.fromkeys(COLUMNS, 0)
        self.validations: list[dict[str, Any]] = []
        self._file = file
        self._schema: Any = None
        self._places: list[tuple[int, int]] = []
        self._held: dict[int, Any] = {}  # batches last read
        for kind, at, payload in _frames(path, file):
            if (kind == HEAD) == (self._schema is not None):
                raise damaged(path, "its head is not its first frame")
            try:
                self._take(kind, at, payload)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                raise damaged(path, f"a frame is none of a trace ({type(error).__name__}: {error})") from None
        self.num_rows = self.bounds[-1]

    def _take(self, kind: bytes, at: int, payload: bytes) -> None:
        if kind == BATCH:
            batch = ipc.read_record_batch(pa.py_buffer(payload), self._schema)
            self._places.append((at, len(payload)))
            self.bounds.append(self.bounds[-1] + batch.num_rows)
            for name in COLUMNS:
                self.unknown[name] += batch.column(name).null_count if name in self.columns else batch.num_rows
        elif kind == HEAD:
            self._begin(json.loads(payload))
        elif kind == VALIDATION:
            self.validations.append({**json.loads(payload)})
        elif kind == END:
            self.end = {**json.loads(payload)}
        else:
            raise newer(self.path, f"has a frame of the kind {kind!r}", "frames of the kinds B, E, H and V")

    def _begin(self, head: dict[str, Any]) -> None:
        columns = stated_columns(self.path, head)
        fields = []
        for name, kind in columns.items():
            if (stored := arrow_type(kind)) is None:
                raise newer(self.path, f"has the column {name!r} as {kind}", ", ".join(TYPES))
            fields.append(pa.field(name, stored))
        self.metadata, self._schema = {**head["metadata"]}, pa.schema(fields)
        self.columns = tuple(name for name in columns if name in BY_NAME)

    def read(self, block: int, name: str) -> Any:
        """A block's column, as an Arrow array."""
        batch = self._held.get(block)
        if batch is None:
            at, length = self._places[block]
            self._file.seek(at)
            batch = ipc.read_record_batch(pa.py_buffer(self._file.read(length)), self._schema)
            while self._held and length + sum(self._places[held][1] for held in self._held) > _HELD_BYTES:
                del self._held[next(iter(self._held))]
            self._held[block] = batch
        return batch.column(name)


def _frames(path: Path, file: BinaryIO) -> Iterator[tuple[bytes, int, bytes]]:
    """The kind, place and payload of each whole frame, verified.

    Raises:
        TraceError: what is there is not what was written.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise damaged(path, "its first bytes are not those of a trace")
    digest, frames, ended = _digest(MAGIC), 0, False
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        kind, length, check, sealed = _HEADER.unpack(header)
        if ended or check != _check(digest, kind, length):
            raise damaged(path, f"what follows its frame {frames} is not what was written")
        at = file.tell()
        if length > size - at:
            return  # cut here: what came before is whole
        payload = file.read(length)
        digest = _digest(digest, check, payload)
        if digest != sealed:
            raise damaged(path, f"frame {frames} is not what was written")
        yield kind, at, payload
        frames, ended = frames + 1, kind == END
    if ended and header:
        raise damaged(path, "something follows its end")


def _check(before: bytes, kind: bytes, length: int) -> bytes:
    """A frame's check, over all that came before and what states its own length."""
    return hashlib.blake2b(before + kind + length.to_bytes(8, "little"), digest_size=8).digest()


def _digest(*parts: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        digest.update(part)
    return digest.digest()
