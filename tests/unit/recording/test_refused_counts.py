"""What a reader of traces would refuse is refused, or left out, where it is recorded."""

import numpy as np
import pytest

import xframe
from xframe.errors import UsageError


@pytest.fixture
def rec(tmp_path):
    with xframe.record(tmp_path / "run.trace") as rec:
        yield rec


@pytest.mark.parametrize("name", ["updates", "update_attempts", "epoch", "step_in_epoch", "padding"])
@pytest.mark.parametrize("wrong", [-1, np.int64(-1), -1.0, 2**62 + 1, np.uint64(2**63), float("nan")])
def test_counts_that_are_none(rec, name, wrong):
    with pytest.raises(UsageError, match=f"a step's {name}: got .*, expected whole numbers from 0 to"):
        rec.step(ids=[0], **{name: wrong})
    with pytest.raises(UsageError, match=f"a block's {name}: got .*, expected whole numbers from 0 to"):
        rec.block(ids=[0, 1], batch_sizes=[1, 1], **{name: np.array([1, wrong])})
    assert rec.num_steps == 0


def test_what_a_mask_hides_is_not_looked_at(rec):
    rec.block(ids=[0, 1], batch_sizes=[1, 1], updates=np.ma.array([1, -1], mask=[False, True]))
    with pytest.raises(UsageError, match="a block's updates: got -1"):
        rec.block(ids=[0, 1], batch_sizes=[1, 1], updates=np.ma.array([-1, 1], mask=[False, True]))


def test_ids_under_a_mask_are_refused(rec):
    with pytest.raises(UsageError, match="a step's ids: got a mask"):
        rec.step(ids=np.ma.array([0, 1], mask=[False, True]))
    assert rec.num_steps == 0


def test_a_batch_beyond_what_a_trace_lists_is_recorded_by_its_digest(tmp_path, monkeypatch):
    monkeypatch.setattr("xframe.recording.waiting.BATCH_IDS", 2)
    with xframe.record(tmp_path / "large.trace") as rec:
        rec.step(ids=[0, 1, 2], updates=1)
        rec.flush()
        rec.step(ids=[0, 1], updates=2)
    trace = xframe.Trace.open(tmp_path / "large.trace")
    assert trace.known("ids").tolist() == [False, True]
    assert trace.known_throughout("ids_digest")
