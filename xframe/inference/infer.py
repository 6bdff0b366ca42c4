"""Rows of a run → the plans that explain them.

Of a run only its rows are looked at: how many samples each step had, which, and how many updates were applied after it.
Every plan that the rows leave possible is a hypothesis; what all of them share is certain, where they part the rows
cannot tell. What this has to hold to:

    refuted    by one row that a plan does not give: a batch's size, a sample seen twice in one pass, padding that
               is not the start of its own pass, an update too many or too few
    unlikely   an order is any permutation, so that much is possible by chance: every pass might be abandoned at
               any place, if no sample happens to come twice. Hypotheses are therefore weighed by the chance that
               random orders give just these ids, and left out where another is a million times as likely
    simplest   of what is left, the plan that says least; of its limits epochs before steps before updates
    labels     what the loop says of itself (epochs, padding) decides only between plans that the rows cannot
               tell apart, and the notes say so

A plan is taken apart, since its parts show in different columns: the passes (batch size, remainder, restarts) in
sizes and ids, the order in ids, the windows (accumulation and what cuts it) in updates, the limits in where it ends.
Short runs are held against every number of steps an epoch can have; in long ones the rows themselves name the few that
they could show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xframe.errors import PlanError
from xframe.plan.counting import Cadence
from xframe.plan.order import Order
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

MORE = "more"  # after values: and every greater one
SEEDS = range(256)  # of xframe's own order that are tried
_UNLIKELY = math.log(1e6)
_WEIGHT = 3.0  # of one field that is not as by default, beside the logarithm of a chance
_SHORT_RUN = 300  # steps up to which every number of steps per epoch is tried
_MOST_RESTARTS = 4000  # places of a first restart that are tried in a long run
_BLOCK = 1 << 20  # rows worked on at once
_ORDER_ROWS, _ORDER_PASSES = 1 << 20, 256  # over which a seed is tried


@dataclass(frozen=True)
class Inference:
    """What the rows of a run say about its plan.

    Attributes:
        plan: the simplest that gives these sizes, updates and passes again, up to ``first_misfit``; None if not even
            the first step has one. Where the order is not xframe's own, its seed stands for any.
        num_samples: size of the data set, given or found; None if it cannot be told.
        order: ``sequential``, ``same each pass``, ``new each pass``, ``none`` (the samples come in no passes), or
            ``unknown``: one pass only, no ids, or too few to tell.
        seed: of xframe's own order, if one of the seeds tried gives it.
        certain: fields that all plans share which explain the rows.
        undecided: field → the values it has among them; ``more`` after them: and every greater one. A limit of None
            stands for one that is not reached.
        first_misfit: the first step that no plan explains together with those before it; None if all are explained.
        odd: what is odd there.
        notes: plain sentences.
        num_steps, num_updates: of the rows; updates None if unknown.
        ended: the rows go to the end of a run that a plan explains, so that its limits show.
    """

    plan: TrainingPlan | None
    num_samples: int | None
    order: str
    seed: int | None
    certain: dict[str, Any]
    undecided: dict[str, tuple[Any, ...]]
    first_misfit: int | None
    notes: tuple[str, ...]
    odd: str = ""
    num_steps: int = 0
    num_updates: int | None = None
    ended: bool = True

    def _fields(self) -> dict[str, Any]:
        """The plan's, without limits where the rows end before the run did: any that is not yet reached would do."""
        assert self.plan is not None
        limits = () if self.ended else ("epochs", "steps", "updates")
        return {name: value for name, value in self.plan.to_dict().items() if name not in limits}

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "plan": None if self.plan is None else self._fields(),
            "num_samples": self.num_samples,
            "num_steps": self.num_steps,
            "num_updates": self.num_updates,
            "order": self.order,
            "seed": self.seed,
            "certain": dict(self.certain),
            "undecided": {name: list(values) for name, values in self.undecided.items()},
            "first_misfit": self.first_misfit,
            "odd": self.odd,
            "notes": list(self.notes),
        }


def infer(rows: Rows, num_samples: int | None, *, seeds: Sequence[int] = SEEDS) -> Inference:
    """The plans that explain the rows.

    Args:
        rows: of the run, whole or a part from its start.
        num_samples: size of the data set; None: to be told from the ids or sizes.
        seeds: of xframe's own order that are tried.
    """
    total = len(rows)
    updates = None if rows.updates is None or not total else int(rows.updates[-1])
    if not total:
        nothing = Inference(None, num_samples, "unknown", None, {}, {}, None, ("There are no steps to look at.",))
        return replace(nothing, num_updates=None if rows.updates is None else 0)
    if (rows.batch_size < 0).any():
        told = "The trace says nothing of its batches, so no plan can be told."
        return Inference(None, num_samples, "unknown", None, {}, {}, None, (told,), "", total, updates, ended=False)
    if not rows.batch_size.all():
        at = int(np.argmin(rows.batch_size))
        empty = Inference(
            None, num_samples, "unknown", None, {}, {}, at, (), "its batch has no samples", total, updates
        )
        return replace(empty, ended=False)
    n, notes = (num_samples, []) if num_samples is not None else _samples(rows)
    known = n is not None
    # Of a data set of unknown size nothing shows but one long pass.
    one_pass = int(rows.batch_size.sum()) + int(rows.batch_size[0])
    found = _explain(rows, n if n is not None else one_pass, tuple(seeds), known)
    if not known:
        hidden = ("remainder", "steps_per_epoch", "epoch_iterator", "on_exhaustion", "accumulation_boundary", "epochs")
        found = replace(
            found,
            certain={name: value for name, value in found.certain.items() if name not in hidden},
            undecided={name: values for name, values in found.undecided.items() if name not in hidden},
        )
    ended = rows.complete and found.first_misfit is None
    found = replace(found, num_samples=n, notes=(*notes, *found.notes), num_steps=total, num_updates=updates)
    return replace(found, ended=ended)


