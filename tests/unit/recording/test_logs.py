"""Logs made into traces: what is there is kept to the bit, what is not stays unknown, what cannot be is refused."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import xframe
from xframe import compare
from xframe.comparison import checks
from xframe.errors import UsageError
from xframe.recording.logs import import_run, log
from xframe.trace.trace import Trace

FULL = {
    "step": [0, 1, 2, 3],
    "ids": [[0, 1], [2, 3], [4], [0, 4]],
    "batch_size": [2, 2, 1, 2],
    "updates": [1, 2, 2, 3],
    "update_attempts": [1, 2, 3, 4],
    "epoch": [0, 0, 0, 1],
    "step_in_epoch": [0, 1, 2, 0],
    "padding": [0, 0, 0, 1],
    "lr": [0.1, 1 / 3, 1e-30, 0.5],
    "loss": [2.5, math.nan, math.inf, -math.inf],
    "accuracy": [0.0, 0.25, 1 / 3, 1.0],
}


def csv_of(columns, separator=" "):
    """A CSV text of these columns."""

    def cell(value):
        if isinstance(value, list):
            return separator.join(map(str, value))
        return "" if value is None else str(value)

    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(cell, row)) for row in rows)]) + "\n"


def jsonl_of(columns):
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def imported(tmp_path):
    """Imports a text under that name; returns the trace, and what was imported."""

    def write_and_import(text, name="log.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        run = import_run(path, tmp_path / "out.trace", **options)
        return xframe.Trace.open(tmp_path / "out.trace"), run

    return write_and_import


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_everything_is_kept(name, imported, tmp_path):
    trace, run = imported(csv_of(FULL) if name.endswith("csv") else jsonl_of(FULL), name, num_samples=5)
    assert (run.rows, run.ending, checks.unjudged(run.known)) == (4, "complete", ("weights",))
    assert run.columns == {column: column for column in FULL}
    assert trace.complete
    assert trace.metadata["num_samples"] == 5
    assert trace.metadata["imported"] == {"from": name, "form": name[4:], "columns": run.columns}
    assert trace.metadata["versions"] == {}, "this process's versions are not the run's"
    assert [ids.tolist() for ids in trace.batches()] == FULL["ids"]
    for column in set(FULL) - {"ids"}:
        assert trace.column(column).tobytes() == np.array(FULL[column], trace.column(column).dtype).tobytes(), column
    with xframe.record(tmp_path / "recorded.trace") as rec:
        for k in range(4):
            rec.step(ids=FULL["ids"][k], updates=FULL["updates"][k])
    assert trace.certificate == xframe.Trace.open(tmp_path / "recorded.trace").certificate


def test_what_is_absent_stays_unknown(imported, tmp_path):
    trace, run = imported("step,batch_size,loss,lr\n1,2,0.5,\n2,2,0.25,0.1\n")
    assert checks.unjudged(run.known) == ("boundaries", "updates", "epochs", "lr", "weights")
    assert not trace.known("updates").any()
    assert not trace.known("ids_digest").any()
    assert trace.known("lr").tolist() == [False, True]
    assert trace.column("step").tolist() == [0, 1]
    comparison = xframe.compare(trace, trace)
    assert comparison.verdict == "inconclusive"
    judged = {check.name for check in comparison.checks if check.result != "not judged"}
    assert judged == {"steps", "lr", "loss"}  # the rate at the step that has one


@pytest.mark.parametrize("separator", [" ", ";", "; ", "  "])
def test_ids_in_a_cell(separator, imported):
    trace, _ = imported(csv_of({"ids": [[3, 1], [2]]}, separator))
    assert [ids.tolist() for ids in trace.batches()] == [[3, 1], [2]]


def test_ids_as_a_json_list(imported):
    trace, _ = imported('step,ids\n0,"[3, 1]"\n1,"[2]"\n2,[]\n')
    assert [ids.tolist() for ids in trace.batches()] == [[3, 1], [2], []]


def test_names(imported, tmp_path):
    text = "Iteration,batch_size,train/loss,learning_rate,bs\n0,2,0.5,0.1,7\n"
    trace, run = imported(text)
    assert run.columns == {
        "step": "Iteration",
        "batch_size": "batch_size",
        "lr": "learning_rate",
        "loss": "train/loss",
    }
    (tmp_path / "out.trace").unlink()
    trace, run = imported(text, columns={"batch_size": "bs", "loss": ""})
    assert trace.column("batch_size").tolist() == [7]
    assert "loss" not in run.columns


def test_other_separators_and_encodings(imported, tmp_path):
    for text in ("step;batch_size\r\n0;2\r\n", "step\tbatch_size\n0\t2\n\n", "\ufeffstep,batch_size\n0,2"):
        trace, _ = imported(text)
        assert trace.column("batch_size").tolist() == [2]
        (tmp_path / "out.trace").unlink()


def test_whole_numbers_as_floats(imported):
    trace, _ = imported("step,batch_size,epoch\n0.0,2.0,\n1.0,2.0,1.0\n")
    assert trace.column("batch_size").tolist() == [2, 2]
    assert trace.column("epoch").tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step,batch_size,loss\n0,2,low\n", r"log.csv, line 2: the loss: got 'low', expected a number. Leave"),
        ("step,batch_size,loss\n0,2,0.5\n1,2,1_0\n", r"line 3: the loss: got '1_0'"),
        ("step,batch_size,loss\n0,2,1e999\n", r"the loss: got '1e999'"),
        ("step,batch_size,loss\n0,2,١\n", r"the loss: got '١'"),
        ("step,batch_size,lr\n0,2,nan\n", r"the lr: got 'nan', expected a finite number"),
        ("step,batch_size,lr\n0,2,0.1\n1,2,inf\n", r"line 3: the lr: got 'inf'"),
        ("step,batch_size,epoch\n0,2,0.33\n", r"the epoch: got '0.33', expected a whole number from 0 up. Leave"),
        ("step,batch_size,epoch\n0,2,-1\n", r"the epoch: got '-1'"),
        ("step,batch_size,epoch\n0,2,9223372036854775808\n", r"the epoch: got '9223372036854775808'"),
        ("step,batch_size,epoch\n0,2,1e300\n", r"the epoch: got '1e300'"),
        ("step,batch_size\n0,\n", r"line 2: no batch_size: expected one in every row"),
        ("step,batch_size,loss\n0,2,1\n,,2\n", r"line 3: no step: expected one in every row. Keep only"),
        ("step,ids\n0,1 2\n1,\n", r"line 3: the ids: got nothing, expected sample ids"),
        ("step,ids\n0,1 2.5\n", r"the ids: got '1 2.5'"),
        ("step,batch_size\n0,0x10\n", r"the batch_size: got '0x10'"),
        ("step,batch_size,loss\n0,1,nan(1)\n", r"the loss: got 'nan\(1\)'"),
        ("step,batch_size,epoch\n0,1,9007199254740993.0\n", r"the epoch: got '9007199254740993.0'"),
        ('step,batch_size\n0,"2"3\n', r"line 2: not a line of CSV"),
        ('step,batch_size,note\n0,2,5" wide\n1,x,\n', r"line 3: the batch_size: got 'x'"),
        ('step,batch_size,note\n\n0,2,"two\nlines"\n\n1,x,\n', r"line 6: the batch_size: got 'x'"),
        ('step,batch_size,note\n0,2,"two\nlines"\n1,2\n', r"line 4: a row: got 2 fields"),
        ("step,ids\n0,1-2\n", r"the ids: got '1-2'"),
        ("step,ids\n0,9223372036854775808\n", r"the ids"),
        ("step,ids,batch_size\n0,1 2,3\n", r"line 2: the ids: got 2, expected 3 of them, by batch_size"),
        ("step,batch_size\n0,2\n1\n", r"line 3: a row: got 1 fields, expected 2, as the header has"),
        ('step,batch_size\n0,"2\n', r"not a line of CSV"),
        ("step,step\n0,2\n", r"two columns have one name: got step"),
        ("", r"no names of columns"),
        ("step,batch_size\n", r"the log has no steps"),
        ("epoch,loss\n0,1\n", r"nothing says which step a row of log.csv is: got columns epoch, loss"),
        ("step,f1\n0,1\n", r"none of the columns of log.csv is known by its name: got step, f1"),
        ("step,batch_size,loss,train_loss\n0,1,1,1\n", r"more than one column of log.csv could be the loss"),
        (b"step,batch_size\n0,\xff\n", r"line 2: not text.* expected text in UTF-8"),
        (b"step,batch_size,note\n0,1,\n1,1,\xff\n", r"line 3: not text"),
        ("step,batch_size", r"the log has no steps"),
        (
            "step,batch_size\n0,2\n10,2\n20,2\n",
            r"line 3: the log holds only one in 10 steps: got step 10, expected step 1",
        ),
        (
            "step,batch_size\n49,2\n99,2\n149,2\n",
            r"line 3: the log holds only one in 50 steps: got step 99, expected step 50. Log",
        ),
        ("step,batch_size\n5,2\n6,2\n", r"line 2: the log begins late: got step 5, expected step 0 or 1"),
        ("step,batch_size\n0,2\n1,2\n1,2\n", r"line 4: a step comes twice: got step 1, expected step 2"),
        ("step,batch_size\n0,2\n2,2\n1,2\n", r"line 3: steps are missing or out of order: got step 2"),
    ],
)
def test_what_is_refused(text, message, imported, tmp_path):
    with pytest.raises(UsageError, match=message):
        imported(text)
    assert not (tmp_path / "out.trace").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"step": 0, "batch_size": 2, "loss": true}\n', r"line 1: the loss: got True"),
        ('{"step": 0, "batch_size": 2, "loss": "low"}\n', r"line 1: the loss: got 'low'"),
        ('{"step": 0, "batch_size": 2, "lr": NaN}\n', r"the lr: got nan"),
        ('{"step": 0, "batch_size": 2.5}\n', r"the batch_size: got 2.5"),
        ('{"step": 0, "ids": [1, true]}\n', r"the ids"),
        ('{"step": 0, "ids": 1}\n', r"the ids: got 1"),
        ('{"step": 0, "ids": [1]}\n{"step": 1}\n', r"line 2: the ids: got nothing"),
        ('{"step": 0, "ids": [1]}\n[1]\n', r"line 2: not an object"),
        ("null\n", r"line 1: not an object: got None"),
        ('{"step": 0, "ids": [1]}\n null\n', r"line 2: not an object"),
        ('{"step": 0, "ids": [1]}\n{"step": 1, "ids": [', r"line 2: not JSON.* Is the last line whole"),
        ("[" * 100_000, r"line 1: not JSON"),
        ('{"step": 0, "batch_size": 2, "loss": 1e400}\n', r"the loss: got '1e400'"),
        ('{"step": 0, "ids": [1]} {"step": 1, "ids": [2]}\n', r"line 1: not JSON: got Extra data"),
        ('{"step": 0, "ids": [1]}\n\n{"step": 1, "ids": [null]}\n', r"line 3: the ids"),
        (b'{"step": 0, "ids": [1]}\n{"step": 1, "ids": [2], "note": "\xff"}\n', r"line 2: not text"),
        ('{"step": 0, "batch_size": 2, "loss": 1' + "0" * 400 + "}\n", r"the loss"),
    ],
)
def test_what_is_refused_of_json_lines(text, message, imported, tmp_path):
    with pytest.raises(UsageError, match=message):
        imported(text, "log.jsonl")
    assert not (tmp_path / "out.trace").exists()


def test_json_lines_of_mixed_kinds(imported):
    """A number may be written as whole or not, as a text where JSON has none for it, or be missing."""
    text = """\ufeff{"step": 0, "batch_size": 2, "loss": 1, "lr": 1}
{"step": 1.0, "batch_size": 2, "loss": "NaN", "note": {"a": [1, "b"]}}

