"""Traces damaged at random, which must be noticed: never a pass, never a difference, never a traceback."""

import contextlib
import io
import random
import struct
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pyarrow as pa
from pyarrow import parquet

import xframe
from sweeps import Result
from xframe.cli.app import execute
from xframe.errors import TraceError
from xframe.trace import parquet as closed_form
from xframe.trace import writer
from xframe.trace.journal import MAGIC
from xframe.trace.weights import weights_path

PLAN = xframe.TrainingPlan(batch_size=4, epochs=6, gradient_accumulation_steps=2, accumulation_remainder="flush")
NUM_SAMPLES = 30
FRAME = struct.Struct("<cQ8s32s")  # of a journal: kind, length, check, digest
ARRIVALS = "time_ns"  # alone differ between equal runs


@dataclass
class Damages(Result):
    """``outcomes``: what each kind of damage was taken for, and how often."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        lines = [f"{count:6,}  {kind}: {outcome}" for (kind, outcome), count in sorted(self.outcomes.items())]
        return "\n".join([f"{self.cases:,} random damages to closed and unfinished traces", *lines])


class Subject(NamedTuple):
    """A trace to damage: its form, its bytes, those of its weights, and a run that it is compared with."""

    form: str
    whole: bytes
    weights: bytes | None
    reference: Path
    rows: list[int]  # its own arrival times, of which a truncated one shows the first


def run(size: int, seed: int) -> Damages:
    """That many random damages, each compared in Python and on the command line."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        return _damaged(size, random.Random(seed), Path(folder))


def _damaged(size: int, rng: random.Random, folder: Path) -> Damages:
    subjects, result = _subjects(folder), Damages()
    while result.cases < size:
        subject = rng.choice(subjects)
        name, damage = rng.choice([*DAMAGES.items(), *OF_FORM[subject.form].items()])
        place = folder / "damaged.trace"
        other = _other_weights(folder) if damage is swap_weights else subject.weights
        data = damage(subject.whole, rng)
        if data == subject.whole and other == subject.weights:
            continue
        place.write_bytes(data)
        weights_path(place).unlink(missing_ok=True)
        if other is not None:
            weights_path(place).write_bytes(other)
        outcome, mistake = judged(subject, place)
        result.cases += 1
        result.outcomes[f"{subject.form}: {name}", outcome] += 1
        if mistake is not None:
            result.mismatches.append(f"damage {result.cases}, {name} of a {subject.form} trace: {mistake}")
    return result


def judged(subject: Subject, place: Path) -> tuple[str, str | None]:
    """What a damage was taken for, and what is wrong with that."""
    try:
        trace = xframe.Trace.open(place)
        if trace.column(ARRIVALS).tolist() != subject.rows[: trace.num_rows]:
            return "other rows", "rows were read that were never written"
        comparison = xframe.compare(subject.reference, trace)
        outcome, code = f"{trace.ending}, {comparison.verdict}", comparison.exit_code
    except TraceError as error:
        outcome, code = type(error).__name__, error.exit_code
    except Exception as error:
        return "raised", f"{type(error).__name__}: {error}"
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        exit_code = execute(["compare", str(subject.reference), str(place)])
    if exit_code != code or code not in (2, 4):
        return outcome, f"exit code {exit_code} on the command line, {code} in Python, {outcome}: {errors.getvalue()}"
    if "Traceback" in errors.getvalue() or "PASSED" in printed.getvalue():
        return outcome, f"it printed {errors.getvalue()} {printed.getvalue()}"
    return outcome, None


# The traces


def _subjects(folder: Path) -> list[Subject]:
    """Closed and as journals, whole and truncated, with ids and without, in one block and in many."""
    subjects = []
    for ids in (True, False):
        with patch.object(closed_form, "BLOCK_ROWS", 10 if ids else 1000):
            reference, one = (_recorded(folder / f"{name}-{ids}.trace", ids=ids) for name in ("reference", "one"))
        with patch.object(writer, "compact"):
            journal = _recorded(folder / f"journal-{ids}.trace", ids=ids)
        whole = journal.read_bytes()
        frames = frames_of(whole)
        killed, cut = folder / f"killed-{ids}.trace", folder / f"cut-{ids}.trace"
        killed.write_bytes(whole[: frames[-1][0]])
        cut.write_bytes(whole[: frames[-2][0] + 70])
        for form, path in (("closed", one), ("journal", journal), ("killed", killed), ("killed", cut)):
            trace, weights = xframe.Trace.open(path), weights_path(path)
            comparison = xframe.compare(reference, trace)
            assert comparison.verdict == ("inconclusive" if form == "killed" else "passed"), comparison
            stored = weights.read_bytes() if weights.exists() else None
            rows = trace.column(ARRIVALS).tolist()
            subjects.append(Subject(form, path.read_bytes(), stored, reference, rows))
    _recorded(folder / "other.trace", ids=True, weight=2.0)
    return subjects


def _recorded(path: Path, *, ids: bool, weight: float = 1.0) -> Path:
    with xframe.record(path, plan=PLAN, num_samples=NUM_SAMPLES, ids=ids, metadata={"label": path.stem}) as rec:
        for step in PLAN.each_step(NUM_SAMPLES):
            labels = {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch, "padding": step.padding}
            rec.step(ids=step.sample_ids, updates=step.update, loss=1 / (step.index + 1), lr=0.1, **labels)
            if step.index % 10 == 9:
                rec.flush()
        rec.weights({"dense_0/kernel": np.full((3, 2), weight)})
    return path


