"""Pairs of training scripts, each with one known mistake or none: a sample of them, and that the harness can fail.

What is asked is ``pairs.judging.BARS``, with nothing wrong as certain, refuted or more than is known, and no false
alarm. ``python -m sweeps pairs`` asks it of all cases, and exits 1 if it does not hold.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pairs.cases import CAUSE_COUNTS, Case, every
from pairs.judging import run_all, scored
from pairs.pairs import PAIRS
from sampling import part

from sweeps.pairs import drawn

SIZE, SEED = part(60), 12
SCRIPT = replace(PAIRS["fit"].right, epochs=2)
MISTAKEN = replace(SCRIPT, last="drop")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the traces of all scripts are that these tests judge."""
    folder = tmp_path_factory.mktemp("pairs")
    scripts = [script for case in drawn(SIZE, SEED) for script in (case.left, case.right)]
    run_all([*scripts, SCRIPT, MISTAKEN, replace(SCRIPT, by_block=True)], folder)
    return folder


def test_there_are_enough_of_them() -> None:
    cases = every()
    mistakes = Counter(case.pair.name for case in cases if not case.harmless)
    assert len([pair for pair in PAIRS if mistakes[pair] >= 12]) >= 8
    assert len([case for case in cases if case.harmless]) >= 20 + len(PAIRS)
    assert {case.pair.left.loop for case in cases} == {"fit", "tape", "tape stream"}
    assert {bool(case.left.planned) for case in cases} == {True, False}
    assert {case.pair.order for case in cases} == {"exact", "coverage"}
    assert all(case.causes for case in cases if case.kind in CAUSE_COUNTS)


@pytest.mark.sweep
@pytest.mark.thorough
def test_a_sample_of_them_is_judged_rightly(folder: Path, record_property: Any) -> None:
    score = scored(drawn(SIZE, SEED), folder)
    assert len(score.outcomes) == SIZE
    assert not score.unmet, score.table
    record_property("sample", f"pairs: {SIZE} of {len(every())} cases, {score.cause:.0%} of causes right")


@pytest.mark.thorough
def test_the_harness_can_fail(folder: Path) -> None:
    """A mistake that is called harmless is an alarm; a mistake that nobody made is not detected."""
    pair, script, mistaken = PAIRS["fit"], SCRIPT, MISTAKEN
    expected = {"check": "boundaries", "step": 28, "causes": frozenset({"short-batch-dropped"})}
    alarm, missed, right, elsewhere = scored(
        [
            Case("harmless?", pair, script, mistaken, "harmless"),
            Case("nothing", pair, script, replace(script, by_block=True), "structure", **expected),
            Case("as expected", pair, script, mistaken, "structure", **expected),
            Case("elsewhere", pair, script, mistaken, "structure", **{**expected, "step": 3, "causes": frozenset()}),
        ],
        folder,
    ).outcomes
    assert alarm.misses == ["FALSE ALARM"]
    assert missed.misses == ["not detected", "first difference elsewhere", "cause"]
    assert right.misses == []
    assert elsewhere.misses == ["first difference elsewhere", "cause", "WRONG AS CERTAIN"]
