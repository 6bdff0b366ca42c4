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

import functools
import itertools
import math
import platform
import sys
import threading
import time
import weakref
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from xxhash import xxh3_128_digest

from xframe.errors import UsageError, Verbatim
from xframe.plan.training_plan import LARGEST, sample_count
from xframe.trace.files import TraceWriter
from xframe.trace.schema import Column
from xframe.trace.trace import COMPLETE, array_digest, weights_path

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from xframe.plan.training_plan import TrainingPlan

FLUSH_ROWS = 1000
FLUSH_IDS = 1 << 20
FLUSH_SECONDS = 1.0


_COUNTS = ("updates", "update_attempts", "epoch", "step_in_epoch", "padding")
_REALS = ("lr", "loss", "accuracy")
_STEP = ("ids", *_COUNTS, *_REALS, "time_ns")


class UpdateEvidence(Protocol):
    """Something that watches an optimizer, such as ``xframe_torch.UpdateCounter``; may be given as ``updates``."""

    applied: Any
    attempts: Any
    evidence: str


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
        plan: what the run is meant to do; a comparison then holds the run against it too.
        num_samples: size of the data set.
        ids: whether to keep each batch's list of sample ids, beside their digest.
        metadata: further facts about the run, as JSON values.

    Raises:
        UsageError: the file exists, or cannot be written.
    """
    facts: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": _versions(),
    }
    if plan is not None:
        facts["plan"] = plan.to_dict()
    if num_samples is not None:
        facts["num_samples"] = sample_count(num_samples)
    facts |= metadata or {}
    path = Path(path)
    if not path.name:
        raise UsageError("the trace's path", got=str(path), expected="the name of a file")
    for file in (path, weights_path(path)):
        if file.exists():
            raise UsageError(
                "the trace exists already",
                got=str(file),
                expected="a new file",
                remedy="Remove it or choose another name.",
            )
    try:
        writer = TraceWriter(path, facts)
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
        self._tensor: Any = None  # torch's type of tensors, once one is seen, which are then taken the short way
        self._int64: Any = None
        # Not when the next step comes, which may be long: validation, a checkpoint, a hang.
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
            updates: updates applied so far: a number, the optimizer's own counter, or an ``UpdateEvidence``.
            loss: of this step, a scalar.
            lr: the learning rate of this step.
            update_attempts: updates tried so far, skipped ones included.
            epoch, step_in_epoch: 0-based labels.
            padding: how many of the last ids are padding.
            accuracy: of this step, the share of its targets that were predicted rightly.
        """
        now = time.monotonic_ns()
        if self._over:
            raise UsageError("the trace is closed", expected="steps before the recorder is left")
        if updates is not None and type(updates) is not int and hasattr(updates, "applied"):
            self.evidence = updates.evidence
            update_attempts, updates = updates.attempts, updates.applied
        held: Any
        tensor = self._tensor
        if type(ids) is tensor and ids.is_cpu and ids.dtype is self._int64 and ids.ndim == 1:
            held = ids.numpy().tobytes()
            size = len(held) >> 3
        else:
            held = _hold(ids, "ids")
            held = held if _on_device(held) else _id_bytes(held)
            size = len(held) >> 3 if type(held) is bytes else held.shape[0]
            if tensor is None and _family(type(ids)) == "torch":  # type: ignore[arg-type]
                torch = sys.modules["torch"]
                self._tensor, self._int64 = torch.Tensor, torch.int64
        row = (  # in the order of _STEP, and whole before it is kept: a step that is refused leaves no part of itself
            held,
            updates if type(updates) is int and 0 <= updates <= LARGEST else _count(updates, "updates"),
            update_attempts
            if type(update_attempts) is int and 0 <= update_attempts <= LARGEST
            else _count(update_attempts, "update_attempts"),
            epoch if type(epoch) is int and 0 <= epoch <= LARGEST else _count(epoch, "epoch"),
            step_in_epoch
            if type(step_in_epoch) is int and 0 <= step_in_epoch <= LARGEST
            else _count(step_in_epoch, "step_in_epoch"),
            padding if type(padding) is int and 0 <= padding <= LARGEST else _count(padding, "padding"),
            lr if type(lr) is float else _number(lr, "lr"),
            loss.item() if type(loss) is tensor and loss.is_cpu and not loss.ndim else _number(loss, "loss"),
            None if accuracy is None else _number(accuracy, "accuracy"),
            now - self._began,
        )
        with self._lock:
            self._pending.append(row)
            if self._trouble is not None:
                raise self._trouble
            self.num_steps += 1
            self._waiting += 1
            self._waiting_ids += size
            if self._waiting >= FLUSH_ROWS or self._waiting_ids >= FLUSH_IDS:
                self.flush()

    def _added(self, rows: int, ids: int) -> None:
        if self._trouble is not None:
            raise self._trouble
        self.num_steps += rows
        self._waiting += rows
        self._waiting_ids += ids
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
        chunk = {name: _block_column(values, name) for name, values in given.items() if values is not None}
        if batch_sizes is not None:
            chunk["batch_size"] = _block_column(batch_sizes, "batch_sizes")
        rows = len(next(iter(chunk.values())).values) if batch_sizes is None and chunk else 0
        rows = rows if batch_sizes is None else len(chunk["batch_size"].values)
        for name, column in chunk.items():
            if len(column.values) != rows:
                raise UsageError(f"a block's {name}", got=len(column.values), expected=f"{rows} values, one a step")
        flat = None if ids is None else _array(ids, "ids")
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
            chunk |= self._batches(_id_bytes(flat), sizes)
        chunk.setdefault("time_ns", Column(np.full(rows, now - self._began)))
        with self._lock:
            self._settle()
            self._chunks.append(chunk)
            self._added(rows, 0 if flat is None else len(flat))

    def validation(
        self,
        *,
        loss: Any,
        accuracy: Any = None,
        ids: Any = None,
        batch_sizes: ArrayLike | None = None,
    ) -> None:
        """Takes one validation, just after it was made. It is kept apart from the steps.

        Args:
            loss, accuracy: means over the validation samples, each a scalar.
            ids: the validation samples' ids in the order they came in, of shape (num_samples,).
            batch_sizes: samples in each batch, of shape (num_batches,).
        """
        if self._over:
            raise UsageError("the trace is closed", expected="validations before the recorder is left")
        facts: dict[str, Any] = {"time_ns": time.monotonic_ns() - self._began}
        for name, value in (("loss", loss), ("accuracy", accuracy)):
            facts[name] = None if value is None else float(_numbers([_number(value, name)])[0])
        if ids is not None:
            flat = _id_bytes(_fetch(_hold(ids, "ids")))
            facts |= {"num_samples": len(flat) // 8, "ids_digest": xxh3_128_digest(flat).hex()}
        if batch_sizes is not None:
            sizes = _block_column(batch_sizes, "batch_sizes").values
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
        arrays = {name: np.asarray(_fetch(_hold(values))) for name, values in weights.items()}
        # As np.savez does, which takes no weight named "file".
        with zipfile.ZipFile(weights_path(self._writer.path), "w") as archive:
            for name, values in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)
        self._weights = {name: array_digest(values) for name, values in arrays.items()}

    def _settle(self) -> None:
        """Turns the steps taken one by one into columns; what lies on a device comes home."""
        rows, self._pending = self._pending, []
        if not rows:
            return
        pending: dict[str, Any] = dict(zip(_STEP, zip(*rows, strict=True), strict=True))
        batches = _ids_home(pending["ids"])
        sizes = np.array([len(batch) for batch in batches], dtype=np.int64) // 8
        columns = {"batch_size": Column(sizes), "time_ns": Column(np.array(pending["time_ns"], dtype=np.int64))}
        columns |= self._batches(b"".join(batches), sizes)
        for name in _COUNTS:
            columns[name] = _counts(pending[name])
        for name in _REALS:
            columns[name] = _reals(pending[name])
        self._chunks.append(columns)

    def _batches(self, ids: bytes, sizes: NDArray[np.int64]) -> dict[str, Column]:
        """The batches' digests, and their ids if they are kept."""
        data, ends = memoryview(ids), np.cumsum(8 * sizes).tolist()
        digests = b"".join([xxh3_128_digest(data[a:b]) for a, b in zip([0, *ends], ends, strict=False)])
        found = {"ids_digest": Column(np.frombuffer(digests, dtype="V16"))}
        return found | ({"ids": Column(np.frombuffer(ids, dtype="<i8"))} if self._keep_ids else {})

    def flush(self) -> None:
        """Writes what is pending; the rows then survive whatever happens to the process."""
        with self._lock:
            self._settle()
            chunks, count = self._chunks, self._waiting
            self._chunks, self._waiting, self._waiting_ids = [], 0, 0
            if not count:
                return
            first = self._writer.num_rows
            columns = {name: _joined(name, chunks) for name in {name for chunk in chunks for name in chunk}}
            try:
                self._writer.write({"step": Column(np.arange(first, first + count)), **columns})
            except BaseException as error:
                self._trouble = error  # these rows are lost, so no later one may follow
                raise
            if self.on_flush is not None:
                epoch, loss = (_last(columns.get(name)) for name in ("epoch", "loss"))
                self.on_flush(self._writer.num_rows, None if epoch is None else int(epoch), loss)

    def close(self, outcome: str = COMPLETE) -> None:
        """Writes what is pending and the end record."""
        self._over = True
        self._closed.set()
        lost = self._trouble  # rows, since the last step; nobody was told yet if the loop takes itself for complete
        try:
            if lost is None:
                self.flush()
        finally:
            ending = outcome
            if self._trouble is not None and outcome == COMPLETE:
                ending = f"interrupted by {type(self._trouble).__name__}"
            self._writer.close(ending, evidence=self.evidence or "declared by the loop", weights=self._weights)
        if lost is not None and outcome == COMPLETE:
            raise lost

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(COMPLETE if kind is None else f"interrupted by {kind.__name__}")


