"""Mistakes that people made in moving a training are found between two scripts as they are, and named; twins pass."""

import pytest

from scripts.pairs.judging import judge, possible, record
from scripts.pairs.table import PAIRS

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def recorded(request, tmp_path_factory):
    """The rows that are tested here, each framework's scripts in one process."""
    folder = tmp_path_factory.mktemp("pairs")
    tested = [item for item in request.session.items if item.path == request.path]
    record(
        folder, [row for row in PAIRS if possible(row) and any(item.callspec.params["row"] == row for item in tested)]
    )
    return folder


@pytest.mark.xdist_group("pairs of scripts")
@pytest.mark.sweep(fewest=3)
@pytest.mark.parametrize("row", PAIRS)
def test_a_mistake_is_found_and_named_and_its_faithful_twin_passes(request, row):
    if not possible(row):
        pytest.skip(f"needs {', '.join(PAIRS[row].needs)}")
    assert judge(request.getfixturevalue("recorded"), row).wrong == []
