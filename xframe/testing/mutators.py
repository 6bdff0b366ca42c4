"""Generic faults: the rows of a recorded run, changed at a random place and recorded again.

No particular bug is behind them. Each mutator changes one thing that it can name, and states which check must
fail, at which step, and which causes are right. What it makes goes through the public recorder into a trace
like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from xframe.recording.recorder import record
from xframe.testing.faults.bases import changed
from xframe.testing.faults.plans import DROPPED, FOURS, FOURS_CARRIED, KEPT_ORDER, PADDED, PLAN
from xframe.trace import schema
from xframe.trace.rows import Rows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from xframe.plan.training_plan import TrainingPlan
    from xframe.trace.trace import Trace, Validation

# Whose rows are changed. In all of them an epoch is a pass, so that "in the same pass" is plain from the labels.
BASES = (PLAN, DROPPED, changed(PLAN, order="sequential"), KEPT_ORDER, FOURS, FOURS_CARRIED, PADDED)
# What is recorded again: all that a loop gives, but for the count of attempts, which would contradict changed updates.
GIVEN = tuple(name for name in (*schema.COUNTS, *schema.REALS, "weights_mark") if name != "update_attempts")


def rows_of(trace: Trace) -> Rows:
    """All rows of a trace that has lists of ids, in memory: what a loop gives, and the batches."""
    return Rows.of_trace(trace).only("ids", "batch_size", *GIVEN)


def write(
    path: Path,
    rows: Rows,
    *,
    plan: TrainingPlan | None,
    num_samples: int | None,
    metadata: Mapping[str, Any],
    weights: Mapping[str, Any] | None = None,
    validations: Sequence[Validation] = (),
    resumed: int | None = None,
    replica: tuple[int, int] = (0, 1),
) -> None:
    """Records the rows as a run that was not interrupted; its validations, as of samples in their stored order.

    One that was ``resumed`` at a step, and validates nothing, is recorded in two traces.
    """
    continues: dict[str, Any] = {}
    if resumed is not None:
        continues = {"continues": first_part(path), "step": resumed}
        known: dict[str, Any] = {"plan": plan, "num_samples": num_samples, "metadata": metadata}
        write(first_part(path), rows.head(resumed), **known)
        rows = rows.between(resumed, len(rows))
    columns = {name: rows.column(name).values for name in GIVEN if name in rows.known}
    with record(path, plan=plan, num_samples=num_samples, metadata=metadata, replica=replica, **continues) as recorder:
        begin = 0
        for one in (*validations, None):
            end = len(rows) if one is None else one.after
            ids = None if rows.ids is None else rows.ids[rows.bounds[begin] : rows.bounds[end]]
            part: dict[str, Any] = {name: values[begin:end] for name, values in columns.items()}
            recorder.block(ids=ids, batch_sizes=rows.batch_size[begin:end], **part)
            if one is not None:
                sizes = [size for size, times in one.batch_sizes or () for _ in range(times)]
                recorder.validation(
                    loss=one.loss, accuracy=one.accuracy, ids=np.arange(one.num_samples or 0), batch_sizes=sizes
                )
            begin = end
        if weights is not None:
            recorder.weights(weights)


def first_part(path: Path) -> Path:
    """The trace that the one at ``path`` continues."""
    return path.with_name(f"first-{path.name}")


@dataclass(frozen=True)
class Mutation:
    """Rows with one thing changed, and what is to be reported."""

    rows: Rows
    check: str
    step: int
    causes: tuple[str, ...]


# --- what mutators are made of: rows with one thing changed ---


def _batch(rows: Rows, row: int) -> list[int]:
    samples: list[int] = np.asarray(rows.batch(row)).tolist()
    return samples


def _applied(rows: Rows) -> NDArray[np.int64]:
    """The updates of each step alone."""
    return np.diff(_column(rows, "updates"), prepend=0)


def _column(rows: Rows, name: str) -> NDArray[Any]:
    return rows.column(name).values


def _taken(rows: Rows, places: Sequence[int]) -> Rows:
    """These rows in this order; updates are counted again, each step's as often as it is there."""
    columns: dict[str, Any] = {
        name: _column(rows, name)[list(places)] for name in rows.known if name not in (*schema.LISTS, "updates")
    }
    batches = [sample for place in places for sample in _batch(rows, place)]
    return Rows.of_arrays(ids=batches, updates=np.cumsum(_applied(rows)[list(places)]), **columns)


def _with_batches(rows: Rows, batches: Mapping[int, Sequence[int]], **columns: Any) -> Rows:
    """The rows with other batches at these places."""
    every = [batches[row] if row in batches else _batch(rows, row) for row in range(len(rows))]
    flat = [sample for batch in every for sample in batch]
    return rows.with_columns(ids=flat, batch_size=list(map(len, every)), **columns)


def _with_id(rows: Rows, row: int, place: int, sample: int) -> list[int]:
    """That row's batch with one id replaced."""
    ids = _batch(rows, row)
    ids[place] = sample
    return ids


def _from(rows: Rows, row: int, name: str, by: int) -> Rows:
    """The rows with a column greater by that much from a row on."""
    return rows.with_columns(**{name: _column(rows, name) + by * (np.arange(len(rows)) >= row)})


def _without_padding(rows: Rows, least: int = 1) -> list[int]:
    """The rows without padding that have that many samples."""
    fits = (_column(rows, "padding") == 0) & (rows.batch_size >= least)
    return np.flatnonzero(fits).tolist()


def _in_one_pass(rows: Rows, i: int, j: int) -> bool:
    """Whether two rows are of the same pass, and without padding."""
    epoch, padding = _column(rows, "epoch"), _column(rows, "padding")
    return bool(epoch[i] == epoch[j] and not padding[i] and not padding[j])


