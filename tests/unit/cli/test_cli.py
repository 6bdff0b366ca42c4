"""The command line, in this process: output, messages, exit codes."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import typing

import numpy as np
import pytest

import xframe
from xframe.cli import app as cli
from xframe.cli import options
from xframe.errors import UsageError
from xframe.plan.fields import FIELDS
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.attach.launching import run_recorded
from xframe.tasks.lookup import BUILT_IN


def write_trace(path, *, sizes=(4, 4, 2), loss=1.0):
    with xframe.record(path, num_samples=10) as rec:
        first = 0
        for i, size in enumerate(sizes):
            rec.step(ids=np.arange(first, first + size), updates=i + 1, loss=loss, lr=0.1)
            first += size


@pytest.fixture
def xf(capsys, tmp_path, monkeypatch):
    """Runs a command line in an empty folder; returns exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*tokens):
        code = cli.execute([str(token) for token in tokens])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_plan_writes_the_arithmetic_out(xf):
    code, out, err = xf("plan", "--samples", 60000, "--batch-size", 1000, "--epochs", 10)
    assert (code, err) == (0, "")
    assert "60,000 samples / batches of 1,000 = 60 full, none left -> 60 steps an epoch" in out
    assert "600 steps, 600 updates, 10 epochs" in out


def test_plan_without_arguments_is_the_main_job(xf):
    code, out, _ = xf("plan", "--json")
    assert code == 0
    assert json.loads(out) == {
        "num_steps": 87,
        "num_updates": 87,
        "num_epochs": 3,
        "steps_per_epoch": 29,
        "samples_seen": 5391,
        "samples_dropped": 0,
        "samples_padded": 0,
        "last_batch_size": 5,
    }


def test_plan_shows_a_step_counted_from_0(xf):
    tokens = ("plan", "--samples", 100, "--batch-size", 10, "--epochs", 1, "--order", "sequential", "--step", 2)
    code, out, _ = xf(*tokens)
    assert code == 0
    assert "step 2: step 2 of epoch 0, samples 20-29, in pass 0, all counted from 0; updates after it: 3" in out
    assert json.loads(xf(*tokens, "--json")[1])["step"]["sample_ids"] == list(range(20, 30))


def test_a_limit_replaces_all_limits_of_the_file(xf, tmp_path):
    (tmp_path / "p.toml").write_text("batch_size = 10\nepochs = 7\nupdates = 3\n")
    counts = [json.loads(xf("plan", "p.toml", "--samples", 100, *more, "--json")[1]) for more in ((), ("--steps", 55))]
    assert [c["num_steps"] for c in counts] == [3, 55]


@pytest.mark.parametrize("tokens", [["plan"], ["plan", "--step", "3", "--json"], ["plan", "--help"]], ids=" ".join)
def test_plan_loads_nothing_heavy(tokens):
    heavy = ("torch", "tensorflow", "keras", "pandas", "matplotlib", "pyarrow", "sklearn")
    code = f"import sys; from xframe.cli.app import execute; execute({tokens!r}); "
    code += f"sys.exit(str([name for name in {heavy!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout
    assert done.stderr == "[]\n"


def test_the_options_are_the_fields_of_the_plan():
    assert tuple(options.PlanOptions.__dataclass_fields__) == tuple(FIELDS)


