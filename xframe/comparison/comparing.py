"""The comparison: runs held against the plan and against each other, structure first, numbers after.

Checks, in order:

    steps        as many training steps
    boundaries   the same samples in each step, in the same order
    updates      the same number of updates applied after each step
    epochs       the same labels, where both loops give them
    lr, loss     the same numbers, step by step
    weights      the same final weights

and, where the plan asks for it or a run has it,

    validation   after the same steps, over the same samples, with the same outcome

An accuracy recorded beside the loss is judged with it.

Every run is held against the plan, if there is one, and every further run against the first. Numbers
are judged up to the structure's first difference and not beyond: after it the runs are different
runs. NaN and infinity are classified before anything is subtracted. What lacks evidence is "not
judged", and a run whose structure was not judged never passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from xxhash import xxh3_128_digest

from xframe.comparison.result import TOLERANCES, CheckResult, Comparison, Group, Result, Tolerance
from xframe.errors import UsageError, printable, unknown
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan
from xframe.plan.validation import closest, decidable, due, stopped_after
from xframe.precision import storage
from xframe.trace.schema import COLUMNS, Column
from xframe.trace.trace import WINDOW, Trace, Validation, open_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_IDS = 1 << 22  # of a plan that are in memory at once
CHECKS = ("steps", "boundaries", "updates", "epochs", "lr", "loss", "weights")
FURTHER = ("validation",)  # where there is something to judge
STRUCTURE = ("steps", "boundaries", "updates")
_GROUPS: dict[str, Group] = {
    **dict.fromkeys(("steps", "boundaries", "updates"), "structure"),
    "epochs": "labels",
    **dict.fromkeys(("lr", "loss", "weights", "validation"), "numbers"),
}
ORDERS = ("exact", "coverage")
PLAN = "plan"
ABOUT = ("task", "adapter", "loop", "started", "platform")  # what a report says of where a run comes from


@dataclass(frozen=True, eq=False)
class _Side:
    """One side of a pair: the plan's or a run's rows, read in windows.

    Attributes:
        known: the columns that have a value in every row.
    """

    name: str
    length: int
    known: frozenset[str]
    trace: Trace | None = None
    plan: TrainingPlan | None = None
    num_samples: int = 0
    rate: Callable[[int], float] | None = None
    _held: dict[str, tuple[int, int, NDArray[Any]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.length

    def between(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows ``start`` to ``stop`` (excluded) of a column, as ``Trace.between`` gives them."""
        if self.trace is not None:
            return self.trace.between(name, start, stop).values
        held = self._held.get(name)
        if held is None or held[:2] != (start, stop):  # every run asks for the same window
            assert self.plan is not None
            found: NDArray[Any]
            if name == "ids_digest":
                found = _planned_digests(self.plan, self.num_samples, start, stop)
            elif name == "lr":
                found = self._rates(start, stop)
            else:
                rows = counting.rows(self.plan, self.num_samples, start, stop)
                for other, field_name in _PLANNED.items():
                    self._held[other] = start, stop, getattr(rows, field_name)
                found = self._held[name][2]
            self._held[name] = held = start, stop, found
        return held[2]

    def _rates(self, start: int, stop: int) -> NDArray[np.float64]:
        """The learning rates of the plan's steps, by the task's schedule."""
        assert self.plan is not None
        assert self.rate is not None
        clock = self.plan.schedule_clock
        if clock == "steps":
            ticks = np.arange(start, stop)
        elif clock == "epochs":
            ticks = self.between("epoch", start, stop)
        else:  # updates before the step
            first = self.value("updates", start - 1) if start else 0
            ticks = np.concatenate([[first], self.between("updates", start, stop)[:-1]])
        values, where = np.unique(ticks, return_inverse=True)
        return np.array([self.rate(int(tick)) for tick in values])[where]

    @property
    def skips(self) -> bool:
        """Whether its updates may be skipped, since the loss is scaled: then the tries are held against the plan."""
        if self.trace is None or "update_attempts" not in self.known:
            return False
        return _facts(self.trace, "runtime").get("precision") == "mixed_float16"

    def counted(self, other: _Side) -> str:
        """The column of updates that is held against the other side's updates."""
        return "update_attempts" if self.skips and other.trace is None else "updates"

    def value(self, name: str, row: int) -> int:
        return int(self.between(name, row, row + 1)[0])

    def digests(self, block: int) -> dict[str, str] | None:
        found = None if self.trace is None else self.trace.source.digests
        return None if found is None else found[block]

    def ids(self, row: int) -> NDArray[np.int64] | None:
        if self.trace is not None:
            return self.trace.ids(row) if self.trace.has_ids else None
        assert self.plan is not None
        return counting.step(self.plan, row, self.num_samples).sample_ids

    def drawn(self, row: int) -> NDArray[np.int64] | None:
        """The sample ids of that row without its padding."""
        ids = self.ids(row)
        return None if ids is None else ids[: len(ids) - max(self.value("padding", row), 0)]

    def row(self, index: int) -> dict[str, Any] | None:
        """That step as a report shows it."""
        if not 0 <= index < self.length:
            return None

        def told(name: str) -> int | None:
            return self.value(name, index) if name in self.known else None

        digest = self.between("ids_digest", index, index + 1)[0].tobytes().hex() if "ids_digest" in self.known else None
        shown: dict[str, Any] = {
            **{name: told(name) for name in ("batch_size", "updates", "epoch", "step_in_epoch")},
            "ids_digest": digest,
        }
        if self.trace is not None:
            for name in ("lr", "loss"):
                column = self.trace.between(name, index, index + 1)
                value, known = float(column.values[0]), column.known is None or bool(column.known[0])
                shown[name] = value if np.isfinite(value) else str(value) if known else None
        return shown