{"step": 2, "batch_size": 2, "loss": "-Infinity", "lr": ""}
{"step": 3, "batch_size": 2, "loss": 9007199254740993, "lr": null}
"""
    trace, run = imported(text, "log.jsonl")
    assert trace.column("batch_size").tolist() == [2] * 4
    assert str(trace.column("loss").tolist()) == "[1.0, nan, -inf, 9007199254740992.0]"
    assert trace.known("lr").tolist() == [True, False, False, False]
    assert "lr" in checks.unjudged(run.known)


@pytest.mark.parametrize("at", [0, 1, 70_000])
@pytest.mark.parametrize("doubled", ['"loss": 2', '"loss": 1.0', '"batch_size": 2'])
def test_a_key_that_comes_twice_is_refused(imported, at, doubled):
    """Two readers of such a line read two things."""
    rows = [f'{{"step": {k}, "batch_size": 2, "loss": 1.0}}' for k in range(at + 2)]
    rows[at] = rows[at][:-1] + f", {doubled}}}"
    with pytest.raises(UsageError, match=rf"line {at + 1}: not JSON: got the key '\w+' twice"):
        imported("\n".join(rows), "log.jsonl")


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "events.out.tfevents.1", "log"])
def test_a_pipe_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError):
        import_run(tmp_path / name, tmp_path / "out.trace", form=None if "." in name else "csv")


def test_columns_beyond_counting_are_refused_at_once(imported):
    for name, text in {
        "log.csv": ",".join(["step", "loss", *map(str, range(200_000))]) + "\n",
        "log.jsonl": "{" + ", ".join(f'"{k}": 1' for k in range(200_000)) + "}\n",
    }.items():
        with pytest.raises(UsageError, match=r"too many columns: got 200,\d+, expected at most 10,000"):
            imported(text, name)


def test_an_event_file_reads_no_more_than_it_has(tmp_path):
    """65 bytes that state a record of 40 GB, its checksum right."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    length = (40 * 10**9).to_bytes(8, "little")
    file = tmp_path / "events.out.tfevents.1"
    file.write_bytes((length + masked_crc32c(length).to_bytes(4, "little")).ljust(65, b"x"))
    with pytest.raises(UsageError, match="no scalars"):
        import_run(file, tmp_path / "out.trace")


