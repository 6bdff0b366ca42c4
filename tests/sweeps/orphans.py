"""Parents and workers killed, stopped and hung at random moments: ten seconds later no process is left of them.

Each case is ``xframe verify`` with a task that does something to the process it runs in, when it is imported or when it
loads its data, and something that is done to the parent or to a worker meanwhile. What is left of it is known by a word
in the environment of its processes, which they cannot lose, wherever they go.
"""

import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import xframe
from sweeps import Result
from xframe.errors import TraceError

AT_ONCE = 4
PATIENCE = 10.0  # seconds after which nothing may be left
STARTING = 60.0  # until a worker is there
LIMIT = 8.0  # seconds, of those that are to end by --timeout
WORD = "XFRAME_ORPHAN"
TASK = """
import ctypes, os, signal, subprocess, sys, time
from dataclasses import replace
from xframe.tasks.builtin.digits_mlp import task as digits

def hang():  # in native code, and with Python's lock
    ctypes.PyDLL(None).pause()

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)

def deaf_child():
    if not os.fork():
        os.setsid()
        deaf()

def two_daemons():
    for _ in range(2):
        if not os.fork():
            os.setsid()
            if os.fork():
                os._exit(0)
            deaf()

def fork_and_return():
    os.fork()

def close():
    os.closerange(3, 1 << 10)

def again():
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

def replaced():
    os.execvp("sleep", ["sleep", "1000"])

def start():
    subprocess.Popen(["sleep", "1000"], start_new_session=True)

def wait_for_itself():
    subprocess.run([sys.executable, *sys.orig_argv[1:]])

def read():
    assert sys.stdin.read() == ""

def write():
    for number in range(3, 64):
        try:
            os.write(number, b"junk")
            os.write(number, bytes(1000) + bytes([10]))
        except OSError:
            pass

def stop():
    os.kill(os.getpid(), signal.SIGSTOP)

def debug():
    breakpoint()

def nothing():
    pass

DEED, WHEN = os.environ["XFRAME_DEED"].split()

def act(when):
    if when == WHEN and sys.argv[0].endswith("worker.py"):
        globals()[DEED]()

def load():
    act("loading")
    return digits.load()

act("importing")
task = replace(digits, load=load)
"""
SECOND = """
from xframe_numpy import NumpyAdapter

class Second(NumpyAdapter):
    name = "second"
"""
# What the task does to its process: nothing that a run could not go on from, or what verify has to notice, at once or
# when its time is over.
STARTS = ("start", "deaf_child", "two_daemons", "fork_and_return")  # what can escape where the guard is killed
HARMLESS = ("nothing", "read", *STARTS)
TASKS = (*HARMLESS, "close", "again", "replaced", "wait_for_itself", "write", "debug", "hang", "deaf", "stop")
PARENT = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT", "SIGSTOP SIGKILL")
WORKER = ("SIGKILL", "SIGSTOP")
DEEDS = ("nothing", *(f"parent {how}" for how in PARENT), *(f"worker {how}" for how in WORKER), "guard SIGKILL")


@dataclass
class Orphans(Result):
    """``endings``: how verify ended, by what was done and to whom."""

    endings: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        lines = [f"{count:6,}  {deed}: exit {code}" for (deed, code), count in sorted(self.endings.items())]
        return "\n".join([f"{self.cases:,} kills, stops and hangs of parents and workers", *lines])


class Case(NamedTuple):
    task: str
    when: str
    deed: str
    delay: float  # seconds, from the start or
    when_it_runs: bool  # from when there is a worker
    epochs: int
    adapters: str

    def __str__(self) -> str:
        return (
            f"{self.task} when {self.when}; {self.deed} after {self.delay:.2f} s; {self.epochs} epochs, {self.adapters}"
        )


def run(size: int, seed: int) -> Orphans:
    """That many cases, a few at a time."""
    result = Orphans()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(AT_ONCE) as pool:
        folder = Path(name)
        (folder / "hostile.py").write_text(TASK)
        (folder / "second.py").write_text(SECOND)
        (folder / "second-1.dist-info").mkdir()
        (folder / "second-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: second\nVersion: 1\n")
        (folder / "second-1.dist-info" / "entry_points.txt").write_text("[xframe.adapters]\nsecond = second:Second\n")
        drawn = list(islice(cases(seed), size))
        for case, (code, bad) in zip(drawn, pool.map(partial(looked_at, folder=folder), drawn), strict=True):
            result.cases += 1
            result.endings[case.deed, code] += 1
            result.mismatches += [f"{case}: {text}" for text in bad]
    return result


