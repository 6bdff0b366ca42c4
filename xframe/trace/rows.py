"""The one shape in which rows are looked at: those of a trace, of a plan, or given as arrays.

One row is one training step; columns have the names of ``xframe.trace.schema``. Rows are taken whole or a block at a
time, ``between``, and a column is read when it is first asked for: once for the block, and not at all if nobody asks.
What a comparison, a diagnosis or an inference looks at is always this, so that a hypothesis about a run is simply
other ``Rows`` to compare it with. Nothing of a run's facts is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xframe.errors import UsageError
from xframe.plan import counting
from xframe.plan.fields import LARGEST
from xframe.trace.certificate import ids_digests
from xframe.trace.schema import COUNTED, LISTS, UNKNOWN, Column, unknown_column

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.trace.trace import Trace

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Read = Callable[[str, int, int], Column]  # of a column's name and the rows to read: the first and the last + 1

MOST_ROWS = 1 << 18  # that ``limited`` keeps
MOST_IDS = 1 << 22
_BATCH_IDS = 1 << 20
_LARGEST_BATCH = 1 << 24  # of a plan, whose samples are looked at
_DIGESTED_ROWS = 1 << 20  # samples of a plan whose digests are made at once


class _Whole:
    """The values of the column of that name; None where some row has none."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, rows: Rows, owner: type) -> NDArray[Any] | None:
        return rows.column(self._name).values if self._name in rows.known else None


