"""Batch sizes that two scripts state are not taken for sizes per replica."""

import pytest

import xframe
from xframe.plan.training_plan import TrainingPlan

N = 200


@pytest.mark.parametrize("stated", [True, False])
def test_a_size_that_both_state_is_no_size_per_replica(tmp_path, stated):
    for size in (8, 16):
        with xframe.record(tmp_path / f"b{size}", num_samples=N) as rec:
            if stated:
                rec.settings({"loader.batch_size": size})
            for i, step in enumerate(TrainingPlan(batch_size=size, epochs=2).each_step(N)):
                rec.step(ids=step.sample_ids, epoch=step.epoch, updates=i + 1)
    names = [one.name for one in xframe.compare(tmp_path / "b8", tmp_path / "b16").causes]
    assert ("batch-size-per-replica" in names) is not stated
    assert "batch-size" in names
