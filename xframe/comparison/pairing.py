"""The sides of a comparison, and a candidate and its reference walked through together, block by block.

A ``Run`` is one side, the plan's included, which differs only in that nobody recorded it. A ``Pair`` holds what its
checks share: what the two are compared by, and where they were seen to differ so far. Memory does not grow with the
number of steps: of each side one block of rows is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.result import Judgement, Tolerance
from xframe.errors import printable
from xframe.numerics.result import Curve, Numerics
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.continued import Join
from xframe.trace.facts import Facts
from xframe.trace.rows import Rows
from xframe.trace.schema import BY_NAME, COUNTED, Column
from xframe.trace.trace import Trace, Validation

PLAN = "plan"
BLOCK_ROWS = 1 << 17  # that are held of each side at once
MOST_IDS = 1 << 22  # of a plan that are held at once


@dataclass(frozen=True, eq=False)
class Reading:
    """What a run means by a column in which a row's number is not its own step's; see ``readings``.

    Attributes:
        column: its name.
        sentence: what the run records, for reports.
        values: of each step, as it is then read.
        slack: by how much more than is allowed two values may differ, since these are computed; none if None.
    """

    column: str
    sentence: str
    values: Column
    slack: NDArray[np.float64] | None = None

    @property
    def check(self) -> str:
        """The name of the check that judges it."""
        return "loss" if self.column == "accuracy" else self.column


@dataclass(frozen=True, eq=False)
class Run:
    """One side of a comparison.

    Attributes:
        name: what reports call it; ``plan`` for the plan's side.
        rows: its steps; the object that every check and the diagnosis read, so that a column is read once.
        facts: what is known of it beside its rows.
        trace: what was recorded; None for the plan's side.
        readings: by column, what is not read as it was recorded.
        by_content: its ids were made from its features, not recorded.
        named: the ids below that are indices that a run recorded; the others number contents, and no report shows them.
    """

    name: str
    rows: Rows
    facts: Facts = field(default_factory=Facts)
    trace: Trace | None = None
    readings: Mapping[str, Reading] = field(default_factory=dict)
    by_content: bool = False
    named: int | None = None

    def read_as(self, reading: Reading) -> Run:
        """The same run, one column of it read as that."""
        columns: dict[str, Any] = {reading.column: reading.values}
        rows = self.rows.with_columns(**columns)
        return replace(self, rows=rows, readings={**self.readings, reading.column: reading})

    @property
    def is_plan(self) -> bool:
        """Whether this is what a plan says, and no run."""
        return self.trace is None

    @property
    def says(self) -> str:
        """How a sentence introduces what this side has."""
        return "the plan says" if self.is_plan else f"{self.name} has"

    @property
    def validations(self) -> tuple[Validation, ...]:
        """What was validated between the steps, in order."""
        return () if self.trace is None else self.trace.validations

    @property
    def skips_updates(self) -> bool:
        """Whether updates may be skipped, since the loss is scaled; what a plan says then is how often one is tried."""
        return self.facts.precision == "mixed_float16" and "update_attempts" in self.rows.known

    def counted_from(self, label: str) -> int:
        """What it counts that label from; its rows count it from 0."""
        return 0 if self.trace is None else self.trace.counted_from(label)

    def value(self, column: str, index: int) -> Any:
        """One value of a column; None where it is unknown."""
        if self.trace is not None and len(self.trace.source.bounds) <= 2:
            self.rows.column(column)  # is kept: of a run of one block each column is read once
        return self.rows.value(column, index)

    def last(self, column: str) -> int | None:
        """The last row's value; None unless every row has one."""
        return self.value(column, len(self.rows) - 1) if column in self.rows.known and len(self.rows) else None

    def digests(self, block: int | None) -> Mapping[str, str]:
        """The digests of a block of a closed trace, by the group of columns they cover; empty where there are none."""
        if self.trace is None or block is None or self.trace.source.digests is None or self.readings:
            return {}
        digests = self.trace.source.digests[block]
        return {name: of for name, of in digests.items() if name != "structure"} if self.by_content else digests

    def step(self, index: int, number: str = "loss") -> dict[str, Any] | None:
        """That step as a report shows it, with a column of numbers; None where the run has no such step."""
        if not 0 <= index < len(self.rows):
            return None
        names = ("batch_size", "updates", "epoch", "step_in_epoch", "ids_digest")
        shown = {name: self.value(name, index) for name in names}
        shown["ids_digest"] = shown["ids_digest"] and shown["ids_digest"].hex()
        for name in dict.fromkeys(("lr", "loss", number)) if self.trace is not None else ():
            value = self.value(name, index)
            shown[name] = value if value is None or np.isfinite(value) else str(value)
        return shown


