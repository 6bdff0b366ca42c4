"""Disks that are full, limits, folders that change, forks, threads and two writers: no row that was flushed is lost.

Each case is a recording process with one harm, at a random moment, mended before it closes or not. It goes on through
errors, as a loop would that catches them, closes twice, and then reads its own trace.
"""

import contextlib
import ctypes
import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet  # so that no child has to

import xframe
from sweeps import Result
from sweeps._recorded import Account, wrong
from xframe.recording import recorder as recorder_module
from xframe.trace import writer

assert pyarrow.parquet
STEPS = 400
ERRORS = (OSError, MemoryError, xframe.XframeError)
FULL = "the disk is full"
NOBODY = 65534
_CLONE_NEWNS = 0x00020000


@dataclass
class Disks(Result):
    """What became of the traces, by harm."""

    endings: dict[str, Counter[str]] = field(default_factory=dict)
    flushed: int = 0

    @property
    def text(self) -> str:
        lines = ["| harm | what becomes of the trace |", "| --- | --- |"]
        for harm, counts in self.endings.items():
            shown = "; ".join(f"{ending} {count:,}" for ending, count in counts.most_common())
            lines.append(f"| {harm} | {shown} |")
        return "\n".join([f"{self.cases:,} recordings under a harm, {self.flushed:,} rows flushed in them", *lines])


def run(size: int, seed: int) -> Disks:
    """That many recordings, all harms in turn."""
    rng, result = random.Random(seed), Disks()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with xframe.record(Path(folder) / "first.trace") as rec:  # loads what is loaded late
            rec.step(ids=[0])
        harms = [harm for harm in HARMS if harm != FULL or _may_mount()]
        for i in range(size):
            harm = harms[i % len(harms)]
            place = Path(folder) / str(i)
            place.mkdir(mode=0o777)
            place.chmod(0o777)
            _one(result, harm, place, rng.random())
    return result


