"""What steers a native loop by the plan's policies: epochs, accumulation windows, validation, the end of training.

For adapters. The framework draws the batches; ``walk`` counts the rows that arrive and says where each
batch stands and what its step ends, and begins new passes where an epoch does. ``Window`` says after
each step whether the optimizer is due; ``Course`` validates between steps and stops early. All go step by
step and know nothing of ``xframe.plan.counting``, which the recorded run is later held against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from xframe.plan.stopping import EarlyStopping
from xframe.plan.training_plan import TrainingPlan

if TYPE_CHECKING:
    from xframe.recording.recorder import Recorder


class Place(NamedTuple):
    """Where a batch stands, and what its step ends.

    Attributes:
        epoch, step_in_epoch: 0-based.
        padding: how many of its last rows repeat samples to fill it.
        ends_pass: the pass's last sample is in it, or none that is left will be batched.
        ends_epoch: it is the last of its epoch's steps.
        exhausts: the pass is over before the epoch; when the next step is due, that ends the epoch.
        last: nothing can follow.
        epochs: that are over after it.
    """

    epoch: int
    step_in_epoch: int
    padding: int
    ends_pass: bool
    ends_epoch: bool
    exhausts: bool
    last: bool
    epochs: int = 0


def walk(
    plan: TrainingPlan, num_samples: int, begin: Callable[[int], Iterator[tuple[Any, ...]]]
) -> Iterator[tuple[Place, tuple[Any, ...]]]:
    """Each batch with its place, until the epochs, or the one pass that ``stop`` allows, are over.

    Args:
        plan: its limits of steps and updates are the caller's, see ``Window.over``.
        num_samples: size of the data set.
        begin: called with the index of a pass, returns the batches from its start on, cut by the plan's
            remainder policy, pass after pass; after ``plan.epochs`` passes they end if epochs are passes.
            A batch's last item is its ids.
    """
    length, policy = plan.steps_per_epoch, plan.on_exhaustion
    carry, restart = plan.remainder == "carry", plan.epoch_iterator == "restart"
    batched = num_samples - num_samples % plan.batch_size if plan.remainder == "drop" else num_samples
    epoch = inside = passes = position = 0  # passes: over so far; position: of the next sample in its pass
    stream = begin(0)
    while (batch := next(stream, None)) is not None:
        if length is None and passes != epoch:
            epoch, inside = passes, 0
        end, padding = position + len(batch[-1]), 0
        if carry:
            over, position = divmod(end, num_samples)
        else:
            over, padding = int(end >= batched), max(0, end - num_samples)
            position = 0 if over else end
        passes += over
        ends_epoch = over > 0 if length is None else inside + 1 == length
        exhausts = over > 0 and not ends_epoch and policy in ("short_epoch", "stop")
        epochs = passes if length is None else epoch + (ends_epoch or exhausts)
        stopped = over > 0 and policy == "stop" and (exhausts or not restart)
        last = stopped or (plan.epochs is not None and epochs >= plan.epochs)
        yield Place(epoch, inside, padding, over > 0, ends_epoch, exhausts, last, epochs), batch
        if last:
            return
        inside += 1
        if length is not None and (ends_epoch or exhausts):
            epoch, inside = epoch + 1, 0
            if restart:
                passes, position = passes + (position > 0), 0
                stream = begin(passes)


class Window:
    """The open accumulation window: which gradients are in it, and when the optimizer is due.

    A step asks ``fresh`` before it adds its gradient, times ``weight``, to those that are there, and
    calls ``close`` after.

    Attributes:
        fresh: no gradient is there; what an earlier window left must be zeroed.
        over: a limit is reached, or nothing can follow.
        steps, updates: made and due so far.
        by_rows: gradients are weighted with their rows.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan = plan
        self.fresh, self.over = True, False
        self.steps = self.updates = 0  # of the run
        self.by_rows = plan.loss_normalization == "samples"
        self._size, self._limits = plan.gradient_accumulation_steps, plan.limits
        self._count = 0  # steps in the window
        self._present = 0  # steps, or rows, whose gradients are there; more than the window's own after a leak

    def tick(self, place: Place) -> int:
        """Of the learning rate schedule, at the step that is to be made. An update that is skipped ticks too."""
        clock = self.plan.schedule_clock
        return place.epoch if clock == "epochs" else self.steps if clock == "steps" else self.updates

    def weight(self, rows: int) -> int:
        """What the mean gradient of a step with that many rows is multiplied with."""
        return rows if self.by_rows else 1

    def close(self, place: Place, rows: int) -> int | None:
        """After a step: the number to divide the summed gradients by for an update that is due, or None."""
        plan = self.plan
        self.steps += 1
        if self._size == 1:  # every step has its update
            self.updates += 1
            self.over = place.last or self._limit_reached()
            return 1
        self._count += 1
        self._present += self.weight(rows)
        self.fresh = False
        divisor = None
        if self._count == self._size:
            divisor = self._update()
        elif (place.ends_pass and plan.accumulation_boundary == "pass") or (
            place.ends_epoch and plan.accumulation_boundary == "epoch"
        ):
            divisor = self._cut()
        if not self._limit_reached() and place.exhausts and plan.accumulation_boundary == "epoch" and self._count:
            divisor = self._cut()
        self.over = place.last or self._limit_reached()
        if self.over and self._count and plan.accumulation_at_end == "flush":
            divisor = self._update()
        return divisor

    def _limit_reached(self) -> bool:
        return self.steps == self._limits.steps or self.updates == self._limits.updates

    def _cut(self) -> int | None:
        remainder = self.plan.accumulation_remainder
        if remainder == "flush":
            return self._update()
        if remainder != "carry":
            self._count = 0
        if remainder == "drop":
            self._present, self.fresh = 0, True
        return None

    def _update(self) -> int:
        present, self._present, self._count, self.fresh = self._present, 0, 0, True
        self.updates += 1
        kind = self.plan.loss_normalization
        return self.plan.gradient_accumulation_steps if kind == "window" else 1 if kind in ("sum", None) else present


