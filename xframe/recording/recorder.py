"""The recorder: takes what was seen in a training loop, a user's own or an adapter's. It observes, never steers.

    with xframe.record("torch.trace") as rec:
        for step in ...:
            rec.step(ids=ids, updates=n_updates, loss=loss, lr=lr)

It takes numbers, NumPy arrays and the tensors and variables of either framework, and imports neither. What lies on the
CPU is copied at once, so a buffer may be used again; what lies on a device stays there and comes home in blocks. It
draws no random numbers. Rows reach the file at least once a second or every 1,000 steps, and when the block is left,
by an exception too.

An exception may come at any instruction, as Ctrl-C's does. So a step is taken by a single append to a list, and leaves
that list only once the writer's state, replaced by a single assignment, says that it is in the file.
"""

from __future__ import annotations

import _thread
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from xframe.errors import UsageError
from xframe.files.limits import LARGEST
from xframe.recording import unclosed, values, waiting
from xframe.recording.beginning import NOTHING, Begun, begun, begun_now, new_writer
from xframe.recording.flushing import Flushing
from xframe.recording.replicas import Place, file_of, stated, which
from xframe.recording.values import count, hold_ids, number
from xframe.recording.waiting import Item, held_further, rows_of
from xframe.trace.facts import DECLARED
from xframe.trace.schema import LISTS
from xframe.trace.source import exists_already
from xframe.trace.trace import COMPLETE
from xframe.trace.weights import weights_path, write_weights
from xframe.trace.writer import TraceWriter

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan

FLUSH_ROWS = 1000
FLUSH_IDS = 1 << 20
FLUSH_SECONDS = 1.0
_WITH_PRINTS = sum(LISTS.values())  # values that a sample has in the lists of a row

_CLOSED = UsageError("the trace is closed")


def record(
    path: str | Path,
    *,
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    ids: bool = True,
    metadata: Mapping[str, Any] | None = None,
    continues: str | Path | None = None,
    step: int | None = None,
    replica: Place | None = None,
) -> Recorder:
    """A recorder that writes to ``path``; of several replicas each to a file of its own in the folder ``path``.

    Args:
        path: a file that does not exist yet.
        plan: what the run is meant to do; a comparison then checks the run against it too.
        num_samples: size of the data set.
        ids: whether to keep each batch's list of sample ids, beside their digest.
        metadata: further facts about the run, as JSON values; those that xframe reads are named in ``Facts``.
            ``replica_split`` is how the loader deals a step's rows to replicas, in a plan's words; ``replica_losses``
            is ``sum`` where a step's loss is the sum of its replicas', as under ``tf.distribute``, not their mean.
            ``replica_run`` is a text that all replicas of the run give and those of no other run, as a job's number.
        continues: the trace of the run up to here; whoever opens this one gets the whole run. Numbers given as
            ``updates`` are the whole run's; to what a counter counts in this process those before are added.
        step: the run's first that is recorded here; those that it had from there on are abandoned. Default: its end.
        replica: which one this process is, and of how many: ``(rank, world_size)``. Default: as ``torch.distributed``
            says, or what ``torchrun`` or ``TF_CONFIG`` set; ``(0, 1)``: one process, whatever these say.

    Raises:
        UsageError: the file exists, or cannot be written; what it continues has fewer steps.
        TraceError: what it continues is damaged, or none.
    """
    path, replica = Path(path), which(replica)
    given = dict(metadata or {})
    dealt = [given.pop(f"replica_{name}", None) for name in ("split", "losses", "run")]
    facts, of = begun_now(plan, num_samples), stated(replica, plan, *dealt)
    before = begun(path, continues, step, new=not of)
    writer = new_writer(file_of(path, replica), {**facts, **given, **of, **before.head}, before)
    return Recorder(writer, keep_ids=ids, before=before, in_folder=bool(of))