_PLANNED = {  # a plan's columns, by the names of a trace's
    "batch_size": "batch_size",
    "updates": "updates",
    "epoch": "epoch",
    "step_in_epoch": "step_in_epoch",
    "padding": "padding",
}


def _planned_digests(plan: TrainingPlan, num_samples: int, start: int, stop: int) -> NDArray[np.void]:
    digests, block = [], max(1, (1 << 20) // plan.batch_size)
    for first in range(start, stop, block):
        rows = counting.rows(plan, num_samples, first, min(first + block, stop))
        data = memoryview(counting.sample_ids(plan, num_samples, rows).astype("<i8", copy=False).tobytes())
        ends = (8 * np.cumsum(rows.batch_size)).tolist()
        digests += [xxh3_128_digest(data[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]
    return np.frombuffer(b"".join(digests), dtype="V16")


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


def compared(
    *runs: Trace | str | Path,
    order: str = "exact",
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    audits: Mapping[str, Sequence[str]] | None = None,
    rate: Callable[[int], float] | None = None,
) -> tuple[Comparison, list[_Pair], Tolerance]:
    """Holds runs against the plan and against the first of them.

    Args:
        runs: the reference, then the candidates, as traces or their files. One alone is held against the plan only.
        order: ``exact``, or ``coverage`` for scripts that shuffled on their own: equal sizes and updates,
            the same samples in each pass, no number judged.
        plan: default: the one recorded in all traces, if it is the same.
        num_samples: size of the data set; default: as recorded.
        rtol, atol: of loss and weights; default by the runs' precision, see ``TOLERANCES``.
        audits: by run, what its task's audit found to contradict the trace.
        rate: the task's learning rate at each tick of the plan's ``schedule_clock``; the runs are held against it too.

    Raises:
        UsageError: nothing to compare with.
    """
    if order not in ORDERS:
        raise unknown("order", order, ORDERS)
    opened = iter(open_all([run for run in runs if not isinstance(run, Trace)]))
    traces = [run if isinstance(run, Trace) else next(opened) for run in runs]
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
    expected = _plan_side(plan, num_samples, rate) if plan is not None and num_samples is not None else None
    within, precision = tolerance(_precision(traces), rtol, atol), _precision(traces)
    coverage = order == "coverage"
    _weights_note(names, traces, notes)
    pairs = [_Pair(side, _until_stopped(side, expected), None, precision) for side in sides if expected is not None]
    across = [_Pair(side, sides[0], None if coverage else within, precision) for side in sides[1:]]
    for window in _windows([*sides, *([expected] if expected is not None else [])]):
        for pair in (*pairs, *across):
            pair.feed(*window)

    judged: dict[str, list[_Judgement]] = {name: [] for name in CHECKS}
    for pair in (*pairs, *across):
        judged["steps"].append(pair.keep("steps", _steps(pair)))
        judged["boundaries"].append(pair.keep("boundaries", (_coverage if coverage else _boundaries)(pair)))
        judged["updates"].append(pair.keep("updates", _updates(pair)))
        judged["epochs"].append(pair.keep("epochs", _epochs(pair)))
    judged |= {name: [] for name in FURTHER}
    for pair in pairs if rate is not None else ():
        judged["lr"].append(pair.keep("lr", _learning_rates(pair)))
    judged["validation"] += [pair.keep("validation", _validated(pair, None)) for pair in pairs]
    for pair in across:
        parts = any(judge(pair).first is not None for judge in (_steps, _boundaries, _updates))
        if coverage:
            numbers = [_Judgement("not judged", detail="the orders differ" if parts else "")] * 3
        else:
            numbers = [_learning_rates(pair), _losses(pair), _weights(pair, None if parts else within)]
        for name, judgement in zip(("lr", "loss", "weights"), numbers, strict=True):
            judged[name].append(pair.keep(name, judgement))
        if not coverage:
            judged["validation"].append(pair.keep("validation", _validated(pair, within)))
        if coverage:
            notes += [note for side in (pair.candidate, pair.reference) for note in _not_finite(side)]
            sized, drawn = (pair.firsts.get(name, pair.shared) for name in ("batch_size", "ids_digest"))
            if drawn < sized:  # else nothing but the sizes is known to differ
                notes.append(f"{pair.candidate.name} and {pair.reference.name} drew the samples in different orders")
    for name, problems in (audits or {}).items():
        judged["weights"] += [_Judgement("fail", detail=f"{name}: {text}") for text in problems] or [_Judgement("pass")]

    against = "== plan" if expected is not None else "== " + names[0]
    how = "per pass" if coverage else "per step"
    rules = {
        "steps": against,
        "boundaries": f"{against}, {how}",
        "updates": f"{against}, per step",
        "epochs": f"{against}, labels",
        "lr": "equal in " + storage(_precision(traces)),
        "loss": str(within),
        "weights": str(within) + (", == ledger" if audits else ""),
    }
    rules["validation"] = f"{against}, {within}"
    if across and all("accuracy" in side.known for side in sides):
        rules["loss"] += "; accuracy ± 1"
    notes += _stopping_notes(plan, sides)
    validated = any(side.trace.validations for side in sides if side.trace is not None)
    further = FURTHER if validated or (plan is not None and plan.validation_every is not None) else ()
    checks = tuple(_merge(name, rules[name], judged[name], sides) for name in (*CHECKS, *further))
    comparison = Comparison(
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
    return comparison, [*pairs, *across], within


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
    """The coarsest of the runs' precisions."""
    found = {str(_facts(trace, "runtime").get("precision", "float32")) for trace in traces}
    return max((name for name in TOLERANCES if name in found), key=list(TOLERANCES).index, default="float32")


def tolerance(precision: str, rtol: float | None, atol: float | None) -> Tolerance:
    """What is given, else the tolerance of that precision."""
    return Tolerance.given(rtol, atol) or TOLERANCES[precision]


def _run_side(name: str, trace: Trace) -> _Side:
    return _Side(name, trace.num_rows, frozenset(c for c in COLUMNS if trace.known_throughout(c)), trace)


def _plan_side(plan: TrainingPlan, num_samples: int, rate: Callable[[int], float] | None) -> _Side:
    known = frozenset({*_PLANNED, "ids_digest"} | ({"lr"} if rate is not None else set()))
    return _Side(PLAN, counting.num_steps(plan, num_samples), known, plan=plan, num_samples=num_samples, rate=rate)


def _until_stopped(side: _Side, expected: _Side) -> _Side:
    """The plan's side for a run: it ends where early stopping must end that run, by the run's own validations."""
    assert expected.plan is not None
    assert side.trace is not None
    stop = stopped_after(expected.plan, side.trace.validations)
    return expected if stop is None else replace(expected, length=min(stop, len(expected)))


def _windows(sides: Sequence[_Side]) -> Iterator[tuple[int, int, int | None]]:
    """All rows that any two sides share, a part at a time, and the block it is where all traces have the same."""
    last = sorted(len(side) for side in sides)[-2]
    traces = [side.trace for side in sides if side.trace is not None]
    bounds = {tuple(trace.source.bounds) if trace.source.digests is not None else None for trace in traces}
    if len(bounds) == 1 and None not in bounds:
        for block, (start, stop) in enumerate(pairwise(traces[0].source.bounds)):
            yield start, stop, block
        return
    rows = min([WINDOW, *(max(1, MOST_IDS // side.plan.batch_size) for side in sides if side.plan is not None)])
    for start in range(0, last, rows):
        yield start, min(start + rows, last), None


class _Pair:
    """A candidate and its reference, walked through together; what was found so far.

    Attributes:
        firsts: by column, the first row at which the two differ.
        until: the first row at which their structure does; numbers are judged before it.
    """

    STRUCTURE = ("batch_size", "ids_digest", "updates")
    LABELS = ("epoch", "step_in_epoch", "padding")

    def __init__(self, candidate: _Side, reference: _Side, numbers: Tolerance | None, kind: str) -> None:
        self.candidate, self.reference = candidate, reference
        self.shared = min(len(candidate), len(reference))
        self.firsts: dict[str, int] = {}
        self.judgements: dict[str, _Judgement] = {}
        self.until = 0 if self.other_data else self.shared
        self.rates, self.losses = _Rates(storage(kind)), _Losses(numbers) if numbers is not None else None
        self.accuracies = _Accuracies(0.0 if numbers is None else numbers.atol)
        self._both = candidate.known & reference.known
        self._tries = candidate.skips and reference.skips  # are compared beside the updates

    def keep(self, name: str, judgement: _Judgement) -> _Judgement:
        self.judgements[name] = judgement
        return judgement

    @property
    def other_data(self) -> bool:
        traces = [side.trace for side in (self.candidate, self.reference) if side.trace is not None]
        return len(traces) == 2 and len({t.metadata.get("data_fingerprint") for t in traces} - {None}) > 1

    def feed(self, start: int, stop: int, block: int | None) -> None:
        """The next rows of both."""
        stop = min(stop, self.shared)
        if start >= stop:
            return
        same = self._same(block)
        structure = (*self.STRUCTURE, "update_attempts") if self._tries else self.STRUCTURE
        if "structure" not in same or self._tries:
            self._look(structure, start, stop)
            self.until = min([self.until, *(self.firsts[name] for name in structure if name in self.firsts)])
        if "labels" not in same:
            self._look(self.LABELS, start, stop)
        stop = min(stop, self.until)
        if start >= stop:
            return
        if self.losses is None:
            if "lr" in self.reference.known:  # the plan's
                self.rates.feed(start, *self._numbers("lr", start, stop))
            return
        if "numbers" in same and "finite" in same:
            self.rates.equal(start)
            self.losses.equal(start)
            return
        self.rates.feed(start, *self._numbers("lr", start, stop))
        self.losses.feed(start, *self._numbers("loss", start, stop))
        if "accuracy" in self._both:
            mine, theirs = (column.values for column in self._numbers("accuracy", start, stop))
            self.accuracies.feed(start, mine, theirs, self.candidate.between("batch_size", start, stop))

    def _numbers(self, name: str, start: int, stop: int) -> tuple[Column, Column]:
        mine, theirs = (_numbers(side, name, start, stop) for side in (self.candidate, self.reference))
        return mine, theirs

    def _same(self, block: int | None) -> set[str]:
        """What need not be compared, since the digests of this block are equal."""
        mine = None if block is None else self.candidate.digests(block)
        theirs = None if block is None else self.reference.digests(block)
        if mine is None or theirs is None:
            return set()
        same = {name for name in ("structure", "labels", "numbers") if mine[name] == theirs[name]}
        return same | ({"finite"} if mine["finite"] == theirs["finite"] == "True" else set())

    def _look(self, names: Sequence[str], start: int, stop: int) -> None:
        for name in names:
            if name in self._both and name not in self.firsts:
                mine = self.candidate.counted(self.reference) if name == "updates" else name
                sides = self.candidate.between(mine, start, stop), self.reference.between(name, start, stop)
                first = _first_unequal(*sides)
                if first is not None:
                    self.firsts[name] = start + first


def _numbers(side: _Side, name: str, start: int, stop: int) -> Column:
    return Column(side.between(name, start, stop)) if side.trace is None else side.trace.between(name, start, stop)


class _Accuracies:
    """Accuracies of a pair: whether more samples are predicted otherwise than the one that rounding may turn.

    In a coarse precision as many more as its tolerance allows.
    """

    def __init__(self, within: float) -> None:
        self._within = within
        self.first: int | None = None
        self.values: tuple[float, float] = (0.0, 0.0)  # there

    def feed(self, start: int, mine: NDArray[Any], theirs: NDArray[Any], rows: NDArray[Any]) -> None:
        beyond = np.flatnonzero(~(np.abs(mine - theirs) * rows <= 1.5 + self._within * rows))
        if beyond.size and self.first is None:
            i = int(beyond[0])
            self.first, self.values = start + i, (float(mine[i]), float(theirs[i]))


class _Rates:
    """Learning rates of a pair: equal in the precision of the run, NaN equal to NaN."""

    def __init__(self, kind: str) -> None:
        self._kind = np.dtype(kind)
        self.known = True
        self.first: int | None = None
        self.values: tuple[str, str] = ("", "")  # where they first differ
        self.worst: float | None = None
        self.worst_at: int | None = None

    def equal(self, start: int) -> None:
        if self.worst is None:
            self.worst, self.worst_at = 0.0, start

    def feed(self, start: int, mine: Column, theirs: Column) -> None:
        self.known = self.known and mine.known is None and theirs.known is None
        if not self.known:
            return
        with np.errstate(over="ignore"):
            a, b = mine.values.astype(self._kind), theirs.values.astype(self._kind)
        nowhere = np.isnan(a) & np.isnan(b)
        first = _first_unequal(np.where(nowhere, 0, a), np.where(nowhere, 0, b))
        if first is not None and self.first is None:
            self.first, self.values = start + first, (str(a[first]), str(b[first]))
        finite = np.isfinite(a) & np.isfinite(b)
        apart = np.abs(np.where(finite, a, 0).astype(np.float64) - np.where(finite, b, 0).astype(np.float64))
        at = int(np.argmax(apart))
        if self.worst is None or apart[at] > self.worst:
            self.worst, self.worst_at = float(apart[at]), start + at


class _Losses:
    """Losses of a pair: within a tolerance, up to the first that is no finite number."""

    def __init__(self, within: Tolerance) -> None:
        self._within = within
        self.known = True
        self.first: int | None = None  # beyond the tolerance, or of another kind
        self.detail = ""  # of the two there
        self.odd: tuple[int, float] | None = None  # where both ceased to be finite, in the same way
        self.worst: float | None = None
        self.worst_at: int | None = None

    def equal(self, start: int) -> None:
        if self.worst is None and self.odd is None:
            self.worst, self.worst_at = 0.0, start

    def feed(self, start: int, mine: Column, theirs: Column) -> None:
        self.known = self.known and mine.known is None and theirs.known is None
        if not self.known or self.odd is not None:
            return
        a, b = mine.values, theirs.values
        kinds = _kinds(a), _kinds(b)
        odd = np.flatnonzero((kinds[0] != 0) | (kinds[1] != 0))
        finite = int(odd[0]) if odd.size else len(a)
        with np.errstate(over="ignore", invalid="ignore"):  # beyond the largest float is beyond every tolerance
            apart = np.abs(a[:finite] - b[:finite])
            largest = np.maximum(np.abs(a[:finite]), np.abs(b[:finite]))
            allowed = self._within.atol + self._within.rtol * largest
        if finite:
            at = int(np.argmax(apart))
            if self.worst is None or apart[at] > self.worst:
                self.worst, self.worst_at = float(apart[at]), start + at
        beyond = np.flatnonzero(apart > allowed)
        if beyond.size and self.first is None:
            i = int(beyond[0])
            self.first = start + i
            self.detail = (
                f"{{0}} {a[i]:.9g}, {{1}} {b[i]:.9g}, apart by {apart[i]:.3g} where {allowed[i]:.3g} is allowed"
            )
        if odd.size:
            self.odd = start + finite, float(a[finite])
            if kinds[0][finite] != kinds[1][finite] and self.first is None:
                self.first, self.detail = start + finite, f"{{0}} {a[finite]}, {{1}} {b[finite]}"


def _first_unequal(a: NDArray[Any], b: NDArray[Any]) -> int | None:
    """The first place at which two arrays of one length differ."""
    if a.dtype.kind == "V":  # digests
        a, b = (values.view("<u8").reshape(-1, 2) for values in (np.ascontiguousarray(a), np.ascontiguousarray(b)))
        unequal = (a != b).any(axis=1)
    else:
        unequal = a != b
    return int(np.argmax(unequal)) if unequal.any() else None


def _place(validation: Validation) -> str:
    return f"after step {validation.after - 1:,}" if validation.after else "before the first step"


_VALIDATED = {  # what two validations may part by
    "num_samples": "on another number of samples",
    "num_batches": "in another number of batches",
    "batch_sizes": "in other batches",
    "ids_digest": "on other samples",
}


def _validated(pair: _Pair, within: Tolerance | None) -> _Judgement:
    """Validations: after which steps, against the plan; over which samples and with which outcome, across runs."""
    candidate, reference = pair.candidate, pair.reference
    assert candidate.trace is not None
    mine = candidate.trace.validations
    if reference.trace is None:
        return _validated_by_plan(pair, mine)
    assert within is not None
    theirs, both = reference.trace.validations, (candidate, reference)
    if not mine or not theirs:
        missing = (reference if mine else candidate).name
        return _Judgement("not judged", detail=f"{missing} recorded no validation", undecided=bool(mine or theirs))
    worst, worst_at, odd, unknown = 0.0, None, "", set[str]()
    wrong: tuple[int, str] | None = None  # the first outcome that is another
    for a, b in zip(mine, theirs, strict=False):
        if min(a.after, b.after) > pair.until:
            break  # the runs part before
        at = max(a.after - 1, 0)
        if a.after != b.after:
            detail = f"{candidate.name} validated {_place(a)}, {reference.name} {_place(b)}"
            wrong = wrong or (max(min(a.after, b.after) - 1, 0), detail)
            break
        for name, what in _VALIDATED.items():
            x, y = getattr(a, name), getattr(b, name)
            if x is None or y is None:
                unknown |= {"which samples were validated on"} if name == "ids_digest" else set()
            elif x != y:
                many = f" ({x:,} and {y:,})" if name in ("num_samples", "num_batches") else ""
                wrong = wrong or (at, f"{_place(a)}: {candidate.name} validated {what} than {reference.name}{many}")
        for name in ("loss", "accuracy"):
            x, y = getattr(a, name), getattr(b, name)
            if x is None or y is None:
                unknown |= {f"the validation's {name}"} if x is not y else set()
                continue
            told = f"{_place(a)}: validation {name} {candidate.name} {x:.9g}, {reference.name} {y:.9g}"
            if not (np.isfinite(x) and np.isfinite(y)):
                if str(x) != str(y):
                    wrong = wrong or (at, told)
                odd = odd or f"{_place(a)} both runs' validation {name} is {x}"
                continue
            apart, size = abs(x - y), a.num_samples or b.num_samples or 0
            allowed = within.atol + within.rtol * max(abs(x), abs(y))
            if name == "accuracy":  # one sample may turn by rounding; in a coarse precision, some more
                allowed = within.atol + (1.5 / size if size else 0.0)
            if apart > worst or worst_at is None:
                worst, worst_at = float(apart), at
            if apart > allowed:
                wrong = wrong or (at, told)
    if wrong is None and len(mine) != len(theirs) and pair.until == len(candidate) == len(reference):
        detail = f"{candidate.name} validated {len(mine):,} times, {reference.name} {len(theirs):,}"
        return _Judgement("fail", None, detail)
    if wrong is not None:
        return _Judgement("fail", *wrong, worst, worst_at, both)
    if odd or unknown:
        detail = odd or f"a run did not record {' and '.join(sorted(unknown))}"
        return _Judgement("not judged", None, detail, worst, worst_at, undecided=True)
    return _Judgement("pass", detail=_before(pair), worst=worst, worst_at=worst_at)


def _validated_by_plan(pair: _Pair, found: Sequence[Validation]) -> _Judgement:
    candidate, reference = pair.candidate, pair.reference
    plan, trace = reference.plan, candidate.trace
    assert plan is not None
    assert trace is not None
    if plan.validation_every is None:
        return _Judgement("not judged", detail="the plan does not validate") if found else _Judgement("pass")
    if not found:
        return _Judgement("not judged", detail=f"{candidate.name} recorded no validation", undecided=True)
    expected = due(plan, reference.num_samples)
    until = min(len(reference), len(candidate))
    expected = expected[expected <= until]
    if not trace.complete and len(expected) == len(found) + 1 and expected[-1] == len(candidate):
        expected = expected[:-1]  # it was cut short before, or while, it validated
    both = (candidate, reference)
    for validation, after in zip(found, expected.tolist(), strict=False):
        if validation.after != after:
            detail = f"{candidate.name} validated {_place(validation)}, the plan says after step {after - 1:,}"
            return _Judgement("fail", max(min(validation.after, after) - 1, 0), detail, sides=both)
    shared = min(len(found), len(expected))
    if len(found) > shared:
        extra = found[shared]
        detail = f"{candidate.name} validated {_place(extra)}, the plan does not"
        return _Judgement("fail", max(extra.after - 1, 0), detail, sides=both)
    if len(expected) > shared:
        at = int(expected[shared]) - 1
        return _Judgement("fail", at, f"{candidate.name} did not validate after step {at:,}", sides=both)
    size, total = plan.validation_batch_size or plan.batch_size, trace.metadata.get("num_validation") or None
    for validation in found:
        at, rows = max(validation.after - 1, 0), validation.num_samples
        if rows is not None and isinstance(total, int) and rows != total:
            detail = f"{_place(validation)}: {candidate.name} validated on {rows:,} samples, the task has {total:,}"
            return _Judgement("fail", at, detail, sides=both)
        if rows is not None and validation.batch_sizes not in (None, _in_batches(rows, size)):
            detail = f"{_place(validation)}: {candidate.name} validated in other batches than of {size:,} and the rest"
            return _Judgement("fail", at, detail, sides=both)
        for name in ("num_samples", "ids_digest"):
            if getattr(validation, name) != getattr(found[0], name):
                detail = f"{_place(validation)}: {candidate.name} validated {_VALIDATED[name]} than at first"
                return _Judgement("fail", at, detail, sides=both)
    return _agree(pair)


def _in_batches(rows: int, size: int) -> tuple[tuple[int, int], ...]:
    """The sizes of so many samples' batches, as a validation has them."""
    whole, rest = divmod(rows, size)
    return (((size, whole),) if whole else ()) + (((rest, 1),) if rest else ())


def _stopping_notes(plan: TrainingPlan | None, sides: Sequence[_Side]) -> list[str]:
    """Where early stopping ended each run, and how close its closest decision was."""
    if plan is None or plan.early_stopping_patience is None:
        return []
    notes = []
    values = [
        [getattr(v, plan.early_stopping_monitor or "loss") for v in side.trace.validations]
        for side in sides
        if side.trace
    ]
    for side in sides:
        assert side.trace is not None
        if not side.trace.validations:
            continue
        stop, close = stopped_after(plan, side.trace.validations), closest(plan, side.trace.validations)
        text = "did not stop early" if stop is None else f"stopped early after step {stop - 1}"
        if close is not None:
            index, margin = close
            text += f"; its closest decision, validation {index}, had a margin of {margin:.3g}"
            apart = (
                [abs(a - b) for a, b in zip(*values[:2], strict=False) if None not in (a, b)] if len(values) > 1 else []
            )
            if apart:
                turned = max(apart) >= margin
                text += f", and the runs' values are up to {max(apart):.3g} apart"
                text += ": rounding could have turned it" if turned else ""
        notes.append(f"{side.name} {text}")
    return notes


def _says(side: _Side) -> str:
    return "the plan says" if side.trace is None else f"{side.name} has"


def _steps(pair: _Pair) -> _Judgement:
    candidate, reference, shared = pair.candidate, pair.reference, pair.shared
    planned, recorded = reference.plan, candidate.trace
    if planned is not None and recorded is not None and not decidable(planned, recorded.validations):
        detail = f"{candidate.name} did not record what early stopping goes by"
        return _Judgement("not judged", detail=detail, undecided=True)
    if len(candidate) == len(reference):
        # Nothing recorded on both sides is nothing compared.
        return _Judgement("pass" if shared else "not judged")
    for side in (candidate, reference):
        if side.trace is not None and not side.trace.complete and len(side) == shared:
            return _Judgement(
                "not judged", detail=f"{side.name} is {printable(side.trace.ending)} after {shared:,} steps"
            )
    detail = f"{candidate.name} made {len(candidate):,} steps, {_says(reference)} {len(reference):,}"
    if reference.plan is not None and len(reference) < counting.num_steps(reference.plan, reference.num_samples):
        detail += ", where its validations stop it early"
    return _Judgement("fail", shared, detail, sides=(candidate, reference))


def _boundaries(pair: _Pair) -> _Judgement:
    candidate, reference = pair.candidate, pair.reference
    if pair.other_data:
        detail = f"{candidate.name} and {reference.name} hold different data: the same ids are other samples"
        return _Judgement("fail", 0, detail, sides=(candidate, reference))
    firsts = [pair.firsts[name] for name in ("batch_size", "ids_digest") if name in pair.firsts]
    if firsts:
        detail = _batch_detail(candidate, reference, min(firsts))
        return _Judgement("fail", min(firsts), detail, sides=(candidate, reference))
    known = candidate.known & reference.known
    if "batch_size" not in known:
        side = candidate if "batch_size" not in candidate.known else reference
        return _Judgement("not judged", detail=f"{side.name} recorded no batches")
    if "ids_digest" not in known:
        return _Judgement("not judged", detail="sizes agree; without sample ids the members are unknown")
    return _agree(pair)


def _agree(pair: _Pair) -> _Judgement:
    """What passes on the steps that both made; nothing compared is nothing judged."""
    whole = len(pair.candidate) == len(pair.reference)
    detail = "" if whole else f"equal over the first {pair.shared:,} steps, which both made"
    return _Judgement("pass" if pair.shared else "not judged", detail=detail)


def _batch_detail(candidate: _Side, reference: _Side, step: int) -> str:
    mine, theirs = candidate.ids(step), reference.ids(step)
    sizes = candidate.value("batch_size", step), reference.value("batch_size", step)
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


def _updates(pair: _Pair) -> _Judgement:
    candidate, reference = pair.candidate, pair.reference
    for side in (candidate, reference):
        if "updates" not in side.known:
            return _Judgement("not judged", detail=f"{side.name} recorded no evidence of updates")
    first = pair.firsts.get("updates")
    tried = pair.firsts.get("update_attempts")
    if tried is not None and (first is None or tried < first):
        mine, theirs = (side.value("update_attempts", tried) for side in (candidate, reference))
        detail = f"step {tried}: {candidate.name} had tried {mine:,} updates, {_says(reference)} {theirs:,}"
        return _Judgement("fail", tried, detail, sides=(candidate, reference))
    if first is None:
        return _agree(pair)
    column = candidate.counted(reference)
    mine, theirs = candidate.value(column, first), reference.value("updates", first)
    did = "applied" if column == "updates" else "tried"
    detail = f"step {first}: {candidate.name} had {did} {mine:,} updates, {_says(reference)} {theirs:,}"
    return _Judgement("fail", first, detail, sides=(candidate, reference))


def _epochs(pair: _Pair) -> _Judgement:
    candidate, reference = pair.candidate, pair.reference
    if not (pair.shared and "epoch" in candidate.known and "epoch" in reference.known):
        return _Judgement("not judged", detail="a run labels no epochs")
    found = [(pair.firsts[name], i, name) for i, name in enumerate(_Pair.LABELS) if name in pair.firsts]
    if not found:
        return _agree(pair)
    first, _, name = min(found)
    mine, theirs = (side.value(name, first) for side in (candidate, reference))
    if name == "padding":
        detail = f"step {first}: {candidate.name} calls {mine} of its rows padding, {_says(reference)} {theirs}"
    else:
        label = name.replace("_", " ")
        detail = f"step {first}: {candidate.name} calls it {label} {mine}, {_says(reference)} {theirs}"
    return _Judgement("fail", first, detail, sides=(candidate, reference))


def _coverage(pair: _Pair) -> _Judgement:
    """Equal sizes per step, and the same samples in each pass, in whatever order. All ids are in memory at once."""
    candidate, reference, shared = pair.candidate, pair.reference, pair.shared
    both = (candidate, reference)
    first = pair.firsts.get("batch_size")
    if first is not None:
        return _Judgement("fail", first, _batch_detail(candidate, reference, first), sides=both)
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
        if unrepeated and total is None and len(set(candidate.between("batch_size", begin, end).tolist())) == 1:
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
    return _agree(pair)


def _not_finite(side: _Side) -> list[str]:
    """That a run's loss is no finite number, and where it first is none."""
    if side.trace is None:
        return []
    for start, stop in side.trace.windows():
        losses, known = side.trace.between("loss", start, stop)
        odd = np.flatnonzero(~np.isfinite(losses) & (known if known is not None else True))
        if odd.size:
            return [f"{side.name}: the loss is {losses[odd[0]]} at step {start + odd[0]}"]
    return []


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
        if "epoch" in side.known:
            starts = np.flatnonzero(np.diff(side.between("epoch", 0, shared), prepend=-1))
            drawn = side.between("batch_size", 0, shared) - side.between("padding", 0, shared).clip(min=0)
            walked = np.add.reduceat(drawn, starts)
            if (walked <= size).all() and (walked[:-1] == walked[0]).all():
                return [int(i) for i in starts]  # else epochs are no passes
    seen = np.cumsum(sides[0].between("batch_size", 0, shared))
    ends = np.flatnonzero(seen % size == 0) + 1
    if len(ends) != seen[-1] // size:  # a pass ends inside a batch, or leaves samples out
        return None
    return [0, *(int(end) for end in ends if end < shared)]


def _learning_rates(pair: _Pair) -> _Judgement:
    rates = pair.rates
    if not rates.known or not pair.until:
        return _Judgement("not judged", detail="" if pair.until else "no step to judge")
    if rates.first is None:
        return _Judgement("pass", detail=_before(pair), worst=rates.worst, worst_at=rates.worst_at)
    mine, theirs = rates.values
    detail = f"step {rates.first}: learning rate {pair.candidate.name} {mine}, {pair.reference.name} {theirs}"
    return _Judgement("fail", rates.first, detail, rates.worst, rates.worst_at, (pair.candidate, pair.reference))


def _kinds(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """0 finite, 1 NaN, 2 +inf, 3 -inf."""
    return np.where(np.isnan(values), 1, np.where(np.isposinf(values), 2, np.where(np.isneginf(values), 3, 0)))


def _losses(pair: _Pair) -> _Judgement:
    losses = pair.losses
    assert losses is not None
    if not losses.known or not pair.until:
        return _Judgement(
            "not judged", detail="a run did not record the loss of every step" if pair.until else "no step to judge"
        )
    if losses.first is not None:
        names = printable(pair.candidate.name), printable(pair.reference.name)
        detail = f"step {losses.first}: loss " + losses.detail.format(*names)
        both = (pair.candidate, pair.reference)
        return _Judgement("fail", losses.first, detail, losses.worst, losses.worst_at, both)
    if losses.odd is not None:
        at, value = losses.odd
        detail = f"both runs' losses are {value} from step {at} on"
        return _Judgement("not judged", detail=detail, worst=losses.worst, worst_at=losses.worst_at, undecided=True)
    odd = pair.accuracies
    if odd.first is not None:
        detail = f"step {odd.first}: accuracy {pair.candidate.name} {odd.values[0]:.6g}, "
        detail += f"{pair.reference.name} {odd.values[1]:.6g}"
        both = (pair.candidate, pair.reference)
        return _Judgement("fail", odd.first, detail, losses.worst, losses.worst_at, both)
    return _Judgement("pass", detail=_before(pair), worst=losses.worst, worst_at=losses.worst_at)


def _before(pair: _Pair) -> str:
    """What to add where numbers were judged up to the structure's first difference only."""
    whole = pair.until == len(pair.candidate) == len(pair.reference)
    return "" if whole else f"before step {pair.until}, not judged from there on"


def _weights(pair: _Pair, tolerance: Tolerance | None) -> _Judgement:
    candidate, reference = pair.candidate, pair.reference
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
        largest = float(differences.max())
        if largest > worst or not worst_at:
            worst, worst_at = largest, name
        if largest > at_most and not problem:
            problem = f"{name}: apart by up to {largest:.3g} where {at_most:.3g} is allowed"
    return _Judgement("fail" if problem else "pass", detail=problem, worst=worst, worst_at=worst_at or None)


def _merge(name: str, rule: str, judgements: list[_Judgement], sides: Sequence[_Side]) -> CheckResult:
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
    elif name in ("updates", "epochs"):
        column, more = ("updates", 0) if name == "updates" else ("epoch", 1)
        values = {s.name: s.value(column, len(s) - 1) + more if column in s.known and len(s) else None for s in sides}
    return CheckResult(
        name=name,
        result=result,
        rule=rule,
        values=values,
        first=min(firsts, default=None),
        worst=largest.worst if largest else None,
        worst_at=largest.worst_at if largest else None,
        undecided=any(j.undecided for j in judgements),
        detail="; ".join(dict.fromkeys(j.detail for j in chosen if j.detail)),
        group=_GROUPS[name],
        computed=name in ("loss", "weights"),
    )


def _first_difference(
    checks: Sequence[CheckResult],
    judged: Mapping[str, Sequence[_Judgement]],
    sides: Sequence[_Side],
    expected: _Side | None,
) -> dict[str, Any] | None:
    """The earliest failing step; at one step, the earliest check."""
    failing = [check for check in checks if check.result == "fail" and check.first is not None]
    if not failing:
        return None
    check = min(failing, key=lambda c: (c.first, (*CHECKS, *FURTHER).index(c.name)))
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