def _samples(rows: Rows) -> tuple[int | None, list[str]]:
    """The number of samples as ids or sizes suggest it."""
    if rows.ids is not None and len(rows.ids) and rows.ids.min() >= 0:
        n, distinct = int(rows.ids.max()) + 1, len(np.unique(rows.ids))
        note = f"The number of samples was not given: {n:,}, one more than the largest id"
        if distinct < n:
            return n, [f"{note}, of which {distinct:,} occur."]
        return n, [f"{note}; all of them occur. Samples that are never drawn would not show."]
    short = np.flatnonzero(rows.batch_size != rows.batch_size[0])
    if len(short) > 1 or (len(short) == 1 and short[0] < len(rows) - 1):
        n = int(rows.batch_size[: short[0] + 1].sum())
        return n, [f"The number of samples was not given: {n:,}, if the first short batch ends a pass."]
    return None, ["The number of samples was not given, and neither ids nor sizes tell it: nor do they tell passes."]


# Taking the rows apart


def _explain(rows: Rows, n: int, seeds: tuple[int, ...], known: bool = True) -> Inference:
    """The fitting plans of all rows, or of as many from the start as any plan explains."""
    evidence = _Evidence(rows, n, seeds)
    candidates = list(_passes(evidence))
    whole = [passes for passes in candidates if passes.bad >= len(rows)]
    best = max((passes.chance for passes in whole), default=0.0)
    likely = [passes for passes in whole if passes.chance >= best - _UNLIKELY]
    fits: list[_Fit] = []
    for group in (likely, whole):
        fits = [fit for passes in group for fit in _fits(evidence, passes)]
        if fits or len(likely) == len(whole):
            break
    if fits:
        return _told(evidence, fits, known)
    misfit = _first_misfit(evidence, candidates)
    odd = _odd(evidence, candidates, misfit)
    order = "none" if _without_passes(evidence, misfit) else ""
    notes = ["The samples come in no passes: they are drawn with replacement, or otherwise at random."] if order else []
    if not misfit:
        return Inference(None, n, order or "unknown", None, {}, {}, 0, tuple(notes), odd)
    start = _explain(rows.head(misfit), n, seeds, known)
    earliest = misfit if start.first_misfit is None else start.first_misfit
    return replace(
        start,
        first_misfit=earliest,
        odd=odd if start.first_misfit is None else start.odd,
        order=order or start.order,
        notes=(*notes, *(note for note in start.notes if note != _NO_END or not rows.complete)),
    )


class _Evidence:
    """The rows, and what is worked out from them once."""

    def __init__(self, rows: Rows, n: int, seeds: tuple[int, ...]) -> None:
        self.rows, self.n, self.batch_size, self.num_steps = rows, n, int(rows.batch_size[0]), len(rows)
        self.seeds = seeds
        self.bounds = rows.bounds
        self._orders: dict[tuple[int, int], Ints] = {}

    @cached_property
    def applied(self) -> Ints | None:
        """Updates applied with each step."""
        return None if self.rows.updates is None else np.diff(self.rows.updates, prepend=0)

    @cached_property
    def seeds_of_first_batch(self) -> list[int]:
        """Seeds whose first pass begins with the first batch's samples."""
        if self.rows.ids is None or self.n == 1:
            return []
        first = self.rows.ids[: min(self.batch_size, self.n)]
        if first.min(initial=0) < 0 or first.max(initial=0) >= self.n:
            return []
        found, at = [], np.arange(min(len(first), 64), dtype=np.int64)
        for seed in self.seeds:
            if (Order(self.n, "shuffle", seed).ids(0, at) == first[: len(at)]).all():
                found.append(seed)
        return found

    def order(self, seed: int, pass_index: int, length: int) -> Ints:
        """The start of a pass in xframe's order."""
        held = self._orders.get((seed, pass_index))
        if held is None or len(held) < length:
            held = Order(self.n, "shuffle", seed).ids(pass_index, np.arange(length, dtype=np.int64))
            self._orders[seed, pass_index] = held
        return held[:length]

    def step_of(self, row: int) -> int:
        return int(np.searchsorted(self.bounds, row, side="right")) - 1


class _Kind(NamedTuple):
    """One way in which the samples may be ordered, and the logarithm of its chance to give these ids."""

    order: str
    reshuffle: bool
    seed: int | None
    chance: float


@dataclass(frozen=True, eq=False)
class _Passes:
    """A hypothesis on how batches are cut out of passes; columns have one row more than there are steps.

    Attributes:
        restart: steps after which a new pass begins; 0: passes follow one another.
        bad: the first step that it does not explain.
        kinds: the orders that fit, as far as all rows fit.
        short_end: the last batch is what was left of a stream of whole passes.
    """

    remainder: str
    restart: int
    pass_index: Ints
    position: Ints
    padding: Ints
    bad: int
    why: str
    kinds: tuple[_Kind, ...] = ()
    short_end: bool = False

    @property
    def chance(self) -> float:
        return max((kind.chance for kind in self.kinds), default=0.0)


def _passes(evidence: _Evidence) -> Iterator[_Passes]:
    """All ways in which the batches may have been cut out of passes."""
    n, b = evidence.n, evidence.batch_size
    abandoned: dict[int, _Passes] = {}
    tried: list[int] = []
    first_bad = 0
    # Where nothing is left of a pass, remainders are alike; they are told apart when the plan is told.
    remainders = ["keep"] if n % b == 0 else ["keep", "drop", "pad", "carry"] if n >= b else ["keep", "pad", "carry"]
    for remainder in remainders:
        plain = _judged(evidence, remainder, 0)
        yield plain
        steps = 0 if remainder == "carry" else n // b if remainder == "drop" else -(-n // b)
        # Up to the first pass's end remainders are alike.
        if not (tried and plain.bad == first_bad and (first_bad + 1) * b <= n):
            tried, first_bad = list(_restarts(evidence, plain)), plain.bad
        for restart in tried:
            if restart * b % n == 0 if remainder == "carry" else restart % steps == 0:
                continue  # nothing is abandoned
            if restart > n // b:
                yield _judged(evidence, remainder, restart)
                continue
            if restart not in abandoned:  # none of their passes comes to its end, so that remainders are alike
                abandoned[restart] = _judged(evidence, remainder, restart)
            yield replace(abandoned[restart], remainder=remainder)


