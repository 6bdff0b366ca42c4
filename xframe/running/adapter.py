"""The adapter contract: what a framework must do to take part.

An adapter trains natively: the framework's own data pipeline, layers, loss, gradients and optimizer.
It gets a plan, a task, a runtime and a recorder, and

- starts from the task's initial weights, with the task's loss and update rule, on the runtime's
  device, in its precision;
- lets the framework draw the batches. It may use ``plan.sample_order(n)``, the plan's fields, and
  ``xframe.running.steering``, which counts what arrives and states what a step ends. It may not use
  ``plan.step``, ``plan.each_step`` or ``plan.counts``, nor lists of ready batches made from them: the
  counts of the run must be its own doing, or the comparison proves nothing;
- carries each sample's id (int64, its row in the data set) through its pipeline beside the sample,
  and hands the recorder the ids that stand beside the data in the training step;
- follows every policy of the plan, or refuses it in ``check``: what is left of a pass, where epochs
  begin and end, what is in an accumulated gradient, and what it is divided by;
- takes the learning rate of each step from the task's schedule, at the tick of the plan's clock, see
  ``xframe.running.steering.Window.tick``; clips as the task's optimizer says, after the window's gradient is divided;
- validates between steps when the plan says, on the task's validation samples in batches of their own, averaged by
  sample, with their ids; stops early by ``xframe.plan.stopping``, or by a rule of the framework's own that is the same.
  ``xframe.running.steering.Course`` does both. Training goes on as if no validation had been;
- records the updates applied, from the optimizer's own state or other evidence that the weights were touched, never
  from its loop counter, and the updates tried too where they can be skipped, as under a scaled loss;
- draws no random number that a run without recording would not draw;
- reads nothing back from a device in each step: the recorder takes tensors and fetches them in blocks;
- returns the final weights, or those of the best validation if the plan restores them, under the task's canonical
  names and layouts.

What it cannot do natively and exactly it refuses in ``check``, with the reason. It never approximates.
``xframe.testing.AdapterContract`` tests, for any adapter, what of this can be seen from outside on a CPU; the text of
``xframe.testing.contract.adapter`` lists what cannot. An adapter takes its batches from ``steering.walk`` and asks a
``Window`` for its updates, or leaves both to a trainer of its framework's, whose counting shows where it departs from a
plan: code of its own that counted as they do could not be told from a copy of the plan's arithmetic.

A loop that can stop between two steps and go on from a checkpoint is named in ``resumable``, and gets
``xframe.running.checkpoints.Checkpoints`` as a fifth argument of ``run`` where there is something to keep. It begins
from ``begins`` if that is not None, asks after the step that is ``due``, returns where it then is ``stopped``, and
calls ``end`` after its last step. ``Drive`` does all of it. Other loops are refused by name.

A loop that goes step by step is ``xframe.running.drive``'s: the adapter brings a pipeline, a training step and a
validation, see ``Stepwise`` there.

An adapter may also bring loops that people use with its framework, for ``xframe bench`` to measure beside its own: see
``xframe.bench.worker.Benched``.

An adapter is found through the entry point group ``xframe.adapters``; the entry point names a class
that takes no arguments. Importing it must not import the framework.

An adapter of this repository has the files of adapters/xframe_numpy and is named in pyproject.toml (entry point, wheel,
mypy, import rules); ``xframe.recording.values`` knows its tensors. It is tested by tests/contract/test_<name>.py with a
twin in tests/native.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running.runtime import Runtime
from xframe.tasks.layers import Dense, Layer
from xframe.tasks.losses import WORDS, Loss, of
from xframe.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Probe:
    """What an adapter finds in its process: versions by package, devices from the best down."""

    versions: dict[str, str]
    devices: tuple[str, ...]


@runtime_checkable
class Adapter(Protocol):
    """See the module's text.

    An adapter may have more: ``stepwise``, the loop that is ``xframe.running.drive``'s, into whose ``pipeline`` and
    ``train_step`` ``xframe.testing.faults`` puts bugs; ``resumable``, the loops that keep checkpoints, and
    ``unkept(plan, task, runtime)``, why one does not for that run; ``replicated``, by loop where a run's replicas are:
    ``"each"`` in a process of its own, or all in ``"one"``; the first takes the default loop's place in such a run;
    ``takes_addresses``: its replicas listen at the addresses that a launcher's TF_CONFIG has for them;
    ``left_alone(error)``, whether what a replica's run raised only says that another one is gone or was not heard of;
    ``loops_require``, by loop, the modules that it imports beside ``requires`` and the command that installs these.
    """

    name: str  # as in ``--adapters``
    loops: tuple[str, ...]  # its native training loops, the default first
    requires: tuple[str, ...]  # the modules it imports
    install: str  # the command that installs them

    def check(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> list[str]:
        """Reasons why it can't run this; empty if it can. Does not import the framework."""

    def probe(self) -> Probe:
        """Versions and devices. Imports the framework."""

    def run(
        self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder
    ) -> dict[str, NDArray[Any]] | list[dict[str, NDArray[Any]]]:
        """Trains, and returns the final weights by canonical name; of replicas in ``"one"`` process a list, each's."""


