"""What explains one step may be an accident of it: a later step that differs is to be explained alike."""

from dataclasses import replace

import pytest
from unit.numerics.made_updates import made

from xframe.numerics.naming.causes import explain
from xframe.tasks.optimizers import SGD, Adam
from xframe.tasks.schedules import Cosine

ADAM = Adam(0.01)


def named(stated, did, first, later, **changed):
    """The causes by one step, and by two."""
    one, other = ([made(stated, updates=at), made(stated, did, updates=at, **changed)] for at in (first, later))
    rules = (stated, stated)
    alone = explain(*one, rules=rules)
    both = explain(*one, rules=rules, later=(*other, ()))
    return [[(cause.name, cause.certainty) for cause in causes] for causes in (alone, both)]


def test_a_tenth_of_the_rate_is_no_missing_correction():
    """Which it is at Adam's first update: 1 - beta1 is a tenth."""
    _, both = named(ADAM, replace(ADAM, learning_rate=0.001), 0, 5)
    assert both == [("learning-rate-value", "proven")]


def test_what_the_later_step_does_not_confirm_is_not_proven():
    """A rate of a tick before is that of no schedule too, at the second update."""
    stated = SGD(Cosine(0.1, ticks=40))
    alone, both = named(stated, SGD(0.1), 1, 8)
    assert alone == [("learning-rate-a-tick-off", "proven")]
    assert both[0] == ("learning-rate-value", "likely")
    assert {certainty for _, certainty in both} == {"likely"}


@pytest.mark.parametrize("other", [Adam(0.01, beta2=0.9999), Adam(0.01, epsilon=1e-4), Adam(0.010001)])
def test_what_both_confirm_is_proven(other):
    alone, both = named(ADAM, other, 3, 7)
    assert both == alone
    assert both[0][1] == "proven"
