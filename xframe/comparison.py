"""The comparison: runs held against the plan and against each other, structure first, numbers after.

Checks, in order:

    steps        as many training steps
    boundaries   the same samples in each step, in the same order
    updates      the same number of updates applied after each step
    epochs       the same labels, where both loops give them
    lr, loss     the same numbers, step by step
    weights      the same final weights

Every run is held against the plan, if there is one, and every further run against the first. Numbers
are judged up to the structure's first difference and not beyond: after it the runs are different
runs. NaN and infinity are classified before anything is subtracted. What lacks evidence is "not
judged", and a run whose structure was not judged never passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from xxhash import xxh3_128_digest

from xframe import counting
from xframe.causes import Cause
from xframe.counting import Counts
from xframe.errors import UsageError, Verbatim, printable, unknown
from xframe.plan import TrainingPlan
from xframe.trace import Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

Result = Literal["pass", "fail", "not judged"]
CHECKS = ("steps", "boundaries", "updates", "epochs", "lr", "loss", "weights")
STRUCTURE = ("steps", "boundaries", "updates")
ORDERS = ("exact", "coverage")
PLAN = "plan"
ABOUT = ("task", "adapter", "loop", "started", "platform")  # what a report says of where a run comes from


@dataclass(frozen=True, slots=True)
class Tolerance:
    """|a - b| <= atol + rtol * max(|a|, |b|)."""

    rtol: float
    atol: float

    def __post_init__(self) -> None:
        if not (0 <= self.rtol < np.inf and 0 <= self.atol < np.inf):
            raise UsageError("a tolerance", got=Verbatim(self), expected="finite numbers from 0 up")

    def __str__(self) -> str:
        return f"rtol {self.rtol:g}, atol {self.atol:g}"


TOLERANCES = {"float32": Tolerance(1e-4, 1e-4), "float64": Tolerance(1e-9, 1e-10)}


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table.

    Attributes:
        name: one of ``CHECKS``.
        result: ``pass``, ``fail`` or ``not judged``.
        rule: what was asked, with its tolerance.
        values: what each run shows, by its name.
        first: index of the first step that fails.
        worst: largest difference between two runs, absolute; None where nothing was measured.
        worst_at: step or weight it was found at.
        undecided: there was something to judge, and it could not be, so that the whole does not pass.
        detail: one sentence, where there is something to say.
    """

    name: str
    result: Result
    rule: str
    values: Mapping[str, int | str | None] = field(default_factory=dict)
    first: int | None = None
    worst: float | None = None
    worst_at: int | str | None = None
    undecided: bool = False
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "result": self.result,
            "rule": self.rule,
            "values": dict(self.values),
            "first": self.first,
            "worst": self.worst if self.worst is None or np.isfinite(self.worst) else str(self.worst),
            "worst_at": self.worst_at,
            "undecided": self.undecided,
            "detail": self.detail,
        }


