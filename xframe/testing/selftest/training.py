"""Has every adapter train, each in a process of its own, a few at a time; what is sent to and from it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from xframe.errors import Verbatim, WorkerError
from xframe.running import registry
from xframe.running.messages import Failed
from xframe.running.processes import Child, listen, start, stop
from xframe.testing.faults import Fault

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.progress import Progress
    from xframe.testing.selftest.store import Store

MOST_CHILDREN = 2


@dataclass(frozen=True, slots=True)
class Work:
    """To the child: what to train, and the folder for its traces. Plans as their ``to_dict`` returns them."""

    adapter: str
    folder: str
    plans: Sequence[dict[str, Any]]
    faults: Sequence[str]
    clean_runs: int
    seed: int


@dataclass(frozen=True, slots=True)
class Trained:
    """From the child: one run was recorded, or the adapter refused it for that reason."""

    run: str
    refused: str | None


@dataclass(frozen=True, slots=True)
class Broke:
    """From the child: a fault that could not run, and why."""

    fault: str
    text: str


class Outcome(NamedTuple):
    """Why a fault did not run, by adapter and fault, and what an adapter refused to run."""

    problems: dict[tuple[str, str], str]
    refused: list[str]


def train(
    stores: Sequence[Store],
    faults: Sequence[Fault],
    plans: Sequence[TrainingPlan],
    clean_runs: int,
    seed: int,
    progress: Progress,
) -> Outcome:
    """All runs of all adapters, their traces written.

    Raises:
        WorkerError: an adapter's process failed.
    """
    jobs = [
        Work(
            store.adapter,
            str(store.folder),
            [plan.to_dict() for plan in plans],
            [fault.name for fault in faults if possible(fault, store.adapter)],
            clean_runs,
            seed,
        )
        for store in stores
    ]
    outcome, children, began = Outcome({}, []), list[Child](), time.monotonic()
    reports = dict.fromkeys((store.adapter for store in stores), 0)
    for store, job in zip(stores, jobs, strict=True):
        store.folder.mkdir()
        progress.begin(store.adapter, len(plans) + len(job.faults) + clean_runs, unit="runs")
    waiting = list(zip(stores, jobs, strict=True))
    try:
        children += [_start(*waiting.pop(0)) for _ in range(min(MOST_CHILDREN, len(waiting)))]
        for child, message in listen(children):
            if isinstance(message, Failed):
                raise _failure(child, Verbatim(message.text))
            if message is not None:
                reports[child.label] += 1
                progress.advance(child.label, reports[child.label])
                _keep(outcome, child.label, message)
                continue
            if child.process.wait():
                raise _failure(child, Verbatim(child.fate() + child.last_words()))
            progress.end(child.label, reports[child.label], f"{time.monotonic() - began:5.1f} s")
            if waiting:
                children.append(_start(*waiting.pop(0)))
    finally:
        stop(children)
    return outcome


def _start(store: Store, job: Work) -> Child:
    # The same xframe and adapters as here, wherever they were imported from.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    variables = {**quiet, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return start(
        "xframe.testing.selftest.child",
        job,
        label=store.adapter,
        log=store.folder / "log.txt",
        kinds=(Trained, Broke, Failed),
        interpreter=sys.executable,
        variables=variables,
    )


def _keep(outcome: Outcome, adapter: str, message: Trained | Broke) -> None:
    match message:
        case Broke(fault, text):
            outcome.problems[adapter, fault] = text
        case Trained(run, refused) if refused is not None:
            outcome.refused.append(f"{adapter}: {run}: {refused}")


def _failure(child: Child, why: Verbatim) -> WorkerError:
    return WorkerError(f"the self-test's process for adapter {child.label!r} failed", got=why, expected="exit code 0")


def possible(fault: Fault, adapter: str) -> bool:
    """Whether the fault can be expressed in that adapter, which must have the shape that faults are mixed into."""
    named, loaded = fault.frameworks is None or adapter in fault.frameworks, registry.load(adapter)
    return named and all(callable(getattr(loaded, part, None)) for part in ("pipeline", "train_step"))