@pytest.mark.parametrize(
    ("tokens", "parts"),
    [
        (("plan", "--batch-size", 0), ("batch_size", "got 0", "from 1 to 9223372036854775807", "batch_size = 64")),
        (("plan", "--batch-size", -3), ("batch_size", "got -3")),
        (("plan", "--batch-size", 10**30), ("batch_size", "got 1000", "from 1 to")),
        (("plan", "--batch-size", "ten"), ("--batch-size", "ten", "whole number", "xframe plan --help")),
        (("plan", "--epochs", "2.5"), ("--epochs", "2.5")),
        (("plan", "--samples", 0), ("number of samples", "got 0")),
        (("plan", "--samples", 10, "--remainder", "drop"), ("smaller than one batch", "got 10", "at least 64")),
        (("plan", "--remainder", "kep"), ("got 'kep'", "keep, drop, pad, carry, error", "Did you mean 'keep'")),
        (("plan", "--on-exhaustion", "stop"), ("on_exhaustion without steps_per_epoch", "got 'stop'", "Set steps_per")),
        (("plan", "--loss-normalization", "sum"), ("loss_normalization without gradient accumulation", "got 'sum'")),
        (("plan", "--sampels", 4), ("--sampels", "Did you mean --samples")),
        (("plan", "--step", 87), ("no such step", "got 87", "0 to 86")),
        (("plan", "nowhere.toml"), ("cannot read the plan file", "nowhere.toml")),
        (("paln",), ("unknown command: got 'paln'. Did you mean 'plan'? See: xframe --help. Expected one",)),
        (
            ("verify", "--task", "digits-mpl"),
            ("unknown task", "digits-mlp, ledger, rows-lstm", "Did you mean 'digits-mlp'"),
        ),
        (("verify", "--adapters", "jax,torch"), ("unknown adapter", "got 'jax'", "numpy, tensorflow, torch")),
        (("verify", "--adapters", "torch:fast"), ("unknown loop of adapter 'torch'", "got 'fast'", "eager")),
        (("verify", "--adapters", "torch,torch"), ("given twice", "got 'torch'")),
        (("verify", "--adapters", ","), ("no adapter given",)),
        (("verify", "--device", "gpu"), ("unknown device", "got 'gpu'", "auto, cpu, cuda", "named cuda")),
        (("verify", "--precision", "float16"), ("unknown precision", "float32, float64")),
        (("verify", "--threads", 0), ("threads", "got 0")),
        (("verify", "--rtol", -1, "--atol", 0, "--adapters", "numpy"), ("tolerance", "rtol -1")),
        (("verify", "--rtol", 1, "--adapters", "numpy"), ("got rtol 1 alone", "expected rtol and atol, or neither")),
        (("compare", "a.trace", "b.trace", "--atol", 1), ("got atol 1 alone", "expected rtol and atol, or neither")),
        (("verify", "--python", "torch"), ("--python", "got 'torch'", "ADAPTER=/path/to/python")),
        (("verify", "--python", "torch=/no/python"), ("no such interpreter", "/no/python")),
        (("verify", "--python", f"numpy={sys.executable}"), ("not chosen", "got 'numpy'", "torch, tensorflow")),
        (("verify", "--task", "ledger", "--epochs", 99), ("cannot hold that many updates", "at most 12", "float64")),
        (("verify", "--out", "."), ("exists already", "got '.'")),
        (("run", "p.toml", "--adapter", "numpy"), ("--out is missing. See: xframe run --help",)),
        (("plan", "--epochs"), ("--epochs without a value",)),
        (
            ("record", "--jsn", "--out", "a.trace", "--", "python", "a.py"),
            ("unknown option: got --jsn. Did you mean --json? See: xframe record --help",),
        ),
        (("record", "--outt", "a.trace", "--", "true"), ("unknown option: got --outt. Did you mean --out? See",)),
        (("record", "--identity", "close", "--", "true"), ("--out is missing",)),
        (("explain",), ("TRACE is missing. See: xframe explain --help",)),
        (("plan", "--bach-size", 3), ("Did you mean --batch-size? See: xframe plan --help",)),
        (("compare",), ("nothing to compare with: got 0 traces", "xframe compare reference.trace candidate.trace")),
        (("compare", "."), ("a folder without traces", "a folder that verify made")),
        (("compare", "a.trace", "b.trace"), ("cannot read the trace", "a.trace")),
        (("certificate", "a.trace"), ("cannot read the trace", "a.trace")),
        (("certificate",), ("TRACE is missing",)),
        (("plan", "--batchsize", 4), ("unknown option: got --batchsize. Did you mean --batch-size? See",)),
        (("run", "--adapter", "numpy", "--out", "a.trace"), ("PLAN.TOML is missing. See: xframe run --help",)),
        (("run", "a", "b", "--adapter", "numpy", "--out", "c"), ("too many words: got b", "xframe run --help")),
        (("import", "a.py", "--out", "a.trace"), ("Say which with --form",)),
        (("selftest", "--fault", "drops-batch"), ("expected one of 1", "Did you mean 'drops-a-batch'?")),
        (("selftest", "--fault", "nosuch"), ("xframe selftest --fault list prints them",)),
        (("plan", "nowhere.toml"), ("expected a readable TOML file (No such file or directory)",)),
    ],
    ids=lambda value: " ".join(map(str, value))[:60] if isinstance(value, tuple) else None,
)
def test_bad_input_gets_one_clear_message_and_exit_2(xf, tokens, parts):
    code, out, err = xf(*tokens)
    assert (code, out) == (2, "")
    assert err.startswith("xframe: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def test_the_folder_of_a_run_that_recorded_nothing_is_named_as_that(xf, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.toml").write_text("batch_size = 4\nepochs = 1\n")
    code, _, err = xf("compare", "run")
    assert code == 2
    assert "a run's folder without traces: got 'run'" in err