def named(traces: Sequence[Trace]) -> list[str]:
    """Labels if they distinguish the runs, else file names, else as much of the paths as does."""

    def choices() -> Iterator[list[str]]:
        yield [trace.name for trace in traces]
        parts = [trace.path.resolve().with_suffix("").parts for trace in traces]
        for length in range(1, max(map(len, parts)) + 1):
            yield ["/".join(part[-length:]) for part in parts]

    for choice in choices():
        names = [printable(name) for name in choice]
        if len(set(names)) == len(names) and PLAN not in names:
            return names
    return [printable(f"{i}: {trace.path}") for i, trace in enumerate(traces)]


def joined(traces: Mapping[str, Trace]) -> dict[str, tuple[Join, ...]]:
    """Of the runs that are in several traces, by name, where these were joined."""
    return {name: trace.joins for name, trace in traces.items() if trace.joins}


def said_of_joins(joins: Mapping[str, Sequence[Join]]) -> list[str]:
    """The same in sentences; what several runs share once."""
    return list(dict.fromkeys(f"{one}." for several in joins.values() for one in several))


@dataclass(frozen=True, eq=False)
class Terms:
    """By what runs are compared.

    Attributes:
        plan, num_samples: what the runs should have done; no run is compared with the plan unless both are known.
        precision: by which numbers are judged; learning rates are compared as it stores them.
        tolerance: of loss and weights, the one in force.
        rate: the task's learning rate at each tick of the plan's ``schedule_clock``, if known.
        audits: by run, what its task's audit found to contradict the trace.
        chosen: nobody asked for this order, so that nothing passes by it.
        by_hand: the tolerance was given, and is taken in place of bounds.
        plan_given: the plan is not, or not only, what the runs state.
        numerics: by run, what judging its numbers step by step has shown.
    """

    order: str
    plan: TrainingPlan | None
    num_samples: int | None
    precision: str
    tolerance: Tolerance
    rate: Callable[[int], float] | None = None
    audits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    chosen: bool = False
    by_hand: bool = False
    plan_given: bool = False
    numerics: Mapping[str, Numerics] = field(default_factory=dict)


@dataclass(eq=False)
class Pair:
    """A candidate, the reference it is compared with, and what was seen so far.

    Attributes:
        shared: the steps that both made.
        firsts: by column, the first row at which the two differ; ``lr`` by the precision judged, ``loss`` and
            ``accuracy`` by the tolerance in force.
        judged: by column, in how many rows both knew it and were compared, up to its first difference's block.
        details: by column, what a check noticed of its differences, for the diagnosis.
        noticed: sentences on what a check noticed that is no failure.
        until: the first row at which their structure differs, or ``shared``; numbers are judged before it.
        diverged: whether their structure differs anywhere, their ends included.
        unclear: the first step from which on rounding may have moved the losses too far to tell.
        drift: by which share it may have moved what validations give by then.
        judgements: by check, what this pair shows; a check that does not apply to the pair is missing.
    """

    candidate: Run
    reference: Run
    terms: Terms
    firsts: dict[str, int] = field(default_factory=dict)
    judged: Counter[str] = field(default_factory=Counter)
    noticed: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    judgements: dict[str, Judgement] = field(default_factory=dict)
    diverged: bool = False
    unclear: int | None = None
    drift: float = 0.0

    def __post_init__(self) -> None:
        self.shared = min(len(self.candidate.rows), len(self.reference.rows))
        self.until = 0 if self.other_data else self.shared

    @property
    def numerics(self) -> Numerics | None:
        """What judging the candidate's steps from the reference's states has shown; None where that was not done."""
        return None if self.reference.is_plan else self.terms.numerics.get(self.candidate.name)

    @property
    def curve(self) -> Curve | None:
        """What rounding makes of the reference's losses, if that is known and no tolerance is taken in its place."""
        judged = self.numerics
        return None if judged is None or self.terms.by_hand else judged.curve

    @property
    def known(self) -> frozenset[str]:
        """The columns that both sides know in every row."""
        return self.candidate.rows.known & self.reference.rows.known

    @property
    def other_data(self) -> bool:
        """Whether the same ids are known to stand for different samples."""
        fingerprints = {run.facts.data_fingerprint for run in (self.candidate, self.reference)} - {None}
        return len(fingerprints) > 1

    @cached_property
    def _labelled_alike(self) -> bool:
        """Whether both loops count their labels from the same number, so that equal numbers are equal labels."""
        return all(self.candidate.counted_from(name) == self.reference.counted_from(name) for name in COUNTED)

    def block(self, start: int, stop: int, index: int | None) -> Block:
        """The rows ``start`` to ``stop`` (excluded) that both sides have; ``index`` as ``blocks`` gives it."""
        sides = (self.candidate, self.reference)
        candidate, reference = (side.rows.between(start, stop) for side in sides)
        digests, expected = (side.digests(index) for side in sides)
        same = {name for name in digests if digests[name] == expected.get(name)}
        if "labels" in same and not self._labelled_alike:
            same.discard("labels")
        if digests.get("finite") != "True":
            same.discard("finite")
        return Block(candidate, reference, start, min(stop, self.shared) - start, frozenset(same))


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive rows of a pair.

    Attributes:
        candidate, reference: rows from ``start`` on, at least ``length`` of each.
        start: the place of the first row in its run.
        length: how many are to be compared.
        same: the groups of columns (``structure``, ``labels``, ``numbers``) whose digests are equal, so that nobody
            need read them; ``finite`` where, besides, every loss and learning rate is a finite number.
    """

    candidate: Rows
    reference: Rows
    start: int
    length: int
    same: frozenset[str]

    def head(self, length: int) -> Block:
        """The first rows."""
        return self if length >= self.length else replace(self, length=length)

    def unread(self) -> Block:
        """The same rows, without the columns of them that are in memory: to be kept."""
        return replace(self, candidate=self.candidate.unread(), reference=self.reference.unread())

    def common(self, name: str, reference_name: str | None = None) -> Common:
        """A column of both sides, the reference's of another name if one is given, in the rows where both know it."""
        candidate, reference = self._cut(self.candidate, name), self._cut(self.reference, reference_name or name)
        masks = [column.known for column in (candidate, reference) if column.known is not None]
        if not masks:
            return Common(candidate.values, reference.values, self.start)
        rows = np.flatnonzero(np.logical_and.reduce(masks))
        return Common(candidate.values[rows], reference.values[rows], self.start, rows)

    def alike(self, name: str) -> bool:
        """Whether a digest shows that both sides have the same in that column, unknown values included."""
        return BY_NAME[name].group in self.same

    def both(self, name: str) -> tuple[Column, Column]:
        """A column of the candidate's and of the reference's rows, and where it is known."""
        return self._cut(self.candidate, name), self._cut(self.reference, name)

    def _cut(self, rows: Rows, name: str) -> Column:
        values, known = rows.column(name)
        part = None if known is None or known[: self.length].all() else known[: self.length]
        return Column(values[: self.length], part)


