"""Rows that graphs write where they run, one after the other in one table, and how they come home.

A row begins with the number of its kind, which says what follows: facts known when the graph was made are not written
at all. Rows of steps that run outside of graphs wait here too, each with the place in the table that it came after.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from xframe.errors import UsageError
from xframe.recording.attach.machine import Batch, Machine
from xframe.recording.attach.patches import harmless
from xframe.recording.recorder import FLUSH_SECONDS
from xframe_tensorflow import settings
from xframe_tensorflow.evidence import STEP
from xframe_tensorflow.instruments.batches import Pass
from xframe_tensorflow.instruments.graphs import plain_variable
from xframe_tensorflow.instruments.noting import Noting
from xframe_tensorflow.instruments.rows import Optimizer, Row, Totals, blocks

CAPACITY = 1 << 18  # numbers that the table holds
_MOST_EARLY = 1000  # rows that wait for the first optimizer
_HEAD = 2  # kind and size


@dataclass(eq=False, slots=True)
class Kind:
    """What the rows that one place in a graph writes have in common.

    Attributes:
        wholes, optimizers, reals: what follows the head; of an optimizer its iterations before (-1: not read)
            and after.
        known: values that are the same for all.
        lists: what comes last, each with its numbers for a sample.
        measured: the lists' lengths stand before the optimizers; otherwise they are the batch's size.
        sized: whether the batch's size is known.
        alone: each call of the function that it stands in writes this row and no other.
        test: it is of an evaluation.
    """

    number: int
    wholes: tuple[str, ...]
    optimizers: tuple[Optimizer, ...]
    reals: tuple[str, ...]
    known: dict[str, Any]
    lists: tuple[tuple[str, int], ...]
    sized: bool
    test: bool
    measured: bool
    alone: bool = False

    @property
    def length(self) -> int:
        """Numbers in a row, without the lists."""
        lengths = len(self.lists) if self.measured else 0
        return _HEAD + len(self.wholes) + lengths + 2 * len(self.optimizers) + len(self.reals)

    @property
    def for_sample(self) -> int:
        """Numbers in the lists for a sample."""
        return sum(numbers for _, numbers in self.lists)


class Ring:
    """Where rows wait.

    Attributes:
        kinds: of rows, by number.
        optimizers: those seen so far, by id.
        calls: the batches of calls whose functions write one row each, in order.
        tested: sizes and ids of an evaluation's batches.
    """

    def __init__(self, machine: Machine, noting: Noting) -> None:
        self.machine = machine
        self.noting = noting
        self.optimizers: dict[int, Optimizer] = {}
        self.calls: deque[Batch | None] = deque()
        self.tested: list[Row] = []
        self.kinds: list[Kind] = []
        self._at: tf.Variable | None = None
        self._table: tf.Variable | None = None
        self._fetched: list[Any] = []  # tables that were full
        self._log: list[tuple[int, Any, Row | int | None]] = []  # rows of no graph, and epochs that began, by place
        self._epoch: int | None = None
        self._place = 0
        self._walks = 0
        self._waiting = 0
        self._totals = Totals()
        self._early: list[Row] = []
        self._pass: list[Row] = []  # of an evaluation that may go on
        self._rate: Any = None  # of the last update
        self._next_home = time.monotonic() + FLUSH_SECONDS

    # Rows of graphs.

    def kind(self, **facts: Any) -> Kind:
        """A kind of its own for one place in a graph."""
        self.kinds.append(Kind(len(self.kinds), **facts))
        return self.kinds[-1]

    def write(self, kind: Kind, head: list[Any], reals: list[Any], lists: list[Any], *, guarded: bool) -> None:
        """One row, by the graph that is being made; ``guarded``: no one else sees to it that there is room."""
        self._make_table()
        assert self._at is not None
        assert self._table is not None
        numbers = [tf.stack([tf.constant(kind.number, tf.int64), *(tf.cast(one, tf.int64) for one in head)])]
        if reals:
            numbers.append(tf.bitcast(_stacked(reals), tf.int64))
        numbers += [tf.cast(one if one.shape.rank == 1 else tf.reshape(one, [-1]), tf.int64) for one in lists]
        values = tf.concat(numbers, axis=0) if len(numbers) > 1 else numbers[0]
        length = tf.size(values, tf.int64)
        with tf.control_dependencies([self._make_room(length)] if guarded else []):
            end = self._at.assign_add(length)
        start = tf.minimum(end, CAPACITY) - length  # a graph may go on writing when nobody looks any more
        places = start + tf.range(length, dtype=tf.int64)
        tf.raw_ops.ResourceScatterUpdate(resource=self._table.handle, indices=places, updates=values)

    def _make_room(self, length: Any) -> Any:
        assert self._at is not None
        assert self._table is not None
        table = self._table.handle

        def home() -> Any:
            # It takes the table, so that TensorFlow waits for what is being written there.
            there = tf.raw_ops.VarIsInitializedOp(resource=table)
            with tf.control_dependencies([there]):
                called = tf.py_function(self._home_from_graph, [], tf.int64)
            return tf.ensure_shape(called, [])

        return tf.cond(self._at + length > CAPACITY, home, lambda: tf.constant(0, tf.int64))

    def _home_from_graph(self) -> int:
        """In a thread of TensorFlow's, in the midst of a call: only what is written is taken."""
        self._fetched.append(self._fetch())
        return 0

    def _make_table(self) -> None:
        if self._table is None:
            with tf.init_scope():
                self._at = plain_variable(tf.constant(0, tf.int64))
                self._table = plain_variable(tf.zeros([CAPACITY], tf.int64))

    # Rows of steps outside of graphs.

    def add(self, row: Row) -> None:
        """A row that is no graph's."""
        self._log.append((len(self._fetched), self._here(), row))
        self.count(1)
        cut: Any = getattr(self.machine, "cut", None)
        if cut is not None:
            self.bring_home()
            cut.look(self.machine)

    @harmless
    def begin_epoch(self, epoch: int | None) -> None:
        """Rows are of this epoch from now on."""
        self._log.append((len(self._fetched), self._here(), epoch))

    def _here(self) -> Any:
        """How much has been written; nothing is read back for it."""
        return 0 if self._at is None else self._at.read_value()

    @harmless
    def count(self, numbers: int) -> None:
        """So much more may have been written; it comes home in time."""
        self._waiting += numbers
        if self._waiting > CAPACITY // 2 or len(self._log) > _MOST_EARLY or time.monotonic() > self._next_home:
            self.bring_home()

    def optimizer(self, keras: Any) -> Optimizer:
        """What is known of this optimizer, or of the one inside of it."""
        inner = getattr(keras, "inner_optimizer", keras)
        if id(inner) not in self.optimizers:
            with tf.init_scope():
                first = int(inner._iterations.value.read_value())  # of a strategy's variable there is no other number
            self.machine.evidence = self.machine.evidence or STEP
            window = inner.gradient_accumulation_steps or 1
            self.machine.updates_before += first // window
            self.optimizers[id(inner)] = Optimizer(inner, first, window)
        return self.optimizers[id(inner)]

    # The way home.

    @harmless
    def bring_home(self) -> None:
        """Hands the machine what waits."""
        self._next_home = time.monotonic() + FLUSH_SECONDS
        log, self._waiting, self._log = self._log, 0, []
        tables, self._fetched = [*self._fetched, self._fetch()], []
        written = [(number, *one) for number, table in enumerate(tables) for one in self._written(table)]
        self._link([row for _, _, row, alone in written if alone])
        # What came after so much of the table comes before the row that starts there.
        items: list[tuple[int, int, int, Row | int | None]] = [(table, int(place), 0, one) for table, place, one in log]
        items += [(table, start, 1, row) for table, start, row, _ in written]
        self._take([one for *_, one in sorted(items, key=lambda item: item[:3])])

    def _fetch(self) -> Any:
        """What is in the table, which is empty from then on."""
        if self._at is None or self._table is None:
            return np.zeros(0, dtype=np.int64)
        end = int(self._at)
        if end > CAPACITY:
            self._at.assign(0)
            raise UsageError(
                "steps came faster than they could be written down", got=end, expected=f"{CAPACITY} numbers"
            )
        table = self._table[:end].numpy() if end else np.zeros(0, dtype=np.int64)
        self._at.assign(0)
        return table

    def _written(self, table: Any) -> Iterator[tuple[int, Row, bool]]:
        start = 0
        while start < len(table):
            kind = self.kinds[table[start]]
            head = table[start : start + kind.length]
            numbers, reals = head.tolist(), head.view(np.float64).tolist()
            row, place = Row(test=kind.test), _HEAD
            size = numbers[1]
            row.size = size if kind.sized else None
            row.wholes = {**kind.known, **dict(zip(kind.wholes, numbers[place:], strict=False))}
            place += len(kind.wholes)
            lengths = [size] * len(kind.lists)
            if kind.measured:
                lengths = numbers[place : place + len(kind.lists)]
                place += len(kind.lists)
            for optimizer in kind.optimizers:
                row.updates.append((optimizer, numbers[place], numbers[place + 1]))
                place += 2
            row.reals = {name: reals[place + i] for i, name in enumerate(kind.reals)}
            place = start + kind.length
            for (name, width), length in zip(kind.lists, lengths, strict=True):
                end = place + length * width
                if length == size:
                    row.take(name, table[place:end])
                place = end
            yield start, row, kind.alone
            if place <= start:
                raise UsageError("rows that a graph wrote cannot be read", got=numbers[start : start + _HEAD])
            start = place

    def _link(self, rows: list[Row]) -> None:
        """Batches of calls with the rows that these wrote; if they are not as many, nobody knows which is whose."""
        calls, self.calls = self.calls, deque()
        if len(calls) == len(rows):
            for row, batch in zip(rows, calls, strict=True):
                if batch is not None and batch.size in (None, row.size):
                    row.batch = batch

    def _take(self, ordered: list[Row | int | None]) -> None:
        rows: list[Row] = []
        for row in ordered:
            if not isinstance(row, Row):
                self._epoch, self._place = row, 0
            elif row.test:
                row.settle()
                if "loss" in row.reals:  # the script's own
                    rows = self._tested(row, rows)
                else:
                    self.tested.append(row)
            elif row.amends or _goes_on(next(reversed(rows or self._early), None), row):
                row.settle()
                self._amend(rows, row)
            else:
                row.settle()
                self._label(row)
                rows = self._evaluated(rows)
                rows.append(row)
        self._early += rows
        if self.optimizers or len(self._early) > _MOST_EARLY:
            self._hand_over()

    def _tested(self, row: Row, rows: list[Row]) -> list[Row]:
        """A loss without a gradient, of an evaluation if it walks over a data set that trains nothing."""
        walk = None if row.batch is None else row.batch.walk
        if walk is None or walk.number is not None or walk.trained:
            return rows
        if self._pass and (self._pass[0].batch is None or self._pass[0].batch.walk is not walk):
            rows = self._evaluated(rows)
        self._pass.append(row)
        return rows

    def _evaluated(self, rows: list[Row]) -> list[Row]:
        """The evaluation before, if there was one, is over; the rows that are still to be handed over."""
        done, self._pass = self._pass, []
        walk = done[0].batch.walk if done and done[0].batch is not None else None
        if walk is None or walk.number is not None or walk.trained or not self.optimizers:
            return rows
        self._early += rows
        self._hand_over()
        if self.machine.begun:
            sizes = np.array([row.size for row in done])
            loss = float(np.average([row.reals["loss"] for row in done], weights=sizes))
            self.machine.recorder.validation(loss=loss, batch_sizes=sizes)
        return []

    def _amend(self, rows: list[Row], later: Row) -> None:
        if not rows and not self._early:  # the row itself has gone: the next one shows it
            self._totals.add(later)
            return
        row = (rows or self._early)[-1]
        row.updates += later.updates
        row.reals = {**later.reals, **row.reals}

    def _label(self, row: Row) -> None:
        batch = row.batch
        if batch is not None:
            row.ids = batch.ids if row.ids is None else row.ids
            if batch.walk is not None:
                if batch.walk.number is None:
                    batch.walk.number, self._walks = self._walks, self._walks + 1
                    if isinstance(batch.walk, Pass):
                        self.noting.loader(settings.pipeline(batch.walk.dataset))
                row.epoch, row.place = batch.walk.number, batch.place
        elif self._epoch is not None:
            row.epoch, row.place = self._epoch, self._place
            self._place += 1

    def _hand_over(self) -> None:
        rows, self._early = self._early, []
        counted: list[tuple[int, int] | None] = []
        for row in rows:
            self._rate = row.reals.setdefault("lr", self._rate)
            self._totals.add(row)
            counted.append((self._totals.applied, self._totals.tried) if self.optimizers else None)
        for block in blocks(rows, counted):
            self.machine.rows(**block)

    @harmless
    def finish(self) -> None:
        """Nothing more will come."""
        self.bring_home()
        self._early = self._evaluated(self._early)
        self._hand_over()


def _goes_on(before: Row | None, row: Row) -> bool:
    """Whether what one row says is of the step before: no batch, such as noise alone, and another optimizer's update.

    So the networks of a GAN, each with a function of its own, are trained in one step.
    """
    if before is None or row.batch is not None or row.ids is not None or not row.updates or not before.updates:
        return False
    stepped = {id(one) for one, *_ in before.updates}
    known = before.batch is not None and before.batch.known
    return known and not any(id(one) in stepped for one, *_ in row.updates)


def _stacked(reals: list[Any]) -> Any:
    """Numbers of any kind of float, as float64."""
    kinds = {one.dtype for one in reals}
    if len(kinds) == 1:
        return tf.cast(tf.stack(reals), tf.float64)
    return tf.stack([tf.cast(one, tf.float64) for one in reals])
