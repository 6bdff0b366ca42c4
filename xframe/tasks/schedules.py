"""Learning rate schedules: a rate for each tick of the plan's ``schedule_clock``. A schedule belongs to a task.

Tick 0 is the first update's (or step's, or epoch's), so ``schedule(0)`` is the rate that training starts with.
Each is a closed form in double precision, the same for every framework; an adapter takes a native scheduler
where that is exactly this, and hands the values to the optimizer where it is not.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from xframe.errors import UsageError, Verbatim, unknown
from xframe.tasks import plain

__all__ = [  # what ``xframe.schedule`` has
    "Constant",
    "Cosine",
    "Exponential",
    "OneCycle",
    "Piecewise",
    "Schedule",
    "Step",
    "Warmup",
]


def _rate(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= sys.float_info.max:
        raise UsageError(f"a schedule's {name}", got=value, expected="a finite number from 0 up")


def _ticks(name: str, value: Any, least: int = 1) -> None:
    if type(value) is not int or value < least:
        raise UsageError(f"a schedule's {name}", got=value, expected=f"an integer from {least} up")


class Schedule:
    """The rate at each tick."""

    def __call__(self, tick: int) -> float:
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """What TOML and JSON can hold: the class by its name as ``schedule``, and every field that has a value."""
        values: dict[str, Any] = {"schedule": type(self).__name__}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Schedule):
                values[field.name] = value.to_dict()
            elif value is not None:
                values[field.name] = list(value) if isinstance(value, tuple) else value
        return values

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.name in ("ticks", "every"):
                _ticks(field.name, value)
            elif field.type == "float" or (field.type == "float | None" and value is not None):
                _rate(field.name, value)


@dataclass(frozen=True)
class Constant(Schedule):
    """Always ``rate``."""

    rate: float

    def __call__(self, tick: int) -> float:
        return self.rate


@dataclass(frozen=True)
class Step(Schedule):
    """``initial · factor^⌊t / every⌋``: torch's StepLR, Keras' ExponentialDecay with ``staircase``."""

    initial: float
    factor: float
    every: int

    def __call__(self, tick: int) -> float:
        return float(self.initial * self.factor ** (tick // self.every))


@dataclass(frozen=True)
class Exponential(Schedule):
    """``initial · factor^(t / every)``: torch's ExponentialLR, Keras' ExponentialDecay."""

    initial: float
    factor: float
    every: int = 1

    def __call__(self, tick: int) -> float:
        return float(self.initial * self.factor ** (tick / self.every))


@dataclass(frozen=True)
class Cosine(Schedule):
    """From ``initial`` to ``final`` along half a cosine of ``ticks``, then flat, as Keras' CosineDecay.

    torch's CosineAnnealingLR is the same up to ``ticks``, and rises again after.
    """

    initial: float
    ticks: int
    final: float = 0.0

    def __call__(self, tick: int) -> float:
        return _cosine(self.initial, self.final, min(tick / self.ticks, 1.0))


@dataclass(frozen=True)
class Piecewise(Schedule):
    """``rates[i]`` until tick ``boundaries[i]``, at which ``rates[i + 1]`` begins: torch's MultiStepLR.

    Keras' PiecewiseConstantDecay keeps a rate at its boundary too, so its boundaries are one less.
    """

    boundaries: tuple[int, ...]
    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("boundaries", "rates"):
            if not isinstance(getattr(self, name), (tuple, list)):
                raise UsageError(
                    f"a piecewise schedule's {name}", got=getattr(self, name), expected="a list of numbers"
                )
        for boundary in self.boundaries:
            _ticks("boundaries", boundary)
        for rate in self.rates:
            _rate("rates", rate)
        if list(self.boundaries) != sorted(set(self.boundaries)) or len(self.rates) != len(self.boundaries) + 1:
            raise UsageError(
                "a piecewise schedule",
                got=Verbatim(f"boundaries {self.boundaries}, rates {self.rates}"),
                expected="rising boundaries, and one rate more than boundaries",
            )

    def __call__(self, tick: int) -> float:
        return float(self.rates[bisect_right(self.boundaries, tick)])


@dataclass(frozen=True)
class Warmup(Schedule):
    """From ``start`` in a straight line to ``then(0)``, which comes at tick ``ticks``; ``then`` goes on from there.

    With the default ``start`` of 0 the first update changes nothing, as with the usual linear warm-ups.
    """

    ticks: int
    then: Schedule
    start: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.then, Schedule):
            raise UsageError("what follows a warm-up", got=self.then, expected="a schedule")

    def __call__(self, tick: int) -> float:
        if tick >= self.ticks:
            return self.then(tick - self.ticks)
        return self.start + (self.then(0) - self.start) * (tick / self.ticks)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """From ``start`` up to ``peak`` and down to ``final`` along cosines, the way up ``warmup`` of all ``ticks``.

    As torch's OneCycleLR with its default shape; ``final`` stays after the last tick.
    """

    peak: float
    ticks: int
    warmup: float = 0.3
    start: float | None = None
    final: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.warmup * self.ticks - 1 < self.ticks - 1:
            raise UsageError(
                "a one-cycle schedule's warmup",
                got=Verbatim(f"{self.warmup} of {self.ticks} ticks"),
                expected="a share below 1 that is more than one tick",
            )

    def __call__(self, tick: int) -> float:
        start = self.peak / 25 if self.start is None else self.start
        final = start / 1e4 if self.final is None else self.final
        top = self.warmup * self.ticks - 1
        if tick <= top:
            return _cosine(start, self.peak, tick / top)
        return _cosine(self.peak, final, min((tick - top) / (self.ticks - 1 - top), 1.0))


def _cosine(start: float, end: float, share: float) -> float:
    """Along half a cosine; exact at both ends."""
    return end + (start - end) * ((1 + math.cos(math.pi * share)) / 2)


KINDS = {kind.__name__: kind for kind in (Constant, Cosine, Exponential, OneCycle, Piecewise, Step, Warmup)}


def from_dict(values: Mapping[str, Any]) -> Schedule:
    """What ``Schedule.to_dict`` returned, or such a table of TOML.

    Raises:
        UsageError: an unknown schedule or field, one that lacks, or a value that the field cannot have.
    """
    name = values.get("schedule")
    if not isinstance(name, str) or name not in KINDS:
        raise unknown("schedule", str(name), KINDS)
    settings = {key: from_dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    del settings["schedule"]
    return plain.made(KINDS[name], settings, f"schedule {name!r}")
