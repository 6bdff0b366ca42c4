"""Numbers with a bound of what float32 makes of them: a formula is run on them, and its operations make the bound.

Each operation rounds its result by half a unit in the last place (and may flush a tiny one to 0), and carries on the
errors of what it is made of, by first principles: nothing here is fitted to what a framework does.
"""

from __future__ import annotations

import copy
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np

UNIT, TINY, MOST = 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max)


class Rounded:
    """A value in float64, and by how much the same computed in float32 may be off."""

    __array_priority__ = 1000

    def __init__(self, value: Any, error: Any = 0.0, *, by: int = 0) -> None:
        """``by``: how often this result was rounded."""
        self.value, self.error = np.asarray(value, np.float64), np.asarray(error, np.float64)
        if by:
            size = np.abs(self.value)
            self.error = self.error + by * UNIT * size + np.minimum(size, TINY)
            if size.size and size.max() > MOST:
                self.error = np.where(size > MOST, np.inf, self.error)

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **_: Any) -> Any:
        first, *rest = (one if isinstance(one, Rounded) else Rounded(one) for one in operands)
        return getattr(first, _UFUNCS[ufunc.__name__])(*rest)

    @property
    def ndim(self) -> int:
        return self.value.ndim

    def copy(self) -> Rounded:
        return Rounded(self.value.copy(), self.error.copy())

    def __getitem__(self, at: Any) -> Rounded:
        return Rounded(self.value[at], self.error[at])

    def __bool__(self) -> bool:
        return bool(self.value)

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > _value(other))

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < _value(other))

    def __add__(self, other: Any) -> Rounded:
        return Rounded(self.value + _value(other), self.error + _error(other), by=1)

    def __neg__(self) -> Rounded:
        return Rounded(-self.value, self.error)

    def __sub__(self, other: Any) -> Rounded:
        return self + -other

    def __rsub__(self, other: Any) -> Rounded:
        return -self + other

    def __isub__(self, other: Any) -> Rounded:
        less = self - other
        self.value, self.error = less.value, less.error
        return self

    def __mul__(self, other: Any) -> Rounded:
        a, b, e, f = np.abs(self.value), np.abs(_value(other)), self.error, _error(other)
        return Rounded(self.value * _value(other), a * f + e * b + e * f, by=1)

    def __truediv__(self, other: Any) -> Rounded:
        b, f = np.abs(_value(other)), _error(other)
        with np.errstate(all="ignore"):
            quotient = self.value / _value(other)
            error = (self.error + np.abs(quotient) * f) / (b - f)
        return Rounded(quotient, np.where(b > f, error, np.inf), by=1)

    def __rtruediv__(self, other: Any) -> Rounded:
        return Rounded(other) / self

    def __pow__(self, power: Any) -> Rounded:
        if power == 2:
            return self * self
        if power == 0.5:
            return self.sqrt()
        with np.errstate(all="ignore"):
            relative = abs(power) * self.error / np.abs(self.value)
        result = self.value**power
        return Rounded(result, np.where(self.error > 0, np.abs(result) * relative, 0), by=3)

    def __rpow__(self, base: Any) -> Rounded:
        """Of a base that float32 rounds too."""
        result = base**self.value
        return Rounded(result, result * (np.abs(np.log(base)) * self.error + np.abs(self.value) * UNIT), by=3)

    def sqrt(self) -> Rounded:
        value = np.where((self.value < 0) & (self.value >= -self.error), 0, self.value)
        root, least = np.sqrt(value), np.sqrt(np.maximum(value - self.error, 0))
        return Rounded(root, np.maximum(np.sqrt(value + self.error) - root, root - least), by=1)

    def __abs__(self) -> Rounded:
        return Rounded(np.abs(self.value), self.error)

    def maximum(self, other: Any) -> Rounded:
        return Rounded(np.maximum(self.value, _value(other)), np.maximum(self.error, _error(other)))

    def sign(self) -> Rounded:
        """Of what may be on the other side of 0, either sign."""
        return Rounded(np.sign(self.value), np.where(self.error < np.abs(self.value), 0, 2.0 * (self.error > 0)))

    def clip(self, least: Any, most: Any, **_: Any) -> Rounded:
        return Rounded(np.clip(self.value, _value(least), _value(most)), np.maximum(self.error, _error(most)))

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Rounded:
        """In any order."""
        along = {"axis": axis, "keepdims": keepdims}
        terms = self.value.size // max(1, np.sum(self.value, **along).size)
        error = np.sum(self.error, **along) + terms * UNIT * np.sum(np.abs(self.value), **along)
        return Rounded(np.sum(self.value, **along), error)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Rounded:
        total = self.sum(axis, keepdims=keepdims)
        return total / (self.value.size // total.value.size)

    __radd__, __rmul__ = __add__, __mul__


_UFUNCS = {
    "add": "__add__",
    "subtract": "__sub__",
    "multiply": "__mul__",
    "divide": "__truediv__",
    "absolute": "__abs__",
    "negative": "__neg__",
    **{name: name for name in ("sqrt", "maximum", "sign")},
}


def _value(one: Any) -> Any:
    return one.value if isinstance(one, Rounded) else np.asarray(one, np.float64)


def _error(one: Any) -> Any:
    return one.error if isinstance(one, Rounded) else 0.0


def constant(number: float) -> Rounded:
    """A number that is written down, as float32 has it."""
    return Rounded(number, abs(float(np.float32(number)) - number))


def rounded(rule: Any) -> Any:
    """The rule with all its numbers as float32 has them."""
    shadow = copy.copy(rule)
    for each in fields(rule):
        value = getattr(rule, each.name)
        if type(value) in (int, float):
            object.__setattr__(shadow, each.name, constant(value))
    if rule.average is not None:
        average = SimpleNamespace(decay=constant(rule.average.decay), clock=rule.average.clock)
        object.__setattr__(shadow, "average", average)
    return shadow
