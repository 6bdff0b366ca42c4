"""What a check is: something that is fed a pair's rows, block by block, and then judges the pair.

A check is a subclass of ``Check`` in a file of its own under ``checks/``, where it is found. It states what it is
called, what it looks at and what reports say of it. Make a check ``optional`` if older traces lack its column.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from xframe.comparison.pairing import Block, Pair, Run, Terms
from xframe.comparison.result import TOLERANCES, CheckResult, Judgement, Result
from xframe.errors import counted
from xframe.trace.schema import Group

ORDERS = ("exact", "coverage")
_SEVERAL = 3  # updates behind which losses show what entered them


class Check(ABC):
    """One check of one pair; an object is made for every pair to which it ``applies``.

    Attributes:
        name: as JSON and messages have it.
        title: as tables have it.
        rank: its place among the checks; of two that fail at one step, the one of the lower rank is reported.
        group: ``structure`` (which samples in which step, which updates), ``labels`` (what the loop calls them), or
            ``numbers``, which are only fed up to where the pair's structure differs.
        optional: it is part of a comparison only where it is ``present``.
        computed: it judges numbers that training computed, rather than was set to; if none of these is judged, the
            comparison's numbers are not.
        of_runs_only: no run is compared with the plan in it.
        of_any_order: of numbers, it doesn't depend on the order of the samples, so that ``coverage`` judges it too.
        brief_always: its brief rule rests on no tolerance.
        witness: what it judges shows in the next step's loss, so that its first difference is the comparison's only
            where no other check differs.
        orders: the kinds of comparison, of ``ORDERS``, to which it belongs.
        rests_on: the column without which it judges nothing; ``weights`` if it is what lies beside the rows.
        each: what its ``rule`` adds to ``== plan``; not needed by one that has a rule of its own.
        shown: the column of numbers to show of its first difference, and what reports call it.
        worst, worst_at: the largest difference measured so far, and the step or weight at which it is.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    rank: ClassVar[int]
    group: ClassVar[Group]
    each: ClassVar[str]
    optional: ClassVar[bool] = False
    computed: ClassVar[bool] = False
    of_runs_only: ClassVar[bool] = False
    of_any_order: ClassVar[bool] = False
    brief_always: ClassVar[bool] = False
    witness: ClassVar[bool] = False
    orders: ClassVar[tuple[str, ...]] = ORDERS
    rests_on: ClassVar[str | None] = None
    shown: ClassVar[tuple[str, str]] = ("loss", "loss")
    worst: float | None = None
    worst_at: int | str | None = None

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def feed(self, block: Block) -> None:  # noqa: B027  a check may need no rows
        """The next rows of both sides."""

    @abstractmethod
    def judge(self) -> Judgement:
        """What the rows seen, all that the pair shares, amount to."""

    @classmethod
    def rule(cls, terms: Terms, runs: Sequence[Run]) -> str:
        """What is required, for the table."""
        other = "plan" if terms.plan is not None and terms.num_samples is not None else runs[0].name
        return f"== {other}, {cls.each}" if cls.each else f"== {other}"

    @classmethod
    def brief(cls, terms: Terms, runs: Sequence[Run]) -> str:
        """The rule in a few words, for the table of a check that passes by the default tolerance."""
        return cls.rule(terms, runs)

    @classmethod
    def applies(cls, pair: Pair) -> bool:
        """Whether it judges this pair at all."""
        return not (cls.of_runs_only and pair.reference.is_plan)

    @classmethod
    def present(cls, terms: Terms, runs: Sequence[Run]) -> bool:
        """Of an optional check, whether there is something to judge."""
        return not cls.optional

    @classmethod
    def absent(cls, terms: Terms, runs: Sequence[Run]) -> bool:
        """Whether no run has what it judges, so that reports need no row for it; the JSON form has it."""
        return False

    @classmethod
    def values(cls, runs: Sequence[Run]) -> dict[str, int | str | None]:
        """What each run shows, by its name, for the table."""
        return {}

    @classmethod
    def beside_pairs(cls, terms: Terms) -> Iterable[Judgement]:
        """Judgements that rest on no pair."""
        return ()

    @classmethod
    def notes(cls, pairs: Sequence[Pair]) -> Iterable[str]:
        """Sentences on what was noticed, whether or not anything fails."""
        return ()

    # For the checks' own use.

    def differ(self, block: Block, column: str, candidate_column: str | None = None) -> None:
        """Notes the first row at which a column differs, where both sides know it; of the candidate, another column
        if one is given. What a digest shows to be equal and has no gaps is not read."""
        if column in self.pair.firsts:
            return
        read = candidate_column or column
        if read == column and column in self.pair.known and block.alike(column):
            self.pair.judged[column] += block.length
            return
        common = block.common(read, column)
        self.pair.judged[column] += len(common)
        self.note(column, common.first_unequal())

    def note(self, column: str, row: int | None) -> None:
        """Notes that a column first differs there; beyond a difference in structure no number is judged."""
        if row is not None:
            self.pair.firsts[column] = row
            if self.group == "structure":
                self.pair.until = min(self.pair.until, row)

    def measure(self, difference: float, at: int | str) -> None:
        """Keeps a difference if it is the largest so far."""
        if self.worst_at is None or difference > (self.worst or 0.0):
            self.worst, self.worst_at = difference, at

    def measured(
        self, result: Result, first: int | None = None, detail: str = "", *, undecided: bool = False
    ) -> Judgement:
        """A judgement with the largest difference measured."""
        return Judgement(result, first, detail, self.worst, self.worst_at, undecided)

    def agreement(self) -> Judgement:
        """What passes on the steps that both made; nothing compared is nothing judged."""
        pair = self.pair
        whole = len(pair.candidate.rows) == len(pair.reference.rows)
        detail = (
            "" if whole or not pair.shared else f"equal over the first {counted(pair.shared, 'step')}, which both made"
        )
        return Judgement("pass" if pair.shared else "not judged", detail=detail)

    def gaps(self, column: str) -> str:
        """What to add of a column that some rows lack, if it agrees in the rows where both sides know it."""
        steps, shared = self.pair.judged[column], self.pair.shared
        return f" at some steps; the {steps:,} of {shared:,} judged agree" if steps else ""

    def harmless(self, first: int) -> bool:
        """Whether the losses show that what differs from that step on makes no difference to training: they agree
        throughout, or for several updates behind it, so that what parts them later is something else."""
        pair = self.pair
        parts = pair.firsts.get("loss")
        if parts is None:
            return bool(pair.judged["loss"])
        updates = [pair.reference.value("updates", row) if row >= 0 else 0 for row in (first - 1, parts - 1)]
        made = parts - first if None in updates else updates[1] - updates[0]
        known = all(run.value("loss", first) is not None for run in (pair.candidate, pair.reference))
        return known and min(parts - first, made) >= _SEVERAL

    def at_some(self, column: str) -> str:
        """What to add of numbers that a run recorded at some steps; empty where it did at all."""
        judged, until = self.pair.judged[column], self.pair.until
        return f"recorded at {judged:,} of {counted(until, 'step')}" if judged < until else ""

    def up_to_here(self, column: str | None = None) -> str:
        """What to add where numbers were judged up to the structure's first difference only, or at some steps."""
        pair, said = self.pair, []
        if column is not None and (sparse := self.at_some(column)):
            said.append(sparse)
        if not pair.until == len(pair.candidate.rows) == len(pair.reference.rows):
            said.append(f"before step {pair.until}, not judged from there on")
        return ", ".join(said)


