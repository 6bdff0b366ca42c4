"""Optimizers: a number that is a little off, the other framework's dialect, a formula that no rule has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sweeps.planted.declaring import other_rule, other_task, tampered
from sweeps.planted.trainings import MLP, ROWS, TEXT
from xframe.tasks.optimizers import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    Average,
    Group,
    Lion,
    NAdam,
    RMSprop,
    Rule,
)
from xframe.tasks.schedules import Cosine, Exponential

WEIGHTS, ANY = "dense_*", "*dense_*"
NUMPY: dict[str, Any] = {"sides": ("numpy",)}


def _slot(name: str) -> str:
    return f"slots/{name}/*"


def numbers(name: str, rule: Rule, tensor: str, *causes: str, **other: Any) -> None:
    """The same rule with these numbers otherwise."""
    other_rule(name, MLP, rule, replace(rule, **other), "update", tensor, *causes)


ADAM, ADAMW = Adam(0.01), Adam(0.01, weight_decay=0.02, decay="decoupled")
MOMENTUM = SGD(0.05, momentum=0.9)
RATE = "learning-rate-value"
numbers("rate 1.0001 times as large", SGD(0.05), WEIGHTS, RATE, learning_rate=0.05 * 1.0001)
numbers("Adam's rate 1.0001 times as large", ADAM, WEIGHTS, RATE, learning_rate=0.01 * 1.0001)
numbers("half the rate", MOMENTUM, WEIGHTS, RATE, learning_rate=0.025)
numbers("rate .001 for .01", ADAM, WEIGHTS, RATE, learning_rate=0.001)
numbers("momentum .9001", MOMENTUM, ANY, "momentum-value", momentum=0.9001)
numbers("momentum .99", MOMENTUM, ANY, "momentum-value", momentum=0.99)
numbers("no momentum", MOMENTUM, ANY, "momentum-value", momentum=0.0)
numbers("beta1 .9001", ADAM, ANY, "beta1-value", beta1=0.9001)
numbers("beta2 .9999", ADAM, ANY, "beta2-value", beta2=0.9999)
numbers("beta2 .9989", ADAM, ANY, "beta2-value", beta2=0.9989)
numbers("rho .9", RMSprop(0.01), ANY, "rho-value", rho=0.9)
numbers("epsilon 1e-7", ADAM, WEIGHTS, "epsilon-value", epsilon=1e-7)
numbers("RMSprop's epsilon 1e-7", RMSprop(0.01), WEIGHTS, "epsilon-value", epsilon=1e-7)
numbers("Adam's epsilon before the correction", ADAM, WEIGHTS, "epsilon-place", epsilon_on="uncorrected")
numbers("RMSprop's epsilon inside", RMSprop(0.01), WEIGHTS, "epsilon-place", epsilon_on="inside")
numbers("Adagrad's epsilon inside", Adagrad(0.05, epsilon=1e-7), WEIGHTS, "epsilon-place", epsilon_on="inside")
numbers("Adamax's epsilon on the norm", Adamax(0.01, epsilon=1e-7), ANY, "epsilon-place", epsilon_on="norm")
numbers("Adafactor's epsilon on the clamp", Adafactor(0.01, epsilon1=1e-6), ANY, "epsilon-place", epsilon_on="clamp")
numbers("NAdam's momentum decay", NAdam(0.01), WEIGHTS, "momentum-decay-value", momentum_decay=1.0)
numbers("decay coupled", ADAMW, ANY, "weight-decay-coupling", decay="l2")
numbers("decay decoupled", replace(ADAMW, decay="l2"), ANY, "weight-decay-coupling", decay="decoupled")
numbers(
    "momentum's decay decoupled", replace(MOMENTUM, weight_decay=0.02), ANY, "weight-decay-coupling", decay="decoupled"
)
numbers("no decay", ADAMW, WEIGHTS, "weight-decay-value", weight_decay=0.0)
numbers("decay twice", ADAMW, WEIGHTS, "weight-decay-value", weight_decay=0.04)
numbers("decay .0201", replace(MOMENTUM, weight_decay=0.02), ANY, "weight-decay-value", weight_decay=0.0201)
BIASES = (Group(("*/bias",), weight_decay=0.0),)
numbers("decay on biases", replace(ADAMW, groups=BIASES), "*/bias", "weight-decay-on-biases", groups=())
numbers("no decay on biases", ADAMW, "*/bias", "weight-decay-on-biases", groups=BIASES)
numbers("amsgrad off", replace(ADAM, amsgrad=True), ANY, "amsgrad", amsgrad=False)
numbers("amsgrad on", ADAM, ANY, "amsgrad", amsgrad=True)
numbers("nesterov off", replace(MOMENTUM, nesterov=True), WEIGHTS, "nesterov", nesterov=False)
numbers("nesterov on", MOMENTUM, WEIGHTS, "nesterov", nesterov=True)
numbers("dampening", MOMENTUM, ANY, "dampening", dampening=0.1)
numbers("not centered", RMSprop(0.01, centered=True), ANY, "centered", centered=False)
numbers("Adagrad's rate decays", Adagrad(0.05), WEIGHTS, "rate-decay-value", rate_decay=0.1)
numbers(
    "Adagrad's sums begin at 0",
    Adagrad(0.05, initial_accumulator=0.1),
    "slots/sum_of_squares/*",
    "initial-accumulator",
    initial_accumulator=0.0,
)
numbers("Adadelta's rho .95", Adadelta(1.0), ANY, "rho-value", rho=0.95)
numbers("Lion's beta2", Lion(0.001), ANY, "beta2-value", beta2=0.999)
numbers(
    "a bias at twice the rate",  # as of a layer that has it in two tensors, both trained
    MOMENTUM,
    "dense_0/bias",
    "learning-rate-by-parameter",
    groups=(Group(("dense_0/bias",), rate_factor=2.0),),
)
other_rule(
    "both biases of an LSTM trained",
    ROWS,
    SGD(0.05),
    SGD(0.05, groups=(Group(("lstm_0/bias",), rate_factor=2.0),)),
    "update",
    "lstm_0/bias",
    "learning-rate-by-parameter",
)
numbers(
    "a kernel not moved",
    ADAM,
    "dense_1/kernel",
    "learning-rate-by-parameter",
    groups=(Group(("dense_1/kernel",), rate_factor=0.0),),
)
other_rule("NAdam for Adam", MLP, ADAM, NAdam(0.01), "update", ANY, "update-rule")
other_rule("Adamax for Adam", MLP, ADAM, Adamax(0.01), "update", ANY, "update-rule")
other_rule("Adam for SGD", MLP, SGD(0.01), ADAM, "update", ANY, "update-rule")
FALLING = SGD(Exponential(0.05, 0.8), momentum=0.9)
other_rule(
    "velocity without the rate",
    MLP,
    replace(FALLING, velocity="step"),
    FALLING,
    "update",
    ANY,
    "rate-inside-velocity",
)

# Schedules


def _ticked(by: int) -> Callable[[Any], None]:
    def change(step: Any) -> None:
        rate = step.rate
        step.rate = lambda tick: rate(max(tick + by, 0))

    return change


COSINE = SGD(Cosine(0.1, ticks=40))
OFF = "learning-rate-a-tick-off"
tampered("schedule late by one", MLP.by(COSINE), _ticked(-1), "update", WEIGHTS, OFF)
tampered("schedule early by one", MLP.by(COSINE), _ticked(1), "update", WEIGHTS, OFF)
tampered(
    "schedule early by one, momentum", MLP.by(SGD(Cosine(0.1, ticks=40), momentum=0.9)), _ticked(1), "update", ANY, OFF
)
other_task("no schedule", MLP.by(COSINE), lambda task: replace(task, optimizer=SGD(0.1)), "update", WEIGHTS, RATE)


def _by_steps(step: Any) -> None:
    window = step.window
    window.tick = lambda place: window.steps


tampered(
    "schedule by step for update",
    MLP.by(COSINE).planned(gradient_accumulation_steps=2, epochs=4),
    _by_steps,
    "update",
    WEIGHTS,
    OFF,
    RATE,
    sides=("numpy",),
)

# Formulas that no rule has, in NumPy


def formula(name: str, rule: Rule, made: Callable[..., Any], tensor: str, *causes: str) -> None:
    """The rule's formula replaced; ``made`` has what ``xframe_numpy.optimizers.Formula`` has."""

    def change(step: Any) -> None:
        step.optimizer.formula = made

    tampered(name, MLP.by(rule), change, "update", tensor, *causes, **NUMPY)


