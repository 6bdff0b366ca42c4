"""Schedules at the edges of what their frameworks take: the form that is read is what PyTorch computes."""

import warnings

import pytest
import torch

from xframe.errors import UsageError
from xframe.tasks.schedules import Constant, from_dict
from xframe.translate.names import bound
from xframe.translate.schedules import reading
from xframe.translate.translating import translate
from xframe.translate.written import Remarks

_SGD = "torch.optim.SGD(params, lr=0.1)"


@pytest.mark.parametrize(
    "text",
    [
        "MultiStepLR({}, [3, 3, 5], 0.5)",
        "MultiStepLR({}, [5, 3], 0.5)",
        "MultiStepLR({}, [])",
        "MultiStepLR({}, [0, 3], 0.5)",
        "ConstantLR({}, total_iters=0)",
        "LinearLR({}, total_iters=0)",
        "PolynomialLR({}, total_iters=0)",
        "SequentialLR({}, schedulers=[ConstantLR(optimizer), CosineAnnealingLR(optimizer, T_max=9)], milestones=[4])",
    ],
)
def test_what_is_read_is_what_torch_computes(text):
    made = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedulers = {name: each for name, each in vars(torch.optim.lr_scheduler).items() if name.endswith("LR")}
    form = reading.read(bound(text.format(_SGD)), 0.1, Remarks())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = eval(text.format("optimizer"), schedulers | {"optimizer": made})
        for update in range(10):
            assert made.param_groups[0]["lr"] == pytest.approx(form(update), rel=1e-12), update
            made.step()
            scheduler.step()


def test_a_schedule_that_rises_again_is_exact_up_to_there():
    def only(text):
        return translate(text).written.only_for

    cosine = "CosineAnnealingLR(optimizer, T_max=7)"
    assert only(f"CosineAnnealingLR({_SGD}, T_max=7)") == "up to update 7"
    assert only(f"SequentialLR({_SGD}, schedulers=[ConstantLR(optimizer), {cosine}], milestones=[4])") == (
        "up to update 11"
    )
    assert only(f"SequentialLR({_SGD}, schedulers=[{cosine}, ConstantLR(optimizer)], milestones=[8])") == ""


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("optax.exponential_decay(0.1, 3, 0.0)", 0.1),
        ("optax.warmup_constant_schedule(0.01, 0.1, 0)", 0.01),
        ("optax.polynomial_schedule(0.1, 0.0, 2, 0)", 0.1),
        ("optax.warmup_exponential_decay_schedule(0.1, 0.1, 3, 4, 0.0)", 0.1),
        ("optax.warmup_cosine_decay_schedule(0.0, 0.0, 2, 10, 0.01)", 0.0),
    ],
)
def test_what_optax_makes_constant(text, rate):
    form = reading.read(bound(text), 0.0, Remarks())
    assert [form(t) for t in range(12)] == pytest.approx([rate] * 12)


def test_a_negative_begin_is_0_in_optax_and_a_decay_to_0_is_written_as_a_formula():
    assert reading.read(bound("optax.polynomial_schedule(0.1, 0.0, 1, 5, -1)"), 0.0, Remarks())(0) == 0.1
    assert not isinstance(reading.read(bound("optax.exponential_decay(0.1, 3, 0.5)"), 0.0, Remarks()), Constant)
    assert "exponential_decay" not in translate(f"ExponentialLR({_SGD}, gamma=0)", "optax").written.code


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("OneCycleLR({}, max_lr=0.5, total_steps=20, cycle_momentum=False, div_factor=0)", "division by zero"),
        ("MultiStepLR({}, [3, 3, 5], 1e200)", "cannot be computed with"),
        ("StepLR({}, 3, last_epoch=4)", "expected -1"),
        ("LinearLR({}, end_factor=2)", "from 0 to 1"),
    ],
)
def test_what_torch_refuses_and_what_cannot_be_computed(text, said):
    with pytest.raises(UsageError, match=said):
        translate(text.format(_SGD))


def test_boundaries_of_a_file_are_a_list():
    with pytest.raises(UsageError, match="boundaries: got 3"):
        from_dict({"schedule": "Piecewise", "boundaries": 3, "rates": [0.1, 0.2]})


def test_adagrad_of_nothing_is_nothing_exact():
    assert not translate("optax.rmsprop(0.1, centered=True, eps=0.0)")
    assert not translate("torch.optim.RMSprop(params, centered=True, eps=0)", "optax")
    assert "0 / 0" in translate("torch.optim.Adagrad(params, eps=0)", "optax").reasons[0]
    assert not translate("optax.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0)")
