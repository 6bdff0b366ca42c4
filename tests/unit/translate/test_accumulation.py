"""Accumulated gradients: what a schedule, an average and a clip count, steps or updates."""

import pytest

from xframe.errors import UsageError
from xframe.translate.schedules.forms import Counted, Exponential
from xframe.translate.translating import translate

_RATE = "keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)"


def test_a_schedule_of_steps_is_of_updates_where_those_count():
    steps = Exponential(0.1, 0.5, 3)
    assert [Counted(steps, factor=2, offset=1)(t) for t in (0, 1)] == [steps(1), steps(3)]
    assert [Counted(steps, every=2)(t) for t in range(4)] == [steps(0), steps(0), steps(1), steps(1)]
    keras = f"keras.optimizers.SGD({_RATE}, gradient_accumulation_steps=2)"
    assert "((t * 2 + 1) / 3)" in translate(keras, "optax").written.code
    optax = "optax.MultiSteps(optax.sgd(optax.exponential_decay(0.1, 3, 0.5)), 2)"
    assert "keras.ops.floor(t / 2) / 3" in "".join(translate(optax, "keras").written.setup)
    written = translate(optax, "torch").written
    assert (written.later, written.ticks) == (("scheduler.step()",), ())


def test_lines_after_a_step_are_not_lines_after_an_update():
    source = f"keras.optimizers.SGD({_RATE}, use_ema=True, gradient_accumulation_steps=3)"
    written = translate(source).written
    assert written.later == ()
    assert written.ticks[0] == "scheduler.step()"
    assert "if steps >= 3:" in written.ticks  # the average is the weights through the first window
    assert "# after each step, with an optimizer.step() or without:" in written.lines()
    assert "not with each update" in translate(source, "optax").reasons[0]


def test_multisteps_within_each_other_multiply_and_clip_what_they_are_given():
    nested = translate("optax.MultiSteps(optax.MultiSteps(optax.sgd(0.1), 2), 3)", "keras")
    assert "gradient_accumulation_steps=6" in nested.written.code
    outside = translate("optax.chain(optax.clip(1.0), optax.MultiSteps(optax.sgd(0.1), 2))")
    assert "clips the gradient of each step" in outside.reasons[0]
    assert translate("optax.MultiSteps(optax.chain(optax.clip(1.0), optax.sgd(0.1)), 2)")
    with pytest.raises(UsageError, match="from 2 up"):
        translate("keras.optimizers.SGD(gradient_accumulation_steps=1)")