# --- the mutators ---


def drop_step(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """A step is not there. Not the last one, of which it is hard to say that it is lost: see ``truncate``."""
    i = draw.randrange(len(rows) - 1)
    if _batch(rows, i) == _batch(rows, i + 1):
        return None
    left = _taken(rows, [*range(i), *range(i + 1, len(rows))])
    return Mutation(left, "boundaries", i, ("batch-lost",))


def repeat_step(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """A step is there twice, one after the other. Not the last, whose second would be but a step too many."""
    i = draw.randrange(len(rows) - 1)
    if _batch(rows, i) == _batch(rows, i + 1):
        return None
    longer = _taken(rows, [*range(i + 1), *range(i, len(rows))])
    return Mutation(longer, "boundaries", i + 1, ("batch-repeated",))


def swap_steps(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """Two batches change places; labels and updates stay where they were."""
    i, j = sorted(draw.sample(range(len(rows)), 2))
    first, second = _batch(rows, i), _batch(rows, j)
    if first == second:
        return None
    swapped = {name: _column(rows, name).copy() for name in ("loss", "accuracy", "padding") if name in rows.known}
    for values in swapped.values():
        values[[i, j]] = values[[j, i]]
    return Mutation(_with_batches(rows, {i: second, j: first}, **swapped), "boundaries", i, ("batches-swapped",))


def swap_samples(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """Two samples of one pass change places between its batches; none of the padding."""
    i, j = sorted(draw.sample(range(len(rows)), 2))
    if not _in_one_pass(rows, i, j):
        return None
    first, second = _batch(rows, i), _batch(rows, j)
    a, b = draw.randrange(len(first)), draw.randrange(len(second))
    first[a], second[b] = second[b], first[a]
    return Mutation(_with_batches(rows, {i: first, j: second}), "boundaries", i, ("samples-swapped",))


def swap_inside(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """Two samples change places inside a batch."""
    i = draw.choice(_without_padding(rows, 2))
    ids = _batch(rows, i)
    a, b = draw.sample(range(len(ids)), 2)
    ids[a], ids[b] = ids[b], ids[a]
    return Mutation(_with_batches(rows, {i: ids}), "boundaries", i, ("order-inside-batches",))


def skip_update(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """From a place on there is one update less: the one that belonged there."""
    applied = _applied(rows)
    i = draw.choice(np.flatnonzero(applied).tolist())
    if i == 0 and applied.all():
        return None  # these losses show that nothing was skipped: a counter read before the update has these rows too
    # At the very end the skipped update of a window may as well be what the end made of the window.
    at_end = ("window-at-training-end", "leftover-dropped", "leftover-leaked", "leftover-carried")
    causes = ("update-skipped", *(at_end if i == len(rows) - 1 and not applied.all() else ()))
    return Mutation(_from(rows, i, "updates", -1), "updates", i, causes)


def double_update(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """From a place on there is one update more: a second one of the same step."""
    i = draw.choice(np.flatnonzero(_applied(rows)).tolist())
    return Mutation(_from(rows, i, "updates", 1), "updates", i, ("update-doubled",))


def lose_sample(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """A batch is one sample short."""
    i = draw.choice(_without_padding(rows, 2))
    ids = _batch(rows, i)
    del ids[draw.randrange(len(ids))]
    return Mutation(_with_batches(rows, {i: ids}), "boundaries", i, ("sample-lost",))


def repeat_sample(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """One id is replaced by a different one of the same pass."""
    i, j = draw.sample(range(len(rows)), 2)
    if not _in_one_pass(rows, i, j):
        return None
    place = draw.randrange(len(_batch(rows, i)))
    ids = _with_id(rows, i, place, draw.choice(_batch(rows, j)))
    return Mutation(_with_batches(rows, {i: ids}), "boundaries", i, ("sample-repeated",))


def foreign_sample(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """One id is of no sample of the training set."""
    i = draw.randrange(len(rows))
    ids = _with_id(rows, i, draw.randrange(len(_batch(rows, i))), num_samples + draw.randrange(1000))
    return Mutation(_with_batches(rows, {i: ids}), "boundaries", i, ("validation-in-training",))


def truncate(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """The run ends some steps early, by itself: no sign of an interruption."""
    left = len(rows) - (1 if draw.random() < 0.5 else draw.randrange(2, len(rows) // 2))
    # Several steps less have no name of their own: a limit in another unit, or looked at elsewhere, ends a run so.
    causes = ("one-step-less", "batch-lost") if left == len(rows) - 1 else ("limit-confused", "batch-lost")
    return Mutation(_taken(rows, range(left)), "steps", left, causes)


def rename_epochs(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """From a place on all epochs have the next number; not from the first on, which is counting from 1."""
    i = draw.randrange(1, len(rows))
    return Mutation(_from(rows, i, "epoch", 1), "epochs", i, ("epoch-labels",))


Mutator = Callable[[Rows, Random, int], Mutation | None]
MUTATORS: Sequence[Mutator] = (
    drop_step,
    repeat_step,
    swap_steps,
    swap_samples,
    swap_inside,
    skip_update,
    double_update,
    lose_sample,
    repeat_sample,
    foreign_sample,
    truncate,
    rename_epochs,
)


def mutate(mutator: Mutator, rows: Rows, draw: Random, num_samples: int) -> Mutation:
    """A mutation at a random place; drawn again where nothing would change."""
    while (mutation := mutator(rows, draw, num_samples)) is None:
        pass
    return mutation
