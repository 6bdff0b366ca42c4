"""A trace as it is read: one row a step, and what is known of the run. FORMAT.md describes the files.

Rows are read from disk in blocks when they are asked for, after the digests of the whole file were checked, and
whether what it states of its rows follows from them.
Final weights, if any, lie beside ``NAME.trace`` in ``NAME.weights.safetensors``; the trace has their digests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xframe.errors import PlanError, UsageError, Verbatim
from xframe.plan.counting import Counts
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.arrow import SCHEMA
from xframe.trace.continued import UNTIL, Join, open_run
from xframe.trace.facts import Facts, text
from xframe.trace.merged import Dealt, Merged
from xframe.trace.pieces import BETWEEN, Continued
from xframe.trace.ranks import first_path
from xframe.trace.schema import COLUMNS, Column
from xframe.trace.source import Source, read_between
from xframe.trace.stated import StatedValidation, fitted
from xframe.trace.tally import Tally
from xframe.trace.weights import read_weights, weight_types

if TYPE_CHECKING:
    import pandas as pd

COMPLETE = "complete"
BLOCK_ROWS = 131_072  # held in memory at once
_SMALL = 1 << 20  # bytes of traces that are opened sooner than a thread is begun


@dataclass(frozen=True, slots=True)
class Validation:
    """One validation, as it was observed.

    Attributes:
        after: steps that were made before it.
        num_batches, num_samples: that went through it.
        batch_sizes: of the batches in order, as pairs of a size and how many times in a row it came.
        ids_digest: XXH3-128 of the validation samples' ids in order, in hex.
        loss, accuracy: means over the samples; training: whether the model was in training mode.
        time_ns: since recording began.
    """

    after: int
    num_batches: int | None = None
    num_samples: int | None = None
    batch_sizes: tuple[tuple[int, int], ...] | None = None
    ids_digest: str | None = None
    loss: float | None = None
    accuracy: float | None = None
    training: bool | None = None
    time_ns: int | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Validation:
        """From what stands in a file; what it does not know is left out."""
        known = fitted(StatedValidation, facts).model_dump()
        sizes = known["batch_sizes"]
        return cls(**{**known, "batch_sizes": sizes and tuple(map(tuple, sizes))})


def ending_of(source: Source) -> str:
    """How the run of a source ended, see ``Trace.ending``."""
    return text(source.end["outcome"]) if source.end else "truncated"


@dataclass(frozen=True, eq=False)
class Trace:
    """A trace that was read.

    Attributes:
        metadata: what is known of the run, a JSON object; ``facts`` has it typed.
        ending: ``complete``, ``truncated``, or what ended the run early.
        end: the end record; empty if truncated.
        joins, files: of a run that is in several traces, where each goes on, and their files; ``path`` is the last.
    """

    path: Path
    metadata: dict[str, Any]
    ending: str
    end: dict[str, Any]
    source: Source = field(repr=False)
    joins: tuple[Join, ...] = ()
    files: tuple[Path, ...] = ()

    @classmethod
    def open(cls, path: str | Path, *, step: int | None = None) -> Trace:
        """Opens a trace and checks its digests, over every byte of it, and that what it states of its rows is true.

        A folder of replicas' traces is one run, see ``xframe.trace.merged``; ``replicas`` has them one by one. One that
        continues another is the whole run, as are several that are named with plus signs between them,
        ``a.trace+b.trace``, unless a file has that name.

        Args:
            path: the file.
            step: at which the last of several goes on, if it does not state that itself; default: where the one before
                it ends.

        Raises:
            NotATraceError: the file is none, or of a newer format.
            TraceError: the file is damaged, or one that it continues is, or is missing, too short, or not the same.
        """
        files, source, joins = open_run(Path(path), step)
        return cls(files[-1], source.metadata, ending_of(source), source.end, source, joins, tuple(files))

    @property
    def name(self) -> str:
        """What a report calls this run, which is its adapter if a harness recorded it, else the file's name."""
        return self.facts.label or text(BETWEEN.join(file.stem for file in self.files or (self.path,)))

    @property
    def argument(self) -> str:
        """What opens this run again: its file, or the parts if the file does not name those before it."""
        if not isinstance(self.source, Continued) or all(one.stated for one in self.joins):
            return str(self.path)
        steps = [f"{UNTIL}{start}" for start in self.source.starts[1:]]
        return BETWEEN.join(f"{file}{at}" for file, at in zip(self.files, [*steps, ""], strict=True))

    @property
    def replicas(self) -> tuple[Trace, ...]:
        """The replicas' own traces, by index, as far as they are in the last part; empty for a run of one process."""
        if not self.dealt or not self.dealt[-1].of_the_end:
            return ()
        source = self.dealt[-1].source
        own = zip(source.paths, source.parts, strict=True)
        return tuple(Trace(path, part.metadata, ending_of(part), part.end, part, (), (path,)) for path, part in own)

    @property
    def num_replicas(self) -> int:
        """How many replicas made the run, 1 for one process; of a run in several parts, the most of any part."""
        return max((len(one.source.parts) for one in self.dealt), default=1)

    @cached_property
    def dealt(self) -> tuple[Dealt, ...]:
        """The parts of the run that replicas made, in order; empty for a run of one process."""
        if isinstance(self.source, Merged):
            return (Dealt(self.source, 0, self.num_rows, True),)
        pieces = self.source.pieces if isinstance(self.source, Continued) else ()
        return tuple(
            Dealt(one.source, one.first, one.rows, one is pieces[-1])
            for one in pieces
            if isinstance(one.source, Merged)
        )

    @property
    def abandoned(self) -> int:
        """Steps that a part of the run had made after the one from which the next part went on: they are not in it."""
        return sum(join.abandoned for join in self.joins)

    @cached_property
    def facts(self) -> Facts:
        """What is known of the run beside its rows."""
        return Facts.of(self.metadata)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that the trace has; in all others every value is unknown."""
        return self.source.columns

    @property
    def complete(self) -> bool:
        """Whether the run was recorded to its regular end."""
        return self.ending == COMPLETE

    @property
    def num_rows(self) -> int:
        """How many steps were recorded."""
        return self.source.num_rows

    @property
    def certificate(self) -> str:
        """One digest of what was done, made from the rows; equal for runs that did the same."""
        return self.source.certificate

    def known_throughout(self, name: str) -> bool:
        """Whether every row has a value in that column."""
        return not self.source.unknown[name]

    def between(self, name: str, start: int, stop: int) -> Column:
        """Rows ``start`` to ``stop`` (excluded) of a column."""
        return read_between(self.source, name, start, stop)

    def known(self, name: str) -> NDArray[np.bool_]:
        """For each row, whether the column has a value there."""
        known = self.between(name, 0, self.num_rows).known
        return np.ones(self.num_rows, dtype=bool) if known is None else known

    def counted_from(self, label: str) -> int:
        """What the loop counts a label from, ``epoch`` or ``step_in_epoch``: 1 if that is the least, else 0."""
        if label not in self._counted_from:
            self._counted_from[label] = int(self._least(label) == 1)
        return self._counted_from[label]

    @cached_property
    def _counted_from(self) -> dict[str, int]:
        return {}

    def _least(self, label: str) -> int | None:
        """The least of a label's values, read up to the first 0; None if there are none."""
        least = None
        for start, stop in self.blocks() if self.source.unknown[label] < self.num_rows else ():
            values, known = self.between(label, start, stop)
            values = values if known is None else values[known]
            if len(values):
                least = int(values.min()) if least is None else min(least, int(values.min()))
            if least == 0:
                break
        return least

    def column(self, name: str) -> NDArray[Any]:
        """A whole column, as ``between`` gives it."""
        return self.between(name, 0, self.num_rows).values

    @property
    def has_ids(self) -> bool:
        """Whether every row lists its sample ids."""
        return self.num_rows > 0 and self.known_throughout("ids")

    def ids(self, row: int, stop: int | None = None) -> NDArray[np.int64]:
        """The sample ids of that row, or of those before ``stop`` too, one batch after the other, if it ``has_ids``."""
        if not self.has_ids:
            raise UsageError("the trace lists no sample ids", got=str(self.path), expected="one recorded with ids")
        return self.between("ids", row, row + 1 if stop is None else stop).values

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """The sample ids of each row, in order."""
        for start, stop in pairwise(self.source.bounds):
            if start < stop:
                ends = np.cumsum(self.between("batch_size", start, stop).values)
                yield from np.split(self.ids(start, stop), ends[:-1])

    def blocks(self) -> Iterator[tuple[int, int]]:
        """All rows, as many at a time as are held in memory: the file's blocks, small ones together."""
        bounds, start = self.source.bounds, 0
        for i, stop in enumerate(bounds[1:], 2):
            if i == len(bounds) or bounds[i] - start > BLOCK_ROWS:
                yield start, stop
                start = stop

    def weights(self) -> dict[str, NDArray[Any]] | None:
        """The final weights, or None if there are none beside the trace.

        Raises:
            TraceError: the file is not the one that was written.
        """
        digests = self.end.get("weights")
        return read_weights(first_path(self.path), digests) if digests else None

    def weight_types(self) -> set[str]:
        """The types of the final weights, by NumPy's names; empty if there are none beside the trace."""
        return weight_types(first_path(self.path)) if self.end.get("weights") else set()

    @property
    def settings(self) -> dict[str, Any]:
        """What was set, as ``Recorder.settings`` was told, by name; empty where nothing was."""
        return dict(self.source.settings)

    @cached_property
    def validations(self) -> tuple[Validation, ...]:
        """What was validated between the steps, in order."""
        return tuple(map(Validation.of, self.source.validations))

    def checkpoints(self, after: int) -> set[str]:
        """The digests of the checkpoints that the run wrote after so many steps."""
        return {one["digest"] for one in self.source.checkpoints if one["after"] == after}

    def epochs(self) -> pd.DataFrame:
        """Each epoch by the loop's labels: steps, samples, loss and accuracy, averaged by sample.

        Each step's number is taken as it was recorded, for one trace does not show what it means. Where a script
        recorded the mean since the epoch began, as Keras' logs have it, an epoch's mean is that of its last step:
        ``frame().groupby("epoch")["loss"].last()``. A comparison with a run that recorded each step's own shows which.
        """
        frame, means = self.frame(), ["loss", "accuracy"]
        frame[means] = frame[means].mul(frame["batch_size"].astype("float64"), axis=0)
        epochs = (groups := frame.groupby("epoch")).agg(steps=("step", "size"), samples=("batch_size", "sum"))
        sums = groups[means].agg(lambda values: values.sum(skipna=False))
        return epochs.join(sums.div(epochs["samples"], axis=0))

    def frame(self) -> pd.DataFrame:
        """The rows as a pandas data frame; digests in hex."""

        def whole(name: str) -> Any:
            kind, blocks = SCHEMA.field(name).type, range(len(self.source.bounds) - 1)
            if name not in self.columns:
                return pa.nulls(self.num_rows, kind)
            return pa.chunked_array([self.source.read(i, name) for i in blocks], type=kind)

        frame: pd.DataFrame = pa.table({name: whole(name) for name in COLUMNS}).to_pandas(use_threads=False)
        frame["ids_digest"] = [None if value is None else value.hex() for value in frame["ids_digest"]]
        return frame

    @cached_property
    def plan(self) -> TrainingPlan | None:
        """The plan it was recorded under; None if there was none, or what ``facts.plan`` states is no valid one."""
        with suppress(PlanError):
            return TrainingPlan.from_mapping(self.facts.plan) if self.facts.plan else None
        return None

    def counts(self) -> Counts:
        """What the rows amount to. Epochs are the loop's own labels; what cannot be known is None."""
        tally = self._tally
        labelled = bool(self.num_rows) and self.known_throughout("epoch")
        per_epoch, dropped = tally.epochs(self.plan, self.facts.num_samples) if labelled else (None, None)
        sized = self.known_throughout("batch_size")
        return Counts(
            num_steps=self.num_rows,
            num_updates=self._last("updates"),
            num_epochs=int(tally.labels[-1]) + 1 if labelled else None,
            steps_per_epoch=per_epoch,
            samples_seen=int(tally.samples.sum()) if sized else None,
            samples_dropped=dropped if sized else None,
            samples_padded=tally.padded,
            last_batch_size=self._last("batch_size"),
        )

    def _last(self, name: str) -> int | None:
        """The last row's value, where every row has one."""
        rows = self.num_rows
        return int(self.between(name, rows - 1, rows).values[0]) if rows and self.known_throughout(name) else None

    @cached_property
    def _tally(self) -> Tally:
        tally, padded = Tally(), self.source.unknown["padding"] < self.num_rows
        for start, stop in self.blocks():
            sizes, epochs = (self.between(name, start, stop).values for name in ("batch_size", "epoch"))
            epochs = epochs - self.counted_from("epoch")
            tally.add(sizes, self.between("padding", start, stop).values if padded else None, epochs)
        return tally


def open_all(paths: Sequence[str | Path]) -> list[Trace]:
    """Opens traces; large ones several at once, since most of the time goes into digests, which run in parallel."""
    try:
        small = sum(os.path.getsize(path) for path in paths) < _SMALL
    except OSError:  # which opening it says better, and without a pool's traceback
        small = True
    if small:
        return [Trace.open(path) for path in paths]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(Trace.open, paths))


def open_different(paths: Sequence[str | Path]) -> list[Trace]:
    """Opens traces that are to be compared; each file once."""
    resolved = [Path(path).resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise UsageError("a trace is compared with itself", got=Verbatim(paths[0]), expected="two different files")
    opened = open_all(paths)
    if len({tuple(map(os.path.realpath, trace.files)) for trace in opened}) < len(opened):
        raise UsageError("a run is compared with itself", got=Verbatim(paths[-1]), expected="two different runs")
    return opened
