"""An exception at the k-th instruction of recording, or a handler that records there: no step is lost, doubled or torn.

A tracer counts the instructions that are run in xframe's own files while a small script records, and raises at one of
them, sometimes at a second. That is more than a signal can do, whose handler runs after calls and jumps alone. So a
handler that itself records is run at the returns of calls, where a signal's is.
"""

import contextlib
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import xframe
from sweeps import Result
from sweeps._recorded import INTERRUPTIONS, SCRIPTS, STYLES, Account, Handler, wrong
from xframe.recording import recorder as recorder_module
from xframe.trace import parquet, plainwriter

ROOT = str(Path(xframe.__file__).parent)
CALLS = 14
HANDLED = ("flush", "step", "close", "flush and raise", "close and raise")


@dataclass
class Instructions(Result):
    """How often something was raised or handled, by script and style, and of how many instructions."""

    fired: Counter[str] = field(default_factory=Counter)
    instructions: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        shown = ", ".join(f"{name} {count:,}" for name, count in sorted(self.fired.items()))
        most = sum(self.instructions.values())
        return f"{self.cases:,} interruptions of {most:,} instructions and returns: {shown}"


def run(size: int, seed: int) -> Instructions:
    """That many interruptions, spread over all instructions of all scripts."""
    rng, result = random.Random(seed), Instructions()
    with small_flushes(), tempfile.TemporaryDirectory() as folder:
        kinds = [(script, style, how) for script in SCRIPTS for style in STYLES for how in ("raise", "twice", "handle")]
        kinds = [kind for kind in kinds if kind[2] != "handle" or kind[0] == "catching"]
        for i, (script, style, how) in enumerate(kinds):
            most = _count(script, style, how, Path(folder) / f"count-{i}")
            result.instructions[f"{script} {style} {how}"] = most
            share = size // len(kinds) + (i < size % len(kinds))
            for at in sorted(rng.sample(range(most), min(share, most))):
                _try(result, rng, (script, style, how), at, Path(folder) / f"{i}-{at}")
    return result


@contextlib.contextmanager
def small_flushes() -> Iterator[None]:
    """A flush every five steps and none by time, so that a short script has several."""
    with (
        patch.object(recorder_module, "FLUSH_ROWS", 5),
        patch.object(recorder_module, "FLUSH_SECONDS", 1e9),
        patch.object(plainwriter, "FLUSH_ROWS", 5),
        patch.object(parquet, "BLOCK_ROWS", 7),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _count(script: str, style: str, how: str, folder: Path) -> int:
    tracer, account = Tracer(how, {-1}), Account()
    folder.mkdir()
    tracer.run(lambda: SCRIPTS[script](account, folder / "run.trace", style, CALLS, lambda: None))
    assert account.left
    assert wrong(account, folder / "run.trace") is None
    return tracer.count


def _try(result: Instructions, rng: random.Random, kind: tuple[str, str, str], at: int, folder: Path) -> None:
    script, style, how = kind
    folder.mkdir()
    path, account = folder / "run.trace", Account()
    raised = INTERRUPTIONS[at % 2]
    fires = {at, at + 1 + min(int(rng.expovariate(0.005)), 5000)} if how == "twice" else {at}
    tracer = Tracer(how, fires, raised)
    if how == "handle":
        tracer.handle = Handler(HANDLED[rng.randrange(len(HANDLED))], account, raised)
    try:
        tracer.run(lambda: SCRIPTS[script](account, path, style, CALLS, lambda: None))
        tracer.handle = None
        account.settle()
        problem = wrong(account, path)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    result.cases += 1
    result.fired[f"{script}, {how}"] += 1
    if problem is not None:
        result.mismatches.append(f"{script} {style} {how} at {at} ({tracer.where}): {problem}")


class Tracer:
    """Counts instructions, or returns of calls, in xframe's files, and does something at some of them."""

    def __init__(self, how: str, fires: set[int], raised: type[BaseException] = KeyboardInterrupt) -> None:
        self.how, self.fires, self.raised, self.count = how, fires, raised, 0
        self.handle: Handler | None = None
        self.where = ""

    def run(self, script: Callable[[], None]) -> None:
        if self.how == "handle":
            sys.setprofile(self.returned)
        else:
            sys.settrace(self.called)
        try:
            script()
        finally:
            sys.settrace(None)
            sys.setprofile(None)

    def called(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(ROOT):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.traced

    def traced(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            now, self.count = self.count, self.count + 1
            if now in self.fires:
                self.where += f" {Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}:{frame.f_lineno}"
                raise self.raised
        return self.traced

    def returned(self, frame: FrameType, event: str, _: Any) -> None:
        if event not in ("call", "c_return") or not frame.f_code.co_filename.startswith(ROOT):
            return
        now, self.count = self.count, self.count + 1
        if now not in self.fires or self.handle is None:
            return
        self.where = (
            f" {Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}:{frame.f_lineno} {self.handle.what}"
        )
        sys.setprofile(None)
        self.handle()
