"""Update rules as data: fields, what is refused, names, text, dictionaries and TOML, and what is shown of one."""

import json
import math
import tomllib
from contextlib import suppress
from dataclasses import fields, replace

import numpy as np
import pytest
from xframe_numpy.optimizers import lower, read_numbers, read_slots, write_numbers, write_slots

import xframe
from xframe.optimizers import SGD, Adafactor, Adagrad, Adam, Average, Group, Lion, NAdam, RMSprop, named, names, read
from xframe.schedule import Cosine, Piecewise, Warmup
from xframe.tasks.optimizers.dialects import RULES, from_dict

BESIDE = (
    {},
    {"learning_rate": Warmup(3, Piecewise((4,), (0.1, 0.01)), start=0.02), "weight_decay": 0.1, "clip_norm": 2.0},
    {"groups": (Group(("*/bias", "b"), rate_factor=2.0, weight_decay=0.0), Group(("a",))), "clip_value": 1},
    {"average": Average(0.9, clock="steps", final=True), "decay": "l2", "clip_global_norm": 1e-30},
)


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("name", names())
def test_a_rule_comes_back_from_its_data(name, beside):
    rule = replace(named(name), **beside)
    read_back = json.loads(json.dumps(rule.to_dict()))
    assert read_back == rule.to_dict()  # a checkpoint's rule is compared with the run's
    assert from_dict(read_back) == rule
    assert read(tomllib.loads(rule.to_toml())) == rule
    assert eval(repr(rule), vars(xframe.optimizers) | vars(xframe.schedule)) == rule


def test_all_names():
    assert {name.rpartition(".")[0] for name in names()} == {"", "keras", "torch"}
    assert {type(named(name)) for name in names()} == set(RULES.values())
    for name in names():
        slots = type(named(name)).slots
        assert f"{type(named(name)).__doc__}".count("Slot") == 1
        assert all(slot in f"{type(named(name)).__doc__}" for slot in slots)
        assert set(named(name).kept()) <= set(slots)


def test_what_is_shown():
    assert repr(SGD(0.1)) == "SGD(0.1)"
    assert repr(Lion(0.1, decay="decoupled")) == "Lion(0.1)"
    rule = named("keras.adamw", {"learning_rate": Cosine(0.1, ticks=9), "amsgrad": True})
    assert repr(rule) == (
        "Adam(Cosine(initial=0.1, ticks=9, final=0.0), amsgrad=True, decay='decoupled', epsilon=1e-07, "
        "epsilon_on='uncorrected', weight_decay=0.004)"
    )


@pytest.mark.parametrize(
    ("stated", "rule"),
    [
        ("adam", Adam(1e-3)),
        ("adamw weight_decay=0.1 epsilon=1e-7", Adam(1e-3, weight_decay=0.1, decay="decoupled", epsilon=1e-7)),
        ("keras.rmsprop rho=0.5, centered=true", replace(named("keras.rmsprop"), rho=0.5, centered=True)),
        ("sgd momentum=0.9 nesterov=True velocity=step", SGD(0.01, momentum=0.9, nesterov=True, velocity="step")),
        ({"name": "sgd", "groups": [{"parameters": ["b"]}]}, SGD(0.01, groups=(Group(("b",)),))),
        ({"rule": "SGD", "learning_rate": {"schedule": "Cosine", "initial": 1, "ticks": 2}}, SGD(Cosine(1, ticks=2))),
        (Lion(0.1), Lion(0.1)),
    ],
)
def test_a_rule_as_it_is_stated(stated, rule):
    assert read(stated) == rule


