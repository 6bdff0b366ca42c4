"""Trainers as they are, watched from outside: samples and updates as the trainers' own scripts count them."""

import runpy
from pathlib import Path

import pytest

import xframe
from xframe.trace.captured import captured_of

WRITTEN = Path(__file__).parent / "written"
WINDOWS = [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3]  # of four batches, the last one cut by the epoch's end


@pytest.mark.filterwarnings("ignore")  # the trainers' own
@pytest.mark.parametrize("name", sorted(path.stem for path in WRITTEN.glob("*.py")))
def test_a_trainer_is_recorded_as_its_script_counts(tmp_path, name):
    with xframe.watch(tmp_path / "a.trace", capture=2):
        left = runpy.run_path(str(WRITTEN / f"{name}.py"), run_name="__main__")
    trace = xframe.Trace.open(tmp_path / "a.trace")
    rows = trace.frame()
    assert [row.tolist() for row in rows.ids] == [[round(103 * value) for value in batch] for batch in left["batches"]]
    updates = left["updates"]
    assert rows.updates.tolist() == (updates if isinstance(updates, list) else WINDOWS + [3 + u for u in WINDOWS])
    assert isinstance(updates, list) or updates == 6
    assert rows.epoch.tolist() == [0] * 11 + [1] * 11
    assert rows.training.tolist() == [1] * 22
    assert rows.loss_rows.fillna(10).tolist() == rows.batch_size.where(rows.loss_rows.notna(), 10).tolist()
    first = captured_of(trace)[0].read()
    window = [
        first.stages["batch"][f"window/{place}/ids" if place else "ids"] for place in range(first.facts["window"])
    ]
    assert [ids.tolist() for ids in window] == [ids.tolist() for ids in rows.ids[: first.step + 1]]
    assert first.facts["left_out"] == []
    if "validations" in left:
        found = [(each.after, each.num_samples, each.loss) for each in trace.validations]
        for validation, wanted in zip(found, left["validations"], strict=True):
            assert validation == (*wanted[:2], pytest.approx(wanted[2], rel=1e-5))
