"""What two runs of the same steps computed, and what several causes ask of it. Nothing is judged again here.

Where the two differ, and by what tolerance and precision, is the comparison's finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_ROUNDING = 1e-5  # what begins with larger differences is a different computation


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers of the candidate, and of the reference after them."""

    loss: tuple[Floats, Floats] | None = None  # of each step, in pairs of one length; None where a run states none
    lr: tuple[Floats, Floats] | None = None
    loss_differs_at: int | None = None  # the first step beyond the tolerance, or not finite in one run only
    lr_differs_at: int | None = None  # the first step, in the precision that rates are compared in
    weights: bool | None = None  # whether the final ones are the same; None if that cannot be judged
    starts: tuple[str | None, str | None] = (None, None)  # fingerprints of the starting weights, where recorded
    data: tuple[str | None, str | None] = (None, None)  # and of the data

    @property
    def other_data(self) -> bool:
        """Whether the runs are known to hold different data."""
        return None not in self.data and self.data[0] != self.data[1]

    @property
    def other_starts(self) -> bool:
        """Whether they are known to start from different weights."""
        return None not in self.starts and self.starts[0] != self.starts[1]

    @property
    def other_rates(self) -> bool:
        """Whether the learning rates differ, and both are numbers where they first do."""
        if self.lr is None or self.lr_differs_at is None:
            return False
        return not any(np.isnan(rates[self.lr_differs_at]) for rates in self.lr)

    @property
    def stated(self) -> bool:
        """Whether something that the runs state themselves differs: then losses differ for that reason.

        A rate acts on the losses behind its step.
        """
        loss, rate = self.loss_differs_at, self.lr_differs_at
        by_rates = self.other_rates and (loss is None or rate is None or loss > rate)
        return self.other_data or self.other_starts or by_rates

    @property
    def other_losses(self) -> bool:
        """Whether it is the losses that must be explained."""
        return self.loss_differs_at is not None and self.loss is not None and not self.stated

    @cached_property
    def scale(self) -> float | None:
        """The constant ratio of the losses, if there is one that is not 1."""
        if self.loss is None:
            return None
        a, b = (one[: None if self.lr_differs_at is None else self.lr_differs_at + 1] for one in self.loss)
        use = np.isfinite(a) & np.isfinite(b) & (a != 0) & (b != 0)
        if use.sum() < 3 or not np.array_equal(a == 0, b == 0):
            return None
        if np.ptp(b[use]) <= 1e-6 * abs(float(b[use][0])):
            return None  # two constants have a ratio anyway
        ratios = a[use] / b[use]
        middle = float(np.median(ratios))
        if not np.isfinite(middle) or abs(middle - 1) < 1e-3 or middle == 0:
            return None
        return middle if float(np.max(np.abs(ratios / middle - 1))) < 1e-3 else None

    @property
    def constant(self) -> bool:
        """Whether the candidate states the same loss whatever it trains on, and the reference does not."""
        if self.loss is None or self.loss_differs_at is None or len(self.loss[0]) < 3:
            return False
        return bool(np.ptp(self.loss[0]) == 0 and np.ptp(self.loss[1]) != 0)

    @cached_property
    def drifts(self) -> bool:
        """Whether the losses' difference grows little by little from nothing: small ones come before the large."""
        assert self.loss is not None
        assert self.loss_differs_at is not None
        (a, b), step = self.loss, self.loss_differs_at
        by = np.abs(a - b) / np.maximum(np.abs(b), 1e-12)
        before = by[max(0, step - 20) : step]
        if step < 2 or not np.isfinite(by[: step + 1]).all():
            return bool(step == 0 and by[0] < 1e-3) if np.isfinite(by[0]) else False
        small = float(before[before > 0].min()) < _ROUNDING if (before > 0).any() else False
        return bool(small and (before > 0).mean() > 0.5 and by[step] < 20 * max(float(before.max()), 1e-12))
