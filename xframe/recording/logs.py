"""Makes a trace of the log that people have instead of one: CSV, JSON lines, or TensorBoard's event files.

    found = import_run("metrics.csv", "old.trace", columns={"loss": "train/loss"})

A log says less than a trace. What it lacks stays unknown in the trace, and a comparison calls it not judged;
nothing is made up for it, and a log of every n-th step is refused rather than filled in. Numbers are read
strictly: what is no number, or a number that cannot be, is refused with its line. Nothing in a file is run.

A log has no end that would say that it is whole, so the trace is as complete as the log: of an event file
that breaks off inside a record the trace is *truncated*.

CSV and JSON lines are read in chunks, in constant memory. Of event files, which hold each scalar apart,
every scalar is held in memory, 16 bytes a number.
"""

from __future__ import annotations

import csv
import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TextIO

import numpy as np

from xframe.errors import UsageError, Verbatim, unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.recording.recorder import Recorder

FORMS = ("csv", "jsonl", "tensorboard")
COUNTS = ("step", "batch_size", "updates", "update_attempts", "epoch", "step_in_epoch", "padding")
NUMBERS = ("lr", "loss")
COLUMNS = (*COUNTS[:2], "ids", *COUNTS[2:], *NUMBERS)
GUESSES: Mapping[str, tuple[str, ...]] = {
    "step": ("step", "global_step", "iteration", "train/global_step", "trainer/global_step"),
    "batch_size": ("batch_size",),
    "ids": ("ids", "sample_ids"),
    "updates": ("updates", "num_updates"),
    "update_attempts": ("update_attempts",),
    "lr": ("lr", "learning_rate", "train/lr", "train/learning_rate"),
    "loss": ("loss", "train_loss", "train/loss"),
    "epoch": ("epoch", "train/epoch"),
    "step_in_epoch": ("step_in_epoch",),
    "padding": ("padding",),
}
CHUNK_ROWS = 1 << 16
CHUNK_CHARACTERS = 1 << 22  # of the column of ids in CSV, of all in JSON lines
CHUNK_CELLS = 1 << 20  # of CSV, where a log has hundreds of columns

_RESTS_ON = {"ids": "boundaries", "updates": "updates", "epoch": "epochs", "lr": "lr", "loss": "loss"}
_INTEGER = re.compile(r"[+-]?[0-9]+")
_BETWEEN_IDS = str.maketrans(";,[]", "    ")
_IDS = re.compile(r"\s*\[?[0-9\s;,-]*\]?\s*", re.ASCII)
_LARGEST = 2**63 - 1
_NUMERIC = {1, 2, 3, 4, 5, 6, 9, 14, 17, 19, 22, 23}  # the protocol's numbers for floats and integers
_CELL = 1 << 26  # characters in one CSV cell at most
_LEAVE_OUT = "Leave the column out, in Python with columns={{{0!r}: ''}}, on the command line with --column {0}="


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a log.

    Attributes:
        rows: steps in the trace.
        columns: by the trace's name of a column, what it is called in the log.
        not_judged: the checks of a comparison that the log has nothing for, or not for every step.
        ending: ``complete``, or ``truncated`` where the log breaks off inside a record.
        form: ``csv``, ``jsonl`` or ``tensorboard``.
    """

    rows: int
    columns: dict[str, str]
    not_judged: tuple[str, ...]
    ending: str
    form: str


class _Values(NamedTuple):
    """A column of a chunk: its values, and where they are known (None: everywhere)."""

    values: NDArray[Any]
    known: NDArray[np.bool_] | None = None


class _Ids(NamedTuple):
    """The sample ids of a chunk one after the other, and how many each row has."""

    flat: NDArray[np.int64]
    sizes: NDArray[np.int64]


class _Chunk(NamedTuple):
    """Rows as they stand in the log: the raw values by the log's own names, and the line of each."""

    lines: Sequence[int]
    cells: Mapping[str, Sequence[Any]]


