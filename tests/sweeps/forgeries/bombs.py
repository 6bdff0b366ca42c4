"""Small files that ask for much: memory, depth, digits, or a wait without end."""

import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from xxhash import xxh3_128_digest

from sweeps.forgeries.pieces import ZEROS, Honest, framed, resealed, text_of
from xframe.files.limits import BATCH_IDS
from xframe.trace.weights import weights_path

FIXTURES = Path(__file__).parents[2] / "fixtures"
DEEP = 200_000
Bomb = Callable[[Path, Honest, random.Random], Path]


def _json(rng: random.Random) -> bytes:
    """A JSON text that is too deep, too long, or has too many digits."""
    many = rng.choice([DEEP, 2_000_000])
    return rng.choice(
        [
            lambda: b"[" * many + b"]" * many,
            lambda: b'{"a":' * DEEP + b"1" + b"}" * DEEP,
            lambda: b"[" * many,
            lambda: b'{"rows": ' + b"7" * 5000 + b"}",
            lambda: b'{"rows": 1e' + b"9" * 5000 + b"}",
            lambda: b'{"a": "' + b"\\u00e9" * many + b'"}',
            lambda: b"[" + b"{}," * many + b"{}]",
            lambda: b'{"a": "' + b'\\"' * many,
            lambda: b"[" + b",".join(b'{"a":%d}' % k for k in range(100_000)) + b"]",
        ]
    )()


def in_a_frame(path: Path, honest: Honest, rng: random.Random) -> Path:
    frames = honest.frames()
    at = rng.choice([i for i, (kind, _) in enumerate(frames) if kind != b"B"])
    frames[at] = frames[at][0], _json(rng)
    path.write_bytes(framed(frames))
    return path


def in_the_metadata(path: Path, honest: Honest, rng: random.Random) -> Path:
    frames = honest.frames()
    frames[0] = b"H", frames[0][1].replace(b'"metadata": {', b'"metadata": {"a": ' + _json(rng) + b", ")
    path.write_bytes(framed(frames))
    return path


def in_the_footer(path: Path, honest: Honest, rng: random.Random) -> Path:
    closed = honest.closed()
    if rng.random() < 0.5:
        closed.index = _json(rng)
    else:
        closed.blocks = _json(rng)
    path.write_bytes(closed.data())
    return path


def in_a_plain_line(path: Path, honest: Honest, rng: random.Random) -> Path:
    lines = honest.files["plain"].splitlines(keepends=True)
    head = lines[0].rstrip(b"}\n") + b', "a": ' + _json(rng) + b"}\n"
    row = b'{"step": 0, "ids": ' + _json(rng) + b', "time_ns": 0}\n'
    path.write_bytes(b"".join(rng.choice([[head, *lines[1:]], [*lines[:2], row, *lines[2:]]])))
    return path


def a_long_frame(path: Path, honest: Honest, rng: random.Random) -> Path:
    frames = honest.frames()
    stated = rng.choice([40 * 10**9, 2**63, 2**64 - 1, 2**31])
    path.write_bytes(framed([*frames[: rng.randrange(len(frames))], (b"H", b"")], stated).ljust(65, b"\0"))
    return path


def many_ids(path: Path, honest: Honest, rng: random.Random) -> Path:
    """300,000,000 equal ids in 3,574 bytes, as they are or with another number in the footer."""
    data = (FIXTURES / "many-ids.trace").read_bytes()
    stated = b"\x80\x8c\x8d\x9e\x02"  # of 600,000,000: the number as Thrift writes it
    if rng.random() < 0.7:
        at = [i for i in range(len(data)) if data.startswith(stated, i)]
        other = rng.choice([b"\x80\x80\x80\x80\x01", b"\x82\x80\x80\x80\x00", b"\xff\xff\xff\x3f\x00"])
        for i in at if rng.random() < 0.5 else [rng.choice(at)]:
            data = data[:i] + other + data[i + 5 :]
    path.write_bytes(resealed(data))
    return path


def many_ids_in_a_row(path: Path, honest: Honest, rng: random.Random) -> Path:
    """As many equal ids as a row may list, in 4 kB."""
    closed = honest.closed()
    many = BATCH_IDS + rng.choice([0, 0, 0, 1])
    ids = np.full(many, rng.choice([0, 1, 2**62]))
    if rng.random() < 0.5:
        ids[:: rng.choice([2, 1000])] = 3
    values = {"step": 0, "batch_size": many, "updates": 1, "ids_digest": xxh3_128_digest(ids), "lr": 0.1, "loss": 1.0}
    for name, array in closed.columns.items():
        closed.columns[name] = pa.array([values.get(name)], array.type)
    closed.columns["ids"] = pa.ListArray.from_arrays(pa.array([0, many], pa.int32()), pa.array(ids))
    closed.index["validations"] = []
    closed.right_again()
    path.write_bytes(closed.data())
    return path


