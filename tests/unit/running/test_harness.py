"""The harness and its workers: the main job, interpreters, failures, interruption."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

import xframe
from xframe.cli.app import execute
from xframe.report.progress import Lines
from xframe.running import harness
from xframe.running.progress import Progress

ROOT = Path(__file__).parents[3]


def xf(*tokens, cwd, timeout=None, **environment):
    command, environment = [sys.executable, "-m", "xframe", *map(str, tokens)], {**os.environ, **environment}
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env=environment, timeout=timeout
    )


def here(*tokens, cwd):
    """The same command in this process, which has imported what a fresh one imports again; its workers are fresh."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = execute([*map(str, tokens)])
    return subprocess.CompletedProcess(tokens, code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(
    ("names", "tokens", "steps", "samples", "last"),
    [
        (("torch", "tensorflow"), (), 87, 5391, 5),
        (("numpy", "torch"), ("--remainder", "drop"), 84, 5376, 64),
        (("numpy", "torch"), ("--steps", 100), 100, 6223, 64),
    ],
    ids=["keep", "drop", "steps"],
)
def test_the_main_job(tmp_path, names, tokens, steps, samples, last):
    if tokens:  # which frameworks there are by default, the job without options shows
        tokens = (*tokens, "--adapters", ",".join(names))
    done = (here if tokens else xf)("verify", *tokens, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["verdict"], result["structure"]) == ("passed", "identical")
    assert result["numbers"] == "equivalent"
    assert [check["result"] for check in result["checks"]] == ["pass"] * 8
    assert tuple(result["runs"]) == names
    for counts in result["runs"].values():
        assert counts["num_steps"] == counts["num_updates"] == steps
        assert (counts["samples_seen"], counts["last_batch_size"]) == (samples, last)
    assert len(set(result["certificates"].values())) == 1
    assert done.stderr.count("trace complete") == 2
    folder = tmp_path / result["run"]
    written = {f"{name}.{end}" for name in names for end in ("trace", "log", "weights.safetensors")}
    assert {path.name for path in folder.iterdir()} == {
        "plan.toml",
        "numerics.json",
        *(f"report.{end}" for end in ("json", "md", "html")),
        *written,
    }
    assert json.loads((folder / "report.json").read_text())["verdict"] == "passed"
    assert (folder / "report.md").read_text().startswith(f"# PASSED: {' vs '.join(names)}")


@pytest.mark.costly
def test_workers_that_read_data(tmp_path):
    """Processes of a DataLoader, forked from a worker that waits for word from the harness."""
    done = xf("verify", "--adapters", "torch", "--workers", 2, "--epochs", 1, "--json", cwd=tmp_path, timeout=100)
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "passed"), done.stderr