def _one(result: Disks, harm: str, folder: Path, seed: float) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        said: dict[str, Any] = {"ending": "died", "wrong": None, "flushed": 0}
        try:
            os.close(reading)
            said = _case(harm, folder, random.Random(seed))
        except BaseException:
            said["wrong"] = traceback.format_exc()
        finally:
            with contextlib.suppress(BaseException):
                os.write(writing, json.dumps(said).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = json.loads(answer.read() or b'{"ending": "died", "wrong": "it died", "flushed": 0}')
    os.waitpid(pid, 0)
    result.cases += 1
    result.flushed += said["flushed"]
    result.endings.setdefault(harm, Counter())[said["ending"]] += 1
    if said["wrong"] is not None:
        result.mismatches.append(f"{harm}, case {result.cases}: {said['wrong']}")


def _case(harm: str, folder: Path, rng: random.Random) -> dict[str, Any]:
    """Records under a harm, and returns what became of the trace, what is wrong with it, and the rows flushed."""
    warnings.simplefilter("ignore")
    recorder_module.FLUSH_ROWS, recorder_module.FLUSH_SECONDS = rng.choice((7, 50, 1000)), rng.choice((0.003, 1.0))
    account, path, flushed, learned = Account(), folder / "run.trace", 0, 0
    begins, ends = rng.randrange(-20, STEPS), rng.choice((STEPS // 2, STEPS, STEPS + 1))
    rec: Any = None
    with contextlib.ExitStack() as lasting:
        harming = contextlib.ExitStack()
        change = HARMS[harm](folder, rng, lasting)
        for k in range(STEPS):
            if k == max(begins, 0) or (begins < 0 and rec is None):
                harming.enter_context(change(rec))
                begins = STEPS + 1
            if k == ends:
                harming.close()
            try:
                rec = account.record(path, "steps") if rec is None else rec
                account.take(rec, 1)
                if rng.random() < 0.02:
                    rec.flush()
                    flushed = len(account.done)
            except ERRORS:
                learned += 1
        mended = ends == STEPS
        if mended:
            harming.close()
        for _ in range(2):
            try:
                if rec is not None:
                    rec.close()
                    account.left = True
                break
            except ERRORS:
                learned += 1
        harming.close()
        if not account.left:
            with contextlib.suppress(*ERRORS):
                account.settle()
            if rec is None or not path.exists():
                account.done.clear()
            elif len(account.done) > flushed and not mended:
                del account.done[flushed:]
        return {
            "ending": _ending(path, rec, learned),
            "wrong": _wrong(harm, account, path, learned),
            "flushed": flushed,
        }


def _ending(path: Path, rec: Any, learned: int) -> str:
    told = ", an error was raised" if learned else ""
    if not path.exists():
        return ("refused at the start" if rec is None else "gone") + told
    if path.read_bytes()[:4] not in (b"PAR1", b"XFRA"):
        return f"somebody else's file is left as it is{told}"
    trace = xframe.Trace.open(path)
    return trace.ending + (", as a journal" if trace.complete and path.read_bytes()[:4] == b"XFRA" else "") + told


def _wrong(harm: str, account: Account, path: Path, learned: int) -> str | None:
    if harm in ("the file is removed", "the folder is removed", "the file is replaced"):
        if path.exists() and path.read_bytes() == b"mine":
            return None
        if not path.exists():
            return None if learned else "the loop learned nothing"
    return wrong(account, path)


# Harms: each gets the folder, and returns what begins it and, at its end, mends it.

Harm = Callable[[Any], contextlib.AbstractContextManager[Any]]
_begun = contextlib.nullcontext()


def _full(folder: Path, rng: random.Random, lasting: contextlib.ExitStack) -> Harm:
    """A small file system of its own, that another file fills."""
    assert ctypes.CDLL(None).unshare(_CLONE_NEWNS) == 0
    for command in (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", "size=2m", "none", str(folder)]):
        subprocess.run(["mount", *command], check=True)

    @contextlib.contextmanager
    def full(_: Any) -> Iterator[None]:
        filler = folder / "filler"
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        os.truncate(filler, max(0, filler.stat().st_size - 4096 * rng.randrange(4)))
        yield
        filler.unlink()

    return full


def _may_mount() -> bool:
    """Whether this process may have file systems of its own."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


def _errors(folder: Path, rng: random.Random, lasting: contextlib.ExitStack) -> Harm:
    """Calls to the system fail now and then, in the middle of what they do."""
    share = rng.choice((0.05, 0.5, 1))

    def failing(call: Any) -> Any:
        def failed(*args: Any, **named: Any) -> Any:
            if rng.random() >= share:
                return call(*args, **named)
            if call is write and len(args[1]) > 1:
                call(args[0], args[1][: rng.randrange(len(args[1]))], args[2])
            raise OSError(rng.choice((errno.ENOSPC, errno.EIO, errno.EDQUOT)), "as on a bad disk")

        return failed

    write = writer._write_at

    @contextlib.contextmanager
    def bad(_: Any) -> Iterator[None]:
        with contextlib.ExitStack() as patches:
            patches.enter_context(patch.object(writer, "_write_at", failing(write)))
            for name in ("ftruncate", "fsync", "replace", "link"):
                patches.enter_context(patch.object(os, name, failing(getattr(os, name))))
            yield

    return bad


def _limit(kind: int, values: Callable[[random.Random], int]) -> Callable[..., Harm]:
    def limit(folder: Path, rng: random.Random, lasting: contextlib.ExitStack) -> Harm:
        @contextlib.contextmanager
        def limited(_: Any) -> Iterator[None]:
            before = resource.getrlimit(kind)
            resource.setrlimit(kind, (values(rng), before[1]))
            try:
                yield
            finally:
                resource.setrlimit(kind, before)

        return limited

    return limit


def _address_space(rng: random.Random) -> int:
    size = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize"))
    return int(size.split()[1]) * 1024 + rng.choice((0, 1 << 12, 1 << 16, 1 << 20, 1 << 23))


def _read_only(folder: Path, rng: random.Random, lasting: contextlib.ExitStack) -> Harm:
    """A folder in which nothing can be made any more, by a user who isn't root."""
    if root := os.geteuid() == 0:
        os.chown(folder, NOBODY, -1)
        os.seteuid(NOBODY)
    lasting.callback(lambda: root and os.seteuid(0))

    @contextlib.contextmanager
    def read_only(_: Any) -> Iterator[None]:
        folder.chmod(0o555)
        yield
        folder.chmod(0o777)

    return read_only


def _removed(what: str) -> Callable[..., Harm]:
    def remove(folder: Path, rng: random.Random, lasting: contextlib.ExitStack) -> Harm:
        def gone(rec: Any) -> contextlib.AbstractContextManager[None]:
            path = folder / "run.trace"
            if what == "folder":
                shutil.rmtree(folder)
            elif rec is not None:
                path.unlink()
            if what == "replaced":
                path.write_bytes(b"mine")
            return contextlib.nullcontext()

        return gone

    return remove


def _forked(folder: Path, rng: random.Random, lasting: contextlib.ExitStack) -> Harm:
    """Children of the recorder's process that record, flush, close, or end as Python ends."""

    def fork(rec: Any) -> contextlib.AbstractContextManager[None]:
        for what in rng.sample(("step", "flush", "close", "exit", "killed"), 2):
            pid = os.fork()
            if not pid:
                with contextlib.suppress(*ERRORS):
                    if rec is not None and what == "step":
                        rec.step(ids=[1])
                    elif rec is not None and what in ("flush", "close"):
                        getattr(rec, what)()
                    elif what == "exit":
                        recorder_module.unclosed.settle_all()
                    elif what == "killed":
                        os.kill(os.getpid(), signal.SIGKILL)
                os._exit(0)
            os.waitpid(pid, 0)
        return contextlib.nullcontext()

    return fork


def _threads(folder: Path, rng: random.Random, lasting: contextlib.ExitStack) -> Harm:
    """Other threads that flush, and one that closes a recorder of its own."""

    @contextlib.contextmanager
    def busy(rec: Any) -> Iterator[None]:
        over = threading.Event()

        def flush() -> None:
            while not over.is_set():
                with contextlib.suppress(*ERRORS):
                    if rec is not None:
                        rec.flush()
                        assert rec.num_steps >= 0
                time.sleep(0.0005)

        threads = [threading.Thread(target=flush) for _ in range(3)]
        for thread in threads:
            thread.start()
        yield
        over.set()
        for thread in threads:
            thread.join()

    return busy


def _two_writers(folder: Path, rng: random.Random, lasting: contextlib.ExitStack) -> Harm:
    """A second recorder of the same path, in a process of its own, that tries again and again."""

    def second(rec: Any) -> contextlib.AbstractContextManager[None]:
        pid = os.fork()
        if not pid:
            until = time.monotonic() + 0.05
            while time.monotonic() < until:
                if rec is not None:
                    with contextlib.suppress(xframe.UsageError):
                        xframe.record(folder / "run.trace")
                        os._exit(1)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise AssertionError("both record")
        return contextlib.nullcontext()

    return second


HARMS: dict[str, Callable[..., Harm]] = {
    FULL: _full,
    "calls to the system fail": _errors,
    "ulimit -f": _limit(resource.RLIMIT_FSIZE, lambda rng: rng.choice((0, 100, 5000, 20000))),
    "ulimit -v": _limit(resource.RLIMIT_AS, _address_space),
    "ulimit -n": _limit(resource.RLIMIT_NOFILE, lambda rng: rng.randrange(3, 12)),
    "the folder becomes read-only": _read_only,
    "the file is removed": _removed("file"),
    "the file is replaced": _removed("replaced"),
    "the folder is removed": _removed("folder"),
    "forks": _forked,
    "threads": _threads,
    "two writers": _two_writers,
}
