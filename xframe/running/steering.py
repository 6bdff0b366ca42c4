"""What steers a native loop by the plan's policies: epochs, accumulation windows, validation, the end of training.

For adapters. The framework draws the batches; ``walk`` counts the rows that arrive and states where each
batch stands and what its step ends, and begins new passes where an epoch does. ``Window`` decides after
each step whether the optimizer is due; ``Course`` validates between steps and stops early. All go step by
step and know nothing of ``xframe.plan.counting``, which the recorded run is later compared with.

Where a run stands between two steps is a ``Position``: of the walk, the window and the course. A run that is restored
to it goes on as if it had never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import count
from types import NoneType
from typing import Any, NamedTuple

from xframe.errors import StateError, Verbatim, printable
from xframe.plan.replicas import rows_of_pass
from xframe.plan.stopping import EarlyStopping, StoppingState
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder


@dataclass(frozen=True, slots=True)
class WalkState:
    """Where the next batch begins."""

    epoch: int = 0
    step_in_epoch: int = 0
    pass_index: int = 0  # of its first sample
    offset: int = 0  # of that sample in its pass


@dataclass(frozen=True, slots=True)
class WindowState:
    """What an accumulation window remembers."""

    steps: int = 0  # of the run, made so far
    updates: int = 0  # of the run, due so far
    count: int = 0  # steps in the window
    present: int = 0  # steps, or rows, whose gradients are there; more than the window's own after a leak
    fresh: bool = True  # no gradient is there; what an earlier window left must be zeroed
    over: bool = False  # a limit is reached, or nothing can follow


@dataclass(frozen=True, slots=True)
class CourseState:
    """What a course remembers."""

    counted: int = 0  # the steps, updates or epochs over so far, whichever validations are counted by
    stopped: bool = False  # early stopping has ended training
    stopping: StoppingState | None = None  # None if the plan does not stop early


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands between two steps. ``to_dict`` has JSON's values."""

    walk: WalkState
    window: WindowState
    course: CourseState

    @property
    def over(self) -> bool:
        """Training has ended here."""
        return self.window.over or self.course.stopped

    def to_dict(self) -> dict[str, Any]:
        """As nested objects; JSON has no infinity, and a best value that is one is a text."""
        values = asdict(self)
        stopping = values["course"]["stopping"]
        if stopping is not None and stopping["best"] is not None and math.isinf(stopping["best"]):
            stopping["best"] = str(stopping["best"])
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Position:
        """What ``to_dict`` returned.

        Raises:
            StateError: it is something else.
        """
        try:
            parts = {"walk": WalkState, "window": WindowState, "course": CourseState}
            walk, window, course = (_whole(name, values[name], kind) for name, kind in parts.items())
            if (stopping := course["stopping"]) is not None:
                best = _whole("stopping", stopping, StoppingState)["best"]
                if isinstance(best, bool) or not isinstance(best, (int, float, str, NoneType)) or best in ("nan", ""):
                    raise ValueError(f"best is {best!r}")
                best = None if best is None else float(best)
                course["stopping"] = _checked(StoppingState(**{**stopping, "best": best}))
            states = WalkState(**walk), WindowState(**window), CourseState(**course)
            return cls(*map(_checked, states))
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            what = "a position that no run has"
            raise StateError(what, got=Verbatim(error), expected="what Position.to_dict returns") from None


def _whole(name: str, values: Any, kind: Any) -> dict[str, Any]:
    """The values, if they are all of a state's fields."""
    if not isinstance(values, Mapping) or values.keys() != _KINDS[kind].keys():
        raise ValueError(f"{name} is {printable(values)[:60]}")
    return dict(values)


def _checked(state: Any) -> Any:
    """The state, if its fields are of their types: counts from 0, truth values, and what may be None."""
    for name, kinds in _KINDS[type(state)].items():
        value: Any = getattr(state, name)
        kind = "None" if value is None else type(value).__name__
        if kind not in kinds or (kind == "int" and value < 0) or value != value:
            raise ValueError(f"{name} is {value!r}")
    return state


