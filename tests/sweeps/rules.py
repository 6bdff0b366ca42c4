"""Every rule, dialect and setting: an update of PyTorch's and TensorFlow's compared with NumPy's, 50 updates and more.

Before each update weights, slots and numbers are NumPy's, so that no distance adds up. In float64 weights, averages and
slots lie within 64 eps of the greatest value that their tensor has before or after the update, as no sum is more exact
than its terms. In float32 each element lies within twice what the operations of NumPy's own formula make of float32's
rounding (`_rounding`): twice, since a framework has an order of its own. Distances are those of weights and averages,
shares of the bound those of slots too. Among the gradients are sparse ones, zeros, tiny (1e-30) and huge ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from xframe_numpy import optimizers as reference

from sweeps import Result
from sweeps._rounding import Rounded, constant, rounded
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.tasks.builders import Parameter
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import SGD, Adagrad, Adam, Average, Group, Lion, RMSprop, Rule, named, names
from xframe.tasks.optimizers.adam import Adamax
from xframe.tasks.schedules import Cosine, Warmup

Arrays = dict[str, Any]
ADAPTERS, PRECISIONS = ("torch", "tensorflow"), ("float64", "float32")
BAR, OWN_ORDER = 64.0, 2.0
LAYOUTS = {  # canonical shapes, and the axes that torch has them in
    "conv2d_0/kernel": ((2, 3, 2, 4), (3, 2, 0, 1)),
    "dense_0/kernel": ((7, 5), (1, 0)),
    "dense_0/bias": ((5,), None),
    "norm_0/scale": ((1,), None),
}
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
        rows = [f"{self.cases:,} rules, settings and adapters, {MIXED + 2 * SHORT} updates of each in two precisions"]
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
    shadow.apply(moved, {name: Rounded(g) for name, g in gradients.items()})  # type: ignore[arg-type]
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


# The adapters


class Driver:
    """An adapter's optimizers in one precision."""

    adapter: str
    kind = ""  # what the rule was lowered to

    def __init__(self, precision: str) -> None:
        self.precision, self.runtime = precision, Runtime(device="cpu", precision=precision, threads=1)  # type: ignore[arg-type]
        self.native: Any = registry.load(self.adapter)
        self.native.probe()
        self.native.configure(self.runtime)

    def refusals(self, rule: Rule) -> list[str]:
        """The reasons why the adapter cannot do it."""
        task = replace(find_task("digits-mlp"), optimizer=rule)
        runtime = replace(self.runtime, loop=self.native.loops[0])
        reasons: list[str] = self.native.check(TrainingPlan(batch_size=8, steps=4), task, runtime)
        return reasons

    def begin(self, rule: Rule) -> None:
        """A new optimizer of that rule; what it stands at is ``set``."""
        raise NotImplementedError

    def set(self, state: Any, weights: Arrays) -> None:
        """Goes on from there."""
        raise NotImplementedError

    def update(self, gradients: Arrays, rate: float) -> None:
        """One update at that rate."""
        raise NotImplementedError

    def outcome(self) -> Arrays:
        """Weights, slots and averages."""
        raise NotImplementedError


