"""A run that goes on from a checkpoint: what it takes from there, what may be different, and what is refused.

Plan, task, optimizer and precision are the checkpoint's, and so is the number of threads, by which sums are cut, unless
another is asked for. Another adapter or loop may go on, elsewhere. Another limit, longer or shorter, is another plan,
taken only where it is given by name, and only where a run that had it from its beginning would stand at the checkpoint
as this one does. So is another number of replicas, where each step is the same however its rows are dealt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from xframe.errors import NotATraceError, StateError, TraceError, UsageError, Verbatim, counted, printable, shown
from xframe.plan.fields import DEALING, LIMITS
from xframe.plan.training_plan import TrainingPlan
from xframe.running.adapter import loop_of
from xframe.running.checkpoints import Of, Wanted, read_checkpoint
from xframe.running.registry import Selection, available, load
from xframe.running.request import Request
from xframe.running.standing import check_beside_rows, check_standing, expected, plan_of, stated_before
from xframe.running.steering import Position
from xframe.state.state import State
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import read
from xframe.trace.trace import Trace

_AS_BEFORE = ("threads",)  # of the runtime, unless another is asked for
_ANEW = "Begin a new run with the plan file instead, without --resume."


def resumed(wanted: Wanted, given: Mapping[str, Any], fields: Mapping[str, Any], plan: TrainingPlan | None) -> Request:
    """The request of a run that goes on.

    Args:
        wanted: what it is to keep, with ``resume``.
        given: options of ``Request`` that were given explicitly.
        fields: fields of the plan that were.
        plan: of a file that was given.

    Raises:
        StateError: the file is no checkpoint, or damaged, or its task has different data or weights now.
        UsageError: what was given contradicts it.
    """
    assert wanted.resume is not None
    state, of = read_checkpoint(Path(wanted.resume))
    own = plan_of(wanted.resume, of)
    if plan is not None and plan.digest != own.digest:
        raise _contradicts("the plan", plan, own)
    following = _with(own, fields)
    for name, held in (("task", of.task), ("precision", of.runtime.get("precision"))):
        if given.get(name) not in (None, held):
            raise _contradicts(f"--{name}", given[name], held)
    if ":" in of.task and given.get("task") is None:
        raise UsageError(
            "the run trains a task of your own, and a file does not choose what is imported",
            got=of.task,
            expected="it by name beside --resume",
            remedy=f"If it is yours: --task {printable(of.task)}",
        )
    if given.get("tf32") and not of.runtime.get("tf32"):
        raise _contradicts("--tf32", True, False)
    rule = of.optimizer if of.optimizer is not None else find_task(of.task).optimizer.to_dict()
    if given.get("optimizer") is not None and read(given["optimizer"]).to_dict() != rule:
        raise _contradicts("--optimizer", given["optimizer"], Verbatim(read(rule)))
    options = {name: value for name, value in given.items() if value is not None}
    options = {name: of.runtime[name] for name in _AS_BEFORE if name in of.runtime} | options
    options |= {"task": of.task, "optimizer": of.optimizer, "tf32": bool(of.runtime.get("tf32"))}
    options |= {"precision": of.runtime.get("precision"), "plan": following}
    options |= {"checkpoints": replace(wanted, vouched=of.digest)}
    if "adapters" not in options:
        options["adapters"] = (_its_adapter(wanted.resume, of, following),)
    request = Request(**options)
    task = request.checked_task()
    prints = task.fingerprints()
    for what, name in (("samples", "data_fingerprint"), ("initial weights", "weights_fingerprint")):
        if prints[name] != getattr(of, name):
            raise StateError(
                f"the {what} of task {task.name!r} are not those that the run of {printable(wanted.resume)} began with",
                got=Verbatim(f"fingerprint {prints[name]}"),
                expected=getattr(of, name),
                remedy=_ANEW,
            )
    for what, held in task.computes().items():
        if of.computes.get(what) != held:
            raise StateError(
                f"task {printable(task.name)!r} computes something else than the run of {printable(wanted.resume)}",
                got=Verbatim(f"{what} {shown(held)}"),
                expected=shown(of.computes.get(what)),
                remedy=_ANEW,
            )
    check_standing(wanted.resume, state, of, own, task.num_samples)
    _refuse_passed(wanted, of.steps)
    trace = _its_trace(Path(wanted.resume).parent / of.trace, of, request.out)
    check_beside_rows(wanted.resume, state, of, trace)
    going_on(state, own, following, task.num_samples)
    return request


def _its_adapter(checkpoint: str, of: Of, plan: TrainingPlan) -> str:
    """The adapter and loop that the checkpoint's run was made by.

    Raises:
        UsageError: it is not installed.
    """
    if of.adapter not in (installed := available()):
        raise UsageError(
            f"the adapter that made {printable(checkpoint)} is not installed",
            got=of.adapter,
            expected="one of " + ", ".join(map(printable, installed)),
            remedy="Any that can run the plan and task goes on from there: name it with --adapter.",
        )
    first = of.loop == loop_of(load(of.adapter), plan, None)
    return Selection(of.adapter, None if first else of.loop).label


def left_behind(checkpoint: str, request: Request) -> str | None:
    """What the checkpoint has that only another framework could go on from; None if there is nothing."""
    state, _ = read_checkpoint(Path(checkpoint))
    drawn = {name.partition("/")[0] for name in state.native if name.partition("/")[2].startswith("random_")}
    if others := drawn - {selection.adapter for selection in request.selections}:
        whose, who = ", ".join(sorted(others)), ", ".join(selection.label for selection in request.selections)
        return f"the model draws random numbers of {whose}: from here on {who} draws its own, as after a new seed"
    return None


def require_resumable(request: Request) -> None:
    """That each loop of a request can be stopped and gone on with.

    Raises:
        UsageError: one cannot; it names those that can.
    """
    for selection in request.selections:
        adapter = load(selection.adapter)
        loop = loop_of(adapter, request.plan, selection.loop)
        if loop not in loops_that_can(selection.adapter):
            raise UsageError(
                f"adapter {selection.label!r} keeps no checkpoints",
                got=Verbatim(f"loop {loop}, whose state cannot be saved and taken up again between two of its steps"),
                expected=_able(request.plan, loop),
            )
        unkept = getattr(adapter, "unkept", None)
        runtime = replace(request.runtime, loop=loop)
        if unkept is not None and (why := unkept(request.plan, request.checked_task(), runtime)) is not None:
            what = f"adapter {selection.label!r} keeps no checkpoints of this run"
            raise UsageError(what, got=Verbatim(why), expected=_able(request.plan, loop))


def _able(plan: TrainingPlan, refused: str) -> str:
    """The loops that keep checkpoints of a run in as many processes as the plan's, without the one that is refused."""
    able = []
    for name in available():
        replicated = getattr(load(name), "replicated", {})
        loops = [one for one in loops_that_can(name) if plan.replicas == 1 or replicated.get(one) == "each"]
        able += [f"{name}:{one}" for one in loops if one != refused]
    return "one of " + ", ".join(able)


