"""One adapter's process of the self-test, ``python -m xframe.testing.selftest.child NUMBER``: trains all it is given.

It writes the traces to the store's folder and reports a message for each run.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import record
from xframe.recording.several import record_replicas
from xframe.running import registry
from xframe.running.messages import Parent, leave, report
from xframe.running.runtime import Runtime
from xframe.tasks.builtin.ledger import ledger
from xframe.tasks.lookup import find_task
from xframe.testing import clean
from xframe.testing.faults import BY_NAME, make
from xframe.testing.in_two import InTwo
from xframe.testing.selftest.results import TASK
from xframe.testing.selftest.training import Broke, Store, Trained, Work

if TYPE_CHECKING:
    from xframe.running.adapter import Adapter
    from xframe.tasks.task import Task

PRECISIONS = {"faults": "float32", "clean": "float64"}  # the ledger spells more updates in float64


def _work(parent: Parent) -> None:
    work = parent.receive(Work)
    if work is None:
        raise KeyboardInterrupt
    for message in _train(work):
        parent.send(message)


def _train(work: Work) -> Iterator[Trained | Broke]:
    adapter = registry.load(work.adapter)
    task, store = find_task(TASK), Store(work.adapter, Path(work.folder))
    registry.probe(adapter)
    for fields in work.plans:
        plan = TrainingPlan.from_mapping(fields)
        path = store.path("honest", plan.digest)
        yield Trained(f"honest {plan!r}", _run(adapter, plan, task, path, adapter.name, PRECISIONS["faults"]))
    for name in work.faults:
        try:
            yield Trained(f"fault {name}", _run_fault(adapter, name, task, store))
        except Exception as error:
            traceback.print_exc()
            yield Broke(name, f"{type(error).__name__}: {error}")
    for i, draw in enumerate(islice(clean.draws(work.seed), work.clean_runs)):
        small, path = ledger(draw.num_samples), store.path("clean", str(i))
        yield Trained(f"clean {draw!r}", _run(adapter, draw.plan, small, path, adapter.name, PRECISIONS["clean"]))


def _run_fault(adapter: Adapter, name: str, task: Task, store: Store) -> str | None:
    """The faulty run, and the one it is compared with where that is faulty too; returns why not, if refused."""
    fault, reason = BY_NAME[name], None
    wrong = task if fault.task is None else fault.task(task)
    for kind, build in {"fault": fault.build, "against": fault.against}.items():
        if build is not None:
            label, path = "faulty" if kind == "fault" else adapter.name, store.path(kind, name)
            resumed = fault.resumed if kind == "fault" else None
            reason = _run(make(adapter, build), fault.plan, wrong, path, label, PRECISIONS["faults"], resumed)
    return reason


def _run(
    adapter: Adapter,
    plan: TrainingPlan,
    task: Task,
    path: Path,
    label: str,
    precision: Any,
    resumed: int | None = None,
) -> str | None:
    """Trains and records, in two traces if the run is ``resumed``; returns why not, if the adapter refuses."""
    loop = adapter.loops[0]
    runtime = Runtime(device="cpu", precision=precision, threads=1, loop=loop)
    if reasons := adapter.check(plan, task, runtime):
        return "; ".join(reasons)
    facts = {"label": label, "adapter": adapter.name, "loop": loop, "task": task.name, "runtime": runtime.to_dict()}
    facts |= task.fingerprints()
    known: dict[str, Any] = {"plan": plan, "num_samples": task.num_samples, "metadata": facts, "replica": (0, 1)}
    if resumed is not None:
        recorder: Any = InTwo(path, resumed, known)
        with recorder:
            recorder.weights(adapter.run(plan, task, runtime, recorder))
        return None
    if (replicas := getattr(adapter, "replicas", 1)) > 1:
        several: Any = record_replicas(
            path, replicas, **{name: one for name, one in known.items() if name != "replica"}
        )
        with several:
            adapter.run(plan, task, runtime, several)
        return None
    with record(path, **known) as recorder:
        recorder.weights(adapter.run(plan, task, runtime, recorder))
    return None


if __name__ == "__main__":
    leave(report(sys.argv[1:], _work))