def test_options_of_the_recorded_command_are_its_own(capfd, tmp_path):
    words = ["--out", tmp_path / "a.trace", "--", "echo", "--jsn", "--out"]
    assert cli.execute(["record", "--identity=close", *map(str, words)]) == 4
    assert capfd.readouterr().out == "--jsn --out\n"


def test_a_trace_named_without_its_suffix_is_guessed(xf):
    write_trace("k3.trace")
    write_trace("t9.trace")
    assert "Did you mean k3.trace?" in xf("compare", "k3", "t9.trace")[2]


def test_plan_says_whose_number_of_samples_it_takes(xf):
    assert "1,797 are those of the task digits-mlp" in xf("plan")[1]
    assert "1,797 are those" in xf("plan", "--like", "keras", "--like", "lightning")[1]
    assert "those of the task" not in xf("plan", "--samples", 1797)[1]


def test_the_known_faults_are_listed(xf):
    code, out, _ = xf("selftest", "--fault", "list")
    assert code == 0
    assert "drops-a-batch" in out.split()


def test_certificates_of_several_traces_each_on_a_line(xf):
    for name in ("a.trace", "b.trace"):
        write_trace(name)
    line = xf("certificate", "a.trace")[1].strip()
    code, out, _ = xf("certificate", "a.trace", "b.trace")
    assert (code, out) == (0, f"{line}  a.trace\n{line}  b.trace\n")
    several = json.loads(xf("certificate", "a.trace", "b.trace", "--json")[1])["certificates"]
    assert [one["trace"] for one in several] == ["a.trace", "b.trace"]


def test_debug_shows_the_traceback(xf):
    code, _, err = xf("plan", "--batch-size", 0, "--debug")
    assert code == 2
    assert "Traceback" in err
    assert "PlanError" in err


def test_an_uncaught_exception_is_exit_3_without_a_traceback(xf, monkeypatch):
    monkeypatch.setattr(TrainingPlan, "counts", lambda *_: 1 / 0)
    code, out, err = xf("plan")
    assert (code, out) == (3, "")
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err


def test_compare_exit_codes_and_forms(xf, tmp_path):
    write_trace("a.trace")
    write_trace("b.trace")
    write_trace("short.trace", sizes=(4, 4))
    code, out, err = xf("compare", "a.trace", "b.trace")
    assert (code, err) == (0, "")
    assert out.strip().splitlines()[-1].startswith("PASSED  structure identical, numbers identical")
    code, out, _ = xf("compare", "a.trace", "short.trace", "--json")
    assert code == 1
    result = json.loads(out)
    assert result["verdict"] == "failed"
    assert (result["first_difference"]["check"], result["first_difference"]["step"]) == ("steps", 2)
    code, out, _ = xf("compare", "a.trace", "short.trace", "--md")
    assert code == 1
    assert out.startswith("# FAILED: a vs short")
    assert xf("compare", "a.trace", "b.trace", "--json", "--md")[0] == 2
    assert xf("compare", "a.trace", "a.trace")[0] == 2
    code, _, err = xf("compare", "a.trace", "b.trace", "--order", "coverge")
    assert code == 2
    assert "Did you mean 'coverage'" in err


def test_explain_takes_what_compare_takes(xf):
    write_trace("a.trace")
    write_trace("short.trace", sizes=(4, 4))
    code, out, _ = xf("explain", "a.trace", "short.trace", "--md", "--identity", "index", "--order", "exact")
    assert (code, out.splitlines()[0]) == (1, "# FAILED: a vs short")
    assert xf("explain", "a.trace", "--md")[1].startswith("# a\n\n```\na: 3 steps")
    assert xf("explain", "a.trace", "--md", "--json")[0] == 2
    code, _, err = xf("explain", "a.trace", "--identity", "exact")
    assert (code, "are of two traces: got one" in err) == (2, True)


