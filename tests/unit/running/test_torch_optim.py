"""xframe_torch.optim in scripts of anyone's: what an optimizer of torch can do, these can. Their formulas are compared
with NumPy's in test_torch_rules.py."""

import subprocess
import sys

import pytest
import torch
import xframe_torch.optim
from xframe_torch import UpdateCounter, optim

# Each with settings by which it keeps all that it can keep.
OPTIMIZERS = {name: {} for name in optim.__all__} | {
    "KerasSGD": {"momentum": 0.9, "nesterov": True},
    "KerasAdam": {"amsgrad": True},
    "KerasRMSprop": {"momentum": 0.9, "centered": True},
}
each = pytest.mark.parametrize("name", OPTIMIZERS)


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 3, 2), torch.nn.Flatten(), torch.nn.Linear(27, 2)).double()


def made(name, parameters, **settings):
    return getattr(optim, name)(parameters, **{**OPTIMIZERS[name], **settings})


def backward(module, seed):
    images = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    module.zero_grad()
    loss = module(images).square().mean()
    loss.backward()
    return loss


def train(module, optimizer, seeds):
    for seed in seeds:
        backward(module, seed)
        optimizer.step()
    return [p.detach().clone() for p in module.parameters()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@each
def test_a_saved_state_goes_on_bit_for_bit(name, tmp_path):
    module = model()
    optimizer = made(name, module.parameters(), weight_decay=0.01)
    train(module, optimizer, range(3))
    torch.save([module.state_dict(), optimizer.state_dict()], tmp_path / "saved.pt")
    straight = train(module, optimizer, range(3, 6))
    resumed = model()
    again = made(name, resumed.parameters(), lr=123.0)
    for part, saved in zip((resumed, again), torch.load(tmp_path / "saved.pt"), strict=True):
        part.load_state_dict(saved)
    assert same(train(resumed, again, range(3, 6)), straight)


@each
def test_groups_are_updated_by_their_own_numbers(name):
    own = {"lr": 0.05, "weight_decay": 0.1}
    whole, first, second = (model() for _ in range(3))
    groups = [{"params": whole[0].parameters()}, {"params": whole[2].parameters(), **own}]
    plain, other = (train(m, made(name, m.parameters(), **s), [0]) for m, s in ((first, {}), (second, own)))
    assert same(train(whole, made(name, groups), [0]), [*plain[:2], *other[2:]])
    assert not same(plain, other)


@each
def test_a_scheduler_sets_the_rate_and_a_closure_is_called_once(name):
    by_hand, scheduled = model(), model()
    optimizer = made(name, by_hand.parameters())
    rate = optimizer.param_groups[0]["lr"]
    for step in range(3):
        optimizer.param_groups[0]["lr"] = rate * 0.5**step
        train(by_hand, optimizer, [step])
    optimizer, calls = made(name, scheduled.parameters()), []
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for step in range(3):
        loss = optimizer.step(lambda step=step: calls.append(step) or backward(scheduled, step))
        assert loss.requires_grad
        schedule.step()
    assert calls == [0, 1, 2]
    assert same(by_hand.parameters(), scheduled.parameters())


@each
def test_its_updates_are_seen_and_skipped_ones_are_not_made(name):
    weight = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = made(name, [weight])
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    counter = UpdateCounter(optimizer, scaler)
    for applied, factor in ((1, 1.0), (1, float("inf")), (2, 1.0)):
        weight.grad = None
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert int(counter.applied) == applied == optimizer.param_groups[0]["step"]
    assert counter.attempts == 3


@each
def test_parameters_without_a_gradient_are_left_alone(name):
    module = model()
    optimizer = made(name, module.parameters(), weight_decay=0.1)
    frozen = module[0].weight.detach().clone()
    backward(module, 0)
    module[0].weight.grad = None
    optimizer.step()
    assert torch.equal(module[0].weight, frozen)
    assert not torch.equal(module[2].weight, model()[2].weight)


@each
def test_sparse_gradients_complex_parameters_and_impossible_settings_are_refused(name):
    table = torch.nn.Embedding(3, 2, sparse=True)
    optimizer = made(name, table.parameters())
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=rf"{name} takes no sparse gradients.*\(3, 2\)"):
        optimizer.step()
    with pytest.raises(TypeError, match=f"{name} takes no complex parameters"):
        made(name, [torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))])
    with pytest.raises(ValueError, match="lr is -1"):
        made(name, table.parameters(), lr=-1.0)
    for wrong in ("a", None):
        with pytest.raises(TypeError, match=f"lr is {wrong!r}, and must be a number"):
            made(name, table.parameters(), lr=wrong)


@each
def test_a_state_of_torchs_own_is_refused_in_one_sentence(name):
    module = model()
    own = torch.optim.Adam(module.parameters())
    train(module, own, range(1))
    with pytest.raises(ValueError, match=f"{name}: this state is another optimizer's.* have no 'step'"):
        made(name, module.parameters()).load_state_dict(own.state_dict())


def test_a_share_is_below_one():
    for name, settings in (("KerasAdam", {"betas": (0.9, 1.0)}), ("KerasRMSprop", {"alpha": 1.0})):
        with pytest.raises(ValueError, match="from 0 up to below 1"):
            made(name, model().parameters(), **settings)


def test_they_import_torch_and_nothing_of_xframe():
    script = "import sys, xframe_torch.optim; sys.exit('xframe' in sys.modules or 'torch' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    assert xframe_torch.optim is optim
