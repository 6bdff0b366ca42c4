"""Ways to make an update: a rule of the catalogue, and with it what implementations do that no rule of it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from types import SimpleNamespace
from typing import Any, get_type_hints

import numpy as np

from xframe.errors import UsageError
from xframe.numerics.naming.observed import Block, Update
from xframe.tasks.optimizers import SGD, Adadelta, Adafactor, Adagrad, Adam, Adamax, Lion, NAdam, RMSprop, Rule
from xframe.tasks.optimizers.dialects import RULES, named, names
from xframe.tasks.schedules import Schedule

# What no rule has, with the value at which a way is its rule.
BEYOND: Mapping[str, Any] = {
    "gradient": 1.0,  # what the gradient is multiplied by before all else
    "direction": "down",  # or up: the step is added
    "correction": "",  # which moments are corrected for their start: both, first, second, none; "" is the rule's own
    "ticks": 0,  # by how many updates the number of the update is ahead in the correction and the like
    "decay_at": "before",  # the rule; or after it; or before it and without the rate
    "decays": "groups",  # as the rule's groups have it; matrices alone; all parameters
    "damps": "later",  # dampening of the first gradient too: always
    "blend": "",  # the first moment as a plain sum: sum
    "rate_tick": 0,  # by how many ticks the rate is ahead of its schedule
    "factors": (),  # pairs of a parameter and what its rate is multiplied by
}
_WORDS: Mapping[type[Rule], tuple[str, ...]] = {  # places of epsilon, the rules' own and others
    Adam: ("corrected", "uncorrected", "inside", "inside uncorrected"),
    NAdam: ("corrected", "uncorrected", "inside", "inside uncorrected"),
    Adamax: ("gradient", "norm"),
    RMSprop: ("outside", "inside"),
    Adagrad: ("outside", "inside"),
    Adadelta: ("inside", "outside"),
    Adafactor: ("square", "clamp"),
}
_OWN = {NAdam: "corrected", Adadelta: "inside"}  # where a rule has no word for it
_CORRECTED = {Adam: "both", NAdam: "both", Adamax: "first", RMSprop: "none"}  # what a rule itself corrects
_EPSILONS = (0.0, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make an update.

    Attributes:
        kind: the rule's class.
        settings: its fields, the learning rate as the number that it is at this update, and ``BEYOND``.
        schedule: what the rule states for its rate.
        changed: which settings are not as stated.
    """

    kind: type[Rule]
    settings: Mapping[str, Any]
    schedule: Schedule | None = None
    changed: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, rule: Rule, tick: int = 0) -> Way:
        """The rule as it is, at that tick of its schedule."""
        held = {each.name: getattr(rule, each.name) for each in fields(rule)}
        held["learning_rate"] = rule.rate(tick)
        held.setdefault("epsilon_on", _OWN.get(type(rule), ""))
        # Keras corrects moments in the weights' own precision.
        rounds = held["epsilon_on"] in ("uncorrected", "norm") or held.get("momentum_decay") == 1
        own = {"correction": _CORRECTED.get(type(rule), ""), "rounds_corrections": rounds}
        schedule = rule.learning_rate if isinstance(rule.learning_rate, Schedule) else None
        return cls(type(rule), {**held, **BEYOND, **own}, schedule)

    def otherwise(self, **settings: Any) -> Way:
        """The same with these settings; which ones changed is noted."""
        changed = tuple(dict.fromkeys((*self.changed, *settings)))
        return replace(self, settings={**self.settings, **settings}, changed=changed)

    def __getitem__(self, name: str) -> Any:
        return self.settings[name]

    def numbers(self) -> list[str]:
        """Those of its settings that a fit may move."""
        own = [name for name in _floats(self.kind) if name in self.settings]
        idle = set() if self.settings.get("momentum") else {"momentum", "dampening"}
        idle |= {"dampening"} if self.settings.get("velocity") == "step" else set()
        return ["learning_rate", *(name for name in own if name not in idle), "gradient"]

    def plain(self) -> SimpleNamespace:
        """As a formula reads a rule."""
        return SimpleNamespace(slots=self.kind.slots, **self.settings)

    def kept(self) -> tuple[str, ...]:
        """The slots it keeps."""
        return self.kind.kept(self.plain())  # type: ignore[arg-type]

    def rates(self, block: Block) -> Any:
        """The learning rate of each parameter of a block."""
        factors = dict(self["factors"])
        own = [self._group(name, "rate_factor", 1.0) * factors.get(name, 1.0) for name in block.names]
        return self["learning_rate"] * block.spread(own)

    def decays(self, block: Block) -> Any:
        """The weight decay of each parameter of a block."""
        stated = self["weight_decay"]
        if self["decays"] == "all":
            return stated
        if self["decays"] == "matrices":
            return block.spread([stated if axes > 1 else 0.0 for axes in block.axes])
        if not self["groups"]:
            return stated
        return block.spread([self._group(name, "weight_decay", stated) for name in block.names])

    def _group(self, name: str, what: str, otherwise: float) -> float:
        group = next((one for one in self["groups"] if one.holds(name)), None)
        value = None if group is None else getattr(group, what)
        return otherwise if value is None else value

    @property
    def in_catalogue(self) -> bool:
        """Whether its formula is that of a rule, whatever is done before and after it."""
        words = ("", *_rule_words(self.kind))
        own = self["correction"] == _CORRECTED.get(self.kind, "") and not self["blend"]
        return own and self["epsilon_on"] in words

    def rule(self) -> Rule | None:
        """It as a rule, at a constant rate; None where no rule is this way."""
        free = ("correction", "rate_tick")
        if not self.in_catalogue or any(self[name] != one for name, one in BEYOND.items() if name not in free):
            return None
        held = {each.name: self[each.name] for each in fields(self.kind)}
        try:
            return self.kind(**{name: _number(value) for name, value in held.items()})
        except UsageError:
            return None


