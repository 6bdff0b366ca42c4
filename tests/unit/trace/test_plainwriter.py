"""The writer for old scripts and what reads it: every interpreter here, every byte of the file."""

import ast
import contextlib
import inspect
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import xframe
from xframe.errors import NotATraceError, TraceError, UsageError
from xframe.trace import plainreader as plain
from xframe.trace import plainwriter
from xframe.trace.schema import COUNTS, REALS, Column

SOURCE = Path(plainwriter.__file__)
LOSSES = [0.1, 1 / 3, 1e-320, 1.7976931348623157e308, -0.0, math.nan, math.inf, -math.inf]
SCRIPT = """
import sys
from plainwriter import record
with record(sys.argv[1], num_samples=10, metadata={"label": "old"}) as rec:
    for k in range(2300):
        loss = [0.1, 1.0 / 3, 1e-320, 1.7976931348623157e308, -0.0, float("nan"), float("inf"), -float("inf")][k % 8]
        rec.step(ids=(i % 10 for i in range(k, k + 3)), updates=k + 1, loss=loss, lr=0.5, epoch=k // 4)
"""


class Plain(NamedTuple):
    """A whole plain trace in memory."""

    metadata: dict
    columns: dict
    num_rows: int
    ending: str
    end: dict


def read(path):
    with plain.Reader(path) as reader:
        blocks, columns = list(reader.blocks()), {}
        for name in blocks[0] if blocks else ():
            values, known = zip(*(block[name] for block in blocks), strict=True)
            columns[name] = Column(np.concatenate(values), None if known[0] is None else np.concatenate(known))
        return Plain(reader.metadata, columns, reader.num_rows, reader.ending, reader.end)


def interpreters():
    """This Python, and the oldest others that are installed here."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    names = ["python2.7", *(f"python3.{minor}" for minor in range(4, 11))]
    found = [shutil.which(name) for name in names] + [str(p) for p in sorted(root.glob("versions/*/bin/python"))]
    works = {sys.executable: sys.version_info[:2]}
    for python in filter(None, found):
        command = [python, "-E", "-c", "import sys; print('%d %d' % sys.version_info[:2])"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        version = tuple(map(int, done.stdout.split())) if done.returncode == 0 else (9,)
        if version < (3, 11) and version not in works.values():
            works[python] = version
    return sorted(works, key=works.__getitem__)


@pytest.fixture
def script(tmp_path):
    """A folder with the one file copied in, and a script beside it."""
    shutil.copy(SOURCE, tmp_path / "plainwriter.py")
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path / "train.py"


def written(path, steps=5, **options):
    """A small plain trace with all its columns in use."""
    with plainwriter.record(path, num_samples=8, **options) as rec:
        for k in range(steps):
            rec.step(
                ids=[k, 7 - k % 8],
                updates=k + 1,
                loss=LOSSES[k % 8],
                lr=0.1,
                update_attempts=k + 2,
                epoch=k // 4,
                step_in_epoch=k % 4,
                padding=0,
                accuracy=k / 8,
            )
            if k % 3 == 2:
                rec.flush()
    return path


@pytest.mark.parametrize("python", interpreters())
def test_it_runs_under(python, script, tmp_path):
    command = [python, "-E", "-W", "error", str(script), str(tmp_path / "old.trace")]
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = read(tmp_path / "old.trace")
    assert found.ending == "complete"
    assert found.num_rows == found.end["rows"] == 2300
    assert found.metadata["label"] == "old"
    assert found.columns["batch_size"].values.tolist() == [3] * 2300
    assert found.columns["ids"].values.reshape(-1, 3)[2299].tolist() == [9, 0, 1]
    assert found.columns["loss"].values[:8].tobytes() == np.array(LOSSES).tobytes(), "not the same bits"
    assert not found.columns["padding"].known.any()


def test_it_stays_in_the_language_that_all_share():
    """For the versions that are not installed here: nothing newer than 2.7 and 3.4 have."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Await, ast.Match, ast.Nonlocal)
    newer += (ast.YieldFrom, ast.Starred, ast.MatMult)
    allowed = {
        "__future__",
        "atexit",
        "hashlib",
        "io",
        "json",
        "operator",
        "os",
        "platform",
        "threading",
        "time",
        "warnings",
    }
    for node in ast.walk(tree):
        where = f"line {getattr(node, 'lineno', '?')}"
        assert not isinstance(node, newer), f"{where}: {type(node).__name__}"
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]
            assert node.returns is None, where
            assert not any(argument.annotation for argument in arguments), where
            assert not node.args.kwonlyargs, where
            assert not node.args.posonlyargs, where
        if isinstance(node, ast.Raise):
            assert node.cause is None, f"{where}: raise from"
        if isinstance(node, ast.ClassDef):
            assert not node.keywords, where
            assert [base.id for base in node.bases] == ["object"], where
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"super", "print", "breakpoint"}, where
        if isinstance(node, (ast.Dict, ast.Call)):
            assert None not in getattr(node, "keys", []), f"{where}: ** inside a dict"
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            assert "_" not in ast.get_source_segment(SOURCE.read_text(encoding="utf-8"), node), where
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= allowed, where
        if isinstance(node, ast.ImportFrom):
            assert node.module in allowed, where