def test_options_that_are_refused(imported, tmp_path):
    text = "step,batch_size\n0,2\n"
    with pytest.raises(UsageError, match=r"unknown column of a trace: got 'los'.* Did you mean 'loss'"):
        imported(text, columns={"los": "loss"})
    with pytest.raises(UsageError, match=r"unknown column of log\.csv: got 'stop'.* Did you mean 'step'"):
        imported(text, columns={"step": "stop"})
    with pytest.raises(UsageError, match="used twice"):
        imported(text, columns={"updates": "step", "step": "step"})
    with pytest.raises(UsageError, match="unknown form of a log"):
        imported(text, form="xml")
    with pytest.raises(UsageError, match="a log of an unknown form"):
        imported(text, "log.txt")
    with pytest.raises(UsageError, match="cannot read the log"):
        import_run(tmp_path / "none.csv", tmp_path / "out.trace")
    (tmp_path / "out.trace").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        imported(text)
    assert (tmp_path / "out.trace").read_text() == "mine"


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_blocks(name, imported, monkeypatch):
    """Rows that lie in different blocks read as in one; errors name the line of the file."""
    monkeypatch.setattr(log, "BLOCK_BYTES", 30)
    columns = {"step": list(range(1, 12)), "ids": [[k, k + 1] for k in range(11)], "loss": [0.5] * 10 + [None]}
    text = csv_of(columns) if name.endswith("csv") else jsonl_of(columns)
    trace, run = imported(text, name)
    assert run.rows == trace.num_rows == 11
    assert trace.column("step").tolist() == list(range(11))
    assert trace.known("loss").tolist() == [True] * 10 + [False]
    assert "loss" in checks.unjudged(run.known)


