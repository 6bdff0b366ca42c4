"""Hypotheses on how a run's batches are cut out of passes over its samples: what shows in sizes and ids.

Short runs are checked against every number of steps after which a new pass may begin; in long ones the rows themselves
name the few that they could show. Sizes are looked at first: they refute most hypotheses, and ids take longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from xframe.inference import orders
from xframe.inference.observed import SHORT_RUN, Ints, Observed, counted_within, first, plan_of
from xframe.inference.orders import Kind, Spans
from xframe.plan.cadence import Cadence
from xframe.plan.training_plan import TrainingPlan

_MOST_RESTARTS = 4000  # places of a first restart that are tried in a long run


@dataclass(frozen=True, eq=False)
class Passes:
    """One hypothesis; its columns have one row more than there are steps."""

    remainder: str
    restart: int  # steps after which a new pass begins; 0: passes follow one another
    pass_index: Ints  # of each step's first sample
    position: Ints
    padding: Ints  # samples of each step that are padding
    misfit: int  # the first step that it does not explain; the number of steps if it explains all
    reason: str = "size"  # why not: this, or as ``orders.judge`` has it
    ids_seen: bool = False  # the ids were looked at, not the sizes alone
    kinds: tuple[Kind, ...] = ()  # the orders that fit, where it explains all steps
    short_end: bool = False  # the last batch is what was left of a stream of whole passes
    alike: tuple[str, ...] = ()  # remainders with which it is the same, since no pass comes to its end

    @property
    def chance(self) -> float:
        """The logarithm of the chance that the likeliest order gives these ids."""
        return max((kind.chance for kind in self.kinds), default=0.0)

    def each_remainder(self) -> Iterator[Passes]:
        """The same hypothesis with each remainder that is alike."""
        for remainder in self.alike or (self.remainder,):
            yield replace(self, remainder=remainder)


def remainders(rows_of_pass: int, batch_size: int, *, even: bool = False) -> tuple[str, ...]:
    """Those that differ; where nothing is left of a pass, ``keep`` stands for all."""
    if rows_of_pass % batch_size == 0:
        return ("keep",)
    carry = () if even else ("carry",)
    return ("keep", "drop", "pad", *carry) if rows_of_pass >= batch_size else ("keep", "pad", *carry)


def steps_per_pass(run: Observed, remainder: str) -> int:
    """Of a whole pass; 0 for the endless stream of ``carry``."""
    if remainder == "carry":
        return 0
    return run.rows_of_pass // run.batch_size if remainder == "drop" else -(-run.rows_of_pass // run.batch_size)


def hypotheses(run: Observed) -> Iterator[Passes]:
    """All ways in which the batches may have been cut; with restarts only their sizes are looked at."""
    n, b = run.rows_of_pass, run.batch_size
    early: dict[int, list[str]] = {}  # restarts before any pass is over, with the remainders that allow them
    tried: list[int] = []
    misfit = 0
    for remainder in remainders(n, b, even=run.even):
        plain = with_ids(run, cut(run, remainder))
        yield plain
        # Up to the first pass's end remainders are alike.
        if not (tried and plain.misfit == misfit and (misfit + 1) * b <= n):
            tried, misfit = list(restarts(run, plain)), plain.misfit
        for restart in tried:
            if not abandons(run, remainder, restart):
                continue
            if restart <= n // b:
                early.setdefault(restart, []).append(remainder)
            else:
                yield cut(run, remainder, restart)
    for restart, alike in early.items():
        yield replace(cut(run, alike[0], restart), alike=tuple(alike))


def abandons(run: Observed, remainder: str, restart: int) -> bool:
    """Whether a new pass after that many steps leaves any samples of the old one behind."""
    steps = steps_per_pass(run, remainder)
    return bool(restart % steps if steps else restart * run.batch_size % run.num_samples)


def restarts(run: Observed, plain: Passes) -> Iterable[int]:
    """After how many steps a new pass may begin before the old one is over."""
    total, latest, labels = run.num_steps, plain.misfit, run.rows.epoch
    # Up to where a restart shows, the passes follow one another as they should.
    if total <= SHORT_RUN:
        return range(1, min(total, latest + 1))
    if latest >= total:
        return ()
    possible = range(1, latest + 1) if run.rows.ids is None else _without_repeat(run, latest)
    declared = [] if labels is None else [int(np.argmax(labels != labels[0]))]
    some = _screened(run, plain.remainder, list(possible)[-_MOST_RESTARTS:], 4 * (latest + 1))
    return sorted({*some, *(restart for restart in declared if 0 < restart <= latest)})


def _screened(run: Observed, remainder: str, restarts: list[int], steps: int) -> list[int]:
    """Those that explain a longer and longer part of the run, until there are few; the furthest if none does."""
    while len(restarts) > 16 and steps < run.num_steps:
        part = run.head(steps, ())
        reached = {restart: with_ids(part, cut(part, remainder, restart)).misfit for restart in restarts}
        furthest = sorted(restarts, key=lambda restart: -reached[restart])
        restarts = [restart for restart in restarts if reached[restart] >= steps] or furthest[:8]
        steps *= 4
    return restarts


def _without_repeat(run: Observed, latest: int) -> list[int]:
    """Steps after which a pass may begin that has no sample twice up to step ``latest``, where another would have."""
    ids, bounds = run.rows.ids, run.bounds
    assert ids is not None
    stop = int(bounds[latest + 1])
    begin = max(0, stop - run.num_samples)
    part = ids[begin:stop]
    order = np.argsort(part, kind="stable")
    before = np.full(len(part), -1, dtype=np.int64)  # where a sample was last
    again = part[order[1:]] == part[order[:-1]]
    before[order[1:][again]] = order[:-1][again]
    latest_before = np.maximum.accumulate(before[::-1])[::-1]  # of the sample and all after it
    earliest = int(np.searchsorted(bounds, begin, side="left"))
    restarts = np.arange(max(earliest, 1), latest + 1)
    starts = bounds[restarts] - begin
    return [int(restart) for restart in restarts[latest_before[starts] < starts]]


@lru_cache(maxsize=16)
def _base(batch_size: int, remainder: str, steps: int, *shared: tuple[str, Any], restarting: bool) -> TrainingPlan:
    epochs = {"steps_per_epoch": 1, "epoch_iterator": "restart"} if restarting else {}
    return plan_of({"batch_size": batch_size, "remainder": remainder, "steps": steps, **epochs, **dict(shared)})


def cut(run: Observed, remainder: str, restart: int = 0) -> Passes:
    """A hypothesis, checked against the sizes."""
    n, b, total, rows = run.num_samples, run.batch_size, run.num_steps, run.rows
    plan = _base(b, remainder, total + 1, *run.shared.items(), restarting=restart > 0)
    if restart > 1:
        plan = plan.model_copy(update={"steps_per_epoch": restart})
    cadence = Cadence(plan, n)
    index = np.arange(total + 1, dtype=np.int64)
    _, _, pass_index, position = cadence.place(index)
    sizes, padding = cadence.sizes(index, position)
    observed = rows.batch_size
    wrong = observed != sizes[:-1]
    stream = remainder == "carry" and not restart and rows.complete and int(run.bounds[-1]) % n == 0
    short_end = stream and bool(observed[-1] < b) and int(wrong.sum()) == 1
    if short_end:
        wrong[-1] = False
    return Passes(remainder, restart, pass_index, position, padding, first(wrong), short_end=short_end)


def with_ids(run: Observed, passes: Passes) -> Passes:
    """The hypothesis, checked against the ids too, as far as the sizes are explained."""
    if passes.ids_seen or run.rows.ids is None or not passes.misfit:
        return passes
    spans = spans_of(run, passes, passes.misfit)
    judgement = orders.judge(run, spans, int(run.bounds[passes.misfit]))
    if judgement.misfit is not None:
        return replace(passes, misfit=run.step_of(judgement.misfit), reason=judgement.reason, ids_seen=True)
    all_explained = passes.misfit >= run.num_steps
    return replace(passes, ids_seen=True, kinds=tuple(orders.kinds(run, spans, judgement)) if all_explained else ())


def spans_of(run: Observed, passes: Passes, steps: int) -> Spans:
    """Where the samples of each pass begun in the first steps are."""
    n, bounds, end = run.num_samples, run.bounds, int(run.bounds[steps])
    if passes.remainder == "carry":
        begin = bounds[: steps : passes.restart] if passes.restart else bounds[:1]
        lengths = np.diff(begin, append=end)
        count = -(-lengths // n)
        start = np.repeat(begin, count) + n * counted_within(count)
        stop = np.append(start[1:], end)
        return Spans(start, stop - start, stop)
    index = passes.pass_index[:steps]
    begins = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    start = bounds[begins]
    stop = np.append(start[1:], end)
    padding = np.add.reduceat(passes.padding[:steps], begins)
    return Spans(start, stop - start - padding, stop)