def import_run(
    source: str | Path,
    out: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    num_samples: int | None = None,
    form: str | None = None,
) -> Imported:
    """Writes a trace at ``out`` from the log at ``source``.

    Args:
        source: a CSV file, a file of JSON lines, a TensorBoard event file, or the folder of one run's event files.
        out: a file that does not exist yet; removed again where the log is refused.
        columns: by the trace's name of a column (``COLUMNS``), its name in the log; an empty name leaves it out.
            What is not given is guessed, see ``GUESSES``.
        num_samples: size of the data set.
        form: one of ``FORMS``; default: by the file's name.

    Raises:
        UsageError: the log is none, is not strictly one, or has not a row for each step.
    """
    from xframe.recording.recorder import record

    path = Path(source)
    form = _form(path) if form is None else form
    if form not in FORMS:
        raise unknown("form of a log", form, FORMS)
    for name in columns or {}:
        if name not in COLUMNS:
            raise unknown("column of a trace", name, COLUMNS)
    if not path.exists():
        raise UsageError("cannot read the log", got=str(source), expected="a file, or a folder of event files")
    log = {"csv": _Csv, "jsonl": _JsonLines, "tensorboard": _Events}[form](path)
    with log:
        used = _chosen(log, dict(columns or {}))
        facts = {
            "imported": {"from": path.name, "form": form, "columns": used},
            # Of the run itself nothing is known; this process's own are not its.
            "started": "unknown",
            "platform": "unknown",
            "versions": {},
        }
        rec = record(out, num_samples=num_samples, metadata=facts)
        rec.evidence = f"as a log says ({form})"
        try:
            rows, partly = _copy(log, used, rec)
            if not rows:
                raise UsageError("the log has no steps", got=str(path), expected="at least one")
            rec.close(log.ending)
        except BaseException:
            with suppress(Exception):
                rec.close("not imported")  # for its file's sake
            Path(out).unlink(missing_ok=True)
            raise
    whole = used.keys() - partly
    not_judged = [check for column, check in _RESTS_ON.items() if column not in whole]
    return Imported(rows, used, (*not_judged, "weights"), log.ending, form)


def _form(path: Path) -> str:
    if path.is_dir() or "tfevents" in path.name:
        return "tensorboard"
    forms = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    found = forms.get(path.suffix.lower())
    if found is None:
        raise UsageError(
            "a log of an unknown form",
            got=path.name,
            expected="a name that ends in " + ", ".join(forms) + ", or TensorBoard's event files",
            remedy="Say which with form=: " + ", ".join(FORMS) + ".",
        )
    return found


def _chosen(log: _Log, given: dict[str, str]) -> dict[str, str]:
    """By the trace's name of each column that is there, its name in the log."""
    names = log.names
    used: dict[str, str] = {}
    for column in COLUMNS:
        if column in given:
            if not given[column]:
                continue
            if given[column] not in names:
                raise unknown(f"column of {log.path.name}", given[column], names)
            used[column] = given[column]
            continue
        found = [name for name in log.guesses(column) if name not in given.values()]
        if len(found) > 1:
            raise UsageError(
                f"more than one column of {log.path.name} could be the {column}",
                got=Verbatim(", ".join(found)),
                expected="one",
                remedy=f"Name it, in Python with columns={{{column!r}: {found[0]!r}}}, "
                f"on the command line with --column {column}={found[0]}",
            )
        if found:
            used[column] = found[0]
    doubled = [name for name in used.values() if list(used.values()).count(name) > 1]
    if doubled:
        raise UsageError("a column of the log is used twice", got=doubled[0], expected="each for one thing")
    if "step" not in used and "ids" not in used and "batch_size" not in used:
        raise UsageError(
            f"nothing says which step a row of {log.path.name} is",
            got=Verbatim("columns " + ", ".join(names[:20])),
            expected="a column with the step, one row a step; or with ids or batch_size",
            remedy="Name it, in Python with columns={'step': ...}, on the command line with --column step=…",
        )
    if set(used) == {"step"} and log.form != "tensorboard":  # which sees to it itself
        raise UsageError(
            f"none of the columns of {log.path.name} is known by its name",
            got=Verbatim(", ".join(names[:20])),
            expected="one beside the step: " + ", ".join(COLUMNS[1:]),
            remedy="Name it, in Python with columns={'loss': ...}, on the command line with --column loss=…",
        )
    return used