def loops_that_can(adapter: str) -> tuple[str, ...]:
    """The loops of that adapter that keep checkpoints."""
    loops: tuple[str, ...] = getattr(load(adapter), "resumable", ())
    return loops


def going_on(state: State, own: TrainingPlan, following: TrainingPlan, num_samples: int) -> State:
    """The state as a run of the plan ``following`` has it, the state's own but for its limits and number of replicas.

    Raises:
        UsageError: such a run would not stand there as this one does.
    """
    own = _dealt_as(own, following)
    if own.digest == following.digest:
        return state
    assert state.position is not None
    position = Position.from_dict(state.position)
    window, given = position.window, Verbatim(_limits(following))
    if position.course.stopped:
        raise UsageError("early stopping has ended the run", got=given, expected="no longer limit")
    made = {"epochs": position.walk.epoch, "steps": window.steps, "updates": window.updates}
    for name, limit in following.limits._asdict().items():
        if limit is not None and (made[name] > limit or (made[name] == limit and not position.over)):
            done = counted(made[name], name.removesuffix("s"))
            raise UsageError(f"the run has made {done} already", got=given, expected=f"more {name} than that")
    if not window.over:
        return state
    if not _reached(own, made):  # a pass that ended the run, as the plan says, whatever its limits
        raise UsageError("the run has ended with its pass, not at a limit", got=given, expected="no longer limit")
    # A run that ends updates with the window that is open, and validates; one that goes on does neither there.
    before, after = (plan.step(window.steps - 1, num_samples) for plan in (own, following))
    differs = before.update != after.update or list(before.sample_ids) != list(after.sample_ids)
    if differs or _validated_as_it_ended(own, position, num_samples):
        raise UsageError(
            "the run's last step, update or validation is not what one with a longer limit does there",
            got=given,
            expected="a checkpoint from before the end, as --stop-after or --checkpoint-every keeps it",
        )
    held = replace(position, window=replace(window, over=_reached(following, made)))
    return replace(state, position=held.to_dict())


