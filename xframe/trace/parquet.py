"""The closed form of a trace: one Parquet file, compact and readable by any tool. See FORMAT.md.

Its footer holds a digest over every byte of the file. It is written from a journal and read block by block, so
memory does not grow with steps.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from xframe.files.limits import FOOTER_BYTES, parsed, written
from xframe.files.new import NewFile, Passing
from xframe.trace.arrow import SCHEMA, TYPES, lengths_of, record_batch
from xframe.trace.certificate import Certifier, block_digests
from xframe.trace.pages import check_pages, checked_footer
from xframe.trace.schema import BY_NAME, CERTIFIED, COLUMNS, GROUPS, LISTS, PER_SAMPLE, PRINTS, SPARED, TABLE, Column
from xframe.trace.source import Source, covered_columns, damaged, head_of, read_between, stated_columns
from xframe.trace.stated import Blocks, Index, fitted, object_of

BLOCK_ROWS = 131_072  # in a block; fewer where these have more than this many ids:
BLOCK_IDS = 1 << 21

_DIGEST = re.compile(rb"xframe\.digest\x18L" + rb"blake2b-256:([0-9a-f]{64})")  # as Parquet writes key and value
_CHUNK = 1 << 20
_BUFFER = 1 << 16  # bytes of a column that are read ahead; without it Arrow holds a block's whole column while it reads
_FEW_ROWS = 1 << 10  # of which a file is hardly smaller compressed, and read twice as fast if it is not
_READ_AT_ONCE = 1 << 18  # bytes of a block up to which all of its columns are read as soon as one is asked for


def compact(source: Source, journal: NewFile) -> None:
    """Rewrites a journal as Parquet, in its place.

    Raises:
        OSError: that cannot be, as on a full disk; the journal stays.
    """
    with Passing(journal.path) as file:
        _write(source, file.path)
        if journal.still_there():
            file.put()


def _write(source: Source, path: Path) -> None:
    import pyarrow.parquet as parquet

    blocks, digests, certifier = list(_block_bounds(source)), [], Certifier()
    beside = {"end": source.end, "unknown": source.unknown, "validations": source.validations}
    beside |= {"settings": source.settings} if source.settings else {}
    names = [name for name in COLUMNS if name not in SPARED or source.unknown[name] < source.num_rows]
    beside |= {"checkpoints": source.checkpoints} if source.checkpoints else {}
    index = written({"head": head_of(source.metadata, names), **beside})
    integers = [*(column.name for column in TABLE if column.kind == "int64"), "ids.list.element"]
    schema, small = pa.schema([SCHEMA.field(name) for name in names]), source.num_rows <= _FEW_ROWS
    with parquet.ParquetWriter(
        path,
        schema,
        use_dictionary=["lr"],
        column_encoding=dict.fromkeys(integers, "DELTA_BINARY_PACKED") | {"loss": "BYTE_STREAM_SPLIT"},
        compression="none" if small and not set(names) & {*PRINTS} else "zstd",
        write_statistics=False,
        store_schema=False,
    ) as writer:
        for start, stop in blocks:
            columns = {name: read_between(source, name, start, stop) for name in names}
            certifier.add(*(columns[name].values for name in CERTIFIED))
            digests.append(block_digests(columns, GROUPS))
            writer.write_batch(record_batch(columns, stop - start, schema), row_group_size=max(stop - start, 1))
        if certifier.result() != source.end["certificate"]:
            raise damaged(path, "its rows are not those that were certified")
        table = [[start for start, _ in blocks], digests]
        texts = {"xframe": index, "xframe.blocks": written(table)}
        writer.add_key_value_metadata(texts | {"xframe.digest": "blake2b-256:" + "0" * 64})
    _seal(path)


def _block_bounds(source: Source) -> Iterator[tuple[int, int]]:
    """The rows of each block: ``BLOCK_ROWS``, or up to the row at which its lists have ``BLOCK_IDS`` values."""
    listed = [name for name in LISTS if source.unknown[name] < source.num_rows]
    if not listed:
        for start in range(0, source.num_rows, BLOCK_ROWS):
            yield start, min(start + BLOCK_ROWS, source.num_rows)
        return
    start, rows, ids = 0, 0, 0
    for i in range(len(source.bounds) - 1):
        lengths = np.sum([lengths_of(source.read(i, name)) for name in listed], axis=0)
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


def _seal(path: Path) -> None:
    """Puts the file's digest into its footer."""
    with path.open("r+b") as file:
        at = _digest_place(file)
        if at is None:
            raise OSError("the footer is not as it was written")
        digest = _file_digest(file, at)
        file.seek(at)
        file.write(digest)
        file.flush()


def _digest_place(file: BinaryIO) -> int | None:
    """Where in a Parquet file's footer its own digest stands; None if there is none."""
    size = file.seek(0, os.SEEK_END)
    if size < 12:
        return None
    file.seek(size - 8)
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > min(size - 12, FOOTER_BYTES):
        return None
    file.seek(size - 8 - length)
    matches = list(_DIGEST.finditer(file.read(length)))
    return size - 8 - length + matches[-1].start(1) if matches else None


