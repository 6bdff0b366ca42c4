"""Trainers as they are, watched from outside: samples and updates as the trainers' own scripts count them."""

import runpy
from pathlib import Path

import pytest

import xframe

WRITTEN = Path(__file__).parent / "written"


@pytest.mark.filterwarnings("ignore")  # the trainers' own
@pytest.mark.parametrize("name", sorted(path.stem for path in WRITTEN.glob("*.py")))
def test_a_trainer_is_recorded_as_its_script_counts(tmp_path, name):
    with xframe.watch(tmp_path / "a.trace"):
        left = runpy.run_path(str(WRITTEN / f"{name}.py"), run_name="__main__")
    rows = xframe.Trace.open(tmp_path / "a.trace").frame()
    assert [row.tolist() for row in rows.ids] == [[round(103 * value) for value in batch] for batch in left["batches"]]
    assert rows.updates.iloc[-1] == left["updates"] == 6
    assert rows.updates.tolist()[:11] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3]
