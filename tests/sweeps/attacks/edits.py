"""Rows with something done to them, each with the causes that the deed is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from xframe.inference.reproducing import cells
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

Edits = Iterator[tuple[str, set[str], Rows]]


@dataclass(frozen=True)
class Subject:
    """The rows to edit, as lists; ``begins`` is the pass that each batch begins in."""

    plan: TrainingPlan
    num_samples: int
    rows: Rows
    batches: list[list[int]]
    updates: list[int]
    begins: list[int]

    @classmethod
    def of(cls, plan: TrainingPlan, n: int, rows: Rows) -> Subject:
        assert rows.ids is not None
        assert rows.updates is not None
        where = cells(plan, n, counting.rows(plan, n, 0, len(rows)))
        batches = [rows.batch(i).tolist() for i in range(len(rows))]
        return cls(plan, n, rows, batches, rows.updates.tolist(), where.passes[rows.bounds[:-1]].tolist())

    @property
    def last(self) -> int:
        return len(self.batches) - 1

    def copy(self) -> list[list[int]]:
        """The batches, to be changed."""
        return [list(batch) for batch in self.batches]

    def with_batches(self, new: Sequence[Sequence[int]], counted: Sequence[int] | None = None) -> Rows:
        """Other batches; each step is followed by what followed the step of that place, unless updates are given."""
        updates = self.updates
        if counted is None:
            counted = updates[: len(new)] + [updates[-1]] * (len(new) - len(updates))
        return Rows.of_batches(new, counted)

    def with_updates(self, updates: Any) -> Rows:
        return self.rows.with_columns(updates=np.asarray(updates))

    def or_sample(self, names: set[str], name: str) -> set[str]:
        """The causes, and that of a sample where a batch is one."""
        single = {len(batch) for batch in self.batches} == {1}
        return names | ({name} if single else set())


def edits(plan: TrainingPlan, n: int, rows: Rows, rng: Random) -> Edits:
    """Every edit of the rows that there is, at random places."""
    subject = Subject.of(plan, n, rows)
    yield from _steps_lost_and_repeated(subject, rng)
    yield from _swaps(subject, rng)
    yield from _in_one_step(subject, rng)
    yield from _passes(subject, rng)
    yield from _windows(subject, rng)
    yield from _counters(subject, rng)


def _steps_lost_and_repeated(run: Subject, rng: Random) -> Edits:
    batches, updates, last = run.batches, run.updates, run.last
    lost = run.or_sample({"batch-lost"}, "sample-lost")
    if last >= 2:
        for t in {rng.randrange(last), last - 2, last - 1}:
            if 0 <= t < last:
                ends = {"limit-confused"} if t == last - 1 else set()
                shorter = run.with_batches(batches[:t] + batches[t + 2 :])
                yield "drop two steps", {"batch-lost", "resumed-at-wrong-place"} | ends, shorter
        yield "drop the first step", lost, run.with_batches(batches[1:])
        jumping = [*updates[:1], *updates[2:]]
        yield "drop a row of the record", lost, run.with_batches(batches[:1] + batches[2:], jumping)
        ending = [i for i in range(last) if run.begins[i] != run.begins[i + 1]]
        if ending:
            t = rng.choice(ending)
            yield (
                "drop a pass's last step",
                lost | {"short-batch-dropped"},
                run.with_batches(batches[:t] + batches[t + 1 :]),
            )
    again = run.with_batches([*batches, batches[0]], [*updates, updates[-1] + 1])
    yield "the first step again at the end", {"batch-repeated", "one-step-more"}, again


def _swaps(run: Subject, rng: Random) -> Edits:
    batches, updates, last = run.batches, run.updates, run.last
    if last >= 1:
        t = rng.randrange(last)
        x, y = rng.randrange(len(batches[t])), rng.randrange(len(batches[t + 1]))
        new = run.copy()
        new[t][x], new[t + 1][y] = new[t + 1][y], new[t][x]
        yield "swap samples of neighbours", {"samples-swapped"}, run.with_batches(new, updates)
        t = rng.randrange(last)
        new = run.copy()
        new[t], new[t + 1] = new[t + 1], new[t]
        names = run.or_sample({"batches-swapped"}, "samples-swapped")
        yield "swap neighbouring batches", names, run.with_batches(new, updates)
    new = run.copy()
    new[-1].pop()
    if new[-1]:
        yield "lose the last sample", {"sample-lost"}, run.with_batches(new, updates)


def _in_one_step(run: Subject, rng: Random) -> Edits:
    batches, updates, last = run.batches, run.updates, run.last
    t = rng.randrange(last + 1)
    if len(batches[t]) > 1:
        new = run.copy()
        x, y = rng.sample(range(len(new[t])), 2)
        new[t][x] = new[t][y]
        yield "a sample twice in its batch", {"sample-repeated"}, run.with_batches(new, updates)
        new = run.copy()
        turn = rng.randrange(1, len(new[t]))
        new[t] = new[t][turn:] + new[t][:turn]
        yield "rotate a batch", {"order-inside-batches"}, run.with_batches(new, updates)
        new = run.copy()
        new[t] = [*new[t], new[t][0]]
        yield "put a sample in", {"sample-repeated"}, run.with_batches(new, updates)
    u = rng.randrange(last + 1)
    if u != t:
        new = run.copy()
        new[t] = list(batches[u])
        names = run.or_sample({"batch-repeated"}, "sample-repeated")
        yield "a different step's batch", names, run.with_batches(new, updates)
    unused = sorted(set(range(run.num_samples)) - {sample for batch in batches for sample in batch})
    if unused:
        new = run.copy()
        new[t][rng.randrange(len(new[t]))] = rng.choice(unused)
        yield "a sample never reached", {"samples-swapped", "sample-repeated"}, run.with_batches(new, updates)


def _passes(run: Subject, rng: Random) -> Edits:
    where = cells(run.plan, run.num_samples, counting.rows(run.plan, run.num_samples, 0, len(run.rows)))
    passes = np.unique(where.passes).tolist()
    if len(passes) > 1 and run.plan.remainder != "carry":
        by_pass = [[run.batches[i] for i in range(run.last + 1) if run.begins[i] == one] for one in passes]
        i = rng.randrange(len(passes) - 1)
        by_pass[i], by_pass[i + 1] = by_pass[i + 1], by_pass[i]
        names = {"pass-skipped", "resumed-at-wrong-place", "batches-swapped", "other-seed"}
        yield "swap two passes", names, run.with_batches([batch for one in by_pass for batch in one], run.updates)


def _updating(run: Subject) -> list[int]:
    """The steps with an update."""
    updates = run.updates
    return [i for i in range(run.last + 1) if updates[i] > (updates[i - 1] if i else 0)]


def _windows(run: Subject, rng: Random) -> Edits:
    at, names = _updating(run), {"accumulation-steps", "update-offset"}
    inner = [i for i in at if i < run.last and i + 1 not in at]
    if inner:
        t = rng.choice(inner)
        yield "one window late", names, run.with_updates([update - (i == t) for i, update in enumerate(run.updates)])
    before = [i for i in at if i > 0 and i - 1 not in at]
    if before:
        t = rng.choice(before)
        early = [update + (i == t - 1) for i, update in enumerate(run.updates)]
        yield "one window early", names, run.with_updates(early)


def _counters(run: Subject, rng: Random) -> Edits:
    updates, offset = np.array(run.updates), {"update-offset"}
    yield "the counter starts at 1", offset, run.with_updates(updates + 1)
    yield "the counter starts at c", offset, run.with_updates(updates + rng.randint(2, 900))
    yield "the counter starts at -1", {"update-offset", "update-skipped"}, run.with_updates(updates - 1)
    yield "updates counted double", {"update-doubled"}, run.with_updates(updates * 2)
    if at := _updating(run):
        t = rng.choice(at)
        step = np.arange(run.last + 1) >= t
        end = {"window-at-training-end", "leftover-dropped", "leftover-leaked", "leftover-carried"}
        accumulates = run.plan.gradient_accumulation_steps > 1
        names = {"update-skipped"} | (end if t == run.last and accumulates else set())
        yield "skip an update", names, run.with_updates(updates - step)
        yield "double an update", {"update-doubled"}, run.with_updates(updates + step)
