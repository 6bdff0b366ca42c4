"""Update rules in NumPy, each written out as its docstring in ``xframe.tasks.optimizers`` has it; clipping too.

In float64 these are what the other adapters' rules are checked against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xframe.tasks.optimizers import SGD, Adadelta, Adafactor, Adagrad, Adam, Adamax, Lion, NAdam, RMSprop, Rule
from xframe_numpy.evidence import UpdateCounter
from xframe_numpy.layers import Array

Slots = dict[str, Array]  # of one parameter
# Given a rule, a parameter, its gradient, its slots, the learning rate, the number of the update and the rule's own
# numbers: changes the slots, and returns what is taken from the parameter.
Formula = Callable[[Any, Array, Array, Slots, float, int, Mapping[str, float]], Array]


class Optimizer:
    """Updates parameters by a rule.

    Attributes:
        learning_rate: of the next update, before the factors of groups.
        slots: what the rule keeps, by parameter and then by slot.
        average: the averaged weights, if the rule has them.
        numbers: the rule's own.
    """

    def __init__(self, rule: Rule, parameters: Mapping[str, Array]) -> None:
        rule.check_names(list(parameters))
        self.rule, self.updates, self.learning_rate = rule, UpdateCounter(), rule.rate(0)
        self.formula = formula(type(rule))
        self.factors = {name: rule.factor(name) for name in parameters}
        self.decays = {name: rule.decay_of(name) for name in parameters}
        begin = rule.initial_accumulator if isinstance(rule, Adagrad) else 0
        self.slots: dict[str, Slots] = {
            name: {slot: np.full(shape, begin, w.dtype) for slot, shape in rule.shapes(w.shape).items()}
            for name, w in parameters.items()
        }
        self.numbers = {"momentum_product": 1.0} if isinstance(rule, NAdam) else {}
        self.average = {} if rule.average is None else {name: w.copy() for name, w in parameters.items()}

    def apply(self, parameters: dict[str, Array], gradients: Mapping[str, Array]) -> None:
        """One update of the parameters, in place: clipping, decay, the rule, averaging."""
        with np.errstate(all="ignore"):  # what a formula cannot do it has as infinity or NaN, as in the frameworks
            self.update(parameters, clipped(gradients, self.rule))

    def update(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> None:
        """The same with gradients that are clipped."""
        self.updates.attempts += 1
        if not gradients:
            return
        first = not self.updates.applied
        self.updates.applied += 1
        if isinstance(self.rule, NAdam):
            self.numbers["momentum_product"] *= _warmed(self.rule, self.updates.applied)
        with np.errstate(all="ignore"):
            for name, gradient in gradients.items():
                self._update(name, parameters[name], gradient)
        if self.average:
            self._average(parameters, begins=first)

    def accumulated(self, parameters: Mapping[str, Array]) -> None:
        """A step without an update, which an average may count as well."""
        if self.rule.average is not None and self.rule.average.clock == "steps":
            self._average(parameters, begins=not self.updates.applied)

    def _update(self, name: str, w: Array, gradient: Array) -> None:
        rate, decay, before = self.learning_rate * self.factors[name], self.decays[name], None
        if decay and self.rule.decay == "l2":
            gradient = gradient + decay * w
        elif decay:
            before = w.copy()
            w -= rate * decay * w
        measured = before if before is not None and _measures_undecayed(self.rule) else w
        w -= self.formula(self.rule, measured, gradient, self.slots[name], rate, self.updates.applied, self.numbers)

    def _average(self, parameters: Mapping[str, Array], *, begins: bool) -> None:
        assert self.rule.average is not None
        kept = 0.0 if begins else self.rule.average.decay
        for name, w in parameters.items():
            self.average[name] = kept * self.average[name] + (1 - kept) * w


def lower(rule: Rule, parameters: Mapping[str, Array]) -> Optimizer:
    """The optimizer of that rule for parameters by their canonical names."""
    return Optimizer(rule, parameters)


def formula(rule: type[Rule]) -> Formula:
    """What a rule of that class takes from one parameter after decay, and makes of its slots."""
    return _LOWER[rule]


def read_slots(optimizer: Optimizer) -> dict[str, dict[str, Array]]:
    """What the rule keeps: copies by slot and then by parameter."""
    slots: dict[str, dict[str, Array]] = {slot: {} for slot in optimizer.rule.kept()}
    for name, held in optimizer.slots.items():
        for slot, values in held.items():
            slots[slot][name] = values.copy()
    return {slot: held for slot, held in slots.items() if held}


def write_slots(optimizer: Optimizer, slots: Mapping[str, Mapping[str, Array]]) -> None:
    """Makes the rule go on from these, as ``read_slots`` returns them."""
    for name, held in optimizer.slots.items():
        for slot, values in held.items():
            values[...] = slots[slot][name]


def read_numbers(optimizer: Optimizer) -> dict[str, float]:
    """Updates applied, and the rule's own numbers."""
    return {"updates": optimizer.updates.applied, **optimizer.numbers}


