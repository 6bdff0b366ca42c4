"""What to write is written with its value, and whole where a line can be."""

from dataclasses import replace

import pytest
from unit.numerics.made_updates import made

from xframe.numerics.naming.causes import explain
from xframe.numerics.naming.pair import Pair
from xframe.numerics.naming.saying import FIXES, caused
from xframe.numerics.result import Did, Distance
from xframe.numerics.scripts import set_otherwise
from xframe.state.record import Record
from xframe.tasks.layers import BatchNorm
from xframe.tasks.optimizers import SGD, Adam
from xframe.translate.ruling import lines_of

ADAM = Adam(0.003, epsilon=1e-6)


@pytest.mark.parametrize(
    ("stated", "did", "fix"),
    [
        (ADAM, replace(ADAM, epsilon=1e-4), {"torch": "eps=1e-06", "keras": "epsilon=1e-06"}),
        (ADAM, replace(ADAM, beta2=0.98), {"torch": "betas=(0.9, 0.999)", "keras": "beta_2=0.999"}),
        (SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9, nesterov=True), {"any": "nesterov=False"}),
    ],
)
def test_a_line_has_its_value(stated, did, fix):
    sides = made(stated), made(stated, did)
    (cause,) = explain(*sides, rules=(stated, stated))
    assert cause.fix == fix
    (cause,) = explain(*sides, rules=(stated, stated), write=lines_of)
    assert cause.fix.items() >= lines_of(stated).items()


def test_a_layers_line_has_its_value():
    dids = [Did("forward", "BatchNorm", None, {"changes": one}, 0.5, "") for one in ((), ("norm-epsilon",))]
    pair = Pair(Record(0), Record(0))
    (cause,) = caused(pair, "norm_0/outputs", "norm_0 is", [dids[:1], dids[1:]], FIXES, BatchNorm(epsilon=1e-3))
    assert cause.fix == {"torch": "eps=0.001", "keras": "epsilon=0.001"}


@pytest.mark.costly
def test_a_line_of_a_rule_that_nobody_stated_is_not_written_and_no_number_that_merely_fits_is_a_cause():
    stated = replace(ADAM, epsilon=162.3)
    sides = made(stated, updates=0), made(stated, replace(stated, epsilon=184.775), updates=0)
    assert all("Adam(" not in text for one in explain(*sides, write=lines_of) for text in one.fix.values())
    likely = [one.name for one in explain(*sides, write=lines_of) if one.certainty == "likely"]
    assert "epsilon-value" not in likely


def test_a_setting_is_suggested_once():
    failing = Distance(1, "float32", "update", "dense_0/bias", (0,), 1.0, 2.0, 1.0, 1e-7, 1e6)
    settings = ({"optimizer.learning_rate": 0.003}, {"optimizer.learning_rate": 0.004})
    assert [one.name for one in set_otherwise.causes(settings, failing, ("a", "b"))] == ["learning-rate"]
