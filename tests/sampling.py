"""What share of many cases alike is run. All of them, but where these variables of the environment say otherwise:

    XFRAME_SAMPLE   a share of each parametrized test's cases, as in CI
    XFRAME_SWEEPS   a share of the cases of tests marked ``sweep``, and of random sweeps, as in ``make test``
    XFRAME_SEED     which of a parametrized test's cases are drawn

Of FEWEST cases or fewer all are run. A random sweep keeps its seed: its cases are the first of the whole sweep's.
"""

import math
import os
from collections.abc import Iterator
from itertools import groupby
from random import Random

import pytest

FEWEST = 8
SHARE = float(os.environ.get("XFRAME_SAMPLE", "1"))
SWEEPS, SEED = float(os.environ.get("XFRAME_SWEEPS", SHARE)), os.environ.get("XFRAME_SEED", "1")


def part(size: int) -> int:
    """How many cases a random sweep over that many is to look at."""
    return size if size <= FEWEST else max(FEWEST, math.ceil(SWEEPS * size))


def header() -> str | None:
    """What is left out, in a line at the head of pytest's report."""
    if SWEEPS == 1:
        return None
    which = "test" if SHARE < 1 else "sweep"
    return f"sample: of each {which} with more than {FEWEST} cases {SWEEPS:.0%}, drawn by seed {SEED}"


def sampled(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Each test's cases, or of many as large a share as is asked for.

    Tests of one class or module that have as many cases get the same of them, since they share what cases train.
    """
    for test, group in groupby(items, key=lambda item: item.nodeid.partition("[")[0]):
        cases = list(group)
        sweep = cases[0].get_closest_marker("sweep")
        fewest = sweep.kwargs.get("fewest", FEWEST) if sweep else FEWEST
        size = max(fewest, math.ceil((SWEEPS if sweep else SHARE) * len(cases)))
        yield from cases if len(cases) <= size else Random(f"{SEED} {test.rpartition('::')[0]}").sample(cases, size)