@dataclass(frozen=True, repr=False)
class Comparison:
    """The outcome; true only if it passed. ``str`` says where and why it did not."""

    checks: tuple[Check, ...]
    first_difference: dict[str, Any] | None
    runs: dict[str, Counts]
    certificates: dict[str, str]
    endings: dict[str, str]
    explanation: tuple[str, ...] = ()
    plan: TrainingPlan | None = None
    num_samples: int | None = None
    order: str = "exact"
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    runtimes: dict[str, dict[str, Any]] = field(default_factory=dict)
    about: dict[str, dict[str, str]] = field(default_factory=dict)
    folder: Path | None = None
    seconds: float | None = None
    causes: tuple[Cause, ...] = ()

    def check(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    @property
    def structure(self) -> str:
        """``identical``, ``different`` or ``not judged``."""
        results = {self.check(name).result for name in STRUCTURE}
        if "fail" in results:
            return "different"
        return "identical" if results == {"pass"} else "not judged"

    @property
    def numbers(self) -> str:
        """``identical``, ``within tolerance``, ``different`` or ``not judged``."""
        judged = [check for check in self.checks if check.name in ("loss", "weights") and check.result != "not judged"]
        if any(check.result == "fail" for check in (*judged, self.check("lr"))):
            return "different"
        if not judged or self.structure != "identical":
            return "not judged"
        return "identical" if all(not check.worst for check in judged) else "within tolerance"

    @property
    def verdict(self) -> str:
        """``passed``, ``failed`` or ``inconclusive``."""
        if any(check.result == "fail" for check in self.checks):
            return "failed"
        cut = any(check.undecided for check in self.checks)
        whole = all(ending == "complete" for ending in self.endings.values())
        return "passed" if whole and not cut and self.structure == "identical" else "inconclusive"

    @property
    def exit_code(self) -> int:
        return {"passed": 0, "failed": 1, "inconclusive": 4}[self.verdict]

    def __bool__(self) -> bool:
        return self.verdict == "passed"

    def __repr__(self) -> str:
        return str(self)  # what ``assert comparison, comparison`` shows under pytest

    def __str__(self) -> str:
        judged = sum(check.result != "not judged" for check in self.checks)
        lines = [f"{self.verdict}: {' vs '.join(self.runs)}, {judged} of {len(self.checks)} checks judged"]
        lines += [f"  {check.name}: {check.detail}" for check in self.checks if check.result == "fail"]
        lines += [f"  {text}" for text in self.explanation]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; its keys are a contract."""
        return {
            "verdict": self.verdict,
            "structure": self.structure,
            "numbers": self.numbers,
            "checks": [check.to_dict() for check in self.checks],
            "first_difference": self.first_difference,
            "explanation": list(self.explanation),
            "runs": {name: counts.to_dict() for name, counts in self.runs.items()},
            "causes": [cause.to_dict() for cause in self.causes],
            "certificates": self.certificates,
            "endings": self.endings,
            "order": self.order,
            "plan": None if self.plan is None else self.plan.to_dict(),
            "num_samples": self.num_samples,
            "versions": self.versions,
            "runtimes": self.runtimes,
            "about": self.about,
            "run": None if self.folder is None else str(self.folder),
        }


@dataclass(frozen=True, eq=False)
class _Side:
    """One side of a pair: the plan's or a run's rows as columns; ``*_known`` says where they have values."""

    name: str
    length: int
    sizes: NDArray[np.int64]
    digests: NDArray[np.void]
    updates: NDArray[np.int64]
    epochs: NDArray[np.int64]
    steps_in_epoch: NDArray[np.int64]
    padding: NDArray[np.int64]
    digests_known: bool
    updates_known: bool
    epochs_known: bool
    steps_in_epoch_known: bool
    padding_known: bool
    trace: Trace | None
    plan: TrainingPlan | None = None
    num_samples: int = 0

    def __len__(self) -> int:
        return self.length

    def ids(self, row: int) -> NDArray[np.int64] | None:
        if self.trace is not None:
            return self.trace.ids(row) if self.trace.has_ids else None
        assert self.plan is not None
        return counting.step(self.plan, row, self.num_samples).sample_ids

    def drawn(self, row: int) -> NDArray[np.int64] | None:
        """The sample ids of that row without its padding."""
        ids = self.ids(row)
        if ids is None:
            return None
        if self.trace is None:
            assert self.plan is not None
            padding = counting.step(self.plan, row, self.num_samples).padding
        else:
            padding = max(int(self.trace.column("padding")[row]), 0)
        return ids[: len(ids) - padding]

    def _digest(self, index: int) -> str | None:
        if not self.digests_known:
            return None
        if self.plan is not None:
            step = counting.step(self.plan, index, self.num_samples)
            return xxh3_128_digest(step.sample_ids.astype("<i8", copy=False).tobytes()).hex()
        return str(self.digests[index].tobytes().hex())

    def row(self, index: int) -> dict[str, Any] | None:
        """That step as a report shows it."""
        if not 0 <= index < len(self.sizes):
            return None
        shown: dict[str, Any] = {
            "batch_size": int(self.sizes[index]),
            "updates": int(self.updates[index]) if self.updates_known else None,
            "epoch": int(self.epochs[index]) if self.epochs_known else None,
            "step_in_epoch": int(self.steps_in_epoch[index]) if self.steps_in_epoch_known else None,
            "ids_digest": self._digest(index),
        }
        if self.trace is not None:
            for name in ("lr", "loss"):
                value = float(self.trace.column(name)[index])
                shown[name] = value if np.isfinite(value) else str(value) if self.trace.known(name)[index] else None
        return shown


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What one pair says of one check."""

    result: Result
    first: int | None = None
    detail: str = ""
    worst: float | None = None
    worst_at: int | str | None = None
    sides: tuple[_Side, _Side] | None = None
    undecided: bool = False


def compare(
    *runs: Trace | str | Path,
    order: str = "exact",
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    audits: Mapping[str, Sequence[str]] | None = None,
) -> Comparison:
    """Holds runs against the plan and against the first of them.

    Args:
        runs: the reference, then the candidates, as traces or their files. One alone is held against the plan only.
        order: ``exact``, or ``coverage`` for scripts that shuffled on their own: equal sizes and updates,
            the same samples in each pass, no number judged.
        plan: default: the one recorded in all traces, if it is the same.
        num_samples: size of the data set; default: as recorded.
        rtol, atol: of loss and weights; default by the runs' precision, see ``TOLERANCES``.
        audits: by run, what its task's audit found to contradict the trace.

    Raises:
        UsageError: nothing to compare with.
    """
    if order not in ORDERS:
        raise unknown("order", order, ORDERS)
    traces = [run if isinstance(run, Trace) else Trace.open(run) for run in runs]
    if not traces:
        raise UsageError("nothing to compare with", got=0, expected="two traces, or one with its plan")
    notes: list[str] = []
    if plan is None:
        plan = _common_plan(traces, notes)
    if num_samples is None:
        sizes = {trace.metadata.get("num_samples") for trace in traces}
        found = sizes.pop() if len(sizes) == 1 else None
        num_samples = found if isinstance(found, int) else None
    if plan is not None and num_samples is None:
        notes.append(
            "no run is held against the plan: the size of the data set is not known, or not the same in all runs"
        )
    if len(traces) == 1 and (plan is None or num_samples is None):
        raise UsageError("nothing to compare with", got=len(traces), expected="two traces, or one with its plan")
    names = _names(traces)
    sides = [_run_side(name, trace) for name, trace in zip(names, traces, strict=True)]
    expected = _plan_side(plan, num_samples, sides) if plan is not None and num_samples is not None else None
    pairs = [(side, expected) for side in sides] if expected is not None else []
    across = [(side, sides[0]) for side in sides[1:]]
    within = tolerance(_precision(traces), rtol, atol)
    coverage = order == "coverage"
    _weights_note(names, traces, notes)

    judged: dict[str, list[_Judgement]] = {name: [] for name in CHECKS}
    for candidate, reference in [*pairs, *across]:
        judged["steps"].append(_steps(candidate, reference))
        judged["boundaries"].append((_coverage if coverage else _boundaries)(candidate, reference))
        judged["updates"].append(_updates(candidate, reference))
        judged["epochs"].append(_epochs(candidate, reference))
    for candidate, reference in across:
        same = [judge(candidate, reference) for judge in (_steps, _boundaries, _updates)]
        parts = [j.first for j in same if j.first is not None]
        until = min(parts, default=min(len(candidate), len(reference)))
        if coverage:
            numbers = [_Judgement("not judged", detail="the orders differ" if parts else "")] * 3
        else:
            numbers = [
                _learning_rates(candidate, reference, until),
                _losses(candidate, reference, until, within),
                _weights(candidate, reference, None if parts else within),
            ]
        for name, judgement in zip(("lr", "loss", "weights"), numbers, strict=True):
            judged[name].append(judgement)
        if coverage:
            for side in (candidate, reference):
                losses = side.trace.column("loss")[side.trace.known("loss")] if side.trace is not None else np.zeros(0)
                if not np.isfinite(losses).all():
                    at = int(np.argmin(np.isfinite(losses)))
                    notes.append(f"{side.name}: the loss is {losses[at]} at step {at}")
        if coverage and parts:
            notes.append(f"{candidate.name} and {reference.name} drew the samples in different orders")
    for name, problems in (audits or {}).items():
        judged["weights"] += [_Judgement("fail", detail=f"{name}: {text}") for text in problems] or [_Judgement("pass")]

    against = "== plan" if expected is not None else "== " + names[0]
    how = "per pass" if coverage else "per step"
    rules = {
        "steps": against,
        "boundaries": f"{against}, {how}",
        "updates": f"{against}, per step",
        "epochs": f"{against}, labels",
        "lr": "equal in " + _precision(traces),
        "loss": str(within),
        "weights": str(within) + (", == ledger" if audits else ""),
    }
    checks = tuple(_merge(name, rules[name], judged[name], sides) for name in CHECKS)
    return Comparison(
        checks=checks,
        first_difference=_first_difference(checks, judged, sides, expected),
        runs={name: trace.counts() for name, trace in zip(names, traces, strict=True)},
        certificates={name: trace.certificate for name, trace in zip(names, traces, strict=True)},
        endings={name: trace.ending for name, trace in zip(names, traces, strict=True)},
        explanation=tuple(dict.fromkeys(notes)),
        plan=plan,
        num_samples=num_samples,
        order=order,
        versions={name: _facts(trace, "versions") for name, trace in zip(names, traces, strict=True)},
        runtimes={name: _facts(trace, "runtime") for name, trace in zip(names, traces, strict=True)},
        about={
            name: {key: str(trace.metadata[key]) for key in ABOUT if key in trace.metadata}
            for name, trace in zip(names, traces, strict=True)
        },
    )


def _names(traces: Sequence[Trace]) -> list[str]:
    """Labels if they tell the runs apart, else file names, else as much of the paths as does."""
    parts = [trace.path.resolve().with_suffix("").parts for trace in traces]
    tails = ["/".join(part[-length:]) for length in range(1, max(map(len, parts)) + 1) for part in parts]
    choices = [[trace.name for trace in traces]]
    choices += [tails[i : i + len(traces)] for i in range(0, len(tails), len(traces))]
    for given in choices:
        names = [printable(name) for name in given]
        if len(set(names)) == len(names) and PLAN not in names:
            return names
    return [printable(f"{i}: {trace.path}") for i, trace in enumerate(traces)]


def _common_plan(traces: Sequence[Trace], notes: list[str]) -> TrainingPlan | None:
    plans = [TrainingPlan.from_mapping(trace.metadata["plan"]) for trace in traces if trace.metadata.get("plan")]
    if len(plans) < len(traces):
        return None
    if len({plan.digest for plan in plans}) > 1:
        notes.append("the runs were recorded under different plans, so neither is held against one")
        return None
    return plans[0]


def _weights_note(names: Sequence[str], traces: Sequence[Trace], notes: list[str]) -> None:
    if len({trace.metadata.get("weights_fingerprint") for trace in traces} - {None}) > 1:
        notes.append(f"{' and '.join(names)} did not start from the same weights")


def _facts(trace: Trace, key: str) -> dict[str, Any]:
    """A table of the trace's metadata; whatever else stands there is not believed."""
    found = trace.metadata.get(key)
    return dict(found) if isinstance(found, dict) else {}


def _precision(traces: Sequence[Trace]) -> str:
    found = {str(_facts(trace, "runtime").get("precision", "float32")) for trace in traces}
    return "float64" if found == {"float64"} else "float32"


def tolerance(precision: str, rtol: float | None, atol: float | None) -> Tolerance:
    """The tolerance of that precision, with what is given replaced."""
    default = TOLERANCES[precision]
    return Tolerance(default.rtol if rtol is None else rtol, default.atol if atol is None else atol)


def _run_side(name: str, trace: Trace) -> _Side:
    return _Side(
        name=name,
        length=trace.num_rows,
        sizes=trace.column("batch_size"),
        digests=trace.column("ids_digest"),
        updates=trace.column("updates"),
        epochs=trace.column("epoch"),
        steps_in_epoch=trace.column("step_in_epoch"),
        padding=trace.column("padding"),
        digests_known=bool(trace.known("ids_digest").all()),
        updates_known=bool(trace.known("updates").all()),
        epochs_known=bool(trace.known("epoch").all()),
        steps_in_epoch_known=bool(trace.known("step_in_epoch").all()),
        padding_known=bool(trace.known("padding").all()),
        trace=trace,
    )


def _plan_side(plan: TrainingPlan, num_samples: int, runs: Sequence[_Side]) -> _Side:
    """The plan's rows, as far as the runs reach and one more; their digests while some run has their sizes."""
    total = counting.num_steps(plan, num_samples)
    shown = min(total, max((len(run) for run in runs), default=0) + 1)
    part = counting.rows(plan, num_samples, 0, shown)
    firsts = [_first_unequal(run.sizes, part.batch_size) for run in runs]
    until = max((min(len(run), shown) if first is None else first for run, first in zip(runs, firsts, strict=True)))
    digests = np.zeros(shown, dtype="V16")
    block = max(1, (1 << 20) // plan.batch_size)
    for start in range(0, until, block):
        rows = counting.rows(plan, num_samples, start, min(start + block, until))
        data, end = memoryview(counting.sample_ids(plan, num_samples, rows).astype("<i8", copy=False).tobytes()), 0
        for i, size in enumerate(rows.batch_size.tolist(), start):
            begin, end = end, end + 8 * size
            digests[i] = np.void(xxh3_128_digest(data[begin:end]))
    return _Side(
        name=PLAN,
        length=total,
        sizes=part.batch_size,
        digests=digests,
        updates=part.updates,
        epochs=part.epoch,
        steps_in_epoch=part.step_in_epoch,
        padding=part.padding,
        digests_known=True,
        updates_known=True,
        epochs_known=True,
        steps_in_epoch_known=True,
        padding_known=True,
        trace=None,
        plan=plan,
        num_samples=num_samples,
    )


def _first_unequal(a: NDArray[Any], b: NDArray[Any]) -> int | None:
    shared = min(len(a), len(b))
    unequal = a[:shared] != b[:shared]
    return int(np.argmax(unequal)) if unequal.any() else None


def _says(side: _Side) -> str:
    return "the plan says" if side.trace is None else f"{side.name} has"


def _steps(candidate: _Side, reference: _Side) -> _Judgement:
    shared = min(len(candidate), len(reference))
    if len(candidate) == len(reference):
        # Nothing recorded on both sides is nothing compared.
        return _Judgement("pass" if shared else "not judged")
    for side in (candidate, reference):
        if side.trace is not None and not side.trace.complete and len(side) == shared:
            return _Judgement(
                "not judged", detail=f"{side.name} is {printable(side.trace.ending)} after {shared:,} steps"
            )
    detail = f"{candidate.name} made {len(candidate):,} steps, {_says(reference)} {len(reference):,}"
    return _Judgement("fail", shared, detail, sides=(candidate, reference))


def _boundaries(candidate: _Side, reference: _Side) -> _Judgement:
    known = candidate.digests_known and reference.digests_known
    if candidate.trace is not None and reference.trace is not None:
        data = {side.trace.metadata.get("data_fingerprint") for side in (candidate, reference) if side.trace}
        if len(data - {None}) > 1:
            detail = f"{candidate.name} and {reference.name} hold different data: the same ids are other samples"
            return _Judgement("fail", 0, detail, sides=(candidate, reference))
    by_size = _first_unequal(candidate.sizes, reference.sizes)
    by_ids = _first_unequal(candidate.digests, reference.digests) if known else None
    firsts = [first for first in (by_size, by_ids) if first is not None]
    if firsts:
        first = min(firsts)
        return _Judgement("fail", first, _batch_detail(candidate, reference, first), sides=(candidate, reference))
    if not known:
        return _Judgement("not judged", detail="sizes agree; without sample ids the members are unknown")
    return _agree(candidate, reference)


def _agree(candidate: _Side, reference: _Side) -> _Judgement:
    """What passes on the steps that both made; nothing compared is nothing judged."""
    shared = min(len(candidate), len(reference))
    detail = "" if len(candidate) == len(reference) else f"equal over the first {shared:,} steps, which both made"
    return _Judgement("pass" if shared else "not judged", detail=detail)


def _batch_detail(candidate: _Side, reference: _Side, step: int) -> str:
    mine, theirs = candidate.ids(step), reference.ids(step)
    sizes = int(candidate.sizes[step]), int(reference.sizes[step])
    text = f"step {step}: "
    if sizes[0] != sizes[1]:
        return text + f"{candidate.name} trained on {sizes[0]:,} samples, {_says(reference)} {sizes[1]:,}"
    if mine is None or theirs is None:
        return text + f"{candidate.name} trained on other samples than {reference.name}, or in another order"
    if np.array_equal(np.sort(mine), np.sort(theirs)):
        where = np.flatnonzero(mine != theirs)
        return text + (
            f"the same {sizes[0]:,} samples in another order inside the batch, {where.size} places differ, "
            f"first place {where[0]}: {candidate.name} {mine[where[0]]}, {reference.name} {theirs[where[0]]}"
        )
    extra, missing = _multiset_difference(mine, theirs), _multiset_difference(theirs, mine)
    return text + (
        f"{len(extra):,} of {sizes[0]:,} samples are others: {candidate.name} has {_few(extra)} "
        f"where {_says(reference)} {_few(missing)}"
    )


def _multiset_difference(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    values, inverse = np.unique(np.concatenate([a, b]), return_inverse=True)
    counts = np.bincount(inverse[: len(a)], minlength=len(values)) - np.bincount(
        inverse[len(a) :], minlength=len(values)
    )
    return np.repeat(values, np.maximum(counts, 0))


def _few(values: NDArray[np.int64], limit: int = 5) -> str:
    return ", ".join(map(str, values[:limit].tolist())) + (", …" if len(values) > limit else "")


def _updates(candidate: _Side, reference: _Side) -> _Judgement:
    if not (candidate.updates_known and reference.updates_known):
        side = candidate if not candidate.updates_known else reference
        return _Judgement("not judged", detail=f"{side.name} recorded no evidence of updates")
    first = _first_unequal(candidate.updates, reference.updates)
    if first is None:
        return _agree(candidate, reference)
    detail = (
        f"step {first}: {candidate.name} had applied {candidate.updates[first]:,} updates, "
        f"{_says(reference)} {reference.updates[first]:,}"
    )
    return _Judgement("fail", first, detail, sides=(candidate, reference))


def _epochs(candidate: _Side, reference: _Side) -> _Judgement:
    if not (candidate.epochs_known and reference.epochs_known and min(len(candidate), len(reference))):
        return _Judgement("not judged", detail="a run labels no epochs")
    labels = {"epoch": (candidate.epochs, reference.epochs)}
    if candidate.steps_in_epoch_known and reference.steps_in_epoch_known:
        labels["step in epoch"] = (candidate.steps_in_epoch, reference.steps_in_epoch)
    if candidate.padding_known and reference.padding_known:
        labels["padding"] = (candidate.padding, reference.padding)
    found = [(first, name) for name, pair in labels.items() if (first := _first_unequal(*pair)) is not None]
    if not found:
        return _agree(candidate, reference)
    first, name = min(found, key=lambda one: one[0])
    mine, theirs = (int(column[first]) for column in labels[name])
    if name == "padding":
        detail = f"step {first}: {candidate.name} calls {mine} of its rows padding, {_says(reference)} {theirs}"
    else:
        detail = f"step {first}: {candidate.name} calls it {name} {mine}, {_says(reference)} {theirs}"
    return _Judgement("fail", first, detail, sides=(candidate, reference))


def _coverage(candidate: _Side, reference: _Side) -> _Judgement:
    """Equal sizes per step, and the same samples in each pass, in whatever order."""
    both = (candidate, reference)
    first = _first_unequal(candidate.sizes, reference.sizes)
    if first is not None:
        return _Judgement("fail", first, _batch_detail(candidate, reference, first), sides=both)
    shared = min(len(candidate), len(reference))
    if not shared:
        return _Judgement("not judged")
    rows: list[list[NDArray[np.int64]]] = []
    for side in both:
        found = [side.drawn(i) for i in range(shared)]
        if any(ids is None for ids in found):
            return _Judgement("not judged", detail=f"{side.name} lists no sample ids")
        rows.append([ids for ids in found if ids is not None])
    totals = {side.num_samples or (side.trace and side.trace.metadata.get("num_samples")) for side in both}
    total = next(iter(totals)) if len(totals) == 1 else None
    starts = _passes(both, rows, total, shared)
    if starts is None:
        extra = _multiset_difference(np.concatenate(rows[0]), np.concatenate(rows[1]))
        return _Judgement(
            "not judged",
            detail="where a pass ends cannot be told"
            + (", and over the whole run the samples differ" if len(extra) else "")
            + "; give epoch= to rec.step and num_samples= to xframe.record in both scripts",
        )
    cut = any(side.trace is not None and not side.trace.complete and len(side) == shared for side in both)
    left_out = False
    for begin, end in zip(starts, [*starts[1:], shared], strict=True):
        members = [np.concatenate(part[begin:end]) for part in rows]
        extra, missing = _multiset_difference(*members), _multiset_difference(members[1], members[0])
        if not len(extra):
            continue
        if cut and end == shared:
            return _Judgement("not judged", detail="the last pass was cut short")
        unrepeated = all(len(np.unique(part)) == len(part) for part in members)
        if unrepeated and isinstance(total, int) and len(members[0]) < total:
            left_out = True  # each pass walked through a part of the data only: no more can be asked
            continue
        if unrepeated and total is None and len(set(candidate.sizes[begin:end].tolist())) == 1:
            detail = (
                "no pass has a short last batch: if both scripts drop it, give num_samples= to xframe.record in both"
            )
            return _Judgement("not judged", detail=detail)
        detail = (
            f"steps {begin} to {end - 1}: {len(extra):,} samples are others: {candidate.name} has {_few(extra)} "
            f"where {_says(reference)} {_few(missing)}"
        )
        return _Judgement("fail", begin, detail, sides=both)
    if left_out:
        return _Judgement("pass", detail="a pass left some samples out, not the same ones")
    return _agree(candidate, reference)


def _passes(
    sides: tuple[_Side, _Side], rows: Sequence[Sequence[NDArray[np.int64]]], total: object, shared: int
) -> list[int] | None:
    """The first step of each pass: by the plan if its epochs are no passes, else by the loops' labels, else where all
    samples have been through; or None."""
    plans = [plan for side in sides if (plan := side.plan or (side.trace.plan if side.trace else None)) is not None]
    if plans and (plans[0].steps_per_epoch is not None or plans[0].remainder == "carry"):
        if plans[0].remainder == "carry" or not isinstance(total, int):
            return None
        begun = counting.rows(plans[0], total, 0, shared).pass_index
        return [int(i) for i in np.flatnonzero(np.diff(begun, prepend=-1))]
    size = total if isinstance(total, int) and total > 0 else len(np.unique(np.concatenate([*rows[0], *rows[1]])))
    for side in sides:
        if side.epochs_known:
            starts = np.flatnonzero(np.diff(side.epochs[:shared], prepend=-1))
            walked = np.add.reduceat(side.sizes[:shared] - side.padding[:shared].clip(min=0), starts)
            if (walked <= size).all() and (walked[:-1] == walked[0]).all():
                return [int(i) for i in starts]  # else epochs are no passes
    seen = np.cumsum(sides[0].sizes[:shared])
    ends = np.flatnonzero(seen % size == 0) + 1
    if len(ends) != seen[-1] // size:  # a pass ends inside a batch, or leaves samples out
        return None
    return [0, *(int(end) for end in ends if end < shared)]


def _learning_rates(candidate: _Side, reference: _Side, until: int) -> _Judgement:
    assert candidate.trace is not None
    assert reference.trace is not None
    kind = np.dtype(_precision([candidate.trace, reference.trace]))
    with np.errstate(over="ignore"):
        columns = [side.trace.column("lr")[:until].astype(kind) for side in (candidate, reference) if side.trace]
    known = all(side.trace.known("lr")[:until].all() for side in (candidate, reference) if side.trace)
    if not known or not until:
        return _Judgement("not judged", detail="" if until else "no step to judge")
    nowhere = np.isnan(columns[0]) & np.isnan(columns[1])
    first = _first_unequal(*(np.where(nowhere, 0, column) for column in columns))
    finite = np.isfinite(columns[0]) & np.isfinite(columns[1])
    both = [np.where(finite, column, 0).astype(np.float64) for column in columns]
    worst, worst_at = _worst(np.abs(both[0] - both[1]))
    if first is None:
        return _Judgement("pass", detail=_before(candidate, reference, until), worst=worst, worst_at=worst_at)
    detail = f"step {first}: {candidate.name} {columns[0][first]:.9g}, {reference.name} {columns[1][first]:.9g}"
    return _Judgement("fail", first, detail, worst, worst_at, (candidate, reference))


def _kinds(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """0 finite, 1 NaN, 2 +inf, 3 -inf."""
    return np.where(np.isnan(values), 1, np.where(np.isposinf(values), 2, np.where(np.isneginf(values), 3, 0)))


def _worst(differences: NDArray[np.float64]) -> tuple[float, int]:
    at = int(np.argmax(differences))
    return float(differences[at]), at


def _losses(candidate: _Side, reference: _Side, until: int, tolerance: Tolerance) -> _Judgement:
    assert candidate.trace is not None
    assert reference.trace is not None
    mine, theirs = candidate.trace.column("loss")[:until], reference.trace.column("loss")[:until]
    known = candidate.trace.known("loss")[:until].all() and reference.trace.known("loss")[:until].all()
    if not known or not until:
        return _Judgement("not judged", detail="a run recorded no loss" if until else "no step to judge")
    kinds = _kinds(mine), _kinds(theirs)
    apart = _first_unequal(*kinds)
    odd = np.flatnonzero(kinds[0])
    finite = int(odd[0]) if odd.size else until  # both finite before this step
    finite = min(finite, until if apart is None else apart)
    a, b = mine[:finite], theirs[:finite]
    with np.errstate(over="ignore"):  # beyond the largest float is beyond every tolerance
        differences = np.abs(a - b)
        allowed = tolerance.atol + tolerance.rtol * np.maximum(np.abs(a), np.abs(b))
    beyond = np.flatnonzero(differences > allowed)
    worst, worst_at = _worst(differences) if finite else (None, None)
    both = (candidate, reference)
    if beyond.size:
        first = int(beyond[0])
        detail = (
            f"step {first}: {candidate.name} {a[first]:.9g}, {reference.name} {b[first]:.9g}, "
            f"apart by {differences[first]:.3g} where {allowed[first]:.3g} is allowed"
        )
        return _Judgement("fail", first, detail, worst, worst_at, both)
    if apart is not None and apart == finite:
        detail = f"step {apart}: {candidate.name} {mine[apart]}, {reference.name} {theirs[apart]}"
        return _Judgement("fail", apart, detail, worst, worst_at, both)
    if finite < until:
        detail = f"both runs' losses are {mine[finite]} from step {finite} on"
        return _Judgement("not judged", detail=detail, worst=worst, worst_at=worst_at, undecided=True)
    return _Judgement("pass", detail=_before(candidate, reference, until), worst=worst, worst_at=worst_at)


def _before(candidate: _Side, reference: _Side, until: int) -> str:
    """What to add where numbers were judged up to the structure's first difference only."""
    return "" if until == len(candidate) == len(reference) else f"before step {until}, not judged from there on"


def _weights(candidate: _Side, reference: _Side, tolerance: Tolerance | None) -> _Judgement:
    assert candidate.trace is not None
    assert reference.trace is not None
    if tolerance is None:
        return _Judgement("not judged", detail="the runs part before their end")
    told = candidate.trace.end.get("weights"), reference.trace.end.get("weights")
    if not told[0] or not told[1]:
        return _Judgement("not judged", detail="a run recorded no final weights")
    mine, theirs = candidate.trace.weights(), reference.trace.weights()
    if mine is None or theirs is None:
        if told[0] == told[1]:
            return _Judgement("pass", worst=0.0)
        detail = "the weights differ, and their files are not beside the traces"
        return _Judgement("not judged", detail=detail, undecided=True)
    if set(mine) != set(theirs) or any(mine[name].shape != theirs[name].shape for name in mine):
        shapes = [{name: values.shape for name, values in weights.items()} for weights in (mine, theirs)]
        return _Judgement("fail", detail=f"{candidate.name} has {shapes[0]}, {reference.name} {shapes[1]}")
    worst, worst_at, problem = 0.0, "", ""
    for name in sorted(mine):
        a, b = mine[name].astype(np.float64).ravel(), theirs[name].astype(np.float64).ravel()
        kinds = _kinds(a), _kinds(b)
        if not np.array_equal(*kinds):
            problem = problem or f"{name}: not finite in the same places"
            continue
        if kinds[0].any():
            return _Judgement("not judged", detail=f"{name} is not finite in both runs", undecided=True)
        if not a.size:
            continue
        with np.errstate(over="ignore"):
            differences = np.abs(a - b)
        scale = max(float(np.abs(a).max()), float(np.abs(b).max()))
        at_most = tolerance.atol + tolerance.rtol * scale
        largest, _ = _worst(differences)
        if largest > worst or not worst_at:
            worst, worst_at = largest, name
        if largest > at_most and not problem:
            problem = f"{name}: apart by up to {largest:.3g} where {at_most:.3g} is allowed"
    return _Judgement("fail" if problem else "pass", detail=problem, worst=worst, worst_at=worst_at or None)


def _merge(name: str, rule: str, judgements: list[_Judgement], sides: Sequence[_Side]) -> Check:
    """The pairs' judgements as one row: any failure fails it, anything not judged leaves it not judged."""
    failed = [j for j in judgements if j.result == "fail"]
    unjudged = [j for j in judgements if j.result == "not judged"]
    result: Result = "fail" if failed else "not judged" if unjudged or not judgements else "pass"
    firsts = [j.first for j in failed if j.first is not None]
    chosen = failed or unjudged or judgements
    measured = [j for j in judgements if j.worst is not None]
    largest = max(measured, key=lambda j: j.worst or 0.0, default=None)
    values: dict[str, int | str | None] = {}
    if name in ("steps", "boundaries"):
        values = {side.name: len(side) for side in sides}
    elif name == "updates":
        values = {s.name: int(s.updates[-1]) if s.updates_known and len(s) else None for s in sides}
    elif name == "epochs":
        values = {s.name: int(s.epochs[-1]) + 1 if s.epochs_known and len(s) else None for s in sides}
    return Check(
        name=name,
        result=result,
        rule=rule,
        values=values,
        first=min(firsts, default=None),
        worst=largest.worst if largest else None,
        worst_at=largest.worst_at if largest else None,
        undecided=any(j.undecided for j in judgements),
        detail="; ".join(dict.fromkeys(j.detail for j in chosen if j.detail)),
    )


def _first_difference(
    checks: Sequence[Check], judged: Mapping[str, Sequence[_Judgement]], sides: Sequence[_Side], expected: _Side | None
) -> dict[str, Any] | None:
    """The earliest failing step; at one step, the earliest check."""
    failing = [check for check in checks if check.result == "fail" and check.first is not None]
    if not failing:
        return None
    check = min(failing, key=lambda c: (c.first, CHECKS.index(c.name)))
    assert check.first is not None
    found = next(j for j in judged[check.name] if j.result == "fail" and j.first == check.first)
    assert found.sides is not None
    candidate = found.sides[0]
    if candidate is sides[0] and len(sides) > 1:
        candidate = sides[1]  # the reference itself left the plan; show what the other did there
    return {
        "step": check.first,
        "check": check.name,
        "reference": sides[0].row(check.first),
        "candidate": candidate.row(check.first) if candidate is not sides[0] else None,
        "expected": None if expected is None else expected.row(check.first),
        "names": {"reference": sides[0].name, "candidate": candidate.name if candidate is not sides[0] else None},
        "detail": found.detail,
    }
