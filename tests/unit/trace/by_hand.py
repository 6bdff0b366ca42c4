"""Traces taken to pieces and put together by hand, as FORMAT.md describes them."""

import hashlib
import itertools
import json
import os
import struct

import pyarrow as pa
from pyarrow import parquet

from xframe.trace.arrow import SCHEMA, column_of
from xframe.trace.certificate import Certifier, block_digests
from xframe.trace.journal import MAGIC
from xframe.trace.schema import CERTIFIED, COLUMNS, unknown_column
from xframe.trace.source import covered_columns

FRAME = struct.Struct("<cQ8s32s")  # of a journal: kind, length, check, digest


def frames_of(journal):
    """Kind, first byte and end of each frame of a journal."""
    at, frames = len(MAGIC), []
    while at < len(journal):
        kind, length, _, _ = FRAME.unpack_from(journal, at)
        frames.append((kind, at, at + FRAME.size + length))
        at = frames[-1][2]
    return frames


def cuts(path):
    """Cuts the file at every byte, from its end to its first; each time, how much is left."""
    for size in reversed(range(path.stat().st_size)):
        os.truncate(path, size)
        yield size


def changes(path, masks):
    """Changes every byte of the file, one at a time, in each of these ways; each time, where."""
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at, mask in itertools.product(range(len(whole)), masks):
            os.pwrite(file.fileno(), bytes([whole[at] ^ mask]), at)
            yield at
            os.pwrite(file.fileno(), whole[at : at + 1], at)


def changed(data, at, mask):
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def framed(payloads):
    """A journal of these frames, each a kind and a payload."""
    data, before = MAGIC, hashlib.blake2b(MAGIC, digest_size=32).digest()
    for kind, payload in payloads:
        start = kind + len(payload).to_bytes(8, "little")
        check = hashlib.blake2b(before + start, digest_size=8).digest()
        before = hashlib.blake2b(before + check + payload, digest_size=32).digest()
        data += start + check + before + payload
    return data


def sealed(path, table, texts, rows=None):
    """Writes a closed trace of these rows, so many in a block, and texts of the footer."""
    zeros = b"blake2b-256:" + b"0" * 64
    with parquet.ParquetWriter(path, table.schema.remove_metadata(), store_schema=False) as writer:
        writer.write_table(table, rows)
        writer.add_key_value_metadata({**texts, b"xframe.digest": zeros})
    data = path.read_bytes()
    assert data.count(zeros) == 1
    path.write_bytes(resealed(data))


def resealed(data):
    """A Parquet file with the digest in its footer made right, wherever its bytes were changed."""
    at = data.rindex(b"blake2b-256:") + 12
    bare = data[:at] + b"0" * 64 + data[at + 64 :]
    return data[:at] + hashlib.blake2b(bare, digest_size=32).hexdigest().encode() + data[at + 64 :]


def rewritten(path, change):
    """The trace as another version of xframe would have written it, digests and all.

    ``change`` takes the columns as the head states them, and those of a table by name, and changes both.
    """
    data = path.read_bytes()
    if data.startswith(MAGIC):
        payloads = [(kind, data[start + FRAME.size : stop]) for kind, start, stop in frames_of(data)]
        path.write_bytes(framed(_changed_frames(payloads, change)))
        return
    texts, table = parquet.read_metadata(path).metadata, parquet.read_table(path)
    index = json.loads(texts[b"xframe"])
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    change(index["head"]["columns"], columns)
    index["unknown"] = {name: values.null_count for name, values in columns.items()}
    known = _known_columns(columns)
    index["end"]["certificate"] = _certificate([known])
    blocks = [[0], [block_digests(known, covered_columns(index["head"]))]]
    sealed(path, pa.table(columns), {"xframe": json.dumps(index), "xframe.blocks": json.dumps(blocks)})


def _known_columns(columns):
    """The columns that this version of xframe knows."""
    rows = len(columns["step"]) if "step" in columns else 0
    there = {name: column_of(columns[name], 0, rows) for name in COLUMNS if name in columns}
    return {name: there.get(name, unknown_column(name, rows)) for name in COLUMNS}


def _certificate(blocks):
    certifier = Certifier()
    for columns in blocks:
        certifier.add(*(columns[name].values for name in CERTIFIED))
    return certifier.result()


def _changed_frames(payloads, change):
    blocks = []
    for kind, payload in payloads:
        if kind == b"H":
            head = json.loads(payload)
            change(head["columns"], {name: pa.nulls(0) for name in SCHEMA.names})
            yield kind, json.dumps(head).encode()
        elif kind == b"E":
            yield kind, json.dumps({**json.loads(payload), "certificate": _certificate(blocks)}).encode()
        elif kind == b"B":
            batch = pa.ipc.read_record_batch(payload, SCHEMA)
            columns = {name: batch.column(name) for name in SCHEMA.names}
            change([], columns)
            blocks.append(_known_columns(columns))
            yield kind, pa.record_batch(columns).serialize().to_pybytes()
        else:
            yield kind, payload