def _copy(log: _Log, used: Mapping[str, str], rec: Recorder) -> tuple[int, set[str]]:
    """Copies all rows; how many they were, and which columns are not known in all of them."""
    rows, first, partly = 0, 0, set()
    for chunk in log.chunks(used):
        columns: dict[str, _Values | _Ids] = {}
        for column, name in used.items():
            parse = log.ids if column == "ids" else log.counts if column in COUNTS else log.numbers
            found = parse(chunk, column, name)
            columns[column] = found
            if isinstance(found, _Values) and found.known is not None:
                partly.add(column)
                if column in ("step", "batch_size"):
                    at = chunk.lines[int(np.argmin(found.known))]
                    log.refuse(at, f"no {column}", None, "one in every row", "Keep only the rows of training steps.")
        steps = columns.pop("step", None)
        if isinstance(steps, _Values):
            if not rows:
                first = int(steps.values[0])
            _consecutive(log, chunk.lines, steps.values, rows, first)
        ids, sizes = columns.get("ids"), columns.get("batch_size")
        if isinstance(ids, _Ids) and isinstance(sizes, _Values) and (ids.sizes != sizes.values).any():
            at = int(np.argmax(ids.sizes != sizes.values))
            log.refuse(chunk.lines[at], "the ids", f"{ids.sizes[at]}", f"{sizes.values[at]} of them, by batch_size")
        _write(rec, columns, len(chunk.lines))
        rows += len(chunk.lines)
    return rows, partly


def _consecutive(log: _Log, lines: Sequence[int], steps: NDArray[np.int64], before: int, first: int) -> None:
    """Refuses steps that do not follow one another from 0 or 1 on, and says what they look like."""
    wanted = np.arange(first + before, first + before + len(steps))
    unequal = np.flatnonzero(steps != wanted)
    if first in (0, 1) and not unequal.size:
        return
    at = int(unequal[0]) if unequal.size else 0
    last = int(wanted[at]) - 1 if at or before else None  # the step before this one, as all up to here are in order
    apart = np.diff(steps[max(at - 1, 0) : at + 10])
    expected = f"step {last + 1}" if last is not None else "step 0 or 1"
    if apart.size and apart[0] > 1 and (apart == apart[0]).all():
        why = f"the log holds only one in {apart[0]} steps"
        remedy = "Log every step and train again: what happened between two logged steps cannot be told."
    elif first not in (0, 1):
        at, expected, why = 0, "step 0 or 1", "the log begins late"
        remedy = "Put the log of the run's first part before it."
    elif steps[at] == last:
        why = "a step comes twice"
        remedy = "Keep one row a step: leave out validation rows, and what a resumed run logged again."
    else:
        why = "steps are missing or out of order"
        remedy = "Log every step, once and in order."
    log.refuse(lines[at], why, f"step {steps[at]}", expected, remedy)


def _write(rec: Recorder, columns: dict[str, _Values | _Ids], count: int) -> None:
    """Hands a chunk to the recorder, with or without its samples' ids."""
    ids, sizes = columns.pop("ids", None), columns.pop("batch_size", None)
    given: dict[str, Any] = {
        "time_ns": np.ma.array(np.zeros(count, dtype=np.int64), mask=True)
    }  # when a step was made is not known
    given |= {
        name: np.ma.array(found.values, mask=False if found.known is None else ~found.known)
        for name, found in columns.items()
        if isinstance(found, _Values)
    }
    if isinstance(ids, _Ids):
        given |= {"ids": ids.flat, "batch_sizes": ids.sizes}
    elif isinstance(sizes, _Values):
        given["batch_sizes"] = sizes.values
    rec.block(**given)