@pytest.mark.parametrize("bad", ["3", "5", "8"])
def test_steps_over_blocks(bad, imported, monkeypatch):
    monkeypatch.setattr(log, "BLOCK_BYTES", 17)
    steps = ["0", "1", "2", bad, "4", "5"]
    if bad == "3":
        steps[3:] = ["2", "3", "4"]
    with pytest.raises(UsageError, match=r"line 5: .*expected step 3"):
        imported("step,batch_size\n" + "".join(f"{step},1\n" for step in steps))


@pytest.mark.parametrize("column", ["updates", "update_attempts"])
@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_counts_that_fall_are_refused_with_their_line(column, name, block, imported, monkeypatch, tmp_path):
    monkeypatch.setattr(log, "BLOCK_BYTES", block)
    write = csv_of if name == "log.csv" else jsonl_of
    counts = [1, 2, None, 2, 1, 3]
    text = write({"step": list(range(6)), column: counts})
    line = 5 + (name == "log.csv")
    with pytest.raises(UsageError, match=rf"line {line}: {column} fall: got 1 after 2, expected 2 or more"):
        imported(text, name)
    assert not (tmp_path / "out.trace").exists()
    trace, _ = imported(write({"step": list(range(6)), column: [1, 1, 2, 2, 3, 7]}), name)
    assert trace.column(column).tolist() == [1, 1, 2, 2, 3, 7]