def a_large_row_group(path: Path, honest: Honest, rng: random.Random) -> Path:
    closed, rows = honest.closed(), 1_000_000
    for name, array in closed.columns.items():
        closed.columns[name] = pa.nulls(rows, array.type) if name != "step" else pa.array(np.arange(rows))
    closed.rows = rows
    closed.index["validations"] = []
    closed.right_again()
    path.write_bytes(closed.data())
    return path


def large_pages(path: Path, honest: Honest, rng: random.Random) -> Path:
    """Pages of zeros whose head states other sizes than they have."""
    closed, rows = honest.closed(), 131_072
    closed.columns = {name: pa.nulls(rows, array.type) for name, array in closed.columns.items()}
    closed.columns["step"] = pa.array(np.arange(rows))
    closed.columns["updates"] = pa.array(np.zeros(rows, np.int64))
    closed.rows, closed.options = rows, {"use_dictionary": False, "compression": rng.choice(["zstd", "gzip", "snappy"])}
    data = bytearray(closed.data())
    for _ in range(rng.choice([1, 3])):  # in front of the first pages, where their heads are
        data[rng.randrange(4, 400)] = rng.choice([0xFF, 0x80, 0x0F])
    path.write_bytes(resealed(bytes(data)))
    return path


def a_large_footer(path: Path, honest: Honest, rng: random.Random) -> Path:
    """A footer with a million empty structs where Arrow would make large ones of each."""

    def many(count: int, item: bytes) -> bytes:
        head, number = b"\xfc", b""
        while count > 127:
            number, count = number + bytes([count & 127 | 128]), count >> 7
        return head + number + bytes([count]) + item

    count = rng.choice([100_000, 1_000_000])
    chunk = b"\x26\x00\x00"  # a column chunk with its place and nothing else
    groups = rng.choice([many(count, b"\x00" * count), many(1, b"\x19" + many(count, chunk * count) + b"\x00")])
    schema = many(count, b"\x00" * count) if rng.random() < 0.3 else b"\x1c\x48\x01x\x00"
    digest = b"\x18\x0exframe.digest\x18L" + ZEROS
    footer = b"\x15\x02\x19" + schema + b"\x16\x00\x19" + groups + b"\x19\x1c" + digest + b"\x00\x00"
    data = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    path.write_bytes(resealed(data))
    return path


def a_compressed_frame(path: Path, honest: Honest, rng: random.Random) -> Path:
    """A record batch that would unpack to 800 MB."""
    frames = honest.frames()
    batch = pa.record_batch({"step": pa.array(np.zeros(2_000_000, np.int64))})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(sink.getvalue()))
    reader.read_next_message()
    packed = bytearray(reader.read_next_message().serialize().to_pybytes())
    if rng.random() < 0.5:  # what a buffer states of its own length
        size = (16_000_000).to_bytes(8, "little")
        packed[packed.index(size) : packed.index(size) + 8] = (800_000_000).to_bytes(8, "little")
    head = json.loads(frames[0][1])
    head["columns"] = head["columns"][:1]
    path.write_bytes(framed([(b"H", text_of(head)), (b"B", bytes(packed)), (b"B", bytes(packed)), frames[-1]]))
    return path


def a_large_plan(path: Path, honest: Honest, rng: random.Random) -> Path:
    closed, much = honest.closed(), [2 * 10**8, 10**9, 10**12, 2**62, 2**63 - 1]
    plan = {"batch_size": rng.choice([1, 2, 64, *much]), "epochs": rng.choice([1, *much])}
    extra: dict[str, object] = {
        "steps_per_epoch": rng.choice(much),
        "gradient_accumulation_steps": rng.choice([2, *much]),
        "validation_every": rng.choice([1, *much]),
        "remainder": rng.choice(["keep", "drop", "pad", "carry"]),
        "order": rng.choice(["sequential", "shuffle"]),
    }
    plan |= {name: extra[name] for name in rng.sample(list(extra), rng.randrange(len(extra)))}
    closed.index["head"]["metadata"].update(plan=plan, num_samples=rng.choice([1, 33, *much]))
    path.write_bytes(closed.data())
    return path