class Course:
    """What happens between steps: validation when it is due, and the end of training.

    Attributes:
        stopping: the decisions made so far, if the plan stops early.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        recorder: Recorder,
        validate: Callable[[], Mapping[str, Any]] | None,
        weights: Callable[[], dict[str, Any]],
    ) -> None:
        """Args:
        plan: says when.
        recorder: takes what a validation found.
        validate: one validation; returns the arguments of ``recorder.validation``.
        weights: the model's weights as they are now.
        """
        self.plan, self.recorder, self.validate, self.weights = plan, recorder, validate, weights
        self.stopping = EarlyStopping(plan) if plan.early_stopping_patience is not None else None
        self._count = 0
        self._best: dict[str, Any] | None = None

    def due(self, place: Place, window: Window) -> bool:
        """Whether to validate, after a step at that place."""
        every, before = self.plan.validation_every, self._count
        if every is None:
            return False
        unit = self.plan.validation_unit
        self._count = place.epochs if unit == "epochs" else window.steps if unit == "steps" else window.updates
        return window.over or self._count // every > before // every

    def over(self, place: Place, window: Window) -> bool:
        """After a step at that place was recorded: validates if it is due; whether training ends."""
        stops = self.due(place, window) and self.check()
        return stops or window.over

    def check(self) -> bool:
        """Validates now; whether training ends early."""
        assert self.validate is not None
        found = self.validate()
        self.recorder.validation(**found)
        if self.stopping is None:
            return False
        decision = self.stopping.see(found[self.plan.early_stopping_monitor or "loss"])
        if decision.improves and self.plan.restore_best:
            self._best = self.weights()
        return decision.stops

    def final(self) -> dict[str, Any]:
        """The weights that training ends with."""
        return self._best if self._best is not None else self.weights()
