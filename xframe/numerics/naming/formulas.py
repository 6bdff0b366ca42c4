"""What a way makes of an update's inputs, in float64: NumPy's formulas of the rules, and those that no rule has."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, cast

import numpy as np

from xframe.numerics.naming.observed import Array, Block, Slots, Update
from xframe.numerics.naming.ways import Way
from xframe.running import registry
from xframe.tasks.optimizers import Adadelta, Adafactor, Adagrad, Adam, Adamax, NAdam, RMSprop, Rule

# Given a rule's fields, a parameter, its gradient, its slots, the learning rate, the number of the update and the
# rule's own numbers: changes the slots, and returns what is taken from the parameter.
Formula = Callable[[Any, Array, Array, dict[str, Array], Any, int, Mapping[str, float]], Array]


class Undetermined(Exception):  # noqa: N818  # nothing went wrong
    """A way needs a slot that was not seen and that cannot be worked out."""


class _Formulas(Protocol):
    def formula(self, rule: type[Rule]) -> Formula: ...


class Outcome:
    """What a way makes of one update: by block, the parameters after it and the slots."""

    def __init__(self) -> None:
        self.after: list[Array] = []
        self.slots: list[dict[str, Array]] = []

    def pairs(self, update: Update) -> list[tuple[Array, Array]]:
        """The outcome's arrays, each with the one that was seen; slots that only one of them has are left out."""
        both = [(own, block.after) for own, block in zip(self.after, update.blocks, strict=True)]
        for held, block in zip(self.slots, update.blocks, strict=True):
            both += [(held[slot], seen) for slot, seen in block.left.items() if slot in held]
        return both


def outcomes(way: Way, updates: Sequence[Update]) -> list[Outcome]:
    """What the way makes of updates, one after the other.

    Slots that were not seen before an update are those that the rule begins with, or those that it left itself at the
    update just before.

    Raises:
        Undetermined: a slot is neither seen nor of either kind.
    """
    made: list[Outcome] = []
    for update in updates:
        outcome = Outcome()
        for at, block in enumerate(update.blocks):
            carried = made[-1].slots[at] if update.follows and made else None
            slots = _begun(way, update, block, carried)
            outcome.after.append(_after(way, update, block, slots))
            outcome.slots.append(slots)
        made.append(outcome)
    return made


def _begun(way: Way, update: Update, block: Block, carried: Slots | None) -> dict[str, Array]:
    kept = way.kept()
    shapes = dict.fromkeys(kept, block.weights.shape)
    if way.kind is Adafactor:
        shapes = way.kind.shapes(way.plain(), block.weights.shape)  # type: ignore[arg-type]
    slots = dict[str, Array]()
    for slot, shape in shapes.items():
        held = (block.slots or {}).get(slot, (carried or {}).get(slot))
        if held is None and update.number == 1:
            held = np.full(shape, way["initial_accumulator"] if way.kind is Adagrad else 0.0)
        if held is None or held.shape != shape:
            raise Undetermined(slot)
        slots[slot] = held
    return slots


def _after(way: Way, update: Update, block: Block, slots: dict[str, Array]) -> Array:
    """The parameters of a block after an update; its slots are changed."""
    w, g = block.weights, block.gradient
    rate, decay = way.rates(block), way.decays(block)
    if way["gradient"] != 1:
        g = way["gradient"] * g
    decays = bool(np.any(decay))
    shrunk = w
    if decays and way["decay"] == "l2":
        g = g + decay * w
    elif decays and way["decay_at"] != "after":
        shrunk = w - (decay * w if way["decay_at"] == "without the rate" else rate * decay * w)
    measured = w if way.kind is Adafactor and way["epsilon_on"] == "clamp" else shrunk
    numbers, plain = update.numbers, way.plain()
    if way.kind is NAdam:
        numbers = {"momentum_product": _product(way, update)}
    with np.errstate(all="ignore"):
        step = formula_of(way)(plain, measured, g, slots, rate, update.number + way["ticks"], numbers)
        after = shrunk + step if way["direction"] == "up" else shrunk - step
        if decays and way["decay"] != "l2" and way["decay_at"] == "after":
            after = after - rate * decay * after
    return after


def _product(way: Way, update: Update) -> float:
    """Of NAdam's momentum up to this update, with what the side had before it."""
    t = update.number + way["ticks"]
    before = update.numbers.get("momentum_product")
    if before is None:
        before = math.prod(_warmed(way, one) for one in range(1, t))
    return before * _warmed(way, t)


def _warmed(way: Way, t: int) -> float:
    warmed: float = way["beta1"] * (1 - 0.5 * 0.96 ** (t * way["momentum_decay"]))
    return warmed


def formula_of(way: Way) -> Formula:
    """NumPy's formula of the way's rule, or that of what the rule does not have."""
    kind = way.kind
    if way["damps"] == "always" and way.settings.get("dampening") and way["momentum"]:
        return _damped
    return _catalogue(kind) if way.in_catalogue or kind not in _OTHERS else _OTHERS[kind]


@cache
def _adapter() -> _Formulas:
    return cast(_Formulas, registry.load("numpy"))


