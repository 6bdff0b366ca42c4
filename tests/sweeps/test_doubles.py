"""Two mistakes at once: nothing certain is wrong, and most of what is named first is right."""

from __future__ import annotations

from typing import Any

import pytest
from sampling import part

from sweeps.doubles import run


@pytest.mark.costly
@pytest.mark.sweep
def test_no_cause_of_two_mistakes_is_certain_and_wrong(record_property: Any) -> None:
    found = run(max(60, part(150)), seed=11)  # of fewer a share says nothing
    assert not found.wrong_certain
    assert not found.refuted
    assert all(found.read[claim] for claim in ("due", "a rate", "first losses", "stored order", "in a row"))
    assert found.read["too many"] or found.cases < 150
    assert found.count("certain") > found.cases / 15  # it does commit itself
    assert found.count("right") >= 0.75 * found.cases, found.text
    record_property("sample", f"doubles: {found.cases} comparisons, {found.count('right')} first causes right")