def large_labels(path: Path, honest: Honest, rng: random.Random) -> Path:
    """Counts and labels at the edge of what a trace takes, without ids."""
    closed = honest.closed()
    rows = len(closed.columns["step"])
    closed.columns["ids"] = pa.nulls(rows, closed.columns["ids"].type)
    for name in rng.sample(["batch_size", "updates", "epoch", "step_in_epoch", "padding", "time_ns"], 3):
        large = rng.choice([2**62, 2**53, 10**12, 10**9, 2**62 // rows])
        closed.columns[name] = pa.array(
            [large if rng.random() < 0.8 else rng.randrange(5) for _ in range(rows)], pa.int64()
        )
    closed.index["head"]["metadata"]["num_samples"] = rng.choice([1, 10**9, 10**12, 2**63 - 1])
    closed.right_again()
    path.write_bytes(closed.data())
    return path


def large_validations(path: Path, honest: Honest, rng: random.Random) -> Path:
    frames = honest.frames()
    times = rng.choice([10**12, 2**62])
    facts = {"after": 0, "loss": 1.0, "batch_sizes": [[1, times]], "num_batches": times, "num_samples": times}
    many = rng.choice([1, 2000])
    path.write_bytes(framed([frames[0], *[(b"V", text_of(facts))] * many, *frames[1:]]))
    return path


def weights(path: Path, honest: Honest, rng: random.Random) -> Path:
    """Weights of an earlier version that unpack to more than they are, or that are no arrays of numbers."""
    path.write_bytes(honest.files["closed"])
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        kind = rng.randrange(4)
        if kind == 0:
            with archive.open("w.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(
                    member, {"shape": (60_000_000,), "fortran_order": False, "descr": "<f8"}
                )
                for _ in range(60):
                    member.write(bytes(8_000_000))
        elif kind == 1:
            head = io.BytesIO()
            shape = rng.choice([(10**12,), (2**62, 4), (-1,), (0,) * 40])
            np.lib.format.write_array_header_1_0(head, {"shape": shape, "fortran_order": False, "descr": "<f8"})
            archive.writestr("w.npy", head.getvalue() + bytes(64), zipfile.ZIP_STORED)
        elif kind == 2:
            body = io.BytesIO()
            odd = rng.choice([np.array([{}, os.getcwd]), np.array(["x"]), np.array([1j]), np.array([(1, 2)], "i4,f8")])
            np.save(body, odd, allow_pickle=True)
            archive.writestr("w.npy", body.getvalue(), zipfile.ZIP_STORED)
        else:
            archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"(" * 60_000)
    weights_path(path).with_suffix(".npz").write_bytes(target.getvalue())
    return path


def states(path: Path, honest: Honest, rng: random.Random) -> Path:
    """Final weights whose head is larger than the file, or states arrays that are."""
    path.write_bytes(honest.files["closed"])
    (length,) = struct.unpack_from("<Q", honest.files["weights"])
    head = json.loads(honest.files["weights"][8 : 8 + length])
    large = rng.choice([2**40, 2**62, 2**63, 10**30])
    one = {"dtype": "F64", "shape": rng.choice([[large], [large, large], [large, 0]]), "data_offsets": [0, large]}
    texts = [
        text_of({"__metadata__": head["__metadata__"], "parameters/w": one}),
        text_of({"__metadata__": {"xframe": "[" * DEEP}}),
        b"{" + b'"a":{' * DEEP,
        b'{"a":' + b"9" * DEEP + b"}",
    ]
    text = rng.choice(texts)
    size = rng.choice([len(text), len(text), 2**64 - 1, 2**33, 2**25])
    weights_path(path).write_bytes(struct.pack("<Q", size) + text + bytes(64))
    return path


def a_pipe(path: Path, honest: Honest, rng: random.Random) -> Path:
    os.mkfifo(path)
    return path


def a_device(path: Path, honest: Honest, rng: random.Random) -> Path:
    path.symlink_to(rng.choice(["/dev/zero", "/dev/tty", "/dev/null", "/proc/self/mem", "."]))
    return path


def a_log(path: Path, honest: Honest, rng: random.Random) -> Path:
    """Lines, names and numbers without end."""
    form, text = rng.choice(
        [
            (".csv", lambda: b"step,ids\n0," + b"1 " * 10_000_000 + b"\n"),
            (".csv", lambda: b"step,ids\n0," + b"1 " * 7_000_000 + b"\n"),
            (".csv", lambda: ",".join(["step", "loss", *map(str, range(300_000))]).encode() + b"\n0,1\n"),
            (".csv", lambda: b'step,loss\n0,"' + b"x" * 10_000_000),
            (".csv", lambda: b"step,loss\n0," + b"9" * 5000 + b"\n1,1e" + b"9" * 5000),
            (".jsonl", lambda: _json(rng)),
            (".jsonl", lambda: b'{"step": 0, "loss": ' + _json(rng) + b"}\n"),
            (".jsonl", lambda: b'{"step": 0, "ids": [' + b"1," * 6_000_000 + b"1]}\n"),
            (".jsonl", lambda: b"{" + b", ".join(b'"%d": 1' % k for k in range(300_000)) + b"}\n"),
            (".tfevents", lambda: _record(40 * 10**9, b"")),
            (".tfevents", lambda: _record(16_000_000, b"\x2a" + b"\x80\x92\xf4\x07" + b"\x0a\x00" * 8_000_000)),
        ]
    )
    path = path.with_suffix(form)
    path.write_bytes(text())
    return path


def _record(length: int, body: bytes) -> bytes:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    head = length.to_bytes(8, "little")
    return (head + masked_crc32c(head).to_bytes(4, "little") + body).ljust(65, b"\0")


BOMBS: dict[str, Bomb] = {
    f.__name__: f
    for f in (
        *(in_a_frame, in_the_metadata, in_the_footer, in_a_plain_line, a_long_frame, many_ids, a_large_row_group),
        *(
            many_ids_in_a_row,
            large_pages,
            a_large_footer,
            a_compressed_frame,
            a_large_plan,
            large_labels,
            large_validations,
            weights,
        ),
        *(large_validations, weights, states, a_pipe, a_device, a_log),
    )
}