def test_round_trip(tmp_path):
    found = read(written(tmp_path / "old.trace", 9))
    assert found.columns["step"].values.tolist() == list(range(9))
    assert found.columns["updates"].values.tolist() == list(range(1, 10))
    assert found.columns["update_attempts"].values.tolist() == list(range(2, 11))
    assert found.columns["step_in_epoch"].values.tolist() == [k % 4 for k in range(9)]
    assert found.columns["accuracy"].values.tolist() == [k / 8 for k in range(9)]
    assert (np.diff(found.columns["time_ns"].values) >= 0).all()
    assert found.end == {"rows": 9, "outcome": "complete"}


def test_it_takes_what_xframes_own_recorder_takes():
    assert set(inspect.signature(plainwriter.Recorder.step).parameters) == {"self", "ids", *COUNTS, *REALS}


def test_what_it_takes(tmp_path):
    import torch

    given = [
        {"ids": np.array([1, 2]), "loss": np.float32(0.1), "updates": np.int64(3), "lr": np.array([0.5])},
        {"ids": torch.tensor([1, 2]), "loss": torch.tensor(0.1, requires_grad=True), "updates": torch.tensor(3)},
        {"ids": [np.int32(1), np.int64(2)], "loss": np.array(0.1, dtype=np.float32), "updates": 3.0},
        {"ids": iter([1, 2]), "loss": [np.float32(0.1)], "updates": np.array(3)},
    ]
    with plainwriter.record(tmp_path / "old.trace") as rec:
        for row in given:
            rec.step(**row)
    found = read(tmp_path / "old.trace").columns
    assert found["ids"].values.tolist() == [1, 2] * 4
    assert set(found["loss"].values.tolist()) == {float(np.float32(0.1))}
    assert found["updates"].values.tolist() == [3] * 4
    assert found["lr"].known.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"ids": [1.5]}, "ids"),
        ({"ids": [True]}, "ids"),
        ({"ids": "12"}, "ids"),
        ({"ids": b"12"}, "ids"),
        ({"ids": 3}, "ids"),
        ({"ids": None}, "ids"),
        ({"ids": [[1], [2]]}, "ids"),
        ({"ids": np.zeros((2, 2), dtype=int)}, "ids"),
        ({"ids": [2**63]}, "ids"),
        ({"ids": [1], "updates": 1.5}, "updates"),
        ({"ids": [1], "updates": -1}, "updates"),
        ({"ids": [1], "updates": math.nan}, "updates"),
        ({"ids": [1], "loss": "low"}, "loss"),
        ({"ids": [1], "loss": [1, 2]}, "loss"),
        ({"ids": [1], "lr": 1j}, "lr"),
    ],
)
def test_a_step_that_is_refused_leaves_nothing(row, text, tmp_path):
    with plainwriter.record(tmp_path / "old.trace") as rec:
        rec.step(ids=[0])
        with pytest.raises(ValueError, match=rf"(?s)a step's {text}: got .* expected"):
            rec.step(**row)
        rec.step(ids=[1])
    found = read(tmp_path / "old.trace")
    assert found.columns["ids"].values.tolist() == [0, 1]


def test_it_overwrites_nothing(tmp_path):
    path = written(tmp_path / "old.trace")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="exists already"):
        plainwriter.record(path)
    with pytest.raises(ValueError, match="cannot write"):
        plainwriter.record(tmp_path / "none" / "old.trace")
    with pytest.raises(ValueError, match="metadata"):
        plainwriter.record(tmp_path / "new.trace", metadata={"format": 2})
    assert path.read_bytes() == before
    assert not (tmp_path / "new.trace").exists()