@pytest.mark.parametrize("quote", ["", '"'])
def test_long_cells(quote, imported, monkeypatch):
    import csv

    monkeypatch.setattr(log, "BLOCK_BYTES", 100)
    before = csv.field_size_limit()
    trace, _ = imported(f"step,ids\n0,{quote}" + " ".join(map(str, range(40_000))) + f"{quote}\n")
    assert len(trace.ids(0)) == 40_000
    assert csv.field_size_limit() == before


@pytest.mark.costly
@pytest.mark.thorough
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from /proc")
def test_many_rows_in_constant_memory(tmp_path, record_property):
    """A process that imports them needs hardly more memory for 1,200,000 rows than for 300,000."""
    code = (
        "import re, sys; from xframe.recording.logs import import_run; import_run(*sys.argv[1:]);"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"  # maxrss is the parent's too
    )
    peaks = []
    for count in (300_000, 1_200_000):
        path = tmp_path / f"{count}.csv"
        path.write_text("step,batch_size,loss\n" + "".join(f"{k},64,{1 / (k + 1)!r}\n" for k in range(count)))
        command = [sys.executable, "-c", code, str(path), str(tmp_path / f"{count}.trace")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + 100_000, peaks  # in kB; all of it at once would take 450 MB more


# --- TensorBoard ---


@pytest.fixture
def events(tmp_path):
    """Writes event files as their format says: records with their lengths and checksums."""
    import struct

    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
    from tensorboard.util import tensor_util

    def write(scalars, folder="run", name="events.out.tfevents.1", tensors=False):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        data = b""
        for step, tag, number in scalars:
            value = summary_pb2.Summary.Value(tag=tag)
            if tensors:
                value.tensor.CopyFrom(tensor_util.make_tensor_proto(number))
                value.metadata.plugin_data.plugin_name = "scalars"
            else:
                value.simple_value = number
            event = event_pb2.Event(step=step, wall_time=1.0, summary=summary_pb2.Summary(value=[value]))
            body = event.SerializeToString()
            length = struct.pack("<Q", len(body))
            data += length + struct.pack("<I", masked_crc32c(length)) + body + struct.pack("<I", masked_crc32c(body))
        (tmp_path / folder / name).write_bytes(data)
        return tmp_path / folder

    return write


def points(steps=3, **scalars):
    return [(k, tag, values[k]) for k in range(steps) for tag, values in scalars.items()]


@pytest.mark.parametrize("tensors", [False, True])
def test_event_files(events, tensors, tmp_path):
    folder = events(points(loss=[0.5, 0.25, float("nan")], batch_size=[2.0, 2.0, 1.0], acc=[0.0] * 3), tensors=tensors)
    for source in (folder, folder / "events.out.tfevents.1", tmp_path):
        run = import_run(source, tmp_path / "out.trace")
        trace = xframe.Trace.open(tmp_path / "out.trace")
        assert trace.column("batch_size").tolist() == [2, 2, 1]
        assert trace.column("loss")[:2].tolist() == [0.5, 0.25]
        assert np.isnan(trace.column("loss")[2])
        assert trace.known("loss").all()
        assert run.columns == {"step": "step", "batch_size": "batch_size", "loss": "loss"}
        (tmp_path / "out.trace").unlink()


def test_a_scalar_that_is_logged_less_often(events, tmp_path):
    folder = events([*points(loss=[0.5, 0.25, 0.1], batch_size=[2.0] * 3), (2, "lr", 0.5)])
    run = import_run(folder, tmp_path / "out.trace")
    assert xframe.Trace.open(tmp_path / "out.trace").known("lr").tolist() == [False, False, True]
    assert "lr" in checks.unjudged(run.known)


def test_a_scalar_called_global_step_is_no_step(events, tmp_path):
    folder = events(points(**{"train/global_step": [5.0, 6.0, 7.0], "batch_size": [2.0] * 3}))
    assert import_run(folder, tmp_path / "out.trace").columns == {"step": "step", "batch_size": "batch_size"}


def test_a_wide_log(imported, monkeypatch):
    monkeypatch.setattr(log, "BLOCK_BYTES", 600)
    names = ["step", "batch_size", *(f"metric {i}" for i in range(200))]
    trace, _ = imported("\n".join([",".join(names), *(f"{k},2" + ",x" * 200 for k in range(5))]))
    assert trace.num_rows == 5


def test_event_files_that_break_off(events, tmp_path):
    folder = events(points(loss=[0.5, 0.25, 0.1], batch_size=[2.0] * 3))
    file = folder / "events.out.tfevents.1"
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    assert import_run(folder, tmp_path / "out.trace").ending == "truncated"
    trace = xframe.Trace.open(tmp_path / "out.trace")
    assert (trace.ending, trace.complete) == ("truncated", False)
    assert trace.num_rows == 2, "of the last step not all scalars may be there"
    file.write_bytes(whole[:30] + bytes([whole[30] ^ 1]) + whole[31:])
    with pytest.raises(UsageError, match="is damaged"):
        import_run(folder, tmp_path / "other.trace")


def test_event_files_that_are_refused(events, tmp_path):
    out = tmp_path / "out.trace"

    def refused(match, source, **options):
        with pytest.raises(UsageError, match=match):
            import_run(source, out, **options)
        assert not out.exists()

    every_tenth = [(k, tag, 2.0) for k in range(0, 50, 10) for tag in ("loss", "batch_size")]
    refused("only one in 10 steps: got step 10, expected step 1", events(every_tenth, "tenth"))
    twice = [*points(loss=[0.5] * 3, batch_size=[2.0] * 3), (1, "loss", 0.5)]
    refused("scalar 'loss' goes back: got step 1", events(twice, "twice"))
    events(points(loss=[0.5] * 3), "bare")
    other = events(points(f1=[0.5] * 3), "other")
    refused("none of the columns of other is known by its name: got step, f1", other)
    refused("a column that event files do not have", tmp_path / "tenth", columns={"step": "loss"})
    refused("no scalars", events([], "empty"))
    (tmp_path / "nothing").mkdir()
    refused("event files: got none in", tmp_path / "nothing")
    refused("got bare, empty, other, tenth, twice", tmp_path)


def test_what_torch_writes(tmp_path):
    code = """
import sys
sys.modules["tensorflow"] = None  # which tensorboard would import, for its files: seconds
from torch.utils.tensorboard import SummaryWriter
for new_style in (False, True):
    with SummaryWriter(f"{sys.argv[1]}/{new_style}") as writer:
        for k in range(3):
            writer.add_scalar("train/loss", 1 / (k + 1), k, new_style=new_style)
            writer.add_scalar("batch_size", 64, k, new_style=new_style)
            writer.add_text("note", "hello", k)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for style in ("False", "True"):
        run = import_run(tmp_path / style, tmp_path / f"{style}.trace")
        assert run.columns == {"step": "step", "batch_size": "batch_size", "loss": "train/loss"}
        trace = xframe.Trace.open(tmp_path / f"{style}.trace")
        assert trace.column("loss").tolist() == [float(np.float32(1 / (k + 1))) for k in range(3)]
        assert trace.column("batch_size").tolist() == [64] * 3


def test_reading_event_files_loads_no_framework(events, tmp_path):
    folder = events(points(loss=[0.5] * 3, batch_size=[2.0] * 3))
    code = (
        "import sys; from xframe.recording.logs import import_run; import_run(*sys.argv[1:]);"
        "print([name for name in ('torch', 'tensorflow', 'keras', 'jax') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "out.trace")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_tensorboard(tmp_path, monkeypatch):
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(UsageError, match=r"not installed.* pip install 'xframe-toolkit\[tensorboard\]'"):
        import_run(tmp_path / "events.out.tfevents.1", tmp_path / "out.trace")


def test_numbers_alone_are_compared_as_far_as_they_go(tmp_path):
    """A log of steps and losses: the numbers are compared with each other, and nothing passes."""
    for name, loss in (("a", 0.5), ("b", 0.5), ("c", 0.75)):
        (tmp_path / f"{name}.csv").write_text(f"step,loss\n0,1.0\n1,{loss}\n")
        run = import_run(tmp_path / f"{name}.csv", tmp_path / f"{name}.trace")
        assert {"boundaries", "updates"} <= set(checks.unjudged(run.known))
    trace = Trace.open(tmp_path / "a.trace")
    assert (trace.counts().num_steps, trace.counts().samples_seen, trace.certificate[:4]) == (2, None, "xf1-")
    assert not trace.known("time_ns").any()
    same, other = (compare(tmp_path / "a.trace", tmp_path / f"{name}.trace") for name in "bc")
    assert (same.verdict, same.check("loss").result) == ("inconclusive", "pass")
    assert "recorded no batches" in same.check("boundaries").detail
    assert (other.verdict, other.check("loss").first) == ("failed", 1)
