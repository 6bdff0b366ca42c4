"""Runs one trial, in a process of its own through the harness, and writes its row, wherever an engine lets it.

Whatever becomes of that process, a crash, a hang that ``timeout`` ends, or the kernel's end of what takes too much
memory, is the row's outcome. No row is written of a trial that was stopped, so it is run anew.
"""

from __future__ import annotations

import json
import math
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import xframe
from xframe.errors import OverdueError, StoppedError, XframeError
from xframe.report.bench import MeasuredRun
from xframe.running import harness
from xframe.running.messages import Done
from xframe.running.progress import Progress
from xframe.sweep.folder import Folder, write
from xframe.sweep.grid import Trial
from xframe.trace.trace import Trace
from xframe.trace.weights import weights_path


@dataclass(frozen=True)
class Assignment:
    """What an engine is given of a trial."""

    trial: Trial
    root: Path  # of the sweep's folder, absolute
    python: Mapping[str, str]  # interpreters by adapter
    timeout: float | None  # seconds that it may take
    traces: bool  # to be kept


class _Alive(Progress):
    """Of a trial, whose progress nobody sees; ``check`` may end it."""

    def __init__(self, check: Callable[[], None] | None) -> None:
        self._check = check

    def look(self) -> None:
        if self._check is not None:
            self._check()


def run_trial(assignment: Assignment, check: Callable[[], None] | None = None) -> None:
    """Runs a trial and writes its row; without one if it is stopped.

    ``check`` is called about every second; it raises StoppedError to stop the trial.
    """
    trial, folder = assignment.trial, Folder(assignment.root)
    request = trial.request(assignment.python, assignment.timeout)
    attempt = folder.running / secrets.token_hex(8)
    attempt.mkdir(parents=True)
    path = attempt / f"{trial.id}.trace"
    began, started = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    row: dict[str, Any]
    try:
        try:
            (done,) = harness.execute(request, {request.selections[0]: path}, _Alive(check))
            row = {"outcome": "ok", **observed(Trace.open(path), done)}
        except StoppedError:
            return
        except XframeError as error:
            if not attempt.is_dir():  # another sweep works here meanwhile: this trial's folder was taken from it
                return
            row = {"outcome": "timeout" if isinstance(error, OverdueError) else "failed", "error": _text(error)}
            for log in folder.logs(path):
                _keep(log, folder.trials)
        row |= {"seconds": time.monotonic() - began, "started": started, **made_by()}
        if assignment.traces:
            for file in (weights_path(path), path):
                _keep(file, folder.trials)
        write(folder.row_file(trial.id), json.dumps(row, indent=1) + "\n")
    finally:
        shutil.rmtree(attempt, ignore_errors=True)


def _text(error: XframeError) -> str:
    """What happened, in words without times and passing names."""
    return error.what if error.got is None or isinstance(error, OverdueError) else f"{error.what}: {error.got}"


def _keep(file: Path, folder: Path) -> None:
    if file.exists():
        file.replace(folder / file.name)


def observed(trace: Trace, done: Done) -> dict[str, Any]:
    """What a run's trace and its worker say of it."""
    facts, counts = trace.facts, trace.counts().to_dict()
    counts["observed_steps_per_epoch"] = counts.pop("steps_per_epoch")  # beside the plan's
    losses = [one.loss for one in trace.validations if one.loss is not None]
    accuracies = [one.accuracy for one in trace.validations if one.accuracy is not None]
    finite = [loss for loss in losses if not math.isnan(loss)]
    times: Any = trace.between("time_ns", trace.num_rows - 1, trace.num_rows).values if trace.num_rows else []
    return {
        "loop": facts.loop,
        "device": facts.runtime.get("device"),
        **counts,
        "certificate": trace.certificate,
        "final_loss": _last(trace, "loss"),
        "last_epoch_loss": last_epoch_loss(trace),
        "final_accuracy": _last(trace, "accuracy"),
        "num_validations": len(trace.validations),
        "last_validation_loss": losses[-1] if losses else None,
        "best_validation_loss": min(finite, default=None),
        "last_validation_accuracy": accuracies[-1] if accuracies else None,
        "best_validation_accuracy": max(accuracies, default=None),
        "data_fingerprint": facts.data_fingerprint,
        "weights_fingerprint": facts.weights_fingerprint,
        "setup_seconds": done.setup_seconds,
        "training_seconds": float(times[0]) / 1e9 if len(times) else None,
        "samples_per_second": MeasuredRun.of(0, trace, done).samples_per_second if trace.num_rows else None,
        "peak_memory": done.peak_memory,
        "versions": json.dumps(dict(sorted(facts.versions.items()))),
        "platform": facts.platform,
    }


def _last(trace: Trace, name: str) -> float | None:
    """The last step's value; None if it is not known."""
    if not trace.num_rows:
        return None
    values, known = trace.between(name, trace.num_rows - 1, trace.num_rows)
    return float(values[0]) if known is None or known[0] else None


def last_epoch_loss(trace: Trace) -> float | None:
    """The mean by sample over the last completed epoch; None where there is none, or a loss is not known.

    The epoch that a run ended in is completed where the plan ends there, by epochs, or it is as long as one before.
    """
    plan, rows = trace.plan, trace.num_rows
    if not rows or not all(map(trace.known_throughout, ("loss", "batch_size", "epoch"))):
        return None
    epochs, sizes = trace.column("epoch"), trace.column("batch_size")
    ends = np.flatnonzero(np.diff(epochs, append=epochs[-1] + 1)) + 1
    steps = np.diff(ends, prepend=0)
    samples, by_epochs = trace.facts.num_samples, plan is not None and plan.steps is None and plan.updates is None
    due = plan.counts(samples).num_steps if plan is not None and samples is not None and by_epochs else None
    if rows != due and (len(steps) == 1 or steps[-1] < steps[:-1].max()):
        steps, ends = steps[:-1], ends[:-1]
    if not len(ends):
        return None
    last = slice(ends[-1] - steps[-1], ends[-1])
    return float(np.average(trace.column("loss")[last], weights=sizes[last]))


@cache
def made_by() -> dict[str, str | None]:
    """The version of xframe and, where it runs from a checkout, the commit and whether it was changed since."""
    here = Path(xframe.__file__).parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=False)
        except OSError:  # there is no git
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "--short=12", "HEAD") if git("ls-files", "--error-unmatch", "__init__.py") else None
    changed = ", changed" if commit and git("status", "--porcelain", "--", ".") else ""
    return {"xframe": xframe.__version__, "commit": commit and commit + changed}