def _flush_every_second(recorder: weakref.ref[Recorder], closed: threading.Event) -> None:
    """Until it is closed, or gone. What goes wrong is told at the next step."""
    while not closed.wait(FLUSH_SECONDS):
        found = recorder()
        if found is None:
            return
        try:
            found.flush()
        except Exception as error:
            found._trouble = error
            return
        del found


def _versions() -> dict[str, str]:
    """Versions of Python, xframe and of the frameworks this process has loaded."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "xframe": _version("xframe-toolkit")}
    return found | {name: _version(name) for name in ("numpy", "torch", "tensorflow", "keras") if name in sys.modules}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(distribution), "__version__", "unknown"))


@functools.cache
def _family(kind: type) -> str:
    """The package a type comes from."""
    return str(kind.__module__).partition(".")[0]


def _hold(value: Any, name: str = "value") -> Any:
    """A value that later changes of its source cannot reach: a number or array, or a tensor still on its device."""
    family = _family(type(value))  # type: ignore[arg-type]
    if family == "torch":
        if not value.is_cpu:
            return value.detach().clone()
        if not value.dim():
            return value.item()
        try:
            return (value.detach() if value.requires_grad else value).numpy().copy()
        except TypeError:  # bfloat16, which NumPy has not; every value is a float32 too
            return value.detach().float().numpy()
    if value is None or isinstance(value, (int, float, np.generic)):
        return value
    if isinstance(value, np.ndarray):
        return value.copy()
    if family == "keras":
        return _hold(value.value, name)  # a Keras variable holds a native one
    if family == "tensorflow":
        if hasattr(value, "read_value"):
            value = value.read_value()
        if not hasattr(value, "numpy"):
            raise UsageError(
                "the recorder was given a symbolic tensor",
                got=value,
                expected="a tensor with a value",
                remedy="Call rec.step outside the tf.function, with what it returned.",
            )
        return value if "GPU" in value.device else value.numpy()
    try:
        return np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"a step's {name}", got=Verbatim(error), expected="a number, an array or a tensor") from None


def _on_device(held: Any) -> bool:
    return not isinstance(held, (int, float, np.generic, np.ndarray, type(None)))


def _fetch(held: Any) -> Any:
    """What ``_hold`` left on a device, as an array."""
    if not _on_device(held):
        return held
    return held.cpu().numpy() if hasattr(held, "cpu") and hasattr(held, "detach") else held.numpy()


def _array(value: Any, name: str) -> NDArray[Any]:
    """A block's column, as an array."""
    array = np.asarray(_fetch(_hold(value, name)))  # of a masked array, what is under the mask
    if array.ndim != 1:
        raise UsageError(f"a block's {name}", got=Verbatim(f"shape {array.shape}"), expected="values in one dimension")
    return array if array.size else array.astype(np.int64)


