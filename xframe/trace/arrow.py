"""Columns as Arrow arrays, and back.

Arrays are made from plain buffers and read as such: pa.array and to_numpy would import pandas.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
from numpy.typing import NDArray

from xframe.trace.schema import DTYPES, LISTS, NEVER_NULL, NULLS, PER_SAMPLE, TABLE, Column

TYPES = {"int64": pa.int64(), "float64": pa.float64(), "digest": pa.binary(16)}
TYPES |= dict.fromkeys(PER_SAMPLE, pa.list_(pa.int64()))
_KINDS = {arrow: kind for kind, arrow in reversed(TYPES.items())}
SCHEMA = pa.schema([pa.field(c.name, TYPES[c.kind], nullable=c.null != NEVER_NULL) for c in TABLE])


def arrow_type(kind: str) -> Any:
    """The Arrow type of a column's kind, which may be Arrow's own name of a type; None if there is no such kind."""
    try:
        return TYPES.get(kind) or pa.type_for_alias(kind)
    except (TypeError, ValueError):
        return None


def read_batch(message: bytes, schema: Any) -> Any:
    """The record batch in an Arrow IPC message, all of whose buffers lie in the message and are what Arrow expects.

    Raises:
        ValueError, struct.error: it is no such message, or compressed: Arrow would allocate what it declares.
    """
    if _compressed(message):
        raise ValueError("a compressed record batch")
    batch = ipc.read_record_batch(pa.py_buffer(message), schema)
    batch.validate(full=True)
    return batch


def _compressed(message: bytes) -> bool:
    """Whether a record batch message states a compression: the fourth field of the table that its third refers to."""

    def follow(at: int) -> int:
        """Where what an offset refers to lies."""
        return at + int(struct.unpack_from("<I", flat, at)[0])

    def field(table: int, index: int) -> int:
        """Where a table's field lies; 0 if it has none of that index."""
        vtable = table - struct.unpack_from("<i", flat, table)[0]
        if vtable < 0 or struct.unpack_from("<H", flat, vtable)[0] < 6 + 2 * index:
            return 0
        offset = struct.unpack_from("<H", flat, vtable + 4 + 2 * index)[0]
        return table + int(offset) if offset else 0

    marker, size = struct.unpack_from("<iI", message)
    flat = message[8 : 8 + size] if marker == -1 else message[4 : 4 + marker]
    header = field(follow(0), 2)
    return bool(header and field(follow(header), 3))


def record_batch(columns: Mapping[str, Column], count: int, schema: Any = SCHEMA) -> Any:
    """Columns of ``count`` rows as a record batch of ``schema``; one that is not given is unknown throughout."""
    return pa.record_batch([_array(field, columns, count) for field in schema], schema=schema)


def _array(field: Any, columns: Mapping[str, Column], count: int) -> Any:
    """An Arrow array of ``count`` rows; a list is as long as its batch requires."""
    column, kind = columns.get(field.name), field.type
    if column is None:
        return pa.nulls(count, kind)
    known = column.known if column.known is not None and not column.known.all() else None
    valid = None if known is None else pa.py_buffer(np.packbits(known, bitorder="little"))
    values = pa.py_buffer(np.ascontiguousarray(column.values))
    if not pa.types.is_list(kind):
        return pa.Array.from_buffers(kind, count, [valid, values])
    lengths = LISTS[field.name] * columns["batch_size"].values
    lengths = lengths if known is None else np.where(known, lengths, 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    members = pa.Array.from_buffers(kind.value_type, len(column.values), [None, values])
    return pa.Array.from_buffers(kind, count, [valid, pa.py_buffer(offsets)], children=[members])


def array_of(name: str, column: Column) -> Any:
    """A column as an Arrow array; of those that are no lists."""
    return _array(SCHEMA.field(name), {name: column}, len(column.values))


def lists_array(name: str, column: Column, batch_size: NDArray[np.int64]) -> Any:
    """A column of lists as an Arrow array, of batches of these sizes."""
    return _array(SCHEMA.field(name), {name: column, "batch_size": Column(batch_size)}, len(batch_size))


def column_of(array: Any, start: int, stop: int) -> Column:
    """Rows ``start`` to ``stop`` (excluded) of an Arrow array."""
    part = array.slice(start, stop - start)
    if part.null_count == len(part) > 0 and not pa.types.is_list(part.type):
        kind = _KINDS[part.type]
        return Column(np.full(len(part), NULLS[kind], DTYPES[kind]), np.zeros(len(part), np.bool_))
    known = known_of(part) if part.null_count else None
    return Column(lists_of(part)[0] if pa.types.is_list(part.type) else values_of(part), known)


def values_of(array: Any) -> NDArray[Any]:
    """An Arrow array's values, with those of ``schema.NULLS`` in place of null."""
    kind = _KINDS[array.type]
    values = _buffer(array, DTYPES[kind])
    if not array.null_count:
        return values
    known, values = known_of(array), values.copy()
    values[~known] = NULLS[kind]
    return values


def lists_of(array: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lists of an Arrow array one after the other, and their lengths; an unknown list has none."""
    offsets = _buffer(array, "<i4", more=1)
    lengths, members = np.diff(offsets).astype("<i8"), values_of(array.values)[offsets[0] : offsets[-1]]
    if not array.null_count:
        return members, lengths
    known = known_of(array)
    return members[np.repeat(known, lengths)], np.where(known, lengths, 0)


def lengths_of(array: Any) -> NDArray[np.int64]:
    """How long the lists of an Arrow array are; an unknown list has no members."""
    lengths = np.diff(_buffer(array, "<i4", more=1)).astype("<i8")
    return np.where(known_of(array), lengths, 0) if array.null_count else lengths


def _buffer(array: Any, dtype: str, more: int = 0) -> NDArray[Any]:
    """The buffer of the array's values or offsets, from the array's first row on."""
    buffer = array.buffers()[1]
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
