"""Runs that keep checkpoints, as a worker makes them, but in this process."""

from dataclasses import replace

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import record
from xframe.running import registry
from xframe.running.checkpoints import Wanted
from xframe.running.keeping import STOPPED, Kept
from xframe.running.messages import Job
from xframe.running.registry import Selection
from xframe.running.runtime import Runtime
from xframe.tasks.lookup import find_task
from xframe.trace.facts import Facts
from xframe.trace.trace import Trace

# Every step of its eight stands elsewhere: in a window or between two, at a pass's end, behind a validation.
PLAN = TrainingPlan(
    batch_size=100,
    epochs=2,
    gradient_accumulation_steps=3,
    accumulation_remainder="carry",
    validation_every=2,
    validation_unit="steps",
    early_stopping_patience=9,
    restore_best=True,
)


def run(plan, trace, label="numpy", task="diabetes-regression", precision="float32", **wanted):
    """The trace of a run by that adapter and loop; ``wanted`` are fields of ``Wanted``. ``task`` may be one itself."""
    selection, name = Selection.parse(label), task if isinstance(task, str) else task.name
    adapter, task = registry.load(selection.adapter), find_task(task) if isinstance(task, str) else task
    loop = selection.loop or adapter.loops[0]
    runtime = Runtime("cpu", precision, 1, loop=loop)
    facts = Facts(adapter=selection.adapter, loop=loop, runtime=runtime.to_dict(), **task.fingerprints())
    wanted = Wanted(**{name: str(v) if name in ("file", "resume") else v for name, v in wanted.items()})
    job = Job(selection.adapter, label, loop, plan.to_dict(), name, runtime.to_dict(), str(trace), checkpoints=wanted)
    kept = Kept(job, plan, task, facts)
    metadata = replace(facts, label=label, task=task.name).metadata()
    with record(trace, plan=plan, num_samples=task.num_samples, metadata=metadata, **kept.continued) as recorder:
        weights = adapter.run(plan, task, runtime, recorder, **kept.argument(recorder))
        recorder.close(STOPPED) if kept.checkpoints.stopped else recorder.weights(weights)
    return Trace.open(trace)


def differences(whole, trace):
    """Where a run is not the same bits as another: columns, and names of final weights."""
    names = ("ids_digest", "batch_size", "updates", "epoch", "step_in_epoch", "padding", "lr", "loss")
    ours, theirs = whole.frame(), trace.frame()
    if len(ours) != len(theirs):
        return [f"{len(theirs)} steps for {len(ours)}"]
    wrong = [name for name in names if not ours[name].equals(theirs[name])]
    wrong += ["certificate"] * (whole.certificate != trace.certificate)
    weights, others = whole.weights(), trace.weights()
    wrong += [name for name in weights if weights[name].tobytes() != others[name].tobytes()]
    return wrong + ["validations"] * ([_seen(v) for v in whole.validations] != [_seen(v) for v in trace.validations])


def _seen(validation):
    return validation.after, validation.loss
