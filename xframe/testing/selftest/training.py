"""Has every adapter train, each in a process of its own, a few at a time; what is sent, and where the traces lie."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xframe.errors import Verbatim, WorkerError
from xframe.running import registry
from xframe.running.messages import Failed
from xframe.running.processes import Child, listen, start, stop
from xframe.testing.faults import Fault
from xframe.testing.mutators import rows_of, write
from xframe.trace.trace import Trace

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.progress import Progress

MOST_CHILDREN = 2
_KEPT = ("label", "adapter", "loop", "task", "runtime", "data_fingerprint", "weights_fingerprint")


@dataclass(frozen=True)
class Store:
    """One adapter's traces.

    Their kinds are ``honest``, named by the plan's digest; ``fault`` and ``against``, by the fault; ``mutation`` and
    ``clean``, by their number.
    """

    adapter: str
    folder: Path

    def path(self, kind: str, name: str) -> Path:
        """Where that trace is, or is to be."""
        return self.folder / f"{kind}-{name}.trace"

    def open(self, kind: str, name: str) -> Trace | None:
        """That trace, if it was recorded."""
        path = self.path(kind, name)
        return Trace.open(path) if path.exists() else None

    def without_plan(self, kind: str, name: str) -> Trace:
        """The same run as a loop records it that knows of no plan."""
        place = self.path(f"bare-{kind}", name)
        if not place.exists():
            trace = Trace.open(self.path(kind, name))
            known: dict[str, Any] = {"num_samples": trace.facts.num_samples, "metadata": facts_of(trace)}
            for index, part in enumerate(trace.replicas):
                own: dict[str, Any] = {"weights": part.weights(), "replica": (index, len(trace.replicas))}
                write(place, rows_of(part), plan=None, **known, **own)
            if trace.replicas:
                return Trace.open(place)
            known |= {"weights": trace.weights(), "validations": trace.validations}
            known |= {"resumed": trace.joins[0].step if trace.joins else None}
            write(place, rows_of(trace), plan=None, **known)
        return Trace.open(place)


def facts_of(trace: Trace) -> dict[str, Any]:
    """A run's facts but for its plan, as metadata to record its rows again with."""
    return {name: value for name in _KEPT if (value := getattr(trace.facts, name)) is not None}


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
    outcome, children, began = Outcome({}, []), list[Child](), time.monotonic()
    waiting: list[tuple[Store, Work]] = []
    for store in stores:
        names = [fault.name for fault in faults if possible(fault, store.adapter)]
        fields = [plan.to_dict() for plan in plans]
        waiting.append((store, Work(store.adapter, str(store.folder), fields, names, clean_runs, seed)))
        store.folder.mkdir()
        progress.begin(store.adapter, len(plans) + len(names) + clean_runs, unit="runs")
    reports = dict.fromkeys((store.adapter for store in stores), 0)
    try:
        children += [_start(*waiting.pop(0)) for _ in range(min(MOST_CHILDREN, len(waiting)))]
        for child, message in listen(children):
            match message:
                case Failed():
                    raise _failure(child, message.text)
                case None if child.process.wait():
                    raise _failure(child, child.fate() + child.last_words())
                case None:
                    progress.end(child.label, reports[child.label], f"{time.monotonic() - began:5.1f} s")
                    children += [_start(*waiting.pop(0))] if waiting else []
                    continue
                case Broke(fault, text):
                    outcome.problems[child.label, fault] = text
                case Trained(run, refused) if refused is not None:
                    outcome.refused.append(f"{child.label}: {run}: {refused}")
            reports[child.label] += 1
            progress.advance(child.label, reports[child.label])
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


def _failure(child: Child, why: str) -> WorkerError:
    text = f"the self-test's process for adapter {child.label!r} failed"
    return WorkerError(text, got=Verbatim(why), expected="exit code 0")


def possible(fault: Fault, adapter: str) -> bool:
    """Whether the fault can be expressed in that adapter, which must have the shape that faults are mixed into."""
    named, loaded = fault.frameworks is None or adapter in fault.frameworks, registry.load(adapter)
    return named and all(callable(getattr(loaded, part, None)) for part in ("pipeline", "train_step"))
