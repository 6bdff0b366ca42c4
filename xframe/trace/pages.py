"""What a Parquet file says of itself, read before Arrow reads it: Arrow allocates what a footer or a page declares.

The footer and the head of each page are structs of Thrift's compact protocol. They are walked here, and refused
where they declare more than their bytes can hold, or than a trace has: 2,864 bytes can declare 300,000,000 ids.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from xframe.files.limits import CHUNKS, GROUP_IDS, GROUP_ROWS

_ENCODINGS = {0, 2, 3, 5, 8, 9}  # plain, dictionary, run lengths, packed differences, split bytes: none of which grows
_TYPES, _CODECS = range(8), (0, 1, 2, 5, 6, 7)  # none, Snappy, gzip, Zstandard and LZ4
_SLACK = 1 << 16  # bytes of a page beside its values
_VALUE_BYTES = 24  # of a value in a page at most, with its levels
_HEAD_BYTES = 1 << 10  # of a page at most
_DEPTH = 16
_SHORT = 64  # bytes that are kept
_STRUCT, _LIST = 12, 9
_FILE_SCHEMA, _FILE_GROUPS, _FILE_TEXTS = 2, 4, 5  # the fields of the footer
_ELEMENTS = 1000  # of a schema


class Walk:
    """Reads a struct of Thrift's compact protocol; every ValueError and IndexError means that it is none."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields by their numbers; many bytes as their number."""
        if depth > _DEPTH:
            raise ValueError("structs nested too deep")
        fields: dict[int, Any] = {}
        data, last = self._data, 0
        while head := data[self.at]:
            self.at += 1
            last = last + (head >> 4) if head >> 4 else self._signed()
            if last in fields or not 0 < last < 100:
                raise ValueError(f"field {last}")
            kind, byte = head & 15, data[self.at]
            if byte < 128 and 4 <= kind <= 6:  # most values are small numbers
                self.at += 1
                fields[last] = byte >> 1 ^ -(byte & 1)
            else:
                fields[last] = self.value(kind, depth + 1)
        self.at += 1
        return fields

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and kind of each field, after which its value is to be read."""
        last, seen = 0, set[int]()
        while head := self._byte():
            last = last + (head >> 4) if head >> 4 else self._signed()
            if last in seen or not 0 < last < 100:
                raise ValueError(f"field {last}")
            seen.add(last)
            yield last, head & 15

    def items(self) -> tuple[int, int]:
        """The number and kind of a list's items."""
        head = self._byte()
        size = head >> 4 if head >> 4 < 15 else self.unsigned()
        if size > len(self._data) - self.at:
            raise ValueError(f"a list of {size:,} items")
        return size, head & 15

    def value(self, kind: int, depth: int) -> Any:
        """A value of that kind."""
        if 4 <= kind <= 6:
            return self._signed()
        if kind == 8:
            size = self.skip(self.unsigned())
            return self._data[self.at - size : self.at] if size <= _SHORT else size
        if kind == _STRUCT:
            return self.struct(depth)
        if kind == _LIST:
            size, kind = self.items()
            return [self._byte() if kind in (1, 2) else self.value(kind, depth + 1) for _ in range(size)]
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind == 7:
            return self.skip(8)
        raise ValueError(f"a value of kind {kind}")

    def skip(self, size: int) -> int:
        """Leaves bytes out; their number."""
        if size > len(self._data) - self.at:
            raise IndexError("bytes beyond the end")
        self.at += size
        return size

    def unsigned(self) -> int:
        """A number of seven bits a byte, the lowest first."""
        byte = self._data[self.at]
        self.at += 1
        if byte < 128:
            return byte
        number, shift = byte & 127, 7
        while byte > 127:
            if shift > 63:
                raise ValueError("a number too long")
            byte = self._data[self.at]
            self.at += 1
            number |= (byte & 127) << shift
            shift += 7
        return number

    def _signed(self) -> int:
        number = self.unsigned()
        return number >> 1 ^ -(number & 1)

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte


class Chunk(NamedTuple):
    """A column of a row group, as the footer states it."""

    values: int
    bytes: int
    data: int  # where its first page of data lies
    dictionary: int  # where its dictionary lies, or 0


class Group(NamedTuple):
    """A row group, with the chunk of each leaf of the schema."""

    rows: int
    chunks: list[Chunk]