def _validated_as_it_ended(plan: TrainingPlan, position: Position, num_samples: int) -> bool:
    """Whether the last validation was made only since the run ended."""
    every = plan.validation_every
    if every is None:
        return False
    before = expected(plan, num_samples, position.window.steps - 1).course.counted
    return position.course.counted // every == before // every


def _reached(plan: TrainingPlan, made: Mapping[str, int]) -> bool:
    return any(limit is not None and made[name] >= limit for name, limit in plan.limits._asdict().items())


def _with(plan: TrainingPlan, fields: Mapping[str, Any]) -> TrainingPlan:
    """The plan with the limits and the replicas that were given; another field must be as it is."""
    own = plan.to_dict()
    changed = {name: value for name, value in fields.items() if name in LIMITS or getattr(plan, name) != value}
    for name, value in changed.items():
        if name not in (*LIMITS, *DEALING):
            raise _contradicts(f"--{name.replace('_', '-')}", value, getattr(plan, name))
    if not changed:
        return plan
    left = {*(() if changed.keys().isdisjoint(LIMITS) else LIMITS), *(DEALING if changed.get("replicas") == 1 else ())}
    return TrainingPlan.from_mapping({name: value for name, value in own.items() if name not in left} | changed)


def _dealt_as(plan: TrainingPlan, other: TrainingPlan) -> TrainingPlan:
    """The plan with the replicas of the other.

    Raises:
        UsageError: its steps would be others then.
    """
    ours, theirs = ({n: v for n, v in one.to_dict().items() if n in DEALING} for one in (plan, other))
    if ours == theirs:
        return plan
    must = {"replica_remainder": "uneven", "replica_gradients": "rows"}
    for name, word in must.items():
        for dealing in (ours, theirs):
            if dealing.get(name, word) != word:
                raise UsageError(
                    "with another number of replicas, or dealt otherwise, the run would make other steps",
                    got=Verbatim(f"{name} {dealing[name]}"),
                    expected=f"{name} {word}, or the replicas that the checkpoint has",
                    remedy=_ANEW,
                )
    return TrainingPlan.from_mapping({n: v for n, v in plan.to_dict().items() if n not in DEALING} | theirs)