def test_a_file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "adamw"\nweight_decay = 0.1\n[learning_rate]\nschedule = "Warmup"\nticks = 5\n'
        'then = { schedule = "Cosine", initial = 0.1, ticks = 20 }\n[average]\ndecay = 0.99\n'
        '[[groups]]\nparameters = ["*/bias"]\nweight_decay = 0.0\n'
    )
    group, schedule = Group(("*/bias",), weight_decay=0.0), Warmup(5, Cosine(0.1, ticks=20))
    rule = Adam(schedule, weight_decay=0.1, decay="decoupled", average=Average(0.99), groups=(group,))
    assert read(path) == read(str(path)) == rule
    with pytest.raises(xframe.UsageError, match="cannot read the optimizer's file"):
        read("none.toml")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("adamv", "Did you mean 'adam"),
        ("", "unknown optimizer: got ''"),
        ("Keras.Adam", "Did you mean 'keras.adam'"),
        ("adam wd=1", "unknown setting of optimizer 'adam': got 'wd'"),
        ("adam weight_decay", "expected NAME=VALUE, as weight_decay=0.1"),
        ("adam epsilon=1 epsilon=2", "is given twice"),
        ("adam epsilon=x", "Adam's epsilon: got 'x', expected a finite number"),
        ("adam epsilon=nan", "Adam's epsilon"),
        ("adam learning_rate=inf", "Adam's learning_rate"),
        ("adam amsgrad=1", "Adam's amsgrad: got 1.0, expected True or False"),
        ("adam epsilon_on=inside", "unknown Adam epsilon_on: got 'inside', expected one of corrected, uncorrected"),
        ("adam groups=1", "groups only in a TOML file"),
        ("adam average=0.9", "average only in a TOML file"),
        (3, "an optimizer: got 3"),
        ({}, "an optimizer without a name: got nothing, expected such as name"),
        ({"rule": None}, "unknown rule: got 'None'"),
        ({"learning_rate": 0.1}, "an optimizer without a name: got learning_rate"),
        ({"name": 3}, "an optimizer's name"),
        ({"rule": "Adam"}, "without its learning_rate"),
        ({"name": "adam", "groups": [{}]}, "group without its parameters: got none"),
        ({"name": "adam", "groups": [{"weight_decay": 0}]}, "group without its parameters: got weight_decay"),
        ({"name": "adam", "average": {}}, "average without its decay"),
        ({"name": "adam", "weight_decay": 10**399}, "got 1" + "0" * 58 + "…, expected a finite number"),
        ({"name": "adam", "groups": [{"parameters": "b"}]}, "a group's parameters"),
        ({"name": "adam", "average": {"decay": 1.0}}, "an average's decay"),
        ({"name": "adam", "learning_rate": {"schedule": "Cosin"}}, "Did you mean 'Cosine'"),
    ],
)
def test_what_states_no_rule(stated, message):
    with pytest.raises(xframe.UsageError, match=message.replace("(", r"\(")):
        read(stated)


def test_a_file_of_nothing(tmp_path):
    (tmp_path / "o.toml").write_text("")
    with pytest.raises(xframe.UsageError, match="an optimizer without a name"):
        read(tmp_path / "o.toml")
    (tmp_path / "o.toml").write_text("name =")
    with pytest.raises(xframe.UsageError, match='lines such as name = "adamw"'):
        read(tmp_path / "o.toml")


def test_a_value_of_any_kind_is_a_field_or_one_error():
    """Whatever a file holds for a field, it is taken or refused by an error that names it."""
    taken = 0
    values = (None, True, -1, 0, 1.5, math.nan, 10**400, "", "l2", b"", [], [1], {}, {"a": 1}, [[[]]], {"decay": {}})
    for rule in RULES:
        for each in fields(RULES[rule]):
            for value in values:
                with suppress(xframe.UsageError):
                    taken += bool(from_dict({"rule": rule, "learning_rate": 0.1, each.name: value}))
    assert taken


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(0.1, nesterov=True),
        lambda: SGD(0.1, dampening=0.5),
        lambda: SGD(0.1, momentum=0.9, dampening=0.5, velocity="step"),
        lambda: SGD(0.1, momentum=1.0),
        lambda: Adam(0.1, beta2=-0.1),
        lambda: RMSprop(0.1, epsilon=-1e-9),
        lambda: SGD(-0.1),
        lambda: Adam(0.1, weight_decay=-0.1),
        lambda: Adafactor(0.1, clip_threshold=0),
        lambda: Adafactor(0.1, clip_threshold=-1.0),
        lambda: Group(("a",), rate_factor=-1),
        lambda: Average(0.9, clock="epochs"),
    ],
)
def test_what_is_no_rule(make):
    with pytest.raises(xframe.UsageError):
        make()


