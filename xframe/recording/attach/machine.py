"""Makes rows of what instruments see. A batch is linked to its step by what the step used, not by the order of events.

An instrument says what happened: tensors of a batch went into a model or a loss, gradients were computed, an optimizer
stepped. A backward pass is a step; those on the same batch are one step, until the same optimizer steps again. Of a
step whose batch is not known only the size is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from xframe.recording.recorder import Recorder

_MOST_EARLY = 1000  # steps that wait for the first update


class Counter(Protocol):
    """What watches one optimizer, such as ``xframe_torch.UpdateCounter``."""

    applied: Any
    attempts: Any
    evidence: str


class Walk:
    """One iteration over a pipeline.

    Attributes:
        number: how many walks before it had trained a step; None as long as none of its batches has.
        taken: batches that were handed out.
    """

    __slots__ = ("number", "taken")

    def __init__(self) -> None:
        self.number: int | None = None
        self.taken = 0


@dataclass(eq=False, slots=True)
class Batch:
    """A batch as its pipeline handed it out.

    Attributes:
        ids: of its samples, None where the pipeline has no index for them.
        size: its rows, if known.
        walk, place: the iteration over its pipeline, if it is of one, and its place there.
    """

    ids: Any
    size: int | None = None
    walk: Walk | None = None
    place: int | None = None


@dataclass(slots=True)
class _Step:
    """A step that may still go on."""

    batch: Batch | None
    loss: Any
    lr: Any = None
    stepped: set[int] = field(default_factory=set)  # optimizers that have stepped in it


class Machine:
    """Takes events and gives rows to a recorder.

    Attributes:
        counters: what watches each optimizer that has stepped, by a number of the optimizer's.
        evidence: by what signs an update counts as applied.
        before_end: what instruments do before the last row.
    """

    def __init__(self, opened: Callable[[], Recorder]) -> None:
        self.counters: dict[int, Counter] = {}
        self.evidence: str | None = None
        self.before_end: list[Callable[[], None]] = []
        self._opened = opened
        self._recorder: Recorder | None = None
        self._walks = 0  # that have trained a step
        self._used: Batch | None = None  # by the step that is to come
        self._step: _Step | None = None
        self._early: list[_Step] = []  # before any optimizer stepped
        self._loss: Any = None  # of the first backward pass since a step began or an optimizer stepped
        self._applied: tuple[Any, Any] = (0, 0)  # updates applied and tried, before the last backward pass
        self._lr: Any = None  # of the last update

    @property
    def begun(self) -> bool:
        """Whether there are rows already."""
        return self._recorder is not None and self._recorder.num_steps > 0

    @property
    def recorder(self) -> Recorder:
        """Where the rows go; made with the first."""
        if self._recorder is None:
            self._recorder = self._opened()
        return self._recorder

    def used(self, batch: Batch, *, by_loss: bool = False) -> None:
        """A tensor of that batch went into the computation.

        What a model takes replaces what was used before. What a loss takes beside predictions only tells whose they
        are, where the model's input does not.
        """
        if not by_loss or self._used is None or (self._used.ids is None and batch.ids is not None):
            self._used = batch

    def backward(self, loss: Any) -> None:
        """Gradients of a loss were computed."""
        batch, self._used = self._used, None
        self._loss = loss if self._loss is None else self._loss
        self._applied = self._totals()
        if self._step is None or batch is None or batch is not self._step.batch:
            self._begin(batch, *self._applied)

    def stepped(self, optimizer: int, lr: Any) -> None:
        """An optimizer, by a number of its own, stepped at a learning rate."""
        step = self._step
        if step is None:
            return
        if optimizer in step.stepped:
            step = self._begin(step.batch, *self._applied)
        step.stepped.add(optimizer)
        step.lr = lr if step.lr is None else step.lr
        self._lr, self._loss = lr, None

    def rows(self, **columns: Any) -> None:
        """Steps that an instrument has seen whole; the arguments are those of ``Recorder.block``."""
        self._emit(*self._totals())
        self.recorder.evidence = self.evidence
        self.recorder.block(**columns)

    def finish(self) -> None:
        """Nothing more will come."""
        for function in self.before_end:
            function()
        self._emit(*self._totals())
        self._emit_early(None)

    def _begin(self, batch: Batch | None, applied: Any, attempts: Any) -> _Step:
        """The step before ends with so many updates, and another begins."""
        self._emit(applied, attempts)
        self._step = _Step(batch, self._loss)
        self._loss = None
        return self._step

    def _emit(self, applied: Any, attempts: Any) -> None:
        step, self._step = self._step, None
        if step is None:
            return
        if not self.counters:
            self._early.append(step)
            if len(self._early) > _MOST_EARLY:
                self._emit_early(None)
            return
        self._emit_early(0)
        self._write(step, applied, attempts)

    def _emit_early(self, updates: int | None) -> None:
        early, self._early = self._early, []
        for step in early:
            self._write(step, updates, updates)

    def _totals(self) -> tuple[Any, Any]:
        """Updates applied and tried by all optimizers."""
        applied: Any = 0
        attempts: Any = 0
        for counter in self.counters.values():
            applied, attempts = applied + counter.applied, attempts + counter.attempts
        return applied, attempts

    def _write(self, step: _Step, updates: Any, attempts: Any) -> None:
        batch = step.batch or Batch(None)
        if batch.walk is not None and batch.walk.number is None:
            batch.walk.number = self._walks
            self._walks += 1
        epoch = None if batch.walk is None else batch.walk.number
        given = {"loss": step.loss, "lr": self._lr if step.lr is None else step.lr}
        given |= {"updates": updates, "update_attempts": attempts, "epoch": epoch, "step_in_epoch": batch.place}
        self.recorder.evidence = self.evidence
        if batch.ids is not None:
            self.recorder.step(ids=batch.ids, **given)
            return
        sizes = None if batch.size is None else np.array([batch.size])
        kinds = {"loss": float, "lr": float}
        row = {name: np.array([kinds.get(name, int)(value)]) for name, value in given.items() if value is not None}
        self.recorder.block(batch_sizes=sizes, **row)
