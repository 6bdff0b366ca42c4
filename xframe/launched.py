"""``xframe verify`` and ``xframe run`` as one of the replicas that a launcher has started, maybe on several hosts.

Each replica records in the folder that all share; replica 0 waits for the others and has the verdict.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from xframe.comparison.result import Comparison
from xframe.errors import UsageError, XframeError
from xframe.running import harness
from xframe.running.adapter import processes_of
from xframe.running.launch import Launch
from xframe.running.meeting import Meeting
from xframe.running.progress import Progress
from xframe.running.registry import Selection, load
from xframe.running.request import (
    Request,
    log_path,
    make_way,
    make_way_for_checkpoint,
    new_folder,
    refuse_existing,
)
from xframe.trace.ranks import rank_path
from xframe.trace.trace import Trace
from xframe.trace.weights import weights_path
from xframe.verification import checked, judged_in, traces_in


def verify(request: Request, launch: Launch, progress: Progress) -> Comparison | None:
    """``run_and_compare`` of a request, together with the launcher's other replicas; None but at replica 0.

    Raises:
        UsageError: as there; there is no ``out``, or the plan has another number of replicas than there are.
        WorkerError: as there; another replica failed or did not come, or the folder is not shared.
    """
    began = time.monotonic()
    launch.check(request.plan)
    task = checked(request)
    folder = _out(request)
    refuse_existing(folder)
    traces = traces_in(folder, request)
    _train(request, launch, traces, progress, lambda: new_folder(request))
    return None if launch.index else judged_in(folder, request, task, (), began)


def run(request: Request, launch: Launch, progress: Progress) -> Trace | None:
    """``verification.run`` of a request, in the same way; raises as ``verify``."""
    launch.check(request.plan)
    checked(request)
    ((selection),) = request.selections
    path = _out(request)
    make_way(path, launch.of)
    make_way_for_checkpoint(request.checkpoints, path)
    try:
        _train(request, launch, {selection: path}, progress, lambda: None)
    except UsageError:
        _remove_refused(path, launch.index)
        raise
    return None if launch.index else Trace.open(path)


def _out(request: Request) -> Path:
    if request.out is None:
        raise UsageError("--out is missing", expected="one that all replicas have, in a folder that their hosts share")
    return Path(request.out)


def _train(
    request: Request,
    launch: Launch,
    traces: Mapping[Selection, Path],
    progress: Progress,
    prepare: Callable[[], Any],
) -> None:
    """This replica's part of the runs, and at replica 0 the wait for the others'."""
    each = [one for one in traces if processes_of(load(one.adapter), request.plan, one.loop) > 1]
    meeting = Meeting.beside(_out(request), launch, request.patience)
    try:
        with _held(meeting, request, each, prepare):
            harness.execute(request, traces, progress, meeting=meeting)
            if launch.index == 0:
                meeting.gather([traces[one] for one in each])
    except KeyboardInterrupt:
        own = (rank_path(trace, launch.index) for trace in traces.values())
        raise KeyboardInterrupt(*[str(request.out)] * any(map(Path.exists, own))) from None


def _held(
    meeting: Meeting, request: Request, each: list[Selection], prepare: Callable[[], Any]
) -> AbstractContextManager[None]:
    listens = [one.label for one in each if getattr(load(one.adapter), "takes_addresses", False)]
    return meeting.held(_asked(request), [one.label for one in each], next(iter(listens), None), prepare)


def _asked(request: Request) -> str:
    """What must be the same for all replicas, as a digest."""
    rule = None if request.rule is None else request.rule.to_dict()
    labels = [selection.label for selection in request.selections]
    wanted = request.checkpoints
    runtime = {**request.runtime.to_dict(), "threads": None}
    asked = [request.plan.to_dict(), request.task, rule, labels, runtime, wanted.every, wanted.stop_after]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def _remove_refused(path: Path, index: int) -> None:
    """What a replica left that was refused before it had made a step: it would be in the way of the next try."""
    own = rank_path(path, index)
    with suppress(XframeError, OSError):
        if own.exists():
            trace = Trace.open(own)
            if trace.num_rows > (trace.joins[-1].step if trace.joins else 0):
                return
        for file in (own, weights_path(own), log_path(path, index)):
            file.unlink(missing_ok=True)
        path.rmdir()  # the last one does it
