"""Signals at random moments of recording scripts, in processes of their own: every completed step is read back.

This process has imported xframe and forks one child a script. The child's own timer and its parent send signals whose
handlers raise, record, flush or close; fast loops and slow ones leave, catch or go on. What a child did is what it
writes down in the end, when no handler raises any more.
"""

import contextlib
import os
import random
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import xframe
from sweeps import Result
from sweeps._recorded import INTERRUPTIONS, SCRIPTS, STYLES, Account, Handler, wrong
from xframe.recording import recorder as recorder_module

HANDLERS = ("raise", "raise", "raise", "flush", "step", "flush and raise", "close and raise")
CALLS = {"fast": 1500, "slow": 40}
DEADLINE = 60.0


@dataclass
class Signals(Result):
    """How many signals were handled in scripts of which kind, and how many steps were completed and read."""

    handled: Counter[str] = field(default_factory=Counter)
    scripts: int = 0
    done: int = 0
    read: int = 0

    @property
    def text(self) -> str:
        shown = ", ".join(f"{name} {count:,}" for name, count in sorted(self.handled.items()))
        steps = f"{self.done:,} steps completed, {self.read:,} read"
        return f"{self.cases:,} signals to {self.scripts:,} scripts, {steps}: {shown}"


def run(size: int, seed: int) -> Signals:
    """That many signals, or a few more."""
    rng, result = random.Random(seed), Signals()
    with tempfile.TemporaryDirectory() as folder:
        while result.cases < size:
            result.scripts += 1
            place = Path(folder) / str(result.scripts)
            place.mkdir()
            pace = rng.choices(list(CALLS), (3, 1))[0]
            kind = f"{rng.choice(sorted(SCRIPTS))} {rng.choice(STYLES)} {pace}"
            _one(result, rng, place, kind)
    return result


def _one(result: Signals, rng: random.Random, folder: Path, kind: str) -> None:
    seed, path = rng.random(), folder / "run.trace"
    pid = os.fork()
    if not pid:
        try:
            _child(folder, kind, random.Random(seed))
        except BaseException:
            (folder / "account").write_text(traceback.format_exc())
        finally:
            os._exit(1)
    began = time.monotonic()
    while not os.waitpid(pid, os.WNOHANG)[0]:
        time.sleep(rng.expovariate(50))
        if (folder / "armed").exists():  # until then a signal would end it
            os.kill(pid, signal.SIGINT)
        if time.monotonic() > began + DEADLINE:
            os.kill(pid, signal.SIGKILL)
    try:
        said = (folder / "account").read_text()
        account = Account.read(said) if said.startswith("{") else _fail(said)
        problem = wrong(account, path)
        result.cases += account.signals
        result.handled[kind] += account.signals
        result.done += len(account.done)
        result.read += xframe.Trace.open(path).num_rows if path.exists() else 0
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    if problem is not None:
        result.mismatches.append(f"{kind}, script {result.scripts}: {problem}")


def _child(folder: Path, kind: str, rng: random.Random) -> None:
    """Runs one script under signals, and writes down what it did."""
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    name, style, pace = kind.split()
    recorder_module.FLUSH_ROWS = rng.choice((3, 30, 300))
    recorder_module.FLUSH_SECONDS = rng.choice((0.002, 1.0))
    account = Account()
    most = rng.choice((1, 1, 2, 4)) if name != "going_on" else 40
    gap = 0.002 if name == "going_on" else rng.uniform(0.002, 0.03)
    armed = [False]

    def handle(number: int, _: Any) -> None:
        if not armed[0] or account.signals >= most:
            return
        account.signals += 1
        signal.setitimer(signal.ITIMER_REAL, rng.expovariate(1 / gap))
        what = "raise" if number == signal.SIGINT else rng.choice(HANDLERS)
        Handler(what, account, INTERRUPTIONS[account.signals % 2])()

    def script() -> None:
        armed[0] = True
        signal.setitimer(signal.ITIMER_REAL, rng.expovariate(1 / gap))
        (folder / "armed").touch()
        SCRIPTS[name](account, folder / "run.trace", style, CALLS[pace], lambda: pace == "slow" and time.sleep(0.001))

    for number in (signal.SIGINT, signal.SIGALRM):
        signal.signal(number, handle)
    try:
        _shielded(script, 6)
    finally:
        armed[0] = False
    account.settle()
    (folder / "account").write_text(account.dumped())
    os._exit(0)


def _fail(said: str) -> NoReturn:
    raise AssertionError(said)


def _shielded(script: Callable[[], None], times: int) -> None:
    """Runs a script, and stops what its signals raise beyond it, or raise while that is stopped."""
    with contextlib.suppress(*INTERRUPTIONS):
        _shielded(script, times - 1) if times else script()
