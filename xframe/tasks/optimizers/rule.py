"""What every update rule has: a rate, weight decay, groups of parameters, clipping, averaged weights.

In all formulas w is a parameter, g its gradient, a the learning rate, and t the number of this update, from 1. An
update is made in this order: the gradient of its accumulation window; clipping; decay; the rule; averaging.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from xframe.errors import UsageError, Verbatim, unknown
from xframe.tasks import plain
from xframe.tasks.schedules import Schedule

CLIPS = ("clip_value", "clip_norm", "clip_global_norm")
Decay = Literal["l2", "decoupled"]
_hints = cache(get_type_hints)  # to find them takes longer than to write a small checkpoint


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are updated by other numbers than the rest.

    Attributes:
        parameters: canonical names or patterns of them, such as ``"*/bias"``; the first group that has a name counts.
        rate_factor: what the rule's learning rate is multiplied by.
        weight_decay: instead of the rule's; None leaves that.
    """

    parameters: tuple[str, ...]
    rate_factor: float = 1.0
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        names = self.parameters
        if not isinstance(names, tuple) or not names or not all(isinstance(name, str) and name for name in names):
            raise UsageError("a group's parameters", got=names, expected="a tuple of names or patterns")
        for name in ("rate_factor", "weight_decay"):
            value = getattr(self, name)
            if not (_real(value) and value >= 0) and not (name == "weight_decay" and value is None):
                raise UsageError(f"a group's {name}", got=value, expected="a finite number from 0 up")

    def holds(self, name: str) -> bool:
        """Whether the parameter of that canonical name is one of these."""
        return any(fnmatchcase(name, pattern) for pattern in self.parameters)


