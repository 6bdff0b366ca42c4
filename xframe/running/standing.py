"""Where the run of a checkpoint must stand, as its plan has it after that many steps, and whether it does.

A digest shows that a file is as it was written, not that a run wrote it. What follows from plan and steps is compared
with what the file states: place, open window, clock of the validations; and its numbers with the trace's last row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from xframe.errors import StateError, UsageError, Verbatim, counted, printable
from xframe.plan.cadence import Cadence
from xframe.plan.stopping import EarlyStopping
from xframe.plan.training_plan import TrainingPlan
from xframe.running.checkpoints import Of
from xframe.running.runtime import Runtime
from xframe.running.steering import CourseState, Position, WalkState, Window, WindowState, walk
from xframe.state.state import State
from xframe.trace.continued import of_replica
from xframe.trace.source import Source
from xframe.trace.trace import Trace

_RATE = 1e-5  # relative: a trace may have in float32 what the state has in float64
_TINY = 1e-37  # below it float32 has fewer digits, and at last none


def plan_of(file: str, of: Of) -> TrainingPlan:
    """The plan of a checkpoint's run.

    Raises:
        StateError: it is none, or not that of the digest beside it; or its runtime is none that a run has.
    """
    try:
        plan = TrainingPlan.from_mapping(of.plan)
        Runtime.from_dict(dict(of.runtime))
    except UsageError as error:
        raise _damaged(file, f"in its head {error.what} {error.got!r}", error.expected or "what a run has") from None
    if "precision" not in of.runtime:
        raise _damaged(file, f"a run with the runtime {dict(of.runtime)}", "its precision")
    if plan.digest != of.plan_digest:
        raise _damaged(file, f"a plan with the digest {plan.digest}", f"the plan of its plan_digest {of.plan_digest}")
    if plan.replicas != (1 if of.replica is None else of.replica["of"]):
        raise _damaged(file, f"replica {of.replica}", f"one of the {counted(plan.replicas, 'replica')} of its plan")
    return plan


def check_standing(file: str, state: State, of: Of, plan: TrainingPlan, num_samples: int) -> None:
    """That a checkpoint stands where its plan has it.

    Raises:
        StateError: it does not.
    """
    assert state.position is not None
    if state.precision != of.runtime.get("precision"):
        raise _damaged(file, f"a state in {state.precision}", f"its run's precision, {of.runtime.get('precision')}")
    position = Position.from_dict(state.position)
    total = Cadence(plan, num_samples).num_steps
    if of.steps > total:
        raise _damaged(file, f"{of.steps:,} steps", f"at most the {total:,} of its plan")
    stands, must = position.to_dict(), expected(plan, num_samples, of.steps).to_dict()
    for part, values in must.items():
        for name, value in values.items():
            if name not in ("stopped", "stopping") and stands[part][name] != value:
                what = f"{part}.{name} {stands[part][name]!r} at step {of.steps:,}"
                raise _damaged(file, what, f"{value!r}, where its plan is then")
    course, patience = position.course, plan.early_stopping_patience
    if (course.stopping is not None) != (patience is not None):
        raise _damaged(file, f"early stopping's state {course.stopping}", f"one that fits patience {patience}")
    if course.stopped and (course.stopping is None or patience is None or course.stopping.waited < patience):
        raise _damaged(file, "a run that has stopped early", f"one that has not, with patience {patience}")
    if state.best and not plan.restore_best:
        raise _damaged(file, "best weights", "none, since its plan does not restore them")
    if (attempts := state.numbers.get("attempts", position.window.updates)) != position.window.updates:
        raise _damaged(
            file, f"attempts {attempts!r}", f"{counted(position.window.updates, 'update')}, as many as were due"
        )


def stated_before(source: Source, of: Of) -> tuple[str, str]:
    """The certificate and the digest of losses of the rows before the checkpoint, as its head has them."""
    rows = of_replica(source, None if of.replica is None else of.replica["index"])
    before = of.steps - rows.first
    return rows.certify(before).result(), rows.losses(before).result()


def check_beside_rows(file: str, state: State, of: Of, trace: Trace) -> None:
    """That plan, numbers and early stopping are those of the trace, whose rows before the checkpoint are its run's.

    Raises:
        StateError: they are not.
    """
    if trace.plan is not None and trace.plan.digest != of.plan_digest:
        raise _damaged(file, f"plan {trace.facts.plan} in its trace", f"the checkpoint's, {dict(of.plan)}")
    for number, column, tolerance in (("updates", "updates", 0.0), ("rate", "lr", _RATE)):
        held = trace.between(column, of.steps - 1, of.steps) if of.steps else None
        if number not in state.numbers or held is None or (held.known is not None and not held.known[0]):
            continue
        value, seen = state.numbers[number], held.values[0].item()
        if not math.isclose(value, seen, rel_tol=tolerance, abs_tol=_TINY):
            raise _damaged(file, f"{number} {value!r}", f"{seen!r}, as in the trace's row of step {of.steps:,}")
    _check_stopping(file, state, of, trace)
    if of.digest not in (stated := trace.checkpoints(of.steps)):
        must = f"{min(stated)}, which its trace states of the checkpoint" if stated else "one that its trace states"
        raise _damaged(file, f"a file with the digest {of.digest}", f"{must} after {counted(of.steps, 'step')}")


def _check_stopping(file: str, state: State, of: Of, trace: Trace) -> None:
    """That early stopping stands where the validations of the trace, seen again, have it."""
    assert state.position is not None
    plan, course, stops = TrainingPlan.from_mapping(of.plan), Position.from_dict(state.position).course, False
    made = [one for one in trace.validations if one.after <= of.steps]
    seen = [one.accuracy if plan.early_stopping_monitor == "accuracy" else one.loss for one in made]
    if course.stopping is None or None in seen:
        return
    stopping = EarlyStopping(plan)
    for value in seen:
        stops = stopping.see(value).stops  # type: ignore[arg-type]
    if (course.stopping, course.stopped) != (stopping.state(), stops):
        must = f"{stopping.state()}, stopped {stops}, as after the {len(seen):,} validations in the trace"
        raise _damaged(file, f"{course.stopping}, stopped {course.stopped}", must)


def expected(plan: TrainingPlan, num_samples: int, steps: int) -> Position:
    """Where a run stands after so many steps that it has, but for early stopping: walked from the update before."""
    if not steps:
        return Position(WalkState(), WindowState(), CourseState())
    cadence, window = Cadence(plan, num_samples), Window(plan)
    updates = int(cadence.updates(steps - 1))
    begin = (cadence.step_of_update(updates) or 0) if updates else 0
    window.restore(WindowState(begin, updates))
    start = WalkState(*map(int, cadence.place(begin)))

    def batches(*_: int) -> Iterator[tuple[range]]:
        """Of each step from there on, its rows: what a walk looks at."""
        while True:
            position = cadence.place(window.steps)[3]
            yield (range(int(cadence.sizes(window.steps, position)[0])),)

    for place, (rows,) in walk(plan, num_samples, batches, start):
        window.close(place, len(rows))
        if window.steps == steps:
            break
    counts = {"epochs": place.epochs, "steps": window.steps, "updates": window.updates}
    validated = 0 if plan.validation_unit is None else counts[plan.validation_unit]
    return Position(place.state(), window.state(), CourseState(validated))


def _damaged(file: str, got: str, must: str) -> StateError:
    remedy = "It is damaged or was edited: go on from another checkpoint, or begin a new run without --resume."
    return StateError(f"cannot go on from {printable(file)}", got=Verbatim(got), expected=must, remedy=remedy)
