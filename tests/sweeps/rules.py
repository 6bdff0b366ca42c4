"""Every rule, dialect and setting: an update of PyTorch's and TensorFlow's compared with NumPy's, 50 updates and more.

Before each update weights, slots and numbers are NumPy's, so that no distance adds up. In float64 weights, averages and
slots lie within 64 eps of the greatest value that their tensor has before or after the update, as no sum is more exact
than its terms. In float32 each element lies within twice what the operations of NumPy's own formula make of float32's
rounding (`_rounding`): twice, since a framework has an order of its own. Distances are those of weights and averages,
shares of the bound those of slots too. Among the gradients are sparse ones, zeros, tiny (1e-30) and huge ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from xframe_numpy import optimizers as reference

from sweeps import Result
from sweeps._drivers import DRIVERS, LAYOUTS, Arrays, Driver
from sweeps._rounding import Rounded, constant, rounded
from xframe.tasks.optimizers import SGD, Adagrad, Adam, Average, Group, Lion, RMSprop, Rule, named, names
from xframe.tasks.optimizers.adam import Adamax
from xframe.tasks.schedules import Cosine, Warmup

ADAPTERS, PRECISIONS = ("torch", "tensorflow"), ("float64", "float32")
BAR, OWN_ORDER = 64.0, 2.0
MIXED, SHORT = 50, 10  # updates of the ordinary stream of gradients, and of those of one extreme


class Case(NamedTuple):
    """A rule, by its name and what is set otherwise."""

    name: str
    setting: str
    rule: Rule


@dataclass
class Distances(Result):
    """By name, setting, adapter and precision: the largest distance in eps and as a share of the bound, or why not."""

    worst: dict[tuple[str, str, str, str], tuple[float, float]] = field(default_factory=dict)
    refused: dict[tuple[str, str, str], str] = field(default_factory=dict)
    native: dict[tuple[str, str, str], str] = field(default_factory=dict)
    adapters: tuple[str, ...] = ADAPTERS

    def __ior__(self, other: Distances) -> Distances:
        self.cases += other.cases
        self.mismatches += other.mismatches
        for mine, others in ((self.worst, other.worst), (self.refused, other.refused), (self.native, other.native)):
            mine |= others
        return self

    @property
    def text(self) -> str:
        """A row for each name, over all its settings."""
        shown = [(adapter, kind) for adapter in self.adapters for kind in PRECISIONS]
        head = " | ".join(f"{adapter} {kind}, eps (of the bound)" for adapter, kind in shown)
        every = len(list(cases())) * len(self.adapters)
        updates = f"{MIXED + 2 * SHORT} updates of each in two precisions"
        rows = [f"{self.cases:,} of {every:,} rules and settings by adapter, {updates}"]
        rows += ["", f"| rule | settings | {head} | refused |", "| --- | --- |" + " --- |" * (len(shown) + 1)]
        for name, settings in itertools.groupby(sorted({key[:2] for key in self._keys()}), key=lambda key: key[0]):
            held = [setting for _, setting in settings]
            cells = [self._cell([(name, setting, *one) for setting in held]) for one in shown]
            refused = sum((name, setting, adapter) in self.refused for setting in held for adapter in self.adapters)
            rows.append(f"| {name} | {len(held)} | {' | '.join(cells)} | {refused or ''} |")
        return "\n".join(rows)

    @property
    def table(self) -> str:
        """A row for each name and setting: by adapter what it was lowered to, and the distances in both precisions."""
        columns = [f"{adapter} | {' | '.join(PRECISIONS)}" for adapter in self.adapters]
        rows = [f"| rule | setting | {' | '.join(columns)} |", "| --- | --- |" + " --- |" * (3 * len(self.adapters))]
        for name, setting in dict.fromkeys(key[:2] for key in self._keys()):
            cells = []
            for adapter in self.adapters:
                if why := self.refused.get((name, setting, adapter)):
                    cells.append(f"refused: {why} | – | –")
                    continue
                told = [self._cell([(name, setting, adapter, kind)]) for kind in PRECISIONS]
                cells.append(" | ".join([self.native.get((name, setting, adapter), "–"), *told]))
            rows.append(f"| {name} | {setting or 'as it is'} | {' | '.join(cells)} |")
        return "\n".join(rows)

    def _keys(self) -> list[tuple[str, ...]]:
        return [*self.worst, *self.refused]

    def _cell(self, keys: list[tuple[str, str, str, str]]) -> str:
        seen = [self.worst[key] for key in keys if key in self.worst]
        return f"{max(a for a, _ in seen):.3g} ({max(b for _, b in seen):.0%})" if seen else "–"


def run(
    size: int, seed: int, adapters: tuple[str, ...] = ADAPTERS, precisions: tuple[str, ...] = PRECISIONS
) -> Distances:
    """As many cases, drawn from all, as asked for; all of them if there are no more."""
    every = list(cases())
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(every))[:size]) if size < len(every) else range(len(every))
    result = Distances(adapters=adapters)
    for adapter, precision in itertools.product(adapters, precisions):
        driver = DRIVERS[adapter](precision)
        for index in chosen:
            if precision == precisions[0]:
                result.cases += 1
            check(result, driver, every[index], adapter, precision, seed)
    return result


def check(result: Distances, driver: Driver, case: Case, adapter: str, precision: str, seed: int) -> None:
    """Adds the case's distances to those seen, and it itself to what was wrong if one is too far."""
    name, setting, rule = case
    reasons = driver.refusals(rule)
    if reasons:
        result.refused[name, setting, adapter] = "; ".join(reasons)
        return
    driver.begin(rule)
    far, share = 0.0, 0.0
    for kind, updates in (("mixed", MIXED), ("tiny", SHORT), ("huge", SHORT)):
        for update, distance, used, what in follow(driver, rule, precision, kind, updates, seed):
            far, share = max(far, distance), max(share, used)
            if not used <= 1:
                result.mismatches.append(
                    f"{adapter} {precision} {name} {setting}, {kind} gradients, update {update + 1}: {what} off by "
                    f"{distance:.3g} eps, {used:.3g} of the bound; {rule!r}"
                )
                break
    result.worst[name, setting, adapter, precision] = (far, share)
    result.native[name, setting, adapter] = driver.kind