def _moments(rule: Any, g: Any, slots: Any) -> tuple[Any, Any]:
    for slot, beta, new in (("first_moment", rule.beta1, g), ("second_moment", rule.beta2, g**2)):
        slots[slot] = beta * slots[slot] + (1 - beta) * new
    return slots["first_moment"], slots["second_moment"]


def _adam(place: str = "corrected", first: bool = True, second: bool = True, late: int = 0) -> Callable[..., Any]:
    def made(rule: Any, w: Any, g: Any, slots: Any, a: float, t: int, _: Any) -> Any:
        m, v = _moments(rule, g, slots)
        m = m / (1 - rule.beta1 ** (t + late)) if first else m
        v = v / (1 - rule.beta2 ** (t + late)) if second else v
        return a * m / (np.sqrt(v + rule.epsilon) if place == "inside" else np.sqrt(v) + rule.epsilon)

    return made


formula("Adam's epsilon under the root", ADAM, _adam("inside"), WEIGHTS, "epsilon-place")
formula("no bias correction", ADAM, _adam(first=False, second=False), WEIGHTS, "bias-correction")
formula("only the first moment corrected", ADAM, _adam(second=False), WEIGHTS, "bias-correction")
formula("only the second moment corrected", ADAM, _adam(first=False), WEIGHTS, "bias-correction")
formula("updates counted from 2", ADAM, _adam(late=1), WEIGHTS, "update-count-off")