class _Log:
    """What the three forms share: strict numbers out of what stands in a file, and errors that say where."""

    form = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.ending = "complete"

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def guesses(self, column: str) -> list[str]:
        """The names in the log that are commonly used for that column."""
        return [name for name in self.names if name.strip().lower() in GUESSES[column]]

    def chunks(self, used: Mapping[str, str]) -> Iterator[_Chunk]:
        raise NotImplementedError

    def refuse(
        self, line: int, what: str, got: str | None, expected: str | None = None, remedy: str | None = None
    ) -> NoReturn:
        where = f"{self.path.name}, line {line}" if line else self.path.name
        shown = None if got is None else Verbatim(got if len(got) <= 100 else got[:99] + "…")
        raise UsageError(f"{where}: {what}", got=shown, expected=expected, remedy=remedy)

    def counts(self, chunk: _Chunk, column: str, name: str) -> _Values:
        """A column of whole numbers from 0 up."""
        return self._column(chunk, column, name, self._count, np.int64, "a whole number from 0 up")

    def numbers(self, chunk: _Chunk, column: str, name: str) -> _Values:
        """A column of floats; only a loss may be NaN or infinite."""
        expected = "a number" if column == "loss" else "a finite number"
        found = self._column(chunk, column, name, self._number, np.float64, expected)
        odd = ~np.isfinite(found.values)
        if odd.any() and column != "loss":
            at = int(np.argmax(odd))
            self._refuse_cell(chunk, at, column, name, expected)
        return found

    def ids(self, chunk: _Chunk, column: str, name: str) -> _Ids:
        """The column of the samples' ids."""
        flat, ends = array("q"), array("q", [0])
        for i, cell in enumerate(chunk.cells[name]):
            try:
                members = self._members(cell)
                if members is None:
                    raise ValueError
                flat.extend(members)
            except (ValueError, OverflowError):
                self._refuse_cell(chunk, i, column, name, "sample ids: integers below 2**63, in every row")
            ends.append(len(flat))
        return _Ids(np.array(flat, dtype=np.int64), np.diff(np.array(ends, dtype=np.int64)).astype(np.int64))

    def _column(
        self, chunk: _Chunk, column: str, name: str, parse: Any, kind: type[np.generic], expected: str
    ) -> _Values:
        cells = chunk.cells[name]
        quick = self._quick(cells, kind)
        if quick is not None:
            return _Values(quick)
        values = np.zeros(len(cells), dtype=kind)
        known = np.zeros(len(cells), dtype=bool)
        for i, cell in enumerate(cells):
            if cell is None or (isinstance(cell, str) and not cell.strip()):
                continue
            value = parse(cell)
            if value is None:
                self._refuse_cell(chunk, i, column, name, expected)
            values[i], known[i] = value, True
        return _Values(values, None if known.all() else known)

    def _refuse_cell(self, chunk: _Chunk, row: int, column: str, name: str, expected: str) -> NoReturn:
        cell = chunk.cells[name][row]
        called = column if name == column else f"{column} (column {name!r})"
        missing = cell is None or cell == ""
        remedy = None if column in ("step", "batch_size") else _LEAVE_OUT.format(column)
        self.refuse(chunk.lines[row], f"the {called}", "nothing" if missing else repr(cell), expected, remedy)

    def _quick(self, cells: Sequence[Any], kind: type[np.generic]) -> NDArray[Any] | None:
        """All values at once, where each is what it should be beyond doubt."""
        return None

    def _count(self, cell: Any) -> int | None:
        """A whole number from 0 up; 3.0 is one, as a log that had gaps writes it."""
        if type(cell) is float:
            cell = int(cell) if cell.is_integer() else None
        return cell if type(cell) is int and 0 <= cell <= _LARGEST else None

    def _number(self, cell: Any) -> float | None:
        if type(cell) is int:
            try:
                return float(cell)
            except OverflowError:
                return None
        return cell if type(cell) is float else None

    def _members(self, cell: Any) -> Iterable[int] | None:
        """The ids in that cell; None, or a ValueError, where it is none or holds something else."""
        return cell if type(cell) is list and set(map(type, cell)) <= {int} else None


