"""Mistakes that people made in moving a training are found between two scripts as they are, and named; twins pass."""

import pytest

from scripts.pairs.judging import judge, judge_captured, possible, record
from scripts.pairs.table import PAIRS

pytestmark = pytest.mark.thorough


def made(request, tmp_path_factory, capture):
    """The rows that are tested here with so many updates captured, each framework's scripts in one process."""
    folder = tmp_path_factory.mktemp("pairs")
    asked = [item for item in request.session.items if item.path == request.path]
    rows = {item.callspec.params["row"] for item in asked if ("captured" in item.fixturenames) == bool(capture)}
    record(folder, [row for row in PAIRS if possible(row) and row in rows], capture)
    return folder


@pytest.fixture(scope="module")
def recorded(request, tmp_path_factory):
    return made(request, tmp_path_factory, 0)


@pytest.fixture(scope="module")
def captured(request, tmp_path_factory):
    return made(request, tmp_path_factory, 4)


@pytest.mark.xdist_group("pairs of scripts")
@pytest.mark.sweep(fewest=3)
@pytest.mark.parametrize("row", PAIRS)
def test_a_mistake_is_found_and_named_and_its_faithful_twin_passes(request, row):
    if not possible(row):
        pytest.skip(f"needs {', '.join(PAIRS[row].needs)}")
    assert judge(request.getfixturevalue("recorded"), row).wrong == []


@pytest.mark.xdist_group("pairs of scripts")
@pytest.mark.sweep(fewest=1)
@pytest.mark.parametrize("row", [row for row, pair in PAIRS.items() if pair.captured])
def test_captured_updates_name_a_mistake_in_the_numbers_first_and_its_twin_is_equivalent(captured, row):
    assert judge_captured(captured, row) == []