def test_an_exception_is_an_ending(tmp_path):
    rec = plainwriter.record(tmp_path / "old.trace")

    def train():
        with rec:
            rec.step(ids=[0])
            raise KeyError

    with pytest.raises(KeyError):
        train()
    found = read(tmp_path / "old.trace")
    assert (found.ending, found.num_rows) == ("interrupted by KeyError", 1)
    with pytest.raises(ValueError, match="closed"):
        rec.step(ids=[1])


def test_a_full_disk_leaves_what_was_written_and_takes_the_rest_once_there_is_room(tmp_path):
    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            self.file.write(bytes(data[:20]))
            raise OSError("no space")

        def __getattr__(self, name):
            return getattr(self.file, name)

    rec = plainwriter.record(tmp_path / "old.trace")
    rec.step(ids=[0])
    rec.flush()
    rec._file = Full(rec._file)
    rec.step(ids=[1])
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            rec.close()
    found = read(tmp_path / "old.trace")
    assert (found.ending, found.num_rows) == ("truncated", 1)
    rec._file = rec._file.file
    rec.close()
    rec.close()
    found = read(tmp_path / "old.trace")
    assert (found.ending, found.num_rows) == ("complete", 2)


def test_it_is_entered_once_and_closed_once(tmp_path):
    rec = plainwriter.record(tmp_path / "old.trace")
    with rec:
        rec.step(ids=[0])
        with pytest.raises(ValueError, match="entered already"), rec:
            pytest.fail("entered")
        rec.step(ids=[1])
    rec.close("interrupted by Me")
    found = read(tmp_path / "old.trace")
    assert (found.ending, found.num_rows) == ("complete", 2)


def test_a_forked_child_is_refused_and_leaves_the_trace_alone(tmp_path):
    with plainwriter.record(tmp_path / "old.trace") as rec:
        rec.step(ids=[0])
        child = os.fork()
        if not child:
            code = 1
            try:
                rec.flush()
                rec.close()
                rec.step(ids=[9])
            except ValueError as error:
                code = 0 if "the process that made it" in str(error) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        rec.step(ids=[1])
    found = read(tmp_path / "old.trace")
    assert (found.ending, found.columns["ids"].values.tolist()) == ("complete", [0, 1])


