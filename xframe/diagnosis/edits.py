"""Edits of the reference's rows, and whether they reproduce the candidate's: what the causes that edit share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit
from xframe.diagnosis.keys import Keys, batch_keys
from xframe.diagnosis.reference import changed, planned
from xframe.errors import counted, listed
from xframe.inference.fits import steps_since
from xframe.inference.observed import Flags, Ints
from xframe.inference.orders import first_repeat
from xframe.plan.training_plan import TrainingPlan

_FEW = 8  # steps or more, for one in which an update is skipped or doubled
MOST_TRIED = 8  # places of one batch among the reference's that are tried


def steps_of(case: Case) -> Ints:
    """The steps of the reference in turn, and those that would follow."""
    return np.arange(max(len(case.extended_keys), len(case.keys)), dtype=np.int64)


def edited(cause: Cause, case: Case, where: Ints, text: str, *, rank: float | None = None) -> Iterator[Fit]:
    """That the candidate's batches are those of these steps of the reference, if they are; sizes alone do not say."""
    follow = case.extended_keys
    if len(where) != len(case.keys) or (len(where) and where.max() >= len(follow)):
        return
    same, unknown = follow[where] == case.keys, case.unknown_keys[where]
    if unknown.any() and (~unknown & (where != np.arange(len(where)))).sum() > 1:
        # Some batches that are known to be elsewhere are enough: of the others the sizes must do.
        same |= unknown & (case.extended.batch_size[where] == case.candidate.batch_size)
    if same.all() and (case.has_ids or _drawn_in(case, where)):
        exact = _ends_so(case, where) and updates_follow(case, where) and not unknown.any()
        yield cause.fit(case, text, exact=exact, rank=rank)


def _ends_so(case: Case, where: Ints) -> bool:
    """Whether such an edit ends there: after as many steps as the reference, with its last batch, or for lack of it."""
    due = len(case.reference_keys)
    in_turn = len(where) == due - 1 and bool((np.diff(where) == 1).all())
    return not case.whole or len(where) == due or int(where.max(initial=-1)) == due - 1 or in_turn


def _drawn_in(case: Case, where: Ints) -> bool:
    """Whether the candidate's samples, in an order of its own, may be those of these steps of the reference.

    Of one step they are the same each time, and of different steps of a pass all different.
    """
    rows, plan, n = case.drawn, case.plan, case.num_samples
    if rows is None or rows.ids is None or plan is None or n is None or not len(where):
        return False
    last = int(where.max()) + 1
    endless = changed(plan, epochs=None, updates=None, steps=last)
    part = None if endless is None else planned(endless, n, last)
    if endless is None or part is None:
        return False
    _, once, which = np.unique(where, return_index=True, return_inverse=True)
    keys = batch_keys(rows)
    if (keys[once][which] != keys).any():
        return False
    first = np.repeat(np.isin(np.arange(len(where)), once), rows.batch_size)
    passes = np.repeat(part.pass_index[where], rows.batch_size)
    return plan.remainder in ("pad", "carry") or first_repeat(rows.ids[first], passes[first]) is None


def ends_of_passes(case: Case) -> list[int]:
    """Where no orders are compared: the last steps of the reference's first passes."""
    plan, n = case.plan, case.num_samples
    part = None if plan is None or n is None or case.drawn is None else planned(plan, n, len(case.reference))
    return [] if part is None else np.flatnonzero(np.diff(part.pass_index))[:MOST_TRIED].tolist()


def made_again(case: Case) -> tuple[int, int] | None:
    """Where no orders are compared: the first step whose batch has come before, and the step where it came."""
    if case.drawn is None:
        return None
    keys = batch_keys(case.drawn)
    _, once, which = np.unique(keys, return_index=True, return_inverse=True)
    again = np.flatnonzero((once[which] != np.arange(len(keys))) & (case.drawn.batch_size > 1))
    return (int(again[0]), int(once[which][again[0]])) if len(again) else None


def first_edit(case: Case) -> int | None:
    """The first step whose batch differs, or is missing on either side, where that may be an edit."""
    return None if case.same_batches or not len(case.keys) else case.batches_differ_at


