"""The sides of a comparison, and a pair of them: a candidate and the reference it is compared with.

A ``Run`` is one side, the plan's included, which differs only in that nobody recorded it. A ``Pair`` holds what its
checks share: what the two are compared by, and where they were seen to differ so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xframe.comparison.result import Judgement, Tolerance
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.facts import Facts
from xframe.trace.rows import Rows
from xframe.trace.trace import Trace, Validation

PLAN = "plan"


@dataclass(frozen=True, eq=False)
class Run:
    """One side of a comparison.

    Attributes:
        name: what reports call it; ``plan`` for the plan's side.
        rows: its steps; the object that every check and the diagnosis read, so that a column is read once.
        facts: what is known of it beside its rows.
        trace: what was recorded; None for the plan's side.
    """

    name: str
    rows: Rows
    facts: Facts = field(default_factory=Facts)
    trace: Trace | None = None

    @property
    def is_plan(self) -> bool:
        """Whether this is what a plan says, and no run."""
        return self.trace is None

    @property
    def validations(self) -> tuple[Validation, ...]:
        """What was validated between the steps, in order."""
        return () if self.trace is None else self.trace.validations

    @property
    def complete(self) -> bool:
        """Whether the rows go on to where the run ended by itself."""
        return self.trace is None or self.trace.complete


@dataclass(frozen=True, eq=False)
class Terms:
    """By what runs are compared.

    Attributes:
        order: ``exact`` or ``coverage``.
        plan, num_samples: what the runs should have done; no run is compared with the plan unless both are known.
        precision: the coarsest of the runs'; learning rates are compared as it stores them.
        tolerance: of loss and weights, the one in force.
        rate: the task's learning rate at each tick of the plan's ``schedule_clock``, if known.
        audits: by run, what its task's audit found to contradict the trace.
    """

    order: str
    plan: TrainingPlan | None
    num_samples: int | None
    precision: str
    tolerance: Tolerance
    rate: Callable[[int], float] | None = None
    audits: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(eq=False)
class Pair:
    """A candidate, the reference it is compared with, and what was seen so far.

    Attributes:
        shared: the steps that both made.
        firsts: by column, the first row at which the two differ.
        until: the first row at which their structure differs, or ``shared``; numbers are judged before it.
        judgements: by check, what this pair shows; a check that does not apply to the pair is missing.
    """

    candidate: Run
    reference: Run
    terms: Terms
    firsts: dict[str, int] = field(default_factory=dict)
    judgements: dict[str, Judgement] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shared = min(len(self.candidate.rows), len(self.reference.rows))
        self.until = 0 if self.other_data else self.shared

    @property
    def other_data(self) -> bool:
        """Whether the same ids are known to stand for different samples."""
        fingerprints = {run.facts.data_fingerprint for run in (self.candidate, self.reference)} - {None}
        return len(fingerprints) > 1