def _catalogue(kind: type[Rule]) -> Formula:
    return _adapter().formula(kind)


def _corrections(rule: Any, t: int) -> tuple[float, float]:
    first = 1 - rule.beta1**t if rule.correction in ("both", "first") else 1.0
    second = 1 - rule.beta2**t if rule.correction in ("both", "second") else 1.0
    return first, second


def _blended(rule: Any, m: Array, g: Array) -> Array:
    blended: Array = rule.beta1 * m + (g if rule.blend == "sum" else (1 - rule.beta1) * g)
    return blended


def _divisor(rule: Any, v: Array, second: float) -> Array:
    divisors = {
        "corrected": lambda: np.sqrt(v / second) + rule.epsilon,
        "uncorrected": lambda: (np.sqrt(v) + rule.epsilon) / np.sqrt(second),
        "inside": lambda: np.sqrt(v / second + rule.epsilon),
        "inside uncorrected": lambda: np.sqrt((v + rule.epsilon) / second),
    }
    divisor: Array = divisors[rule.epsilon_on]()
    return divisor


def _adam(rule: Any, w: Array, g: Array, slots: dict[str, Array], a: Any, t: int, _: Mapping[str, float]) -> Array:
    m = slots["first_moment"] = _blended(rule, slots["first_moment"], g)
    v = slots["second_moment"] = rule.beta2 * slots["second_moment"] + (1 - rule.beta2) * g**2
    if rule.amsgrad:
        v = slots["largest_second_moment"] = np.maximum(slots["largest_second_moment"], v)
    first, second = _corrections(rule, t)
    step: Array = a * (m / first) / _divisor(rule, v, second)
    return step


def _nadam(rule: Any, w: Array, g: Array, slots: dict[str, Array], a: Any, t: int, numbers: Any) -> Array:
    m = slots["first_moment"] = _blended(rule, slots["first_moment"], g)
    v = slots["second_moment"] = rule.beta2 * slots["second_moment"] + (1 - rule.beta2) * g**2
    corrects = rule.correction in ("both", "first")
    product = numbers["momentum_product"] if corrects else 0.0
    now, following = (rule.beta1 * (1 - 0.5 * 0.96 ** (one * rule.momentum_decay)) for one in (t, t + 1))
    ahead = following * m / (1 - product * following) + (1 - now) * g / (1 - product)
    step: Array = a * ahead / _divisor(rule, v, _corrections(rule, t)[1])
    return step


def _adamax(rule: Any, w: Array, g: Array, slots: dict[str, Array], a: Any, t: int, _: Mapping[str, float]) -> Array:
    m = slots["first_moment"] = _blended(rule, slots["first_moment"], g)
    on_gradient = rule.epsilon_on == "gradient"
    size = np.abs(g) + rule.epsilon if on_gradient else np.abs(g)
    u = slots["largest_gradient"] = np.maximum(rule.beta2 * slots["largest_gradient"], size)
    step: Array = a * (m / _corrections(rule, t)[0]) / (u if on_gradient else u + rule.epsilon)
    return step


def _rmsprop(rule: Any, w: Array, g: Array, slots: dict[str, Array], a: Any, t: int, _: Mapping[str, float]) -> Array:
    """With a mean of squares that is corrected for its start, as Adam's."""
    s = slots["mean_square"] = rule.rho * slots["mean_square"] + (1 - rule.rho) * g**2
    if rule.centered:
        q = slots["mean_gradient"] = rule.rho * slots["mean_gradient"] + (1 - rule.rho) * g
        s = s - q**2
    s = s / (1 - rule.rho**t)
    d = g / (np.sqrt(s + rule.epsilon) if rule.epsilon_on == "inside" else np.sqrt(s) + rule.epsilon)
    if not rule.momentum:
        return cast(Array, a * d)
    v = slots["velocity"] = rule.momentum * slots["velocity"] + (a * d if rule.velocity == "step" else d)
    return cast(Array, v if rule.velocity == "step" else a * v)


def _adadelta(rule: Any, w: Array, g: Array, slots: dict[str, Array], a: Any, t: int, _: Mapping[str, float]) -> Array:
    """With epsilon outside its roots."""
    s = slots["mean_square"] = rule.rho * slots["mean_square"] + (1 - rule.rho) * g**2
    u = slots["mean_square_update"]
    d = (np.sqrt(u) + rule.epsilon) / (np.sqrt(s) + rule.epsilon) * g
    slots["mean_square_update"] = rule.rho * u + (1 - rule.rho) * d**2
    return cast(Array, a * d)


def _damped(rule: Any, w: Array, g: Array, slots: dict[str, Array], a: Any, t: int, _: Mapping[str, float]) -> Array:
    """SGD whose first gradient is dampened as well."""
    v = slots["velocity"] = rule.momentum * slots["velocity"] + (1 - rule.dampening) * g
    return cast(Array, a * (g + rule.momentum * v if rule.nesterov else v))


_OTHERS: Mapping[type[Rule], Formula] = {
    Adam: _adam,
    NAdam: _nadam,
    Adamax: _adamax,
    RMSprop: _rmsprop,
    Adadelta: _adadelta,
}
