"""Settings read from live objects of torch: canonical names and values, whatever kind the object is of."""

import functools

import pytest
import torch
from xframe_torch import optim

import xframe

pytestmark = pytest.mark.xdist_group("torch")


def made(optimizer=torch.optim.SGD, lr=0.1, **arguments):
    return optimizer([torch.nn.Parameter(torch.zeros(3))], lr=lr, **arguments)


@pytest.mark.parametrize(
    ("optimizer", "wanted"),
    [
        (made(torch.optim.Adam, weight_decay=0.1), {"class": "Adam", "decay": "coupled", "epsilon_on": "corrected"}),
        (made(torch.optim.AdamW, betas=(0.8, 0.9)), {"decay": "decoupled", "beta_1": 0.8, "beta_2": 0.9}),
        (made(torch.optim.RMSprop, alpha=0.95, centered=True), {"rho": 0.95, "centered": True, "decay": None}),
        (made(lr=torch.tensor(0.5), momentum=0.9, dampening=0.1), {"learning_rate": 0.5, "dampening": 0.1}),
        (made(torch.optim.Adagrad), {"epsilon": 1e-10, "epsilon_on": "outside"}),
        (made(optim.KerasAdam), {"class": "KerasAdam", "epsilon_on": "uncorrected"}),
        (made(optim.KerasRMSprop), {"epsilon_on": "inside"}),
        (made(torch.optim.LBFGS, max_iter=7), {"max_iter": 7, "parameters": 3, "groups": 1}),
    ],
)
def test_optimizers(optimizer, wanted):
    from xframe_torch import settings

    found = settings.optimizer(optimizer)
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)


def linear_with_warmup(step, *, num_warmup_steps, num_training_steps):
    return min(1.0, step / num_warmup_steps) * (1 - step / num_training_steps)


SCHEDULES = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (
            lambda o: SCHEDULES.CosineAnnealingLR(o, 87),
            {"class": "CosineAnnealingLR", "total_steps": 87, "eta_min": 0.0},
        ),
        (lambda o: SCHEDULES.LinearLR(o, 0.5, total_iters=9), {"start_factor": 0.5, "total_steps": 9}),
        (
            lambda o: SCHEDULES.LambdaLR(
                o, functools.partial(linear_with_warmup, num_warmup_steps=3, num_training_steps=30)
            ),
            {"function": "linear_with_warmup", "num_warmup_steps": 3, "total_steps": 30},
        ),
        (
            lambda o: SCHEDULES.SequentialLR(o, [SCHEDULES.ConstantLR(o), SCHEDULES.StepLR(o, 5)], milestones=[4]),
            {"class": "SequentialLR", "part0.class": "ConstantLR", "part1.step_size": 5},
        ),
        (lambda o: SCHEDULES.OneCycleLR(o, 0.3, total_steps=50), {"max_lr": 0.3, "total_steps": 50}),
    ],
)
def test_schedules(schedule, wanted):
    from xframe_torch import settings

    found = settings.schedule(schedule(made(momentum=0.9)))
    assert {name: found.get(name, "absent") for name in wanted} == wanted


@pytest.mark.parametrize(
    ("name", "arguments", "wanted"),
    [
        ("cross_entropy", {"weight": torch.ones(3)}, {"class": "cross_entropy", "weights": [1.0] * 3}),
        ("nll_loss", {"reduction": "sum"}, {"class": "cross_entropy", "from_logits": True, "reduction": "sum"}),
        ("mse_loss", {}, {"class": "mean_squared_error", "input_shape": [3], "target_shape": [3]}),
        ("smooth_l1_loss", {"beta": 1.0}, {"class": "huber", "delta": 1.0}),
        ("smooth_l1_loss", {"beta": 0.5}, {"class": "smooth_l1_loss", "delta": 0.5}),
        ("binary_cross_entropy_with_logits", {}, {"class": "binary_cross_entropy", "from_logits": True}),
    ],
)
def test_losses(name, arguments, wanted):
    from xframe_torch import settings

    function = getattr(torch.nn.functional, name)
    reduction = settings.reduction_of(function)((), arguments)
    found = settings.loss(name, function, reduction, (torch.zeros(4, 3), torch.zeros(4, 3)), arguments)
    assert {each: found.get(each, "absent") for each in wanted} == wanted


def test_a_reduction_that_is_given_in_the_old_way_is_not_known():
    from xframe_torch import settings

    read = settings.reduction_of(torch.nn.functional.mse_loss)
    assert (read((), {}), read((), {"reduction": "none"}), read((1, 2, None, None, "sum"), {})) == (
        "mean",
        "none",
        "sum",
    )
    assert read((1, 2, False), {}) is read((), {"reduce": False}) is None


def test_layers_in_one_convention():
    from xframe_torch import settings

    nn = torch.nn
    model = nn.ModuleDict({"norm": nn.BatchNorm1d(3, momentum=0.01), "drop": nn.Dropout(0.2), "rnn": nn.LSTM(3, 4)})
    model["layer"] = nn.LayerNorm(4, eps=1e-3)
    found = list(settings.layers(model))
    kinds = [kind for kind, _ in found]
    assert [each["class"] for kind, each in found if kind == "layer"] == ["BatchNorm1d", "LSTM", "LayerNorm"]
    assert dict(found[kinds.index("normalisation")][1]) == {"class": "BatchNorm1d", "epsilon": 1e-5, "momentum": 0.99}
    assert found[kinds.index("dropout")][1] == {"rate": 0.2}
    assert found[kinds.index("recurrent")][1]["batch_first"] is False
    assert kinds.count("weights") == len(list(model.parameters()))


def test_a_schedule_from_before_is_found_by_its_optimizer(tmp_path):
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 7)
    with xframe.watch(tmp_path / "a.trace"):
        for row in torch.rand(2, 3):
            model(row).sum().backward()
            optimizer.step()
    found = xframe.Trace.open(tmp_path / "a.trace").settings
    assert (found["schedule.class"], found["schedule.step_size"]) == (type(schedule).__name__, 7)


def test_a_schedule_made_of_others_is_noted_as_one(tmp_path):
    with xframe.watch(tmp_path / "a.trace"):
        model = torch.nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        parts = [SCHEDULES.ConstantLR(optimizer), SCHEDULES.StepLR(optimizer, 5)]
        schedule = SCHEDULES.SequentialLR(optimizer, parts, milestones=[4])
        model(torch.rand(2, 3)).sum().backward()
        optimizer.step()
        schedule.step()
    found = xframe.Trace.open(tmp_path / "a.trace").settings
    assert (found["schedule.class"], found["schedule.part1.step_size"]) == ("SequentialLR", 5)
    assert "schedule.1.class" not in found
