"""A run's numbers beside a golden's, as far as their structure is the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xframe.comparison.checks.loss import classified
from xframe.comparison.checks.lr import compared
from xframe.comparison.goldens.blessing import moments, weights_digest
from xframe.comparison.goldens.golden import StatedValidation
from xframe.comparison.goldens.structure import Held
from xframe.comparison.pairing import Common
from xframe.comparison.result import Judgement
from xframe.errors import counted


@dataclass(eq=False)
class HeldNumbers:
    """The numbers of one run.

    Attributes:
        worst: by check, the largest difference so far and where.
    """

    held: Held
    worst: dict[str, tuple[float, int | str]] = field(default_factory=dict)

    def judgements(self) -> Iterator[tuple[str, Judgement]]:
        """The judgements of the checks of numbers, by name."""
        stated, trace = self.held.golden.stated, self.held.trace
        yield "lr", self._rates()
        yield "loss", self._losses()
        if stated.numbers.weights_digest or trace.end.get("weights"):
            yield "weights", self._weights()
        if stated.structure.num_validations or trace.validations:
            yield "validation", self._validations()

    def _points(self, column: str) -> Iterator[tuple[int, int, float, float]]:
        """What golden and run both know before their structure differs: single steps, then means of ranges.

        Yields:
            first step, last step, the run's number, the golden's.
        """
        numbers, ranges = self.held.golden.stated.numbers, self.held.golden.stated.structure.ranges
        for row in numbers.steps:
            if getattr(row, column) is not None and row.step < self.held.until:
                value = self.held.run.value(column, row.step)
                if value is not None:
                    yield row.step, row.step, numbers.rounded(value), getattr(row, column)
        for index, (own, stated) in enumerate(zip(self.held.ranges, ranges, strict=False)):
            first, last = self.held.bounds(index)
            if column in own and getattr(stated, column) is not None and last < self.held.until:
                yield first, last, numbers.rounded(own[column]), getattr(stated, column)

    def _holds(self, column: str) -> bool:
        stated = self.held.golden.stated
        return any(getattr(one, column) is not None for one in (*stated.numbers.steps, *stated.structure.ranges))

    def _unjudged(self, column: str) -> Judgement:
        """Where nothing was compared."""
        if not self._holds(column):
            return Judgement("not judged", detail="the golden holds none")
        if self.held.until < self.held.shared or not self.held.until:
            return Judgement("not judged", detail="no step to judge")
        return Judgement(
            "not judged", detail=f"{self.held.run.name} recorded none that the golden holds", undecided=True
        )

    def _rates(self) -> Judgement:
        points = list(self._points("lr"))
        if not points:
            return self._unjudged("lr")
        rates = self.held.run.rows.between(0, self.held.until).column("lr").values
        peak = float(np.abs(np.where(np.isfinite(rates), rates, 0)).max(initial=0.0))
        last, own, expected = (np.array([point[i] for point in points]) for i in (1, 2, 3))
        numbers = self.held.golden.stated.numbers
        unequal, difference, allowed = compared(Common(own, expected, 0, last), peak, numbers.precision)
        unequal &= ~((difference <= allowed + numbers.rounding * np.abs(expected)) & np.isfinite(own + expected))
        self._measure("lr", [(float(value), point[0]) for value, point in zip(difference, points, strict=True)])
        return self._failed_at("lr", points, np.flatnonzero(unequal), "learning rate")

    def _losses(self) -> Judgement:
        points = list(self._points("loss"))
        if not points:
            return self._unjudged("loss")
        own, expected = (np.array([point[i] for point in points]) for i in (2, 3))
        kinds = classified(own), classified(expected)
        finite = (kinds[0] == 0) & (kinds[1] == 0)
        with np.errstate(over="ignore", invalid="ignore"):
            difference = np.where(finite, np.abs(own - expected), 0.0)
            beyond = (finite & (difference > self.held.tolerance.allowed(own, expected))) | (kinds[0] != kinds[1])
        self._measure("loss", [(float(value), point[0]) for value, point in zip(difference, points, strict=True)])
        judged = self._failed_at("loss", points, np.flatnonzero(beyond), "loss")
        if judged.result == "pass" and not finite.all():
            first = min(point[0] for point, one in zip(points, finite, strict=True) if not one)
            return Judgement("not judged", None, f"no finite number in both, from step {first:,} on", undecided=True)
        return judged

    def _measure(self, check: str, found: Sequence[tuple[float, int | str]]) -> None:
        for difference, at in found:
            if check not in self.worst or difference > self.worst[check][0]:
                self.worst[check] = difference, at

    def _failed_at(self, check: str, points: Sequence[Any], wrong: Any, what: str) -> Judgement:
        """A judgement of points, those at ``wrong`` beyond the tolerance; a single step is named before a range."""
        worst = self.worst[check]
        if not len(wrong):
            detail = "" if self.held.whole else f"before step {self.held.until:,}, not judged from there on"
            return Judgement("pass", None, detail, *worst)
        beyond = [points[i] for i in wrong]
        furthest = max(beyond, key=lambda point: _share(point[2], point[3]))
        first, last, own, expected = min(beyond, key=lambda point: (point[0], point[1]))
        self.held.lasts[check] = last
        where, more = _steps(first, last), ""
        if check == "loss" and np.isfinite([own, expected]).all():
            allowed = float(self.held.tolerance.allowed(own, expected))
            more = f", which differ by {abs(own - expected):.3g} where {allowed:.3g} is allowed"
        detail = f"{where}: {what} {self.held.run.name} {own:.9g}, the golden {expected:.9g}{more}"
        share = _share(furthest[2], furthest[3])
        if share > _share(own, expected):
            by = f", by {share:.2%}" if np.isfinite(share) else ""
            largest = f"{_steps(*furthest[:2])} differs most{by}: {what} {furthest[2]:.9g}, the golden "
            detail = f"{largest}{furthest[3]:.9g}; first {detail}"
        return Judgement("fail", first, detail, *worst)

    def _weights(self) -> Judgement:
        numbers, digests = self.held.golden.stated.numbers, self.held.trace.end.get("weights")
        if not self.held.whole:
            return Judgement("not judged", detail="the run and the golden diverge before their end")
        if numbers.weights_digest is None:
            return Judgement("not judged", detail="the golden holds none")
        if not digests:
            return Judgement("not judged", detail=f"{self.held.run.name} recorded no final weights", undecided=True)
        if weights_digest(digests) == numbers.weights_digest:
            return Judgement("pass", worst=0.0)
        arrays = self.held.trace.weights()
        if arrays is None or not numbers.weights:
            return Judgement(
                "not judged", detail="the weights differ, and are not there to be compared", undecided=True
            )
        if len(arrays) != numbers.num_weights:
            return Judgement(
                "fail", detail=f"{self.held.run.name} has {len(arrays):,} weights, the golden {numbers.num_weights:,}"
            )
        found = list[tuple[float, str]]()
        for stated in numbers.weights:
            array = arrays.get(stated.name)
            shape = None if array is None else list(array.shape)
            if array is None or shape != stated.shape:
                return Judgement("fail", detail=f"{stated.name}: shape {shape}, the golden has {stated.shape}")
            own, scale = moments(array, numbers), float(np.abs(array.astype(np.float64)).max())
            pairs = [(own["mean"], stated.mean), (own["rms"], stated.rms), *zip(own["ends"], stated.ends, strict=True)]
            for what, (value, expected) in zip(("mean", "rms", "first", "last"), pairs, strict=True):
                difference = abs(value - expected)
                self._measure("weights", [(float(np.nan_to_num(difference)), stated.name)])
                if not difference <= self.held.tolerance.allowed(scale, expected):
                    detail = f"{stated.name}: {what} {value:.9g}, the golden {expected:.9g}"
                    share = difference / max(scale, abs(expected))
                    found.append((share if np.isfinite(share) else np.inf, detail))
        if found:
            return Judgement("fail", None, max(found, key=lambda one: one[0])[1], *self.worst["weights"])
        detail = f"judged by the moments of {counted(len(numbers.weights), 'array')}"
        return Judgement("pass", None, detail, *self.worst["weights"])

    def _validations(self) -> Judgement:
        stated, own = self.held.golden.stated, self.held.trace.validations
        if not self.held.whole:
            return Judgement("not judged", detail="the run and the golden diverge before their end")
        if len(own) != stated.structure.num_validations:
            times = f"{counted(len(own), 'time')}, the golden has {stated.structure.num_validations:,}"
            return Judgement("fail", None, f"{self.held.run.name} validated {times}")
        compared_any, found = False, list[tuple[float, int, str]]()
        for row in stated.numbers.validations:
            if row.index >= len(own):
                continue
            first = max(row.after - 1, 0)
            for name in ("after", "num_samples", "loss", "accuracy"):
                value, expected = getattr(own[row.index], name), getattr(row, name)
                if value is None or expected is None:
                    continue
                compared_any |= name in ("loss", "accuracy")
                if self._validated_otherwise(name, row, value, expected):
                    detail = (
                        f"validation {row.index} ({name}): {self.held.run.name} {value:.9g}, the golden {expected:.9g}"
                    )
                    found.append((_share(value, expected), first, detail))
        if found:
            largest = max(found, key=lambda one: one[0])  # of equals the first
            detail = largest[2] if largest is found[0] else f"{largest[2]}; first {found[0][2]}"
            return Judgement("fail", found[0][1], detail, *self.worst.get("validation", ()))
        if not compared_any:
            return Judgement("not judged", detail="no outcome of both", undecided=True)
        return Judgement("pass", None, "", *self.worst.get("validation", ()))

    def _validated_otherwise(self, name: str, row: StatedValidation, value: float, expected: float) -> bool:
        if name in ("after", "num_samples"):
            return value != expected
        value = self.held.golden.stated.numbers.rounded(value)
        if not (np.isfinite(value) and np.isfinite(expected)):
            return str(value) != str(expected)
        allowed = float(self.held.tolerance.allowed(value, expected))
        if name == "accuracy":  # one sample may turn by rounding
            allowed = self.held.tolerance.atol + (1.5 / row.num_samples if row.num_samples else 0.0)
        self._measure("validation", [(abs(value - expected), max(row.after - 1, 0))])
        return abs(value - expected) > allowed


def _share(value: float, expected: float) -> float:
    """By what share of the larger two numbers differ; without end where one is none."""
    if not (np.isfinite(value) and np.isfinite(expected)):
        return np.inf
    larger = max(abs(value), abs(expected))
    return float(abs(value - expected) / larger) if larger else 0.0


def _steps(first: int, last: int) -> str:
    return f"step {first:,}" if first == last else f"mean of steps {first:,} to {last:,}"