def test_a_truncated_trace_is_inconclusive(xf, tmp_path):
    write_trace("a.trace")
    with xframe.record("open.trace", num_samples=10) as rec:
        for i in range(3):
            rec.step(ids=np.arange(4 * i, min(4 * i + 4, 10)), updates=i + 1, loss=1.0, lr=0.1)
        rec.flush()
        shutil.copy("open.trace", "b.trace")
    code, out, _ = xf("compare", "a.trace", "b.trace")
    assert code == 4
    assert "b is truncated" in out
    assert "INCONCLUSIVE" in out
    code, out, err = xf("certificate", "b.trace")
    assert (code, out) == (4, "")
    assert "truncated" in err


def test_a_closed_trace_that_was_cut_is_damaged(xf, tmp_path):
    write_trace("a.trace")
    write_trace("b.trace")
    whole = (tmp_path / "b.trace").read_bytes()
    (tmp_path / "b.trace").write_bytes(whole[:-1200])
    for command in (("compare", "a.trace", "b.trace"), ("certificate", "b.trace")):
        code, out, err = xf(*command)
        assert (code, out) == (4, "")
        assert "b.trace is damaged" in err


def test_a_file_that_is_no_trace(xf, tmp_path):
    write_trace("a.trace")
    for name, content in (("text", b"hello"), ("empty", b""), ("noise", bytes(range(256)) * 9)):
        (tmp_path / name).write_bytes(content)
        code, _, err = xf("compare", "a.trace", name)
        assert code == 2
        assert f"not a trace: got '{name}'" in err


def test_certificates_of_equal_runs_are_equal(xf):
    for name, loss in (("a.trace", 1.0), ("b.trace", 2.0)):
        write_trace(name, loss=loss)
    lines = [xf("certificate", name) for name in ("a.trace", "b.trace")]
    assert lines[0] == lines[1]
    assert lines[0][1].startswith("xf1-")


def test_a_hostile_trace_cannot_drive_the_terminal(xf):
    hostile = "\x1b[2Jevil|<script>\nx"
    for name, label in (("a.trace", hostile), ("b.trace", "b")):
        with xframe.record(name, num_samples=10, metadata={"label": label, "versions": {"torch": hostile}}) as rec:
            rec.step(ids=np.arange(4), updates=1, loss=1.0)
    for form in ("--md", "--order=exact"):
        code, out, _ = xf("compare", "a.trace", "b.trace", form)
        assert code == 0
        assert "\x1b" not in out
        assert "\nx" not in out
    assert "<script>" not in xf("compare", "a.trace", "b.trace", "--md")[1]


def test_lists(xf):
    code, out, _ = xf("adapters", "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == ["numpy", "tensorflow", "torch"]
    assert all(row["installed"] for row in json.loads(out))
    code, out, _ = xf("tasks", "--json")
    assert [row["name"] for row in json.loads(out)] == list(BUILT_IN)
    assert "digits-mlp" in xf("tasks")[1]
    assert "loops eager" in xf("adapters")[1]


def test_a_loop_whose_trainer_is_absent_is_listed_as_such(xf, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lightning" else find(name))
    (torch,) = [row for row in json.loads(xf("adapters", "--json")[1]) if row["name"] == "torch"]
    assert torch["installed"]
    assert torch["loops_not_installed"]["lightning"] == 'pip install "xframe-toolkit[trainers]"'
    assert "loader" not in torch["loops_not_installed"]
    assert "without lightning" in xf("adapters")[1]


@pytest.mark.parametrize("command", ["verify", "plan", "run", "compare", "certificate", "adapters", "tasks"])
def test_every_command_has_help(xf, command):
    code, out, _ = xf(command, "--help")
    assert code == 0
    assert f"xframe {command}" in out


def test_the_forms_of_logs_are_those_that_can_be_imported():
    from xframe.cli import traces
    from xframe.recording.logs.importing import LOGS

    hints = typing.get_type_hints(traces.import_command)
    assert set(typing.get_args(typing.get_args(hints["form"])[0])) == set(LOGS)


def test_a_terminal_of_few_letters_gets_its_verdict(tmp_path):
    paths = [tmp_path / name for name in ("größe.trace", "größer.trace")]
    for path in paths:
        write_trace(path)
    variables = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "xframe", "compare", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    assert b"gr\\xf6\\xdfer" in done.stdout
    assert b"PASSED" in done.stdout


def test_recording_makes_the_folder_that_its_trace_is_to_lie_in(tmp_path):
    with pytest.raises(UsageError, match="nosuchcommand"):  # which is seen behind it, and trains nothing
        run_recorded(["nosuchcommand"], tmp_path / "runs" / "seeds" / "x.trace")
    assert (tmp_path / "runs" / "seeds").is_dir()