class Rows:
    """Consecutive rows of one run.

    Attributes:
        start: the place of the first row in its run, from which ``read`` counts.
        known: the columns that have a value in every row.
        complete: the last row is where the run ended by itself; False for a truncated run or a part of one.
    """

    def __init__(
        self, read: Read, num_rows: int, known: Iterable[str], *, start: int = 0, complete: bool = True
    ) -> None:
        self._read, self._num_rows, self.start = read, num_rows, start
        self.known, self.complete = frozenset(known), complete
        self._columns: dict[str, Column] = {}
        self._given: Mapping[str, Column] = {}  # those that were not read
        self._block: Rows | None = None

    @classmethod
    def of_arrays(cls, *, complete: bool = True, **columns: Any) -> Rows:
        """Rows in memory, from columns by name; a column that is None is unknown. Ids come one batch after the other.

        For example ``Rows.of_arrays(batch_size=[3, 2], ids=[0, 1, 2, 3, 4], updates=[1, 2])``.
        """
        num_rows = len(_column(columns["batch_size"]).values)
        rows = cls(lambda name, start, stop: unknown_column(name, stop - start), num_rows, (), complete=complete)
        return rows.with_columns(**columns)

    @classmethod
    def of_batches(
        cls, batches: Sequence[Sequence[int]], updates: Sequence[int] | None = None, *, complete: bool = True
    ) -> Rows:
        """Rows in memory from lists of sample ids, one a batch."""
        flat = [sample for batch in batches for sample in batch]
        return cls.of_arrays(batch_size=list(map(len, batches)), ids=flat, updates=updates, complete=complete)

    @classmethod
    def of_plan(
        cls,
        plan: TrainingPlan,
        num_samples: int,
        *,
        rate: Callable[[int], float] | None = None,
        num_rows: int | None = None,
    ) -> Rows:
        """What the plan says, computed when it is asked for; ``pass_index`` and ``position`` are columns too.

        Args:
            plan, num_samples: as ``plan.counts`` takes them.
            rate: the learning rate at each tick of the plan's ``schedule_clock``; without it ``lr`` is unknown.
            num_rows: only that many rows, the first, as where early stopping ends the run; these are then complete.
        """
        total = min(counting.num_steps(plan, num_samples), LARGEST)  # beyond it no trace could number a step
        whole = plan.remainder in ("pad", "carry")  # batches are of any number of samples
        largest = plan.batch_size if whole else min(plan.batch_size, num_samples)
        listed = ("ids", "ids_digest") if largest <= _LARGEST_BATCH else ()
        known = {*_PLANNED, *listed, *(() if rate is None else ("lr",))}
        planned = _Planned(plan, num_samples, rate, known)
        return cls(planned.read, total if num_rows is None else min(total, num_rows), known)

    @classmethod
    def of_trace(cls, trace: Trace) -> Rows:
        """The trace's rows, read from disk when they are asked for; labels that the loop counts from 1 are here
        counted from 0, as a plan's are."""

        def read(name: str, start: int, stop: int) -> Column:
            column = trace.between(name, start, stop)
            if name not in COUNTED or not trace.counted_from(name):
                return column
            unknown = column.known is not None and ~column.known
            return Column(np.where(unknown, UNKNOWN, column.values - 1), column.known)

        known = (name for name in trace.columns if trace.known_throughout(name))
        return cls(read, trace.num_rows, known, complete=trace.complete)

    def __len__(self) -> int:
        return self._num_rows

    def __repr__(self) -> str:
        return f"<{self._num_rows} Rows from {self.start}, known: {', '.join(sorted(self.known)) or 'nothing'}>"

    def column(self, name: str) -> Column:
        """A column of all of these rows."""
        held = self._columns.get(name)
        if held is None:
            held = self._columns[name] = self._read(name, self.start, self.start + self._num_rows)
        return held

    def between(self, start: int, stop: int) -> Rows:
        """Rows ``start`` to ``stop`` (excluded), counted from the first of these; the block last asked for is kept."""
        start = min(max(start, 0), self._num_rows)
        stop = max(min(stop, self._num_rows), start)
        if (start, stop) == (0, self._num_rows):
            return self
        held = self._block
        if held is not None and (held.start - self.start, held.start - self.start + len(held)) == (start, stop):
            return held
        whole = self.complete and stop == self._num_rows
        part = Rows(self._read, stop - start, self.known, start=self.start + start, complete=whole)
        if LISTS.keys() & self._columns.keys():
            self.column("batch_size")  # which says where each batch begins
        for name, (values, known) in self._columns.items():
            first, last = start, stop
            if name in LISTS:
                bounds = self.bounds if known is None else _bounds(np.where(known, self.batch_size, 0))
                first, last = LISTS[name] * int(bounds[start]), LISTS[name] * int(bounds[stop])
            part._columns[name] = Column(values[first:last], known if known is None else known[start:stop])
        self._block = part
        return part

    def head(self, rows: int) -> Rows:
        """The first rows; no longer complete if that leaves any out."""
        return self.between(0, rows)

    def limited(self, most_rows: int = MOST_ROWS, most_ids: int = MOST_IDS) -> Rows:
        """The first rows: at most ``most_rows``, and no more than have ``most_ids`` ids, but at least one.

        Without ids if a batch has more than a diagnosis can hold many times over.
        """
        head = self.head(most_rows)
        if "ids" not in self.known or not len(head):
            return head
        if int(head.batch_size.max()) > _BATCH_IDS:
            return head.with_columns(ids=None)
        return head.head(max(int(np.searchsorted(head.bounds[1:], most_ids, side="right")), 1))

    def only(self, *names: str) -> Rows:
        """These columns alone; all others are unknown."""
        return self._seen_as(lambda name: name in names, {}, self.complete)

    def with_columns(self, *, complete: bool | None = None, **columns: Any) -> Rows:
        """The same rows with other values in these columns; None makes one unknown.

        Raises:
            UsageError: a column doesn't have one value a row, or a list not as many as the batches' sizes sum to.
        """
        given = {name: _column(values) for name, values in columns.items() if values is not None}
        complete = self.complete if complete is None else complete
        rows = self._seen_as(lambda name: columns.get(name, name) is not None, given, complete)
        for name, (values, known) in given.items():
            listed = None if known is not None or name not in LISTS else LISTS[name] * int(rows.bounds[-1])
            expected = listed if name in LISTS else len(rows)
            if expected not in (None, len(values)):
                raise UsageError(f"the column {name}", got=len(values), expected=f"{expected} values")
        return rows

    def _seen_as(self, visible: Callable[[str], bool], given: Mapping[str, Column], complete: bool) -> Rows:
        """The same rows without the columns that are not visible, and with those that are given."""

        def read(name: str, start: int, stop: int) -> Column:
            return self._read(name, start, stop) if visible(name) else unknown_column(name, stop - start)

        known = {name for name in self.known - given.keys() if visible(name)}
        known |= {name for name, column in given.items() if column.known is None}
        rows = Rows(read, self._num_rows, known, start=self.start, complete=complete)
        rows._columns = {name: column for name, column in self._columns.items() if visible(name)} | {**given}
        rows._given = {name: column for name, column in self._given.items() if visible(name)} | {**given}
        return rows

    def unread(self) -> Rows:
        """The same rows, of which nothing is held in memory but what was given."""
        rows = Rows(self._read, self._num_rows, self.known, start=self.start, complete=self.complete)
        rows._columns, rows._given = {**self._given}, self._given
        return rows

    def blocks(self, rows: int) -> Iterator[Rows]:
        """All rows, that many at a time."""
        for start in range(0, self._num_rows, rows):
            yield self.between(start, start + rows)

    @property
    def batch_size(self) -> Ints:
        """Rows trained on in each step, padding included; -1 where unknown."""
        return self.column("batch_size").values

    updates = _Whole()
    ids = _Whole()  # the batches one after the other, of shape (sum of batch_size,), padding last in its batch
    epoch = _Whole()
    step_in_epoch = _Whole()
    padding = _Whole()
    loss = _Whole()
    lr = _Whole()

    @cached_property
    def bounds(self) -> Ints:
        """Batch i is ``ids[bounds[i] : bounds[i + 1]]``."""
        return _bounds(self.batch_size)

    def batch(self, row: int) -> Ints | None:
        """The sample ids of that row, padding last; None if the run doesn't list them."""
        if "ids" in self.known and "ids" in self._columns:
            ids: Ints = self._columns["ids"].values[self.bounds[row] : self.bounds[row + 1]]
            return ids
        values, known = self._read("ids", self.start + row, self.start + row + 1)
        return values if known is None or known[0] else None

    def value(self, name: str, row: int) -> Any:
        """One value of a column, as a Python number; None where it is unknown."""
        held = self._columns.get(name)
        values, known = held if held is not None else self._read(name, self.start + row, self.start + row + 1)
        at = row if held is not None else 0
        return values[at].item() if known is None or known[at] else None