class Recorder(Flushing):
    """Collects rows and writes them in blocks. Made by ``xframe.record``.

    Attributes:
        on_flush: called after each block is written, with the steps so far and the last one's epoch and loss.
        counts_anew: what it is given counts from this process's start, though the trace continues another.
        path: the trace, absolute; end_facts: what its end has beside what every one has.
        in_folder: it is the trace of one replica, in the folder of the run.
    """

    def __init__(
        self, writer: TraceWriter, *, keep_ids: bool, before: Begun = NOTHING, in_folder: bool = False
    ) -> None:
        self.on_flush: Callable[[int, int | None, float | None], None] | None = None
        self.evidence: str | None = None
        self._writer, self.path = writer, writer.path
        self._keep_ids, self._before, self.in_folder = keep_ids, before, in_folder
        self.end_facts: dict[str, Any] = {"weights": {}}
        self._began = time.monotonic_ns()
        self._waiting: list[Item] = []
        self._rows = self._ids = 0  # about how many of them came since the last flush
        self._lock, self._closed = threading.RLock(), threading.Event()
        self.counts_anew = self._entered = self._over = self._settled = self._own_weights = False
        self._stop: BaseException | None = None  # what the next step raises, after it was taken
        self._know_torch()
        self._process = unclosed.watch(self)
        # A thread, since the next step may be long in coming: validation, a checkpoint, a hang. By the bare call, which
        # is made or not: Ctrl-C in the midst of Thread.start comes out as a KeyError.
        _thread.start_new_thread(unclosed.flush_often, (weakref.ref(self), self._closed, lambda: FLUSH_SECONDS))

    @property
    def num_steps(self) -> int:
        """Steps recorded so far."""
        with self._lock:
            self._forget_written()
            return self._writer.num_rows + (0 if self._writer.ended else rows_of(self._waiting))

    def step(
        self,
        *,
        ids: Any,
        updates: Any = None,
        loss: Any = None,
        lr: Any = None,
        update_attempts: Any = None,
        epoch: int | None = None,
        step_in_epoch: int | None = None,
        padding: int | None = None,
        accuracy: Any = None,
        also: Mapping[str, Any] | None = None,
        weights_mark: Any = None,
    ) -> None:
        """Takes one training step, just after it was made.

        Args:
            ids: the ids of the samples in the batch, integers of shape (batch_size,).
            updates: applied so far: a number, the optimizer's own counter, or what watches the optimizer and has
                ``applied``, ``attempts`` (None if unknown) and its ``evidence``, as ``xframe_torch.UpdateCounter``.
            loss, lr, accuracy: of this step, each a scalar; accuracy is the share of targets predicted rightly.
            update_attempts: updates tried so far, skipped ones included.
            epoch, step_in_epoch, padding: labels, counted from 0 or from 1; how many of the last ids are padding.
            also: values of columns in ``schema.FURTHER``, by name; ``features``, ``targets``: of shape (batch_size, 3).
            weights_mark: of several replicas, a scalar made of all trained weights after the step.
        """
        if self._over:
            raise self._refusal("steps")
        if weights_mark is not None:
            also = {**(also or {}), "weights_mark": weights_mark}
        if updates is not None and type(updates) is not int and hasattr(updates, "applied"):
            self.evidence = updates.evidence
            update_attempts, updates = updates.attempts, updates.applied
            if self._before is not NOTHING:
                updates, update_attempts = self._before.counted(updates, update_attempts)
        tensor = self._tensor
        plain = type(ids) is tensor and ids.is_cpu and ids.dtype is self._int64 and ids.ndim == 1
        held = ids.numpy().tobytes() if plain else hold_ids(ids)
        size = len(held) >> 3 if type(held) is bytes else held.shape[0]
        if type(loss) is not float:
            loss = loss.item() if type(loss) is tensor and loss.is_cpu and not loss.ndim else number(loss, "loss")
        row = (  # in the order of STEP, and whole before it is kept: a step that is refused leaves nothing behind
            held,
            updates if type(updates) is int and 0 <= updates <= LARGEST else count(updates, "updates"),
            update_attempts
            if update_attempts is None or (type(update_attempts) is int and 0 <= update_attempts <= LARGEST)
            else count(update_attempts, "update_attempts"),
            epoch if epoch is None or (type(epoch) is int and 0 <= epoch <= LARGEST) else count(epoch, "epoch"),
            step_in_epoch
            if step_in_epoch is None or (type(step_in_epoch) is int and 0 <= step_in_epoch <= LARGEST)
            else count(step_in_epoch, "step_in_epoch"),
            padding
            if padding is None or (type(padding) is int and 0 <= padding <= LARGEST)
            else count(padding, "padding"),
            lr if type(lr) is float else number(lr, "lr"),
            loss,
            None if accuracy is None else number(accuracy, "accuracy"),
            time.monotonic_ns() - self._began,
            None if also is None else held_further(also, size),
        )
        self._waiting.append(row)  # this takes the step: before it nothing is kept, and after it nothing is lost
        self._rows += 1
        self._ids += size if also is None else _WITH_PRINTS * size
        if self._stop is not None or self._rows >= FLUSH_ROWS or self._ids >= FLUSH_IDS:
            self._halt_or_flush()

    def block(
        self,
        *,
        ids: Any = None,
        batch_sizes: ArrayLike | None = None,
        updates: Any = None,
        loss: Any = None,
        lr: Any = None,
        update_attempts: Any = None,
        epoch: Any = None,
        step_in_epoch: Any = None,
        padding: Any = None,
        accuracy: Any = None,
        time_ns: Any = None,
        also: Mapping[str, Any] | None = None,
        weights_mark: Any = None,
    ) -> None:
        """Takes many steps at once.

        Args:
            ids: the batches' sample ids one after the other, of shape (sum of batch_sizes,).
            batch_sizes: rows in each batch, of shape (steps,).
            time_ns: when each step was received, since recording began; default: now.
            others: as in ``step``, each of shape (steps,); masked arrays say where a value is not known.
        """
        now = time.monotonic_ns() - self._began
        if self._over:
            raise self._refusal("steps")
        given = {"updates": updates, "update_attempts": update_attempts, "epoch": epoch, "loss": loss, "lr": lr}
        given |= {"step_in_epoch": step_in_epoch, "padding": padding, "time_ns": time_ns, "accuracy": accuracy}
        given["weights_mark"] = weights_mark
        given |= waiting.further(also or {})
        blocks, num_ids = waiting.block_of(ids, batch_sizes, given, now, keep_ids=self._keep_ids)
        self._waiting.extend(blocks)  # all of them or none, as in ``step``
        self._rows += sum(block.rows for block in blocks)
        self._ids += num_ids
        if self._stop is not None or self._rows >= FLUSH_ROWS or self._ids >= FLUSH_IDS:
            self._halt_or_flush()

    def _halt_or_flush(self) -> None:
        if self._stop is not None:
            self._halt("steps")
        if self._rows >= FLUSH_ROWS or self._ids >= FLUSH_IDS:
            self.flush()

    def validation(
        self,
        *,
        loss: Any,
        accuracy: Any = None,
        ids: Any = None,
        batch_sizes: ArrayLike | None = None,
        training: bool | None = None,
    ) -> None:
        """Takes one validation, just after it was made. It is kept separately from the steps.

        Args:
            loss, accuracy: means over the validation samples, each a scalar.
            ids: the validation samples' ids in the order they came in, of shape (num_samples,).
            batch_sizes: samples in each batch, of shape (num_batches,).
            training: whether the model was in training mode; None if that is not known.
        """
        if self._over:
            raise self._refusal("validations")
        now = time.monotonic_ns() - self._began
        self._waiting.append(waiting.validation_of(loss, accuracy, ids, batch_sizes, now, training))
        if self._stop is not None:
            self._halt("validations")
        self.flush()

    def settings(self, settings: Mapping[str, Any]) -> None:
        """Takes what is set, numbers, texts, None or lists of those, by FORMAT.md's names; a name's last counts."""
        if self._over:
            raise self._refusal("settings")
        self._waiting.append(waiting.settings_of(settings))
        self.flush()

    def weights(self, weights: Mapping[str, Any]) -> None:
        """Keeps the final weights, arrays or tensors by name, in a file beside the trace."""
        if self._over:
            raise self._refusal("weights")
        arrays = {name: np.asarray(values.fetch(values.hold(weight))) for name, weight in weights.items()}
        if not self._own_weights and os.path.lexists(
            file := weights_path(self.path)
        ):  # made since recording began, by another
            raise exists_already(file)
        self._own_weights = True
        self.end_facts["weights"] = write_weights(self.path, arrays)

    def _halt(self, what: str) -> None:
        """Raises what went wrong since the last step; this one is taken."""
        with self._lock:
            if self._over:
                raise self._refusal(what)
            error, self._stop = self._stop, None
        if error is not None:
            raise error

    def close(self, outcome: str = COMPLETE) -> None:
        """Writes what waits and the end record. A second time does nothing.

        Raises:
            OSError: the disk does not take it. It is kept; close again once there is room.
        """
        if self._process != os.getpid() or self._writer.ended:
            return
        with self._lock:
            self._over, self._stop = True, _CLOSED
            unclosed.insist(lambda: self._end(outcome))
            self._closed.set()
            self._writer.compact()

    def _end(self, outcome: str) -> None:
        while not self._writer.ended:
            self.flush()
            self._writer.end(outcome, evidence=self.evidence or DECLARED, **self.end_facts)

    def __del__(self) -> None:
        if hasattr(self, "_process"):  # it was made to the end
            unclosed.settle(self, self._process)

    def __enter__(self) -> Self:
        if self._over:
            raise self._refusal("entering it")
        if self._entered:
            raise UsageError(
                "the recorder was entered already",
                expected="one 'with' for a recorder",
                remedy="Use it inside that 'with' as it is, or record to a new trace.",
            )
        self._entered = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(COMPLETE if kind is None else f"interrupted by {kind.__name__}")
