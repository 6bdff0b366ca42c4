"""Pairs of training scripts whose every mistake is known, see the package ``pairs``; if fewer are asked for, a draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from random import Random

from pairs.cases import Case, every
from pairs.judging import Score, scored

from sweeps import Result


@dataclass
class Pairs(Result):
    """``mismatches`` are the bars that are not met; the table lists each case that is not as it should be."""

    score: Score = field(default_factory=Score)

    @property
    def text(self) -> str:
        return f"{self.cases:,} pairs of scripts\n{self.score.table}"


def run(size: int, seed: int) -> Pairs:
    """That many of the cases, or all."""
    score = scored(drawn(size, seed))
    return Pairs(len(score.outcomes), score.unmet, score)


def drawn(size: int, seed: int) -> list[Case]:
    """That many cases, of each kind in turn."""
    random, by_kind = Random(seed), dict[str, list[Case]]()
    for case in every():
        by_kind.setdefault(case.kind, []).append(case)
    shuffled = [random.sample(cases, len(cases)) for cases in by_kind.values()]
    in_turn = [case for turn in zip_longest(*shuffled) for case in turn if case is not None]
    return in_turn[:size]
