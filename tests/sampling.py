"""What share of many cases alike is run. All of them, but where these variables of the environment say otherwise:

    XFRAME_SAMPLE   a share of each parametrized test's cases, and of random sweeps, as in ``make test``
    XFRAME_SEED     which of a parametrized test's cases are drawn

Of FEWEST cases or fewer all are run. Of tests marked ``costly``, which take some ten seconds or more, one in COSTLY is
run, with a share of its cases. A random sweep keeps its seed: its cases are the first of the whole sweep's.
"""

import math
import os
from collections.abc import Iterator
from itertools import groupby
from random import Random

import pytest

FEWEST = 2
COSTLY = 8
SHARE = float(os.environ.get("XFRAME_SAMPLE", "1"))
SEED = os.environ.get("XFRAME_SEED", "1")


def part(size: int) -> int:
    """How many cases a random sweep over that many is to look at."""
    return size if size <= FEWEST else max(FEWEST, math.ceil(SHARE * size))


def header() -> str | None:
    """What is left out, in a line at the head of pytest's report."""
    return (
        None if SHARE == 1 else f"sample: of each test with more than {FEWEST} cases {SHARE:.0%}, drawn by seed {SEED}"
    )


def sampled(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Each test's cases, or of many as large a share as is asked for; of costly ones a share of all.

    Tests of one class or module that have as many cases get the same of them, since they share what cases train.
    """
    costly = sorted({_test(item) for item in items if item.get_closest_marker("costly")})
    few = math.ceil(len(costly) / COSTLY) if SHARE < 1 else len(costly)
    left_out = {*costly} - {*Random(f"{SEED} costly").sample(costly, few)}
    for test, group in groupby(items, key=_test):
        if test in left_out:
            continue
        cases = list(group)
        sweep = cases[0].get_closest_marker("sweep")
        fewest = sweep.kwargs.get("fewest", FEWEST) if sweep else 1 if test in costly else FEWEST
        size = max(fewest, math.ceil(SHARE * len(cases)))
        yield from cases if len(cases) <= size else Random(f"{SEED} {test.rpartition('::')[0]}").sample(cases, size)


def _test(item: pytest.Item) -> str:
    """The name of its test, without the case."""
    return item.nodeid.partition("[")[0]
