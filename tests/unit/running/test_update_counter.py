"""xframe_torch.UpdateCounter: what was tried and what was applied, of plain and fused optimizers, scaled and not."""

import pytest
import torch
from xframe_torch import UpdateCounter

import xframe

OPTIMIZERS = {"SGD": {"lr": 0.1}, "Adam": {"lr": 0.1}, "AdamW": {"lr": 0.1}}
kinds = pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
names = pytest.mark.parametrize("name", OPTIMIZERS)


def made(name, fused, **options):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = getattr(torch.optim, name)([weight], **{**OPTIMIZERS[name], **options}, fused=fused)
    return weight, optimizer


def backward(weight, scaler=None, factor=1.0):
    weight.grad = None
    loss = (weight * factor).sum()
    (loss if scaler is None else scaler.scale(loss)).backward()


@names
@kinds
def test_updates_that_are_applied(name, fused):
    weight, optimizer = made(name, fused)
    counter = UpdateCounter(optimizer)
    for i in range(3):
        before = weight.detach().clone()
        backward(weight)
        optimizer.step()
        assert (counter.attempts, int(counter.applied)) == (i + 1, i + 1)
        assert not torch.equal(weight, before)


@kinds
def test_at_rate_zero_an_update_is_still_one(fused):
    weight, optimizer = made("SGD", fused, lr=0.0)
    counter = UpdateCounter(optimizer)
    backward(weight)
    optimizer.step()
    assert (counter.attempts, int(counter.applied)) == (1, 1)


@names
@kinds
def test_without_a_gradient_nothing_is_applied(name, fused):
    _, optimizer = made(name, fused)
    counter = UpdateCounter(optimizer)
    optimizer.step()
    assert (counter.attempts, int(counter.applied)) == (1, 0)


@names
@kinds
def test_updates_that_the_scaler_skips(name, fused):
    """A plain optimizer is not called then; a fused one is, and skips in its kernel: only found_inf tells."""
    weight, optimizer = made(name, fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    counter, applied = UpdateCounter(optimizer, scaler), 0
    for attempt, factor in enumerate((1.0, float("inf"), 1.0, float("inf"), float("inf"), 1.0)):
        before = weight.detach().clone()
        backward(weight, scaler, factor)
        scaler.step(optimizer)
        scaler.update()
        applied += factor == 1.0
        assert (counter.attempts, int(counter.applied)) == (attempt + 1, applied)
        assert torch.equal(weight, before) is (factor != 1.0)


def test_it_says_what_it_rests_on():
    evidence = [UpdateCounter(made("SGD", fused)[1]).evidence for fused in (False, True)]
    assert "version moved" in evidence[0]
    assert "found_inf not set" in evidence[1]


def test_the_recorder_takes_it(tmp_path):
    weight, optimizer = made("SGD", True)
    scaler = torch.amp.GradScaler("cpu")
    counter = UpdateCounter(optimizer, scaler)
    with xframe.record(tmp_path / "a.trace") as rec:
        for factor in (1.0, float("nan"), 1.0):
            backward(weight, scaler, factor)
            scaler.step(optimizer)
            scaler.update()
            rec.step(ids=[0], updates=counter)
    trace = xframe.Trace.open(tmp_path / "a.trace")
    assert trace.column("updates").tolist() == [1, 1, 2]
    assert trace.column("update_attempts").tolist() == [1, 2, 3]
    assert trace.end["evidence"] == counter.evidence


def test_what_it_cannot_see():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.1, capturable=True)
    with pytest.raises(ValueError, match="capturable"):
        UpdateCounter(optimizer)
