"""A candidate beside its reference, and what several causes ask about the two; each answer is computed once.

A finder asks the case and nothing else: neither a trace nor the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from xframe.diagnosis.draws import Draws
from xframe.diagnosis.keys import Keys, batch_keys, first_difference
from xframe.diagnosis.numbers import same_losses
from xframe.diagnosis.passes import MOST_PASSES, Pass, Passes
from xframe.diagnosis.reference import MOST_CELLS, Match, Reference, planned
from xframe.diagnosis.replicas import Replicas
from xframe.diagnosis.shares import BothDraw
from xframe.errors import counted, printable
from xframe.inference.observed import Flags, Ints
from xframe.inference.reproducing import UNKNOWN, Cells, cells
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.continued import Join
from xframe.trace.rows import Rows

_LABELS = ("epoch", "step_in_epoch", "padding")


class Stopping(NamedTuple):
    """What early stopping has to do with the run's end."""

    patience: int | None  # of the plan, in validations; None if no plan asks for it
    after: int | None  # steps after which the candidate's own validations stop it; None if they give no reason to
    validated: bool  # the candidate has validations
    by_plan: bool  # the reference is the plan, up to where these validations stop it; else it is a run
    waited: int = 0  # without a plan: validations of the shorter run from its best one to its end


class DifferingSamples(NamedTuple):
    """The samples that differ in batches of the same sizes."""

    at: Ints  # their places among the ids
    steps: Ints
    same_members: bool  # each batch has the reference's samples, if in a different order


