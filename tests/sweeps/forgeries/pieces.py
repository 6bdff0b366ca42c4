"""Files taken to pieces and put together again, with every digest made right."""

import hashlib
import io
import json
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from xframe.trace.arrow import SCHEMA, column_of, read_batch
from xframe.trace.certificate import Certifier, block_digests
from xframe.trace.journal import MAGIC
from xframe.trace.schema import CERTIFIED, COLUMNS, unknown_column
from xframe.trace.source import covered_columns

FRAME = struct.Struct("<cQ8s32s")  # of a journal: kind, length, check, digest
ZEROS = b"blake2b-256:" + b"0" * 64
ROWS = 10  # in a block


@dataclass
class Closed:
    """A closed trace: the JSON of its footer, its columns, and how Parquet stores them."""

    index: Any
    blocks: Any
    columns: dict[str, Any]
    options: dict[str, Any]
    rows: int = ROWS

    @classmethod
    def of(cls, data: bytes) -> "Closed":
        file = parquet.ParquetFile(pa.BufferReader(data))
        index, blocks = (json.loads(file.metadata.metadata[key]) for key in (b"xframe", b"xframe.blocks"))
        table = file.read()
        return cls(index, blocks, {name: table[name].combine_chunks() for name in table.column_names}, {})

    def right_again(self) -> None:
        """Makes what is stated of the rows follow from them, as far as they are a trace's."""
        rows = len(next(iter(self.columns.values())))
        known = known_columns(self.columns, rows)
        self.index["unknown"] = {name: values.null_count for name, values in self.columns.items()}
        self.index["end"].update(rows=rows, certificate=certificate([known]))
        bounds = [(start, min(start + self.rows, rows)) for start in range(0, rows, self.rows)]
        covered = covered_columns(self.index["head"])
        digests = [block_digests(known_columns(self.columns, stop - start, start), covered) for start, stop in bounds]
        self.blocks = [[start for start, _ in bounds], digests]

    def data(self) -> bytes:
        texts = {"xframe": self.index, "xframe.blocks": self.blocks}
        return self.sealed(pa.table(self.columns), {name: text_of(facts) for name, facts in texts.items()})

    def sealed(self, table: Any, texts: dict[str, bytes]) -> bytes:
        target = io.BytesIO()
        options = {"store_schema": False, **self.options}
        with parquet.ParquetWriter(target, table.schema.remove_metadata(), **options) as writer:
            writer.write_table(table, self.rows)
            writer.add_key_value_metadata({**texts, "xframe.digest": ZEROS})
        return resealed(target.getvalue())


def known_columns(columns: dict[str, Any], rows: int, start: int = 0) -> dict[str, Any]:
    there = {name: column_of(columns[name], start, start + rows) for name in COLUMNS if name in columns}
    return {name: there.get(name, unknown_column(name, rows)) for name in COLUMNS}


def certificate(blocks: list[dict[str, Any]]) -> str:
    certifier = Certifier()
    for columns in blocks:
        certifier.add(*(columns[name].values for name in CERTIFIED))
    return certifier.result()


def resealed(data: bytes) -> bytes:
    """A Parquet file with the digest in its footer made right, wherever the bytes before it were changed."""
    at = data.rfind(ZEROS[:12])
    if at < 0 or at + 76 > len(data):
        return data
    bare = data[: at + 12] + b"0" * 64 + data[at + 76 :]
    return bare[: at + 12] + hashlib.blake2b(bare, digest_size=32).hexdigest().encode() + bare[at + 76 :]


