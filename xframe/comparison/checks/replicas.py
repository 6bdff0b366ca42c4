"""Replicas that share each step as they should, and stay one model: the same updates, rates and weights in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xframe.comparison.check import Check
from xframe.comparison.pairing import Pair, Run, Terms
from xframe.comparison.replicated import (
    Parting,
    dealt,
    dealt_otherwise,
    first_parting,
    shows_weights,
    sizes,
    uneven,
    unlike_weights,
    unplanned,
)
from xframe.comparison.result import Judgement
from xframe.errors import printable

_SAME = {  # what replicas must agree in, by column
    "updates": "had applied {} updates, replica 0 {}",
    "lr": "had learning rate {}, replica 0 {}",
}
_APART = "had other weights than replica 0: they are not synchronised"


class Replicas(Check):
    """What no merged row shows: each replica's share of a step, and that all have the same steps, updates, rates and
    final weights, bit by bit. Two runs without a plan of theirs are dealt alike."""

    name, title, rank, group = "replicas", "replicas", 35, "numbers"
    each, optional, of_any_order = "", True, True

    @classmethod
    def rule(cls, terms: Terms, runs: Sequence[Run]) -> str:
        planned = terms.plan is not None and terms.plan.replicas > 1
        return f"{'dealt as planned, ' if planned else ''}same steps, updates, rates, weights"

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
        sides = [run for run in (self.pair.candidate, self.pair.reference) if dealt(run)]
        partings = [one for run in sides for one in _within(run, self.pair.terms)]
        if self.pair.terms.order == "exact" and (found := dealt_otherwise(self.pair)) is not None:
            partings.append(found)
        if partings:
            steps = [one.step for one in partings if one.step is not None]
            return Judgement("fail", min(steps, default=None), "; ".join(one.sentence for one in partings))
        for run in sides:
            if not run.rows.complete and run.trace is not None:
                return Judgement("not judged", detail=f"{run.name} is {printable(run.trace.ending)}; alike up to there")
            if not shows_weights(run):
                detail = f"the final weights of {run.name} are not known of each replica; alike in all else"
                return Judgement("not judged", detail=detail)
        return Judgement("pass")


def _within(run: Run, terms: Terms) -> Iterator[Parting]:
    """Where the replicas of one run part."""
    found = [uneven(run), unplanned(run, terms), *(first_parting(run, name, what) for name, what in _SAME.items())]
    marked = first_parting(run, "weights_mark", _APART)
    ended = unlike_weights(run)
    if marked is None and ended is not None:
        ended = Parting(None, f"{ended.sentence}: they are not synchronised")
    yield from filter(None, (*found, marked, ended))