def _restarts(evidence: _Evidence, plain: _Passes) -> Iterable[int]:
    """After how many steps a new pass may begin before its time."""
    total = evidence.num_steps
    if total <= _SHORT_RUN:
        return range(1, total)
    if plain.bad >= total:
        return ()
    # The first passes follow one another as they should, up to where the restart shows.
    latest, labels = plain.bad, evidence.rows.epoch
    found = range(1, latest + 1) if evidence.rows.ids is None else _without_repeat(evidence, latest)
    declared = [] if labels is None else [int(np.argmax(labels != labels[0]))]
    some = _screened(evidence, plain.remainder, list(found)[-_MOST_RESTARTS:], 4 * (latest + 1))
    return sorted({*some, *(restart for restart in declared if 0 < restart <= latest)})


def _screened(evidence: _Evidence, remainder: str, restarts: list[int], steps: int) -> list[int]:
    """Those that explain a longer and longer part of the run, until there are few; the furthest if none does."""
    while len(restarts) > 16 and steps < evidence.num_steps:
        part = _Evidence(evidence.rows.head(steps), evidence.n, ())
        reached = {restart: _judged(part, remainder, restart).bad for restart in restarts}
        furthest = sorted(restarts, key=lambda restart: -reached[restart])
        restarts = [restart for restart in restarts if reached[restart] >= steps] or furthest[:8]
        steps *= 4
    return restarts


def _without_repeat(evidence: _Evidence, latest: int) -> Iterable[int]:
    """Steps after which a pass may begin that has no sample twice up to step ``latest``, where another would have."""
    ids, bounds = evidence.rows.ids, evidence.bounds
    assert ids is not None
    stop = int(bounds[latest + 1])
    begin = max(0, stop - evidence.n)
    part = ids[begin:stop]
    order = np.argsort(part, kind="stable")
    before = np.full(len(part), -1, dtype=np.int64)  # where a row's sample was last
    again = part[order[1:]] == part[order[:-1]]
    before[order[1:][again]] = order[:-1][again]
    latest_before = np.maximum.accumulate(before[::-1])[::-1]  # of the row and all after it
    first = int(np.searchsorted(bounds, begin, side="left"))
    restarts = np.arange(max(first, 1), latest + 1)
    starts = bounds[restarts] - begin
    found: list[int] = restarts[latest_before[starts] < starts].tolist()
    return found


def _judged(evidence: _Evidence, remainder: str, restart: int) -> _Passes:
    """A hypothesis on the passes, held against sizes and ids."""
    n, b, total, rows = evidence.n, evidence.batch_size, evidence.num_steps, evidence.rows
    epochs = {"steps_per_epoch": restart, "epoch_iterator": "restart"} if restart else {}
    plan = _plan({"batch_size": b, "remainder": remainder, "steps": total + 1, **epochs})
    cadence = Cadence(plan, n)
    index = np.arange(total + 1, dtype=np.int64)
    _, _, pass_index, position = cadence.place(index)
    sizes, padding = cadence.sizes(index, position)
    wrong = rows.batch_size != sizes[:-1]
    rest = int(evidence.bounds[-1])
    short_end = (
        remainder == "carry"
        and not restart
        and rows.complete
        and rows.batch_size[-1] < b
        and rest % n == 0
        and int(wrong.sum()) == 1
    )
    if short_end:
        wrong[-1] = False
    bad, why = _first(wrong), "size"
    passes = _Passes(remainder, restart, pass_index, position, padding, bad, why, short_end=short_end)
    if rows.ids is None or not bad:
        return passes
    spans = _spans(evidence, passes, bad)
    row, sequential, same, row_why = _ids_judged(evidence, spans, int(evidence.bounds[bad]))
    if row is not None:
        return replace(passes, bad=evidence.step_of(row), why=row_why)
    if bad < total:
        return passes
    return replace(passes, kinds=tuple(_kinds(evidence, spans, sequential, same)))


class _Spans(NamedTuple):
    """The rows of each pass begun: from ``start``, ``real`` samples, then padding up to ``stop``."""

    start: Ints
    real: Ints
    stop: Ints