def checked_footer(footer: bytes) -> tuple[list[tuple[bytes, bool]], list[Group]]:
    """The schema's leaves, each with its column and whether it is an item of it, and the row groups.

    pyarrow is asked for none of it: it ends the process where it meets a codec or statistics that it does not know.

    Raises:
        ValueError, LookupError, TypeError: it asks Arrow for more memory than an honest one of its size.
    """
    walk, elements, groups, chunks = Walk(footer), list[dict[int, Any]](), list[Group](), 0
    for number, kind in walk.fields():
        if kind != _LIST or number not in (_FILE_SCHEMA, _FILE_GROUPS, _FILE_TEXTS):
            walk.value(kind, 1)
            continue
        size, kind = walk.items()
        if number == _FILE_SCHEMA:
            if size > _ELEMENTS:
                raise ValueError(f"a schema of {size:,} elements")
            elements = [walk.value(kind, 1) for _ in range(size)]
        elif number == _FILE_TEXTS:
            if b"ARROW:schema" in [walk.value(kind, 1)[1] for _ in range(size)]:
                raise ValueError("types of Arrow's own")  # which may be anybody's extension
        else:
            for _ in range(size):
                group = walk.value(kind, 1)
                groups.append(Group(group[3], [_chunk(column) for column in group[1]]))
                chunks += len(groups[-1].chunks)
                if chunks > CHUNKS:
                    raise ValueError(f"more than {CHUNKS:,} columns of row groups")
    leaves = _leaves(elements)
    if any(len(group.chunks) != len(leaves) for group in groups):
        raise ValueError("a row group without all of its columns")
    return leaves, groups


def _leaves(elements: list[dict[int, Any]]) -> list[tuple[bytes, bool]]:
    """The leaves of a schema, whose elements stand in it before their children."""
    leaves, left, top = list[tuple[bytes, bool]](), [elements[0][5]], b""
    for element in elements[1:]:
        while left and not left[-1]:
            left.pop()
        left[-1] -= 1
        if len(left) == 1:
            top = element[4]
        if children := element.get(5):
            left.append(children)
        else:
            leaves.append((top, len(left) > 1))
    return leaves


def _chunk(column: dict[int, Any]) -> Chunk:
    facts = column[3]
    if column.keys() & {1, 8, 9}:
        raise ValueError("a column in another file, or encrypted")
    if facts[1] not in _TYPES or facts[4] not in _CODECS:
        raise ValueError(f"a column of type {facts[1]}, compressed by {facts[4]}")
    return Chunk(facts[5], facts[7], facts[9], facts.get(11, 0))


def check_pages(
    file: Any, leaves: Sequence[tuple[bytes, bool]], groups: Sequence[Group], columns: Collection[str]
) -> None:
    """That the pages of these columns declare no more than they can hold, and than a block of a trace has.

    Raises:
        ValueError, LookupError, TypeError: they do.
    """
    size, names = file.seek(0, 2), {name.encode() for name in columns}
    for group in groups:
        if not 0 <= group.rows <= GROUP_ROWS:
            raise ValueError(f"a row group of {group.rows:,} rows, where a block has at most {GROUP_ROWS:,}")
        for (name, item), chunk in zip(leaves, group.chunks, strict=True):
            if name in names:
                most = GROUP_IDS if item else group.rows
                if not 0 <= chunk.values <= most or (not item and chunk.values != most):
                    raise ValueError(f"{chunk.values:,} values of {name.decode()}, where there are at most {most:,}")
                _check_chunk(file, size, chunk)


def _check_chunk(file: Any, size: int, chunk: Chunk) -> None:
    at = chunk.dictionary if 0 < chunk.dictionary < chunk.data else chunk.data
    end, values = at + chunk.bytes, 0
    if not 0 < at <= end <= size:
        raise ValueError("a column outside of the file")
    while at < end:
        file.seek(at)
        walk = Walk(file.read(min(_HEAD_BYTES, end - at)))
        head = walk.struct()
        held = head.get(5) or head.get(8) or head.get(7)  # of a data page, of the second version, of a dictionary
        if not isinstance(held, dict):
            raise ValueError("a page that holds no values")
        count, encoding = held[1], held[4 if 8 in head else 2]
        plain, packed = head[2], head[3]
        if not 0 <= count <= chunk.values or encoding not in _ENCODINGS:
            raise ValueError(f"a page of {count:,} values, of encoding {encoding}")
        if not 0 <= plain <= _VALUE_BYTES * count + _SLACK or not 0 <= packed <= end - at:
            raise ValueError(f"a page of {plain:,} bytes for {count:,} values")
        values += 0 if 7 in head else count
        at += walk.at + packed
    if values != chunk.values or at != end:
        raise ValueError(f"pages of {values:,} values in a column of {chunk.values:,}")
