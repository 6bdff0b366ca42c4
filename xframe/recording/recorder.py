"""The recorder: takes what was seen in a training loop, a user's own or an adapter's. It observes, never steers.

    with xframe.record("torch.trace") as rec:
        for step in ...:
            rec.step(ids=ids, updates=n_updates, loss=loss, lr=lr)

It takes numbers, NumPy arrays and the tensors and variables of either framework, and imports neither.
What lies on the CPU is copied at once, so a buffer may be used again; what lies on a device stays
there and comes home in blocks. It draws no random numbers. Rows reach the file at least once a
second or every 1,000 steps, and when the block is left, by an exception too.
"""

from __future__ import annotations

import itertools
import platform
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from xxhash import xxh3_128_digest

from xframe.errors import UsageError, Verbatim
from xframe.plan.fields import LARGEST, sample_count
from xframe.recording import unclosed, values
from xframe.recording.values import count, hold_ids, number
from xframe.trace.certificate import ids_digests
from xframe.trace.facts import DECLARED, Facts
from xframe.trace.journal import TraceWriter
from xframe.trace.schema import Column, joined, unknown_column
from xframe.trace.source import exists_already
from xframe.trace.trace import COMPLETE
from xframe.trace.weights import weights_path, write_weights

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan

FLUSH_ROWS = 1000
FLUSH_IDS = 1 << 20
FLUSH_SECONDS = 1.0

# A step's values, in the order in which ``step`` keeps them.
_STEP = (
    *("ids", "updates", "update_attempts", "epoch", "step_in_epoch", "padding"),
    *("lr", "loss", "accuracy", "time_ns"),
)