def frames_of(journal: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and payload of each frame of a journal."""
    at, frames = len(MAGIC), []
    while at < len(journal):
        kind, length, _, _ = FRAME.unpack_from(journal, at)
        frames.append((kind, journal[at + FRAME.size : at + FRAME.size + length]))
        at += FRAME.size + length
    return frames


def framed(frames: list[tuple[bytes, bytes]], stated: int | None = None) -> bytes:
    """A journal of these frames; ``stated`` is the length that the last states in place of its own."""
    data, before = MAGIC, hashlib.blake2b(MAGIC, digest_size=32).digest()
    for index, (kind, payload) in enumerate(frames):
        length = len(payload) if stated is None or index < len(frames) - 1 else stated
        start = kind + length.to_bytes(8, "little")
        check = hashlib.blake2b(before + start, digest_size=8).digest()
        before = hashlib.blake2b(before + check + payload, digest_size=32).digest()
        data += start + check + before + payload
    return data


def certified(frames: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The frames with the end that their rows have, as far as they are a trace's."""
    batches = [read_batch(payload, SCHEMA) for kind, payload in frames if kind == b"B"]
    known = [known_columns({n: batch.column(n) for n in SCHEMA.names}, batch.num_rows) for batch in batches]
    facts = {"rows": sum(batch.num_rows for batch in batches), "certificate": certificate(known)}
    return [(kind, text_of({**json.loads(p), **facts}) if kind == b"E" else p) for kind, p in frames]


def plain_of(lines: list[bytes]) -> bytes:
    """A plain trace of these lines, the digests among them made right."""
    digest, data = hashlib.sha256(), b""
    for line in lines:
        at = line.rfind(b'"digest": "')
        if at >= 0 and not line.startswith(b'{"step"'):
            at += len(b'"digest": "')
            digest.update(line[:at])
            line = line[:at] + digest.hexdigest().encode() + line[at + 64 :]
            digest.update(line[at:])
        else:
            digest.update(line)
        data += line
    return data


def text_of(facts: Any) -> bytes:
    """JSON; bytes as they are."""
    return facts if isinstance(facts, bytes) else json.dumps(facts).encode()


class Honest:
    """What forgeries are made of: the bytes of honest files by their form, and where the closed one's lie."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.folder, self.files = folder, files

    def closed(self) -> Closed:
        return Closed.of(self.files["closed"])

    def frames(self) -> list[tuple[bytes, bytes]]:
        return frames_of(self.files["journal"])


# What is put in place of a value


ESCAPES = "\x1b[31m\x1b]0;x\x07\r\b\u202e\ud800\x00"
MARKUP = "<script>alert(1)</script> ![x](http://e.org/x.png) [y](javascript:z) &lt;b&gt; www.e.org `` ``` |\n# PASSED"
WORDS = [
    *(None, True, False, -1, 0, 1, 1.5, -0.0, float("nan"), float("inf"), 1e308, 2**31, 2**53, 2**62, 2**63 - 1),
    *(2**63, 2**64, -(2**63), 10**30, 10**300, "", " ", "x", "complete", "int64", "float32", "ids", "plan"),
    *(ESCAPES, MARKUP, "é" * 40, "x" * 100_000, "\u0000", "../../etc/passwd", "null", "bool", "dictionary", "struct"),
    *(
        [],
        {},
        [[]],
        [{}],
        {"a": 1},
        [None] * 50,
        [0, 1],
        {"": ""},
        {ESCAPES: ESCAPES},
        [2**62, 2**62],
        {MARKUP: MARKUP},
    ),
]


def places(facts: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a JSON value any value stands."""
    inner = facts.items() if isinstance(facts, dict) else enumerate(facts) if isinstance(facts, list) else ()
    return [path, *(place for name, value in inner for place in places(value, (*path, name)))]


def edited(facts: Any, rng: random.Random) -> Any:
    """The JSON value with one of its values replaced, moved, doubled or left out; perhaps as a text."""
    facts = json.loads(json.dumps(facts))
    *_, last = path = rng.choice(places(facts)[1:] or [(None,)])
    if last is None:
        return rng.choice(WORDS)
    holder = facts
    for name in path[:-1]:
        holder = holder[name]
    kind, value = rng.random(), holder[last]
    if kind < 0.6:
        holder[last] = rng.choice(WORDS)
    elif kind < 0.7:
        del holder[last]
    elif kind < 0.75 and isinstance(holder, dict):
        holder[rng.choice(["", "x", ESCAPES, MARKUP])] = holder.pop(last)
    elif kind < 0.8 and isinstance(value, (int, float)):
        holder[last] = rng.choice([value + 1, value - 1, -value, value * 2**40, float(value), str(value)])
    elif kind < 0.85:
        holder[last] = rng.choice([[value], {"x": value}, [value, value]])
    elif kind < 0.9:
        text = json.dumps(facts)
        return text.replace("{", '{"rows": 1, "rows": 2, ', 1).encode()
    elif kind < 0.95:
        text = json.dumps(facts).encode()
        at = rng.randrange(len(text))
        return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]
    else:
        return json.dumps(facts).encode(rng.choice(["utf-16", "utf-8-sig", "utf-32"]))
    return facts