def test_threads_record_and_flush_and_one_closes(tmp_path):
    rec, done = plainwriter.record(tmp_path / "old.trace"), []

    def train(thread):
        with contextlib.suppress(ValueError):  # it was closed
            for k in range(10**6):
                rec.step(ids=[k], epoch=thread)
                done.append((thread, k))
                if k % 50 == 0:
                    rec.flush()

    threads = [threading.Thread(target=train, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    while len(done) < 300:
        time.sleep(0.001)
    rec.close()
    for thread in threads:
        thread.join()
    found = read(tmp_path / "old.trace")
    rows = list(zip(found.columns["epoch"].values.tolist(), found.columns["ids"].values.tolist(), strict=True))
    assert found.ending == "complete"
    assert found.num_rows == rec.num_steps == len(rows) == len(set(rows))
    assert set(done) <= set(rows)


def test_killed(script, tmp_path):
    """What was flushed survives kill -9, and is truncated."""
    loop = SCRIPT.replace("range(2300)", "range(10**9)").replace("import sys", "import sys, time")
    script.write_text(loop.replace("        rec.step", "        time.sleep(0.0002)\n        rec.step"))
    path = tmp_path / "old.trace"
    process = subprocess.Popen([sys.executable, str(script), str(path)], cwd=script.parent)
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_bytes().count(b'{"digest"') >= 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = read(path)
    assert found.ending == "truncated"
    assert found.num_rows >= 2 * 100
    assert found.columns["updates"].values.tolist() == list(range(1, found.num_rows + 1))


def outcome(path):
    """How it reads: the ending and the number of rows, or that it is refused."""
    try:
        found = read(path)
    except TraceError:
        return "refused", 0
    return found.ending, found.num_rows


def test_every_flipped_byte_is_found(tmp_path):
    path = written(tmp_path / "old.trace", 5)
    whole = path.read_bytes()
    assert outcome(path) == ("complete", 5)
    for at in range(len(whole)):
        for bit in (0, 5):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            ending, rows = outcome(path)
            assert ending in ("refused", "truncated"), f"byte {at}, bit {bit}: {ending}, {rows} rows"
            # Only the loss of the last newline looks like a file that was cut.
            assert ending == "refused" or at == len(whole) - 1, f"byte {at}, bit {bit}"


def test_every_cut_is_truncated_or_refused(tmp_path):
    path = written(tmp_path / "old.trace", 5)
    whole = path.read_bytes()
    vouched = whole.index(b"\n", whole.index(b'{"digest"')) + 1
    for at in range(len(whole)):
        path.write_bytes(whole[:at])
        assert outcome(path)[0] == ("refused" if at < vouched else "truncated"), at


def edits():
    def swap(lines):
        lines[2:6], lines[6:9] = lines[6:9], lines[2:6]

    def put(at, old, new):
        def edit(lines):
            assert old in lines[at]
            lines[at] = lines[at].replace(old, new)

        return edit

    return {
        "blocks swapped": swap,
        "rows swapped": lambda lines: lines.insert(2, lines.pop(3)),
        "a block left out": lambda lines: lines.__delitem__(slice(2, 6)),
        "a block twice": lambda lines: lines.__setitem__(slice(2, 2), lines[2:6]),
        "a row left out": lambda lines: lines.pop(3),
        "a digest left out": lambda lines: lines.pop(5),
        "a number edited": put(3, b'"updates": 2', b'"updates": 3'),
        "metadata edited": put(0, b'"num_samples": 8', b'"num_samples": 9'),
        "the end edited": put(-1, b'"complete"', b'"complet"'),
        "rows edited": put(-1, b'"rows": 6', b'"rows": 7'),
        "something behind the end": lambda lines: lines.append(b"\n"),
        "two ends": lambda lines: lines.append(lines[-1]),
        "an empty line": lambda lines: lines.insert(3, b"\n"),
        "another's end": put(-1, b'{"end"', b'{"fin"'),
    }


@pytest.mark.parametrize("name", edits())
def test_edits_are_found(name, tmp_path):
    path = written(tmp_path / "old.trace", 6)
    lines = path.read_bytes().splitlines(keepends=True)
    edits()[name](lines)
    path.write_bytes(b"".join(lines))
    with pytest.raises(TraceError, match="is damaged"):
        read(path)


def test_random_damage(tmp_path, record_property):
    """Bytes flipped, cut out, doubled and moved at random: never complete."""
    random_ = random.Random(3)
    path = written(tmp_path / "old.trace", 40)
    whole = path.read_bytes()
    for _ in range(300):
        i, j, k = sorted(random_.sample(range(len(whole) + 1), 3))
        damaged = random_.choice(
            [whole[:i] + whole[j:], whole[:j] + whole[i:], whole[:i] + whole[j:k] + whole[i:j] + whole[k:]]
        )
        if damaged == whole:
            continue
        path.write_bytes(damaged)
        assert outcome(path)[0] in ("refused", "truncated")
    record_property("sample", "plain traces damaged at random: 300")


def forged(path, *lines, end=True):
    """A file with digests that hold, but lines that no writer wrote."""
    import hashlib

    text = b'{"xframe": "plain", "format": 1}\n'
    for line in [None, *lines, None]:
        if line is None:
            text += b'{"digest": "'
            text += hashlib.sha256(text).hexdigest().encode() + b'"}\n'
        else:
            text += line.encode() + b"\n"
    if end:
        text += b'{"end": {"outcome": "complete", "rows": %d}, "digest": "' % len(lines)
        text += hashlib.sha256(text).hexdigest().encode() + b'"}\n'
    path.write_bytes(text)
    return path


def test_a_forged_file_can_be_good(tmp_path):
    assert read(forged(tmp_path / "a", '{"step": 0, "ids": [], "time_ns": 0}')).num_rows == 1


@pytest.mark.parametrize(
    "row",
    [
        '{"step": 1, "ids": [], "time_ns": 0}',
        '{"step": 0, "ids": [1.0], "time_ns": 0}',
        '{"step": 0, "ids": [true], "time_ns": 0}',
        '{"step": 0, "ids": [9223372036854775808], "time_ns": 0}',
        '{"step": 0, "ids": null, "time_ns": 0}',
        '{"step": 0, "ids": [], "time_ns": 0, "loss": NaN}',
        '{"step": 0, "ids": [], "time_ns": 0, "loss": "high"}',
        '{"step": 0, "ids": [], "time_ns": 0, "loss": [1]}',
        '{"step": 0, "ids": [], "time_ns": 0, "updates": -1}',
        '{"step": 0, "ids": [], "time_ns": 0, "updates": 1.0}',
        '{"step": 0, "ids": [], "time_ns": 0, "updates": "1"}',
        '{"step": 0, "ids": [], "time_ns": 0, "gradient": 1}',
        '{"step": 0, "ids": []}',
        '{"step": ' + "[" * 5000,
    ],
)
def test_rows_no_writer_wrote(row, tmp_path):
    with pytest.raises(TraceError, match="is damaged"):
        read(forged(tmp_path / "old.trace", row))


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"{}\n", b'{"xframe": "plain"}\n', b'["xframe"]\n', b'{"xframe": "plain", "format": 1\n', b"\xff\n"],
)
def test_what_is_no_trace(text, tmp_path):
    path = tmp_path / "old.trace"
    path.write_bytes(text)
    with pytest.raises(NotATraceError, match="not a trace"):
        read(path)
    with pytest.raises(NotATraceError, match="cannot read"):
        read(tmp_path / "none.trace")