def record(
    path: str | Path,
    *,
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    ids: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> Recorder:
    """A recorder that writes to ``path``.

    Args:
        path: a file that does not exist yet.
        plan: what the run is meant to do; a comparison then checks the run against it too.
        num_samples: size of the data set.
        ids: whether to keep each batch's list of sample ids, beside their digest.
        metadata: further facts about the run, as JSON values; those that xframe reads are named in ``Facts``.

    Raises:
        UsageError: the file exists, or cannot be written.
    """
    facts = Facts(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        platform=f"{platform.system()} {platform.machine()}",
        versions=_versions(),
        plan={} if plan is None else plan.to_dict(),
        num_samples=None if num_samples is None else sample_count(num_samples),
    )
    path = Path(path)
    if not path.name:
        raise UsageError("the trace's path", got=str(path), expected="the name of a file")
    for file in (path, weights_path(path)):
        if file.exists():
            raise exists_already(file)
    try:
        writer = TraceWriter(path, {**facts.metadata(), **(metadata or {})})
    except TypeError as error:
        raise UsageError("the trace's metadata", got=Verbatim(error), expected="values that JSON has") from None
    except OSError as error:
        raise UsageError(
            "cannot write the trace", got=str(path), expected=f"a place for a new file ({error.strerror or error})"
        ) from None
    return Recorder(writer, keep_ids=ids)


class Recorder:
    """Collects rows and writes them in blocks. Made by ``xframe.record``.

    Attributes:
        num_steps: steps recorded so far.
        on_flush: called after each block is written, with the steps so far and the last one's epoch and loss.
    """

    def __init__(self, writer: TraceWriter, *, keep_ids: bool) -> None:
        self.num_steps = 0
        self.on_flush: Callable[[int, int | None, float | None], None] | None = None
        self.evidence: str | None = None
        self._writer = writer
        self._keep_ids = keep_ids
        self._weights: dict[str, str] = {}
        self._began = time.monotonic_ns()
        self._chunks: list[dict[str, Column]] = []  # of rows that wait to be written
        self._waiting = self._waiting_ids = 0
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._trouble: BaseException | None = None
        self._pending: list[tuple[Any, ...]] = []  # rows of steps taken one by one
        self._over = False
        self._tensor: Any = None
        self._int64: Any = None
        self._know_torch()
        self._process = unclosed.watch(self)
        # A thread, since the next step may be long in coming: validation, a checkpoint, a hang.
        threading.Thread(target=_flush_every_second, args=(weakref.ref(self), self._closed), daemon=True).start()

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
    ) -> None:
        """Takes one training step, just after it was made.

        Args:
            ids: the ids of the samples in the batch, integers of shape (batch_size,).
            updates: updates applied so far: a number, the optimizer's own counter, or what watches the optimizer,
                such as ``xframe_torch.UpdateCounter``: its ``applied`` and ``attempts`` (None if unknown) count
                updates, and its ``evidence`` states by which signs one counts as applied.
            loss, lr, accuracy: of this step, each a scalar; accuracy is the share of targets predicted rightly.
            update_attempts: updates tried so far, skipped ones included.
            epoch, step_in_epoch: labels, counted from 0 or from 1.
            padding: how many of the last ids are padding.
        """
        if self._over:
            raise UsageError("the trace is closed", expected="steps before the recorder is left")
        if updates is not None and type(updates) is not int and hasattr(updates, "applied"):
            self.evidence = updates.evidence
            update_attempts, updates = updates.attempts, updates.applied
        tensor = self._tensor
        if type(ids) is tensor and ids.is_cpu and ids.dtype is self._int64 and ids.ndim == 1:
            held = ids.numpy().tobytes()
        else:
            held = hold_ids(ids)
        row = (  # in the order of _STEP, and whole before it is kept: a step that is refused leaves nothing behind
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
            loss.item() if type(loss) is tensor and loss.is_cpu and not loss.ndim else number(loss, "loss"),
            None if accuracy is None else number(accuracy, "accuracy"),
            time.monotonic_ns() - self._began,
        )
        with self._lock:
            self._pending.append(row)
            if self._trouble is not None:
                raise self._trouble
            self.num_steps += 1
            self._waiting += 1
            self._waiting_ids += len(held) >> 3 if type(held) is bytes else held.shape[0]
            if self._waiting >= FLUSH_ROWS or self._waiting_ids >= FLUSH_IDS:
                self.flush()

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
    ) -> None:
        """Takes many steps at once.

        Args:
            ids: the batches' sample ids one after the other, of shape (sum of batch_sizes,).
            batch_sizes: rows in each batch, of shape (steps,).
            time_ns: when each step was received, since recording began; default: now.
            others: as in ``step``, each of shape (steps,); masked arrays say where a value is not known.
        """
        now = time.monotonic_ns()
        if self._over:
            raise UsageError("the trace is closed", expected="steps before the recorder is left")
        given = {"updates": updates, "update_attempts": update_attempts, "epoch": epoch, "loss": loss, "lr": lr}
        given |= {"step_in_epoch": step_in_epoch, "padding": padding, "time_ns": time_ns, "accuracy": accuracy}
        chunk: dict[str, Column] = {}
        if batch_sizes is not None:
            chunk["batch_size"] = values.of_block(batch_sizes, "batch_sizes")
        chunk |= {name: values.of_block(column, name) for name, column in given.items() if column is not None}
        rows = len(next(iter(chunk.values())).values) if chunk else 0
        for name, column in chunk.items():
            if len(column.values) != rows:
                raise UsageError(f"a block's {name}", got=len(column.values), expected=f"{rows} values, one a step")
        flat = None if ids is None else values.array(ids, "ids")
        if flat is not None and (np.ma.is_masked(ids) or np.ma.is_masked(batch_sizes)):
            raise UsageError("a block's ids and batch_sizes", got=Verbatim("a mask"), expected="all known, or no ids")
        sizes = chunk["batch_size"].values if batch_sizes is not None else np.zeros(0, dtype=np.int64)
        if (sizes < 0).any() or (flat is not None and flat.shape != (sizes.sum(),)):
            raise UsageError(
                "a block's ids and batch_sizes don't fit",
                got=Verbatim(f"ids of shape {None if flat is None else flat.shape}, batch_sizes {sizes.tolist()[:10]}"),
                expected="sizes from 0 up, and as many ids as their sum",
            )
        if not rows:
            return
        if flat is not None:
            chunk |= self._batches(values.id_bytes(flat), sizes)
        chunk.setdefault("time_ns", Column(np.full(rows, now - self._began)))
        with self._lock:
            self._settle()
            self._chunks.append(chunk)
            if self._trouble is not None:
                raise self._trouble
            self.num_steps += rows
            self._waiting += rows
            self._waiting_ids += 0 if flat is None else len(flat)
            if self._waiting >= FLUSH_ROWS or self._waiting_ids >= FLUSH_IDS:
                self.flush()

    def validation(
        self, *, loss: Any, accuracy: Any = None, ids: Any = None, batch_sizes: ArrayLike | None = None
    ) -> None:
        """Takes one validation, just after it was made. It is kept separately from the steps.

        Args:
            loss, accuracy: means over the validation samples, each a scalar.
            ids: the validation samples' ids in the order they came in, of shape (num_samples,).
            batch_sizes: samples in each batch, of shape (num_batches,).
        """
        if self._over:
            raise UsageError("the trace is closed", expected="validations before the recorder is left")
        facts: dict[str, Any] = {"time_ns": time.monotonic_ns() - self._began}
        for name, value in (("loss", loss), ("accuracy", accuracy)):
            facts[name] = None if value is None else float(values.fetch_numbers([number(value, name)])[0])
        if ids is not None:
            flat = values.id_bytes(values.fetch(values.hold(ids, "ids")))
            facts |= {"num_samples": len(flat) // 8, "ids_digest": xxh3_128_digest(flat).hex()}
        if batch_sizes is not None:
            sizes = values.of_block(batch_sizes, "batch_sizes").values
            runs = [[int(size), len(list(times))] for size, times in itertools.groupby(sizes.tolist())]
            facts |= {"num_samples": int(sizes.sum()), "num_batches": len(sizes), "batch_sizes": runs}
            if ids is not None and 8 * facts["num_samples"] != len(flat):
                raise UsageError(
                    "a validation's ids and batch_sizes don't fit",
                    got=Verbatim(f"{len(flat) // 8} ids, batch_sizes of {facts['num_samples']}"),
                    expected="as many ids as the sizes' sum",
                )
        with self._lock:
            if self._trouble is not None:
                raise self._trouble
            self.flush()
            self._writer.validation(facts)

    def weights(self, weights: Mapping[str, Any]) -> None:
        """Keeps the final weights, arrays or tensors by name, in a file beside the trace."""
        arrays = {name: np.asarray(values.fetch(values.hold(weight))) for name, weight in weights.items()}
        self._weights = write_weights(self._writer.path, arrays)

    def _know_torch(self) -> None:
        """Learns torch's types once the loop has loaded it: such tensors on the CPU are then taken the short way."""
        torch = sys.modules.get("torch")
        self._int64, self._tensor = getattr(torch, "int64", None), getattr(torch, "Tensor", None)

    def _settle(self) -> None:
        """Turns the steps taken one by one into columns; what lies on a device comes home."""
        self._know_torch()
        rows, self._pending = self._pending, []
        if not rows:
            return
        pending: dict[str, Any] = dict(zip(_STEP, zip(*rows, strict=True), strict=True))
        batches = values.fetch_ids(pending.pop("ids"))
        sizes = np.array([len(batch) for batch in batches], dtype=np.int64) // 8
        chunk = {"batch_size": Column(sizes), **self._batches(b"".join(batches), sizes)}
        chunk |= {name: values.of_steps(name, given) for name, given in pending.items()}
        self._chunks.append(chunk)

    def _batches(self, ids: bytes, sizes: NDArray[np.int64]) -> dict[str, Column]:
        """The batches' digests, and their ids if they are kept."""
        digested = {"ids_digest": ids_digests(ids, sizes)}
        return digested | ({"ids": Column(np.frombuffer(ids, dtype="<i8"))} if self._keep_ids else {})

    def flush(self) -> None:
        """Writes what is pending; the rows then survive whatever happens to the process."""
        with self._lock:
            self._settle()
            chunks, waiting = self._chunks, self._waiting
            self._chunks, self._waiting, self._waiting_ids = [], 0, 0
            if not waiting:
                return
            first = self._writer.num_rows
            sized = [(chunk, len(chunk["time_ns"].values)) for chunk in chunks]
            rows = {
                name: joined([(chunk.get(name) or unknown_column(name, size), size) for chunk, size in sized])
                for name in {name for chunk in chunks for name in chunk}
            }
            try:
                self._writer.write({"step": Column(np.arange(first, first + waiting)), **rows})
            except BaseException as error:
                self._trouble = error  # these rows are lost, so no later one may follow
                raise
            if self.on_flush is not None:
                epoch, loss = (values.last(rows.get(name)) for name in ("epoch", "loss"))
                self.on_flush(self._writer.num_rows, None if epoch is None else int(epoch), loss)

    def close(self, outcome: str = COMPLETE) -> None:
        """Writes what is pending and the end record."""
        self._over = True
        self._closed.set()
        lost = self._trouble  # rows since the last step; a loop that takes itself for complete has not yet heard of it
        try:
            if lost is None:
                self.flush()
        finally:
            ending = outcome
            if self._trouble is not None and outcome == COMPLETE:
                ending = f"interrupted by {type(self._trouble).__name__}"
            self._writer.close(ending, evidence=self.evidence or DECLARED, weights=self._weights)
        if lost is not None and outcome == COMPLETE:
            raise lost

    def __del__(self) -> None:
        if hasattr(self, "_process"):  # it was made to the end
            unclosed.settle(self, self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(COMPLETE if kind is None else f"interrupted by {kind.__name__}")


def _flush_every_second(reference: weakref.ref[Recorder], closed: threading.Event) -> None:
    """Until the recorder is closed, or gone. What goes wrong is raised by the next step."""
    while not closed.wait(FLUSH_SECONDS):
        recorder = reference()
        if recorder is None:
            return
        try:
            recorder.flush()
        except Exception as error:
            recorder._trouble = error
            return
        del recorder


def _versions() -> dict[str, str]:
    """Versions of Python, xframe and of the frameworks and trainers that this process has loaded."""
    frameworks = ("numpy", "torch", "tensorflow", "keras", "lightning", "transformers", "accelerate", "ignite", "optax")
    loaded = [name for name in frameworks if name in sys.modules]
    known = {"python": platform.python_version(), "xframe": _version("xframe-toolkit")}
    return known | {name: _version(name) for name in loaded}


@cache  # to look one up reads a file
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(distribution), "__version__", "unknown"))