class _Text(_Log):
    """A file of lines of text."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._file: TextIO = path.open(encoding="utf-8-sig", newline="")
        except OSError as error:
            raise UsageError(
                "cannot read the log", got=str(path), expected=f"a readable file ({error.strerror or error})"
            ) from None

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _Csv(_Text):
    """CSV with a header line; fields apart by commas, or by the semicolons or tabs that the header has instead."""

    form = "csv"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with _long_cells(), self._decoding():
                head = self._file.readline()
                counts = {mark: head.count(mark) for mark in ",;\t"}
                self._reader = csv.reader(self._lines(head), delimiter=max(counts, key=counts.__getitem__), strict=True)
                self.names = next(self._reader, [])
            if not any(name.strip() for name in self.names):
                self.refuse(1, "no names of columns", repr(head[:80]), "a header line")
            doubled = [name for name in self.names if self.names.count(name) > 1]
            if doubled:
                self.refuse(1, "two columns have one name", doubled[0], "each column by a name of its own")
        except BaseException:
            self._file.close()
            raise

    def _lines(self, head: str) -> Iterator[str]:
        yield head
        yield from self._file

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        reader = getattr(self, "_reader", None)
        try:
            yield
        except UnicodeDecodeError as error:
            self.refuse(0, f"after line {reader.line_num if reader else 0}", str(error), "text in UTF-8")
        except csv.Error as error:
            self.refuse(reader.line_num if reader else 1, "not a line of CSV", str(error), "quotes in pairs")

    def chunks(self, used: Mapping[str, str]) -> Iterator[_Chunk]:
        width = len(self.names)
        most = min(CHUNK_ROWS, max(1, CHUNK_CELLS // width))
        places = {name: self.names.index(name) for name in used.values()}
        at_ids = self.names.index(used["ids"]) if "ids" in used else None
        rows: list[list[str]] = []
        lines: list[int] = []
        size = 0
        with _long_cells(), self._decoding():
            reader = self._reader
            for row in reader:
                if len(row) != width:
                    if not row:
                        continue
                    self.refuse(reader.line_num, "a row", f"{len(row)} fields", f"{width}, as the header has")
                rows.append(row)
                lines.append(reader.line_num)
                if at_ids is not None:
                    size += len(row[at_ids])
                if len(rows) >= most or size >= CHUNK_CHARACTERS:
                    yield _Chunk(lines, {name: [row[i] for row in rows] for name, i in places.items()})
                    rows, lines, size = [], [], 0
        if rows:
            yield _Chunk(lines, {name: [row[i] for row in rows] for name, i in places.items()})

    def _quick(self, cells: Sequence[Any], kind: type[np.generic]) -> NDArray[Any] | None:
        text = "".join(cells).lower()
        # float and int take 1_000 and other scripts' digits for numbers; "inf" shall be said, and not be 1e999.
        if "_" in text or not text.isascii():
            return None
        try:
            if kind is np.float64:
                values = np.array(list(map(float, cells)))
                return values if "inf" in text or not np.isinf(values).any() else None
            values = np.array(list(map(int, cells)), dtype=np.int64)
        except (ValueError, OverflowError):
            return None
        return None if (values < 0).any() else values

    def _count(self, cell: Any) -> int | None:
        text = cell.strip()
        if _INTEGER.fullmatch(text) and len(text) < 40:
            return super()._count(int(text))
        number = self._number(text)
        return super()._count(number) if number is not None and abs(number) < 2**53 else None

    def _number(self, cell: Any) -> float | None:
        if "_" in cell or not cell.isascii():
            return None
        try:
            value = float(cell)
        except ValueError:
            return None
        return None if np.isinf(value) and "inf" not in cell.lower() else value

    def _members(self, cell: Any) -> Iterable[int] | None:
        if not cell.strip() or not _IDS.fullmatch(cell):
            return None
        return map(int, cell.translate(_BETWEEN_IDS).split())


@contextmanager
def _long_cells() -> Iterator[None]:
    """A cell may hold the ids of a large batch; csv's limit, which is the whole process's, is put back."""
    before = csv.field_size_limit(_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


class _JsonLines(_Text):
    """One JSON object a line. Its columns are the keys of the first chunk's objects."""

    form = "jsonl"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._line = 0
        try:
            self._first = self._objects()
        except BaseException:
            self._file.close()
            raise
        self.names = list(dict.fromkeys(key for row in self._first[1] for key in row))

    def _objects(self) -> tuple[list[int], list[dict[str, Any]]]:
        lines: list[int] = []
        rows: list[dict[str, Any]] = []
        size = 0
        while len(rows) < CHUNK_ROWS and size < CHUNK_CHARACTERS:
            try:
                text = self._file.readline(_CELL)
            except UnicodeDecodeError as error:
                self.refuse(0, f"after line {self._line}", str(error), "text in UTF-8")
            if not text:
                break
            self._line += 1
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                cut = "" if text.endswith("\n") else "Is the last line whole? Remove it if not."
                self.refuse(self._line, "not JSON", str(error), "one JSON object a line", cut or None)
            if type(row) is not dict:
                self.refuse(self._line, "not an object", repr(row), "one JSON object a line")
            lines.append(self._line)
            rows.append(row)
            size += len(text)
        return lines, rows

    def chunks(self, used: Mapping[str, str]) -> Iterator[_Chunk]:
        (lines, rows), self._first = self._first, ([], [])
        while rows:
            yield _Chunk(lines, {name: [row.get(name) for row in rows] for name in used.values()})
            lines, rows = self._objects()

    def _quick(self, cells: Sequence[Any], kind: type[np.generic]) -> NDArray[Any] | None:
        kinds = set(map(type, cells))
        if kinds == {int} or (kinds <= {int, float} and kind is np.float64):
            try:
                values = np.array(cells, dtype=kind)
            except OverflowError:
                return None
            return values if kind is np.float64 or not (values < 0).any() else None
        return None

    def _number(self, cell: Any) -> float | None:
        odd = {"nan": np.nan, "inf": np.inf, "infinity": np.inf, "-inf": -np.inf, "-infinity": -np.inf}
        return odd.get(cell.lower()) if type(cell) is str else super()._number(cell)