def cases(seed: int) -> Iterator[Case]:
    """Each task with each deed, again and again, at random moments."""
    rng = random.Random(seed)
    while True:
        pairs = [(task, deed) for task in TASKS for deed in DEEDS]
        rng.shuffle(pairs)
        for task, deed in pairs:
            if deed == "guard SIGKILL" and task in STARTS:
                continue
            when, adapters = rng.choice(["importing", "loading"]), rng.choice(["numpy", "numpy,second"])
            delay, late, epochs = rng.uniform(0, 3), rng.random() < 0.7, rng.choice([1, 100_000])
            yield Case(task, when, deed, delay, late, epochs, adapters)


def looked_at(case: Case, folder: Path) -> tuple[int, list[str]]:
    """How verify ended, and what is wrong with that or with what it left."""
    word = secrets.token_hex(16)
    home = folder / word
    home.mkdir()
    path = os.pathsep.join(filter(None, [str(folder), *sys.path]))
    variables = {"PYTHONPATH": path, "XFRAME_DEED": f"{case.task} {case.when}", WORD: word}
    limit = STARTING if passes(case) else LIMIT
    options = ["--adapters", case.adapters, "--task", "hostile:task", "--epochs", case.epochs, "--timeout", limit]
    with (home / "printed").open("w") as printed:
        parent = subprocess.Popen(
            [sys.executable, "-m", "xframe", "verify", *map(str, options)],
            cwd=home,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in the background
        )
    bad = []
    try:
        do(case, parent, word)
        code = parent.wait(2 * STARTING + PATIENCE)
    except subprocess.TimeoutExpired:
        bad.append("verify does not end")
        parent.kill()
        code = parent.wait()
    bad += [] if gone(word) else [f"left: {', '.join(map(command, processes(word)))}"]
    for number in processes(word):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return code, bad + wrong(case, code, (home / "printed").read_text()) + unreadable(case, home)


def do(case: Case, parent: subprocess.Popen[bytes], word: str) -> None:
    """Does it to the parent, or to the first worker that there is."""
    who, *signals = case.deed.split()
    if who == "nothing":
        return
    number = parent.pid
    if case.when_it_runs or who != "parent":
        began, found = time.monotonic(), dict[bool, int]()
        while len(found) < 2 and parent.poll() is None:
            assert time.monotonic() < began + STARTING
            time.sleep(0.1)
            running = {one: command(one) for one in processes(word)}
            found = {"guard.py" in text: one for one, text in running.items() if "xframe.running.worker" in text}
        number = parent.pid if who == "parent" else found.get(who == "guard", parent.pid)
    time.sleep(case.delay)
    for name in signals:
        with contextlib.suppress(ProcessLookupError):
            if parent.poll() is None:
                os.kill(number, signal.Signals[name])
        time.sleep(0.3)


def processes(word: str) -> list[int]:
    """Those that have the word in their environment, but for what has ended."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if f"{WORD}={word}".encode() in Path("/proc", name, "environ").read_bytes():
                found.append(int(name))
    return found


def command(number: int) -> str:
    with contextlib.suppress(OSError):
        return Path("/proc", str(number), "cmdline").read_text(errors="replace").replace("\0", " ")
    return ""


def gone(word: str) -> bool:
    """Whether nothing is left, now or soon."""
    began = time.monotonic()
    while processes(word):
        if time.monotonic() > began + PATIENCE:
            return False
        time.sleep(0.1)
    return True


def passes(case: Case) -> bool:
    """Whether there is nothing that verify should not pass by."""
    return case.task in HARMLESS and case.epochs == 1 and case.deed == "nothing"


def wrong(case: Case, code: int, printed: str) -> list[str]:
    """What is wrong with how verify ended. What a signal did to the parent is not its own doing."""
    if case.deed.startswith("parent"):
        return []
    bad = [f"a traceback: {printed[-2000:]}"] if "Traceback" in printed else []
    right = {0} if passes(case) else {3} if case.deed == "nothing" else {0, 3}
    if (case.task, case.when) == ("debug", "importing"):  # a module that cannot be imported is a usage error
        right = {2} if case.deed == "nothing" else {0, 2, 3}
    if case.task == "wait_for_itself" and case.epochs == 1:  # its second self ends at once, or too late
        right = right | {0}
    return bad if code in right else [*bad, f"exit {code}: {printed[-2000:]}"]


def unreadable(case: Case, home: Path) -> list[str]:
    """Folders that cannot be read or were to be gone, and traces that are damaged."""
    bad = []
    for folder in (path for path in home.rglob("*") if path.is_dir()):
        if folder.name.startswith(".running") or folder.stat().st_mode & 0o500 != 0o500:
            bad.append(f"a folder is left: {folder.relative_to(home)}")
    for path in home.rglob("*.trace") if case.task not in ("write", "close") else []:
        try:
            xframe.Trace.open(path)
        except TraceError as error:
            bad += [f"{path.name}: {error}"] if path.stat().st_size else []
    return bad
