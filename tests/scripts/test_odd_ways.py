"""Commands that train in odd ways, or not at all, are recorded as far as they train, and end as they would without.

Nearly all train with a framework of a few lines, which brings an instrument as adapters do: each takes a moment.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import xframe
from scripts.toys import FRAMEWORK, PYTHON, TRAIN, said

# Ways to start it.

WAYS = {
    "a script": [PYTHON, "train.py"],
    "an absolute path": [PYTHON, "{work}/train.py"],
    "a folder below": [PYTHON, "below/../train.py"],
    "-c": [PYTHON, "-c", TRAIN],
    "-m": [PYTHON, "-m", "train"],
    "-m of a package": [PYTHON, "-m", "package"],
    "a folder with __main__": [PYTHON, "package"],
    "-B": [PYTHON, "-B", "train.py"],
    "-O": [PYTHON, "-O", "train.py"],
    "-P": [PYTHON, "-P", "train.py"],
    "-u -X dev": [PYTHON, "-u", "-X", "dev", "train.py"],
    "warnings are errors": [PYTHON, "-W", "error", "train.py"],
    "a console script": ["./console"],
    "a shell script": ["sh", "-c", '"$0" train.py', PYTHON],
    "env": ["env", "A=b", PYTHON, "train.py"],
    "PYTHONSAFEPATH": ["env", "PYTHONSAFEPATH=1", PYTHON, "train.py"],
    "PYTHONDONTWRITEBYTECODE": ["env", "PYTHONDONTWRITEBYTECODE=1", PYTHON, "train.py"],
    "through a link": [PYTHON, "link.py"],
    "by runpy": [PYTHON, "-c", "import runpy; runpy.run_path('train.py', run_name='__main__')"],
    "from a subprocess": [PYTHON, "-c", f"import subprocess; subprocess.run([{PYTHON!r}, 'train.py'], check=True)"],
}


@pytest.mark.parametrize("way", WAYS)
def test_however_python_is_started(toy, record, way):
    for name in ("train.py", "package/__main__.py"):
        (toy / name).parent.mkdir(exist_ok=True)
        (toy / name).write_text(TRAIN)
    (toy / "console").write_text(f"#!{PYTHON}\n{TRAIN}\n")
    (toy / "console").chmod(0o755)
    (toy / "below").mkdir()
    (toy / "link.py").symlink_to("train.py")
    done = record(*(word.format(work=toy) if word.startswith("{work}") else word for word in WAYS[way]))
    assert (done.code, done.out, done.err) == (0, "", "xframe: 5 steps recorded in a.trace")
    assert done.steps() == list(range(5))
    assert done.ending() == "complete"


def test_arguments_and_input_pass_through_untouched(toy, script, monkeypatch):
    (toy / "given").write_text("from stdin")
    monkeypatch.setattr(sys, "stdin", None)
    arguments = ["", "two words", "-x", "--out", "b", "--json", "--help", "--version", "*", "ü"]
    with open("given") as given:
        saved = os.dup(0)
        os.dup2(given.fileno(), 0)
        try:
            done = script(f"import sys; print(sys.argv[1:], sys.stdin.read())\n{TRAIN}", *arguments)
        finally:
            os.dup2(saved, 0)
            os.close(saved)
    assert done.out == f"{arguments} from stdin\n"
    assert done.steps() == list(range(5))


def test_the_script_finds_what_it_would_have_found(toy, script, monkeypatch):
    text = "import sys; print(sys.path, sys.argv, sys.flags, __name__, __file__, sys.excepthook is sys.__excepthook__)"
    (toy / "script.py").write_text(text)
    bare = subprocess.run([PYTHON, "script.py"], capture_output=True, text=True, check=True)
    assert script(text).out == bare.stdout


def test_its_own_customizations_run(toy, script):
    home = toy.parent / "home"
    (home / "sitecustomize.py").write_text("import builtins; builtins.customized = ['site']")
    (home / "usercustomize.py").write_text("customized.append('user')")
    bare = [PYTHON, "-c", "print(customized)"]
    printed = subprocess.run(bare, capture_output=True, text=True, check=True).stdout
    done = script(f"print(customized)\n{TRAIN}")
    assert done.out == printed
    assert "site" in printed
    assert done.steps() == list(range(5))


def test_a_customization_that_fails_is_pythons_affair(toy, script):
    (toy.parent / "home" / "sitecustomize.py").write_text("raise ValueError('of the site')")
    done = script(TRAIN)
    said(done, "Error in sitecustomize", "ValueError: of the site", "5 steps recorded")


# Nothing to record.

NOTHING = {
    "no Python": (["true"], 0, "ran no Python that xframe can follow"),
    "no Python that fails": (["false"], 1, "ran no Python that xframe can follow"),
    "no framework": ([PYTHON, "-c", "print(1)"], 0, "imported none of"),
    "no training": ([PYTHON, "-c", "import toyframe"], 0, "toyframe was imported, and nothing was trained with it"),
    "-I": ([PYTHON, "-I", "-c", "print(1)"], 0, "kept from it (python -I, -E or -S"),
    "-E": ([PYTHON, "-E", "-c", "print(1)"], 0, "kept from it (python -I, -E or -S"),
    "-S": ([PYTHON, "-S", "-c", "print(1)"], 0, "kept from it (python -I, -E or -S"),
    "an emptied environment": (["env", "-i", PYTHON, "-c", "print(1)"], 0, "an emptied environment"),
    "a kill": ([PYTHON, "-c", "import os; os.kill(os.getpid(), 9)"], 137, "failed (exit 137) before its first"),
    "a usage error of its own": ([PYTHON, "-c", "raise SystemExit(2)"], 2, "failed (exit 2) before its first update"),
    "no script of that name": ([PYTHON, "nope.py"], 2, "failed (exit 2) before its first update"),
    "an error": ([PYTHON, "-c", "import toyframe; 1 / 0"], 1, "failed (exit 1) before its first update"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_a_command_that_trains_nothing_says_why_nothing_was_recorded(record, case):
    command, code, words = NOTHING[case]
    done = record(*command)
    assert done.code == (code or 4)
    said(done, "nothing was recorded", words)
    assert done.traces() == []


def test_an_interpreter_without_xframe_is_named_with_what_to_install(toy, record, monkeypatch):
    (toy / "bare").mkdir()
    (toy / "bare" / "toyframe.py").write_text(FRAMEWORK)
    monkeypatch.setenv("PYTHONPATH", str(toy / "bare"))  # which xframe is not in, nor in this interpreter's own folders
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if subprocess.run([python, "-c", "import xframe"], capture_output=True, check=False).returncode == 0:
        pytest.skip("the base interpreter has xframe")
    done = record(python, "-c", f"{TRAIN}; print('trained')")
    assert (done.code, done.out) == (4, "trained\n")
    said(done, "cannot import xframe", f"{python} -m pip install xframe-toolkit")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["no-such-command"], "cannot run 'no-such-command'"),
        (["./script.py"], "Begin with the interpreter: -- python train.py"),
        (["."], "cannot run '.'"),
        ([], "no command to record"),
    ],
)
def test_a_command_that_cannot_be_run(toy, record, command, words):
    (toy / "script.py").write_text(TRAIN)
    done = record(*command)
    assert done.code == 2
    said(done, words)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("there.trace", "the trace exists already"),
        ("dangling.trace", "the trace exists already"),
        ("there.trace/a.trace", "a file in a folder that exists"),
        ("/proc/a.trace", "cannot write the trace"),
        (".", "the trace exists already"),
    ],
)
def test_a_place_where_no_trace_can_be_is_refused_before_anything_runs(toy, script, out, words):
    (toy / "there.trace").write_text("kept")
    (toy / "dangling.trace").symlink_to("nowhere")
    done = script("open('ran', 'w')", out=out)
    assert done.code == 2
    said(done, words)
    assert not (toy / "ran").exists()
    assert (toy / "there.trace").read_text() == "kept"


# Ends.

ENDS = {
    "an exception": ("raise ValueError('of the script')", 1, "interrupted by ValueError"),
    "an exception, with a hook of its own": (
        "sys.excepthook = lambda *_: print('hooked'); raise ValueError",
        1,
        "interrupted by ValueError",
    ),
    "exit 0": ("sys.exit()", 0, "complete"),
    "exit 7": ("sys.exit(7)", 7, "complete"),
    "exit with a message": ("sys.exit('enough')", 1, "complete"),
    "os._exit": ("os._exit(0)", 0, "complete"),
    "os._exit 3": ("os._exit(status=3)", 3, "interrupted by os._exit(3)"),
    "Ctrl-C": (  # which is ignored in the background, as the tests may be
        "signal.signal(signal.SIGINT, signal.default_int_handler); os.kill(os.getpid(), signal.SIGINT); time.sleep(9)",
        130,
        "interrupted by KeyboardInterrupt",
    ),
    "a handler of its own": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
        9,
        "complete",
    ),
}


@pytest.mark.parametrize("case", ENDS)
def test_however_the_script_ends(script, case):
    end, code, ending = ENDS[case]
    done = script(f"import os, signal, sys, time\n{TRAIN}\n{end}")
    assert done.code == code, done.err
    said(done, "5 steps recorded in a.trace")
    assert done.steps() == list(range(5))
    assert done.ending() == ending


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT"])
def test_what_was_recorded_of_a_killed_script_is_kept_and_said(script, number):
    done = script(f"""
        import os, signal, time
        import toyframe
        toyframe.train(5)
        time.sleep(1.6)  # rows reach the file once a second
        os.kill(os.getpid(), signal.{number})
    """)
    assert done.code == 128 + getattr(signal, number)
    said(done, "4 steps recorded in a.trace: what trained was ended before it could close it")  # the fifth may go on
    assert done.steps() == list(range(4))
    assert "truncated" in done.ending()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signals_to_xframe_record_reach_the_command(toy, number):
    (toy / "script.py").write_text(
        "import signal, sys, time, toyframe\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(5))\n"
        "toyframe.train(5)\nopen('ready', 'w')\ntime.sleep(30)"
    )
    command = [PYTHON, "-m", "xframe", "record", "--out", "a.trace", "--", PYTHON, "script.py"]
    with subprocess.Popen(command, start_new_session=True) as process:
        while not (toy / "ready").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(20) == 5
    assert xframe.Trace.open(toy / "a.trace").num_rows == 5


def test_an_earlier_trace_is_replaced_if_asked_and_stays_if_nothing_is_trained(script):
    script(TRAIN)
    refused = script("import toyframe; toyframe.train(3)")
    said(refused, "exists already", "--replace")
    done = script("import toyframe; toyframe.train(3)", flags=("--replace",))
    assert (done.code, done.steps(), done.traces()) == (0, [0, 1, 2], ["a.trace"])
    done = script("import toyframe; raise SystemExit(5)", flags=("--replace",))
    assert (done.code, done.steps(), done.traces()) == (5, [0, 1, 2], ["a.trace"])
    said(done, "a.trace is the earlier trace, as it was")