class Torch(Driver):
    adapter = "torch"

    def begin(self, rule: Rule) -> None:
        import torch
        from xframe_torch import optimizers

        self.made, self.rule, dtype = optimizers, rule, getattr(torch, self.precision)
        self.parameters = {
            name: Parameter(torch.nn.Parameter(self._native(name, np.zeros(shape)).to(dtype)), axes)
            for name, (shape, axes) in LAYOUTS.items()
        }
        self.optimizer, self.clip = optimizers.lower(rule, self.parameters), optimizers.clipping(rule)
        self.averaged = None
        if rule.average is not None:
            self.averaged = optimizers.Averaged(rule.average, self.optimizer, self.parameters)
        self.kind = _kind(self.optimizer, "torch.optim")

    def _native(self, name: str, values: Any) -> Any:
        import torch

        axes = LAYOUTS[name][1]
        return torch.tensor(np.ascontiguousarray(values if axes is None else values.transpose(axes)))

    def set(self, state: Any, weights: Arrays) -> None:
        slots, numbers = reference.read_slots(state), reference.read_numbers(state)
        for name, w in weights.items():
            self.parameters[name].tensor.data.copy_(self._native(name, w))
        self.made.write_slots(self.rule, self.optimizer, self.parameters, slots, numbers)
        if self.averaged is not None:
            self.averaged.begun = state.updates.applied > 0
            for name, values in state.average.items():
                self.averaged.parameters[name].tensor.copy_(self._native(name, values))

    def update(self, gradients: Arrays, rate: float) -> None:
        for name, g in gradients.items():
            tensor = self.parameters[name].tensor
            tensor.grad = self._native(name, g).to(tensor.dtype)
        self.made.set_rate(self.optimizer, rate)
        if self.clip is not None:
            self.clip([parameter.tensor for parameter in self.parameters.values()])
        self.optimizer.step()

    def outcome(self) -> Arrays:
        def canonical(parameters: Mapping[str, Parameter]) -> Arrays:
            return {
                name: one.tensor.detach().numpy()
                if one.axes is None
                else one.tensor.detach().numpy().transpose(np.argsort(one.axes))
                for name, one in parameters.items()
            }

        slots = self.made.read_slots(self.rule, self.optimizer, self.parameters)
        found = {f"{slot} of {name}": v.numpy() for slot, held in slots.items() for name, v in held.items()}
        averages = {} if self.averaged is None else canonical(self.averaged.parameters)
        return canonical(self.parameters) | found | {f"average of {name}": v for name, v in averages.items()}


class TensorFlow(Driver):
    adapter = "tensorflow"

    def begin(self, rule: Rule) -> None:
        import keras
        import tensorflow as tf
        from xframe_tensorflow import optimizers

        self.made, self.rule = optimizers, rule
        self.variables = {
            name: keras.Variable(np.zeros(shape, self.precision), dtype=self.precision)
            for name, (shape, _) in LAYOUTS.items()
        }
        self.parameters = {name: Parameter(variable) for name, variable in self.variables.items()}
        self.optimizer = optimizers.lower(rule, self.precision, self.parameters, slots_are_exact=True)
        self.optimizer.build([*self.variables.values()])
        self.kind = _kind(self.optimizer, "keras.")
        self.apply = tf.function(lambda *gradients: self.optimizer.apply(gradients), autograph=False)

    def set(self, state: Any, weights: Arrays) -> None:
        for name, w in weights.items():
            self.variables[name].assign(w)
        slots = {
            slot: {name: v.astype(self.precision) for name, v in held.items()}
            for slot, held in reference.read_slots(state).items()
        }
        self.made.write_slots(self.rule, self.optimizer, self.parameters, slots)
        self.made.write_numbers(self.rule, self.optimizer, reference.read_numbers(state))
        if self.rule.average is not None:
            self.made.write_average(self.optimizer, self.parameters, state.average)

    def update(self, gradients: Arrays, rate: float) -> None:
        import tensorflow as tf

        self.made.set_rate(self.optimizer, tf.constant(rate, self.precision))
        self.apply(*(tf.constant(g, self.precision) for g in gradients.values()))

    def outcome(self) -> Arrays:
        slots = self.made.read_slots(self.rule, self.optimizer, self.parameters)
        found = {f"{slot} of {name}": v for slot, held in slots.items() for name, v in held.items()}
        averages = self.made.read_average(self.optimizer, self.parameters)
        weights = {name: variable.numpy() for name, variable in self.variables.items()}
        return weights | found | {f"average of {name}": v for name, v in averages.items()}


def _kind(optimizer: Any, native: str) -> str:
    """The class; of one that the adapter made, in italics."""
    kinds = [kind for kind in type(optimizer).__mro__ if not kind.__name__.startswith("_")]
    own = f"{type(optimizer).__module__}.".startswith(native)
    return kinds[0].__name__ if own else f"*{kinds[0].__name__}*"


DRIVERS: Mapping[str, Callable[[str], Driver]] = {"torch": Torch, "tensorflow": TensorFlow}
