"""What a case is: a pair of which one script is changed, and what must be reported of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pairs.pairs import PAIRS, Pair
from pairs.script import Script

Kind = Literal["structure", "order", "schedule", "lengths", "double", "validation", "numeric", "harmless"]
CAUSE_COUNTS = ("structure", "order", "schedule", "lengths")  # the kinds of which the right cause is asked


@dataclass(frozen=True)
class Mistake:
    """What one script does differently, in the pairs in which it can be made.

    Attributes:
        name: unique together with the pair.
        change: the settings of the script changed, for each pair; None where the pair has no such mistake.
        check: the check that must fail at the first difference; empty: nothing fails, but the cause is stated.
        step: the first step that must fail; None where that cannot be worked out by hand.
        causes: names, any of which is right.
        left: it is the reference that is changed.
        also: what is to be named besides, where there are two mistakes.
        both: settings that both scripts have.
        forbidden: of a numeric mistake, the names that would say more than is known.
    """

    name: str
    kind: Kind
    change: Callable[[Pair], Mapping[str, Any] | None]
    check: str | Callable[[Pair], str]
    step: Callable[[Pair], int | None]
    causes: frozenset[str]
    left: bool = False
    forbidden: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()
    both: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A pair to be compared, and what is expected."""

    name: str
    pair: Pair
    left: Script
    right: Script
    kind: Kind
    check: str = ""
    step: int | None = None
    causes: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()

    @property
    def harmless(self) -> bool:
        return self.kind == "harmless"


def of_mistakes(mistakes: list[Mistake]) -> Iterator[Case]:
    """Each mistake in each pair that can have it."""
    for pair in PAIRS.values():
        for mistake in mistakes:
            change = mistake.change(pair)
            if change is None:
                continue
            check = mistake.check if isinstance(mistake.check, str) else mistake.check(pair)
            left, right = (replace(script, **mistake.both) for script in (pair.left, pair.right))
            yield Case(
                f"{pair.name}: {mistake.name}",
                pair,
                replace(left, **change) if mistake.left else left,
                right if mistake.left else replace(right, **change),
                mistake.kind,
                check,
                mistake.step(pair),
                mistake.causes,
                mistake.forbidden,
                mistake.also,
            )


def every() -> list[Case]:
    """All cases: mistakes, and harmless variants with the pairs as they are."""
    from pairs import harmless
    from pairs.mistakes import MISTAKES

    found = [*of_mistakes(MISTAKES), *harmless.cases()]
    names = [case.name for case in found]
    assert len(set(names)) == len(names), "cases of one name"
    return found
