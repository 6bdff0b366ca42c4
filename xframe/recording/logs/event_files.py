"""TensorBoard's event files of one run: a scalar is a column, an event's step says which row.

Such files hold the points of all scalars mixed, so all of them are kept in memory, 16 bytes a number.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from xframe.errors import UsageError, Verbatim, not_installed
from xframe.files.limits import opened
from xframe.recording.logs.log import Block, Log, fits
from xframe.trace.schema import BY_NAME, DTYPES, Column

_LONGEST = 1 << 23  # bytes of a record
_NUMERIC = {1, 2, 3, 4, 5, 6, 9, 14, 17, 19, 22, 23}  # the protocol's numbers for floats and integers


class EventFiles(Log):
    """One event file, or the folder of one run's event files."""

    form = "tensorboard"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._points: dict[str, tuple[array[int], array[float]]] = {}
        for file in _event_files(path):
            self._load(file)
        if not self._points:
            raise UsageError("no scalars in the event files", got=str(path), expected="scalars, logged at each step")
        self.names = ["step", *sorted(self._points.keys() - {"step"})]

    @classmethod
    def is_at(cls, path: Path) -> bool:
        return path.is_dir() or "tfevents" in path.name

    def _load(self, file: Path) -> None:
        try:
            # TensorBoard's own reader, not the one that loads TensorFlow where it is installed.
            from tensorboard.compat.proto import event_pb2
            from tensorboard.compat.tensorflow_stub import errors
            from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
            from tensorboard.util import tensor_util
        except ImportError as error:
            raise not_installed("a TensorBoard log", error, "tensorboard") from None
        from google.protobuf.message import DecodeError

        reader = PyRecordReader_New(str(file))
        reader.file_handle.close()
        with opened(file) as handle:
            reader.file_handle = _Bounded(handle)
            while True:
                try:
                    reader.GetNext()
                    event = event_pb2.Event.FromString(reader.record())
                except errors.OutOfRangeError:
                    return
                except OSError as error:
                    self.refuse(0, f"{file.name} cannot be read", str(error))
                except (errors.DataLossError, DecodeError) as error:
                    if isinstance(error, errors.DataLossError) and "truncated" in str(error):
                        self.ending = "truncated"
                        return
                    self.refuse(0, f"{file.name} is damaged", str(error), remedy="Copy the file again.")
                for value in event.summary.value:
                    kind = value.WhichOneof("value")
                    if kind == "simple_value":
                        number = float(value.simple_value)
                    elif kind == "tensor" and value.tensor.dtype in _NUMERIC and not value.tensor.tensor_shape.dim:
                        number = self._number(file, value.tensor, tensor_util)
                    else:  # text, images, histograms
                        continue
                    steps, numbers = self._points.setdefault(value.tag, (array("q"), array("d")))
                    steps.append(event.step)
                    numbers.append(number)

    def _number(self, file: Path, tensor: Any, tensor_util: Any) -> float:
        try:
            return float(tensor_util.make_ndarray(tensor).real)
        except (LookupError, TypeError, ValueError) as error:
            self.refuse(0, f"{file.name} is damaged", f"a scalar without a number ({error})")

    def candidates(self, column: str, usual: Sequence[str]) -> list[str]:
        """The step is the events' own, whatever scalars are called."""
        return ["step"] if column == "step" else super().candidates(column, usual)

    def blocks(self, used: Mapping[str, str]) -> Iterator[Block]:
        if used.get("step") != "step" or "ids" in used:
            raise UsageError(
                "a column that event files do not have",
                got=Verbatim(", ".join(f"{k}={used[k]}" for k in ("step", "ids") if k in used)),
                expected="no ids, and the step of the events themselves",
            )
        scalars = {column: self._scalar(name) for column, name in used.items() if column != "step"}
        steps = np.unique(np.concatenate([at for at, _ in scalars.values()]))
        if self.ending != "complete":
            steps = steps[:-1]  # some of its scalars may not have been written yet
        if len(steps):
            columns = {column: self._column(column, used[column], *scalar, steps) for column, scalar in scalars.items()}
            yield Block(len(steps), {"step": Column(steps), **columns}, None, lambda row: 0)

    def _scalar(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """At which steps that scalar was logged, each once and in order, and its numbers."""
        at, numbers = self._points[name]
        steps = np.frombuffer(at, dtype=np.int64)
        back = np.flatnonzero(np.diff(steps) <= 0)
        if back.size:
            got = f"step {steps[back[0] + 1]} after one that is not before it"
            remedy = "Import the event files of one run only, without what a resumed run logged again."
            self.refuse(0, f"scalar {name!r} goes back", got, "each step once, in order", remedy)
        return steps, np.frombuffer(numbers, dtype=np.float64)

    def _column(
        self, column: str, name: str, at: NDArray[np.int64], numbers: NDArray[np.float64], steps: NDArray[np.int64]
    ) -> Column:
        """The scalar at these steps; unknown where it was not logged."""
        numbers = numbers[at <= steps[-1]]
        wrong = ~fits(column, numbers)
        if wrong.any():
            self.numbers(column, name, numbers[wrong].tolist(), lambda row: 0)  # refuses the first
        values = np.zeros(len(steps), dtype=DTYPES[BY_NAME[column].kind])
        known = np.isin(steps, at)
        values[known] = numbers
        return Column(values, None if known.all() else known)


class _Bounded:
    """A file of which no more is read than it has, and no record beyond all measure: a record states its length."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, os.fstat(file.fileno()).st_size

    def read(self, size: int) -> bytes:
        left = self._size - self._file.tell()
        if _LONGEST < size <= left:
            raise OSError(f"a record of {size:,} bytes, where one has at most {_LONGEST:,}")
        return self._file.read(max(min(size, left), 0))


def _event_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folders: dict[Path, list[Path]] = {}
    for file in sorted(path.rglob("*tfevents*")):
        if file.is_file():
            folders.setdefault(file.parent, []).append(file)
    if path in folders:
        return folders[path]
    if len(folders) == 1:
        return next(iter(folders.values()))
    names = [str(folder.relative_to(path)) for folder in folders]
    listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    raise UsageError(
        "a folder of one run's event files",
        got=Verbatim(listed or f"none in {path}"),
        expected="event files of one run",
        remedy="Name the folder of that run." if folders else None,
    )
