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


ZEROED = {  # where the gradients are zeroed, which the closure then makes again
    "inside": (False, lambda optimizer: optimizer.zero_grad()),
    "inside in place": (False, lambda optimizer: optimizer.zero_grad(set_to_none=False)),
    "outside": (True, lambda optimizer: optimizer.zero_grad()),
    "outside in place": (True, lambda optimizer: optimizer.zero_grad(set_to_none=False)),
}


@names
@kinds
@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize(("outside", "zero"), ZEROED.values(), ids=ZEROED)
def test_a_step_with_a_closure_is_an_update(name, fused, by_name, outside, zero):
    weight, optimizer = made(name, fused)
    counter = UpdateCounter(optimizer)

    def closure():
        if not outside:
            zero(optimizer)
        loss = (weight * weight).sum()
        loss.backward()
        return loss

    for i in range(5):
        if outside:
            zero(optimizer)
        before = weight.detach().clone()
        loss = optimizer.step(closure=closure) if by_name else optimizer.step(closure)
        assert (counter.attempts, int(counter.applied)) == (i + 1, i + 1)
        assert loss.item() == (before * before).sum().item()
        assert not torch.equal(weight, before)


def test_a_closure_without_a_gradient_is_no_update():
    weight, optimizer = made("SGD", False)
    counter = UpdateCounter(optimizer)
    for i, trains in enumerate([True, False, False, True]):

        def closure(trains=trains):
            optimizer.zero_grad()
            loss = weight.sum()
            if trains:
                loss.backward()
            return loss

        optimizer.step(closure)
        assert (counter.attempts, counter.applied) == (i + 1, (1, 1, 1, 2)[i])


def test_steps_with_a_closure_and_without_one_in_turn():
    weight, optimizer = made("Adam", False)
    counter = UpdateCounter(optimizer)
    for i in range(6):
        if i % 2:
            optimizer.zero_grad()
            optimizer.step(lambda: backward(weight))
        else:
            backward(weight)
            optimizer.step()
        assert (counter.attempts, counter.applied) == (i + 1, i + 1)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_a_closure_that_is_called_often_is_one_update(search):
    weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = torch.optim.LBFGS([weight], lr=0.5, max_iter=4, line_search_fn=search)
    counter, calls = UpdateCounter(optimizer), 0

    def closure():
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        loss = (weight**4).sum() + (weight[0] * weight[1]) ** 2
        loss.backward()
        return loss

    for i in range(3):
        optimizer.step(closure)
        assert (counter.attempts, counter.applied) == (i + 1, i + 1)
    assert calls > 6


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("trained", [[0], [1], [2], [0, 2]])
@pytest.mark.parametrize("fused", [(False, False, False), (False, True, False), (True, True, True)])
def test_several_parameter_groups(fused, trained, closed):
    """Of which some have no gradient at first, or later; and some may be fused."""
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
    optimizer = torch.optim.SGD([{"params": [w], "fused": f} for w, f in zip(weights, fused, strict=True)], lr=0.1)
    counter, applied = UpdateCounter(optimizer), 0
    for chosen in (trained, [1], [], trained):

        def closure(chosen=chosen):
            optimizer.zero_grad()
            for one in chosen:
                weights[one].sum().backward()

        before = [weight.detach().clone() for weight in weights]
        if not closed:
            closure()
        optimizer.step(closure if closed else None)
        applied += bool(chosen)
        assert int(counter.applied) == applied
        moved = [i for i, (a, b) in enumerate(zip(weights, before, strict=True)) if not torch.equal(a, b)]
        assert moved == sorted(chosen)


def test_a_group_that_is_added_later():
    first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = torch.optim.SGD([first], lr=0.1)
    counter = UpdateCounter(optimizer)
    optimizer.add_param_group({"params": [second]})
    second.sum().backward()
    optimizer.step()
    assert (counter.attempts, counter.applied) == (1, 1)


def test_what_counts_as_applied_though_no_weight_changes():
    """As its text says: gradients zeroed in place, and an update that is undone."""
    weight, optimizer = made("SGD", False)
    counter, start = UpdateCounter(optimizer), weight.detach().clone()
    backward(weight)
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()
    assert torch.equal(weight, start)
    backward(weight)
    optimizer.step()
    with torch.no_grad():
        weight.copy_(start)
    assert counter.applied == 2


class Wrapper(torch.optim.Optimizer):
    """As Accelerate's: an optimizer by type, which hands on what it is asked for and has no hooks."""

    def __init__(self, optimizer, scaler=None):
        self.optimizer, self.scaler = optimizer, scaler

    @property
    def param_groups(self):
        return self.optimizer.param_groups

    def step(self, closure=None):
        return self.optimizer.step(closure) if self.scaler is None else self.scaler.step(self.optimizer, closure)


@kinds
def test_an_optimizer_in_a_wrapper(fused):
    weight, optimizer = made("Adam", fused)
    wrapped = Wrapper(Wrapper(optimizer))
    counter = UpdateCounter(wrapped)
    for i in range(3):
        backward(weight)
        wrapped.step()
        assert (counter.attempts, int(counter.applied)) == (i + 1, i + 1)


def test_the_scaler_of_a_wrapper_is_taken():
    weight, optimizer = made("SGD", False)
    scaler = torch.amp.GradScaler("cpu")
    wrapped = Wrapper(optimizer, scaler)
    wrapped.step = lambda: scaler.step(optimizer)
    counter = UpdateCounter(wrapped)
    for factor in (1.0, float("inf")):
        backward(weight, scaler, factor)
        wrapped.step()
        scaler.update()
    assert (counter.attempts, counter.applied) == (2, 1)
