"""Hypotheses about why a run's rows are not the reference's, each held against the rows.

Three kinds:

    plans       the reference's plan with one field changed: all rows are predicted
    edits       the reference's rows with one thing done to them: a batch lost, two samples swapped, an update skipped
    signatures  what cannot be predicted, but leaves its mark: an order of its own, a sample drawn twice

Only the first two can be exact, that is give every row of the run. Which is told first, and whether one is certain, is
decided in ``diagnose``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import lgamma, log
from typing import TYPE_CHECKING, Any

import numpy as np

from xframe.diagnosis.reference import (
    MOST_CELLS,
    MOST_SAMPLES,
    SEEDS,
    UNKNOWN,
    Ground,
    batch_keys,
    by_windows,
    cells,
    changed,
    ends,
    first_apart,
    seeds_of,
)
from xframe.errors import UsageError
from xframe.plan import counting
from xframe.plan.cadence import Cadence
from xframe.plan.order import Order
from xframe.trace.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.diagnosis.reference import Cells
    from xframe.plan.training_plan import TrainingPlan

    Ints = NDArray[np.int64]
    Keys = NDArray[np.uint64]

_MOST_TRIED = 8  # places of one batch among the reference's that are tried
_LONGEST_EPOCH = 400  # steps per epoch up to which every length is tried
_MOST_WINDOW = 64


@dataclass(frozen=True)
class Fit:
    """A hypothesis that the rows do not refute.

    Attributes:
        name: of the cause.
        sentence: what happened, with the arithmetic.
        exact: it gives every row of the run.
        late: of what fits as well, it is the least natural.
        labels: the loop's own labels are as it says too, where it says anything of them.
        guess: the rows are as it says, but what it says of the intent is not in them.
        facts: for the settings that mend it.
        plan: the plan that the run follows instead, if it is that kind.
        reference_departs: it is the reference that does so.
    """

    name: str
    sentence: str
    exact: bool = True
    guess: bool = False
    step: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    plan: TrainingPlan | None = None
    reference_departs: bool = False
    late: bool = False
    labels: bool = True


@dataclass(frozen=True, eq=False)
class Case:
    """A ground, and the names of the two sides."""

    ground: Ground
    run: str
    other: str  # "the plan", or the reference's name

    @cached_property
    def keys(self) -> Keys:
        """The candidate's batches."""
        return batch_keys(self._plain(self.ground.candidate))

    @cached_property
    def theirs(self) -> Keys:
        """The reference's batches."""
        return batch_keys(self._plain(self.ground.rows))

    @cached_property
    def beyond(self) -> Rows:
        """The reference's rows and what would follow, as far as the candidate may reach."""
        return self._plain(self.ground.extended(2 * len(self.ground.candidate) + 2))

    @cached_property
    def followed(self) -> Keys:
        return batch_keys(self.beyond)

    @cached_property
    def parts(self) -> int | None:
        """The first step whose batch is another, or that one side has not."""
        return first_apart(self.keys, self.theirs)

    @cached_property
    def step(self) -> int | None:
        """The first step that differs in anything observed."""
        mine, theirs = self.ground.candidate.updates, self.ground.rows.updates
        found = [self.parts, None if mine is None or theirs is None else first_apart(mine, theirs)]
        return min((one for one in found if one is not None), default=None)

    @cached_property
    def whole(self) -> bool:
        """Whether both runs were seen to their end."""
        return self.ground.candidate.complete and self.ground.rows.complete

    @property
    def same_batches(self) -> bool:
        """Whether all batches are the reference's, as far as the candidate goes."""
        if self.parts is None:
            return True
        return not self.whole and self.parts == min(len(self.keys), len(self.theirs))

    def _plain(self, rows: Rows) -> Rows:
        return rows if self.ground.has_ids else rows.only("batch_size", "updates")

    def lengths(self) -> str:
        """What both sides count, where they differ: ": 84 steps where 87 are due, 3 fewer"."""
        mine, theirs = self.ground.candidate, self.ground.rows
        if not self.whole:
            return ""
        told = []
        if len(mine) != len(theirs):
            told.append(_apart(len(mine), len(theirs), "step"))
        if mine.updates is not None and theirs.updates is not None and len(mine) and len(theirs):
            a, b = int(mine.updates[-1]), int(theirs.updates[-1])
            if a != b and (a, b) != (len(mine), len(theirs)):
                told.append(_apart(a, b, "update"))
        return ": " + ", and ".join(told) if told else ""


def _apart(mine: int, due: int, noun: str) -> str:
    by = abs(mine - due)
    return f"{_of(mine, noun)} where {due:,} {_are(due)} due, {by:,} {'more' if mine > due else 'fewer'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _of(count: int, noun: str) -> str:
    plural = {"batch": "batches", "pass": "passes"}.get(noun, noun + "s")
    return f"{count:,} {noun if count == 1 else plural}"


def hypotheses(case: Case) -> Iterator[Fit]:
    """Every hypothesis that the rows do not refute."""
    for find in _FINDERS:
        yield from find(case)


# --- plans with one field changed --------------------------------------------------------------------


_DOES = {
    "keep": "keeps them as a short batch",
    "drop": "drops them",
    "pad": "fills their batch up from the start of the pass",
    "carry": "fills their batch up from the next pass",
    "error": "leaves none",
}
_REMAINDERS = {
    "drop": ("short-batch-dropped", "drops the {r} left over at the end of each pass"),
    "keep": ("short-batch-kept", "trains on a short batch of the {r} left over at the end of each pass"),
    "pad": (
        "short-batch-padded",
        "fills the batch of the {r} left over at the end of each pass with {more} it has seen",
    ),
    "carry": ("batches-straddle-passes", "puts the {r} left over at the end of each pass into one batch with the next"),
}
_LEFTOVERS = {
    "flush": ("leftover-flushed", "updates with what is left of a window of {k}", "updates with it"),
    "drop": ("leftover-dropped", "throws away what is left of a window of {k}", "throws it away"),
    "leak": ("leftover-leaked", "leaves what is left of a window of {k} to the next update", "leaves it to the next"),
    "carry": ("leftover-carried", "carries what is left of a window of {k} on", "goes on with it"),
}
_LIMIT_NOUNS = {"epochs": "epoch", "steps": "step", "updates": "update"}


def _facts(plan: TrainingPlan, n: int, **more: Any) -> dict[str, Any]:
    b = plan.batch_size
    return {
        "remainder": plan.remainder,
        "leftover": plan.accumulation_remainder,
        "boundary": plan.accumulation_boundary,
        "at_end": "update" if plan.accumulation_at_end == "flush" else "no update",
        "b": b,
        "k": plan.gradient_accumulation_steps,
        "order": plan.order,
        "n": n,
        "s": plan.steps_per_epoch,
        "missing": -n % b,
        **more,
    }


