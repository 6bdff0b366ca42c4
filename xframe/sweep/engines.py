"""Where trials run: joblib, by the name of an engine.

``local`` runs them here, so many at a time. Its joblib workers are threads, for they only wait: each trial is a
process of its own already. Loky's processes would be one more for each, and would outlive a sweep that is killed: they
begin further trials from the queue before they see that nobody is there. ``ray`` and ``dask`` run them in the processes
of a cluster, the one their own variables name (RAY_ADDRESS, DASK_SCHEDULER_ADDRESS), else one that they start here; all
nodes must see the sweep's folder under the same name.

What a trial finds it writes there itself; nothing comes back through an engine.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from xframe.errors import StoppedError, UsageError, Verbatim, XframeError, not_installed, unknown
from xframe.running.runtime import cores
from xframe.sweep.trial import Assignment, run_trial

ENGINES: dict[str, tuple[str, ...]] = {
    "local": (),
    "ray": ("ray",),
    "dask": ("distributed",),
}  # and the modules they need
_LEAVE_SECONDS = 15.0  # for trials that are stopped to end


def check(engine: str, jobs: int | None) -> None:
    """Refuses an engine that does not exist or is not installed, and a number of jobs that is none.

    Raises:
        UsageError: as said.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    for module in ENGINES[engine]:
        if importlib.util.find_spec(module) is None:
            raise not_installed(f"--engine {engine}", f"no module {module!r}", engine)
    if jobs is not None and jobs < 1:
        raise UsageError("--jobs", got=jobs, expected="an integer from 1 up, trials at a time")


def run_all(assignments: Sequence[Assignment], engine: str, jobs: int | None) -> None:
    """Runs the trials; returns when all have their rows.

    Raises:
        KeyboardInterrupt: those that ran were stopped.
        XframeError: the cluster of the engine does not answer.
    """
    if engine == "local":
        threads = max((assignment.trial.settings["threads"] for assignment in assignments), default=1)
        _run_here(assignments, jobs or max(1, cores() // threads))
        return
    import joblib

    cluster = {"ray": _ray, "dask": _dask}[engine]
    with cluster(jobs) as most, joblib.parallel_config(backend=engine, n_jobs=most):
        joblib.Parallel(batch_size=1)(joblib.delayed(run_trial)(assignment) for assignment in assignments)


def _run_here(assignments: Sequence[Assignment], jobs: int) -> None:
    import joblib

    over, running = threading.Event(), threading.Semaphore(jobs)

    def check() -> None:
        if over.is_set():
            raise StoppedError("the sweep ends")

    def run(assignment: Assignment) -> None:
        with running:
            if not over.is_set():
                run_trial(assignment, check)

    try:
        joblib.Parallel(n_jobs=jobs, backend="threading", batch_size=1)(
            joblib.delayed(run)(assignment) for assignment in assignments
        )
    finally:
        over.set()
        deadline = time.monotonic() + _LEAVE_SECONDS
        for _ in range(jobs):  # until the trials that were going on have stopped
            running.acquire(timeout=max(0.0, deadline - time.monotonic()))


@contextlib.contextmanager
def _ray(jobs: int | None) -> Iterator[int]:
    """A Ray cluster while the block lasts, and how many trials at a time it is to run."""
    import ray
    from ray.util.joblib import register_ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent that nobody asked for
    address = os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {"address": "local", "num_cpus": jobs, "include_dashboard": False}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **({} if address else own))
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # which ray has replaced by one that exits
    except SystemExit:
        raise KeyboardInterrupt from None
    except Exception as error:
        raise _unreachable("RAY_ADDRESS", address, error) from error
    register_ray()
    try:
        processors = int(ray.cluster_resources().get("CPU", 1))
        yield min(jobs or processors, processors)
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _dask(jobs: int | None) -> Iterator[int]:
    """A dask cluster while the block lasts; it runs as many trials at a time as it has threads."""
    import dask
    from distributed import Client

    address = dask.config.get("scheduler-address", None)
    own: dict[str, Any] = {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": None}
    try:
        client = Client(**({} if address else {**own, "silence_logs": logging.ERROR}))
    except Exception as error:
        raise _unreachable("DASK_SCHEDULER_ADDRESS", address, error) from error
    with client:
        yield -1


def _unreachable(variable: str, address: str | None, error: Exception) -> XframeError:
    """The error of a cluster that does not answer, or cannot be started."""
    why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if address is None:
        return XframeError("the engine cannot start a cluster here", got=Verbatim(why), remedy="Use --engine local.")
    return XframeError(
        "cannot connect to the engine's cluster",
        got=Verbatim(f"{address} ({why})"),
        expected="a cluster that answers, and lets this user in",
        remedy=f"Check {variable} and what the cluster asks for, or unset it to start a cluster here.",
    )
