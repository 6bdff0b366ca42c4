"""Makes rows of what instruments see. A batch is linked to its step by what the step used, not by the order of events.

An instrument says what happened: tensors of a batch went into a model or a loss, gradients were computed, an optimizer
stepped. A backward pass is a step; those on the same batch are one step, until the same optimizer steps again. Of a
step whose batch is not known only the size is. What was computed and led to no gradients may be an evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from xframe.recording.attach.adding import both, hypot, summed
from xframe.recording.attach.batch import Batch, Walk
from xframe.recording.attach.capturing import Capture
from xframe.recording.attach.passes import Passes
from xframe.recording.identity import Kind
from xframe.recording.recorder import Recorder
from xframe.recording.replicas import Place, which
from xframe.recording.values import Unlisted
from xframe.trace.schema import BY_NAME, PRINTS

__all__ = ["Batch", "Counter", "Machine", "Walk"]

_TYPES: dict[str, Callable[[Any], float]] = {"float64": float, "int64": int}
_NO_BATCH = Batch(None)
_MOST_EARLY = 1000  # steps that wait for the first update


class Counter(Protocol):
    """What watches one optimizer, such as ``xframe_torch.UpdateCounter``."""

    applied: Any
    attempts: Any
    evidence: str


class _Step:
    """A step that may still go on.

    Attributes:
        also: further columns.
        handed_out: batches until then.
        stepped: optimizers that have stepped in it.
        mark: of the weights that they left.
    """

    __slots__ = ("also", "batch", "handed_out", "loss", "lr", "mark", "stepped")

    def __init__(self, batch: Batch | None, loss: Any, also: dict[str, Any], handed_out: int) -> None:
        self.batch, self.loss, self.also, self.handed_out = batch, loss, also, handed_out
        self.lr: Any = None
        self.mark: Any = None
        self.stepped: tuple[int, ...] = ()


class Machine:
    """Takes events and gives rows to a recorder.

    Attributes:
        counters: what watches each optimizer that has stepped, by a number of the optimizer's.
        evidence: by what signs an update counts as applied.
        before_end: what instruments do before the last row.
        handed_out: batches that pipelines have handed out so far.
        updates_before: made by the optimizers before this process, as those that were loaded count them.
        training: whether a model that the coming step used was in training mode; None if none was used yet.
        zeroed: what set gradients to zero since the last backward pass, by its id; None: nothing did.
        within: the call of an optimizer that goes on, which may compute gradients by itself, as often as it likes.
        identity: what prints are made of samples; ``index`` stands for none.
        replaced: batches that others took the place of, with their prints, and when.
        clock: counts what is computed with gradients, as ``backward`` is told of it.
        capture: keeps updates taken apart, where that was asked for.
        prints: of what the coming step takes, of shape (rows, 3), as ``features`` and as ``targets``.
        split: how pipelines deal the rows of a step to replicas, as a plan names it; None: not known.
        losses: ``sum`` where optimizers add up what the replicas' losses have as gradients; None: not known to.
    """

    def __init__(self, opened: Callable[[], Recorder]) -> None:
        self.counters: dict[int, Counter] = {}
        self.evidence: str | None = None
        self.before_end: list[Callable[[], None]] = []
        self.handed_out = self.updates_before = 0
        self.training: bool | None = None
        self.zeroed: int | None = None
        self.within: object = None
        self.identity: Kind = "close"
        self.capture: Capture | None = None
        self.prints: dict[str, Any] = {}
        self.split: str | None = None
        self.losses: str | None = None
        self.replaced: list[tuple[Batch, dict[str, Any], int]] = []
        self.clock: Callable[[], int] = lambda: 0
        self._opened = opened
        self._recorder: Recorder | None = None
        self._settings: dict[str, Any] = {}  # so far
        self._passes = Passes()
        self._used: Batch | None = None  # by the step that is to come
        self._beside: list[Batch] = []  # of other loaders, used by it too
        self._evaluated_at = -1  # when a known batch was evaluated: batches handed out until then
        self._used_at = 0  # when it was used: batches handed out until then
        self._loss_rows: set[int] = set()  # over which the coming step's losses were averaged; 0: no mean
        self._step: _Step | None = None
        self._early: list[_Step] = []  # before any optimizer stepped
        # Of the backward passes since a step began or an optimizer stepped: their loss, and the first one's columns.
        self._loss: Any = None
        self._also: dict[str, Any] = {}
        self._walks, self._fresh = 0, True  # walks that have trained a step; whether there was no pass as yet
        self._zeroed: int | None = None  # what set gradients to zero before the first of them
        self._within: object = None  # the call that the last backward pass was in
        self._again: Batch | None = None  # what a further update of the same optimizer would be of
        self._applied: tuple[Any, Any] = (0, 0)  # updates applied and tried, before the last backward pass
        self._lr: Any = None  # of the last update

    @cached_property
    def replica(self) -> Place:
        """Which of how many replicas this process is, as it was when somebody first asked."""
        return which()

    @property
    def begun(self) -> bool:
        """Whether there are rows already."""
        return self._recorder is not None and self._recorder.num_steps > 0

    @property
    def made(self) -> int:
        """Steps that have ended, which is the index of the one that goes on."""
        return len(self._early) + (0 if self._recorder is None else self._recorder.num_steps)

    @property
    def recorder(self) -> Recorder:
        """Where the rows go; made with the first."""
        if self._recorder is None:
            self._recorder = self._opened()
            if self._settings:
                self._recorder.settings(self._settings)
        return self._recorder

    def failed(self, error: Exception) -> None:
        """What watches has failed."""
        raise error

    def settings(self, settings: Mapping[str, Any]) -> None:
        """What is set, as ``Recorder.settings`` takes it."""
        self._settings.update(settings)
        if settings and self._recorder is not None:
            self.recorder.settings(settings)

    def used(self, batch: Batch, *, by_loss: bool = False) -> None:
        """A tensor of that batch went into the computation.

        What a model takes replaces what was used before, unless it was there already when that was used: two batches
        are of one step then, which has the first one's samples; and tensors of an unknown origin were made from it, or
        beside it, such as noise. Whether what came before led to gradients too is seen when they are computed. What a
        loss takes beside predictions only tells whose they are, where the model's input does not.
        """
        before = self._used
        if before is None or (batch.known and not before.known):
            self.prints = self.prints if by_loss else {}
        elif by_loss or (before.known and self._used_at == self.handed_out and (self.handed_out or not batch.known)):
            if batch.walk is not None and batch is not before:
                self._beside.append(batch)
            return
        elif batch is not before:
            # What was computed before led to no gradients, as far as is seen yet.
            if before.known:
                self.replaced = [*self.replaced[-3:], (before, self.prints, self.clock())]
            self.training, self._loss_rows, self.prints = None, set(), {}
        self._used, self._used_at = batch, self.handed_out

    @property
    def using(self) -> Batch | None:
        """The batch that the coming step uses, if it is known so far."""
        return self._used

    @property
    def rows_used(self) -> int | None:
        """Rows of the batch that the coming step uses, if known."""
        if self._used is not None:
            return self._used.size
        features = self.prints.get("features")
        return None if features is None else len(features)

    def called(self, *, training: bool) -> None:
        """A model that is called by no other computes, in training mode or in evaluation mode."""
        self.training = training or bool(self.training)

    def averaged(self, rows: int | None) -> None:
        """A loss was averaged over so many rows; None: it is no mean."""
        self._loss_rows.add(rows or 0)

    def evaluated(self, batch: Batch, *, training: bool | None = None) -> None:
        """A model computed, and no gradients can come of it, or it was in evaluation mode; ``training`` is its mode."""
        if batch.known:
            self._evaluated_at = self.handed_out
        elif self._evaluated_at == self.handed_out:  # made from what a model took before
            return
        again = self._step is not None and batch is self._step.batch
        self._passes.called(batch, trained=again, training=training)

    def evaluated_loss(self, mean: Any, rows: int | None) -> None:
        """A loss was computed of what was evaluated: its mean over so many rows; None: it is no mean."""
        self._passes.loss(mean, rows)

    def backward(self, loss: Any, oldest: Callable[[], int | None] | None = None) -> None:
        """Gradients of a loss were computed; ``oldest`` says when the first computation was made that they rest on.

        They add up, and so do the losses, until an optimizer steps. Where they were set to zero between, what was
        before does not count; but a call that computes them again and again has the loss that it begins with.
        """
        batch, self._used = self._used, None
        if self.replaced:
            batch = self._origin(batch, oldest)
        if self._passes.goes_on:
            self._passes.trained(batch)
        elif batch is not None and batch.walk is not None:
            batch.walk.trained = True
        while self._beside:
            self._passes.trained(self._beside.pop())
        also, rows = self.prints, self._loss_rows
        if self.training is not None:
            also["training"] = int(self.training)
        if len(rows) == 1 and 0 not in rows:
            (also["loss_rows"],) = rows
        self.training, self._loss_rows, self.prints = None, set(), {}
        by, self.zeroed = self.zeroed, None
        zeroed = by is not None and self._zeroed in (None, by)  # else those of others, as of a second network
        within, self._within = self._within, self.within
        again = within is not None and within is self.within
        if again and zeroed:
            return
        goes_on = again or self._goes_on(batch)
        anew = zeroed or self._fresh or not goes_on
        if anew:
            self._zeroed, self._loss, self._also = by, loss, (self._also | also if zeroed and goes_on else also)
        else:
            self._loss, self._also = summed(self._loss, loss), both(self._also, also)
        self._applied, self._fresh = self._totals(), False
        if not goes_on:
            self._begin(batch, *self._applied)
        elif self._step is not None and not self._step.stepped:
            self._step.loss, self._step.also = self._loss, dict(self._also)
        if anew or (self._step is not None and batch is self._step.batch):
            self._again = batch

    def _origin(self, batch: Batch | None, oldest: Callable[[], int | None] | None) -> Batch | None:
        """Of batches that were used one after the other the first that the gradients rest on, else the last."""
        replaced, self.replaced = self.replaced, []
        since = None if oldest is None else oldest()
        for first, prints, until in replaced:
            if since is not None and since <= until:
                self._beside += [] if batch is None else [batch]
                self.prints, self._loss_rows = prints, set()
                return first
        return batch

    def _goes_on(self, batch: Batch | None) -> bool:
        """Whether a backward pass is of the step that there is: it is on the same batch, or made from it.

        Noise alone, which a second network makes something of, has a size of its own, as beside a short last batch. (If
        the same optimizer steps again, what it is of is a step of its own after all.)
        """
        step = self._step
        if step is None or step.batch is None:
            return False
        if batch is step.batch or step.handed_out != self.handed_out:
            return batch is step.batch
        if batch is None or not step.batch.known:
            return batch is None
        walks = step.batch.walk, batch.walk
        if batch.known:  # of another loader, drawn beside it
            return not step.stepped and None not in walks and walks[0] is not walks[1]
        return bool(step.stepped) or batch.size == step.batch.size

    def stepped(self, optimizer: int, lr: Any, norms: tuple[Any, Any] | None = None, mark: Any = None) -> None:
        """An optimizer, by a number of its own, stepped at a learning rate.

        Args:
            optimizer, lr: those.
            mark: of the weights that it left, where several replicas train.
            norms: of its gradients, before they were clipped and as it got them. Optimizers that step in turn, with no
                backward pass between, share a gradient; of others the first one's norms are recorded.
        """
        step = self._step
        if step is None:
            return
        if optimizer in step.stepped:
            step = self._begin(self._again, *self._applied)
        step.stepped += (optimizer,)
        step.lr = lr if step.lr is None else step.lr
        step.mark = mark if step.mark is None else summed(step.mark, mark)
        if norms is not None and "clipped_norm" not in step.also:
            step.also["gradient_norm"], step.also["clipped_norm"] = norms
        elif norms is not None and self._fresh and len(step.stepped) > 1:  # two share the gradients of one loss
            before = step.also["gradient_norm"], step.also["clipped_norm"]
            step.also["gradient_norm"], step.also["clipped_norm"] = map(hypot, before, norms)
        self._lr, self._fresh = lr, True

    def rows(self, **columns: Any) -> None:
        """Steps that an instrument has seen whole; the arguments are those of ``Recorder.block``."""
        self._emit(*self._totals())
        self.recorder.evidence = self.evidence
        self.recorder.block(**columns)

    def finish(self) -> None:
        """Nothing more will come."""
        for function in self.before_end:
            function()
        self._passes.end()
        self._emit(*self._totals())
        self._emit_early(None)
        if self._recorder is not None:
            self._write_validations()

    def _begin(self, batch: Batch | None, applied: Any, attempts: Any) -> _Step:
        """The step before ends with so many updates, and another begins."""
        if self._step is not None:
            self._emit(applied, attempts)
        if self._passes.ended:
            self._write_validations()
        self._step = _Step(batch, self._loss, dict(self._also), self.handed_out)
        return self._step

    def _write_validations(self) -> None:
        if not self._early:  # otherwise they wait for the steps before them
            for facts in self._passes.take(trained=self._recorder is not None):
                self.recorder.validation(**facts)

    def _emit(self, applied: Any, attempts: Any) -> None:
        step, self._step = self._step, None
        if step is None:
            return
        if not self.counters:
            self._early.append(step)
            if len(self._early) > _MOST_EARLY:
                self._emit_early(None)
            return
        if self._early:
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
            if counter.applied is None:  # nothing can see it
                return None, None
            applied, attempts = applied + counter.applied, attempts + counter.attempts
        return applied, attempts

    def _write(self, step: _Step, updates: Any, attempts: Any) -> None:
        batch, epoch = step.batch or _NO_BATCH, None
        walk = batch.walk
        if walk is not None:
            if walk.number is None:  # this is the first step that it trains
                walk.number, self._walks = self._walks, self._walks + 1
                if walk.settings is not None:
                    self.settings(walk.settings())
            epoch = walk.number
        lr = self._lr if step.lr is None else step.lr
        recorder, also = self._recorder or self.recorder, step.also
        recorder.evidence = self.evidence
        size = batch.size if batch.ids is None else len(batch.ids)
        for name in PRINTS:
            if name in also and (also[name] is None or also[name].shape[0] != size):
                del also[name]
        if size is None:
            given = {"loss": step.loss, "lr": lr, "updates": updates, "update_attempts": attempts}
            given |= {"epoch": epoch, "step_in_epoch": batch.place, "weights_mark": step.mark}
            row, further = (
                {name: np.array([_TYPES[BY_NAME[name].kind](one)]) for name, one in some.items() if one is not None}
                for some in (given, also)
            )
            recorder.block(**row, also=further)
            return
        recorder.step(
            ids=Unlisted(size) if batch.ids is None else batch.ids,
            updates=updates,
            update_attempts=attempts,
            loss=step.loss,
            lr=lr,
            epoch=epoch,
            step_in_epoch=batch.place,
            weights_mark=step.mark,
            also=also,
        )