# By a state's class its fields, each with the names of its types.
_KINDS: Mapping[Any, Mapping[str, list[str]]] = {
    kind: {each.name: str(each.type).split(" | ") for each in fields(kind)}
    for kind in (WalkState, WindowState, CourseState, StoppingState)
}


class Place(NamedTuple):
    """Where a batch stands, and what its step ends."""

    epoch: int
    step_in_epoch: int
    padding: int  # how many of the step's last rows repeat samples to fill it, over all replicas
    ends_pass: bool  # the pass's last sample is in it, or none that is left will be batched
    ends_epoch: bool  # it is the last of its epoch's steps
    exhausts: bool  # the pass is over before the epoch; when the next step is due, that ends the epoch
    last: bool  # nothing can follow
    epochs: int = 0  # that are over after it
    next_pass: int = 0  # where the next batch begins
    next_offset: int = 0
    rows: int = 0  # of the step, over all replicas

    def state(self) -> WalkState:
        """Of the walk after this step."""
        inside = self.step_in_epoch + 1 if self.epochs == self.epoch else 0
        return WalkState(self.epochs, inside, self.next_pass, self.next_offset)


START = WalkState()


def rows_of_ids(batch: tuple[Any, ...]) -> int:
    """Of a batch that has all rows of its step: as many as its last item, the ids."""
    return len(batch[-1])


def pass_indices(plan: TrainingPlan, first: int) -> Iterable[int]:
    """The passes from that one on, by their indices: ``plan.epochs`` if epochs are passes, else without end."""
    bounded = plan.steps_per_epoch is None and plan.epochs is not None
    return range(first, plan.epochs or 0) if bounded else count(first)


def walk(
    plan: TrainingPlan,
    num_samples: int,
    begin: Callable[[int, int], Iterator[tuple[Any, ...]]],
    start: WalkState = START,
    rows: Callable[[tuple[Any, ...]], int] = rows_of_ids,
) -> Iterator[tuple[Place, tuple[Any, ...]]]:
    """Each batch with its place, until the epochs, or the one pass that ``stop`` allows, are over.

    Args:
        plan: its limits of steps and updates are the caller's, see ``Window.over``.
        num_samples: size of the data set.
        begin: called with a pass and an offset in it, returns the batches from there on, cut by the plan's
            remainder policy, pass after pass; after ``plan.epochs`` passes they end if epochs are passes.
            A batch's last item is its ids. The offset is 0 but for the first call.
        start: where the first batch begins: ``Place.state`` of the step before it.
        rows: of a batch, those of its step over all replicas.
    """
    length, policy = plan.steps_per_epoch, plan.on_exhaustion
    carry, restart = plan.remainder == "carry", plan.epoch_iterator == "restart"
    whole = rows_of_pass(plan, num_samples)
    batched = whole - whole % plan.batch_size if plan.remainder == "drop" else whole
    epoch, inside = start.epoch, start.step_in_epoch
    passes, position = start.pass_index, start.offset  # passes that are over; the next sample's offset in its pass
    stream = begin(passes, position)
    while (batch := next(stream, None)) is not None:
        size = rows(batch)
        end, padding = position + size, 0
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
        restarts = restart and (ends_epoch or exhausts)
        if restarts:
            passes, position = passes + (position > 0), 0
        yield Place(epoch, inside, padding, over > 0, ends_epoch, exhausts, last, epochs, passes, position, size), batch
        if last:
            return
        epoch, inside = epochs, inside + 1 if epochs == epoch else 0
        if restarts:
            stream = begin(passes, 0)


