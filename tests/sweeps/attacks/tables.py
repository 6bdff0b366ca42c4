"""A comparison's table beside its causes: every step named, the cause named first and what is certain fit it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xframe.comparison.result import Comparison
from xframe.diagnosis import causes
from xframe.diagnosis.cause import Cause
from xframe.trace.rows import Rows

STRUCTURE = ("steps", "boundaries", "updates")
RATES = ("learning-rate", "schedule-late", "schedule-clock")


@dataclass(frozen=True)
class Table:
    """A comparison, and the rows of the run that differs and of what it is compared with."""

    comparison: Comparison
    candidate: Rows
    reference: Rows
    num_samples: int

    def head(self, steps: int) -> Table:
        """The first steps of both sides."""
        return Table(self.comparison, self.candidate.head(steps), self.reference.head(steps), self.num_samples)

    def result(self, name: str) -> str:
        return next((check.result for check in self.comparison.checks if check.name == name), "not judged")

    def first(self, name: str) -> int | None:
        return next((check.first for check in self.comparison.checks if check.name == name), None)

    @property
    def failed(self) -> set[str]:
        return {check.name for check in self.comparison.checks if check.result == "fail"}

    @property
    def with_a_step(self) -> set[str]:
        return {name for name in self.failed if self.first(name) is not None}

    @property
    def firsts(self) -> set[int]:
        return {check.first for check in self.comparison.checks if check.result == "fail" and check.first is not None}

    @property
    def shared(self) -> int:
        return min(len(self.candidate), len(self.reference))

    @property
    def until(self) -> int:
        """The first step at which the structure differs: numbers are judged before it."""
        return min((first for name in STRUCTURE if (first := self.first(name)) is not None), default=self.shared)

    def applied(self, rows: Rows) -> np.ndarray:
        """The updates of each step alone."""
        return np.diff(rows.updates, prepend=0) if rows.updates is not None else np.zeros(len(rows), np.int64)

    def both(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """A column that both know throughout, as far as both go."""
        if name in self.candidate.known and name in self.reference.known:
            a, b = (rows.column(name).values[: self.shared] for rows in (self.candidate, self.reference))
            return a, b
        return None


def misfits(table: Table) -> list[str]:
    """What of the causes doesn't fit the table, whatever their sentences say."""
    return _steps(table) + _first(table) + _certain(table)


def _steps(table: Table) -> list[str]:
    """Every step named is one at which a check first differs; of what is not named first it may lie behind one."""
    least, wrong = min(table.firsts, default=None), []
    for i, cause in enumerate(table.comparison.causes):
        known = cause.step in table.firsts or (cause.step is None and bool(table.failed - table.with_a_step))
        behind = i > 0 and least is not None and cause.step is not None and cause.step > least
        if not known and not behind:
            wrong.append(f"step {cause.step} of {sorted(table.firsts)}: {cause.name}: {cause.sentence}")
    return wrong


def groups(name: str) -> set[str]:
    """The checks whose differences a cause of that name explains by itself."""
    kind, found = type(causes.by_name()[name]), set()
    if kind.predictions is not Cause.predictions or kind.find is not Cause.find:
        found |= {*STRUCTURE, "epochs"}
    if kind.find_in_labels is not Cause.find_in_labels:
        found |= {"epochs"}
    if kind.find_in_numbers is not Cause.find_in_numbers:
        found |= {"lr"} if name in RATES else {"loss", "weights"}
    return found | ({"boundaries"} if name == "different-data" else set())


def _first(table: Table) -> list[str]:
    """The cause named first explains the first difference: that check at that step."""
    difference, named = table.comparison.first_difference, table.comparison.causes
    if difference is None or not named:
        return []
    step, check, first = difference["step"], difference["check"], named[0]
    at_that_step = {name for name in table.failed if table.first(name) == step}
    if first.step == step and groups(first.name) & at_that_step:
        return []
    return [f"first: {check} at step {step}, explained by {first.name} at {first.step}: {first.sentence}"]


def _certain(table: Table) -> list[str]:
    """What is certain explains, all of it together, every check that failed."""
    sure = [cause for cause in table.comparison.causes if cause.certain]
    if not sure:
        return []
    explained: set[str] = set()
    for cause in sure:
        explained |= groups(cause.name)
        if "lr" in groups(cause.name):  # a rate acts on the losses behind it
            loss, rate = table.first("loss"), table.first("lr")
            explained |= {"weights"} | ({"loss"} if loss is None or rate is None or loss > rate else set())
        if cause.name == "loss-scale":
            explained -= {"weights"}
    rest = table.failed - explained - {"validation"}
    return [f"certain, and {', '.join(sorted(rest))} unexplained: {one.name}: {one.sentence}" for one in sure if rest]