@cache
def _all_floats() -> Mapping[str, tuple[str, ...]]:
    """Of each rule those of its fields that are numbers and nothing else."""
    hints = {name: get_type_hints(kind) for name, kind in RULES.items()}
    return {
        name: tuple(each for each, hint in held.items() if hint is float and each != "initial_accumulator")
        for name, held in hints.items()
    }


def _floats(kind: type[Rule]) -> tuple[str, ...]:
    return _all_floats()[kind.__name__]


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _rule_words(kind: type[Rule]) -> tuple[str, ...]:
    words = _WORDS.get(kind, ())
    return (_OWN[kind],) if kind in _OWN else words[:2]


def stated_ways(rule: Rule, update: Update) -> list[Way]:
    """A stated rule as it may be at this update: which clock its schedule has is not known from one step."""
    if not rule.scheduled:
        return [Way.of(rule)]
    ticks = dict.fromkeys((update.number - 1, update.step))
    ways = {rule.rate(tick): Way.of(rule, tick) for tick in reversed(ticks)}
    agreeing = [way for rate, way in ways.items() if update.rate is not None and np.isclose(rate, update.rate)]
    return agreeing or list(reversed(ways.values()))


def single_changes(way: Way, update: Update) -> Iterator[Way]:
    """The way with one thing changed, the likelier first; numbers that are fitted are apart."""
    kind = way.kind
    for word in _WORDS.get(kind, ()):
        if word != way["epsilon_on"]:
            yield way.otherwise(epsilon_on=word)
    if "epsilon" in way.settings:
        yield from (way.otherwise(epsilon=one) for one in _EPSILONS if one != way["epsilon"])
    yield from _other_decays(way, update)
    yield from _other_moments(way, update)
    yield from _other_velocities(way)
    if way.schedule is not None:
        ticks = {tick: way.schedule(tick) for tick in (update.number, update.number - 2, update.step + 1) if tick >= 0}
        for tick, rate in ticks.items():
            if rate != way["learning_rate"]:
                yield way.otherwise(learning_rate=rate, rate_tick=1 if tick > update.number - 1 else -1)
    yield way.otherwise(direction="up")


def _other_decays(way: Way, update: Update) -> Iterator[Way]:
    yield way.otherwise(decay="l2" if way["decay"] == "decoupled" else "decoupled")
    if not way["weight_decay"] and not way["groups"]:
        return
    if any(axes < 2 for block in update.blocks for axes in block.axes):
        yield way.otherwise(decays="matrices")
        if way["groups"]:
            yield way.otherwise(decays="all")
    for place in ("after", "without the rate"):
        coupled = way["decay"] != "decoupled"
        yield way.otherwise(decay_at=place, **({"decay": "decoupled"} if coupled else {}))
    yield way.otherwise(weight_decay=0.0, groups=tuple(replace(one, weight_decay=0.0) for one in way["groups"]))


def _other_moments(way: Way, update: Update) -> Iterator[Way]:
    kind = way.kind
    if kind in _CORRECTED:
        words = {Adamax: ("first", "none"), RMSprop: ("none", "second")}.get(kind, ("both", "none", "first", "second"))
        yield from (way.otherwise(correction=word) for word in words if word != way["correction"])
    if kind in (Adam, NAdam, Adamax, Adafactor):
        yield from (way.otherwise(ticks=by) for by in (-1, 1) if update.number + by > 0)
    if kind is Adam:
        yield way.otherwise(amsgrad=not way["amsgrad"])
    if kind is RMSprop:
        yield way.otherwise(centered=not way["centered"])
    if kind is NAdam:
        yield from (way.otherwise(momentum_decay=one) for one in (4e-3, 1.0) if one != way["momentum_decay"])
    if kind in (Adam, NAdam, Adamax, Lion):
        yield way.otherwise(beta1=way["beta2"], beta2=way["beta1"])
    if kind in (Adam, NAdam, Adamax):
        yield way.otherwise(blend="sum")
    if kind is Lion:  # of whose step only the sign is seen, to which nothing can be fitted
        yield from (way.otherwise(beta1=one) for one in (0.5, 0.8, 0.9, 0.95, 0.99) if one != way["beta1"])


def _other_velocities(way: Way) -> Iterator[Way]:
    if way.kind not in (SGD, RMSprop):
        return
    if not way["momentum"]:
        yield way.otherwise(momentum=0.9)
        return
    yield way.otherwise(velocity="step" if way["velocity"] == "gradient" else "gradient")
    yield way.otherwise(momentum=0.0)
    if way.kind is SGD:
        yield way.otherwise(nesterov=not way["nesterov"])
        yield way.otherwise(dampening=0.0 if way["dampening"] else way["momentum"])
        if way["dampening"]:
            yield way.otherwise(damps="always")
        else:
            yield way.otherwise(dampening=way["momentum"], damps="always")


def catalogue(stated: Rule | None) -> list[Way]:
    """Every rule of the catalogue once, as it is by name; of one class, those with the stated one's numbers first."""
    ways: dict[tuple[Any, ...], Way] = {}
    for name in names():
        rule = named(name)
        if stated is not None:
            rate, decay = stated.rate(0), stated.weight_decay
            rule = replace(rule, learning_rate=rate or rule.learning_rate, weight_decay=decay or rule.weight_decay)
        way = Way.of(rule)
        words = tuple(way.settings.get(one) for one in ("epsilon_on", "velocity", "nesterov", "amsgrad", "decay"))
        ways.setdefault((way.kind, *words, bool(way.settings.get("momentum"))), way)
    assert {way.kind for way in ways.values()} == {*RULES.values()}
    return list(ways.values())