def _its_trace(trace: Path, of: Of, out: str | Path | None) -> Trace:
    """The run up to the checkpoint, which is where the trace that continues it looks for it.

    Raises:
        UsageError: the new trace is to be where it does not look for it.
        TraceError: it is not there, damaged, or another run's.
    """
    folder = Path(out or trace).resolve().parent
    if not trace.resolve().is_relative_to(folder):
        raise UsageError(
            "the trace that is continued is not beside the new one",
            got=str(out),
            expected=f"a name in {trace.resolve().parent}, as {trace.name} is there",
            remedy="Or move the checkpoint and its trace, both, to where the new one is to be.",
        )
    try:
        opened = Trace.open(trace)
    except NotATraceError as error:
        remedy = f"Put {printable(of.trace)} there, from the checkpoint's folder: it has the run up to the checkpoint."
        raise TraceError(error.what, got=str(trace), expected=error.expected, remedy=remedy) from None
    short = opened.num_rows < of.steps
    certificate, losses = (None, None) if short else stated_before(opened.source, of)
    if certificate != of.certificate:
        raise TraceError(
            f"{printable(trace)} is not the trace of the run that the checkpoint is of",
            got=Verbatim(f"{counted(opened.num_rows, 'step')}" if short else certificate),
            expected=f"{counted(of.steps, 'step')} with the certificate {of.certificate}",
        )
    if differing := _of_another_run(opened, of):
        raise TraceError(
            f"{printable(trace)} is of another run than the checkpoint, though it took the same samples",
            got=Verbatim(", ".join(f"{name} {shown(got)}" for name, (got, _) in differing.items())),
            expected=", ".join(f"{name} {shown(held)}" for name, (_, held) in differing.items()),
        )
    if losses != of.losses:
        raise TraceError(
            f"{printable(trace)} has other losses or learning rates than the checkpoint's run, of the same samples",
            got=Verbatim(f"the digest {losses}"),
            expected=of.losses,
        )
    return opened


def _of_another_run(trace: Trace, of: Of) -> dict[str, tuple[object, object]]:
    """What a trace states otherwise than the checkpoint that is taken to be of its run."""
    facts, rule = trace.facts, of.optimizer or {}
    stated: dict[str, tuple[object, object]] = {
        "precision": (facts.runtime.get("precision"), of.runtime.get("precision")),
        "data_fingerprint": (facts.data_fingerprint, of.data_fingerprint),
        "weights_fingerprint": (facts.weights_fingerprint, of.weights_fingerprint),
    }
    differing = {name: (got, held) for name, (got, held) in stated.items() if got not in (None, held)}
    names = {*facts.optimizer, *rule}  # both are empty where it is the task's own
    names &= names if facts.optimizer.get("rule") == rule.get("rule") else {"rule"}
    ours = {f"optimizer.{name}": (facts.optimizer.get(name), rule.get(name)) for name in sorted(names)}
    return differing | {name: (got, held) for name, (got, held) in ours.items() if got != held}


def _refuse_passed(wanted: Wanted, steps: int) -> None:
    if wanted.stop_after is not None and wanted.stop_after <= steps:
        expected = f"more than the {counted(steps, 'step')} that the run has made: --stop-after counts all of it"
        raise UsageError("--stop-after", got=wanted.stop_after, expected=expected)


def _contradicts(what: str, got: object, held: object) -> UsageError:
    expected = f"{held}, as the checkpoint has it, or nothing"
    remedy = f"A run that goes on can have another limit, number of replicas, adapter, device or threads. {_ANEW}"
    return UsageError(f"{what} contradicts the checkpoint", got=got, expected=expected, remedy=remedy)


def _limits(plan: TrainingPlan) -> str:
    return ", ".join(f"{name} {limit}" for name, limit in plan.limits._asdict().items() if limit is not None)


def begun_from(wanted: Wanted, plan: TrainingPlan, num_samples: int) -> tuple[State, Of, Path]:
    """In a worker: the state to go on from, of which run it is, and where that run's trace lies."""
    assert wanted.resume is not None
    file = Path(wanted.resume)
    state, of = read_checkpoint(file, wanted.vouched)
    return going_on(state, TrainingPlan.from_mapping(of.plan), plan, num_samples), of, file.parent / of.trace
