"""The journal: the form of a trace while its run goes on, and of one whose writer was killed. See FORMAT.md.

It is made of frames, each with a digest over all bytes before it. So whatever was flushed can be read after
``kill -9``, and is verified before Arrow looks at it. A journal without its end frame is *truncated*; a cut between
two frames looks like any other.
"""

from __future__ import annotations

import hashlib
import os
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from xframe.errors import Verbatim, shown
from xframe.files.limits import FRAME_BYTES, JSON_BYTES, JSON_VALUES, weighed
from xframe.trace.arrow import TYPES, arrow_type, read_batch
from xframe.trace.schema import BY_NAME, COLUMNS, Column
from xframe.trace.source import damaged, newer, stated_columns
from xframe.trace.stated import End, StatedCheckpoint, StatedSettings, StatedValidation, fitted, object_of

FAMILY = b"XFRAME-TRACE-"  # begins journals of this format and of newer ones
MAGIC = FAMILY + b"1\r\n"
HEAD, BATCH, VALIDATION, END = b"H", b"B", b"V", b"E"
SETTINGS, CHECKPOINT = b"s", b"c"  # lower case: to be passed over by who does not know them

_HEADER = struct.Struct("<cQ8s32s")  # kind, length, check of these two, digest
_HELD_BYTES = 1 << 25  # of frames, so that a block's columns are made from one reading


class Journal:
    """Reads a journal, see ``xframe.trace.source.Source``: every frame is verified when it is opened."""

    certificate: str
    fingerprints: list[dict[str, bytes]]  # see ``xframe.trace.agreement.Verified``

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
        self.checkpoints: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = {}
        self.whole: dict[str, Column] = {}
        self._file = file
        self._schema: Any = None
        self._places, self._lengths = array("q"), array("q")  # of frames of rows; a long run has many
        self._held: dict[int, Any] = {}  # batches last read
        self._weight = 0, 0  # of all validations, checkpoints and settings: bytes and values
        for kind, at, payload in _frames(path, file):
            if (kind == HEAD) == (self._schema is not None):
                raise damaged(path, "its head is not its first frame")
            try:
                self._take(kind, at, payload)
            except (LookupError, TypeError, ValueError, OSError, struct.error, pa.ArrowException) as error:
                raise damaged(path, f"a frame is none of a trace ({type(error).__name__}: {error})") from None
        self.num_rows = self.bounds[-1]

    def _take(self, kind: bytes, at: int, payload: bytes) -> None:
        if kind == BATCH:
            batch = read_batch(payload, self._schema)
            self._places.append(at)
            self._lengths.append(len(payload))
            self.bounds.append(self.bounds[-1] + batch.num_rows)
            for name in COLUMNS:
                self.unknown[name] += batch.column(name).null_count if name in self.columns else batch.num_rows
        elif kind == HEAD:
            self._begin(object_of(payload))
        elif kind == VALIDATION:
            self.validations.append(self._placed(payload, StatedValidation, "a validation"))
        elif kind == CHECKPOINT:
            self.checkpoints.append(self._placed(payload, StatedCheckpoint, "a checkpoint"))
        elif kind == SETTINGS:
            self._weigh(payload)
            self.settings |= fitted(StatedSettings, {"settings": object_of(payload)}).settings
        elif kind == END:
            self.end = object_of(payload)
            fitted(End, self.end)
        elif not kind.islower():
            raise newer(self.path, f"has a frame of the kind {kind!r}", "frames of the kinds B, E, H, V, c and s")

    def _placed(
        self, payload: bytes, model: type[StatedValidation] | type[StatedCheckpoint], what: str
    ) -> dict[str, Any]:
        """What stands between the rows, after as many as it states."""
        facts = object_of(payload)
        if fitted(model, facts).after != self.bounds[-1]:
            raise ValueError(f"{what} after {facts['after']:,} steps of {self.bounds[-1]:,}")
        self._weigh(payload)
        return facts

    def _weigh(self, payload: bytes) -> None:
        self._weight = self._weight[0] + len(payload), self._weight[1] + weighed(payload)
        if self._weight[0] > JSON_BYTES or self._weight[1] > JSON_VALUES:
            raise ValueError("too many validations, checkpoints and settings")

    def _begin(self, head: dict[str, Any]) -> None:
        columns = stated_columns(self.path, head)
        fields = []
        for name, kind in columns.items():
            if (stored := arrow_type(kind)) is None:
                raise newer(self.path, f"has the column {shown(name)} as {shown(Verbatim(kind))}", ", ".join(TYPES))
            fields.append(pa.field(name, stored))
        self.metadata, self._schema = {**head["metadata"]}, pa.schema(fields)
        self.columns = tuple(name for name in columns if name in BY_NAME)

    def forget(self, most: int) -> None:
        """Lets go of what was read and is kept, if it is more bytes than that."""
        self.whole.clear()
        if sum(self._lengths[block] for block in self._held) > most:
            self._held.clear()

    def read(self, block: int, name: str) -> Any:
        """A block's column, as an Arrow array."""
        batch = self._held.get(block)
        if batch is None:
            length = self._lengths[block]
            self._file.seek(self._places[block])
            batch = read_batch(self._file.read(length), self._schema)
            while self._held and length + sum(self._lengths[held] for held in self._held) > _HELD_BYTES:
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
    digest, frames, ended = frames_digest(MAGIC), 0, False
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        kind, length, check, sealed = _HEADER.unpack(header)
        if ended or check != _check(digest, kind, length):
            raise damaged(path, f"what follows its frame {frames} is not what was written")
        at = file.tell()
        if length > size - at:
            return  # cut here: what came before is whole
        if length > FRAME_BYTES:
            raise damaged(path, f"frame {frames} has {length:,} bytes, more than any that is written")
        payload = file.read(length)
        digest = frames_digest(digest, check, payload)
        if digest != sealed:
            raise damaged(path, f"frame {frames} is not what was written")
        yield kind, at, payload
        frames, ended = frames + 1, kind == END
    if ended and header:
        raise damaged(path, "something follows its end")


def _check(before: bytes, kind: bytes, length: int) -> bytes:
    """A frame's check, over all that came before and what states its own length."""
    return hashlib.blake2b(before + kind + length.to_bytes(8, "little"), digest_size=8).digest()


def frame_header(before: bytes, kind: bytes, payload: Any) -> tuple[bytes, bytes]:
    """A new frame's header, and its digest; ``before`` is the digest of the frame before it."""
    check = _check(before, kind, len(payload))
    digest = frames_digest(before, check, payload)
    return _HEADER.pack(kind, len(payload), check, digest), digest


def frames_digest(*parts: Any) -> bytes:
    """A frame's digest, of what comes before it and of what it holds."""
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        digest.update(part)
    return digest.digest()