def follow(
    driver: Driver, rule: Rule, precision: str, kind: str, updates: int, seed: int
) -> Iterator[tuple[int, float, float, str]]:
    """After each update: its number, the largest distance in eps, what share of the bound that is, and of what."""
    rng, exact = np.random.default_rng(seed), precision == "float64"
    weights = {name: _held(rng.normal(size=shape), precision) for name, (shape, _) in LAYOUTS.items()}
    state = reference.lower(rule, weights)
    eps = float(np.finfo(precision).eps)
    for update in range(updates):
        rate = state.learning_rate = rule.rate(update)
        gradients = {
            name: _held(g, precision) for name, g in drawn(rule, kind, precision, update, weights, rng).items()
        }
        driver.set(state, weights)
        driver.update(gradients, rate)
        if exact:
            before = {what: np.max(np.abs(values)) for what, values in _all(state, weights)}
            state.apply(weights, gradients)
            outcome = {
                what: Rounded(values, BAR * eps * max(before[what], np.max(np.abs(values))))
                for what, values in _all(state, weights)
            }
        else:
            outcome = in_float32(rule, state, weights, gradients)
        seen = driver.outcome()
        found = [_judged(what, bound, seen[what], eps, 1.0 if exact else OWN_ORDER) for what, bound in outcome.items()]
        _, share, what = max(found, key=lambda one: one[1] if one[1] == one[1] else np.inf)
        yield update, max(one[0] for one in found if one[2] in weights or "average" in one[2]), share, what


def _judged(what: str, wanted: Rounded, seen: Any, eps: float, factor: float) -> tuple[float, float, str]:
    """Distance in eps of the tensor's greatest value, the share of the bound of the worst element, and of what."""
    if np.shape(seen) != wanted.value.shape:
        return np.inf, np.inf, f"{what}, of shape {np.shape(seen)}"
    with np.errstate(all="ignore"):
        off = np.abs(np.asarray(seen, np.float64) - wanted.value)
        share = np.where(off == 0, 0, off / (factor * wanted.error))
        share = np.where(np.isinf(wanted.error), 0, share)
    largest = np.max(np.abs(wanted.value), initial=0)
    distance = float(np.max(off, initial=0) / (largest * eps)) if largest else 0.0
    return distance, float(np.max(share, initial=0)), what


def in_float32(rule: Rule, state: Any, weights: Arrays, gradients: Arrays) -> dict[str, Rounded]:
    """NumPy's update with its bounds; state and weights go on from it, as float32 holds them."""
    shadow = reference.lower(rule, weights)
    shadow.rule, shadow.learning_rate = rounded(rule), constant(state.learning_rate)  # type: ignore[assignment]
    shadow.updates.applied = state.updates.applied
    shadow.factors = {name: constant(factor) for name, factor in shadow.factors.items()}  # type: ignore[misc]
    shadow.decays = {name: constant(decay) for name, decay in shadow.decays.items()}  # type: ignore[misc]
    shadow.slots = {  # type: ignore[assignment]
        name: {slot: Rounded(values) for slot, values in held.items()} for name, held in state.slots.items()
    }
    shadow.average = {name: Rounded(values) for name, values in state.average.items()}  # type: ignore[misc]
    shadow.numbers = {name: Rounded(number) for name, number in state.numbers.items()}  # type: ignore[misc]
    moved: Any = {name: Rounded(w) for name, w in weights.items()}
    # A gradient that is short enough is still scaled in Keras: by clip · min(1 / norm, 1 / clip).
    by = 3 if rule.clip_norm or rule.clip_global_norm else 0
    shadow.apply(moved, {name: Rounded(g, by=by) for name, g in gradients.items()})  # type: ignore[arg-type]
    outcome = dict(_all(shadow, moved))
    state.updates.applied += 1
    for name, w in moved.items():
        weights[name][...] = _held(w.value, "float32")
        state.slots[name] = {slot: _held(values.value, "float32") for slot, values in shadow.slots[name].items()}
    state.average = {name: _held(values.value, "float32") for name, values in shadow.average.items()}
    state.numbers = {name: float(_held(number.value, "float32")) for name, number in shadow.numbers.items()}
    return outcome


