"""Replicas that share each step as they should, and stay one model: the same updates, rates and weights in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xframe.comparison.check import Check
from xframe.comparison.pairing import Pair, Run, Terms
from xframe.comparison.replicated import (
    Parting,
    dealt,
    dealt_otherwise,
    partings,
    sharing_samples,
    sizes,
    unplanned,
    weights_by,
    without_file,
)
from xframe.comparison.result import Judgement
from xframe.errors import printable


class Replicas(Check):
    """What no merged row shows: each replica's share of a step, and that all have the same steps, updates, rates and
    final weights, bit by bit. Two runs without a plan of theirs are dealt alike; in one alone no two share samples."""

    name, title, rank, group = "replicas", "replicas", 35, "numbers"
    each, optional, of_any_order = "", True, True

    @classmethod
    def rule(cls, terms: Terms, runs: Sequence[Run]) -> str:
        planned = terms.plan is not None and terms.plan.replicas > 1
        by = " and ".join(sorted({by for run in runs if (by := weights_by(run))}))
        return f"{'dealt as planned, ' if planned else ''}same steps, updates, rates, weights{by and f' ({by})'}"

    @classmethod
    def present(cls, terms: Terms, runs: Sequence[Run]) -> bool:
        return any(map(dealt, runs))

    @classmethod
    def applies(cls, pair: Pair) -> bool:
        return any(map(dealt, (pair.candidate, pair.reference)))

    @classmethod
    def values(cls, runs: Sequence[Run]) -> dict[str, int | str | None]:
        return {run.name: sizes(run) for run in runs}

    def judge(self) -> Judgement:
        sides = [run for run in dict.fromkeys((self.pair.candidate, self.pair.reference)) if dealt(run)]
        found = [one for run in sides for one in _within(run, self.pair.terms)]
        if self.pair.candidate is self.pair.reference and (shared := sharing_samples(self.pair.candidate)) is not None:
            found.append(shared)
        if self.pair.terms.order == "exact" and (other := dealt_otherwise(self.pair)) is not None:
            found.append(other)
        if found:
            steps = [one.step for one in found if one.step is not None]
            return Judgement("fail", min(steps, default=None), "; ".join(one.sentence for one in found))
        for run in sides:
            if not run.rows.complete and run.trace is not None:
                return Judgement("not judged", detail=f"{run.name} is {printable(run.trace.ending)}; alike up to there")
            if weights_by(run) is None:
                detail = f"the final weights of {run.name} are not known of each replica; alike in all else"
                return Judgement("not judged", detail=detail)
        return Judgement("pass", detail="; ".join(said for run in sides for said in _noted(run)))


def _within(run: Run, terms: Terms) -> Iterator[Parting]:
    """Where the replicas of one run part."""
    if (found := unplanned(run, terms)) is not None:
        yield found
    yield from partings(run)


def _noted(run: Run) -> Iterator[str]:
    """What fails no run, and is to be known."""
    if (shared := sharing_samples(run)) is not None:
        yield shared.sentence
    if lacking := without_file(run):
        files = lacking[0] + (f" and {len(lacking) - 1:,} more" if len(lacking) > 1 else "")
        yield f"{files} of {run.name} is not there: of these weights the digests in the trace were compared"