@pytest.mark.parametrize(
    ("tokens", "refusal"),
    [
        (("--task", "ledger", "--validation-every", 1), "task 'ledger' has nothing to validate on"),
        (
            (*("--task", "diabetes-regression", "--validation-every", 1, "--early-stopping-patience", 1),
             *("--early-stopping-monitor", "accuracy")),
            "the plan stops by accuracy, and task 'diabetes-regression' does not measure it",
        ),
        (("--adapters", "torch:graph", "--device", "cpu"), "loop 'graph' replays CUDA graphs"),
        (("--workers", -1), "workers: got -1, expected an integer from 0 to 1024"),
        (("--precision", "float8"), "unknown precision: got 'float8'"),
    ],
)  # fmt: skip
def test_features_that_do_not_fit_are_refused(tmp_path, tokens, refusal):
    done = here("verify", *tokens, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert refusal in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.thorough
def test_runs_get_a_folder_each(tmp_path):
    (tmp_path / "mine.toml").write_text("batch_size = 50\nsteps = 9\n")
    folders = [
        json.loads(here("verify", "mine.toml", "--adapters", "numpy", "--json", cwd=tmp_path).stdout)["run"]
        for _ in "ab"
    ]
    assert folders == ["xframe-runs/mine-1", "xframe-runs/mine-2"]


def test_run_then_compare(tmp_path):
    (tmp_path / "plan.toml").write_text("batch_size = 50\nsteps = 9\n")
    for adapter in ("numpy", "torch"):
        done = here("run", "plan.toml", "--adapter", adapter, "--out", f"{adapter}.trace", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "9 steps, 9 updates, 450 samples" in done.stdout
    result = json.loads(here("compare", "numpy.trace", "torch.trace", "--json", cwd=tmp_path).stdout)
    assert (result["verdict"], result["numbers"]) == ("passed", "within tolerance")
    assert result["plan"]["steps"] == 9  # the plan travels in the trace, and both are compared with it


@pytest.fixture
def interpreter(tmp_path):
    """Makes an interpreter whose packages are this one's, without the torch that is installed here."""

    def make(*, torch: str | None):
        site = tmp_path / "site"
        site.mkdir()
        for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
            if not entry.name.startswith(("torch", "__")):
                (site / entry.name).symlink_to(entry)
        if torch is not None:
            (site / "torch").mkdir()
            (site / "torch" / "__init__.py").write_text(torch)
        script = tmp_path / "python"
        path = os.pathsep.join(map(str, (site, ROOT, ROOT / "adapters")))
        script.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} -S "$@"\n')
        script.chmod(0o755)
        return script

    return make


def test_an_interpreter_of_its_own(tmp_path, interpreter):
    other = interpreter(torch=None)
    done = here("verify", "--adapters", "numpy,torch", "--python", f"numpy={other}", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "passed"


def test_a_framework_that_is_not_installed(tmp_path, interpreter):
    done = here("verify", "--adapters", "numpy,torch", "--python", f"torch={interpreter(torch=None)}", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "adapter 'torch' needs a package that is not installed: got no module 'torch'" in done.stderr
    assert 'Install it: pip install "xframe-toolkit[torch]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_framework_that_is_broken(tmp_path, interpreter):
    broken = interpreter(torch="raise ImportError('libcudart.so.12: cannot open shared object file')")
    done = here("verify", "--adapters", "torch", "--python", f"torch={broken}", cwd=tmp_path)
    assert done.returncode == 3
    assert "its framework is installed but broken: got ImportError: libcudart.so.12: cannot open" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interpreter_without_xframe(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    done = xf("verify", "--adapters", "numpy", "--python", f"numpy={bare}", cwd=tmp_path)
    assert done.returncode == 3
    assert "Install xframe-toolkit for that interpreter" in done.stderr


def test_a_device_that_is_not_there(tmp_path):
    import torch

    assert not torch.cuda.is_available(), "this test is about machines without a GPU"
    done = here("verify", "--adapters", "torch", "--device", "cuda", cwd=tmp_path)
    assert done.returncode == 2
    assert "device 'cuda' is not there for adapter 'torch'" in done.stderr
    done = here("verify", "--adapters", "numpy", "--device", "cuda", cwd=tmp_path)
    assert done.returncode == 2
    assert "adapter 'numpy' cannot run this: got device 'cuda' is not one of its devices (cpu)" in done.stderr


def start_long_run(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """A run of minutes, returned once the first block of its trace is on disk."""
    command = [sys.executable, "-m", "xframe", "verify", "--adapters", "numpy", "--epochs", "100000"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore Ctrl-C
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for trace in folder.glob("xframe-runs/*/numpy.trace"):
            if trace.stat().st_size > 100_000:
                return process, trace
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the run recorded nothing in a minute")


def test_ctrl_c_keeps_what_was_recorded(tmp_path):
    process, trace = start_long_run(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    lines = err.splitlines()
    assert lines[0].endswith("steps  stopped")
    kept = trace.parent.relative_to(tmp_path)
    assert lines[1:] == [f"xframe: interrupted. What was recorded so far stays readable: {kept}"]
    kept_trace = xframe.Trace.open(trace)
    assert kept_trace.num_rows >= 1000
    assert kept_trace.ending == "interrupted by KeyboardInterrupt"
    done = xf("compare", trace, shutil.copy(trace, tmp_path / "copy.trace"), cwd=tmp_path)
    assert done.returncode == 4


def test_workers_do_not_outlive_the_harness(tmp_path):
    process, trace = start_long_run(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while xframe.Trace.open(trace).ending == "truncated":
        assert time.monotonic() < deadline, "the worker goes on without its harness"
        time.sleep(0.2)
    assert xframe.Trace.open(trace).ending == "interrupted by KeyboardInterrupt"


OWN_TASK = """
import sys
from dataclasses import replace
from xframe.tasks.builtin.digits_mlp import task as digits

def load():
    if "worker.py" in sys.argv[0]:
        {}
    return digits.load()

task = replace(digits, load=load)
"""


@pytest.mark.parametrize(
    ("does", "code", "message"),
    [
        ("import os; os.fork()", 0, ""),
        ("breakpoint()", 3, "got the task starts a debugger, and a run has no terminal: debug it in a script of your"),
        ("import os; os.execvp('sleep', ['sleep', '60'])", 3, "'numpy' closed its pipe to xframe before its first"),
        ("import time; time.sleep(60)", 3, "not done within --timeout 5 s: got numpy before its first recorded step"),
    ],
    ids=["forks", "debugs", "is replaced", "takes long"],
)
def test_what_a_task_does_to_its_process(tmp_path, does, code, message):
    (tmp_path / "own.py").write_text(OWN_TASK.replace("{}", does, 1))
    options = ["--task", "own:task", "--adapters", "numpy", "--epochs", 1, "--timeout", 5 if "time." in does else 60]
    done = xf("verify", *options, cwd=tmp_path, timeout=60)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_without_a_sign_of_life_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "_SILENT_SECONDS", 0.05)
    monkeypatch.setattr(harness, "_LOOK_SECONDS", 0.05)
    reported = []

    class Noting(Progress):
        def silent(self, label, seconds, replica=None):
            reported.append(seconds)

    plan = xframe.TrainingPlan(batch_size=64, epochs=1)
    assert xframe.verify(plan, adapters="numpy", out=tmp_path / "out", progress=Noting())
    assert reported[0] >= 0.05
    assert 1 < len(reported) < 20  # each time after twice as long
    stream = io.StringIO()
    lines = Lines(stream)
    lines.begin("numpy", 29)
    lines.silent("numpy", 61.7)
    assert stream.getvalue() == "  numpy  no sign of life for 62 s; Ctrl-C stops it, --timeout limits it\n"
    lines.silent("numpy", 61.7, replica=1)
    assert "replica 1: no sign of life for 62 s" in stream.getvalue()


@pytest.mark.costly
def test_files_in_the_current_folder_are_no_modules_of_pythons(tmp_path):
    (tmp_path / "random.py").write_text("open('ran', 'w'); raise SystemExit('ran')")
    (tmp_path / "own.py").write_text(OWN_TASK.replace("{}", "import random", 1))
    assert xf("tasks", cwd=tmp_path).returncode == 0
    for task in ("digits-mlp", "own:task"):
        done = xf("verify", "--adapters", "numpy", "--epochs", 1, "--task", task, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["mine.trace", "mine.log", "mine.weights.safetensors"])
def test_nothing_beside_the_trace_is_overwritten(tmp_path, name):
    (tmp_path / "plan.toml").write_text("batch_size = 50\nsteps = 9\n")
    (tmp_path / name).write_text("precious")
    done = here("run", "plan.toml", "--adapter", "numpy", "--out", "mine.trace", cwd=tmp_path)
    assert done.returncode == 2
    assert f"the output exists already: got '{name}'" in done.stderr
    assert (tmp_path / name).read_text() == "precious"


def test_no_place_for_the_run(tmp_path):
    (tmp_path / "xframe-runs").write_text("a file")
    done = here("verify", "--adapters", "numpy", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot make the folder: got 'xframe-runs/" in done.stderr
    assert "Choose another with --out" in done.stderr
