"""A figure that was measured several times: its median, how far it may be off, and how both read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

UNSTABLE = 0.10
ENOUGH = 6  # rounds: the range of n covers a median with 1 - 2^(1-n), of five with less than 95 %


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over rounds and where it lies: with 95 % confidence, or of few rounds their range; None of one."""

    median: float
    low: float | None
    high: float | None
    rounds: int = field(default=ENOUGH, compare=False)

    @classmethod
    def of(cls, samples: Sequence[float]) -> Estimate:
        """The estimate from one sample a round, of which there must be one."""
        middle, rounds = float(np.median(samples)), len(samples)
        if rounds < 2:
            return cls(middle, None, None, rounds)
        if rounds < ENOUGH:
            return cls(middle, float(min(samples)), float(max(samples)), rounds)
        from scipy.stats import bootstrap

        result = bootstrap((np.asarray(samples),), np.median, method="percentile", rng=np.random.default_rng(0))
        return cls(middle, float(result.confidence_interval.low), float(result.confidence_interval.high), rounds)

    @property
    def within(self) -> bool:
        """Whether it reaches no further than 10 % from the median."""
        if self.low is None or self.high is None:
            return False
        return max(self.median - self.low, self.high - self.median) <= UNSTABLE * self.median

    @property
    def stable(self) -> bool:
        """Whether there are enough rounds to say so, and the interval stays within 10 % of the median."""
        return self.rounds >= ENOUGH and self.within

    @property
    def interval(self) -> str:
        """What ``low`` and ``high`` are."""
        return "95 %" if self.rounds >= ENOUGH else f"range of {self.rounds} rounds" if self.rounds > 1 else "one round"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "interval": self.interval, "stable": self.stable}

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{_digits(self.median)} unstable: one round"
        mark = "" if self.stable else "few rounds " if self.within else "unstable "
        return f"{_digits(self.median)} {mark}[{_digits(self.low)}, {_digits(self.high)}]"


def _digits(value: float) -> str:
    """Three decimals of a ratio, none of thousands of samples a second."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def brackets(rounds: int) -> str:
    """What the brackets and marks beside figures of so many rounds are, in a sentence."""
    if rounds < 2:
        return "one round: no figure has an interval"
    wide = f"unstable: they reach further than {UNSTABLE:.0%} from the median".replace("%", " %")
    if rounds < ENOUGH:
        return f"in brackets the range of {rounds} rounds, too few for a 95 % interval: take {ENOUGH} or more; {wide}"
    return f"in brackets 95 % intervals; {wide}"
