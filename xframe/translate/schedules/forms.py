"""Closed forms of schedules beyond those that a task may have, and every one of them as text, a formula of t.

t is the number of the update, from 0. The formula of a form is what its ``__call__`` computes, with the functions of
the place it is written for.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from xframe.tasks.schedules import Constant, Cosine, Exponential, OneCycle, Piecewise, Schedule, Step, Warmup


@dataclass(frozen=True)
class Polynomial(Schedule):
    """``(initial − final) · (1 − t / ticks)^power + final``, then flat."""

    initial: float
    final: float
    ticks: int
    power: float = 1.0

    def __call__(self, tick: int) -> float:
        return float((self.initial - self.final) * (1 - min(tick / self.ticks, 1.0)) ** self.power + self.final)


@dataclass(frozen=True)
class InverseTime(Schedule):
    """``initial / (1 + factor · t / every)``; with ``whole``, of t / every rounded down."""

    initial: float
    factor: float
    every: int
    whole: bool = False

    def __call__(self, tick: int) -> float:
        return self.initial / (1 + self.factor * (tick // self.every if self.whole else tick / self.every))


@dataclass(frozen=True)
class Restarts(Schedule):
    """Half a cosine from ``initial`` to ``final`` again and again, the first of ``ticks``, each ``factor`` longer."""

    initial: float
    ticks: int
    factor: int = 1
    final: float = 0.0

    def __call__(self, tick: int) -> float:
        length = self.ticks
        while tick >= length:
            tick, length = tick - length, length * self.factor
        return self.final + (self.initial - self.final) * (1 + math.cos(math.pi * tick / length)) / 2


@dataclass(frozen=True)
class Joined(Schedule):
    """``parts[i]`` from tick ``boundaries[i − 1]`` on, which counts from 0 there."""

    parts: tuple[Schedule, ...]
    boundaries: tuple[int, ...]

    def __post_init__(self) -> None:
        """Its parts were checked when they were made."""

    def __call__(self, tick: int) -> float:
        part = bisect_right(self.boundaries, tick)
        return self.parts[part](tick - (self.boundaries[part - 1] if part else 0))

    def to_dict(self) -> dict[str, Any]:
        parts = [part.to_dict() for part in self.parts]
        return {"schedule": "Joined", "parts": parts, "boundaries": list(self.boundaries)}


@dataclass(frozen=True)
class Counted(Schedule):
    """``then`` of another count: of ``⌊t / every⌋``, or of ``t · factor + offset``."""

    then: Schedule
    every: int = 1
    factor: int = 1
    offset: int = 0

    def __call__(self, tick: int) -> float:
        return self.then(tick // self.every * self.factor + self.offset)


class Plain:
    """How a formula is written of Python's own numbers."""

    def cos(self, angle: str) -> str:
        return f"math.cos({angle})"

    def least(self, one: str, other: str) -> str:
        return f"min({one}, {other})"

    def whole(self, share: str) -> str:
        return f"math.floor({share})"

    def where(self, condition: str, one: str, other: str) -> str:
        return f"({one} if {condition} else {other})"


class Arrays(Plain):
    """How it is written of arrays, with the functions of a module."""

    def __init__(self, module: str) -> None:
        self.module = module

    def cos(self, angle: str) -> str:
        return f"{self.module}.cos({angle})"

    def least(self, one: str, other: str) -> str:
        return f"{self.module}.minimum({one}, {other})"

    def whole(self, share: str) -> str:
        return f"{self.module}.floor({share})"

    def where(self, condition: str, one: str, other: str) -> str:
        return f"{self.module}.where({condition}, {one}, {other})"


def formula(form: Schedule, place: Plain, t: str = "t") -> str:
    """The rate as text, of a number of updates ``t``."""
    match form:
        case Constant(rate):
            return repr(rate)
        case Step(initial, factor, every):
            return f"{initial} * {factor} ** {place.whole(f'{t} / {every}')}"
        case Exponential(initial, factor, every):
            return f"{initial} * {factor} ** ({t} / {every})"
        case Cosine(initial, ticks, final):
            return _cosine(initial, final, place.least(f"{t} / {ticks}", "1.0"), place)
        case Polynomial(initial, final, ticks, power):
            share = f"(1.0 - {place.least(f'{t} / {ticks}', '1.0')})"
            return f"{initial - final} * {share} ** {power} + {final}"
        case InverseTime(initial, factor, every, whole):
            share = place.whole(f"{t} / {every}") if whole else f"{t} / {every}"
            return f"{initial} / (1.0 + {factor} * {share})"
        case Piecewise(boundaries, rates):
            text = repr(rates[-1])
            for boundary, rate in zip(reversed(boundaries), reversed(rates[:-1]), strict=True):
                text = place.where(f"{t} < {boundary}", repr(rate), text)
            return text
        case Warmup(ticks, then, start):
            rise = f"{start} + {then(0) - start} * {t} / {ticks}"
            return place.where(f"{t} < {ticks}", rise, formula(then, place, f"({t} - {ticks})"))
        case Joined(parts, boundaries):
            text = formula(parts[-1], place, f"({t} - {boundaries[-1]})")
            for i in reversed(range(len(boundaries))):
                begun = f"({t} - {boundaries[i - 1]})" if i else t
                text = place.where(f"{t} < {boundaries[i]}", formula(parts[i], place, begun), text)
            return text
        case Counted(then, every, factor, offset):
            ticks_so_far = place.whole(f"{t} / {every}") if every > 1 else t
            scaled = f"({ticks_so_far} * {factor} + {offset})"
            return formula(then, place, ticks_so_far if factor == 1 and not offset else scaled)
        case OneCycle():
            return _one_cycle(form, place, t)
    raise NotImplementedError(type(form).__name__)


def _one_cycle(form: OneCycle, place: Plain, t: str) -> str:
    start = form.peak / 25 if form.start is None else form.start
    final = start / 1e4 if form.final is None else form.final
    top = form.warmup * form.ticks - 1
    up = _cosine(start, form.peak, f"{t} / {top}", place)
    share = place.least(f"({t} - {top}) / {form.ticks - 1 - top}", "1.0")
    return place.where(f"{t} <= {top}", up, _cosine(form.peak, final, share, place))


def _cosine(start: float, end: float, share: str, place: Plain) -> str:
    return f"{end} + {start - end} * (1.0 + {place.cos(f'{math.pi} * {share}')}) / 2.0"