@dataclass(frozen=True, slots=True, eq=False)
class Common:
    """The values of a column in the rows of a block where both sides know it.

    Attributes:
        candidate, reference: the values, of one length.
        start: the place of the block's first row in its run.
        rows: where they stand in the block; None where all its rows are known.
    """

    candidate: NDArray[Any]
    reference: NDArray[Any]
    start: int
    rows: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.candidate)

    def row(self, place: int) -> int:
        """The row, counted in its run, of the value at that place."""
        return self.start + int(place if self.rows is None else self.rows[place])

    @property
    def places(self) -> NDArray[np.int64]:
        """The rows, counted in their run, of all values."""
        return self.start + (np.arange(len(self)) if self.rows is None else self.rows)

    def before(self, row: int) -> int:
        """How many values stand before that row, counted in their run."""
        return int(np.searchsorted(self.places, row))

    def first_unequal(self) -> int | None:
        """The first row, counted in its run, at which the two differ."""
        first = first_unequal(self.candidate, self.reference)
        return None if first is None else self.row(first)


def first_unequal(a: NDArray[Any], b: NDArray[Any]) -> int | None:
    """The first place at which two arrays of one length differ."""
    if a.dtype.kind == "V":  # digests
        a, b = (values.view("<u8").reshape(-1, 2) for values in (np.ascontiguousarray(a), np.ascontiguousarray(b)))
        unequal = (a != b).any(axis=1)
    else:
        unequal = a != b
    return int(np.argmax(unequal)) if unequal.any() else None


def recorded(run: Run, column: str) -> bool:
    """Whether a run recorded that column at any step."""
    source = None if run.trace is None else run.trace.source
    return source is not None and source.unknown.get(column, source.num_rows) < source.num_rows


def blocks(runs: Sequence[Run], planned: Run | None, batch_size: int) -> Iterator[tuple[int, int, int | None]]:
    """All rows that any two sides share, a block at a time; ``batch_size`` is the plan's.

    Yields:
        first row, last row + 1, and, where all traces have the same blocks on disk, which of these it is: their
        digests can be compared.
    """
    lengths = [len(run.rows) for run in runs]
    sources = [run.trace.source for run in runs if run.trace is not None]
    bounds = {tuple(source.bounds) if source.digests is not None else None for source in sources}
    if len(bounds) == 1 and None not in bounds:
        for index, (start, stop) in enumerate(pairwise(sources[0].bounds)):
            yield start, stop, index
        return
    rows = BLOCK_ROWS if planned is None else min(BLOCK_ROWS, max(1, MOST_IDS // batch_size))
    last = sorted([*lengths, *([] if planned is None else [len(planned.rows)])])[-2]
    for start in range(0, last, rows):
        yield start, min(start + rows, max(lengths)), None