class Window:
    """The open accumulation window: which gradients are in it, and when the optimizer is due.

    A step asks ``fresh`` before it adds its gradient, times ``weight``, to those that are there, and
    calls ``close`` after. It has the attributes of ``WindowState``.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan = plan
        self.by_rows = plan.loss_normalization == "samples"  # gradients are weighted with their rows
        self._size, (_, self._most_steps, self._most_updates) = plan.gradient_accumulation_steps, plan.limits
        self.restore(WindowState())

    def state(self) -> WindowState:
        """What it remembers, for ``restore``."""
        return WindowState(self.steps, self.updates, self.count, self.present, self.fresh, self.over)

    def restore(self, state: WindowState) -> None:
        """Goes on from there. The gradients that were there are the caller's to restore."""
        self.steps, self.updates, self.count, self.present = state.steps, state.updates, state.count, state.present
        self.fresh, self.over = state.fresh, state.over

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
            self.over = place.last or self.steps == self._most_steps or self.updates == self._most_updates
            return 1
        self.count += 1
        self.present += self.weight(rows)
        self.fresh = False
        divisor = None
        if self.count == self._size:
            divisor = self._update()
        elif (place.ends_pass and plan.accumulation_boundary == "pass") or (
            place.ends_epoch and plan.accumulation_boundary == "epoch"
        ):
            divisor = self._cut()
        if not self._limit_reached() and place.exhausts and plan.accumulation_boundary == "epoch" and self.count:
            divisor = self._cut()
        self.over = place.last or self._limit_reached()
        if self.over and self.count and plan.accumulation_at_end == "flush":
            divisor = self._update()
        return divisor

    def _limit_reached(self) -> bool:
        return self.steps == self._most_steps or self.updates == self._most_updates

    def _cut(self) -> int | None:
        remainder = self.plan.accumulation_remainder
        if remainder == "flush":
            return self._update()
        if remainder != "carry":
            self.count = 0
        if remainder == "drop":
            self.present, self.fresh = 0, True
        return None

    def _update(self) -> int:
        present, self.present, self.count, self.fresh = self.present, 0, 0, True
        self.updates += 1
        kind = self.plan.loss_normalization
        return self.plan.gradient_accumulation_steps if kind == "window" else 1 if kind in ("sum", None) else present


class Course:
    """What happens between steps: validation when it is due, and the end of training."""

    def __init__(
        self,
        plan: TrainingPlan,
        recorder: Recorder,
        validate: Callable[[], Mapping[str, Any]] | None,
        weights: Callable[[], dict[str, Any]],
    ) -> None:
        """``validate`` returns the arguments of ``recorder.validation``, ``weights`` the model's as they are now."""
        self.plan, self.recorder, self.validate, self.weights = plan, recorder, validate, weights
        self.counted, self.stopped = 0, False
        self.stopping = EarlyStopping(plan) if plan.early_stopping_patience is not None else None
        self.best: dict[str, Any] | None = None  # the best validation's weights, if restored; no part of ``state``

    def state(self) -> CourseState:
        """What it remembers, for ``restore``."""
        return CourseState(self.counted, self.stopped, None if self.stopping is None else self.stopping.state())

    def restore(self, state: CourseState) -> None:
        """Goes on from there."""
        self.counted, self.stopped = state.counted, state.stopped
        if self.stopping is not None and state.stopping is not None:
            self.stopping.restore(state.stopping)

    def due(self, place: Place, window: Window) -> bool:
        """Whether to validate, after a step at that place. To be asked of each step once."""
        every, before = self.plan.validation_every, self.counted
        if every is None:
            return False
        unit = self.plan.validation_unit
        self.counted = place.epochs if unit == "epochs" else window.steps if unit == "steps" else window.updates
        return window.over or self.counted // every > before // every

    def over(self, place: Place, window: Window) -> bool:
        """After a step at that place was recorded: validates if it is due; whether training ends."""
        if self.due(place, window):
            self.check()
        return self.stopped or window.over

    def check(self) -> bool:
        """Validates now; whether training ends early."""
        assert self.validate is not None
        measured = self.validate()
        self.recorder.validation(**measured)
        if self.stopping is not None:
            decision = self.stopping.see(measured[self.plan.early_stopping_monitor or "loss"])
            if decision.improves and self.plan.restore_best:
                self.best = self.weights()
            self.stopped = decision.stops
        return self.stopped

    def final(self) -> dict[str, Any]:
        """The weights that training ends with."""
        return self.best if self.best is not None else self.weights()
