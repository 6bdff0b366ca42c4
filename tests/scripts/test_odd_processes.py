"""Commands of several processes, and scripts that do odd things to theirs, are recorded; none is disturbed."""

import subprocess
import textwrap
import time
from pathlib import Path

import pytest

import xframe
from scripts.toys import INSTRUMENT, PYTHON, TRAIN, said

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
    "multiprocessing by a server": (
        """
        if __name__ == "__main__":
            worker = multiprocessing.get_context("forkserver").Process(target=toyframe.train, args=(5,))
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
    said(done, "nothing is recorded, and the script goes on", "cannot write the trace", "no step was recorded")
    assert done.err.count("cannot write the trace") == 1


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


@pytest.mark.costly
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
