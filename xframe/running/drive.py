"""The one loop of all adapters that go step by step: draw a batch, train on it, record it, validate, stop.

An adapter brings what its framework does, as ``Stepwise`` names it: a pipeline whose batches are drawn by
``xframe.running.steering.walk``, a training step that asks its ``Window`` when to update, a validation. What each
step saw comes back from it as ``Seen`` and goes to the recorder as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from xframe.plan.replicas import shared_padding
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running.checkpoints import NONE, Checkpoints
from xframe.running.runtime import Runtime
from xframe.running.steering import Course, Place, Position, WalkState, Window, rows_of_ids, walk
from xframe.running.training import Training
from xframe.tasks.task import Task


class Seen(NamedTuple):
    """What one step saw and did, numbers or tensors of any framework; see ``Recorder.step``."""

    ids: Any  # that stood beside the data in the step
    updates: Any  # applied so far: a number, or what watches the optimizer and counts them
    loss: Any
    learning_rate: Any
    accuracy: Any = None  # if the task asks for it
    update_attempts: Any = None  # updates tried so far, if they can differ from those applied
    weights_mark: Any = None  # of a replica; see ``Recorder.step``


class Batch(NamedTuple):
    """Samples of a step: where they stand in the run, features and targets, and the ids that stand beside them."""

    place: Place
    features: Any
    targets: Any
    ids: Any

    def take(self, rows: Any) -> Batch:
        """The same batch with its samples picked by position."""
        return self._replace(features=self.features[rows], targets=self.targets[rows], ids=self.ids[rows])


class Batches:
    """The batches of a run, from ``start`` on; an adapter's pipeline brings ``begin``, as ``walk`` calls it."""

    kind: Callable[..., Any] = Batch
    rows: Callable[[tuple[Any, ...]], int] = staticmethod(rows_of_ids)  # of a batch's step, over all replicas

    def __init__(self, plan: TrainingPlan, num_samples: int) -> None:
        self.plan, self.num_samples, self.start = plan, num_samples, WalkState()

    def __iter__(self) -> Iterator[Any]:
        for place, batch in walk(self.plan, self.num_samples, self.begin, self.start, self.rows):
            yield self.kind(place, *batch)

    def begin(self, first_pass: int, offset: int) -> Iterator[tuple[Any, ...]]:
        """Features, targets and ids of each batch from there on."""
        raise NotImplementedError


class TrainStep(Protocol):
    """One training step of a framework."""

    window: Window  # the accumulation window, which each step closes
    model: Any  # whose ``weights()`` are those by canonical name
    evidence: str | None  # by which signs an update counts as applied; None if ``Seen.updates`` knows that itself

    def __call__(self, batch: Any) -> Seen:
        """Trains on a batch."""


class Stepwise(Protocol):
    """What an adapter whose run is ``drive`` has beside its contract; ``xframe.testing.faults`` puts bugs into it."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterable[Batch]:
        """The batches of a run, by the framework's own means."""

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> TrainStep:
        """The training step over a new model with the task's initial weights."""

    def validator(
        self, plan: TrainingPlan, task: Task, runtime: Runtime, model: Any
    ) -> Callable[[], Mapping[str, Any]] | None:
        """One validation of that model at each call, as the arguments of ``recorder.validation``; None without."""


class Drive(Training):
    """A run, step by step, by an adapter's own pipeline and training step; when called, trains to the end.

    Where its state is to be taken or set, ``keeps_state`` has the step hold slots as the rule has them. Else it may
    hold them translated, as Keras does a velocity, and an exported state has them to rounding.
    """

    def __init__(
        self,
        adapter: Stepwise,
        plan: TrainingPlan,
        task: Task,
        runtime: Runtime,
        recorder: Recorder,
        checkpoints: Checkpoints = NONE,
        *,
        keeps_state: bool = False,
    ) -> None:
        self.recorder, self.plan, self.replica = recorder, plan, runtime.replica
        train_step: Any = adapter.train_step(plan, task, runtime)
        if keeps_state and hasattr(train_step, "keep"):
            train_step.keep()
        if train_step.evidence is not None:
            recorder.evidence = train_step.evidence
        model = train_step.model
        super().__init__(
            train_step, Course(plan, recorder, adapter.validator(plan, task, runtime, model), model.weights)
        )
        self.batches = adapter.pipeline(plan, task, runtime)
        self.place: Place | None = None  # of the last step made
        self.checkpoints = checkpoints
        if self.replica is not None and checkpoints.wanted:
            checkpoints.meet = train_step.meet
        if checkpoints.begins is not None:
            self.resume(checkpoints.begins)

    def walked(self) -> WalkState:
        """Where the next batch begins."""
        return self.begins if self.place is None else self.place.state()

    def restore(self, position: Position) -> None:
        """Makes the run go on from there; before it is begun, and with a pipeline that has ``start``."""
        super().restore(position)
        self.batches.start = position.walk  # type: ignore[attr-defined]

    def __call__(self) -> dict[str, NDArray[Any]]:
        """Trains to the end, or to where it is to stop; returns the weights there."""
        recorder, train_step, course, window = self.recorder, self.train_step, self.course, self.train_step.window
        validates = course.validate is not None  # else the window alone decides, at a fraction of the cost
        due = self.checkpoints.due
        for batch in () if self.state().over else self.batches:
            ids, updates, loss, rate, accuracy, attempts, mark = train_step(batch)
            place = self.place = batch.place
            padding = place.padding
            if padding and self.replica is not None:
                padding = shared_padding(self.plan, place.rows, padding, self.replica.index)
            recorder.step(
                ids=ids,
                updates=updates,
                loss=loss,
                lr=rate,
                update_attempts=attempts,
                epoch=place.epoch,
                step_in_epoch=place.step_in_epoch,
                padding=padding,
                accuracy=accuracy,
                weights_mark=mark,
            )
            if course.over(place, window) if validates else window.over:
                break
            if window.steps == due:
                due = self.checkpoints.take(self.export)
                if self.checkpoints.stopped:
                    return course.final()
        self.checkpoints.end(self.export)
        return course.final()
