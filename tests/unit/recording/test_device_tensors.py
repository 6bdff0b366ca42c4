"""Tensors that live on a device stay there until a block is written; a stand-in plays them, and counts its readings."""

import numpy as np
import pytest
import torch

import xframe
from xframe.recording import values


class Far:
    """A stand-in for a tensor on a device; counts how often it is read."""

    reads = 0

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape = self.values.shape

    def numpy(self):
        type(self).reads += 1
        return self.values


@pytest.fixture
def far(monkeypatch):
    """Makes the recorder see ``Far`` as what ``hold`` leaves on a device."""
    hold = values.hold
    monkeypatch.setattr(values, "hold", lambda v, name="value": v if isinstance(v, Far) else hold(v, name))
    Far.reads = 0
    return Far


def test_nothing_is_read_in_a_step(tmp_path, far):
    with xframe.record(tmp_path / "a.trace") as rec:
        for i in range(5):
            rec.step(ids=far([i, i + 1]), loss=far(0.5), updates=far(i + 1), lr=0.1)
        assert far.reads == 0
    assert far.reads == 15
    trace = xframe.Trace.open(tmp_path / "a.trace")
    assert [ids.tolist() for ids in trace.batches()] == [[i, i + 1] for i in range(5)]
    assert trace.column("updates").tolist() == [1, 2, 3, 4, 5]


def test_a_counter_that_comes_home_as_no_number_is_unknown(tmp_path, far):
    with xframe.record(tmp_path / "a.trace") as rec:
        for value in (1, np.nan, 2.5):
            rec.step(ids=[0], updates=far(value), loss=far(np.nan))
    trace = xframe.Trace.open(tmp_path / "a.trace")
    assert trace.known("updates").tolist() == [True, False, False]
    assert np.isnan(trace.column("loss")).all()
    assert trace.known("loss").all()


def test_torch_tensors_come_home_together(monkeypatch):
    transfers = []
    real = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: transfers.append(self.shape) or real(self))
    batches = values.fetch_ids([torch.tensor([1, 2]), b"\x03" + bytes(7), torch.tensor([4])])
    assert [np.frombuffer(batch, "<i8").tolist() for batch in batches] == [[1, 2], [3], [4]]
    assert values.fetch_numbers([torch.tensor(0.5), 1, None, torch.tensor([2.0])]) == [0.5, 1, None, 2.0]
    assert transfers == [(3,), (2,)]
