"""In which pairs a mistake can be made, and the step at which it must show, worked out by hand from the script alone.

Steps are 0-based. In a pass of n samples and batches of b, step ⌊n/b⌋ is the first whose batch depends on what becomes
of the remainder. Under coverage the order is not judged: sizes are, step by step, and the samples of each pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pairs import drawing
from pairs.pairs import Pair

NO_STEP: Callable[[Pair], int | None] = lambda pair: None  # noqa: E731


def only(*names: str) -> Callable[[Pair], bool]:
    """These pairs."""
    return lambda pair: pair.name in names


def exact(pair: Pair) -> bool:
    return pair.order == "exact"


def streams(pair: Pair) -> bool:
    return pair.right.steps is not None


def stops(pair: Pair) -> bool:
    return pair.right.patience is not None


def scheduled(pair: Pair) -> bool:
    return pair.right.schedule != "constant"


def carried(pair: Pair) -> bool:
    return pair.right.last == "carry"


def at(step: int) -> Callable[[Pair], int]:
    return lambda pair: step


def end_of_pass(pair: Pair) -> int:
    """The step that has, or would have, the samples left over."""
    return pair.right.n // pair.right.batch


def middle(pair: Pair) -> int:
    """A step inside the second pass, four after the end of a window."""
    return pair.right.in_pass + 7 if not carried(pair) else end_of_pass(pair) + 5


def second_pass(pair: Pair) -> int:
    return end_of_pass(pair) if carried(pair) else pair.right.in_pass


def where(condition: Callable[[Pair], bool], **change: Any) -> Callable[[Pair], Mapping[str, Any] | None]:
    """The same change in all pairs that meet the condition."""
    return lambda pair: change if condition(pair) else None


def first_left_out(most: Callable[[int], int]) -> Callable[[Pair], int]:
    """The first step whose batch had a sample that is now left out; by its size alone where orders differ."""

    def step(pair: Pair) -> int:
        n, b = pair.right.n, pair.right.batch
        if not exact(pair):
            return most(n) // b
        drawn = n if carried(pair) else min(pair.right.in_pass * b, n)  # of each pass; the rest is dropped
        for index, order in enumerate(drawing.orders(pair.right)):
            found = np.flatnonzero(order[:drawn] >= most(n))
            if len(found):
                return index * pair.right.in_pass + int(found[0]) // b
        raise AssertionError("there is always a next pass")

    return step


def named(*names: str) -> frozenset[str]:
    return frozenset(names)


def has_rest(pair: Pair) -> bool:
    return bool(pair.right.rest)


def first_tick(pair: Pair) -> int:
    """The first step after the schedule's first tick."""
    return pair.right.in_pass if pair.right.clock == "epochs" else pair.right.window
