"""The worker: the child process in which one adapter trains. Started by the harness.

It gets its job, reports that its framework is there, waits for the word to go, trains and records. When it is asked to
stop, as its guard does when the harness is gone, it closes its trace. If it is to stay, it then makes steps that the
harness asks for, until that asks for no more.
"""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xframe.plan.training_plan import TrainingPlan
from xframe.recording import unclosed
from xframe.running import registry
from xframe.running.adapter import Adapter, loop_of, modules
from xframe.running.keeping import STOPPED, Kept
from xframe.running.messages import Done, Failed, FailedError, Go, Job, Parent, Ready, Recorded, leave, report
from xframe.running.runtime import Runtime
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import read
from xframe.tasks.task import Task
from xframe.trace.facts import Facts

_BEGAN = time.monotonic()


def main(numbers: Sequence[str]) -> int:
    """The worker's life, with the harness at the other ends of those pipes; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to stop: leave by KeyboardInterrupt
    try:
        return report(numbers, _train)
    finally:
        unclosed.settle_all()  # of a recorder that was interrupted as it was being left


def _train(harness: Parent) -> None:
    job = harness.receive(Job)
    if job is None:
        raise KeyboardInterrupt
    adapter = registry.load(job.adapter)
    for module, install in modules(adapter, job.loop).items():
        if importlib.util.find_spec(module) is None:
            raise FailedError(Failed(f"no module {module!r} for {sys.executable}", "missing", install))
    try:
        probe = registry.probe(adapter)
    except Exception as error:
        raise FailedError(Failed(f"{type(error).__name__}: {error}", "broken")) from error
    harness.send(Ready(probe.devices, probe.versions))

    # What needs no answer from the harness is done while it waits for the other workers.
    plan = TrainingPlan.from_mapping(job.plan)
    task = find_task(job.task)
    if job.optimizer is not None:
        task = replace(task, optimizer=read(job.optimizer))
    prints = task.fingerprints()
    facts = Facts(
        label=job.label,
        adapter=job.adapter,
        loop=loop_of(adapter, plan, job.loop),
        task=task.name,
        optimizer=job.optimizer or {},
        num_validation=task.num_validation,
        data_fingerprint=prints["data_fingerprint"],
        weights_fingerprint=prints["weights_fingerprint"],
    )
    go = harness.receive(Go)
    if go is None:
        raise KeyboardInterrupt
    runtime = Runtime.from_dict({**job.runtime, "device": go.device, "loop": facts.loop})
    facts = replace(facts, runtime=runtime.to_dict())
    runtime = replace(runtime, replica=job.replica)
    setup = time.monotonic() - _BEGAN
    began, busy = time.perf_counter(), time.process_time()
    kept = Kept(job, plan, task, facts)
    with _telling_who_is_left(job, adapter), _recorder(job, plan, task, facts, kept) as recorder:
        recorder.on_flush = lambda steps, epoch, loss: harness.send(Recorded(kept.before + steps, epoch, loss))
        weights = adapter.run(plan, task, runtime, recorder, **kept.argument(recorder))
        if kept.checkpoints.stopped:  # its weights are in the checkpoint, and are not those that the run ends with
            recorder.close(STOPPED)
        else:
            recorder.weights(*(weights if isinstance(weights, list) else [weights]))
    busy, trained = time.process_time() - busy, time.perf_counter() - began
    steps = kept.before + recorder.num_steps
    harness.send(Done(steps, setup, peak_memory(), busy / trained, trained, kept.checkpoints.stopped))
    if job.stays:
        from xframe.running.answering import Answering, serve

        serve(harness, Answering(adapter, plan, task, runtime))


def _recorder(job: Job, plan: TrainingPlan, task: Task, facts: Facts, kept: Kept) -> Any:
    """The recorder of a run, of one of its replicas, or of all that are in this process."""
    from xframe.recording.recorder import record
    from xframe.recording.several import record_replicas

    known = {"plan": plan, "num_samples": task.num_samples, "metadata": facts.metadata(), **kept.continued}
    if job.replica is not None:
        if job.replica.here is None:  # all are on this machine, and meet where nobody else does
            known["metadata"] |= {"replica_run": Path(job.replica.meeting).name}
        return record(job.trace, replica=(job.replica.index, job.replica.of), **known)
    if plan.replicas > 1:
        return record_replicas(job.trace, plan.replicas, **known)
    return record(job.trace, replica=(0, 1), **known)


@contextlib.contextmanager
def _telling_who_is_left(job: Job, adapter: Adapter) -> Iterator[None]:
    """Marks an error of a replica's that only says that another one is gone, or not heard of."""
    try:
        yield
    except Exception as error:
        if job.replica is None or not getattr(adapter, "left_alone", lambda _: False)(error):
            raise
        raise FailedError(Failed(f"{type(error).__name__}: {error}", "left")) from error


def peak_memory() -> int | None:
    """The most memory this process has held, in bytes; None where the system does not say."""
    # Not ru_maxrss where there is a better figure: on Linux a child begins with its parent's.
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # the BSDs count in KiB


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