def write_numbers(optimizer: Optimizer, numbers: Mapping[str, float]) -> None:
    """Makes the rule go on from these, as ``read_numbers`` returns them."""
    optimizer.updates.applied = int(numbers["updates"])
    optimizer.numbers |= {name: numbers[name] for name in optimizer.numbers}


def clipped(gradients: Mapping[str, Array], rule: Rule) -> Mapping[str, Array]:
    """The gradients as the rule's clipping leaves them."""
    if rule.clip_value is not None:
        return {name: np.clip(g, -rule.clip_value, rule.clip_value) for name, g in gradients.items()}
    if rule.clip_norm is None and rule.clip_global_norm is None:
        return gradients
    squares = {name: (g**2).sum() for name, g in gradients.items()}
    if rule.clip_norm is not None:
        return {name: _shortened(g, np.sqrt(squares[name]), rule.clip_norm) for name, g in gradients.items()}
    norm = np.sqrt(sum(squares.values()))
    return {name: _shortened(g, norm, rule.clip_global_norm) for name, g in gradients.items()}


def _shortened(gradient: Array, norm: Any, most: Any) -> Array:
    shorter: Array = gradient * (most / norm) if norm > most else gradient
    return shorter


def _blend(share: float, old: Array, new: Array) -> Array:
    blended: Array = share * old + (1 - share) * new
    return blended


def _sgd(rule: SGD, w: Array, g: Array, slots: Slots, a: float, t: int, _: Mapping[str, float]) -> Array:
    if not rule.momentum:
        return a * g
    if rule.velocity == "step":
        v = slots["velocity"] = rule.momentum * slots["velocity"] - a * g
        return a * g - rule.momentum * v if rule.nesterov else -v
    damped = (1 - rule.dampening) * g if rule.dampening and t > 1 else g
    v = slots["velocity"] = rule.momentum * slots["velocity"] + damped
    return a * (g + rule.momentum * v if rule.nesterov else v)


def _lion(rule: Lion, w: Array, g: Array, slots: Slots, a: float, t: int, _: Mapping[str, float]) -> Array:
    m = slots["momentum"]
    slots["momentum"] = _blend(rule.beta2, m, g)
    step: Array = a * np.sign(_blend(rule.beta1, m, g))
    return step


def _adam(rule: Adam, w: Array, g: Array, slots: Slots, a: float, t: int, _: Mapping[str, float]) -> Array:
    m, v = _moments(rule, g, slots)
    if rule.amsgrad:
        v = slots["largest_second_moment"] = np.maximum(slots["largest_second_moment"], v)
    first, second = 1 - rule.beta1**t, 1 - rule.beta2**t
    if rule.epsilon_on == "uncorrected":
        step: Array = a * second**0.5 / first * m / (np.sqrt(v) + rule.epsilon)
    else:
        step = a * (m / first) / (np.sqrt(v / second) + rule.epsilon)
    return step


def _nadam(rule: NAdam, w: Array, g: Array, slots: Slots, a: float, t: int, numbers: Mapping[str, float]) -> Array:
    m, v = _moments(rule, g, slots)
    now, following, product = _warmed(rule, t), _warmed(rule, t + 1), numbers["momentum_product"]
    ahead = following * m / (1 - product * following) + (1 - now) * g / (1 - product)
    step: Array = a * ahead / (np.sqrt(v / (1 - rule.beta2**t)) + rule.epsilon)
    return step


def _warmed(rule: NAdam, t: int) -> float:
    momentum: float = rule.beta1 * (1 - 0.5 * 0.96 ** (t * rule.momentum_decay))
    return momentum