def _footer(file: Any) -> bytes:
    """The bytes of a Parquet file's footer, whose length was checked."""
    size = file.seek(-8, os.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(size - length)
    footer: bytes = file.read(length)
    return footer


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


def _is_of(kind: str, stored: Any) -> bool:
    """Whether an Arrow type is what columns of that kind are stored in."""
    if kind in PER_SAMPLE:  # whatever its items are called
        return bool(pa.types.is_list(stored) and stored.value_type == pa.int64())
    return bool(stored == TYPES[kind])


class Closed:
    """Reads a closed trace, see ``xframe.trace.source.Source``: the file's digest is verified when it is opened."""

    certificate: str
    fingerprints: list[dict[str, bytes]]  # see ``xframe.trace.agreement.Verified``

    def __init__(self, path: Path, file: BinaryIO) -> None:
        import pyarrow.parquet as parquet

        # Arrow's own file: its threads may outlive a read, and one that still held a Python file when Python ends
        # would take the whole process down.
        with file:
            opened = pa.OSFile(os.fsencode(path))
        at = _digest_place(opened)
        if at is None:
            raise damaged(path, "it was cut or changed, or it is a Parquet file that is no trace")
        opened.seek(at)
        if opened.read(64) != _file_digest(opened, at):
            raise damaged(path, "it is not what was written")
        self.path, self._held = path, dict[str, tuple[int, Any]]()  # the block last read of each column
        self.whole = dict[str, Column]()
        try:
            leaves, groups = checked_footer(_footer(opened))
            self._parquet = parquet.ParquetFile(opened, pre_buffer=False, buffer_size=_BUFFER)
            self._begin([group.rows for group in groups])
            check_pages(opened, leaves, groups, self.columns)
        except (LookupError, TypeError, ValueError, OSError, pa.ArrowException) as error:
            raise damaged(path, f"its footer is none of a trace ({type(error).__name__}: {error})") from None

    def _begin(self, sizes: list[int]) -> None:
        """Takes what the footer states."""
        footer = self._parquet.metadata
        facts, table = object_of(footer.metadata[b"xframe"]), parsed(footer.metadata[b"xframe.blocks"])
        stated = stated_columns(self.path, fitted(Index, facts).head)
        starts, digests = table if type(table) is list and len(table) == 2 else ([], None)
        blocks = fitted(Blocks, {"starts": starts, "digests": digests})
        self.covered, self.end = covered_columns(facts["head"]), facts["end"]
        self.metadata, self.validations = facts["head"]["metadata"], facts["validations"]
        self.settings, self.checkpoints = facts.get("settings", {}), facts.get("checkpoints", [])
        self.columns = tuple(name for name in stated if name in BY_NAME)
        stored = self._parquet.schema_arrow
        if odd := [name for name in self.columns if not _is_of(BY_NAME[name].kind, stored.field(name).type)]:
            raise TypeError(", ".join(odd))
        self.bounds = np.cumsum([0, *sizes]).tolist()
        self.num_rows = self.bounds[-1]
        self.digests: list[dict[str, str]] | None = [
            {name: block[name] for name in (*self.covered, "finite")} for block in blocks.digests
        ]
        self.unknown = {name: facts["unknown"].get(name, self.num_rows) for name in COLUMNS}
        if blocks.starts != self.bounds[:-1] or len(self.digests) != len(sizes):
            raise ValueError("its blocks are not those of its rows")
        for what in (self.validations, self.checkpoints):
            made = [0, *(one["after"] for one in what), self.num_rows]
            if made != sorted(made):
                raise ValueError("its validations or checkpoints are not those of its rows")

    def stream(self, block: int, name: str, rows: int) -> Iterator[Any]:
        """A column from that block on as Arrow arrays of at most so many rows; little of it is held at once."""
        groups = range(block, len(self.bounds) - 1)
        try:
            for batch in self._parquet.iter_batches(rows, row_groups=groups, columns=[name], use_threads=False):
                batch.validate(full=True)
                yield batch.column(0)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise damaged(self.path, f"its blocks from {block} on cannot be read ({error})") from None

    def forget(self, most: int) -> None:
        """Lets go of what was read and is kept, if it is more bytes than that."""
        self.whole.clear()
        if sum(array.nbytes for _, array in self._held.values()) > most:
            self._held.clear()

    def read(self, block: int, name: str) -> Any:
        """A block's column, as an Arrow array."""
        held, array = self._held.get(name, (-1, None))
        if held != block:
            small = self._parquet.metadata.row_group(block).total_byte_size <= _READ_AT_ONCE
            names = self.columns if small else (name,)
            try:
                table = self._parquet.read_row_group(block, columns=[*names], use_threads=False)
                table.validate(full=True)
            except (OSError, ValueError, pa.ArrowException) as error:
                raise damaged(self.path, f"its block {block} cannot be read ({error})") from None
            if len(table) != self.bounds[block + 1] - self.bounds[block]:
                raise damaged(self.path, f"its block {block} has other rows than its footer states")
            for one, chunks in zip(table.column_names, table.columns, strict=True):
                array = chunks.combine_chunks() if chunks.num_chunks != 1 else chunks.chunk(0)
                self._held[one] = block, array
            array = self._held[name][1]
        return array
