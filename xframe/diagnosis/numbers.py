"""What two runs of the same steps computed, and what several causes ask of it. Nothing is judged again here.

Where the two differ, and by what tolerance and precision, is the comparison's finding. A number that was not recorded
is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.comparison.checks.lr import behind, share
from xframe.comparison.readings import ROUNDINGS, SEVERAL
from xframe.diagnosis.evidence import Evidence
from xframe.precision import epsilon, rounding
from xframe.trace.rows import Rows

Floats = NDArray[np.float64]
Sizes = tuple[tuple[int, int], ...]  # of batches: pairs of a size and how many times in a row it came
# Rounding begins at a few units in the last place and grows from there, in training that is unstable by a third a step.
_SMALL = 16  # units that are no more than that
_AT_FIRST = 4
_A_STEP = 1.35
_JUMP = 100  # times as much as before, which one step makes of no rounding
_FIRST_FEW, _FEWEST = 12, 8  # losses of nearly the first weights
_TOGETHER = 0.9  # at which two rows of losses go up and down with the same batches
ACCEPTED = (0.01, 0.01)  # relative and absolute tolerance, offered for what no two frameworks compute alike
_HALFWAY = 8  # times as much as halfway; what is added up step by step makes it twice, or four times


class Outcome(NamedTuple):
    """A validation of the same samples, as far as known, whose outcomes differ."""

    step: int
    samples: str  # on which both validated
    batch_sizes: tuple[Sizes | None, Sizes | None]  # of the candidate and the reference, where recorded
    apart: float = 0.0  # by which share of the larger the outcomes differ
    unidentified: bool = False  # a side did not record which samples these are
    accepted: bool = True  # by the tolerance that fixes offer
    training: tuple[bool | None, bool | None] = (None, None)  # whether each was in training mode, where recorded


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
    applied: NDArray[np.bool_] | None = None  # the steps that an update follows, if updates were counted
    precision: str = "float32"
    device: str = "cpu"
    accuracy_differs_at: int | None = None
    validation: Outcome | None = None  # the first that differs, if it was of the same samples
    rounded: frozenset[str] = frozenset()  # failed checks whose numbers agree by the default tolerance
    may_fold: bool = True  # one of them may put the rate into the velocity, as Keras does, and the other not, as torch
    before: NDArray[np.int64] | None = None  # updates made before each step
    totals: tuple[int, int] = (0, 0)  # updates in all, or steps where updates were not counted
    weights_text: str = ""  # which of the final weights differ, and how far
    evidence: Evidence = field(default_factory=Evidence)  # what was recorded beside

    @property
    def other_data(self) -> bool:
        """Whether the runs are known to hold different data."""
        return None not in self.data and self.data[0] != self.data[1]

    @property
    def other_starts(self) -> bool:
        """Whether they are known to start from different weights."""
        return None not in self.starts and self.starts[0] != self.starts[1]

    @property
    def same_data(self) -> bool:
        """Whether they are known to hold the same data."""
        return (None not in self.data and self.data[0] == self.data[1]) or self.evidence.same_inputs

    @property
    def same_starts(self) -> bool:
        """Whether they are known to start from the same weights."""
        return None not in self.starts and self.starts[0] == self.starts[1]

    @property
    def other_rates(self) -> bool:
        """Whether the learning rates differ, and both are numbers where they first do."""
        if self.lr is None or self.lr_differs_at is None:
            return False
        return not any(np.isnan(rates[self.lr_differs_at]) for rates in self.lr)

    @cached_property
    def only_recorded(self) -> bool:
        """Whether losses agree, as closely as rounding lets them, where they must show by what the rates differ."""
        if self.lr is None or self.loss is None or self.applied is None or not self.other_rates:
            return False
        a, b = self.loss
        rows = behind(share(*self.lr) * self.applied)
        rows = rows[np.isfinite(a[rows]) & np.isfinite(b[rows])][:SEVERAL]
        if len(rows) < SEVERAL:
            return False
        closely = ROUNDINGS * epsilon(self.precision) * np.abs(b[rows])
        return bool((np.abs(a - b)[rows] <= closely).all() and np.ptp(b[rows]) > closely.max())

    def last_known(self, of: tuple[Floats, Floats] | None, before: int | None) -> int:
        """The last step before that one, or of all, at which both runs recorded these; -1 if there is none."""
        known = np.array([]) if of is None else np.flatnonzero(~np.isnan(of[0][:before]) & ~np.isnan(of[1][:before]))
        return int(known[-1]) if len(known) else -1

    @property
    def stated(self) -> bool:
        """Whether something that the runs state themselves differs: then losses differ for that reason.

        A rate acts on the losses behind its step, if it is what was trained with, or behind a step before it at which
        it was not recorded.
        """
        loss, rate = self.loss_differs_at, self.lr_differs_at
        rate = None if rate is None else self.last_known(self.lr, rate) + 1
        by_rates = self.other_rates and not self.only_recorded and (loss is None or rate is None or loss > rate)
        return self.other_data or self.other_starts or by_rates

    @property
    def other_losses(self) -> bool:
        """Whether it is the losses that must be explained."""
        return self.loss_differs_at is not None and self.loss is not None and not self.stated

    @property
    def ends_unseen(self) -> bool:
        """Whether final weights differ, no loss does, and more losses lack at the end than between two recorded."""
        if (
            self.weights is not False
            or "weights" in self.rounded
            or self.loss is None
            or self.loss_differs_at is not None
        ):
            return False
        known = np.flatnonzero(~np.isnan(self.loss[0]) & ~np.isnan(self.loss[1]))
        between = int(np.diff(known).max()) if len(known) > 1 else 0
        return len(self.loss[0]) > 0 and (not len(known) or int(known[-1]) + between < len(self.loss[0]) - 1)

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
    def go_together(self) -> bool:
        """Whether the first losses go up and down together, their trends aside: an easy batch is easy in both runs, as
        where the same samples go through nearly the same weights. Either may have recorded means since the start."""
        if self.loss is None:
            return False
        a, b = self.loss
        rows = np.flatnonzero(np.isfinite(a) & np.isfinite(b))[:_FIRST_FEW]
        if len(rows) < _FEWEST:
            return False
        a, b = a[rows], b[rows]
        pairs = [(a, b)]
        if rows[-1] == len(rows) - 1:
            pairs += [(np.diff(a * (rows + 1), prepend=0), b), (a, np.diff(b * (rows + 1), prepend=0))]
        return any(_together(*pair) for pair in pairs)

    @cached_property
    def drifts(self) -> bool:
        """Whether the losses' difference is rounding's: of that size, or grown from it as errors grow that training
        amplifies, and not as what is added step by step."""
        assert self.loss is not None
        assert self.loss_differs_at is not None
        until = self.loss_differs_at + 1
        a, b = (one[:until] for one in self.loss)
        if not (np.isfinite(a[-1]) and np.isfinite(b[-1])):
            return False
        units = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b)) / rounding(self.precision, self.device)
        largest = np.maximum.accumulate(np.nan_to_num(units))
        if largest[-1] <= _SMALL:
            return True
        if until > 1 and np.isfinite(units[-2]) and largest[-1] > _JUMP * max(float(largest[-2]), _AT_FIRST):
            return False
        grows = largest <= _AT_FIRST * _A_STEP ** np.arange(until)
        halfway = largest[until // 2]
        return bool(grows.all() and 0 < _HALFWAY * halfway <= largest[-1])


def numbers_of(rows: Rows, name: str) -> Floats:
    """A column of numbers, NaN where nothing was recorded."""
    values, known = rows.column(name)
    return values if known is None else np.where(known, values, np.nan)


def same_losses(candidate: Rows, reference: Rows, start: int, stop: int) -> bool:
    """Whether several losses of these steps are known, vary, and agree as closely as rounding lets them."""
    if any("loss" not in rows.known for rows in (candidate, reference)):
        return False
    a, b = (numbers_of(rows, "loss")[start:stop] for rows in (candidate, reference))
    known = np.isfinite(a) & np.isfinite(b)
    closely = ROUNDINGS * epsilon("float32") * np.abs(b[known])
    if known.sum() < SEVERAL or (np.abs(a - b)[known] > closely).any():
        return False
    return bool(np.ptp(b[known]) > closely.max())


def _together(a: Floats, b: Floats) -> bool:
    """Whether what these are off their trends by is nearly the same, up to a factor."""
    at = np.arange(len(a))
    off = [one - np.polyval(np.polyfit(at, one, 2), at) for one in (a, b)]
    size = float(np.linalg.norm(off[0]) * np.linalg.norm(off[1]))
    return size > 0 and float(np.dot(*off)) >= _TOGETHER * size