def _id_bytes(ids: Any) -> bytes:
    if type(ids) is np.ndarray and ids.dtype == np.int64 and ids.ndim == 1:  # nearly always
        return ids.tobytes()
    array = np.asarray(ids)
    kind = array.dtype.kind
    if array.ndim != 1 or kind not in ("iu" if array.size else "iuf") or (kind == "u" and (array > LARGEST).any()):
        raise UsageError(
            "a step's ids",
            got=Verbatim(f"an array of {array.dtype} with shape {array.shape}"),
            expected="the batch's sample ids: integers below 2**63, of shape (batch_size,)",
        )
    return array.astype("<i8", copy=False).tobytes()


def _ids_home(held: list[Any]) -> list[bytes]:
    """The batches' ids as bytes, those on a device fetched in one transfer where the framework can."""
    away = [i for i, ids in enumerate(held) if not isinstance(ids, bytes)]
    torch = sys.modules.get("torch")
    if torch is not None and len(away) > 1 and all(isinstance(held[i], torch.Tensor) for i in away):
        home = torch.cat([held[i] for i in away]).cpu().split([len(held[i]) for i in away])
    else:
        home = [_fetch(held[i]) for i in away]
    found = dict(zip(away, map(_id_bytes, home), strict=True))
    return [found.get(i, ids) for i, ids in enumerate(held)]