def _all(state: Any, weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All that an update changes."""
    yield from weights.items()
    for name, held in state.slots.items():
        yield from ((f"{slot} of {name}", values) for slot, values in held.items())
    yield from ((f"average of {name}", values) for name, values in state.average.items())


def _held(values: Any, precision: str) -> Any:
    return np.asarray(values).astype(precision).astype(np.float64)


def drawn(
    rule: Rule, kind: str, precision: str, update: int, weights: Arrays, rng: np.random.Generator
) -> dict[str, Any]:
    """Gradients: of the ordinary stream each fifth is sparse, each fifth zero in a tensor, each tenth zero in all."""
    found = {name: rng.normal(size=w.shape) for name, w in weights.items()}
    if kind == "tiny":
        return {name: g * 1e-30 for name, g in found.items()}
    if kind == "huge":
        squares = not isinstance(rule, (SGD, Lion, Adamax)) or (rule.clip_norm or rule.clip_global_norm) is not None
        huge = 1e15 if squares and precision == "float32" else 1e30  # its square is no float32
        return {name: g * huge for name, g in found.items()}
    if update % 5 == 1:
        return {name: np.where(rng.random(g.shape) < 0.8, 0, g) for name, g in found.items()}
    zero = [*weights][update // 5 % len(weights)] if update % 5 == 3 else "*" if update % 10 == 9 else ""
    return {name: g * 0 if zero in (name, "*") else g for name, g in found.items()}


# What there is


GROUPS = (Group(("*/bias", "norm_0/scale"), rate_factor=2.0, weight_decay=0.0), Group(("conv2d_*",), 0.5, 0.2))
COMMON: Mapping[str, dict[str, Any]] = {
    "": {},
    "L2": {"weight_decay": 0.1, "decay": "l2"},
    "decoupled decay": {"weight_decay": 0.1, "decay": "decoupled"},
    "groups": {"groups": GROUPS, "weight_decay": 0.1},
    "clip_value": {"clip_value": 0.5},
    "clip_norm": {"clip_norm": 0.7},
    "clip_global_norm": {"clip_global_norm": 0.7},
    "average": {"average": Average(0.9)},
    "schedule": {"learning_rate": Warmup(10, Cosine(0.05, ticks=30))},
    "all": {
        "groups": GROUPS,
        "weight_decay": 0.1,
        "clip_global_norm": 0.7,
        "average": Average(0.99),
        "learning_rate": Cosine(0.05, ticks=60),
    },
}
OWN: Mapping[type[Rule], Mapping[str, dict[str, Any]]] = {
    SGD: {"momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}},
    Adam: {"amsgrad": {"amsgrad": True}},
    RMSprop: {"momentum": {"momentum": 0.9}, "centered": {"centered": True}},
    Adagrad: {"accumulator": {"initial_accumulator": 0.3}, "decaying rate": {"rate_decay": 0.1}},
}
ONE = ("keras.adamw", "torch.adamw", "keras.lion")  # the formula of a name before, at other numbers
BEYOND: Mapping[str, tuple[str, dict[str, Any]]] = {  # parts of one dialect in the other
    "SGD, dampened": ("torch.sgd", {"momentum": 0.9, "dampening": 0.3}),
    "RMSprop, epsilon inside": ("torch.rmsprop", {"epsilon_on": "inside", "momentum": 0.9}),
    "RMSprop, velocity of steps": ("torch.rmsprop", {"velocity": "step", "momentum": 0.9}),
    "RMSprop, centered, both": ("rmsprop", {"centered": True, "momentum": 0.9}),
    "Keras' RMSprop, centered, both": ("keras.rmsprop", {"centered": True, "momentum": 0.9}),
}


def cases() -> Iterator[Case]:
    """All of them: each name as it is; of each dialect's every setting, those of momentum in both decays and rates."""
    for name in names():
        if name in ONE or ("." not in name and name != "lion"):
            yield Case(name, "", named(name))
            continue
        own = OWN.get(type(named(name)), {})
        for setting, changes in {**COMMON, **own}.items():
            yield Case(name, setting, named(name, changes))
        for (setting, changes), beside in itertools.product(own.items(), ("L2", "decoupled decay", "groups", "all")):
            yield Case(name, f"{setting}, {beside}", named(name, changes | COMMON[beside]))
    for setting, (name, changes) in BEYOND.items():
        for beside in COMMON:
            yield Case(name, ", ".join(filter(None, (setting, beside))), named(name, changes | COMMON[beside]))
