"""What is put in place of a trace's columns and of the bytes that Arrow and Parquet keep them in."""

import random
from typing import Any

import numpy as np
import pyarrow as pa

TYPES = [
    *(pa.int32(), pa.uint64(), pa.float32(), pa.float64(), pa.int64(), pa.string(), pa.bool_(), pa.binary()),
    *(pa.binary(8), pa.binary(16), pa.timestamp("ns"), pa.duration("s"), pa.decimal128(38, 2), pa.null()),
    *(pa.list_(pa.int32()), pa.large_list(pa.int64()), pa.list_(pa.int64(), 2), pa.list_(pa.float64())),
    *(pa.list_(pa.list_(pa.int64())), pa.dictionary(pa.int32(), pa.int64()), pa.struct([("a", pa.int64())])),
]
NUMBERS = [-1, -(2**63), 2**63 - 1, 2**62, 2**62 + 1, 2**53, 2**40, 10**12, 0, 1, 3]
REALS = [float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324, -0.0, 0.0, 1e-300]
OPTIONS: list[dict[str, Any]] = [
    *({"compression": name} for name in ("none", "snappy", "gzip", "brotli", "lz4", "zstd")),
    *({"data_page_version": "2.0"}, {"write_statistics": False}, {"data_page_size": 8}, {"use_dictionary": False}),
    *({"store_schema": True}, {"version": "1.0"}, {"write_page_checksum": True}, {"write_page_index": True}),
    {"use_dictionary": False, "column_encoding": {"ids_digest": "DELTA_BYTE_ARRAY"}},
    {"use_dictionary": False, "column_encoding": {"step": "DELTA_BINARY_PACKED", "loss": "BYTE_STREAM_SPLIT"}},
]


def retyped(array: Any, rng: random.Random) -> Any:
    """The column as one of any type."""
    kind = rng.choice(TYPES)
    if array.null_count == len(array):  # Arrow crashes when it casts lists all of which are null
        return pa.nulls(len(array), kind)
    try:
        return array.cast(kind)
    except (pa.ArrowException, NotImplementedError, ValueError):
        return pa.nulls(len(array), kind)


def revalued(array: Any, rng: random.Random) -> Any:
    """The column with some values that no honest run has, or none."""
    values, some = array.to_pylist(), rng.choice([1, 2, len(array)])
    for row in rng.sample(range(len(array)), min(some, len(array))):
        values[row] = _odd(array.type, values[row], rng)
    return pa.array(values, array.type)


def _odd(kind: Any, value: Any, rng: random.Random) -> Any:
    if rng.random() < 0.2:
        return None
    if pa.types.is_list(kind):
        some = [rng.choice(NUMBERS) for _ in range(rng.choice([0, 1, 4, 400]))]
        return rng.choice([some, [*(value or []), *some], (value or [])[::-1], (value or [])[:1]])
    if pa.types.is_floating(kind):
        return rng.choice(REALS)
    if kind == pa.binary(16):
        return rng.choice([bytes(16), rng.randbytes(16)])
    return rng.choice(NUMBERS)


def changed(columns: dict[str, Any], rng: random.Random) -> str:
    """Changes one or more of the columns in place; what was done."""
    name, kind = rng.choice(list(columns)), rng.random()
    if kind < 0.45:
        columns[name] = revalued(columns[name], rng)
        return f"values of {name}"
    if kind < 0.65:
        columns[name] = retyped(columns[name], rng)
        return f"type of {name}"
    if kind < 0.72:
        del columns[name]
        return f"no {name}"
    if kind < 0.78:
        columns[rng.choice(["x", "loss.y", "ids.list.element", "\x1b[31m", ""])] = columns[name]
        return f"{name} twice"
    if kind < 0.84:
        order = list(columns)
        rng.shuffle(order)
        for other in order:
            columns[other] = columns.pop(other)
        return "order of columns"
    rows = [rng.randrange(len(columns[name])) for _ in range(rng.choice([0, 1, 5, 40]))]
    taken = pa.array(np.array(rows, dtype=np.int64))
    for other, array in columns.items():
        columns[other] = array.take(taken)
    if rng.random() < 0.7 and "step" in columns and columns["step"].type == pa.int64():
        columns["step"] = pa.array(np.arange(len(rows)))
    return "other rows"


def scrambled(data: bytes, rng: random.Random, start: int = 0, stop: int | None = None) -> bytes:
    """Some bytes of a range changed."""
    whole = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(start, len(whole) if stop is None else stop)
        odd = [whole[at] ^ 1 << rng.randrange(8), 0, 255, 127, 128, rng.randrange(256), (whole[at] + 1) % 256]
        whole[at] = rng.choice(odd)
    return bytes(whole)


def message(columns: dict[str, Any], rng: random.Random) -> bytes:
    """The columns as an Arrow message of any kind: compressed, of a schema, of more or fewer buffers."""
    batch = pa.record_batch(columns)
    kind = rng.random()
    if kind < 0.3:
        options = pa.ipc.IpcWriteOptions(compression=rng.choice(["zstd", "lz4"]))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(sink.getvalue()))
        reader.read_next_message()
        return reader.read_next_message().serialize().to_pybytes()
    if kind < 0.35:
        return batch.schema.serialize().to_pybytes()
    data = batch.serialize().to_pybytes()
    head = 8 + int.from_bytes(data[4:8], "little")
    if kind < 0.65:
        return scrambled(data, rng, 0, head)
    if kind < 0.85:
        return scrambled(data, rng, head) if len(data) > head else data
    return data[: rng.randrange(len(data))] if kind < 0.93 else data + rng.randbytes(rng.randrange(40))