def test_groups():
    rule = Adam(
        0.1, weight_decay=0.3, groups=(Group(("*/bias",), weight_decay=0.0), Group(("dense_0/*",), rate_factor=2))
    )
    assert [rule.factor(name) for name in ("dense_0/bias", "dense_0/kernel", "dense_1/kernel")] == [1, 2, 1]
    assert [rule.decay_of(name) for name in ("dense_0/bias", "dense_0/kernel")] == [0, 0.3]
    rule.check_names(["dense_0/bias", "dense_0/kernel"])
    with pytest.raises(xframe.UsageError, match=r"no parameter has this name: got 'dense_0/\*'"):
        rule.check_names(["dense_1/bias"])


# NumPy's


def test_shapes_of_what_is_kept():
    assert Adafactor(0.1).shapes((3, 4, 5)) == {"row_mean_square": (3, 4), "column_mean_square": (3, 5)}
    assert Adafactor(0.1).shapes((3,)) == {"mean_square": (3,)}
    assert SGD(0.1).shapes((3,)) == {}
    assert RMSprop(0.1, centered=True).shapes(()) == {"mean_square": (), "mean_gradient": ()}
    slots = read_slots(lower(Adagrad(0.1, initial_accumulator=0.5), {"w": np.zeros(2)}))
    assert slots["sum_of_squares"]["w"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_rule_goes_on_from_its_slots(name, precision):
    """Slots and numbers are all that a rule keeps: another optimizer that gets them ends with the same bits."""
    rule, random = named(name, {"average": None}), np.random.default_rng(0)
    start = {"a": random.normal(size=(3, 4)).astype(precision), "b": random.normal(size=4).astype(precision)}
    gradients = [{key: random.normal(size=w.shape).astype(precision) for key, w in start.items()} for _ in range(6)]
    one, whole = dict(start), lower(rule, start)
    one = {key: w.copy() for key, w in start.items()}
    for gradient in gradients:
        whole.apply(one, gradient)
    other, first = {key: w.copy() for key, w in start.items()}, lower(rule, start)
    for gradient in gradients[:3]:
        first.apply(other, gradient)
    second = lower(rule, start)
    write_slots(second, read_slots(first))
    write_numbers(second, read_numbers(first))
    for gradient in gradients[3:]:
        second.apply(other, gradient)
    for key in start:
        assert one[key].dtype == precision
        assert np.array_equal(one[key], other[key])
        assert not np.array_equal(one[key], start[key])


def test_averages_by_both_clocks():
    """Up to the first update the average is the weights; then each tick of its clock moves it."""
    for clock, ticks in (("updates", 2), ("steps", 4)):
        w = {"w": np.array([1.0])}
        optimizer = lower(SGD(1.0, average=Average(0.5, clock=clock)), w)
        expected = None
        for step in range(1, 7):  # an update each second step
            if step % 2:
                optimizer.accumulated(w)
            else:
                optimizer.apply(w, {"w": np.array([1.0])})
            if step <= 2:
                expected = w["w"][0]
            elif clock == "steps" or step % 2 == 0:
                expected, ticks = (expected + w["w"][0]) / 2, ticks - 1
            assert optimizer.average["w"].tolist() == [expected]
        assert ticks == 0


def test_numbers_of_nadam():
    optimizer = lower(NAdam(0.1, momentum_decay=1.0), {"w": np.ones(1)})
    for _ in range(2):
        optimizer.apply({"w": np.ones(1)}, {"w": np.ones(1)})
    product = 0.9 * (1 - 0.5 * 0.96) * 0.9 * (1 - 0.5 * 0.96**2)
    assert read_numbers(optimizer) == {"updates": 2, "momentum_product": pytest.approx(product, rel=1e-15)}