class _Events(_Log):
    """TensorBoard's event files of one run: a scalar is a column, an event's step says which row."""

    form = "tensorboard"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._points: dict[str, tuple[array[int], array[float]]] = {}
        for file in _event_files(path):
            self._load(file)
        if not self._points:
            raise UsageError("no scalars in the event files", got=str(path), expected="scalars, logged at each step")
        self.names = ["step", *sorted(self._points.keys() - {"step"})]

    def _load(self, file: Path) -> None:
        try:
            # TensorBoard's own reader, not the one that loads TensorFlow where it is installed.
            from tensorboard.compat.proto import event_pb2
            from tensorboard.compat.tensorflow_stub import errors
            from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
            from tensorboard.util import tensor_util
        except ImportError as error:
            raise UsageError(
                "TensorBoard's event files need a package that is not installed",
                got=Verbatim(error),
                remedy="Install it: pip install 'xframe-toolkit[tensorboard]'",
            ) from None
        from google.protobuf.message import DecodeError

        reader = PyRecordReader_New(str(file))
        while True:
            try:
                reader.GetNext()
                event = event_pb2.Event.FromString(reader.record())
            except errors.OutOfRangeError:
                return
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
                    number = float(tensor_util.make_ndarray(value.tensor))
                else:  # text, images, histograms
                    continue
                steps, numbers = self._points.setdefault(value.tag, (array("q"), array("d")))
                steps.append(event.step)
                numbers.append(number)

    def guesses(self, column: str) -> list[str]:
        """The step is the events' own, whatever scalars are called."""
        return ["step"] if column == "step" else super().guesses(column)

    def chunks(self, used: Mapping[str, str]) -> Iterator[_Chunk]:
        if used.get("step") != "step" or "ids" in used:
            raise UsageError(
                "a column that event files do not have",
                got=Verbatim(", ".join(f"{k}={used[k]}" for k in ("step", "ids") if k in used)),
                expected="no ids, and the step of the events themselves",
            )
        scalars = {name: self._points[name] for column, name in used.items() if column != "step"}
        if not scalars:
            raise UsageError(
                f"none of the scalars in {self.path.name} is known by its name",
                got=Verbatim(", ".join(self.names[1:21])),
                expected="one that is a column of a trace: " + ", ".join(COLUMNS[1:]),
                remedy="Name it, in Python with columns={'loss': ...}, on the command line with --column loss=…",
            )
        steps = np.unique(np.concatenate([np.frombuffer(at, dtype=np.int64) for at, _ in scalars.values()]))
        if self.ending != "complete":
            steps = steps[:-1]  # some of its scalars may have been on their way
        values: dict[str, NDArray[Any]] = {}
        for name, (at, numbers) in scalars.items():
            places = np.frombuffer(at, dtype=np.int64)
            if (np.diff(places) <= 0).any():
                step = int(places[1:][np.diff(places) <= 0][0])
                self.refuse(
                    0,
                    f"scalar {name!r} goes back",
                    f"step {step} after one that is not before it",
                    "each step once, in order",
                    "Import the event files of one run only, without what a resumed run logged again.",
                )
            column = np.full(len(steps), None, dtype=object)
            kept = places <= steps[-1] if steps.size else np.zeros(len(places), dtype=bool)
            column[np.searchsorted(steps, places[kept])] = np.frombuffer(numbers, dtype=np.float64)[kept]
            values[name] = column
        for start in range(0, len(steps), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            cells = {name: column[part].tolist() for name, column in values.items()}
            cells["step"] = steps[part].tolist()
            yield _Chunk([0] * len(cells["step"]), cells)


def _event_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found: dict[Path, list[Path]] = {}
    for file in sorted(path.rglob("*tfevents*")):
        if file.is_file():
            found.setdefault(file.parent, []).append(file)
    if path in found:
        return found[path]
    if len(found) == 1:
        return next(iter(found.values()))
    raise UsageError(
        "a folder of one run's event files",
        got=Verbatim(_listed(folder.relative_to(path) for folder in found) if found else f"none in {path}"),
        expected="event files of one run",
        remedy="Name the folder of that run." if found else None,
    )


def _listed(places: Iterable[Path]) -> str:
    names = [str(place) for place in places]
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
