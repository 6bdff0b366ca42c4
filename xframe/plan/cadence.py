"""Where passes, epochs and windows of a plan end, as arithmetic on step numbers.

The rules are ``TrainingPlan``'s. Nothing here walks through the run or holds an array of the data set's size: a step's
place is a few divisions, and so is the number of updates up to it, because the ends that cut accumulation windows come
at regular places:

    period    after ``M`` steps everything repeats: a pass, an epoch, or as many steps as it takes a
              stream of n samples in batches of b to come out even
    cut i     of a period (from 1) follows its step min(⌈i·x/y⌉, M), for whole numbers x and y
    segment   the steps between two cuts; there are only two lengths, ⌊x/y⌋ and one more, so the
              updates of any number of segments are a sum of two products

Methods take whole numbers, or arrays of them. Indices are 0-based, counts are ``num_*``. Adapters may not use this:
what they do must be their own doing.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Any

from xframe.errors import PlanError
from xframe.plan.fields import sample_count
from xframe.plan.problems import never_updates
from xframe.plan.replicas import rows_of_pass

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan


class Cadence:
    """A plan over n samples as arithmetic.

    Attributes:
        num_samples: n.
        rows_of_pass: m, what batches are cut of: n, but where passes are made even for replicas.
        batch_size, window: samples in a full batch, steps in a full window.
        carry, restart, short, stop: whether the plan says so (``remainder``, ``epoch_iterator``, ``on_exhaustion``).
        steps_per_pass: of a whole pass; 0 for the endless stream of ``carry``.
        trained_of_pass: rows of these steps, padding included.
        steps_per_epoch: of a full epoch; 0 for the epochs of n samples into which such a stream is divided.
        restart_after: steps after which ``restart`` begins a new pass.
        num_steps: of the run.
        num_updates: of the run.
        ended_by_exhaustion: the run's last step ended its epoch only because the pass was over.
        stopped: the end of a pass ended the run before any limit.
        left_open: steps in the window that was open when training stopped.
        stream_passes: passes after which an endless stream ends all the same; None: it does not.

    Raises:
        PlanError: ``num_samples`` is no count, the plan does not fit it, or the run would never end.
    """

    def __init__(self, plan: TrainingPlan, num_samples: int) -> None:
        n = self.num_samples = sample_count(num_samples)
        m = self.rows_of_pass = rows_of_pass(plan, n)
        self.plan, self.batch_size, self.window = plan, plan.batch_size, plan.gradient_accumulation_steps
        self.carry, s = plan.remainder == "carry", plan.steps_per_epoch
        self.restart = plan.epoch_iterator == "restart"
        self.short = plan.on_exhaustion == "short_epoch"
        self.stop = plan.on_exhaustion == "stop"
        pass_ = self.steps_per_pass = 0 if self.carry else _steps_per_pass(plan, m)
        self.trained_of_pass = pass_ * self.batch_size if plan.remainder in ("drop", "pad") else m
        self.steps_per_epoch = s or pass_
        self.restart_after = min(s or 0, pass_) if self.restart and (self.short or self.stop) else s or 0
        self.stream_passes = plan.limits.epochs if self.carry and s is None else None
        self.stopped = False
        self._cut()
        self._limit()

    # Where the ends of passes and epochs cut windows

    def _cut(self) -> None:
        """Sets the period of the cuts, their places in it, and the updates of a period."""
        n, b, s, pass_ = self.num_samples, self.batch_size, self.steps_per_epoch, self.steps_per_pass
        by_pass = self.plan.accumulation_boundary == "pass"
        self._flush = self.plan.accumulation_remainder == "flush"
        cuts: tuple[int, int, int, int] | None  # x, y, cuts in a period, steps of a period
        if self.window == 1 or self.plan.accumulation_remainder == "carry":
            cuts = None
        elif self.carry:
            if s and not by_pass:
                cuts = s, 1, 1, s
            elif self.restart:
                cuts = n, b, s * b // n, s
            else:
                common = gcd(n, b)
                cuts = n, b, b // common, n // common
        elif by_pass and not self.restart:
            cuts = pass_, 1, 1, pass_
        elif by_pass:
            cuts = pass_, 1, self.restart_after // pass_, self.restart_after
        elif self.restart:
            cuts = self.restart_after, 1, 1, self.restart_after
        elif (self.short or self.stop) and s < pass_:
            cuts = s, 1, -(-pass_ // s), pass_
        elif self.short or self.stop:
            cuts = pass_, 1, 1, pass_
        else:
            cuts = s, 1, 1, s
        self._x, self._y, self._cuts, self._period = (1, 1, 0, 0) if cuts is None or not cuts[2] else cuts
        if not self._cuts:
            return
        last = self._cut_at(self._cuts)
        self._first = self._cut_at(1)
        # Steps after a period's last cut; they belong to the first segment of the next.
        self._tail = self._period - last
        rest = self._in_segments(self._cuts - 1)
        if self._cuts > 1:
            rest += self._in_segment(last - self._cut_at(self._cuts - 1))
        self._first_period = self._in_segment(self._first) + rest
        self._later_period = self._in_segment(self._tail + self._first) + rest

    def _cut_at(self, i: Any) -> Any:
        """The steps of a period up to its cut i (from 1; at 0: none)."""
        at = -(-i * self._x // self._y)
        return _least(at, self._period)

    def _in_segment(self, steps: Any) -> Any:
        """Updates in a window's worth of steps that ends in a cut."""
        return -(-steps // self.window) if self._flush else steps // self.window

    def _in_segments(self, i: Any) -> Any:
        """Updates from a period's cut 1 to its cut i, where every segment is ⌊x/y⌋ or ⌊x/y⌋ + 1 long."""
        short = self._x // self._y
        long_ones = -(-i * self._x // self._y) - self._first - (i - 1) * short
        updates = long_ones * self._in_segment(short + 1) + (i - 1 - long_ones) * self._in_segment(short)
        return updates * (i > 0)

    def _so_far(self, steps: Any) -> tuple[Any, Any]:
        """Updates after that many steps, and the steps since the last cut."""
        if not self._cuts:
            return 0 * steps, steps
        periods, inside = _divmod(steps, self._period)
        later = _least(periods, 1)
        i = _least(inside * self._y // self._x, self._cuts)
        begun = self._first + later * self._tail
        updates = (self._first_period + (periods - 1) * self._later_period) * later
        updates = updates + (self._in_segment(begun) + self._in_segments(i)) * (i > 0)
        return updates, inside - self._cut_at(i) + (1 - _least(i, 1)) * later * self._tail

    def updates(self, steps: Any) -> Any:
        """Updates applied when that many steps were made, the cut at the last of them included."""
        updates, since = self._so_far(steps)
        return updates + since // self.window

    def open_steps(self, steps: Any) -> Any:
        """Steps in the window that is open then."""
        return self._so_far(steps)[1] % self.window

    @property
    def cut_every(self) -> int | None:
        """The steps between two cuts, where there are always equally many."""
        return self._period if self._cuts == 1 and not self._tail else None

    @property
    def leaves_leftovers(self) -> bool:
        """Whether some cut comes inside a window."""
        return bool(self._cuts) and (self.cut_every is None or self.cut_every % self.window > 0)

    def turns(self, count: int) -> set[int]:
        """After how many steps the first few passes, epochs and periods of cuts end."""
        lengths = {self.steps_per_pass, self.steps_per_epoch, self.restart_after, self._period} - {0}
        ends = {i * length for length in lengths for i in range(1, count + 1)}
        return ends | {i * self.num_samples // self.batch_size for i in range(1, count + 1)}

    def step_of_update(self, update: int) -> int | None:
        """How many steps it takes to apply that many updates; None if they never come."""
        if not self._cuts:
            return int(update * self.window)
        if not self._later_period and update > self._first_period:
            return None
        low: int = 0
        high: int = self._period * (update // max(self._later_period, 1) + 2)
        while high - low > 1:
            middle = (low + high) // 2
            if self.updates(middle) < update:
                low = middle
            else:
                high = middle
        return high

    # Where the run ends

    def _limit(self) -> None:
        """Sets the number of steps and updates, from whatever ends the run first."""
        limits, pass_ = self.plan.limits, self.steps_per_pass
        ends = [] if limits.steps is None else [limits.steps]
        if limits.epochs is not None:
            ends.append(self.steps_of_epochs(limits.epochs))
        if limits.updates is not None and (reached := self.step_of_update(limits.updates)) is not None:
            ends.append(reached)
        if self.stop and (not self.restart or self.steps_per_epoch > pass_):
            self.stopped = pass_ < min(ends, default=pass_ + 1)
            ends.append(pass_)
        if not ends:
            raise never_updates(self.plan, max(self._tail + self._first, -(-self._x // self._y)))
        total = self.num_steps = min(ends)
        # The exhaustion of a pass shows when the next step is due: not if a limit has stopped the run before.
        exhausted = self._exhausts(total) and total != limits.steps
        cut_by_it = self._exhausts(total) and self.plan.accumulation_boundary == "epoch" and bool(self._cuts)
        at_once, still_open = self.updates(total), self.open_steps(total)
        if cut_by_it:
            at_once, since = self._so_far(total - 1)
            at_once, still_open = at_once + (since + 1) // self.window, (since + 1) % self.window
        self.ended_by_exhaustion = exhausted and at_once != limits.updates
        if cut_by_it and self.ended_by_exhaustion:
            at_once, still_open = self.updates(total), 0
        flush = self.plan.accumulation_at_end == "flush" and still_open > 0
        self.num_updates = at_once + flush
        self.left_open = still_open

    @property
    def leaves_epoch_unfinished(self) -> bool:
        """Whether a limit stopped the run at the end of a pass, before that could end the epoch."""
        return self._exhausts(self.num_steps) and not self.ended_by_exhaustion

    def _exhausts(self, steps: int) -> bool:
        """Whether the step before leaves an unfinished epoch and a pass that is over, and the plan minds."""
        if not (self.short or self.stop):
            return False
        if self.restart:
            return self.restart_after < self.steps_per_epoch and steps % self.restart_after == 0
        inside = steps % self.steps_per_pass if self.short else steps - self.steps_per_pass
        return inside == 0 and self.steps_per_pass % self.steps_per_epoch != 0

    def steps_of_epochs(self, epochs: int) -> int:
        """How many steps that many epochs have."""
        if not self.steps_per_epoch:
            return -(-epochs * self.num_samples // self.batch_size)
        if self.restart:
            return epochs * self.restart_after
        if self.short:
            passes, left = divmod(epochs, self._epochs_per_pass())
            return passes * self.steps_per_pass + min(left * self.steps_per_epoch, self.steps_per_pass)
        return epochs * self.steps_per_epoch

    def _epochs_per_pass(self) -> int:
        """Into how many epochs short_epoch cuts a pass."""
        return -(-self.steps_per_pass // self.steps_per_epoch)

    # A step's place

    def place(self, index: Any) -> tuple[Any, Any, Any, Any]:
        """Epoch, step in epoch, and the first sample's pass and position in it."""
        n, b, length = self.num_samples, self.batch_size, self.steps_per_epoch
        if not length:
            epoch, position = _divmod(index * b, n)
            return epoch, index + -epoch * n // b, epoch, position
        if self.restart:
            epoch, inside = _divmod(index, self.restart_after)
            if self.carry:
                pass_, position = _divmod(inside * b, n)
                return epoch, inside, epoch * -(-length * b // n) + pass_, position
            pass_, step = _divmod(inside, self.steps_per_pass)
            return epoch, inside, epoch * -(-self.restart_after // self.steps_per_pass) + pass_, step * b
        if self.carry:
            pass_, position = _divmod(index * b, n)
        else:
            pass_, step = _divmod(index, self.steps_per_pass)
            position = step * b
            if self.short:
                epoch, inside = _divmod(step, length)
                return pass_ * self._epochs_per_pass() + epoch, inside, pass_, position
        epoch, inside = _divmod(index, length)
        return epoch, inside, pass_, position

    def sizes(self, index: Any, position: Any) -> tuple[Any, Any]:
        """Rows of a step whose first sample stands at that position, and how many of them are padding."""
        n, b = self.num_samples, self.batch_size
        if self.stream_passes is not None:
            return _least(b + 0 * index, self.stream_passes * n - index * b), 0 * index
        if self.carry:
            return b + 0 * index, 0 * index
        size = _least(b + 0 * index, self.trained_of_pass - position)
        padding = position + size - n
        return size, padding * (padding > 0)

    def rows(self, steps: int) -> int:
        """Rows of that many steps of a stream, where only the last of one that ends has a short batch."""
        rows = steps * self.batch_size
        return rows if self.stream_passes is None else min(rows, self.stream_passes * self.num_samples)

    def largest_product(self, steps: int) -> int:
        """A bound of all numbers that arise for that many steps; beyond int64 only Python's integers hold them."""
        n, b = self.num_samples, self.batch_size
        epoch = (self.steps_per_epoch or 0) * b // n  # passes of one
        return 4 * max(steps * b, n + 2 * b, epoch, (self.stream_passes or 0) * n, self._period * self._y)

    @property
    def missing_of_pass(self) -> int:
        """Rows that a pass's last batch has less than the others."""
        return self.steps_per_pass * self.batch_size - self.trained_of_pass

    @property
    def padded_of_pass(self) -> int:
        """Padding rows in a pass's last batch."""
        return max(0, self.trained_of_pass - self.num_samples)

    @property
    def dropped_of_pass(self) -> int:
        """Samples that are left out of a pass."""
        return max(0, self.num_samples - self.trained_of_pass)

    def ended_passes(self) -> int:
        """Passes whose last batch was trained."""
        total, pass_ = self.num_steps, self.steps_per_pass
        if not pass_:
            return 0
        if not self.restart:
            return total // pass_
        epochs, inside = divmod(total, self.restart_after)
        return epochs * (self.restart_after // pass_) + inside // pass_

    def steps_of_completed_epochs(self) -> int | None:
        """Their common number of steps; None if they differ or there is none."""
        total, length, n = self.num_steps, self.steps_per_epoch, self.num_samples
        if not length:
            epochs, each = self.rows(total) // n, -(-n // self.batch_size)
            # No epoch has more steps than the first, so the sum decides.
            return each if epochs and -(-epochs * n // self.batch_size) == epochs * each else None
        whole = self.restart_after if self.restart else length
        unfinished = self.leaves_epoch_unfinished
        if self.restart or not (self.short or self.stop):
            return whole if total // whole - unfinished > 0 else None
        passes = total // self.steps_per_pass
        rest = self.steps_per_pass % length
        shortened = passes - unfinished if rest else 0
        full = self.steps_per_pass >= length and total >= length
        if shortened > 0:
            return None if full else rest
        return length if full else None


def _least(a: Any, b: Any) -> Any:
    """The lesser of two numbers, or of each pair from two arrays."""
    return a - (a - b) * (a > b)


def _divmod(a: Any, b: int) -> tuple[Any, Any]:
    """Of numbers and of arrays of them, Python's own integers included, for which NumPy has no divmod."""
    return a // b, a % b


def _steps_per_pass(plan: TrainingPlan, rows: int) -> int:
    full, rest = divmod(rows, plan.batch_size)
    if plan.remainder in ("keep", "pad"):
        return full + (rest > 0)
    if plan.remainder == "error" and rest:
        raise PlanError(
            f"remainder 'error' refuses {rows:,} samples in batches of {plan.batch_size:,}",
            got=rest,
            expected="0 samples left over",
            remedy="Choose a batch_size that divides the number of samples, or another remainder, such as 'keep'.",
        )
    if not full:
        raise PlanError(
            "remainder 'drop' leaves no batch at all: the data set is smaller than one batch",
            got=rows,
            expected=f"at least {plan.batch_size:,} samples",
            remedy="Use a smaller batch_size, or remainder 'keep'.",
        )
    return full