@dataclass(frozen=True, eq=False)
class Case:
    """The rows of both sides, and the names that sentences call them by."""

    candidate: Rows  # of the run that differs
    basis: Reference  # the reference's rows, and the plans and order behind them
    run: str  # the candidate's name
    other: str  # "the plan", or the reference's name
    stopping: Stopping | None = None  # where the plan asks for it, or validations suggest it
    apart: bool = False  # a part of what differs is looked at: no totals are compared
    joins: tuple[Join, ...] = ()  # where the candidate goes on in a further trace, as after it was resumed
    supposed: bool = False  # a side's rows are what a different cause makes of them: sentences say what is then due
    # Where orders are not compared: the sides with their ids, and the first step of a pass whose samples differ.
    drawn: Rows | None = None
    drawn_by_reference: Rows | None = None
    samples_differ_at: int | None = None
    replicas: Replicas | None = None  # of the candidate, where several made it; None where rows are supposed
    num_replicas: int = 1  # also there
    _matches: dict[TrainingPlan, Match | None] = field(default_factory=dict, repr=False)

    @property
    def reference(self) -> Rows:
        """The reference's rows."""
        return self.basis.rows

    @property
    def plan(self) -> TrainingPlan | None:
        """The likeliest plan that reproduces the reference; None if none does."""
        return self.basis.plan

    @property
    def num_samples(self) -> int | None:
        """The size of the data set, as far as known."""
        return self.basis.num_samples

    @property
    def given(self) -> bool:
        """Whether the reference's plan is known, not inferred."""
        return self.basis.given

    @cached_property
    def ids(self) -> tuple[Ints, Ints] | None:
        """The candidate's sample ids and the reference's, if both list them."""
        a, b = self.candidate.ids, self.reference.ids
        return None if a is None or b is None else (a, b)

    @property
    def has_ids(self) -> bool:
        """Whether both sides list their sample ids."""
        return self.ids is not None

    @cached_property
    def updates(self) -> tuple[Ints, Ints] | None:
        """The candidate's and the reference's updates after the steps that both have, if both count them."""
        a, b = self.candidate.updates, self.reference.updates
        return None if a is None or b is None else (a[: self.shared], b[: self.shared])

    @property
    def window(self) -> int:
        """Steps of the reference's accumulation window, as far as known."""
        return 1 if self.plan is None else self.plan.gradient_accumulation_steps

    @cached_property
    def shared(self) -> int:
        """Steps that both sides have."""
        return min(len(self.candidate), len(self.reference))

    @cached_property
    def whole(self) -> bool:
        """Whether both runs were seen to their end."""
        return self.candidate.complete and self.reference.complete

    # Batches, each as one number: equal for the same samples in the same order, or without ids for the same size.

    @cached_property
    def keys(self) -> Keys:
        """The candidate's batches."""
        return batch_keys(self._comparable(self.candidate))

    @cached_property
    def reference_keys(self) -> Keys:
        """The reference's batches."""
        return batch_keys(self._comparable(self.reference))

    @cached_property
    def extended(self) -> Rows:
        """The reference's rows and what would follow, as far as the candidate may reach."""
        return self._comparable(self.basis.extended(2 * len(self.candidate) + 2, ids=self.has_ids))

    @cached_property
    def extended_keys(self) -> Keys:
        """One key a batch of the reference and of what would follow it."""
        follow = self.extended.between(len(self.reference), len(self.extended))
        return np.concatenate([self.reference_keys, batch_keys(follow)])

    @cached_property
    def unknown_keys(self) -> Flags:
        """Which of these batches have samples that nothing shows."""
        rows, ids = self.extended, self.extended.ids
        if ids is None or not (ids == UNKNOWN).any():
            return np.zeros(len(rows), np.bool_)
        unknown = np.concatenate([np.zeros(1, np.int64), np.cumsum(ids == UNKNOWN)])
        return np.asarray(np.diff(unknown[rows.bounds]) > 0)

    @cached_property
    def stored_keys(self) -> Keys | None:
        """The batches of the stored order; None where batches do not differ, or say nothing of an order."""
        plan, n, steps = self.plan, self.num_samples, len(self.candidate)
        if not self.has_ids or self.same_batches or plan is None or n is None or steps < 3:
            return None
        rows = planned(plan, n, steps)
        if rows is None or rows.batch_size.sum(dtype=float) > MOST_CELLS or not 2 <= plan.batch_size < n / 2:
            return None
        return batch_keys(Rows.of_arrays(batch_size=rows.batch_size, ids=cells(plan, n, rows).positions))

    def _comparable(self, rows: Rows) -> Rows:
        return rows if self.has_ids else rows.only("batch_size", "updates")

    # Where the two differ.

    @cached_property
    def batches_differ_at(self) -> int | None:
        """The first step whose batch differs, or that one side lacks."""
        return first_difference(self.keys, self.reference_keys)

    @cached_property
    def differs_at(self) -> int | None:
        """The first step at which anything observed differs."""
        steps = [self.batches_differ_at, self.updates_differ_at, self.samples_differ_at]
        return min((step for step in steps if step is not None), default=None)

    @property
    def same_batches(self) -> bool:
        """Whether all batches are the reference's, as far as the candidate goes."""
        return self.batches_differ_at is None or (not self.whole and self.one_merely_ends)

    @property
    def same_samples(self) -> bool:
        """Whether no batch is known to have other samples than the reference's, in whatever order."""
        return self.same_batches and self.samples_differ_at is None

    @property
    def one_merely_ends(self) -> bool:
        """Whether the batches are the same until one side ends."""
        return self.batches_differ_at == self.shared

    @property
    def same_where_both_go_on(self) -> bool:
        """Whether the batches are the same for as long as both sides go on."""
        return self.batches_differ_at in (None, self.shared)

    @cached_property
    def same_sizes(self) -> bool:
        """Whether the batches that both sides have are of the same sizes."""
        a, b = self.candidate.batch_size, self.reference.batch_size
        return bool(np.array_equal(a[: self.shared], b[: self.shared]))

    @property
    def sizes_differ_at(self) -> int | None:
        """The first step whose sizes differ, or that one side lacks."""
        return first_difference(self.candidate.batch_size, self.reference.batch_size)

    @property
    def updates_differ_at(self) -> int | None:
        """The first step that both sides have whose updates differ."""
        return None if self.updates is None else first_difference(*self.updates)

    @cached_property
    def same_updates(self) -> bool:
        """Whether the steps that both sides have are followed by the same updates, as far as known."""
        return self.updates is None or bool(np.array_equal(*self.updates))

    @cached_property
    def only_counted(self) -> bool:
        """Whether updates differ and the losses behind agree, as closely as rounding lets them, in the same batches."""
        at = self.updates_differ_at
        return at is not None and self.same_batches and same_losses(self.candidate, self.reference, at + 1, self.shared)

    @property
    def may_be_reordered(self) -> bool:
        """Whether a different order of the samples may be all that differs."""
        return self.has_ids and self.same_sizes and self.same_updates

    @property
    def may_have_other_windows(self) -> bool:
        """Whether different accumulation may be all that differs."""
        updates = self.candidate.updates
        return updates is not None and len(updates) > 0 and self.same_where_both_go_on

    @property
    def of_step(self) -> str:
        """How sentences say where the reference has a sample or a batch: ``of step``, or ``due in step``."""
        return "due in step" if self.supposed else "of step"

    @cached_property
    def lengths(self) -> str:
        """The totals that differ: ``: 84 steps where 87 are due, 3 fewer``; empty if none does."""
        a, b = self.candidate, self.reference
        if not self.whole or self.apart:
            return ""
        totals = []
        if len(a) != len(b):
            totals.append(where_due(len(a), len(b), "step"))
        if a.updates is not None and b.updates is not None and len(a) and len(b):
            updates = int(a.updates[-1]), int(b.updates[-1])
            if updates[0] != updates[1] and updates != (len(a), len(b)):
                totals.append(where_due(*updates, "update"))
        return ": " + ", and ".join(totals) if totals else ""

    @cached_property
    def labels_differ_at(self) -> int | None:
        """The first step that both sides have whose labels differ."""
        pairs = [(getattr(self.candidate, name), getattr(self.reference, name)) for name in _LABELS]
        pairs = [(a[: self.shared], b[: self.shared]) for a, b in pairs if a is not None and b is not None]
        steps = [first_difference(a, b) for a, b in pairs]
        return min((step for step in steps if step is not None), default=None)

    @property
    def labels_differ_before_rows(self) -> bool:
        """Whether labels differ at a step before any at which something observed does."""
        return self.labels_differ_at is not None and self.labels_differ_at < (self.differs_at or 0)

    @property
    def first_step(self) -> int:
        """The first step at which anything differs, labels included."""
        steps = (self.differs_at, self.labels_differ_at)
        return min((step for step in steps if step is not None), default=0)

    # Cases like this.

    def over(self, candidate: Rows, basis: Reference, *, apart: bool = False, supposed: bool = False) -> Case:
        """The same runs, of which other rows are looked at."""
        supposed = supposed or self.supposed
        apart = apart or supposed
        sides = Case(candidate, basis, self.run, self.other, self.stopping, apart, joins=self.joins, supposed=supposed)
        return replace(sides, replicas=None if supposed else self.replicas, num_replicas=self.num_replicas)

    def joined(self, join: Join, *, step: bool = True) -> str:
        """Where that is, in words."""
        return printable(f"{f'at step {join.step:,}, ' if step else ''}where {join.after} goes on")

    def in_any_order(self, samples_differ_at: int | None) -> Case:
        """The same whatever the orders: sizes, updates and labels are compared, and samples looked at by run."""
        candidate, reference = (rows.with_columns(ids=None) for rows in (self.candidate, self.reference))
        basis = replace(self.basis, rows=reference)
        case = Case(candidate, basis, self.run, self.other, self.stopping, joins=self.joins)
        sides = replace(case, drawn=self.candidate, drawn_by_reference=self.reference, replicas=self.replicas)
        sides = replace(sides, num_replicas=self.num_replicas)
        return replace(sides, samples_differ_at=samples_differ_at)

    def head(self, steps: int, *, whole: bool = False) -> Case:
        """The first steps of both sides; ``whole``: as if they were all."""
        candidate, reference = (rows.head(steps) for rows in (self.candidate, self.reference))
        if whole:
            candidate, reference = (rows.with_columns(complete=True) for rows in (candidate, reference))
        return self.over(candidate, replace(self.basis, rows=reference), apart=True)

    @property
    def as_if_whole(self) -> Case:
        """The same; of runs not seen to their end the steps that both have, as if they were all."""
        return self if self.whole else self.head(self.shared, whole=True)

    # The plan behind the reference.

    def match(self, plan: TrainingPlan) -> Match | None:
        """How that plan's rows meet the candidate's; None if some row differs."""
        if plan not in self._matches:
            match = self.basis.match(self.candidate, plan, self.differs_at)
            if match is not None and self.drawn is not None and not (match.labels and self._explains_draws(plan)):
                match = None
            self._matches[plan] = match
        return self._matches[plan]

    def _explains_draws(self, plan: TrainingPlan) -> bool:
        """Whether a plan allows the candidate's draws, and not just as the reference's plan does, if these differ."""
        n, steps = self.num_samples, self.shared
        if self.drawn is None or self.plan is None or n is None or not self.basis.allows(self.drawn, plan):
            return False
        if not self.same_batches or not self.same_updates or self.samples_differ_at is None:
            return True
        own, other = planned(plan, n, steps), planned(self.plan, n, steps)
        if own is None or other is None:
            return False
        return bool((own.pass_index != other.pass_index).any() or (own.position != other.position).any())

    @cached_property
    def cells(self) -> Cells | None:
        """Pass and position of each of the reference's samples; None if not known, or they are too many."""
        plan, n = self.plan, self.num_samples
        if plan is None or n is None or (rows := planned(plan, n, len(self.reference))) is None:
            return None
        return cells(plan, n, rows) if rows.batch_size.sum(dtype=float) <= 2 * MOST_CELLS else None

    @cached_property
    def passes(self) -> Passes:
        """The candidate's passes beside the reference's; none if all batches agree, or the sizes do not."""
        where, n = self.cells, self.num_samples
        differ = self.shared and self.same_sizes and self.batches_differ_at is not None
        if not differ or where is None or n is None or self.ids is None:
            return Passes(())
        (ids, reference), end = self.ids, int(self.candidate.bounds[self.shared])
        index, real = where.passes[:end], ~where.padding[:end]
        starts = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
        pairs = []
        for begin, stop in zip(starts[:MOST_PASSES], [*starts[1:], end][:MOST_PASSES], strict=False):
            kept = np.flatnonzero(real[begin:stop]) + begin
            pairs.append(Pass(int(index[begin]), ids[kept], reference[kept], where.positions[kept]))
        same_length = len(self.candidate) == len(self.reference) or not self.whole
        return Passes(tuple(pairs), n, same_length and self.same_updates)

    @cached_property
    def both_draw(self) -> BothDraw:
        """What either side draws; None unless all of it is known, and of the data set."""
        known = not self.apart and (self.has_ids or self.drawn is not None)
        sides = self.drawn or self.candidate, self.drawn_by_reference or self.reference
        return BothDraw(*(Draws.of(rows, self.num_samples) if known else None for rows in sides))

    @property
    def draws(self) -> Draws | None:
        """What the candidate draws."""
        return self.both_draw.own

    @property
    def draws_of_no_passes(self) -> bool:
        """Whether, where sizes alone are compared, the candidate's samples show that it has no passes."""
        return self.drawn is not None and self.draws is not None and not self.draws.in_passes

    @cached_property
    def differing_samples(self) -> DifferingSamples | None:
        """Where samples differ, if nothing else does: both sides have the same steps and sizes."""
        a, b = self.candidate, self.reference
        if self.ids is None or self.same_batches or (len(a) != len(b) and self.whole) or not self.same_sizes:
            return None
        ids, reference = (one[: a.bounds[self.shared]] for one in self.ids)
        differing = np.flatnonzero(ids != reference)
        if not len(differing):
            return None
        steps = np.searchsorted(a.bounds, differing, side="right") - 1
        members, expected = (batch_keys(rows.head(self.shared), ordered=False) for rows in (a, b))
        return DifferingSamples(differing, steps, bool(np.array_equal(members, expected)))


def where_due(observed: int, expected: int, noun: str) -> str:
    """For example ``84 steps where 87 are due, 3 fewer``."""
    due = f"{expected:,} {'is' if expected == 1 else 'are'} due"
    by = f"{abs(observed - expected):,} {'more' if observed > expected else 'fewer'}"
    return f"{counted(observed, noun)} where {due}, {by}"
