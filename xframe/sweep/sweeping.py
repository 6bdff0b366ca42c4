"""A sweep as a whole: begins or goes on, runs the trials that are missing, and writes the table.

A trial is known by what it is, not by its place: with a file that was changed, the trials that are new run, those that
are done stay, and the table has exactly what the file lists now.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xframe.errors import UsageError, XframeError, counted
from xframe.running.progress import Progress
from xframe.sweep import engines, grid, table
from xframe.sweep.folder import FILE, Folder, chosen, leftover
from xframe.sweep.grid import Sweep
from xframe.sweep.result import SweepResult
from xframe.sweep.trial import Assignment

_LOOK_SECONDS = 0.5
_LABEL = "sweep"


def opened(file: Path, out: Path | None = None) -> tuple[Sweep, Path | None]:
    """The sweep of a file, or of a sweep's folder, with its own file; and where it goes on.

    Raises:
        UsageError: see ``grid.read``; or a folder with another to write to.
    """
    if not (file / FILE).is_file():
        return grid.read(file), out
    if out is not None:
        raise UsageError("--out with a sweep's folder", got=str(out), expected="the folder alone, to go on there")
    return grid.read(file / FILE), file


class Work:
    """A sweep in its folder: what is done, and the rest to be run.

    Args:
        sweep: what to run.
        out: its folder; default: see ``xframe.sweep.folder.chosen``.
        jobs: trials at a time; default: one a core, or what the engine's cluster has.
        engine: see ``xframe.sweep.engines``.
        timeout: seconds that a trial may take; default: no limit.
        python: by adapter, the interpreter to run it with, if not this one.
        traces: keep each trial's.
        retry: run those again that failed.

    Raises:
        UsageError: an engine, interpreter or place that is not there.
    """

    def __init__(
        self,
        sweep: Sweep,
        out: Path | None = None,
        *,
        jobs: int | None = None,
        engine: str = "local",
        timeout: float | None = None,
        python: Mapping[str, str] | None = None,
        traces: bool = True,
        retry: bool = False,
    ) -> None:
        engines.check(engine, jobs)
        self.sweep, self.jobs, self.engine, self.timeout = sweep, jobs, engine, timeout
        self.python, self.traces, self.retry = dict(python or {}), traces, retry
        self._check_adapters()
        self.folder = chosen(sweep, out)

    def _check_adapters(self) -> None:
        """Refuses now what would keep each trial from running."""
        used = {trial.settings["adapter"].partition(":")[0]: trial for trial in self.sweep.trials}
        for name, interpreter in self.python.items():
            if name not in used:
                what = "an interpreter for an adapter that no trial has"
                raise UsageError(what, got=f"{name}={interpreter}", expected="one of " + ", ".join(used))
        for trial in used.values():
            trial.request(self.python, self.timeout).interpreters()

    @property
    def ids(self) -> list[str]:
        """The trials, in order."""
        return [trial.id for trial in self.sweep.trials]

    def done(self) -> dict[str, dict[str, Any]]:
        """The rows of trials that are done and stay."""
        rows = self.folder.done(self.ids)
        return {trial: row for trial, row in rows.items() if row["outcome"] == "ok" or not self.retry}

    def run(self, progress: Progress | None = None) -> SweepResult:
        """Runs what is not done; writes the table. ``progress`` learns how many trials are done.

        Raises:
            UsageError: another sweep is at work in the folder.
            XframeError: a trial left no row.
        """
        with self.folder.held():
            self.folder.prepare(self.sweep.text)
            done, root = self.done(), self.folder.root.resolve()
            missing = [
                Assignment(trial, root, self.python, self.timeout, self.traces)
                for trial in self.sweep.trials
                if trial.id not in done
            ]
            if missing:
                self.folder.forget([one.trial.id for one in missing])
                with _watched(self.folder, [one.trial.id for one in missing], progress or Progress()):
                    engines.run_all(missing, self.engine, self.jobs)
            self.folder.clean()
            return self._result(len(done))

    def _result(self, before: int) -> SweepResult:
        found = self.folder.done(self.ids)
        if lost := [trial for trial in self.ids if trial not in found]:
            raise XframeError(
                f"{counted(len(lost), 'trial')} left no row: stopped from outside, or on a node without this folder",
                got=lost[0],
                expected=f"trials that end by themselves, on nodes that all see {self.folder.root.resolve()}",
                remedy="The same command goes on where this one ended.",
            )
        rows = tuple(table.row(trial, found[trial.id]) for trial in self.sweep.trials)
        table.save(rows, self.folder.table)
        gone = tuple(leftover(self.folder, dict.fromkeys(self.ids)))
        return SweepResult(self.folder.root, self.folder.table, self.sweep.trials, rows, before, gone)


@contextlib.contextmanager
def _watched(folder: Folder, trials: Sequence[str], progress: Progress) -> Iterator[None]:
    """Reports how many of these trials have their rows while the block runs, whichever process writes them."""
    over, began = threading.Event(), time.monotonic()
    names = {folder.row_file(trial).name for trial in trials}

    def count() -> int:
        return len(names.intersection(os.listdir(folder.rows)))

    def look() -> None:
        seen = 0
        while not over.wait(_LOOK_SECONDS):
            if (now := count()) != seen:
                seen = now
                progress.advance(_LABEL, now)

    progress.begin(_LABEL, len(trials), unit="trials")
    progress.state(_LABEL, "running")
    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    text = "stopped"
    try:
        yield
        text = ""
    finally:
        over.set()
        watcher.join()
        progress.end(_LABEL, count(), f"{time.monotonic() - began:5.1f} s   {text}".rstrip())
