"""Honest files, and what is forged of each of their parts."""

import contextlib
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa

import xframe
from sweeps.forgeries import columns as of_columns
from sweeps.forgeries.pieces import (
    ESCAPES,
    MARKUP,
    WORDS,
    Honest,
    certified,
    edited,
    framed,
    frames_of,
    plain_of,
    resealed,
    text_of,
)
from xframe.trace import parquet as closed_form
from xframe.trace import plainwriter
from xframe.trace import writer as writing
from xframe.trace.arrow import SCHEMA
from xframe.trace.weights import weights_path

PLAN = xframe.TrainingPlan(batch_size=2, epochs=6, gradient_accumulation_steps=2, validation_every=2)
NUM_SAMPLES = 11


def honest_files(folder: Path) -> Honest:
    with patch.object(closed_form, "BLOCK_ROWS", 10):
        path = _recorded(folder / "honest.trace")
        closed = _recorded(folder / "closed.trace")
    with patch.object(writing, "compact"):
        journal = _recorded(folder / "journal.trace")
    with plainwriter.record(str(folder / "plain.trace"), metadata={"label": "plain"}) as writer:
        for k in range(20):
            writer.step(ids=[k % 11, (k + 1) % 11], updates=k, loss=1.0 / (k + 1), lr=0.1, epoch=k // 6)
    rows = [{"step": k, "loss": 1 / (k + 1), "lr": 0.1, "ids": [k, k + 1], "updates": k} for k in range(8)]
    csv = "step,loss,lr,ids,updates\n" + "".join(
        f"{r['step']},{r['loss']},0.1,{r['step']} 3,{r['updates']}\n" for r in rows
    )
    files = {"closed": closed.read_bytes(), "journal": journal.read_bytes(), "weights": weights_path(path).read_bytes()}
    files |= {"plain": (folder / "plain.trace").read_bytes(), "csv": "".join(csv).encode()}
    files["jsonl"] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return Honest(folder, files)


def _recorded(path: Path) -> Path:
    facts = {
        "label": "run",
        "adapter": "torch",
        "loop": "eager",
        "task": "t",
        "runtime": {"device": "cpu", "precision": "float32"},
    }
    facts |= {"versions": {"torch": "2.0"}, "num_validation": 3, "data_fingerprint": "x", "weights_fingerprint": "y"}
    with xframe.record(path, plan=PLAN, num_samples=NUM_SAMPLES, metadata=facts) as rec:
        rec.evidence = "the optimizer's own counter"
        for step in PLAN.each_step(NUM_SAMPLES):
            labels = {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch, "padding": step.padding}
            loss = float("nan") if step.index == 20 else 1 / (step.index + 1)
            rec.step(
                ids=step.sample_ids,
                updates=step.update,
                update_attempts=step.update,
                loss=loss,
                lr=0.1,
                accuracy=0.5,
                **labels,
            )
            if step.index % 12 == 11:
                rec.validation(loss=0.5, accuracy=0.5, ids=[0, 1, 2], batch_sizes=[2, 1])
                rec.checkpointed("ab" * 16)
        rec.weights({"dense_0/kernel": np.full((3, 2), 1.0), "b": np.zeros(2, np.float32)})
    return path


# The forgeries


def closed_json(path: Path, honest: Honest, rng: random.Random) -> Path:
    """A field of the index or of the blocks of a closed trace."""
    closed = honest.closed()
    for _ in range(rng.choice([1, 1, 1, 3])):
        if rng.random() < 0.15 or isinstance(closed.index, bytes):
            closed.blocks = edited([0], rng) if isinstance(closed.blocks, bytes) else edited(closed.blocks, rng)
        elif rng.random() < 0.5:
            closed.index = edited(closed.index, rng)
        else:
            part = rng.choice(["head", "end", "validations", "checkpoints", "unknown"])
            closed.index[part] = edited(closed.index.get(part), rng)
            if isinstance(closed.index[part], bytes):
                texts = {**closed.index, part: "PART"}
                closed.index = json.dumps(texts).encode().replace(b'"PART"', closed.index[part])
    return _put(path, closed.data(), honest)


def metadata(path: Path, honest: Honest, rng: random.Random) -> Path:
    """What is known of the run, in a sound trace."""
    closed = honest.closed()
    facts = closed.index["head"]["metadata"]
    for _ in range(rng.choice([1, 2, 5])):
        if rng.random() < 0.3:
            facts["plan"][rng.choice([*facts["plan"]])] = rng.choice([1, 2, 3, 7, 10**9, *WORDS])
        else:
            facts[rng.choice([*facts, "imported", "x"])] = rng.choice(WORDS)
            facts["plan"] = facts["plan"] if isinstance(facts["plan"], dict) else {"batch_size": 2, "epochs": 3}
    if rng.random() < 0.3:
        closed.index["end"]["outcome"] = rng.choice([ESCAPES, MARKUP, "complete", "x"])
    return _put(path, closed.data(), honest)


def closed_columns(path: Path, honest: Honest, rng: random.Random) -> Path:
    """Columns of a closed trace, the digests of their rows made right again where they have any."""
    closed = honest.closed()
    for _ in range(rng.choice([1, 1, 2])):
        of_columns.changed(closed.columns, rng)
    if rng.random() < 0.5:
        closed.options = rng.choice(of_columns.OPTIONS)
    if rng.random() < 0.85:
        with contextlib.suppress(Exception):
            closed.right_again()
    return _put(path, closed.data(), honest)


def closed_bytes(path: Path, honest: Honest, rng: random.Random) -> Path:
    """Bytes of Parquet's pages, their heads and the footer."""
    data = honest.files["closed"]
    footer = int.from_bytes(data[-8:-4], "little")
    start, stop = rng.choice([(4, len(data) - footer - 8), (len(data) - footer - 8, len(data) - 8)])
    return _put(path, resealed(of_columns.scrambled(data, rng, start, stop)), honest)


def journal_json(path: Path, honest: Honest, rng: random.Random) -> Path:
    """A field of a journal's head, validations or end; or its frames."""
    frames = frames_of(honest.files["journal"])
    at = rng.choice([i for i, (kind, _) in enumerate(frames) if kind != b"B"])
    frames[at] = frames[at][0], text_of(edited(json.loads(frames[at][1]), rng))
    if rng.random() < 0.2:
        i, j = rng.randrange(len(frames)), rng.randrange(len(frames))
        frames[i] = rng.choice([frames[j], (bytes([rng.randrange(256)]), frames[i][1]), (frames[j][0], frames[i][1])])
    if rng.random() < 0.2:
        del frames[rng.randrange(len(frames))]
    return _put(path, framed(frames[: rng.choice([len(frames), rng.randrange(1, len(frames) + 1)])]), honest)


def journal_batches(path: Path, honest: Honest, rng: random.Random) -> Path:
    """A journal's record batches: other columns, other messages, other bytes."""
    frames = frames_of(honest.files["journal"])
    at = rng.choice([i for i, (kind, _) in enumerate(frames) if kind == b"B"])
    batch = pa.ipc.read_record_batch(frames[at][1], SCHEMA)
    columns = {name: batch.column(name) for name in SCHEMA.names}
    if rng.random() < 0.6:
        of_columns.changed(columns, rng)
        frames[at] = b"B", pa.record_batch(columns).serialize().to_pybytes()
        with contextlib.suppress(Exception):
            frames = certified(frames)
    else:
        frames[at] = b"B", of_columns.message(columns, rng)
    return _put(path, framed(frames), honest)


def plain_lines(path: Path, honest: Honest, rng: random.Random) -> Path:
    lines = honest.files["plain"].splitlines(keepends=True)
    at = rng.randrange(len(lines))
    facts = edited(json.loads(lines[at]), rng)
    lines[at] = (
        text_of(facts) if isinstance(facts, bytes) or not isinstance(facts, dict) else json.dumps(facts).encode()
    ) + b"\n"
    return _put(path, plain_of(lines), honest)


def first_bytes(path: Path, honest: Honest, rng: random.Random) -> Path:
    starts = [
        b"XFRAME-TRACE-9\r\n",
        b"XFRAME-TRACE-\x1b[31m\r",
        b"PAR1",
        b"{",
        b"",
        b"\x00" * 40,
        ESCAPES.encode(errors="replace"),
    ]
    start = rng.choice(
        [*starts, b'{"xframe": "plain", "format": "\\u001b[31m"}\n', b'{"xframe": "plain", "format": 10e9}\n']
    )
    return _put(path, start + rng.randbytes(rng.choice([0, 4, 60])), honest)


def weight_files(path: Path, honest: Honest, rng: random.Random) -> Path:
    _put(path, honest.files["closed"], honest)
    weights_path(path).write_bytes(of_columns.scrambled(honest.files["weights"], rng))
    return path


def logs(path: Path, honest: Honest, rng: random.Random) -> Path:
    form = rng.choice(["csv", "jsonl"])
    data = honest.files[form]
    if form == "jsonl" and rng.random() < 0.8:
        lines = data.splitlines()
        at = rng.randrange(len(lines))
        lines[at] = text_of(edited(json.loads(lines[at]), rng))
        data = b"\n".join(lines)
    else:
        words = [
            b"-1",
            b"nan",
            b"inf",
            b"1e999",
            b"9" * 30,
            b'"',
            b"\x1b[31m",
            b"\xff",
            b"\x00",
            b"1;2",
            b"[1]",
            b"",
            b"\r",
            b"0x1",
        ]
        cells = re.split(rb"([,\n])", data)
        cells[rng.randrange(len(cells))] = rng.choice([*words, MARKUP.encode()])
        data = b"".join(cells)
    path = path.with_suffix(f".{form}")
    path.write_bytes(of_columns.scrambled(data, rng) if rng.random() < 0.2 else data)
    return path


def _put(path: Path, data: bytes, honest: Honest) -> Path:
    path.write_bytes(data)
    weights_path(path).write_bytes(honest.files["weights"])
    return path


FORGERIES: dict[str, Callable[[Path, Honest, random.Random], Path]] = {
    f.__name__: f
    for f in (
        *(closed_json, closed_json, metadata, closed_columns, closed_columns, closed_bytes, journal_json),
        *(journal_batches, plain_lines, first_bytes, weight_files, logs),
    )
}
