"""Commands that train in odd ways, or not at all, are recorded as far as they train, and end as they would without.

Nearly all train with a framework of a few lines, which brings an instrument as adapters do: each takes a moment.
"""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import xframe
from xframe.cli.app import execute

FRAMEWORK = """
import time
hooks = []
def train(steps, first=0, pause=0):
    for number in range(first, first + steps):
        for hook in hooks:
            hook(number)
        time.sleep(pause)
"""
INSTRUMENT = """
import numpy as np
import toyframe
from xframe.recording.attach.machine import Batch

class Counter:
    applied = attempts = 0
    evidence = "counted"

class Instrument:
    def __init__(self, machine):
        self.machine, self.counter = machine, Counter()
    def attach(self):
        toyframe.hooks.append(self.step)
        self.machine.counters[1] = self.counter
        self.machine.evidence = "counted"
    def detach(self):
        toyframe.hooks.remove(self.step)
    def step(self, number):
        self.machine.used(Batch(np.array([number]), 1))
        self.machine.backward(0.5)
        self.counter.applied += 1
        self.counter.attempts += 1
        self.machine.stepped(1, 0.1)
"""
TRAIN = "import toyframe; toyframe.train(5)"
PYTHON = sys.executable


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A framework, and the folder that a command runs in."""
    home, work = tmp_path / "home", tmp_path / "work"
    (home / "toy-0.dist-info").mkdir(parents=True)
    (home / "toyframe.py").write_text(FRAMEWORK)
    (home / "toy_instrument.py").write_text(INSTRUMENT)
    (home / "toy-0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 0\n")
    (home / "toy-0.dist-info" / "entry_points.txt").write_text(
        "[xframe.instruments]\ntoyframe = toy_instrument:Instrument\n"
    )
    work.mkdir()
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH")])))
    monkeypatch.chdir(work)
    return work


class Done:
    """What came of a recorded command."""

    def __init__(self, code, captured, folder):
        self.code, self.out, self.folder = code, captured.out, folder
        self.err = " ".join(captured.err.split())[-2000:]

    def steps(self, name="a.trace"):
        """Steps of a trace, by the samples that they took."""
        trace = xframe.Trace.open(self.folder / name)
        return [int(ids[0]) for ids in trace.frame().ids]

    def ending(self, name="a.trace"):
        return xframe.Trace.open(self.folder / name).ending

    def traces(self):
        return sorted(path.name for path in self.folder.glob("*.trace"))


@pytest.fixture
def record(toy, capfd):
    def run(*command, out="a.trace"):
        capfd.readouterr()
        return Done(execute(["record", "--out", str(out), "--", *map(str, command)]), capfd.readouterr(), toy)

    return run


@pytest.fixture
def script(toy, record):
    """Runs a script under ``xframe record``."""

    def run(text, *arguments, options=(), **kwargs):
        (toy / "script.py").write_text(textwrap.dedent(text))
        return record(PYTHON, *options, "script.py", *arguments, **kwargs)

    return run


def said(done, *words):
    for word in words:
        assert word in done.err, done.err


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
    "a kill": ([PYTHON, "-c", "import os; os.kill(os.getpid(), 9)"], 137, "imported none of"),
    "a usage error of its own": ([PYTHON, "-c", "raise SystemExit(2)"], 2, "imported none of"),
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
        ("missing/a.trace", "a file in a folder that exists"),
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
    "Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", 130, "interrupted by KeyboardInterrupt"),
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


# Processes.

FORKS = {
    "a child that trains": (
        """
        if not os.fork():
            toyframe.train(5)
            sys.exit()
        os.wait()
    """,
        ["a.trace"],
    ),
    "a child that trains and leaves at once": (
        """
        if not os.fork():
            toyframe.train(5)
            os._exit(0)
        os.wait()
    """,
        ["a.trace"],
    ),
    "parent and child": (
        """
        toyframe.train(5)
        if not os.fork():
            toyframe.train(5)
            sys.exit()
        os.wait()
    """,
        ["a-2.trace", "a.trace"],
    ),
    "multiprocessing by fork": (
        """
        worker = multiprocessing.get_context("fork").Process(target=toyframe.train, args=(5,))
        worker.start()
        worker.join()
    """,
        ["a.trace"],
    ),
    "multiprocessing by spawn": (
        """
        if __name__ == "__main__":
            worker = multiprocessing.get_context("spawn").Process(target=toyframe.train, args=(5,))
            worker.start()
            worker.join()
    """,
        ["a.trace"],
    ),
    "a pool": (
        """
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pool.map(toyframe.train, [5])
    """,
        ["a.trace"],
    ),
    "an executor": (
        """
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            list(pool.map(toyframe.train, [5]))
    """,
        ["a.trace"],
    ),
    "two shell commands in one": (
        f"""
        import subprocess
        command = [{PYTHON!r}, "-c", "import toyframe; toyframe.train(5)"]
        for _ in range(2):
            subprocess.run(command, check=True)
    """,
        ["a-2.trace", "a.trace"],
    ),
}


@pytest.mark.parametrize("case", FORKS)
def test_each_process_that_trains_has_a_trace(script, case):
    text, names = FORKS[case]
    done = script("import multiprocessing, os, sys\nimport toyframe\n" + textwrap.dedent(text))
    assert done.code == 0
    assert done.traces() == names
    assert [done.steps(name) for name in names] == [list(range(5))] * len(names), done.err
    said(done, *(f"5 steps recorded in {name}" for name in names))
    if len(names) > 1:
        said(done, "2 processes trained, and each has a trace of its own")


def test_workers_that_only_load_data_are_no_trainings(script):
    done = script("""
        import multiprocessing
        import toyframe
        with multiprocessing.get_context("fork").Pool(2) as pool:
            toyframe.train(len(pool.map(abs, range(5))))
    """)
    assert (done.traces(), done.steps()) == (["a.trace"], list(range(5)))


def test_a_process_that_replaces_itself(script):
    done = script("""
        import os, sys
        import toyframe
        toyframe.train(2)
        if len(sys.argv) == 1:
            os.execv(sys.executable, [sys.executable, __file__, "again"])
    """)
    assert done.traces() == ["a-2.trace", "a.trace"]
    assert done.ending("a.trace") == done.ending("a-2.trace") == "complete"


def test_a_training_that_goes_on_behind_is_named_and_recorded(toy, script):
    done = script("""
        import os, time
        if os.fork():
            os._exit(0)
        os.setsid()
        for number in range(3):
            os.close(number)
            os.open(os.devnull, os.O_RDWR)
        time.sleep(1.5)
        import toyframe
        toyframe.train(5)
        open("ended", "w")
    """)
    assert done.code == 0
    said(done, "the command ended, and process", "goes on: what it trains is recorded in a.trace")
    until = time.monotonic() + 20
    while not (toy / "a.trace").exists() or xframe.Trace.open(toy / "a.trace").ending != "complete":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert done.steps() == list(range(5))


def test_two_commands_at_once_to_one_trace_lose_nothing(toy):
    (toy / "script.py").write_text("import time, toyframe\ntoyframe.train(3)\ntime.sleep(1)")
    command = [PYTHON, "-m", "xframe", "record", "--out", "a.trace", "--", PYTHON, "script.py"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    words = "".join(process.communicate(timeout=60)[1] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(path.name for path in toy.glob("*.trace")) == ["a-2.trace", "a.trace"]
    assert words.count("3 steps recorded in a.trace") == words.count("3 steps recorded in a-2.trace") == 1


# What scripts do to their process.

DEEDS = {
    "another folder": "os.mkdir('other'); os.chdir('other')",
    "a folder that is gone": "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
    "standard output closed": "sys.stdout.close()",
    "standard error closed": "sys.stderr.close()",
    "both descriptors closed": "os.close(1); os.close(2)",
    "no standard streams": "sys.stdin = sys.stdout = sys.stderr = None",
    "standard output replaced": "import io; sys.stdout = io.StringIO()",
    "an emptied environment": "os.environ.clear()",
    "another path": "sys.path[:] = sys.path[:1] + sys.path[2:]",
    "an exit handler that trains": "import atexit; atexit.register(toyframe.train, 2, 5)",
    "a look for the module": "import importlib.util; importlib.util.find_spec('toyframe')",
    "a failed import before": "import shutil",
    "garbage collection off": "import gc; gc.disable()",
    "a thread that trains": "import threading; t = threading.Thread(target=toyframe.train, args=(2, 5)); run = True",
}


@pytest.mark.parametrize("case", DEEDS)
def test_whatever_the_script_does_to_its_process(script, case):
    first = DEEDS[case] if case.startswith("a look") else ""
    done = script(f"""
        import os, sys
        {first}
        import toyframe
        {"" if first else DEEDS[case]}
        toyframe.train(5)
        if "run" in globals():
            t.start()
    """)
    assert done.code == 0, done.err
    more = 2 if "trains" in case else 0
    said(done, f"{5 + more} steps recorded in a.trace")
    assert done.steps() == list(range(5 + more))
    assert done.ending() == "complete"


def test_megabytes_of_output_pass_through(script):
    done = script(f"{TRAIN}\nimport sys\nfor _ in range(40): print('x' * 100_000); print('y' * 1000, file=sys.stderr)")
    assert len(done.out) == 40 * 100_001
    said(done, "5 steps recorded")


def test_output_into_a_closed_pipe_ends_as_it_would(toy):
    (toy / "script.py").write_text(f"{TRAIN}\nfor _ in range(100_000): print('a line')")
    line = f"{PYTHON} -m xframe record --out a.trace -- {PYTHON} script.py | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.stdout == "a line\n"
    assert "BrokenPipeError" in done.stderr
    assert xframe.Trace.open(toy / "a.trace").ending == "interrupted by BrokenPipeError"


def test_the_trace_folder_removed_meanwhile(script):
    done = script(
        """
        import shutil
        import toyframe
        shutil.rmtree("../other")
        toyframe.train(5)
        print("went on")
    """,
        out=_made("other"),
    )
    assert (done.code, done.out) == (4, "went on\n")
    said(done, "nothing is recorded, and the script goes on", "cannot write the trace")


def _made(name):
    Path("..", name).mkdir()
    return f"../{name}/a.trace"


def test_trainings_one_after_the_other_go_on_in_one_trace(script):
    done = script("import toyframe\ntoyframe.train(3)\ntoyframe.train(3)")
    assert done.steps() == [0, 1, 2, 0, 1, 2]
    assert xframe.Trace.open(done.folder / "a.trace").frame().updates.tolist() == [1, 2, 3, 4, 5, 6]


def test_threads_that_train_at_once_are_refused_and_go_on(script):
    done = script("""
        import threading
        import toyframe
        import time
        threads = [threading.Thread(target=toyframe.train, args=(100, 0, 0.01)) for _ in range(2)]
        for thread in threads:
            thread.start()
            time.sleep(0.2)
        for thread in threads: thread.join()
        print("went on")
    """)
    assert (done.code, done.out) == (0, "went on\n")
    said(done, "two threads train at once", "Give each training a process of its own")
    assert "interrupted by UsageError" in done.ending()


def test_a_fault_of_an_instrument_is_reported_and_the_script_goes_on(toy, script):
    broken = INSTRUMENT.replace("self.machine.backward(0.5)", "self.machine.backward('no loss')")
    (toy.parent / "home" / "toy_instrument.py").write_text(broken)
    done = script(f"{TRAIN}\nprint('went on')")
    assert done.out == "went on\n"
    said(done, "the script goes on: a step's loss: got str")


def test_an_instrument_that_cannot_be_attached_is_reported(toy, script):
    (toy.parent / "home" / "toy_instrument.py").write_text("raise ImportError('no toy adapter')")
    done = script(f"{TRAIN}\nprint('went on')")
    assert (done.code, done.out) == (4, "went on\n")
    said(done, "nothing of toyframe is recorded: no toy adapter")


def test_a_watch_inside_a_recorded_command_is_refused(script):
    done = script("import toyframe, xframe\nwith xframe.watch('b.trace'): toyframe.train(5)")
    assert done.code == 1
    said(done, "this process is recorded already", "none in a command that xframe record runs")
    assert done.traces() == []


def test_a_recorder_inside_a_recorded_command_keeps_its_own(script):
    done = script("import toyframe, xframe\nwith xframe.record('b.trace') as r: toyframe.train(5); r.step(ids=[7])")
    assert (done.steps("a.trace"), done.steps("b.trace")) == (list(range(5)), [7])


# In a script or notebook.


@pytest.fixture
def frame(toy):
    for name in ("toyframe", "toy_instrument"):
        sys.modules.pop(name, None)
    import toyframe

    yield toyframe
    for name in ("toyframe", "toy_instrument"):
        sys.modules.pop(name, None)


def steps(path):
    return [int(ids[0]) for ids in xframe.Trace.open(path).frame().ids]


def test_a_watch_in_a_watch_is_refused_and_the_outer_goes_on(frame):
    with xframe.watch("a.trace"):
        frame.train(2)
        with pytest.raises(xframe.UsageError, match=r"b.trace, while a.trace is recorded"), xframe.watch("b.trace"):
            pass
        frame.train(1, 2)
    assert steps("a.trace") == [0, 1, 2]
    assert not Path("b.trace").exists()


def test_a_watch_left_by_an_exception_can_be_followed_by_another(frame):
    def fail():
        with xframe.watch("a.trace"):
            frame.train(2)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    with xframe.watch("b.trace"):
        frame.train(3)
    frame.train(1)
    assert (steps("a.trace"), steps("b.trace"), frame.hooks) == ([0, 1], [0, 1, 2], [])
    assert xframe.Trace.open("a.trace").ending == "interrupted by ValueError"


def test_a_watch_in_an_abandoned_generator_ends_with_it(frame):
    def trained():
        with xframe.watch("a.trace"):
            while True:
                frame.train(1)
                yield

    generator = trained()
    next(generator)
    del generator
    assert (steps("a.trace"), frame.hooks) == ([0], [])
    assert xframe.Trace.open("a.trace").ending == "interrupted by GeneratorExit"


def test_a_watch_in_a_thread_records_what_that_thread_trains(frame):
    def work():
        with xframe.watch("a.trace"):
            frame.train(4)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert steps("a.trace") == list(range(4))


def test_a_fault_in_a_watch_is_printed_at_once_and_raised_at_the_end(frame, capfd):
    def train_twice_at_once():
        threads = [threading.Thread(target=frame.train, args=(20, 0, 0.005)) for _ in range(2)]
        with xframe.watch("a.trace"):
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            assert "nothing more is recorded" in capfd.readouterr().err

    with pytest.raises(xframe.UsageError, match="two threads train at once"):
        train_twice_at_once()
    assert "interrupted by UsageError" in xframe.Trace.open("a.trace").ending


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_forked_inside_a_watch_is_not_of_it(frame, capfd):
    with xframe.watch("a.trace"):
        frame.train(2)
        child = os.fork()
        if not child:
            frame.train(3)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert steps("a.trace") == [0, 1]
    assert "the recorder belongs to the process that made it" in capfd.readouterr().err


def test_a_second_run_of_a_cell_replaces_its_trace_if_it_says_so(frame):
    for run in range(3):
        with xframe.watch("a.trace", replace=True):
            frame.train(run + 1)
    assert steps("a.trace") == [0, 1, 2]
    with pytest.raises(xframe.UsageError, match=r"replace=True"), xframe.watch("a.trace"):
        pass
    Path("notes.txt").write_text("mine")
    with pytest.raises(xframe.XframeError, match="not a trace"), xframe.watch("notes.txt", replace=True):
        pass
    assert Path("notes.txt").read_text() == "mine"


def test_cells_of_a_notebook(toy):
    """Cells run one after the other in one process, whatever happens in them, as in a notebook's kernel."""
    from code import InteractiveConsole

    console = InteractiveConsole()
    shown = []
    console.write = shown.append

    def cell(text):
        shown.clear()
        console.runsource(textwrap.dedent(text), symbol="exec")
        return "".join(shown)

    assert cell("import toyframe, xframe") == ""
    watched = "with xframe.watch('a.trace'):\n    toyframe.train(3)\n"
    assert cell(watched) == ""
    assert "Remove it, choose another name" in cell(watched)
    assert "replace=True" in shown[-1]
    again = watched.replace("'a.trace'", "'a.trace', replace=True")
    assert "ValueError: in the cell" in cell(again + "    raise ValueError('in the cell')")
    assert xframe.Trace.open("a.trace").ending == "interrupted by ValueError"
    assert cell(again) == ""
    assert (steps("a.trace"), xframe.Trace.open("a.trace").ending) == ([0, 1, 2], "complete")


@pytest.mark.thorough
def test_torchrun_with_one_process(toy, record):
    (toy / "script.py").write_text(
        "import torch\n"
        "model = torch.nn.Linear(3, 1)\n"
        "optimizer = torch.optim.SGD(model.parameters(), 0.1)\n"
        "for batch in torch.rand(5, 2, 3):\n"
        "    optimizer.zero_grad()\n"
        "    model(batch).sum().backward()\n"
        "    optimizer.step()\n"
    )
    done = record(PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "script.py")
    assert done.code == 0, done.err
    said(done, "5 steps recorded in a.trace")
    assert xframe.Trace.open(done.folder / "a.trace").frame().updates.tolist() == [1, 2, 3, 4, 5]