@dataclass(frozen=True, slots=True)
class Average:
    """Averaged weights, kept beside those that are trained: ``average ← decay · average + (1 − decay) · w``.

    Up to the first update, that one included, they are the weights themselves. They do not change the training.

    Attributes:
        decay: from 0 up to below 1.
        clock: after each update that was applied, or after each step, one that only accumulates included.
        final: whether a run ends with the averaged weights, as Keras' ``fit`` does, or with those that were trained.
    """

    decay: float
    clock: Literal["updates", "steps"] = "updates"
    final: bool = False

    def __post_init__(self) -> None:
        if not _real(self.decay) or not 0 <= self.decay < 1:
            raise UsageError("an average's decay", got=self.decay, expected="a number from 0 up to below 1")
        if self.clock not in ("updates", "steps"):
            raise unknown("clock", str(self.clock), ("updates", "steps"))
        if not isinstance(self.final, bool):
            raise UsageError("an average's final", got=self.final, expected="True or False")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Rule:
    """What all rules have. Fields are checked by their names and types when a rule is made.

    Attributes:
        learning_rate: a number, or an ``xframe.schedule`` in ticks of the plan's ``schedule_clock``.
        weight_decay: see ``decay``; 0 is none.
        decay: ``l2`` adds ``weight_decay · w`` to the clipped gradient, so that it goes through the rule as the
            gradient does; ``decoupled`` makes ``w ← w − a · weight_decay · w`` before the rule.
        groups: parameters with a rate or a decay of their own.
        clip_value: each element of the gradient is cut to within plus or minus this.
        clip_norm: the gradient of each variable is scaled down to at most this norm.
        clip_global_norm: all gradients are scaled down together to at most this norm.
        average: keeps averaged weights.
    """

    learning_rate: float | Schedule = field(kw_only=False)
    weight_decay: float = 0.0
    decay: Decay = "l2"
    groups: tuple[Group, ...] = ()
    clip_value: float | None = None
    clip_norm: float | None = None
    clip_global_norm: float | None = None
    average: Average | None = None

    # What the rule keeps for each parameter, by the names that a state has for them.
    slots: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        kind: Any = type(self)
        what, hints = kind.__name__, _hints(kind)
        for each in fields(self):
            name, value, hint = each.name, getattr(self, each.name), hints[each.name]
            if name in ("groups", "average"):
                continue
            if words := [word for word in get_args(hint) if isinstance(word, str)]:
                if value not in words:
                    raise unknown(f"{what} {name}", str(value), words)
            elif hint is bool:
                if not isinstance(value, bool):
                    raise UsageError(f"{what}'s {name}", got=value, expected="True or False")
            else:
                self._check_number(name, value, optional=type(None) in get_args(hint))
        clips = {name: getattr(self, name) for name in CLIPS if getattr(self, name) is not None}
        if len(clips) > 1 or not all(0 < value < math.inf for value in clips.values()):
            expected = f"at most one of {', '.join(CLIPS)}, a number above 0"
            raise UsageError(f"{what}'s clipping", got=Verbatim(clips), expected=expected)
        if not isinstance(self.groups, tuple) or not all(isinstance(group, Group) for group in self.groups):
            raise UsageError(f"{what}'s groups", got=self.groups, expected="a tuple of xframe.optimizers.Group")
        if self.average is not None and not isinstance(self.average, Average):
            raise UsageError(f"{what}'s average", got=self.average, expected="an xframe.optimizers.Average or None")

    def _check_number(self, name: str, value: Any, *, optional: bool) -> None:
        what, scheduled = type(self).__name__, name == "learning_rate" and self.scheduled
        if not (_real(value) or scheduled or (optional and value is None)):
            expected = "a finite number" + (" or an xframe.schedule" if name == "learning_rate" else "")
            raise UsageError(f"{what}'s {name}", got=value, expected=expected)
        if scheduled or value is None:
            return
        if (name.startswith("beta") and name != "beta2_power") or name in ("rho", "momentum"):
            if not 0 <= value < 1:
                raise UsageError(f"{what}'s {name}", got=value, expected="a number from 0 up to below 1")
        elif (name in ("learning_rate", "weight_decay") or name.startswith("epsilon")) and value < 0:
            raise UsageError(f"{what}'s {name}", got=value, expected="a number from 0 up")

    def rate(self, tick: int) -> float:
        """The learning rate at that tick of the plan's ``schedule_clock``."""
        return self.learning_rate(tick) if isinstance(self.learning_rate, Schedule) else float(self.learning_rate)

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate is a schedule."""
        return isinstance(self.learning_rate, Schedule)

    def kept(self) -> tuple[str, ...]:
        """Which of ``slots`` this rule keeps, by its numbers: no velocity without momentum."""
        return self.slots

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """The slots that this rule keeps for a parameter of that canonical shape, with theirs."""
        return dict.fromkeys(self.kept(), shape)

    def factor(self, name: str) -> float:
        """What the learning rate is multiplied by for the parameter of that canonical name."""
        group = self._group(name)
        return 1.0 if group is None else group.rate_factor

    def decay_of(self, name: str) -> float:
        """The weight decay of the parameter of that canonical name."""
        group = self._group(name)
        return self.weight_decay if group is None or group.weight_decay is None else group.weight_decay

    @property
    def decays(self) -> bool:
        """Whether any parameter may decay."""
        return bool(self.weight_decay) or any(group.weight_decay for group in self.groups)

    def check_names(self, names: Sequence[str]) -> None:
        """That each group has parameters among those of a model.

        Raises:
            UsageError: a pattern fits none of these names.
        """
        for group in self.groups:
            for pattern in group.parameters:
                if not any(fnmatchcase(name, pattern) for name in names):
                    raise UsageError(
                        f"{type(self).__name__}'s groups: no parameter has this name",
                        got=pattern,
                        expected=f"one of {', '.join(names)}, or a pattern of them",
                    )

    def _group(self, name: str) -> Group | None:
        return next((group for group in self.groups if group.holds(name)), None)

    def __repr__(self) -> str:
        """With the fields that are not at their defaults."""
        _, *settings = plain.changed(self)
        return f"{type(self).__name__}({', '.join([repr(self.learning_rate), *sorted(settings)])})"

    def to_toml(self) -> str:
        """``to_dict`` as a file that ``--optimizer`` takes."""
        return "".join(f"{name} = {_toml(value)}\n" for name, value in self.to_dict().items())

    def to_dict(self) -> dict[str, Any]:
        """What TOML and JSON can hold: the class by its name, and every field that has a value."""
        values: dict[str, Any] = {"rule": type(self).__name__}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Schedule):
                values[each.name] = value.to_dict()
            elif isinstance(value, Average):
                values[each.name] = _set(value)
            elif each.name == "groups" and value:
                values[each.name] = [_set(group) | {"parameters": list(group.parameters)} for group in value]
            elif value not in (None, ()):
                values[each.name] = value
        return values


def _real(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _toml(value: Any) -> str:
    """A value in TOML, in one line; numbers, words and truth values are written as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(held)}" for name, held in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _set(value: Any) -> dict[str, Any]:
    """The fields that have a value."""
    held = {each.name: getattr(value, each.name) for each in fields(value)}
    return {name: number for name, number in held.items() if number is not None}
