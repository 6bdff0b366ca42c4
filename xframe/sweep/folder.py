"""A sweep's folder.

    sweep.toml        its file
    rows/ID.json      one for each trial that is done; written last, all of it or none
    trials/ID.trace   what it recorded, with its weights; of a trial that failed ID.log too
    results.parquet   all rows in the order of the file, once all are there
    .running/         what trials write that are not done: each attempt has a folder of its own, with a name drawn at
                      random, so that what a killed sweep has left running cannot get into what a later one writes
    .lock             held by the sweep that works here

So whatever is killed, and when, what is done is done and the rest is run anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from xframe.errors import UsageError, XframeError, unwritable
from xframe.running.request import RUNS, log_path, next_free
from xframe.sweep.grid import Sweep
from xframe.trace.weights import weights_path

FILE = "sweep.toml"


class Folder:
    """Where a sweep keeps what it has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file, self.table = root / FILE, root / "results.parquet"
        self.rows, self.trials, self.running = root / "rows", root / "trials", root / ".running"

    def row_file(self, trial: str) -> Path:
        """Of a trial that is done."""
        return self.rows / f"{trial}.json"

    def trace(self, trial: str) -> Path:
        """Of a trial that recorded something."""
        return self.trials / f"{trial}.trace"

    def done(self, trials: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The rows of those trials that are done, by trial.

        Raises:
            XframeError: a row is damaged.
        """
        there = set(os.listdir(self.rows)) if self.rows.is_dir() else set()
        return {trial: self._row(trial) for trial in trials if f"{trial}.json" in there}

    def _row(self, trial: str) -> dict[str, Any]:
        path = self.row_file(trial)
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise XframeError(
                "a damaged row", got=str(path), remedy=f"Remove it, to run the trial again ({error})."
            ) from None
        assert isinstance(row, dict)
        return row

    def prepare(self, text: str) -> None:
        """Makes the folder ready for a sweep with that file; what a killed one left half done is removed.

        Raises:
            XframeError: it cannot be written.
        """
        for folder in (self.rows, self.trials):
            folder.mkdir(exist_ok=True)
        self.clean()
        if not self.file.exists() or self.file.read_text(encoding="utf-8") != text:
            write(self.file, text)

    def forget(self, trials: Iterable[str]) -> None:
        """Removes the table and what is there of these trials, which are to be run."""
        self.table.unlink(missing_ok=True)
        for trial in trials:
            trace = self.trace(trial)
            if trace.is_dir():  # of replicas
                shutil.rmtree(trace)
            for file in (self.row_file(trial), trace, weights_path(trace), *self.logs(trace)):
                file.unlink(missing_ok=True)

    @staticmethod
    def logs(trace: Path) -> list[Path]:
        """Those there are of the processes that wrote that trace."""
        return [log for log in (log_path(trace), *trace.parent.glob(f"{trace.stem}-[0-9]*.log")) if log.exists()]

    def clean(self) -> None:
        """Removes what is half done. A process that is about to end may still write there, and keep some of it."""
        shutil.rmtree(self.running, ignore_errors=True)
        for rest in self.rows.glob(".*.passing"):
            rest.unlink(missing_ok=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps others from working here meanwhile.

        Raises:
            UsageError: another sweep is.
        """
        import fcntl

        with (self.root / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    "a sweep is at work in this folder",
                    got=str(self.root),
                    expected="one at a time",
                    remedy="Wait for it, or choose another with --out.",
                ) from None
            except OSError:  # a file system without locks
                pass
            yield

    def free(self) -> bool:
        """Whether no sweep is at work here."""
        with contextlib.suppress(UsageError), self.held():
            return True
        return False


def write(path: Path, text: str) -> None:
    """Writes a file so that it is there whole or not at all, whenever this process is killed."""
    passing = path.with_name(f".{path.name}.{secrets.token_hex(4)}.passing")
    with passing.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    passing.replace(path)


def chosen(sweep: Sweep, out: Path | None) -> Folder:
    """The folder a sweep works in: ``out``, new or to go on with; else the last that it left unfinished, or a new one.

    Raises:
        UsageError: ``out`` is something else.
    """
    if out is None:
        last = _last(sweep)
        return last if last is not None else Folder(next_free(sweep.name))
    folder = Folder(out)
    if out.exists() and not folder.file.is_file() and not (out.is_dir() and not _listed(out)):
        raise UsageError(
            "the output exists already, and is no sweep's folder",
            got=str(out),
            expected="a new name, or the folder of a sweep to go on with",
            remedy="Remove it or choose another.",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable("make the folder", out, error) from None
    return folder


def _listed(folder: Path) -> list[Path]:
    """What lies there, without what a sweep makes before its file."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _last(sweep: Sweep) -> Folder | None:
    """The newest folder of that name in xframe-runs, if it is of this very file and not finished."""
    numbers = [path.name.rpartition("-")[2] for path in RUNS.glob(f"{sweep.name}-*")]
    number = max((int(text) for text in numbers if text.isdecimal()), default=None)
    if number is None:
        return None
    folder = Folder(RUNS / f"{sweep.name}-{number}")
    with contextlib.suppress(OSError, ValueError):
        same = folder.file.read_text(encoding="utf-8") == sweep.text
        if same and len(folder.done(trial.id for trial in sweep.trials)) < len(sweep.trials) and folder.free():
            return folder
    return None


def leftover(folder: Folder, trials: Mapping[str, Any]) -> list[str]:
    """Trials that are done there and not among those."""
    return sorted(path.stem for path in folder.rows.glob("*.json") if path.stem not in trials)