def _summing(rule: Any, w: Any, g: Any, slots: Any, a: float, t: int, _: Any) -> Any:
    m, v = slots["first_moment"], slots["second_moment"]
    m, v = rule.beta1 * m + g, rule.beta2 * v + (1 - rule.beta2) * g**2
    slots["first_moment"], slots["second_moment"] = m, v
    return a * (m / (1 - rule.beta1**t)) / (np.sqrt(v / (1 - rule.beta2**t)) + rule.epsilon)


formula("first moment as a sum", ADAM, _summing, _slot("first_moment"), "moment-as-sum")


def _dampened(rule: Any, w: Any, g: Any, slots: Any, a: float, t: int, _: Any) -> Any:
    slots["velocity"] = rule.momentum * slots["velocity"] + (1 - rule.dampening) * g
    return a * slots["velocity"]


formula("first gradient dampened", SGD(0.05, momentum=0.9, dampening=0.5), _dampened, ANY, "first-gradient-dampened")


def _outside(rule: Any, w: Any, g: Any, slots: Any, a: float, t: int, _: Any) -> Any:
    s = slots["mean_square"] = rule.rho * slots["mean_square"] + (1 - rule.rho) * g**2
    d = (np.sqrt(slots["mean_square_update"]) + rule.epsilon) / (np.sqrt(s) + rule.epsilon) * g
    slots["mean_square_update"] = rule.rho * slots["mean_square_update"] + (1 - rule.rho) * d**2
    return a * d


formula("Adadelta's epsilon outside", Adadelta(1.0), _outside, ANY, "epsilon-place")


def _decaying(order: str) -> Callable[[Any], None]:
    def change(step: Any) -> None:
        optimizer = step.optimizer
        own = optimizer._update

        def update(name: str, w: Any, gradient: Any) -> None:
            decay, before = optimizer.decays[name], w.copy()
            optimizer.decays[name] = 0.0
            own(name, w, gradient)
            optimizer.decays[name] = decay
            w -= decay * before if order == "without the rate" else optimizer.learning_rate * decay * w

        optimizer._update = update

    return change


tampered(
    "decay without the rate",
    MLP.by(ADAMW),
    _decaying("without the rate"),
    "update",
    WEIGHTS,
    "weight-decay-order",
    "weight-decay-value",
    **NUMPY,
)
tampered("decay after the step", MLP.by(ADAMW), _decaying("after"), "update", WEIGHTS, "weight-decay-order", **NUMPY)


def _squares_of_parts(step: Any) -> None:
    """The table's second moment averages the sum of its parts' squares."""
    lowered, parts = step.model.lowered, {}
    function, layer, own, prefix = lowered[0]

    def embedding(layer: Any, weights: Any, x: Any, training: bool) -> Any:
        passed = function(layer, weights, x, training)

        def back(gradient: Any) -> Any:
            squares = np.zeros_like(weights["table"])
            np.add.at(squares, x, gradient**2)
            parts["squares"] = squares
            return passed.back(gradient)

        return passed._replace(back=back)

    lowered[0] = (embedding, layer, own, prefix)
    plain = step.optimizer.formula

    def made(rule: Any, w: Any, g: Any, slots: Any, a: float, t: int, numbers: Any) -> Any:
        if w is not own["table"]:
            return plain(rule, w, g, slots, a, t, numbers)
        before = slots["second_moment"]
        m, _ = _moments(rule, g, slots)
        v = slots["second_moment"] = rule.beta2 * before + (1 - rule.beta2) * parts["squares"]
        return a * (m / (1 - rule.beta1**t)) / (np.sqrt(v / (1 - rule.beta2**t)) + rule.epsilon)

    step.optimizer.formula = made


tampered(
    "second moment of parts",
    TEXT.by(ADAM),
    _squares_of_parts,
    "update",
    "*embedding_0/table",
    "second-moment-of-parts",
    **NUMPY,
)

# Averages of weights

AVERAGED = replace(MOMENTUM, average=Average(0.9))
AVERAGE = "average/*"
numbers("average's decay .99", AVERAGED, AVERAGE, "average-decay-value", average=Average(0.99))
numbers("average's decay swapped", AVERAGED, AVERAGE, "average-decay-swapped", average=Average(1 - 0.9))
other_rule(
    "average by steps",
    MLP.planned(gradient_accumulation_steps=2),
    AVERAGED,
    replace(AVERAGED, average=Average(0.9, clock="steps")),
    "update",
    AVERAGE,
    "average-clock",
)


def _averages_before(step: Any) -> None:
    optimizer = step.optimizer
    held: dict[str, Any] = {}
    update, average = optimizer.update, optimizer._average

    def kept(parameters: Any, gradients: Any) -> None:
        held.update({name: w.copy() for name, w in parameters.items()})
        update(parameters, gradients)

    optimizer.update = kept
    optimizer._average = lambda parameters, *, begins: average(dict(held), begins=begins)


tampered(
    "average of the weights before",
    MLP.by(AVERAGED),
    _averages_before,
    "update",
    AVERAGE,
    "average-of-weights-before",
    **NUMPY,
)
