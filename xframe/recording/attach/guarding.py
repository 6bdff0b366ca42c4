"""A machine that never gets in the way of what it watches: what goes wrong in it is reported, and the training goes on.

From then on nothing more is recorded, so that no row is wrong. A process forked from the one that is watched has a
machine of its own; of threads that train at once nobody could say whose rows these are, so that is refused.
"""

from __future__ import annotations

import functools
import inspect
import os
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any, TypeVar, cast

from xframe.errors import UsageError, Verbatim
from xframe.recording.attach.machine import Batch, Machine
from xframe.recording.attach.passes import Passes
from xframe.recording.attach.proving import Cut, States
from xframe.recording.recorder import Recorder

F = TypeVar("F", bound=Callable[..., Any])


class _Nowhere:
    """Stands for a recorder where there is none: it takes everything and keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


class GuardedMachine(Machine):
    """A machine whose methods never raise an error.

    Attributes:
        trouble: what went wrong; from then on nothing is recorded.
        cut, states: end this process after a step, and write what its state is, where that was asked for.
    """

    def __init__(self, opened: Callable[[], Recorder], troubled: Callable[[Exception], None]) -> None:
        super().__init__(opened)
        self.trouble: Exception | None = None
        self.cut: Cut | None = None
        self.states: States | None = None
        self._troubled = troubled
        self._trains: int | None = None  # the thread that trains
        self._trained: set[int] = set()  # threads that did before
        self._used_in: dict[int, deque[tuple[Batch, bool, int, int]]] = {}  # by threads that do not train so far
        this = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forked(this()))

    @property
    def recorder(self) -> Recorder:
        """Where the rows go; nowhere once something went wrong."""
        if self.trouble is None:
            try:
                return self._recorder or super().recorder
            except Exception as error:
                self.stop(error)
        return cast("Recorder", _Nowhere())

    def stop(self, error: Exception) -> None:
        """Nothing more is recorded, for this reason."""
        if self.trouble is None:
            self.trouble, self.identity = error, "index"
            self._troubled(error)

    def failed(self, error: Exception) -> None:
        """As a machine's: nothing more is recorded."""
        self.stop(error)

    def forked(self) -> None:
        """This process is a copy of another: what was seen so far is that one's to write."""
        self._recorder = self._step = self._used = self._trains = None
        self._early, self._trained, self._passes, self.replaced = [], set(), Passes(), []
        self._used_in = {}
        self.before_end = []
        vars(self).pop("replica", None)
        if self.capture is not None:
            self.capture.forked()

    def closed(self) -> None:
        """The trace is closed: a step that comes yet is reported, and lost."""

        def refuse() -> Recorder:
            raise UsageError("a step came after the recording had ended, and is lost")

        self._recorder, self._opened = None, refuse

    # What every step calls is guarded here, not by a wrapper.

    def used(self, batch: Batch, *, by_loss: bool = False) -> None:
        """As a machine's; what another thread than the one that trains uses waits until that one trains."""
        if self.trouble is None:
            try:
                if get_ident() == self._trains:
                    Machine.used(self, batch, by_loss=by_loss)
                else:
                    self._waits(batch, by_loss)
            except Exception as error:
                self.stop(error)

    def _waits(self, batch: Batch, by_loss: bool) -> None:
        waiting = self._used_in.setdefault(get_ident(), deque(maxlen=8))
        before, _, handed_out, _ = waiting[-1] if waiting else (None, False, 0, 0)
        known = before is not None and before.known
        beside = known and handed_out == self.handed_out and self.handed_out
        if batch is not before and not by_loss and not beside and (batch.known or not known):
            self.prints = {}
        waiting.append((batch, by_loss, self.handed_out, self.clock()))

    def backward(self, loss: Any, oldest: Callable[[], int | None] | None = None) -> None:
        """As a machine's, by one thread after the other."""
        if self.trouble is None:
            try:
                if get_ident() != self._trains:
                    self._trains_now(get_ident())
                Machine.backward(self, loss, oldest)
            except Exception as error:
                self.stop(error)

    def stepped(self, optimizer: int, lr: Any, norms: tuple[Any, Any] | None = None, mark: Any = None) -> None:
        """As a machine's."""
        if self.trouble is None:
            try:
                Machine.stepped(self, optimizer, lr, norms, mark)
            except Exception as error:
                self.stop(error)

    def _begin(self, batch: Batch | None, applied: Any, attempts: Any) -> Any:
        step = super()._begin(batch, applied, attempts)
        if self.states is not None:
            self.states.step(self.made)
        if self.cut is not None:
            self.cut.look(self)
        return step

    def settle(self) -> None:
        """What was seen of the steps that have ended is on the disk."""
        self._emit_early(0)
        if self._recorder is not None:
            self._recorder.flush()

    def rows(self, **columns: Any) -> None:
        """As a machine's, by one thread after the other."""
        if get_ident() != self._trains:
            self._trains_now(get_ident())
        super().rows(**columns)

    def _trains_now(self, thread: int) -> None:
        if thread in self._trained:
            raise UsageError(
                "two threads train at once, so that nobody can say whose steps these are",
                got=Verbatim(f"{len(self._trained) + 1} threads"),
                expected="one training after the other",
                remedy="Give each training a process of its own.",
            )
        if self._trains is not None:
            self._trained.add(self._trains)
        self._trains, self._used = thread, None
        training, rows, prints = self.training, self._loss_rows, self.prints
        now, clock, self.prints = self.handed_out, self.clock, {}
        for batch, by_loss, handed_out, at in self._used_in.pop(thread, ()):
            self.handed_out, self.clock = handed_out, partial(int, at)
            Machine.used(self, batch, by_loss=by_loss)
        self.handed_out, self.clock = now, clock
        self.training, self._loss_rows, self.prints = training, rows, prints


def _forked(machine: GuardedMachine | None) -> None:
    if machine is not None:
        machine.forked()


# They stop it themselves, or do nothing that can go wrong.
_AS_IT_IS = ("stop", "forked", "closed", "failed", "used", "backward", "stepped", "called", "averaged")


def _guarded(method: F) -> F:
    @functools.wraps(method)
    def call(self: GuardedMachine, *args: Any, **kwargs: Any) -> Any:
        if self.trouble is not None:
            return None
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self.stop(error)

    return cast("F", call)


for _name, _method in inspect.getmembers(GuardedMachine, inspect.isfunction):
    if not _name.startswith("_") and _name not in _AS_IT_IS:
        setattr(GuardedMachine, _name, _guarded(_method))