def test_a_newer_format(tmp_path):
    path = tmp_path / "old.trace"
    path.write_bytes(b'{"xframe": "plain", "format": 2}\n')
    with pytest.raises(NotATraceError, match=r"of format 2: expected format 1\. Update xframe"):
        plain.Reader(path)


def test_blocks_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(plain, "BLOCK_ROWS", 4)
    with plain.Reader(written(tmp_path / "old.trace", 17)) as reader:
        blocks = list(reader.blocks())
    assert [len(block["step"].values) for block in blocks] == [4, 2, 4, 2, 4, 1]
    assert [k for block in blocks for k in block["step"].values.tolist()] == list(range(17))
    monkeypatch.setattr(plain, "_UNVERIFIED", 2)
    with pytest.raises(TraceError, match="under no digest"):
        read(tmp_path / "old.trace")


def test_conversion(tmp_path):
    """The converted run is the run that xframe's own recorder would have written."""
    rows = [{"ids": [k, 7 - k], "updates": k + 1, "loss": LOSSES[k], "lr": 0.1, "epoch": 0} for k in range(8)]
    with plainwriter.record(tmp_path / "old.trace", num_samples=8) as old:
        for row in rows:
            old.step(**row)
    with xframe.record(tmp_path / "new.trace", num_samples=8) as new:
        for row in rows:
            new.step(**row)
    plain.convert(tmp_path / "old.trace", tmp_path / "converted.trace")
    converted, expected = (xframe.Trace.open(tmp_path / name) for name in ("converted.trace", "new.trace"))
    assert converted.complete
    assert converted.certificate == expected.certificate
    assert converted.counts() == expected.counts()
    assert converted.metadata["versions"] == {"python": ".".join(map(str, sys.version_info[:3]))}
    assert converted.column("loss").tobytes() == expected.column("loss").tobytes()
    times = read(tmp_path / "old.trace").columns["time_ns"].values
    assert converted.column("time_ns").tolist() == times.tolist()
    with pytest.raises(UsageError, match="exists already"):
        plain.convert(tmp_path / "old.trace", tmp_path / "converted.trace")


def test_conversion_of_what_is_not_whole(tmp_path):
    path = written(tmp_path / "old.trace", 8)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b'{"end"')])
    plain.convert(path, tmp_path / "cut.trace")
    cut = xframe.Trace.open(tmp_path / "cut.trace")
    assert (cut.ending, cut.complete, cut.num_rows) == ("truncated", False, 8)
    path.write_bytes(whole.replace(b'"updates": 7', b'"updates": 9'))
    with pytest.raises(TraceError, match="damaged"):
        plain.convert(path, tmp_path / "damaged.trace")
    assert not (tmp_path / "damaged.trace").exists()


def test_the_head_line_is_json(tmp_path):
    first, *_ = written(tmp_path / "old.trace", metadata={"label": "später"}).read_bytes().splitlines()
    assert json.loads(first)["label"] == "später"
    assert read(tmp_path / "old.trace").metadata["label"] == "später"
    assert plain.is_plain(first)