def _bounds(batch_size: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(batch_size.clip(min=0))])


def _column(values: Any) -> Column:
    if isinstance(values, Column):
        return values
    array = np.asarray(values)
    return Column(array.astype(np.int64, copy=False) if array.dtype.kind in "iub" or not array.size else array)


_PLANNED = ("batch_size", "updates", "epoch", "step_in_epoch", "padding", "pass_index", "position")


class _Planned:
    """Computes a plan's columns; the block last computed is kept, for its columns are made together."""

    def __init__(
        self, plan: TrainingPlan, num_samples: int, rate: Callable[[int], float] | None, known: Collection[str]
    ) -> None:
        self.plan, self.num_samples, self.rate, self.known = plan, num_samples, rate, known
        self._held: tuple[int, int, Any] | None = None

    def rows(self, start: int, stop: int) -> Any:
        if self._held is None or self._held[:2] != (start, stop):
            self._held = start, stop, counting.rows(self.plan, self.num_samples, start, stop)
        return self._held[2]

    def read(self, name: str, start: int, stop: int) -> Column:
        if start == stop:
            return Column(unknown_column(name, 0).values)
        if name in _PLANNED:
            return Column(getattr(self.rows(start, stop), name))
        if name not in self.known:
            return unknown_column(name, stop - start)
        if name == "ids":
            return Column(counting.sample_ids(self.plan, self.num_samples, self.rows(start, stop)))
        if name == "ids_digest":
            return Column(self._digests(start, stop))
        return Column(self._rates(start, stop))

    def _digests(self, start: int, stop: int) -> NDArray[np.void]:
        digests, block = [], max(1, _DIGESTED_ROWS // self.plan.batch_size)
        for first in range(start, stop, block):
            rows = counting.rows(self.plan, self.num_samples, first, min(first + block, stop))
            ids = counting.sample_ids(self.plan, self.num_samples, rows).astype("<i8", copy=False)
            digests.append(ids_digests(ids.tobytes(), rows.batch_size).values)
        return np.concatenate(digests)

    def _rates(self, start: int, stop: int) -> Floats:
        """The learning rates of these steps, by the task's schedule."""
        assert self.rate is not None
        clock = self.plan.schedule_clock
        if clock == "steps":
            ticks = np.arange(start, stop)
        elif clock == "epochs":
            ticks = self.rows(start, stop).epoch
        else:  # updates before the step
            before = int(counting.rows(self.plan, self.num_samples, start - 1, start).updates[0]) if start else 0
            ticks = np.concatenate([[before], self.rows(start, stop).updates])[:-1]
        values, where = np.unique(ticks, return_inverse=True)
        return np.array([self.rate(int(tick)) for tick in values])[where]