def _plans(case: Case) -> Iterator[Fit]:
    """The plan with one field changed, for each plan that gives the reference's rows."""
    ground = case.ground
    n = ground.num_samples
    if n is None or not len(ground.candidate):
        return
    told: set[str] = set()
    for plan in ground.plans:
        for table in _CHANGES:
            for name, fields, sentence, found in table(case, plan, n):
                if name in told:
                    continue
                other = changed(plan, **fields)
                match = ground.match(other) if other is not None and other != plan else None
                if match is None:
                    continue
                told.add(name) if match.labels else None
                yield Fit(
                    name,
                    f"{case.run} {sentence}{case.lengths()}",
                    exact=match.labels and match.told > 0.5,
                    step=case.step,
                    facts=_facts(plan, n, **({} if found is None else {"found": found})),
                    plan=other,
                    labels=match.labels,
                )


Change = tuple[str, dict[str, Any], str, Any]


def _remainders(case: Case, plan: TrainingPlan, n: int) -> Iterator[Change]:
    b = plan.batch_size
    r = n % b
    if not r:
        return
    for remainder, (name, words) in _REMAINDERS.items():
        if remainder == plan.remainder:
            continue
        text = words.format(r=_of(r, "sample"), more=f"{_of(b - r, 'sample')} that") + f" ({n:,} mod {b:,} = {r:,})"
        fields: dict[str, Any] = {"remainder": remainder}
        if plan.remainder == "carry" and plan.steps_per_epoch is not None:
            fields["on_exhaustion"] = "repeat"
        yield name, fields, f"{text}; {case.other} {_DOES[plan.remainder]}", remainder


def _batch_sizes(case: Case, plan: TrainingPlan, n: int) -> Iterator[Change]:
    b, found = plan.batch_size, int(case.ground.candidate.batch_size.max())
    if found < 1 or found == b:
        return
    text = f"takes batches of {found:,}; {case.other} has {b:,}"
    many, few = max(b, found), min(b, found)
    if many % few == 0:
        times = f"{found // b:,} x {b:,}" if found > b else f"{b:,} / {b // found:,}"
        why = f"{found:,} = {times}, as where a size per replica is taken for the global one, or back"
        yield "batch-size-per-replica", {"batch_size": found}, f"{text} ({why})", found
    yield "batch-size", {"batch_size": found}, text, found


def _epoch_lengths(case: Case, plan: TrainingPlan, n: int) -> Iterator[Change]:
    s, seen = plan.steps_per_epoch, case.ground.candidate
    tried: list[int] = []
    if seen.epoch is not None and len(seen):
        first = first_apart(seen.epoch, np.full(len(seen), seen.epoch[0]))
        tried.append(len(seen) if first is None else first)
    if s is not None:
        tried += [s - 1, s + 1, *range(1, min(2 * s + 2, _LONGEST_EPOCH))]
        if case.parts is not None:
            tried += [case.parts, case.parts + 1]
    for other in dict.fromkeys(tried):
        if other < 1 or other == s:
            continue
        there = "whole passes" if s is None else _of(s, "step")
        text = f"has epochs of {_of(other, 'step')}; {case.other} has epochs of {there}"
        ways: list[dict[str, Any]] = [{}]
        if s is None:
            # Whole passes without their short batch are no epochs of another length.
            kinds = ("continue",) if other == n // plan.batch_size else ("restart", "continue")
            ways = [{"epoch_iterator": kind} for kind in kinds]
        for way in ways:
            yield "steps-per-epoch", {"steps_per_epoch": other, **way}, text, other
    if s is not None:
        text = f"has epochs of whole passes; {case.other} has epochs of {_of(s, 'step')}"
        yield "steps-per-epoch", {"steps_per_epoch": None}, text, None


def _epoch_ends(case: Case, plan: TrainingPlan, n: int) -> Iterator[Change]:
    s = plan.steps_per_epoch
    if s is None:
        return
    words = {
        "restart": "begins a new pass with each epoch",
        "continue": "goes on with the pass over the end of an epoch",
    }
    for kind, text in words.items():
        if kind != plan.epoch_iterator:
            yield (
                "epoch-iterator",
                {"epoch_iterator": kind},
                f"{text} of {_of(s, 'step')}; {case.other} {words[plan.epoch_iterator or 'restart']}",
                kind,
            )
    does = {
        "repeat": "fills the epoch up from the next pass",
        "short_epoch": "ends the epoch",
        "stop": "ends training",
    }
    for exhaustion, text in does.items():
        if plan.on_exhaustion is not None and exhaustion != plan.on_exhaustion:
            yield (
                "short-epoch",
                {"on_exhaustion": exhaustion},
                f"{text} where the data run out before its {s:,} steps; {case.other} {does[plan.on_exhaustion]}",
                exhaustion,
            )