def merged(check: type[Check], judgements: Sequence[Judgement], terms: Terms, runs: Sequence[Run]) -> CheckResult:
    """The judgements of one check, and how it was read, as one row."""
    return merge(
        check,
        judgements,
        rule=check.rule(terms, runs),
        brief=check.brief(terms, runs) if check.brief_always or terms.tolerance == TOLERANCES[terms.precision] else "",
        values=check.values(runs),
        absent=check.absent(terms, runs),
        said=[one.sentence for run in runs for one in run.readings.values() if one.check == check.name],
    )


def merge(
    check: type[Check],
    judgements: Sequence[Judgement],
    *,
    rule: str,
    brief: str,
    values: Mapping[str, int | str | None],
    absent: bool = False,
    said: Sequence[str] = (),
) -> CheckResult:
    """The judgements of one check as one row: any failure fails it, anything not judged leaves it not judged.

    Args:
        rule, brief, values, absent: of the ``CheckResult``.
        said: what its detail ends with.
    """
    failed = [j for j in judgements if j.result == "fail"]
    unjudged = [j for j in judgements if j.result == "not judged"]
    decisive = failed or unjudged or judgements
    worst_of = next((j.worst_of for j in decisive), "")
    measured = [j for j in judgements if j.worst is not None and j.worst_of == worst_of]
    largest = max(measured, key=lambda j: j.worst or 0.0, default=None)
    details = [*(j.detail for j in decisive), *said]
    return CheckResult(
        name=check.name,
        result="fail" if failed else "not judged" if unjudged or not judgements else "pass",
        rule=rule,
        brief=brief,
        values=values,
        first=min((j.first for j in failed if j.first is not None), default=None),
        worst=largest.worst if largest else None,
        worst_at=largest.worst_at if largest else None,
        worst_of=worst_of,
        undecided=any(j.undecided for j in judgements),
        absent=absent,
        detail="; ".join(dict.fromkeys(filter(None, details))),
        title=check.title,
        group=check.group,
        computed=check.computed,
        shown=(worst_of, worst_of) if worst_of else check.shown,
    )