def _adamax(rule: Adamax, w: Array, g: Array, slots: Slots, a: float, t: int, _: Mapping[str, float]) -> Array:
    m = slots["first_moment"] = _blend(rule.beta1, slots["first_moment"], g)
    on_gradient = rule.epsilon_on == "gradient"
    size = np.abs(g) + rule.epsilon if on_gradient else np.abs(g)
    u = slots["largest_gradient"] = np.maximum(rule.beta2 * slots["largest_gradient"], size)
    step: Array = a * (m / (1 - rule.beta1**t)) / (u if on_gradient else u + rule.epsilon)
    return step


def _moments(rule: Adam | NAdam, g: Array, slots: Slots) -> tuple[Array, Array]:
    slots["first_moment"] = _blend(rule.beta1, slots["first_moment"], g)
    slots["second_moment"] = _blend(rule.beta2, slots["second_moment"], g**2)
    return slots["first_moment"], slots["second_moment"]


def _rmsprop(rule: RMSprop, w: Array, g: Array, slots: Slots, a: float, t: int, _: Mapping[str, float]) -> Array:
    s = slots["mean_square"] = _blend(rule.rho, slots["mean_square"], g**2)
    if rule.centered:
        q = slots["mean_gradient"] = _blend(rule.rho, slots["mean_gradient"], g)
        s = s - q**2
    d = g / _root(rule, s)
    if not rule.momentum:
        return a * d
    if rule.velocity == "step":
        v = slots["velocity"] = rule.momentum * slots["velocity"] + a * d
        return v
    v = slots["velocity"] = rule.momentum * slots["velocity"] + d
    return a * v


def _adagrad(rule: Adagrad, w: Array, g: Array, slots: Slots, a: float, t: int, _: Mapping[str, float]) -> Array:
    s = slots["sum_of_squares"] = slots["sum_of_squares"] + g**2
    return a / (1 + (t - 1) * rule.rate_decay) * g / _root(rule, s)


def _root(rule: RMSprop | Adagrad, s: Array) -> Array:
    root: Array = np.sqrt(s + rule.epsilon) if rule.epsilon_on == "inside" else np.sqrt(s) + rule.epsilon
    return root


def _adadelta(rule: Adadelta, w: Array, g: Array, slots: Slots, a: float, t: int, _: Mapping[str, float]) -> Array:
    s = slots["mean_square"] = _blend(rule.rho, slots["mean_square"], g**2)
    u = slots["mean_square_update"]
    d = np.sqrt(u + rule.epsilon) / np.sqrt(s + rule.epsilon) * g
    slots["mean_square_update"] = _blend(rule.rho, u, d**2)
    step: Array = a * d
    return step


def _adafactor(rule: Adafactor, w: Array, g: Array, slots: Slots, a: float, t: int, _: Mapping[str, float]) -> Array:
    clamps = rule.epsilon_on == "clamp"
    h, b = g**2 if clamps else g**2 + rule.epsilon1, 1 - t**rule.beta2_power
    if w.ndim < 2:
        s = slots["mean_square"] = _blend(b, slots["mean_square"], h)
    else:
        r = slots["row_mean_square"] = _blend(b, slots["row_mean_square"], h.mean(axis=-1))
        c = slots["column_mean_square"] = _blend(b, slots["column_mean_square"], h.mean(axis=-2))
        mean = r.mean(axis=-1, keepdims=True)
        s = (r / (np.maximum(mean, rule.epsilon1) if clamps else mean))[..., None] * c[..., None, :]
    d = g / np.sqrt(np.maximum(s, rule.epsilon1**2) if clamps else s)
    at_least = max if clamps else np.maximum  # of NaN, Keras' is NaN, and torch's, which is Python's, 1
    shrink = at_least(1.0, _rms(d) / rule.clip_threshold)
    step: Array = max(rule.epsilon2, _rms(w)) * min(a, 1 / t**0.5) / shrink * d
    return step


def _measures_undecayed(rule: Rule) -> bool:
    return isinstance(rule, Adafactor) and rule.epsilon_on == "clamp"


def _rms(values: Array) -> Any:
    return (values**2).mean() ** 0.5


_LOWER: Mapping[type[Rule], Formula] = {
    SGD: _sgd,
    Lion: _lion,
    Adam: _adam,
    NAdam: _nadam,
    Adamax: _adamax,
    RMSprop: _rmsprop,
    Adagrad: _adagrad,
    Adadelta: _adadelta,
    Adafactor: _adafactor,
}
