"""Rules in TensorFlow against NumPy's reference: in float64, from its weights and slots before each update."""

import numpy as np
import pytest

from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.tasks.builders import Parameter
from xframe.tasks.optimizers import SGD, Adafactor, Adagrad, Adam, Adamax, Average, Group, RMSprop, named
from xframe.tasks.schedules import Constant, Warmup

UPDATES, BAR = 50, 64 * np.finfo(np.float64).eps
SHAPES = {"conv/kernel": (2, 2, 3, 4), "dense/kernel": (6, 4), "dense/bias": (4,), "none/bias": (3,)}
RISING = Warmup(8, Constant(0.05))  # from 0
GROUPS = (Group(("*/bias",), weight_decay=0.0), Group(("conv/*",), rate_factor=0.5, weight_decay=0.2))
RULES = {
    **{name: named(name) for name in ("sgd", "nesterov", "keras.adam", "keras.adamw", "torch.adam", "torch.adamw")},
    **{f"{dialect}.{name}": named(f"{dialect}.{name}") for dialect in ("keras", "torch") for name in
       ("nadam", "adamax", "rmsprop", "adagrad", "adadelta", "adafactor")},
    "lion": named("lion", {"weight_decay": 0.1}),
    "l2": SGD(0.01, weight_decay=0.1),
    "l2 and momentum": SGD(0.01, momentum=0.9, weight_decay=0.1),
    "decoupled, momentum and dampening": SGD(0.01, momentum=0.9, dampening=0.3, weight_decay=0.1, decay="decoupled"),
    "a velocity free of the rate": SGD(RISING, momentum=0.9),
    "nesterov free of the rate": SGD(RISING, momentum=0.9, nesterov=True, clip_global_norm=0.5),
    "a velocity of steps": SGD(RISING, momentum=0.9, velocity="step", clip_norm=0.5),
    "amsgrad": named("keras.adam", {"amsgrad": True, "weight_decay": 0.1}),
    "amsgrad, corrected": Adam(RISING, amsgrad=True, weight_decay=0.1, clip_value=0.5),
    "groups of Adam": Adam(0.01, weight_decay=0.1, groups=GROUPS),
    "groups of Keras' Adam": named("keras.adam", {"weight_decay": 0.1, "groups": GROUPS}),
    "groups of SGD": SGD(0.01, momentum=0.9, weight_decay=0.1, groups=GROUPS),
    "groups of Adafactor": Adafactor(0.01, epsilon_on="clamp", epsilon1=1e-4, weight_decay=0.1, groups=GROUPS),
    "Adafactor with decay": named("keras.adafactor", {"weight_decay": 0.1}),
    "Adamax with L2": Adamax(0.01, epsilon_on="norm", weight_decay=0.1),
    "RMSprop centred": RMSprop(0.01, centered=True, momentum=0.9, epsilon=1e-3, weight_decay=0.1),
    "Keras' RMSprop centred": named("keras.rmsprop", {"centered": True, "momentum": 0.9, "epsilon": 1e-3}),
    "RMSprop of steps, outside": RMSprop(RISING, momentum=0.9, velocity="step"),
    "RMSprop inside, free of the rate": RMSprop(RISING, momentum=0.9, epsilon_on="inside"),
    "RMSprop inside at one rate": RMSprop(0.01, momentum=0.9, epsilon_on="inside"),
    "Adagrad whose rate decays": Adagrad(0.1, rate_decay=0.1, epsilon_on="inside", initial_accumulator=0.3),
    "averaged": named("keras.adam", {"average": Average(0.9)}),
}  # fmt: skip


@pytest.fixture(scope="module")
def lowered():
    adapter = registry.load("tensorflow")
    adapter.probe()  # imports keras with the right backend
    from xframe_tensorflow import optimizers

    adapter.configure(Runtime(device="cpu", threads=1, precision="float64"))
    yield optimizers
    adapter.configure(Runtime(device="cpu", threads=1, precision="float32"))


def gradients(seed):
    """Drawn: dense, sparse, tiny ones, and of one parameter none but zeros."""
    drawn = np.random.default_rng(seed)
    values = {name: drawn.normal(size=shape) for name, shape in SHAPES.items()}
    values["dense/kernel"] *= drawn.random(SHAPES["dense/kernel"]) < 0.3
    if seed % 3 == 1:
        values["conv/kernel"] *= 1e-30
    values["none/bias"] *= 0
    return values


class Native:
    """A rule's optimizer in TensorFlow, with variables of its own."""

    def __init__(self, lowered, rule, **how):
        import keras
        import tensorflow as tf

        self.lowered, self.rule = lowered, rule
        start = np.random.default_rng(9)
        self.variables = {name: keras.Variable(start.normal(size=shape)) for name, shape in SHAPES.items()}
        self.parameters = {name: Parameter(variable) for name, variable in self.variables.items()}
        self.optimizer = lowered.lower(rule, "float64", self.parameters, **how)
        self.optimizer.build(list(self.variables.values()))
        self._apply = tf.function(lambda *given: self.optimizer.apply(given), autograph=False)

    def weights(self):
        return {name: np.array(variable.numpy()) for name, variable in self.variables.items()}

    def apply(self, gradients):
        self._apply(*gradients.values())

    def slots(self):
        return self.lowered.read_slots(self.rule, self.optimizer, self.parameters)


def distance(first, second):
    """The greatest difference, over the largest weight of its tensor."""
    return max(np.abs(first[name] - second[name]).max() / np.abs(second[name]).max() for name in second)


@pytest.mark.sweep(fewest=10)
@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_its_formula(name, lowered):
    from xframe_numpy import optimizers as reference

    rule = RULES[name]
    native = Native(lowered, rule)
    weights = native.weights()
    exact, worst = reference.lower(rule, weights), 0.0
    for slot, held in reference.read_slots(exact).items():  # where it begins
        for each, values in held.items():
            assert np.array_equal(native.slots()[slot][each], values)
    for update in range(UPDATES):
        exact.learning_rate = rule.rate(update)
        lowered.set_rate(native.optimizer, np.float64(rule.rate(update)))
        for each, values in weights.items():
            native.variables[each].assign(values)
        lowered.write_slots(rule, native.optimizer, native.parameters, reference.read_slots(exact))
        lowered.write_numbers(rule, native.optimizer, reference.read_numbers(exact))
        given = gradients(update)
        native.apply(given)
        exact.apply(weights, given)
        worst = max(worst, distance(native.weights(), weights))
    slots = native.slots()
    assert set(slots) == set(reference.read_slots(exact))
    for slot, held in reference.read_slots(exact).items():
        assert held.keys() == slots[slot].keys()
        for each, values in held.items():
            np.testing.assert_allclose(slots[slot][each], values, rtol=1e-13, atol=1e-300, err_msg=f"{slot} {each}")
    assert worst <= BAR, f"{worst / np.finfo(np.float64).eps:.3g} eps"