def _accumulation(case: Case, plan: TrainingPlan, n: int) -> Iterator[Change]:
    k = plan.gradient_accumulation_steps
    seen = case.ground.candidate.updates
    if seen is None or not len(seen):
        return
    if k > 1:
        text = f"updates after every step; {case.other} after every {k:,}"
        yield "updates-counted-as-steps", {"gradient_accumulation_steps": None}, text, 1
    at = np.flatnonzero(np.diff(seen, prepend=0)) + 1
    gaps = [int(at[0]), int(np.diff(at, prepend=0).max())] if len(at) else []
    ways: list[dict[str, Any]] = [{}]
    if k == 1:
        ways = [{"accumulation_remainder": kind} for kind in ("flush", "carry", "drop")]
        ways += [{**way, "accumulation_at_end": "flush"} for way in ways]
    for other in dict.fromkeys([*gaps, 1, 2, k // 2, k - 1, k + 1, 2 * k]):
        if 1 <= other != k:
            often = "step" if other == 1 else f"{other:,} steps"
            text = f"updates after every {often}; {case.other} after every {k:,}"
            if not len(at):  # of how long its windows are, only that none is over
                text = f"never updates; {case.other} does after every {k:,}"
            for way in ways:
                # Alone it is to be written into the plan only where the rest is as a plan without more has it.
                alone = len(at) and way in ({}, {"accumulation_remainder": "flush"})
                fields = {"gradient_accumulation_steps": other, **way}
                yield "accumulation-steps", fields, text, other if alone else None
    if k == 1:
        return
    end = plan.accumulation_boundary
    for leftover, (name, text, _) in _LEFTOVERS.items():
        there = _LEFTOVERS[plan.accumulation_remainder or "flush"][2]
        if leftover != plan.accumulation_remainder:
            words = f"{text.format(k=k)} at the end of each {end}; {case.other} {there}"
            yield name, {"accumulation_remainder": leftover}, words, leftover
    other_end = "pass" if end == "epoch" else "epoch"
    words = f"cuts its windows at the end of each {other_end}; {case.other} at the end of each {end}"
    yield "window-cut-elsewhere", {"accumulation_boundary": other_end}, words, other_end
    for at_end, words in (("flush", "updates with"), ("drop", "throws away")):
        if at_end != plan.accumulation_at_end:
            text = f"{words} the window that is open when training stops; {case.other} does not"
            yield "window-at-training-end", {"accumulation_at_end": at_end}, text, at_end


def _orders(case: Case, plan: TrainingPlan, n: int) -> Iterator[Change]:
    if not case.ground.has_ids:
        return
    if plan.order == "sequential":
        for seed in _seeds(case, plan, n):
            # In one pass the two are the same, and the first says less.
            for reshuffle, words in ((False, "shuffles the samples"), (True, "shuffles the samples anew each pass")):
                text = f"{words} (xframe's seed {seed:,}); {case.other} goes through them in their stored order"
                fields = {"order": "shuffle", "seed": seed, "reshuffle": reshuffle}
                plainly = f'order = "shuffle", seed = {seed}, reshuffle = {str(reshuffle).lower()}'
                yield "reshuffled", fields, text, plainly
        return
    yield (
        "not-shuffled",
        {"order": "sequential"},
        f"goes through the samples in their stored order; {case.other} shuffles",
        None,
    )
    if plan.reshuffle:
        text = f"repeats the first pass's order in every pass; {case.other} shuffles anew"
        yield "same-order-every-pass", {"reshuffle": False}, text, None
    else:
        text = f"shuffles anew each pass; {case.other} keeps one order"
        yield "reshuffled", {"reshuffle": True}, text, None
    for seed in _seeds(case, plan, n):
        text = f"shuffles by seed {seed:,}; {case.other} by seed {plan.seed:,}"
        if seed != plan.seed:
            yield "other-seed", {"seed": seed}, text, seed


def _seeds(case: Case, plan: TrainingPlan, n: int) -> list[int]:
    """Seeds by which the candidate may shuffle."""
    seen = case.ground.candidate
    try:
        part = counting.rows(plan, n, 0, 1)
    except UsageError:
        return []
    first = cells(plan, n, part)
    if seen.ids is None or not len(seen.ids):
        return []
    few = min(len(first.positions), int(seen.batch_size[0]))
    return list(seeds_of(seen.ids[:few], first.positions[:few], first.passes[:few], n, reshuffle=plan.reshuffle))[:4]


def _limits(case: Case, plan: TrainingPlan, n: int) -> Iterator[Change]:
    """Each limit removed, put in another's unit, or one off."""
    limits = {name: value for name, value in plan.limits._asdict().items() if value is not None}
    steps, nothing = len(case.ground.candidate), dict.fromkeys(("epochs", "steps", "updates"))
    for name, value in limits.items():
        text = f"its limit of {_of(value, _LIMIT_NOUNS[name])}"
        if len(limits) > 1:
            yield "limit-confused", {name: None}, f"does not look at {text}", None
        for unit, noun in _LIMIT_NOUNS.items():
            if unit == name:
                continue
            words = f"takes {text} for one of {_of(value, noun)}"
            yield "limit-confused", {**nothing, **limits, name: None, unit: value}, words, None
            yield "limit-confused", {**nothing, unit: value}, words, None
        if name == "epochs" and plan.steps_per_epoch is not None:
            walked = _steps_of_passes(plan, n, value)
            epochs = f"{_of(value, 'epoch')} of {plan.steps_per_epoch:,} steps"
            words = f"ends after {_of(value, 'pass')}, where {epochs} are due"
            yield "limit-confused", {**nothing, "steps": walked}, words, None
    if plan.epochs is not None and plan.remainder == "carry":  # its last batch is shorter than it would be
        for fewer in range((steps - 1) * plan.batch_size // n + 1, steps * plan.batch_size // n + 1)[-_MOST_TRIED:]:
            if fewer != plan.epochs:
                words = f"ends after {_of(fewer, 'epoch')} where {plan.epochs:,} {_are(plan.epochs)} due"
                yield "limit-confused", {"epochs": fewer}, words, None
    due = len(case.ground.rows)
    if abs(steps - due) == 1 and case.whole:
        more = steps > due
        text = f"makes one step {'more than the' if more else 'less than the'} {due:,} that are due"
        yield f"one-step-{'more' if more else 'less'}", {**nothing, "steps": steps}, text, steps


def _steps_of_passes(plan: TrainingPlan, n: int, passes: int) -> int:
    """The steps after which so many passes are over."""
    try:
        cadence = Cadence(plan, n)
    except UsageError:
        return 1
    return max(1, passes * cadence.steps_per_pass if cadence.steps_per_pass else -(-passes * n // cadence.batch_size))


_CHANGES: tuple[Callable[[Case, TrainingPlan, int], Iterator[Change]], ...] = (
    _remainders,
    _batch_sizes,
    _epoch_lengths,
    _epoch_ends,
    _accumulation,
    _orders,
    _limits,
)


# --- edits of batches --------------------------------------------------------------------------------


def _batches(case: Case) -> Iterator[Fit]:
    """A batch lost, repeated, swapped; the rows begun again from another place; all of them doubled."""
    p, mine, follow = case.parts, case.keys, case.followed
    if p is None or case.same_batches or not len(mine):
        return
    length, due = len(mine), len(case.theirs)
    index = np.arange(max(len(follow), length), dtype=np.int64)
    at = f"step {p:,}"

    def edit(name: str, where: Ints, text: str, *, late: bool = False) -> Iterator[Fit]:
        if len(where) == length and _is_so(case, where):
            exact = _updates_follow(case, where)
            yield Fit(
                name, f"{case.run} {text}{case.lengths()}", exact, step=case.step, late=late, facts=_edit_facts(case)
            )

    if length in (due - 1, due) or not case.whole:
        lost = np.delete(index, p)[:length]
        text = (
            "its last batch is missing"
            if p == due - 1
            else f"the batch of {at} is missing, the next one follows at once"
        )
        yield from edit("batch-lost", lost, f"loses a batch: {text}")
    earlier = np.flatnonzero(follow[:p] == mine[p])[-_MOST_TRIED:] if p < length else np.zeros(0, np.int64)
    for j in earlier:
        text = f"trains on the batch of step {j:,} again at {at}"
        if length in (due, due + 1) or not case.whole:
            yield from edit("batch-repeated", np.insert(index, p, j)[:length], text)
        if length == due:
            place = index[:length].copy()
            place[p] = j
            yield from edit("batch-repeated", place, f"{text}, in place of its own")
    if p < length:
        for j in np.flatnonzero(follow[p + 1 :] == mine[p])[:_MOST_TRIED] + p + 1:
            if j >= length:
                continue
            swapped = index[:length].copy()
            swapped[[p, j]] = j, p
            yield from edit(
                "batches-swapped", swapped, f"has the batches of steps {p:,} and {j:,} in each other's place"
            )
            twice = index[:length].copy()
            twice[p] = j
            yield from edit(
                "batch-repeated", twice, f"trains on the batch of step {j:,} at {at} already, in place of its own"
            )
    yield from _jumps(case, edit, index)
    for times in range(2, 9):
        if length >= 2 * times and (length == times * due or not case.whole or length == due):
            text = f"trains on every batch {times} times in a row, as where {times} workers all read the same data"
            yield from edit("shard-repeated", np.repeat(index, times)[:length], text)


def _jumps(case: Case, edit: Callable[..., Iterator[Fit]], index: Ints) -> Iterator[Fit]:
    """From step p on the reference's rows from another place."""
    p, mine, follow = case.parts, case.keys, case.followed
    if p is None or p >= len(mine) or p == 0:
        return
    for u in np.flatnonzero(follow == mine[p])[:_MOST_TRIED]:
        if u in (p, p + 1, p - 1) or u + len(mine) - p > len(follow):
            continue
        where = np.concatenate([index[:p], np.arange(u, u + len(mine) - p, dtype=np.int64)])
        back = f"{_of(p - u, 'step')} back" if u < p else f"{_of(u - p, 'step')} ahead"
        text = f"goes on from another place at step {p:,}: with the batch of step {u:,}, {back}"
        yield from edit("resumed-at-wrong-place", where, text)
        if u > p:
            many = f"loses {_of(u - p, 'batch')}"
        else:
            last = min(p, u + len(mine) - p) - 1
            which = f"batches of steps {u:,} to {last:,}" if last > u else f"batch of step {u:,}"
            many = f"trains on the {which} again"
        yield from edit("batch-repeated" if u < p else "batch-lost", where, f"{many} at step {p:,}", late=True)


def _edit_facts(case: Case, **more: Any) -> dict[str, Any]:
    plan, n = case.ground.plan, case.ground.num_samples
    return {} if plan is None or n is None else _facts(plan, n, **more)


def _is_so(case: Case, where: Ints) -> bool:
    """Whether the candidate's batches are the reference's of these steps."""
    follow = case.followed
    return not len(where) or bool(where.max() < len(follow) and np.array_equal(follow[where], case.keys))


def _updates_follow(case: Case, where: Ints) -> bool:
    """Whether the updates are as they would be, had these steps been made in turn."""
    seen, known = case.ground.candidate.updates, case.beyond.updates
    if seen is None or known is None or not len(seen):
        return True
    tries: list[Ints] = [known[: len(where)]]
    if where.max() < len(known):
        tries.append(known[where])
    plan, n = case.ground.plan, case.ground.num_samples
    k = 1 if plan is None else plan.gradient_accumulation_steps
    tries.append(np.arange(1, len(where) + 1, dtype=np.int64) // k)
    if plan is not None and n is not None and k > 1:
        endless = changed(plan, epochs=None, updates=None, steps=int(where.max()) + 1)
        cuts = (
            None if endless is None else ends(endless, n, int(where.max()) + 1, plan.accumulation_boundary or "epoch")
        )
        if cuts is not None:
            tries.append(by_windows(cuts[where], k, plan.accumulation_remainder or "flush"))
    # The very last step may have its update or not: what training does with an open window is not the question here.
    return any(
        len(one) == len(seen) and np.array_equal(one[:-1], seen[:-1]) and abs(int(one[-1]) - int(seen[-1])) <= (k > 1)
        for one in tries
    )


def _ending(case: Case) -> Iterator[Fit]:
    """The same rows, and then one side goes on."""
    length, due = len(case.keys), len(case.theirs)
    if not case.whole or length == due or case.parts != min(length, due):
        return
    shared = min(length, due)
    mine, theirs = case.ground.candidate, case.ground.rows
    exact = True
    for name in ("updates", "epoch"):
        a, b = getattr(mine, name), getattr(theirs, name)
        if a is not None and b is not None and shared > 1:
            exact &= bool(np.array_equal(a[: shared - 1], b[: shared - 1]))
    facts = _edit_facts(case, found=length)
    if abs(length - due) == 1:
        more = length > due
        text = f"makes one step {'more' if more else 'less'} than the {due:,} of {case.other}"
        if more and length > 1 and case.keys[-1] == case.keys[-2]:
            text += ", with the last batch again"
        yield Fit(
            "one-step-more" if more else "one-step-less",
            f"{case.run} {text}{case.lengths()}",
            exact,
            step=shared,
            facts=facts,
        )
    ends_with = [
        (f"{case.other} applies {_of(due_updates, 'update')}", due_updates == length)
        for due_updates in ([int(theirs.updates[-1])] if theirs.updates is not None and due else [])
    ]
    unit = next((f": as many as {text}" for text, so in ends_with if so), "")
    if not unit and mine.updates is not None and length and int(mine.updates[-1]) == due:
        unit = f": until it has as many updates as {case.other} has steps"
    text = f"makes {_of(length, 'step')} where {due:,} are due{unit}; before step {shared:,} samples and updates agree"
    yield Fit("limit-confused", f"{case.run} {text}", exact=False, step=shared, facts=facts)


# --- edits of samples --------------------------------------------------------------------------------


def _samples(case: Case) -> Iterator[Fit]:
    """A sample lost, repeated, swapped, put in; another order in the batches."""
    ground = case.ground
    mine, theirs = ground.candidate, ground.rows
    if not ground.has_ids or case.same_batches or mine.ids is None or theirs.ids is None:
        return
    if len(mine) != len(theirs) and case.whole:
        if len(mine) < len(theirs):
            yield from _stream_edits(case)
        return
    shared = min(len(mine), len(theirs))
    follow = _updates_follow(case, np.arange(shared, dtype=np.int64)) if shared else False
    if not np.array_equal(mine.batch_size[:shared], theirs.batch_size[:shared]):
        yield from _stream_edits(case)
        return
    a, b = mine.ids[: mine.bounds[shared]], theirs.ids[: theirs.bounds[shared]]
    places = np.flatnonzero(a != b)
    if not len(places):
        return
    step = np.searchsorted(mine.bounds, places, side="right") - 1
    facts = _edit_facts(case)
    sets = [batch_keys(rows.head(shared), ordered=False) for rows in (mine, theirs)]
    if np.array_equal(sets[0], sets[1]):
        count = len(np.unique(step))
        where = f"{_of(count, 'batch')} ({_of(len(places), 'place')})"
        text = f"has the same samples in every batch, in another order in {where}"
        yield Fit("order-inside-batches", f"{case.run} {text}", follow, step=case.step, facts=facts)
        return
    if len(places) == 2 and a[places[0]] == b[places[1]] and a[places[1]] == b[places[0]]:
        i, j = (int(place) for place in places)
        text = f"has samples {b[i]:,} and {b[j]:,} in each other's place, in steps {step[0]:,} and {step[1]:,}"
        yield Fit("samples-swapped", f"{case.run} {text}", follow, step=case.step, facts=facts)
    elif len(places) <= max(4, len(a) // 10) and np.array_equal(np.sort(a[places]), np.sort(b[places])):
        text = f"has {_of(len(places), 'sample')} in other places"
        yield Fit("samples-swapped", f"{case.run} {text}", exact=False, step=case.step, facts=facts)
    yield from _replaced(case, places, step, follow)
    yield from _stream_edits(case)


def _replaced(case: Case, places: Ints, step: Ints, follow: bool) -> Iterator[Fit]:
    """A few samples with others in their place."""
    ground = case.ground
    mine, theirs, n = ground.candidate.ids, ground.rows.ids, ground.num_samples
    assert mine is not None
    assert theirs is not None
    if len(places) > max(1, len(mine) // 20) or len(set(mine[places].tolist())) > 8:
        return
    i = int(places[0])
    new, old = int(mine[i]), int(theirs[i])
    if new < 0 or (n is not None and new >= n):
        return
    begin, end = _pass_around(case, i)
    again = int((mine[begin:end] == new).sum()) > 1
    its_pass = "its pass" if _reference_cells(case) is not None else "the run"
    text = f"has sample {new:,} in step {step[0]:,} in place of {old:,}"
    one = len(places) == 1
    facts = _edit_facts(case)
    if again:
        yield Fit(
            "sample-repeated",
            f"{case.run} {text}, and so twice in {its_pass}",
            one and follow,
            step=case.step,
            facts=facts,
        )
    elif one:
        yield Fit(
            "samples-swapped",
            f"{case.run} {text}, which is in no other place that was reached",
            follow,
            step=case.step,
            facts=facts,
        )
        yield Fit("sample-repeated", f"{case.run} {text}", follow, step=case.step, facts=facts)


def _pass_around(case: Case, place: int) -> tuple[int, int]:
    """Where the pass of that place begins and ends among the ids."""
    where = _reference_cells(case)
    if where is None or place >= len(where.passes):
        return 0, len(case.ground.rows.ids) if case.ground.rows.ids is not None else place + 1
    inside = np.flatnonzero((where.passes == where.passes[place]) & ~where.padding)
    return int(inside[0]), int(inside[-1]) + 1


def _reference_cells(case: Case) -> Cells | None:
    plan, n = case.ground.plan, case.ground.num_samples
    if plan is None or n is None or n > MOST_SAMPLES or not len(case.ground.rows):
        return None
    try:
        return cells(plan, n, counting.rows(plan, n, 0, len(case.ground.rows)))
    except UsageError:
        return None


def _stream_edits(case: Case) -> Iterator[Fit]:
    """One sample taken out of the stream, or put in."""
    ground = case.ground
    mine, theirs = ground.candidate, ground.rows
    a, b = mine.ids, theirs.ids
    if a is None or b is None or not case.whole:
        return
    facts = _edit_facts(case)
    q = first_apart(a, b)
    if q is not None and len(a) == len(b) - 1 and np.array_equal(a[q:], b[q + 1 :]):
        at = int(np.searchsorted(theirs.bounds, q, side="right")) - 1
        short = len(mine) == len(theirs) and bool((np.flatnonzero(mine.batch_size != theirs.batch_size)).size == 1)
        gone = len(mine) == len(theirs) - 1 and int(theirs.batch_size.min()) == 1
        text = f"is without sample {b[q]:,} of step {at:,}"
        follow = _updates_follow(case, np.arange(len(mine), dtype=np.int64))
        yield Fit("sample-lost", f"{case.run} {text}", (short or gone) and follow, step=case.step, facts=facts)
    elif q is not None and len(a) == len(b) + 1 and np.array_equal(a[q + 1 :], b[q:]) and len(mine) == len(theirs):
        at = int(np.searchsorted(mine.bounds, q, side="right")) - 1
        text = f"has sample {a[q]:,} put in at step {at:,}"
        yield Fit("sample-repeated", f"{case.run} {text}", exact=int(a[q]) in b, step=case.step, facts=facts)
    else:
        yield from _filtered(case)


def _filtered(case: Case) -> Iterator[Fit]:
    """One sample that no pass has, or that the first is without, and those behind it move up."""
    ground, plan, n = case.ground, case.ground.plan, case.ground.num_samples
    mine, theirs, where = ground.candidate, ground.rows, _reference_cells(case)
    if plan is None or n is None or where is None or n < 2 or plan.remainder == "pad":
        return
    assert mine.ids is not None
    assert theirs.ids is not None
    q = first_apart(mine.ids, theirs.ids)
    if q is None or q >= len(theirs.ids):
        return
    gone = int(theirs.ids[q])
    endless = ground.extended(len(theirs) + 2)
    if endless.ids is None or (endless.ids == UNKNOWN).any():
        endless = theirs
    assert endless.ids is not None
    never = endless.ids[endless.ids != gone][: len(mine.ids)]
    at = int(np.searchsorted(theirs.bounds, q, side="right")) - 1
    facts = _edit_facts(case)
    if len(never) == len(mine.ids) and np.array_equal(never, mine.ids):
        text = f"never has sample {gone:,}, from step {at:,} on: those behind it move up"
        yield Fit("sample-lost", f"{case.run} {text}", exact=False, step=case.step, facts=facts)
        return
    # In the pass where it is missing the rest moves up; the other passes are whole.
    first = int(where.passes[q])
    inside = np.flatnonzero(where.passes == first)
    end = int(inside[-1])
    if end <= len(mine.ids) and end - q > 1 and np.array_equal(mine.ids[q:end], theirs.ids[q + 1 : end + 1]):
        text = f"is without sample {gone:,} of step {at:,}: those behind it in the pass move up"
        yield Fit("sample-lost", f"{case.run} {text}", exact=False, step=case.step, facts=facts)


def _one_batch_short(case: Case) -> Iterator[Fit]:
    """Sizes alone: one batch has a sample less or more than it should."""
    mine, theirs = case.ground.candidate, case.ground.rows
    if case.ground.has_ids or len(mine) != len(theirs) or not len(mine):
        return
    apart = np.flatnonzero(mine.batch_size != theirs.batch_size)
    if len(apart) != 1:
        return
    at = int(apart[0])
    less = int(theirs.batch_size[at] - mine.batch_size[at])
    if abs(less) <= max(1, int(theirs.batch_size[at]) // 8):
        size, due = int(mine.batch_size[at]), int(theirs.batch_size[at])
        text = f"has {_of(size, 'sample')} in step {at:,}, where {due:,} are due"
        yield Fit(
            "sample-lost" if less > 0 else "sample-repeated",
            f"{case.run} {text}",
            exact=False,
            step=at,
            facts=_edit_facts(case),
        )


def _paddings(case: Case) -> Iterator[Fit]:
    """The last batch of a pass filled up with anything."""
    ground, n = case.ground, case.ground.num_samples
    mine = ground.candidate
    for plan in ground.plans:
        if n is None or n > MOST_SAMPLES or plan.remainder not in ("keep", "pad", "drop") or not n % plan.batch_size:
            continue
        base = changed(plan, remainder="keep")
        try:
            if base is None or Cadence(base, n).num_steps != len(mine) or not len(mine):
                continue
            part = counting.rows(base, n, 0, len(mine))
        except UsageError:
            continue
        if (mine.batch_size < part.batch_size).any() or not (mine.batch_size > part.batch_size).any():
            continue
        short = part.batch_size < plan.batch_size
        if (mine.batch_size[~short] != part.batch_size[~short]).any():
            continue
        if mine.updates is not None and not np.array_equal(mine.updates, part.updates):
            continue
        filled = mine.batch_size[short]
        exact = ground.has_ids and bool((filled > part.batch_size[short]).all() and (filled == filled[0]).all())
        if mine.ids is not None:
            foretold = ground.ids(base, n, cells(base, n, part))
            starts = np.cumsum(part.batch_size) - part.batch_size
            inside = np.arange(len(foretold), dtype=np.int64) - np.repeat(starts, part.batch_size)
            found = mine.ids[np.repeat(mine.bounds[:-1], part.batch_size) + inside]
            sure = foretold != UNKNOWN
            if (found[sure] != foretold[sure]).any():
                continue
            if mine.ids.min() < 0 or mine.ids.max() >= n:
                continue
        rest, b = n % plan.batch_size, plan.batch_size
        if plan.remainder == "pad":
            text = (
                f"fills the batch of the {_of(rest, 'sample')} left over in another way than with the start of the pass"
            )
            if mine.ids is not None and _same_padding(case, base, n):
                continue
            yield Fit(
                "padding-differs",
                f"{case.run} {text}{case.lengths()}",
                exact,
                not ground.given,
                step=case.step,
                facts=_facts(plan, n),
            )
        else:
            text = f"fills the batch of the {_of(rest, 'sample')} left over at the end of a pass"
            text += f" ({n:,} mod {b:,} = {rest:,})"
            text += f" up to {int(filled.max()):,} with samples of the data set"
            yield Fit(
                "short-batch-padded",
                f"{case.run} {text}{case.lengths()}",
                exact,
                not ground.given,
                step=case.step,
                facts=_facts(plan, n),
            )
        return


def _same_padding(case: Case, base: TrainingPlan, n: int) -> bool:
    return case.ground.match(changed(base, remainder="pad")) is not None


def _begun(case: Case, shared: int) -> NDArray[np.int64]:
    """The first step of each pass but the first, where epochs are passes."""
    epochs, plan = case.ground.rows.epoch, case.ground.plan
    if epochs is None or (plan is not None and plan.steps_per_epoch is not None):
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.diff(epochs[:shared])) + 1


# --- edits of updates --------------------------------------------------------------------------------


def _updates(case: Case) -> Iterator[Fit]:
    """An update skipped or doubled, windows shifted: where the batches are the same."""
    mine, theirs = case.ground.candidate.updates, case.ground.rows.updates
    if mine is None or theirs is None or not case.same_batches:
        return
    shared = min(len(mine), len(theirs))
    steps = np.diff(mine[:shared], prepend=0), np.diff(theirs[:shared], prepend=0)
    apart = np.flatnonzero(steps[0] != steps[1])
    if not len(apart):
        return
    facts, t = _edit_facts(case), int(apart[0])
    more = steps[0][apart] - steps[1][apart]
    where = ", ".join(f"{at:,}" for at in apart[:5]) + (", …" if len(apart) > 5 else "")
    if (more < 0).all() and (steps[0] >= 0).all():
        text = f"skips the update of step{'s' if len(apart) > 1 else ''} {where}{case.lengths()}"
        yield Fit("update-skipped", f"{case.run} {text}", len(apart) == 1 and more[0] == -1, step=t, facts=facts)
    elif (more > 0).all():
        due = steps[1][apart] > 0
        many = f"updates too many at steps {where}"
        text = f"applies {f'an update too many at step {where}' if len(apart) == 1 else many}"
        exact = len(apart) == 1 and more[0] == 1 and bool(due.all())
        yield Fit("update-doubled", f"{case.run} {text}{case.lengths()}", exact, step=t, facts=facts)
        begun = _begun(case, shared)
        if len(begun) and np.array_equal(apart, begun) and (more == 1).all():
            text = f"counts an update each time the data run out that no step made (first seen at step {t:,})"
            yield Fit("counted-without-update", f"{case.run} {text}{case.lengths()}", step=t, facts=facts)
    else:
        text = f"has its updates after other steps: first at step {t:,}, in {_of(len(apart), 'step')} in all"
        yield Fit("accumulation-steps", f"{case.run} {text}{case.lengths()}", exact=False, step=t, facts=facts)
    if t == 0 and len(apart) == 1 and (mine[:shared] == theirs[:shared] - 1).all():
        text = "has its updates one step late all through, as where the counter is read before the update"
        yield Fit("update-offset", f"{case.run} {text}{case.lengths()}", step=t, facts=facts)
    by = int(mine[0] - theirs[0])
    if t == 0 and by > 0 and (mine[:shared] == theirs[:shared] + by).all():
        text = f"counts {_of(by, 'update')} more from its first step on, as where the counter does not begin at 0"
        yield Fit("update-offset", f"{case.run} {text}{case.lengths()}", guess=True, step=t, facts=facts)
    yield from _shifted(case, mine)


def _shifted(case: Case, mine: Ints) -> Iterator[Fit]:
    """Windows begun elsewhere, and windows that an end does not cut though the plan has it cut."""
    plan, n = case.ground.plan, case.ground.num_samples
    if plan is None or n is None or n > MOST_SAMPLES or len(mine) != len(case.ground.rows) or not len(mine):
        return
    k, leftover = plan.gradient_accumulation_steps, plan.accumulation_remainder or "flush"
    if k == 1:
        return
    cuts = {kind: ends(plan, n, len(mine), kind) for kind in ("epoch", "pass")}
    own = cuts[plan.accumulation_boundary or "epoch"]
    if own is None:
        return
    facts = _edit_facts(case)
    for begun in range(1, min(k, _MOST_WINDOW)):
        for each in (False, True):
            found = by_windows(own, k, leftover, begun, each=each)
            if np.array_equal(found[:-1], mine[:-1]) and 0 <= int(mine[-1]) - int(found[-1]) <= 1:
                text = f"ends its first window of {k:,} after {_of(k - begun, 'step')}, and so all that follow"
                text += " in each epoch" if each else ""
                yield Fit("update-offset", f"{case.run} {text}{case.lengths()}", step=case.step, facts=facts)
                break
        else:
            continue
        break
    s = plan.steps_per_epoch
    part = counting.rows(plan, n, 0, len(mine))
    full = own & (part.step_in_epoch + 1 == s) if s is not None else own
    if leftover != "carry" and (full != own).any():
        found = by_windows(full, k, leftover)
        if np.array_equal(found[:-1], mine[:-1]) and 0 <= int(mine[-1]) - int(found[-1]) <= 1:
            text = f"carries its window of {k:,} on where the data end an epoch early"
            yield Fit("leftover-carried", f"{case.run} {text}{case.lengths()}", step=case.step, facts=facts)
    theirs = case.ground.rows.updates
    if theirs is not None and np.array_equal(theirs[:-1], mine[:-1]) and abs(int(theirs[-1]) - int(mine[-1])) == 1:
        less = int(mine[-1]) < int(theirs[-1])
        open_then = (
            len(mine) - 1 - int(np.flatnonzero(own[:-1])[-1]) if own[:-1].any() and leftover != "carry" else len(mine)
        ) % k
        if open_then:
            does = "throws away" if less else "updates with"
            text = f"{does} the window of {_of(open_then, 'step')} that is open when training stops"
            yield Fit("window-at-training-end", f"{case.run} {text}{case.lengths()}", step=case.step, facts=facts)


# --- the order ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Walk:
    """One pass of the candidate: its ids without padding, and those that the reference has there."""

    index: int
    ids: Ints
    theirs: Ints
    positions: Ints


def _walks(case: Case) -> list[_Walk]:
    """The candidate's passes, cut where the reference's are; empty if its sizes are others."""
    ground, where = case.ground, _reference_cells(case)
    mine, theirs = ground.candidate, ground.rows
    if not ground.has_ids or where is None or mine.ids is None or theirs.ids is None:
        return []
    shared = min(len(mine), len(theirs))
    if not shared or not np.array_equal(mine.batch_size[:shared], theirs.batch_size[:shared]):
        return []
    upto = int(mine.bounds[shared])
    passes, real = where.passes[:upto], ~where.padding[:upto]
    starts = np.flatnonzero(np.diff(passes, prepend=passes[0] - 1))
    found = []
    for begin, end in zip(starts[:256], [*starts[1:], upto][:256], strict=False):
        keep = real[begin:end]
        found.append(
            _Walk(
                int(passes[begin]),
                mine.ids[begin:end][keep],
                theirs.ids[begin:end][keep],
                where.positions[begin:end][keep],
            )
        )
    return found


def _order_marks(case: Case) -> Iterator[Fit]:
    """What the order of the candidate's passes looks like."""
    ground, n, plan = case.ground, case.ground.num_samples, case.ground.plan
    walks = _walks(case)
    if not walks or case.parts is None or n is None or plan is None:
        return
    facts = _edit_facts(case)
    b = plan.batch_size

    mine, theirs = ground.candidate, ground.rows
    shared = min(len(mine), len(theirs))
    alike = not case.whole or len(mine) == len(theirs)
    if mine.updates is not None and theirs.updates is not None:
        alike &= bool(np.array_equal(mine.updates[:shared], theirs.updates[:shared]))

    def fit(name: str, text: str, *, exact: bool = False, guess: bool = True) -> Fit:
        exact &= alike  # an order says nothing of how many steps or updates there are
        return Fit(name, f"{case.run} {text}{case.lengths()}", exact, guess, case.step, facts)

    departing = [walk for walk in walks if not np.array_equal(walk.ids, walk.theirs)]
    if not departing:
        return
    yield from _later_passes(case, plan, n, walks, fit)
    yield from _shards(n, walks, fit)
    inside = all(walk.ids.min() >= 0 and walk.ids.max() < n for walk in walks)
    long = [walk for walk in departing if len(walk.ids) > max(3, min(16, n // 4))]
    if not inside or not long:
        return
    unequal = np.mean([np.mean(walk.ids != walk.theirs) for walk in departing])
    if unequal < 0.4:
        return
    repeats = [len(walk.ids) - len(np.unique(walk.ids)) for walk in long]
    if any(repeats):
        drawn = sum(len(walk.ids) for walk in long)
        expected = sum(n * (1 - (1 - 1 / n) ** len(walk.ids)) for walk in long)
        distinct = sum(len(np.unique(walk.ids)) for walk in long)
        spread = 4 * max(1.0, float(np.sqrt(drawn) * 0.35))
        if all(repeats) and abs(distinct - expected) <= spread:
            text = (
                f"draws samples with replacement: {distinct:,} different ones in {drawn:,} draws over "
                f"{_of(len(long), 'pass')}, where chance alone leaves about {expected:,.0f}"
            )
            yield fit("with-replacement", text)
        return
    shuffling = plan.order == "shuffle"
    heads = [walk for walk in walks if len(walk.ids) == len(walks[0].ids)]
    same = len(heads) > 1 and all(np.array_equal(walk.ids, heads[0].ids) for walk in heads)
    sequential = all(np.array_equal(walk.ids, walk.positions) for walk in walks)
    if sequential:
        yield fit("not-shuffled", f"goes through the samples in their stored order; {case.other} shuffles", guess=False)
        return
    if _contiguous(walks, b, n):
        text = f"shuffles whole batches: each is {b:,} samples side by side, and the batches come in another order"
        yield fit("shuffle-after-batch", text)
    elif (buffer := _buffer(walks, n)) is not None:
        text = (
            f"shuffles in a buffer of about {buffer:,}: "
            f"no sample comes more than {buffer - 1:,} places before its own, of {n:,}"
        )
        yield fit("buffer-shuffle", text)
    if same and shuffling and plan.reshuffle:
        yield fit(
            "same-order-every-pass", f"has one order in all of {_of(len(heads), 'pass')}; {case.other} shuffles anew"
        )
    if shuffling and not plan.reshuffle and len(heads) > 1 and not same:
        yield fit("reshuffled", f"shuffles anew each pass; {case.other} keeps one order")
    if not shuffling:
        text = f"goes through the samples in their stored order; {case.run} shuffles them"
        if ground.given:
            yield fit("reshuffled", f"shuffles the samples; {case.other} goes through them in their stored order")
        else:
            yield Fit("not-shuffled", f"{case.other} {text}", False, True, case.step, facts, reference_departs=True)
    elif not sequential:
        text = "shuffles on its own: nothing but the order of the samples differs"
        yield fit("shuffled-independently", text)


def _moved_batches(case: Case) -> Iterator[Fit]:
    """The same batches in another order: those of the stored order, or the reference's own."""
    ground, n = case.ground, case.ground.num_samples
    seen, plan = ground.candidate, ground.plan
    if not ground.has_ids or case.same_batches or plan is None or n is None or n > MOST_SAMPLES or len(seen) < 3:
        return
    stored = changed(plan, order="sequential")
    try:
        if stored is None or plan.batch_size < 2 or Cadence(stored, n).num_steps < len(seen):
            return
        part = counting.rows(stored, n, 0, len(seen))
    except UsageError:
        return
    if int(part.batch_size.sum()) > MOST_CELLS or n <= 2 * plan.batch_size:
        return
    ids = cells(stored, n, part).positions
    mine = case.keys
    for rows, name in (
        (Rows.of_arrays(batch_size=part.batch_size, ids=ids), "shuffle-after-batch"),
        (ground.rows, "batches-swapped"),
    ):
        keys = batch_keys(rows)
        if len(keys) == len(mine) and np.array_equal(np.sort(keys), np.sort(mine)) and not np.array_equal(keys, mine):
            text = "shuffles whole batches: each is one of the stored order's, and they come in another order"
            if name == "batches-swapped":
                apart = int((keys != mine).sum())
                text = f"has {_of(apart, 'batch')} in other places"
                if apart > len(mine) // 2 > 4:  # not a few that changed places
                    name, text = "shuffle-after-batch", f"shuffles whole batches: {text}"
            facts = _edit_facts(case)
            yield Fit(name, f"{case.run} {text}", exact=False, guess=True, step=case.step, facts=facts)


def _later_passes(case: Case, plan: TrainingPlan, n: int, walks: list[_Walk], fit: Callable[..., Fit]) -> Iterator[Fit]:
    """Passes in the order of others."""
    ground = case.ground
    if plan.order == "sequential" or not plan.reshuffle:
        return
    reach = 2 * len(walks) + 8
    taken: list[int | None] = []
    for walk in walks[:64]:
        few = slice(0, 8)
        taken.append(None)
        for other in dict.fromkeys([walk.index, *range(reach)]):
            if ground.learned is not None:
                order = ground.learned.get(other)
                found = None if order is None else order[walk.positions]
            else:
                head = Order(n, "shuffle", plan.seed).ids(other, walk.positions[few])
                alike = np.array_equal(head, walk.ids[few])
                found = Order(n, "shuffle", plan.seed).ids(other, walk.positions) if alike else None
            if found is not None and (found == UNKNOWN).mean() < 0.5:
                sure = found != UNKNOWN
                if np.array_equal(found[sure], walk.ids[sure]):
                    taken[-1] = other
                    break
    if all(other is None or other == walk.index for other, walk in zip(taken, walks, strict=False)):
        return
    known = all(other is not None for other in taken) and len(taken) == len(walks)
    first = next(i for i, other in enumerate(taken) if other not in (None, walks[i].index))
    if taken.count(taken[first]) == len(taken) > 1 and taken[0] == walks[0].index:
        return  # one order repeated
    other = taken[first]
    text = f"has in pass {walks[first].index:,} the order of pass {other:,}"
    yield fit("pass-skipped", text, exact=known and _ascending(taken), guess=False)


def _ascending(passes: list[int | None]) -> bool:
    return all(a is not None and b is not None and b > a for a, b in pairwise(passes))


def _shards(n: int, walks: list[_Walk], fit: Callable[..., Fit]) -> Iterator[Fit]:
    """A part of each pass in place of all parts."""
    long = [walk for walk in walks if len(walk.ids) >= 4]
    for times in range(2, 9):
        for strided in (True, False):
            if all(np.array_equal(walk.ids, _one_share(walk.theirs, times, strided=strided)) for walk in long) and long:
                text = f"trains on one of {times} shares {times} times in each pass, and never on the others"
                yield fit("shard-repeated", text, exact=len(long) == len(walks), guess=False)
                return
    for walk in long[:1]:
        counts = np.unique(walk.ids, return_counts=True)[1]
        times = int(np.median(counts))
        if times >= 2 and np.mean(counts == times) > 0.9:
            yield fit("shard-repeated", f"trains on {len(counts):,} of {n:,} samples {times} times each in a pass")


def _one_share(ids: Ints, times: int, *, strided: bool) -> Ints:
    """Every share read as the first: strided over the pass, or a block of it."""
    index = np.arange(len(ids), dtype=np.int64)
    if strided:
        index -= index % times
    else:
        index %= -(-len(ids) // times)
    share: Ints = ids[index]
    return share


_CHANCE = log(1e-6)  # an explanation of an order that another order meets more often than that is not certain


def by_order(case: Case, name: str) -> bool:
    """Whether another order of the samples may give these batches: it need not be rare among all orders.

    With few samples it is not, nor where a batch is a whole pass; and where it is not known which samples a pass has.
    """
    mine, theirs = case.ground.candidate, case.ground.rows
    shared = min(len(mine), len(theirs))
    if case.same_batches or not case.ground.has_ids:
        return False
    where, n = _reference_cells(case), case.ground.num_samples
    if where is None or n is None:
        return True
    if not np.array_equal(mine.batch_size[:shared], theirs.batch_size[:shared]):
        return False
    assert mine.ids is not None
    assert theirs.ids is not None
    upto = int(mine.bounds[shared])
    passes, real = where.passes[:upto], ~where.padding[:upto]
    apart = passes[(mine.ids[:upto] != theirs.ids[:upto]) & real]
    counts = np.unique(passes[real & np.isin(passes, apart)], return_counts=True)[1].tolist()
    chance = -sum(lgamma(n + 1) - lgamma(max(n - count, 0) + 1) for count in counts)
    if name == "order-inside-batches":
        chance += sum(lgamma(int(size) + 1) for size in mine.batch_size[:shared])
    elif name == "other-seed":
        chance += log(len(SEEDS))
    elif name not in ("not-shuffled", "same-order-every-pass", "reshuffled"):
        chance += 2 * log(max(upto, 2))  # places of two samples or batches, or a place and a sample
    return chance > _CHANCE


def _contiguous(walks: list[_Walk], b: int, n: int) -> bool:
    """Whether every batch is samples side by side, and the batches are not in turn."""
    if b < 2 or n <= 2 * b:
        return False
    good = total = 0
    for walk in walks:
        inside = walk.positions[1:] // b == walk.positions[:-1] // b
        good += int((np.diff(walk.ids)[inside] == 1).sum())
        total += int(inside.sum())
    return total > 3 and good >= 0.95 * total


def _buffer(walks: list[_Walk], n: int) -> int | None:
    """The buffer within which the stored order is shuffled; None if it is shuffled as a whole."""
    early = max(int((walk.ids - walk.positions).max()) for walk in walks)
    late = float(np.mean([np.mean(np.abs(walk.ids - walk.positions)) for walk in walks]))
    # A whole shuffle moves a sample n/3 on average, and some sample almost n.
    return early + 1 if n >= 16 and early + 1 <= 0.6 * n and late < 0.25 * n else None


def _outside(case: Case) -> Iterator[Fit]:
    """Samples that are not in the data set."""
    ground, n = case.ground, case.ground.num_samples
    mine, theirs = ground.candidate.ids, ground.rows.ids
    if mine is None or not len(mine) or case.same_batches:
        return
    if n is None and theirs is not None and len(theirs):
        n = int(theirs.max()) + 1
    if n is None:
        return
    foreign = np.unique(mine[(mine >= n) | (mine < 0)])
    few = ", ".join(f"{one:,}" for one in foreign[:5].tolist()) + (", …" if len(foreign) > 5 else "")
    if len(foreign):
        at = int(np.searchsorted(ground.candidate.bounds, int(((mine >= n) | (mine < 0)).argmax()), side="right")) - 1
        text = f"trains on {_of(len(foreign), 'sample')} from outside the {n:,} of the training set ({few}), "
        text += f"first in step {at:,}"
        yield Fit(
            "validation-in-training", f"{case.run} {text}{case.lengths()}", True, True, case.step, _edit_facts(case)
        )


_FINDERS: tuple[Callable[[Case], Iterator[Fit]], ...] = (
    _outside,
    _plans,
    _paddings,
    _batches,
    _ending,
    _samples,
    _one_batch_short,
    _updates,
    _order_marks,
    _moved_batches,
)