def _other_weights(folder: Path) -> bytes:
    return weights_path(folder / "other.trace").read_bytes()


def frames_of(journal: bytes) -> list[tuple[int, int]]:
    """Where each frame of a journal begins and ends, the last perhaps beyond the file."""
    at, frames = len(MAGIC), []
    while at + FRAME.size <= len(journal):
        length = FRAME.unpack_from(journal, at)[1]
        frames.append((at, at + FRAME.size + length))
        at = frames[-1][1]
    return frames


# The damages


Damage = Callable[[bytes, random.Random], bytes]


def _range(data: bytes, rng: random.Random) -> tuple[int, int]:
    """A random range, of one byte as likely as of a thousand."""
    start = rng.randrange(len(data))
    return start, min(start + int(10 ** rng.uniform(0, 3)), len(data))


def flip_a_bit(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def change_a_byte(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def cut_the_start(data: bytes, rng: random.Random) -> bytes:
    return data[rng.randrange(len(data)) :]


def delete_a_range(data: bytes, rng: random.Random) -> bytes:
    start, stop = _range(data, rng)
    return data[:start] + data[stop:]


def double_a_range(data: bytes, rng: random.Random) -> bytes:
    start, stop = _range(data, rng)
    return data[:stop] + data[start:]


def swap_ranges(data: bytes, rng: random.Random) -> bytes:
    a, b, c, d = sorted(rng.sample(range(len(data) + 1), 4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def zero_a_range(data: bytes, rng: random.Random) -> bytes:
    start, stop = _range(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:]


def insert(data: bytes, rng: random.Random) -> bytes:
    start, stop = _range(data, rng)
    return data[:start] + rng.randbytes(stop - start) + data[start:]


def append(data: bytes, rng: random.Random) -> bytes:
    start, stop = _range(data, rng)
    return data + rng.choice([rng.randbytes(stop - start), data[start:stop], data])


def change_metadata(data: bytes, rng: random.Random) -> bytes:
    """A letter or digit of the JSON, which stays JSON."""
    texts = (b'"label"', b'"versions"', b'"plan"', b'"num_samples"', b'"certificate"', b'"rows"', b'"outcome"')
    at = data.find(rng.choice(texts)) + rng.randrange(1, 40)
    if not chr(data[at]).isalnum():
        return data
    return data[:at] + (b"7" if chr(data[at]).isdigit() else b"x") + data[at + 1 :]


def swap_weights(data: bytes, rng: random.Random) -> bytes:
    return data


def edit_a_number(data: bytes, rng: random.Random) -> bytes:
    """By pyarrow, all metadata kept."""
    source, target = pa.BufferReader(data), io.BytesIO()
    file = parquet.ParquetFile(source)
    table = file.read()
    name = rng.choice([name for name in table.schema.names if table[name].null_count < len(table)])
    at, row, values = table.schema.get_field_index(name), rng.randrange(len(table)), table[name].to_pylist()
    old = values[row]
    new = {bytes: lambda: rng.randbytes(16), float: lambda: old * 1.5 + 1, list: lambda: old[::-1]}
    values[row] = new.get(type(old), lambda: old + 1)()
    edited = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    parquet.write_table(edited.replace_schema_metadata(file.metadata.metadata), target, compression="zstd")
    return target.getvalue()


def replace_the_digest(data: bytes, rng: random.Random) -> bytes:
    at = data.rindex(b"blake2b-256:") + len(b"blake2b-256:")
    return data[:at] + rng.randbytes(32).hex().encode() + data[at + 64 :]


def _frames(data: bytes) -> list[bytes]:
    return [data[start:stop] for start, stop in frames_of(data)]


def swap_frames(data: bytes, rng: random.Random) -> bytes:
    frames = _frames(data)
    i, j = rng.sample(range(len(frames)), 2)
    frames[i], frames[j] = frames[j], frames[i]
    return MAGIC + b"".join(frames)


def leave_out_a_frame(data: bytes, rng: random.Random) -> bytes:
    frames = _frames(data)
    del frames[rng.randrange(len(frames))]
    return MAGIC + b"".join(frames)


def double_a_frame(data: bytes, rng: random.Random) -> bytes:
    frames = _frames(data)
    frames.insert(rng.randrange(len(frames) + 1), rng.choice(frames))
    return MAGIC + b"".join(frames)


def change_a_header(data: bytes, rng: random.Random) -> bytes:
    """A frame's kind, length, check or digest."""
    at = rng.choice(frames_of(data))[0]
    start, stop = rng.choice([(0, 1), (1, 9), (9, 17), (17, 49)])
    return data[: at + start] + rng.randbytes(stop - start) + data[at + stop :]


DAMAGES: dict[str, Damage] = {
    f.__name__: f
    for f in (
        flip_a_bit,
        change_a_byte,
        cut,
        cut_the_start,
        delete_a_range,
        double_a_range,
        swap_ranges,
        zero_a_range,
        insert,
        append,
        change_metadata,
    )
}
_JOURNAL = {f.__name__: f for f in (swap_frames, leave_out_a_frame, double_a_frame, change_a_header)}
_CLOSED = {f.__name__: f for f in (edit_a_number, replace_the_digest, swap_weights)}
OF_FORM: dict[str, dict[str, Damage]] = {
    "closed": _CLOSED,
    "journal": _JOURNAL | {"swap_weights": swap_weights},
    "killed": _JOURNAL,
}