def updates_follow(case: Case, where: Ints | None = None) -> bool:
    """Whether the updates are as they would be, had these steps of the reference (default: all) been made in turn."""
    where = np.arange(case.shared, dtype=np.int64) if where is None else where
    seen, known = case.candidate.updates, case.extended.updates
    if seen is None or known is None or not len(seen):
        return True
    possible: list[Ints] = [known[: len(where)]]
    if where.max() < len(known):
        possible.append(known[where])
    plan, n, k = case.plan, case.num_samples, case.window
    possible.append(np.arange(1, len(where) + 1, dtype=np.int64) // k)
    if plan is not None and n is not None and k > 1:
        last = int(where.max()) + 1
        endless = changed(plan, epochs=None, updates=None, steps=last)
        cuts = None if endless is None else _ends(endless, n, last)
        if cuts is not None:
            possible.append(updates_of(cuts[where], k, plan.accumulation_remainder or "flush"))
    # The very last step may have its update or not: what training does with an open window is not the question here.
    return any(
        len(one) == len(seen) and np.array_equal(one[:-1], seen[:-1]) and abs(int(one[-1]) - int(seen[-1])) <= (k > 1)
        for one in possible
    )


class Jump(NamedTuple):
    """From step ``at`` on the candidate has the reference's rows from step ``to`` on."""

    at: int
    to: int
    where: Ints  # the steps of the reference that the candidate then made
    many: str  # the batches lost or made again in between, in words


def jumps(case: Case) -> Iterator[Jump]:
    """Every jump from the first batch that differs."""
    at, keys, follow = first_edit(case), case.keys, case.extended_keys
    if not at or at >= len(keys):
        return
    index = steps_of(case)
    for to in np.flatnonzero(follow == keys[at])[:MOST_TRIED].tolist():
        if to in (at, at + 1, at - 1) or to + len(keys) - at > len(follow):
            continue
        where = np.concatenate([index[:at], np.arange(to, to + len(keys) - at, dtype=np.int64)])
        if to > at:
            many = counted(to - at, "batch")
        else:
            last = min(at, to + len(keys) - at) - 1
            many = f"batches {case.of_step}s {to:,} to {last:,}" if last > to else f"batch {case.of_step} {to:,}"
        yield Jump(at, to, where, many)


def moved_batches(case: Case, keys: Keys | None) -> int:
    """How many of the candidate's batches are elsewhere, if they are these in a different order; else 0."""
    if keys is None or case.stored_keys is None or len(keys) != len(case.keys):
        return 0
    return int((keys != case.keys).sum()) if np.array_equal(np.sort(keys), np.sort(case.keys)) else 0


def most_batches(case: Case, moved: int) -> bool:
    """Whether that many batches are more than a few that changed places."""
    return moved > len(case.keys) // 2 > 4


@dataclass(frozen=True)
class Gaps:
    """The steps after which the candidate counts more or fewer updates than the reference, in the same batches."""

    steps: Ints
    more: Ints  # updates of these steps that the candidate has and the reference has not; negative: the other way round
    due: Ints  # that the reference has
    forwards: bool  # the candidate's counter never goes down
    of: int  # steps

    @property
    def first(self) -> int:
        """The first of these steps."""
        return int(self.steps[0])

    @property
    def only_fewer(self) -> bool:
        """Whether updates are missing in all of them, and the count never falls."""
        return bool((self.more < 0).all()) and self.forwards

    @property
    def only_more(self) -> bool:
        """Whether there are too many updates in all of them."""
        return bool((self.more > 0).all())

    @cached_property
    def single(self) -> bool:
        """Whether updates are missing here and too many there, at a few steps that each have one due."""
        few = len(self.steps) * _FEW <= self.of
        return few and self.forwards and bool((self.due > 0).all()) and not (self.only_fewer or self.only_more)

    def some(self, *, fewer: bool) -> Gaps:
        """Those in which updates are missing, or too many."""
        these = (self.more < 0) == fewer
        return replace(self, steps=self.steps[these], more=self.more[these], due=self.due[these])

    @property
    def listed(self) -> str:
        """``step 3``, or ``steps 3, 4`` and so on: the first of them."""
        return f"step{'' if len(self.steps) == 1 else 's'} {listed(self.steps)}"


def update_gaps(case: Case) -> Gaps | None:
    """Where the updates differ; None if they don't, or the batches do."""
    if case.updates is None or not case.same_batches:
        return None
    a, b = (np.diff(column, prepend=0) for column in case.updates)
    differing = np.flatnonzero(a != b)
    if not len(differing):
        return None
    return Gaps(differing, (a - b)[differing], b[differing], bool((a >= 0).all()), len(a))


def window_ends(case: Case) -> Flags | None:
    """The steps whose end cuts the reference's windows, where updates differ in runs of one length; else None."""
    plan, n, steps = case.plan, case.num_samples, len(case.candidate)
    if plan is None or n is None or case.window == 1 or steps != len(case.reference) or update_gaps(case) is None:
        return None
    return _ends(plan, n, steps)


def updates_of(cuts: Flags, k: int, leftover: str, begun: int = 0, *, each: bool = False) -> Ints:
    """Updates after each step, where windows of k steps are cut after the steps marked.

    ``begun``: steps that the first window has behind it already; of each segment, if ``each``.
    """
    since = steps_since(np.zeros_like(cuts) if leftover == "carry" else cuts)
    in_first = since == np.arange(1, len(cuts) + 1)
    due = (since + begun * (in_first | each)) % k == 0
    return np.cumsum(due | cuts if leftover == "flush" else due, dtype=np.int64)


def has_updates(case: Case, expected: Ints) -> bool:
    """Whether the candidate has these updates; after the last step, where a window may be flushed, or one more."""
    updates = case.candidate.updates
    if updates is None or not np.array_equal(expected[:-1], updates[:-1]):
        return False
    return 0 <= int(updates[-1]) - int(expected[-1]) <= 1


def _ends(plan: TrainingPlan, num_samples: int, steps: int) -> Flags | None:
    """Which of the first steps end what cuts windows, an epoch or a pass; None if the run has fewer."""
    part = planned(plan, num_samples, steps)
    if part is None:
        return None
    column = part.pass_index if plan.accumulation_boundary == "pass" else part.epoch
    ends: Flags = np.diff(column, append=column[-1] + 1) != 0
    return ends