def _spans(evidence: _Evidence, passes: _Passes, steps: int) -> _Spans:
    n, bounds, end = evidence.n, evidence.bounds, int(evidence.bounds[steps])
    if passes.remainder == "carry":
        begin = bounds[: steps : passes.restart] if passes.restart else bounds[:1]
        lengths = np.diff(begin, append=end)
        count = -(-lengths // n)
        inside = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        start = np.repeat(begin, count) + n * inside
        stop = np.append(start[1:], end)
        return _Spans(start, stop - start, stop)
    index = passes.pass_index[:steps]
    first = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    start = bounds[first]
    stop = np.append(start[1:], end)
    padding = np.add.reduceat(passes.padding[:steps], first)
    return _Spans(start, stop - start - padding, stop)


def _ids_judged(evidence: _Evidence, spans: _Spans, end: int) -> tuple[int | None, bool, bool, str]:
    """The first row that no order allows, and whether all rows are in stored order, and every pass in the same."""
    ids, n = evidence.rows.ids, evidence.n
    assert ids is not None
    sequential = same = True
    table = np.full(int(spans.real.max()), -1, dtype=np.int64)
    # Small blocks first, since most hypotheses fail at once.
    ends = [min(_BLOCK, 1 << power) for power in range(12, 21, 2)] + list(range(2 * _BLOCK, end + _BLOCK, _BLOCK))
    blocks = np.searchsorted(spans.stop, ends, side="left")
    first = 0
    for last in np.unique(np.minimum(blocks + 1, len(spans.start))).tolist():
        if last <= first:
            continue
        start, real, stop = (column[first:last] for column in spans)
        begin, finish = int(start[0]), int(stop[-1])
        part, lengths = ids[begin:finish], stop - start
        which = np.repeat(np.arange(last - first), lengths)
        place = np.arange(begin, finish) - np.repeat(start, lengths)
        padded = place >= real[which]
        wrong = (part < 0) | (part >= n)
        why = "range"
        if padded.any():
            at = np.flatnonzero(padded)
            source = start[which[at]] + (place[at] - real[which[at]]) % n
            unlike = at[part[at] != ids[source]]
            if len(unlike):
                why = "padding" if not wrong[: unlike[0]].any() else why
                wrong[unlike] = True
            keep = ~padded
            rows_at, part, which, place = np.flatnonzero(keep), part[keep], which[keep], place[keep]
        else:
            rows_at = np.arange(len(part))
        twice = _first_repeat(part, which, n, last - first) if not wrong.any() else _sorted_repeat(part, which)
        out = _first(wrong)
        if twice is not None and rows_at[twice] < out:
            return begin + int(rows_at[twice]), False, False, "repeat"
        if out < len(wrong):
            return begin + out, False, False, why
        sequential = sequential and bool((part == place).all())
        if same:
            fresh = table[place] < 0
            table[place[fresh][::-1]] = part[fresh][::-1]  # backwards, so that the first to come stays
            same = bool((table[place] == part).all())
        first = last
    return None, sequential, same, ""


def _first_repeat(ids: Ints, which: Ints, n: int, passes: int) -> int | None:
    """Where a sample comes again in its pass."""
    if passes * n <= 8 * len(ids) + 1024:
        seen = np.zeros(passes * n, dtype=bool)
        seen[which * n + ids] = True
        if int(np.count_nonzero(seen)) == len(ids):
            return None
    return _sorted_repeat(ids, which)


def _sorted_repeat(ids: Ints, which: Ints) -> int | None:
    order = np.lexsort((ids, which))
    again = (ids[order[1:]] == ids[order[:-1]]) & (which[order[1:]] == which[order[:-1]])
    return int(order[1:][again].min()) if again.any() else None


def _kinds(evidence: _Evidence, spans: _Spans, sequential: bool, same: bool) -> Iterator[_Kind]:
    """The orders that fit, with their chances."""
    n = evidence.n
    lengths, counts = np.unique(spans.real, return_counts=True)
    each = [math.lgamma(n - length + 1) - math.lgamma(n + 1) for length in lengths.tolist()]
    if sequential:
        yield _Kind("sequential", True, None, 0.0)
    yield _Kind("shuffle", True, None, float(np.dot(each, counts)))
    if same:
        yield _Kind("shuffle", False, None, each[-1])
    if sequential and -each[-1] > _UNLIKELY:
        return  # no seed gives that
    few = -math.log(2 * max(len(evidence.seeds), 1))
    for seed in evidence.seeds_of_first_batch:
        for reshuffle in (True, False):
            if (reshuffle or same) and _has_order(evidence, spans, seed, reshuffle):
                yield _Kind("shuffle", reshuffle, seed, few)


def _has_order(evidence: _Evidence, spans: _Spans, seed: int, reshuffle: bool) -> bool:
    """Whether the first passes are in that order of xframe's."""
    ids = evidence.rows.ids
    assert ids is not None
    looked_at = 0
    for p, (start, real) in enumerate(zip(spans.start.tolist(), spans.real.tolist(), strict=True)):
        length = min(real, _ORDER_ROWS)
        if (ids[start : start + length] != evidence.order(seed, p if reshuffle else 0, length)).any():
            return False
        looked_at += length
        if looked_at >= _ORDER_ROWS or p >= _ORDER_PASSES:
            break
    return True


# Windows and limits


class _Fit(NamedTuple):
    """One plan that fits, but for the order."""

    passes: _Passes
    fields: dict[str, Any]
    remainders: tuple[str, ...]
    more: frozenset[str]  # fields of which every greater value fits too
    labelled: bool  # it gives the loop's labels


class _Epochs(NamedTuple):
    """What an epoch is, and where its and the passes' ends fall (a flag for each step, after which it ends)."""

    steps_per_epoch: int | None
    epoch_iterator: str | None
    on_exhaustion: str | None
    epoch: Ints
    epoch_ends: Flags
    pass_ends: Flags
    exhausts: bool  # the last step leaves a pass that is over and an epoch that is not


def _fits(evidence: _Evidence, passes: _Passes) -> Iterator[_Fit]:
    """The plans with these passes that give these updates, and end there."""
    n, b, rows = evidence.n, evidence.batch_size, evidence.rows
    one_size = b == n and passes.remainder == "keep" and bool((rows.batch_size == n).all())
    whole_stream = passes.remainder == "carry" and evidence.num_steps == 1 and b % n == 0
    tried: dict[Any, list[tuple[dict[str, Any], frozenset[str]]]] = {}
    for epochs in _epochs(evidence, passes):
        remainders: tuple[str, ...] = (passes.remainder,)
        if n % b == 0:
            carry = epochs.on_exhaustion in (None, "repeat")
            remainders = ("keep", "drop", "pad", "error", *(("carry",) if carry else ()))
        labelled = _labelled(evidence, passes, epochs)
        base = {"batch_size": b, "remainder": passes.remainder}
        if epochs.steps_per_epoch is not None:
            base |= {"steps_per_epoch": epochs.steps_per_epoch, "epoch_iterator": epochs.epoch_iterator}
            if epochs.on_exhaustion is not None:
                base["on_exhaustion"] = epochs.on_exhaustion
        more = {"batch_size"} if one_size or (whole_stream and epochs.steps_per_epoch is None) else set()
        if epochs.steps_per_epoch is not None and epochs.steps_per_epoch > evidence.num_steps:
            more.add("steps_per_epoch")
        for windows, window_more in _windows(evidence, epochs):
            ends = windows.get("accumulation_boundary")
            cuts = epochs.pass_ends if ends == "pass" else epochs.epoch_ends
            last = int(epochs.epoch[evidence.num_steps - 1]) + 1
            key = (
                tuple(windows.values()),
                cuts.tobytes() if ends else b"",
                bool(epochs.epoch_ends[-1]),
                epochs.exhausts,
                epochs.on_exhaustion == "stop",
                epochs.steps_per_epoch is None,
            )
            if key not in tried:
                tried[key] = list(_ended(evidence, passes, {**base, **windows}, last))
            for end, end_more in tried[key]:
                fields = {**base, **windows, **end}
                if end.get("epochs") is not None:
                    fields["epochs"] = last + end["epochs"]
                yield _Fit(passes, fields, remainders, frozenset(more | window_more | end_more), labelled)


def _epochs(evidence: _Evidence, passes: _Passes) -> Iterator[_Epochs]:
    """What an epoch may be, where the passes are these."""
    n, b, total = evidence.n, evidence.batch_size, evidence.num_steps
    carry, remainder = passes.remainder == "carry", passes.remainder
    per_pass = 0 if carry else n // b if remainder == "drop" else -(-n // b)
    pass_ends = _pass_ends(evidence, passes)
    position = passes.position[:-1]
    index = np.arange(total + 1, dtype=np.int64)
    if passes.restart:
        s = passes.restart
        inside, epoch = index % s, index // s
        kinds = (None,) if carry else ("repeat",) if s > per_pass else ("repeat", "short_epoch", "stop")
        for exhaustion in kinds:
            yield _Epochs(s, "restart", exhaustion, epoch, inside[1:] == 0, pass_ends, False)
        return
    yield _Epochs(None, None, None, passes.pass_index, pass_ends, pass_ends, False)
    if passes.short_end:
        return
    for s in _lengths(evidence, passes, per_pass):
        inside, epoch = index % s, index // s
        ends = inside[1:] == 0
        over = bool(pass_ends[-1]) and not carry
        same_pass = s >= total or (s * b % n == 0 if carry else s % per_pass == 0)
        for iterator in ("continue", "restart"):
            if iterator == "continue" or same_pass:
                yield _Epochs(s, iterator, None if carry else "repeat", epoch, ends, pass_ends, False)
            if carry:
                continue
            if iterator == "continue" or s >= min(per_pass, total):
                step = position // b
                parts = 1 if iterator == "restart" and s >= per_pass else -(-per_pass // s)
                numbers = passes.pass_index * parts + np.append(step, passes.position[-1] // b) // s
                short_ends = pass_ends | ((step + 1) % s == 0)
                unfinished = over and bool((step[-1] + 1) % s)
                yield _Epochs(s, iterator, "short_epoch", numbers, short_ends, pass_ends, unfinished)
            never = iterator == "restart" and s == per_pass
            if never or (total <= per_pass and (iterator == "continue" or s >= total)):
                yield _Epochs(s, iterator, "stop", epoch, ends, pass_ends, over and not ends[-1])


def _pass_ends(evidence: _Evidence, passes: _Passes) -> Flags:
    n, b, position = evidence.n, evidence.batch_size, passes.position[:-1]
    if passes.remainder == "drop":
        return np.asarray(position + 2 * b > n)
    return np.asarray(position + b >= n)


def _lengths(evidence: _Evidence, passes: _Passes, per_pass: int) -> list[int]:
    """The numbers of steps an epoch may have: all, or those that can show."""
    total, rows = evidence.num_steps, evidence.rows
    if total <= _SHORT_RUN:
        return [*range(1, total + 2), *([per_pass] if per_pass > total + 1 else [])]
    found = {total, total + 1, per_pass, 2 * per_pass} - {0}
    places = _irregular(evidence)
    for at in places:
        found |= _divisors(at)
        if per_pass:
            found |= _divisors(at % per_pass)
    found |= {d for d in _divisors(total) if total // d <= 64}
    if rows.epoch is not None:
        turns = np.flatnonzero(np.diff(rows.epoch))
        found |= {int(turn) + 1 for turn in turns[:1]}
        found |= {int(length) for length in np.diff(turns[:4])}
    return sorted(s for s in found if 1 <= s <= total + 1)


def _irregular(evidence: _Evidence) -> list[int]:
    """Steps after which a window may have been cut: where an update comes early, or so long before a late one."""
    applied = evidence.applied
    if applied is None:
        return []
    at = np.flatnonzero(applied == 1) + 1
    gaps = np.diff(at, prepend=0)
    if not len(gaps) or (gaps == gaps[0]).all():
        return []
    values = [int(gaps[0]), int(gaps.max()), int(gaps.min()), int(np.bincount(gaps).argmax())]
    found: set[int] = set()
    for k in set(values):
        early, late = at[gaps < k], at[gaps > k]
        found |= {int(step) for step in early[:2]} | {int(step) - k for step in late[:2]}
    # All windows may be cut, or none be full before the first cut.
    found |= {int(step) for step in at[:2]} | {int(at[0]) - k for k in values}
    return sorted(step for step in found if step > 0)


@lru_cache(maxsize=256)
def _divisors(number: int) -> frozenset[int]:
    small = [d for d in range(1, math.isqrt(max(number, 0)) + 1) if number % d == 0]
    return frozenset(small) | frozenset(number // d for d in small)


def _windows(evidence: _Evidence, epochs: _Epochs) -> Iterator[tuple[dict[str, Any], set[str]]]:
    """The windows that give the updates of all steps, but for the last of a run that ended there."""
    applied = evidence.applied
    if applied is None:
        yield {}, set()
        return
    judged = len(applied) - evidence.rows.complete
    if (applied == 1).all():
        yield {"gradient_accumulation_steps": 1}, set()
    for boundary, leftover, cuts in _cuts(epochs):
        for k, bad, free in _window_sizes(evidence, cuts, leftover == "flush"):
            if bad < judged:
                continue
            fields = {
                "gradient_accumulation_steps": k,
                "accumulation_boundary": boundary,
                "accumulation_remainder": leftover,
            }
            yield fields, {"gradient_accumulation_steps"} if free else set()


def _cuts(epochs: _Epochs) -> Iterator[tuple[str, str, Flags]]:
    """What may cut windows, and what becomes of them; leak leaves the same updates as drop."""
    none = np.zeros_like(epochs.epoch_ends)
    for boundary in ("epoch", "pass"):
        ends = epochs.pass_ends if boundary == "pass" else epochs.epoch_ends
        yield boundary, "flush", ends
        yield boundary, "drop", ends
        yield boundary, "carry", none


def _window_sizes(evidence: _Evidence, cuts: Flags, flush: bool) -> list[tuple[int, int, bool]]:
    """Windows that may explain the updates with these cuts: their steps, first misfit, and whether more would do."""
    held = evidence.__dict__.setdefault("windows", {})
    key = (flush, cuts.tobytes())
    if key not in held:
        held[key] = list(_sized(evidence, cuts, flush))
    found: list[tuple[int, int, bool]] = held[key]
    return found


def _sized(evidence: _Evidence, cuts: Flags, flush: bool) -> Iterator[tuple[int, int, bool]]:
    applied = evidence.applied
    assert applied is not None
    judged = len(applied) - evidence.rows.complete  # how a run ends is looked at with its limits
    count = np.arange(1, len(applied) + 1)
    last = np.maximum.accumulate(np.where(cuts, count, 0))
    since = count - np.concatenate([[0], last[:-1]])  # steps since the last cut, this one included
    free_of_cut = ~cuts if flush else np.ones_like(cuts)
    # The first update that no cut explains fills a window, and so tells its size.
    filled = np.flatnonzero((applied[:judged] == 1) & free_of_cut[:judged])
    until = int(filled[0]) if len(filled) else judged
    longest = int(since[:until][free_of_cut[:until]].max(initial=1))
    sizes = [(longest + 1, False), (longest + 2, True)]
    if len(filled):
        sizes = [(int(since[until]), False), *sizes]
    for k, free in sizes:
        if k < 2:
            continue
        expected = since % k == 0
        if flush:
            expected = expected | cuts
        bad = _first(applied[:judged] != expected[:judged])
        yield k, bad if bad < judged else len(applied), free


def _ended(
    evidence: _Evidence, passes: _Passes, fields: dict[str, Any], epochs: int
) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """Limits, and what becomes of an open window, that end the run after its last step.

    A limit of epochs is given relative to ``epochs``, the number of those begun.
    """
    total, rows = evidence.num_steps, evidence.rows
    open_ends: list[dict[str, Any]] = [{}]
    if fields.get("gradient_accumulation_steps", 1) > 1:
        open_ends = [{"accumulation_at_end": "drop"}, {"accumulation_at_end": "flush"}]
    if not rows.complete:
        for at_end in open_ends:
            yield {"steps": total + 1, **at_end}, frozenset()
        return
    applied = evidence.applied
    limits: list[tuple[str, int]] = []
    stream = fields["remainder"] == "carry" and "steps_per_epoch" not in fields
    if not stream:
        limits.append(("epochs", epochs))
    elif int(evidence.bounds[-1]) % evidence.n == 0:
        limits.append(("epochs", int(evidence.bounds[-1]) // evidence.n))
    if not passes.short_end:
        limits.append(("steps", total))
        if applied is not None and applied[-1] == 1 and rows.updates is not None:
            limits.append(("updates", int(rows.updates[-1])))
        if fields.get("on_exhaustion") == "stop":
            limits.append(("epochs", epochs + 1))
    for name, value in limits:
        for at_end in open_ends:
            try:
                cadence = Cadence(_plan({**fields, name: value, **at_end}), evidence.n)
            except PlanError:
                continue
            if cadence.num_steps != total:
                continue
            if rows.updates is not None and cadence.num_updates != rows.updates[-1]:
                continue
            unreached = name == "epochs" and value > epochs and not stream
            yield (
                {name: value - epochs if name == "epochs" else value, **at_end},
                frozenset({"epochs"} if unreached else ()),
            )


def _labelled(evidence: _Evidence, passes: _Passes, epochs: _Epochs) -> bool:
    """Whether the loop's own labels are those of the hypothesis; counted from 0 or from 1."""
    rows, total = evidence.rows, evidence.num_steps
    number = epochs.epoch[:total]
    if rows.epoch is not None and (rows.epoch - rows.epoch[0] != number - number[0]).any():
        return False
    if rows.padding is not None and (rows.padding != passes.padding[:total]).any():
        return False
    if rows.step_in_epoch is not None:
        begins = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
        inside = np.arange(total) - np.repeat(begins, np.diff(begins, append=total))
        return not (rows.step_in_epoch - rows.step_in_epoch[0] != inside).any()
    return True


# Telling

_NO_END = "The rows are no complete run: its limits cannot be told."

_PLAIN = {  # what counts as no statement
    "remainder": "keep",
    "on_exhaustion": "repeat",
    "accumulation_boundary": "epoch",
    "accumulation_remainder": "flush",
    "accumulation_at_end": "drop",
}


def _effort(fit: _Fit) -> float:
    """How much a plan says."""
    fields = fit.fields
    said = float(sum(fields.get(name, value) != value for name, value in _PLAIN.items()))
    if (s := fields.get("steps_per_epoch")) is not None:
        usual = "continue" if fields["remainder"] == "carry" else "restart"
        said += 2 + (fields["epoch_iterator"] != usual) + s * 1e-6
    if (k := fields.get("gradient_accumulation_steps", 1)) > 1:
        said += 1.5 + k * 1e-6
    said += 0.0 if "epochs" in fields else 0.1 if "steps" in fields else 0.2
    return said


def _told(evidence: _Evidence, fits: list[_Fit], known: bool) -> Inference:
    """What the fitting plans share, where they part, and the simplest of them."""
    rows, notes = evidence.rows, []
    if any(column is not None for column in (rows.epoch, rows.step_in_epoch, rows.padding)):
        labelled = [fit for fit in fits if fit.labelled]
        if labelled and len(labelled) < len(fits):
            if _values(_plainest(labelled)[0]) != _values(_plainest(fits)[0]):
                notes.append("By the loop's labels, of the plans that the rows alone cannot tell apart.")
            fits = labelled
        elif not labelled:
            notes.append("The loop's labels are those of no plan that explains the rows; they were left aside.")
    fits, other_epochs = _plainest(fits)
    if other_epochs:
        notes.append("An epoch is taken to be a pass; epochs of other lengths would leave the same rows.")
    simplest = min(fits, key=lambda fit: _WEIGHT * _effort(fit) - fit.passes.chance)
    values = _values(fits)
    kinds = _likely_kinds(fits)
    order, seed, order_values = _order_told(kinds)
    # A plan says one order: that of its own passes which is most likely, and of equals the plainest.
    own = max(
        simplest.passes.kinds, key=lambda kind: (kind.chance, kind.order == "sequential", kind.reshuffle), default=None
    )
    said = {} if own is None else {"order": own.order} if own.order == "sequential" else {
        "seed": own.seed or 0, "reshuffle": own.reshuffle
    }  # fmt: skip
    plan = _plan({**simplest.fields, **said})
    certain: dict[str, Any] = {}
    undecided: dict[str, tuple[Any, ...]] = {}
    for name, found in {**values, **order_values}.items():
        if len(found) > 1:
            undecided[name] = found
        elif found and not (name in ("epochs", "steps", "updates") and found[0] is None):
            certain[name] = found[0]
    if not rows.complete:
        for name in ("epochs", "steps", "updates", "accumulation_at_end"):
            certain.pop(name, None)
            undecided.pop(name, None)
        notes.append(_NO_END)
    if rows.updates is None:
        undecided["gradient_accumulation_steps"] = (1, MORE)
        certain.pop("gradient_accumulation_steps", None)
        notes.append("The updates are not known, and so neither is accumulation.")
    if rows.ids is None:
        notes.append("The ids are not known: passes are told as far as the sizes show them, their order is not.")
    elif (left := _order_left(evidence, simplest.passes, kinds)) is not None:
        notes.append(left)
    elif seed is None and order in ("same each pass", "new each pass"):
        notes.append("The order is no one of xframe's that was tried; the plan's seed stands for any.")
    if not known:
        order = "unknown"
    return Inference(plan, evidence.n, order, seed, certain, undecided, None, tuple(notes))


def _plainest(fits: list[_Fit]) -> tuple[list[_Fit], bool]:
    """Without the plans that have one setting more than another and nothing to show for it.

    Returns them, and whether epochs of another length than a pass were among those left out.
    """
    # Accumulation of which each window is cut after its first step.
    at_once = {id(fit.passes) for fit in fits if fit.fields.get("gradient_accumulation_steps") == 1}
    fits = [fit for fit in fits if id(fit.passes) not in at_once or fit.fields.get("gradient_accumulation_steps") == 1]
    # Longer windows, all of which are cut.
    smallest: dict[Any, int] = {}
    for fit in fits:
        key, k = _windows_key(fit, epochs=True), fit.fields.get("gradient_accumulation_steps", 1)
        smallest[key] = min(k, smallest.get(key, k))
    longer = {
        _windows_key(fit, epochs=True)
        for fit in fits
        if fit.fields.get("gradient_accumulation_steps", 1) > smallest[_windows_key(fit, epochs=True)]
    }
    kept = []
    for fit in fits:
        key = _windows_key(fit, epochs=True)
        if fit.fields.get("gradient_accumulation_steps", 1) == smallest[key]:
            more = fit.more | {"gradient_accumulation_steps"} if key in longer else fit.more
            kept.append(fit._replace(more=more))
    # Steps per epoch that nothing depends on.
    without = {_windows_key(fit) for fit in kept if "steps_per_epoch" not in fit.fields}
    plain = [fit for fit in kept if "steps_per_epoch" not in fit.fields or _windows_key(fit) not in without]
    return plain, len(plain) < len(kept)


def _windows_key(fit: _Fit, *, epochs: bool = False) -> tuple[Any, ...]:
    """What two plans with the same passes and windows share; with the same epochs, but windows of any length."""
    names = ("accumulation_boundary", "accumulation_remainder", "accumulation_at_end")
    others = ("steps_per_epoch", "epoch_iterator", "on_exhaustion") if epochs else ("gradient_accumulation_steps",)
    return id(fit.passes), *(fit.fields.get(name) for name in (*names, *others))


def _order_left(evidence: _Evidence, passes: _Passes, kinds: list[_Kind]) -> str | None:
    """Where the samples depart from an order in which they began, if no order that fits is one to be recognised."""
    ids, n = evidence.rows.ids, evidence.n
    first = min(int(evidence.rows.batch_size[0]), n)
    enough = math.lgamma(n + 1) - math.lgamma(n - first + 1) > _UNLIKELY  # of samples in the first batch
    if ids is None or not enough or any(kind.order == "sequential" or kind.seed is not None for kind in kinds):
        return None
    spans = _spans(evidence, passes, evidence.num_steps)
    stored = np.arange(n, dtype=np.int64)
    begun: list[tuple[str, int | None, bool]] = []
    if (ids[:first] == stored[:first]).all():
        begun.append(("as they are stored", None, False))
    begun += [
        (f"in xframe's order of seed {seed}", seed, reshuffle)
        for seed in evidence.seeds_of_first_batch[:1]
        for reshuffle in (True, False)
    ]
    furthest = -1, ""
    for words, seed, reshuffle in begun:
        for p, (start, real) in enumerate(zip(spans.start.tolist(), spans.real.tolist(), strict=True)):
            order = stored[:real] if seed is None else evidence.order(seed, p if reshuffle else 0, real)
            unlike = ids[start : start + real] != order
            if unlike.any():
                furthest = max(furthest, (evidence.step_of(start + _first(unlike)), words))
                break
            if p >= _ORDER_PASSES:
                break
    step, words = furthest
    return f"The samples come {words}, but only up to step {step}." if step > 0 else None


def _values(fits: list[_Fit]) -> dict[str, tuple[Any, ...]]:
    """Field → the values it has in the plans that fit."""
    names = (
        *("batch_size", "remainder", "steps_per_epoch", "epoch_iterator", "on_exhaustion"),
        *("gradient_accumulation_steps", "accumulation_boundary", "accumulation_remainder", "accumulation_at_end"),
        *("epochs", "steps", "updates"),
    )
    found: dict[str, Any] = {name: {fit.fields.get(name) for fit in fits} for name in names}
    found["remainder"] = {remainder for fit in fits for remainder in fit.remainders}
    if "carry" in found["remainder"]:
        found["on_exhaustion"].add(None)  # which carry has none of
    if "drop" in found["accumulation_remainder"]:
        found["accumulation_remainder"].add("leak")
    accumulates = {fit.fields.get("gradient_accumulation_steps", 1) > 1 for fit in fits}
    if True in accumulates:
        found["loss_normalization"] = {"actual", "window", "sum", "samples"} | (
            {None} if False in accumulates else set()
        )
    more = {name for fit in fits for name in fit.more}
    alone = {name for name, values in found.items() if values == {None}} - {
        "epochs",
        "steps",
        "updates",
        "steps_per_epoch",
    }
    return {
        name: (*sorted(values, key=_rank), *((MORE,) if name in more else ()))
        for name, values in found.items()
        if name not in alone
    }


_RANKS = {
    word: rank
    for rank, word in enumerate(
        (
            *("keep", "drop", "pad", "carry", "error", "restart", "continue", "repeat", "short_epoch", "stop"),
            *("epoch", "pass", "flush", "leak", "actual", "window", "sum", "samples"),
        )
    )
}


def _rank(value: Any) -> tuple[int, int]:
    if value is None:
        return 0, 0
    return (1, value) if isinstance(value, int) else (2, _RANKS.get(value, len(_RANKS)))


def _likely_kinds(fits: list[_Fit]) -> list[_Kind]:
    seen = {id(fit.passes): fit.passes for fit in fits}
    kinds = [kind for passes in seen.values() for kind in passes.kinds]
    best = max((kind.chance for kind in kinds), default=0.0)
    return [kind for kind in kinds if kind.chance >= best - _UNLIKELY]


def _order_told(kinds: list[_Kind]) -> tuple[str, int | None, dict[str, tuple[Any, ...]]]:
    """The order in words, xframe's seed if there is one, and the values of the plan's fields."""
    if not kinds:
        return "unknown", None, {"order": ("shuffle", "sequential"), "reshuffle": (True, False)}
    orders = tuple(sorted({kind.order for kind in kinds}, reverse=True))
    reshuffles = tuple(sorted({kind.reshuffle for kind in kinds if kind.order == "shuffle"}, reverse=True))
    values: dict[str, tuple[Any, ...]] = {"order": orders}
    if orders == ("sequential",):
        return "sequential", None, values
    values["reshuffle"] = reshuffles
    seeds = {kind.seed for kind in kinds if kind.order == "shuffle"}
    seed = seeds.pop() if len(seeds) == 1 and len(orders) == 1 else None
    if seed is not None:
        values["seed"] = (seed,)
    if len(orders) == 1 and len(reshuffles) == 1:
        return ("new each pass" if reshuffles[0] else "same each pass"), seed, values
    return "unknown", seed, values


# Where no plan fits


def _first_misfit(evidence: _Evidence, candidates: list[_Passes]) -> int:
    """The most steps from the start that any hypothesis explains."""
    best, applied = 0, evidence.applied
    for passes in sorted(candidates, key=lambda passes: -passes.bad):
        if passes.bad <= best:
            break
        if applied is None:
            best = passes.bad
            continue
        best = max(best, min(passes.bad, _first(applied != 1)))
        for epochs in _epochs(evidence, passes):
            for _, leftover, cuts in _cuts(epochs):
                for _, bad, _ in _window_sizes(evidence, cuts, leftover == "flush"):
                    best = max(best, min(passes.bad, bad))
    # All rows but the last fit, for else there would have been a fit: the run's end is the misfit.
    return min(best, evidence.num_steps - 1)


def _without_passes(evidence: _Evidence, misfit: int) -> bool:
    """Whether samples come twice before any pass is over, and so in most stretches of a pass's length."""
    ids, n = evidence.rows.ids, evidence.n
    if ids is None or len(ids) < 2 * n or n < 8 or evidence.bounds[misfit] >= n:
        return False
    whole = len(ids) // n
    look = min(whole, 64)
    full = [len(np.unique(ids[i * n : (i + 1) * n])) for i in range(look)]
    # Drawn with replacement, a stretch of n holds 63 of 100 samples.
    return 0.5 < float(np.mean(full)) / n < 0.8


def _odd(evidence: _Evidence, candidates: list[_Passes], step: int) -> str:
    """What is odd at the first step that no plan explains."""
    rows, n = evidence.rows, evidence.n
    reasons = {passes.why for passes in candidates if passes.bad == step}
    size, b = int(rows.batch_size[step]), evidence.batch_size
    if all(passes.bad <= step for passes in candidates) and reasons:
        if rows.ids is not None and "range" in reasons:
            batch = rows.ids[rows.bounds[step] : rows.bounds[step + 1]]
            outside = batch[(batch < 0) | (batch >= n)]
            if len(outside):
                return f"sample {int(outside[0])} is none of the {n:,} samples"
        if "repeat" in reasons:
            return "a sample comes again before its pass is over, at a place where no pass begins"
        if "padding" in reasons:
            return "the padding is not the start of its pass"
        if "size" in reasons:
            return f"a batch of {size:,}, where batches have {b:,}" if size != b else f"a full batch of {b:,}"
    applied = evidence.applied
    if applied is not None:
        number = int(applied[step])
        if number < 0:
            return f"the number of updates falls, by {-number:,}"
        if number > 1:
            return f"{number:,} updates with one step"
        return "an update that no window explains" if number else "no update, where one is due"
    return ""


def _first(flags: Flags) -> int:
    """Where the first is set; their number if none is."""
    at = int(flags.argmax()) if len(flags) else 0
    return at if len(flags) and flags[at] else len(flags)


def _plan(fields: dict[str, Any]) -> TrainingPlan:
    return TrainingPlan.from_mapping({name: value for name, value in fields.items() if value is not None})
