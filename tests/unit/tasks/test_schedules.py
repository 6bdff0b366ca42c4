"""Schedules: their values on paper, and against the frameworks' own schedulers of the same name."""

import math

import numpy as np
import pytest

import xframe
from xframe.running import registry
from xframe.tasks.schedules import Constant, Cosine, Exponential, OneCycle, Piecewise, Step, Warmup

TICKS = range(40)


@pytest.fixture(scope="module", autouse=True)
def threads():
    """TensorFlow takes its threads before its first operation, and other tests of this process want one."""
    registry.load("tensorflow").configure(xframe.Runtime(device="cpu", threads=1))


def torch_rates(make, start):
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=start)
    scheduler, rates = make(torch.optim.lr_scheduler, optimizer), []
    for _ in TICKS:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def keras_rates(make):
    import keras

    schedule = make(keras.optimizers.schedules)
    return [float(schedule(tick)) for tick in TICKS]


TORCH = {
    "step": (Step(0.1, 0.5, every=7), lambda s, o: s.StepLR(o, 7, gamma=0.5)),
    "exponential": (Exponential(0.1, 0.9), lambda s, o: s.ExponentialLR(o, 0.9)),
    "cosine": (Cosine(0.1, ticks=39, final=0.01), lambda s, o: s.CosineAnnealingLR(o, 39, eta_min=0.01)),
    "piecewise": (Piecewise((5, 10), (0.1, 0.05, 0.025)), lambda s, o: s.MultiStepLR(o, [5, 10], gamma=0.5)),
    "warm-up": (Warmup(8, Constant(0.1), start=0.02), lambda s, o: s.LinearLR(o, 0.2, total_iters=8)),
    "one-cycle": (OneCycle(0.3, ticks=40), lambda s, o: s.OneCycleLR(o, 0.3, total_steps=41)),
}
KERAS = {
    "step": (Step(0.1, 0.5, every=7), lambda s: s.ExponentialDecay(0.1, 7, 0.5, staircase=True)),
    "exponential": (Exponential(0.1, 0.5, every=7), lambda s: s.ExponentialDecay(0.1, 7, 0.5)),
    "cosine": (Cosine(0.1, ticks=20, final=0.01), lambda s: s.CosineDecay(0.1, 20, alpha=0.1)),
    "warm-up": (
        Warmup(8, Cosine(0.1, ticks=20), start=0.02),
        lambda s: s.CosineDecay(0.02, 20, warmup_target=0.1, warmup_steps=8),
    ),
    "piecewise": (Piecewise((5, 10), (0.1, 0.05, 0.02)), lambda s: s.PiecewiseConstantDecay([4, 9], [0.1, 0.05, 0.02])),
}


@pytest.mark.parametrize("name", TORCH)
def test_it_is_torchs(name):
    schedule, make = TORCH[name]
    start = 0.1 if name != "one-cycle" else 0.3
    theirs = torch_rates(make, start)
    ticks = 40 if name != "one-cycle" else None
    mine = [schedule(tick) for tick in TICKS]
    if ticks is None:  # its total_steps counts one more than are asked for here
        mine = [OneCycle(0.3, ticks=41)(tick) for tick in TICKS]
    np.testing.assert_allclose(mine, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", KERAS)
def test_it_is_keras(name):
    schedule, make = KERAS[name]
    np.testing.assert_allclose([schedule(tick) for tick in TICKS], keras_rates(make), rtol=2e-6)


def test_the_first_and_the_last_rate():
    assert Constant(0.3)(10**9) == 0.3
    assert [Step(1.0, 0.1, every=2)(t) for t in range(4)] == pytest.approx([1, 1, 0.1, 0.1])
    cosine = Cosine(0.1, ticks=10)
    assert [cosine(0), cosine(10), cosine(1000)] == [0.1, 0.0, 0.0]
    assert cosine(5) == pytest.approx(0.05)
    warm = Warmup(4, Cosine(0.1, ticks=10))
    assert [warm(0), warm(4), warm(14)] == [0.0, 0.1, 0.0]
    assert warm(1) == pytest.approx(0.025)
    assert [Piecewise((2,), (1.0, 0.5))(t) for t in range(4)] == [1.0, 1.0, 0.5, 0.5]
    cycle = OneCycle(1.0, ticks=11, warmup=3 / 11, start=0.1, final=0.0)
    assert [cycle(0), cycle(2), cycle(10), cycle(99)] == pytest.approx([0.1, 1.0, 0.0, 0.0])
    assert cycle(1) == pytest.approx(0.55)
    assert cycle(6) == pytest.approx((1 + math.cos(math.pi / 2)) / 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(-1.0), "a schedule's rate: got -1.0, expected a finite number from 0 up"),
        (lambda: Constant(math.nan), "a schedule's rate"),
        (lambda: Cosine(0.1, ticks=0), "a schedule's ticks: got 0, expected an integer from 1 up"),
        (lambda: Step(0.1, 0.5, every=1.5), "a schedule's every: got 1.5"),
        (lambda: Piecewise((3, 2), (1.0, 1.0, 1.0)), "expected rising boundaries"),
        (lambda: Piecewise((3,), (1.0,)), "one rate more than boundaries"),
        (lambda: Warmup(3, 0.1), "what follows a warm-up: got 0.1, expected a schedule"),
        (lambda: OneCycle(0.1, ticks=2), "a one-cycle schedule's warmup"),
        (lambda: OneCycle(0.1, ticks=20, warmup=1.0), "a one-cycle schedule's warmup"),
    ],
)
def test_what_is_no_schedule(make, message):
    with pytest.raises(xframe.UsageError, match=message):
        make()


def test_sgd_takes_one():
    rule = xframe.SGD(Cosine(0.1, ticks=10))
    assert (rule.scheduled, rule.rate(0), rule.rate(10)) == (True, 0.1, 0.0)
    assert (xframe.SGD(0.1).scheduled, xframe.SGD(0.1).rate(99)) == (False, 0.1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"learning_rate": "x"}, "SGD's learning_rate: got 'x', expected a finite number or an xframe.schedule"),
        ({"learning_rate": lambda tick: 0.1}, "SGD's learning_rate"),
        ({"learning_rate": 0.1, "momentum": None}, "SGD's momentum: expected a finite number"),
        ({"learning_rate": 0.1, "clip_value": "a"}, "SGD's clip_value: got 'a', expected a finite number"),
        ({"learning_rate": math.nan}, "SGD's learning_rate"),
    ],
)
def test_what_sgd_refuses(fields, message):
    with pytest.raises(xframe.UsageError, match=message):
        xframe.SGD(**fields)


@pytest.mark.parametrize("clips", [{"clip_norm": 1.0, "clip_value": 1.0}, {"clip_norm": 0}, {"clip_global_norm": -1.0}])
def test_clipping_that_makes_no_sense(clips):
    with pytest.raises(xframe.UsageError, match="expected at most one of clip_value, clip_norm, clip_global_norm"):
        xframe.SGD(0.1, **clips)