def loop_of(adapter: Adapter, plan: TrainingPlan, loop: str | None) -> str:
    """The loop that a run takes: the one asked for, or the default, which for a plan with replicas is another."""
    replicated = getattr(adapter, "replicated", {}) if plan.replicas > 1 else {}
    return loop or next(iter(replicated), adapter.loops[0])


def processes_of(adapter: Adapter, plan: TrainingPlan, loop: str | None) -> int:
    """How many processes a run is: one, or one for each of its replicas."""
    each = getattr(adapter, "replicated", {}).get(loop_of(adapter, plan, loop)) == "each"
    return plan.replicas if each else 1


def modules(adapter: Adapter, loop: str | None) -> dict[str, str]:
    """What a run of that loop imports, each with the command that installs it."""
    further, install = getattr(adapter, "loops_require", {}).get(loop, ((), ""))
    return dict.fromkeys(adapter.requires, adapter.install) | dict.fromkeys(further, install)


def unsupported(
    adapter: Adapter,
    plan: TrainingPlan,
    task: Task,
    runtime: Runtime,
    *,
    devices: tuple[str, ...],
    precisions: tuple[str, ...],
    layers: tuple[type[Layer], ...] = (Dense,),
    losses: Collection[type[Loss]] = (),
) -> list[str]:
    """The reasons that hold for every adapter that lowers neutral layers itself: ``layers`` is its table of them.

    ``losses`` is that of its losses; without one it knows what the words of ``WORDS`` are short for, by these words.
    """
    reasons = []
    settings = ("precision", runtime.precision, precisions), ("device", runtime.device, devices)
    for kind, value, known in (*settings, ("loop", runtime.loop, adapter.loops)):
        if value not in known and (kind, value) not in (("device", "auto"), ("loop", None)):
            reasons.append(f"{kind} {value!r} is not one of its {kind}s ({', '.join(known)})")
    replicated = getattr(adapter, "replicated", {})
    if plan.replicas > 1 and (not replicated or runtime.loop not in (None, *replicated)):
        can = f"those that do are {', '.join(replicated)}" if replicated else "no loop of this adapter does"
        reasons.append(f"its loop {loop_of(adapter, plan, runtime.loop)!r} runs no replicas; {can}")
    if plan.validation_every is not None and task.validation is None:
        reasons.append(f"task {task.name!r} has nothing to validate on")
    if plan.early_stopping_monitor == "accuracy" and "accuracy" not in task.metrics:
        reasons.append(f"task {task.name!r} measures no accuracy to stop by")
    if not task.layers and adapter.name not in task.builders:
        reasons.append(f"task {task.name!r} has no neutral layers and no builder for {adapter.name!r}")
    if type(of(task.loss)) not in losses if losses else task.loss not in WORDS:
        lowered = ", ".join(sorted(loss.__name__ for loss in losses) or WORDS)
        reasons.append(f"loss {task.loss!r} is not one of its losses ({lowered})")
    if adapter.name not in task.builders:
        strange = sorted({type(layer).__name__ for layer in task.layers if type(layer) not in layers})
        lowered = ", ".join(layer.__name__ for layer in layers)
        reasons += [f"layer {name} is not one of its layers ({lowered})" for name in strange]
    return reasons