def _number(value: Any, name: str) -> Any:
    """``_hold`` of one number; anything else is refused here, in the step that brings it."""
    given = type(value)
    if value is None or given is float or given is int:
        return value
    held = _hold(value, name)
    given = type(held)
    if given is float or given is int:
        return held
    if _on_device(held):
        shape, kind = tuple(held.shape), "f"
    else:
        array = np.asarray(held)
        shape, kind = array.shape, array.dtype.kind
    if math.prod(shape) != 1 or kind not in "iufb":
        raise UsageError(
            f"a step's {name}", got=Verbatim(f"{type(value).__name__} of shape {shape}"), expected="one real number"
        )
    return held if _on_device(held) else np.asarray(held).item()


def _count(value: Any, name: str) -> Any:
    """``_number`` of a whole number; one still on a device is looked at when it comes home."""
    if value is None or (type(value) is int and -LARGEST <= value <= LARGEST):
        return value
    held = _number(value, name)
    if held is None or _on_device(held):
        return held
    if not math.isfinite(held) or held != int(held) or abs(held) > LARGEST:
        raise UsageError(f"a step's {name}", got=held, expected="a whole number")
    return int(held)


def _numbers(values: list[Any]) -> list[Any]:
    """The values with those left on a device brought home, in one transfer where the framework can."""
    away = [i for i, value in enumerate(values) if not isinstance(value, (int, float, type(None)))]
    torch = sys.modules.get("torch")
    if away and torch is not None and all(isinstance(values[i], torch.Tensor) for i in away):
        home = torch.stack([values[i].reshape(()) for i in away]).cpu().tolist()
    else:
        home = [np.asarray(_fetch(values[i])).item() for i in away]
    for i, value in zip(away, home, strict=True):
        values[i] = value
    return values


def _known_count(value: Any) -> int | None:
    """A counter that came home from a device; one that is no whole number says nothing."""
    if value is None or type(value) is int:
        return value
    return int(value) if math.isfinite(value) and value == int(value) else None


def _joined(name: str, chunks: list[dict[str, Column]]) -> Column:
    """A column of several chunks; where a chunk lacks it, it is unknown."""
    if len(chunks) == 1:
        return chunks[0][name]
    kind = next(chunk[name].values.dtype for chunk in chunks if name in chunk)
    values, known = [], []
    for chunk in chunks:
        rows = len(chunk["time_ns"].values)
        found = chunk.get(name) or Column(np.zeros(0 if name == "ids" else rows, kind), np.zeros(rows, bool))
        values.append(found.values)
        known.append(np.ones(rows, bool) if found.known is None else found.known)
    return Column(np.concatenate(values), np.concatenate(known))


def _last(column: Column | None) -> float | None:
    """The last row's value, if it is known."""
    if column is None or (column.known is not None and not column.known[-1]):
        return None
    return float(column.values[-1])


def _block_column(given: Any, name: str) -> Column:
    """A block's numbers, whole ones but for loss and lr; a mask says which are not known."""
    whole = name not in _REALS
    values, expected = _array(given, name), "whole numbers" if whole else "real numbers"
    known = ~np.ma.getmaskarray(given) if isinstance(given, np.ma.MaskedArray) else None
    kind = values.dtype.kind
    if kind not in "iufb" or (whole and kind == "u" and (values > LARGEST).any()):
        raise UsageError(f"a block's {name}", got=Verbatim(f"an array of {values.dtype}"), expected=expected)
    if whole and kind == "f":
        values = np.where(known, values, 0) if known is not None else values
        wrong = ~np.isfinite(values) | (values != np.trunc(values)) | (np.abs(values) >= 2.0**63)
        if wrong.any():
            raise UsageError(f"a block's {name}", got=float(values[wrong][0]), expected=expected)
    return Column(values.astype(np.int64 if whole else np.float64), known)


def _counts(values: tuple[Any, ...]) -> Column:
    """A column of counters; what lies on a device comes home."""
    if set(map(type, values)) == {int}:
        return Column(np.array(values, dtype=np.int64))
    return _column([_known_count(value) for value in _numbers(list(values))], np.int64)


def _reals(values: tuple[Any, ...]) -> Column:
    """A column of real numbers; what lies on a device comes home."""
    if set(map(type, values)) <= {float, int}:
        return Column(np.array(values, dtype=np.float64))
    return _column(_numbers(list(values)), np.float64)


def _column(values: list[Any], kind: type) -> Column:
    known = np.array([value is not None for value in values])
    return Column(np.array(values if known.all() else [0 if v is None else v for v in values], dtype=kind), known)
