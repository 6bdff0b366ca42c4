"""Generic faults: the rows of a recorded run, changed at a random place and recorded again.

No particular bug is behind them. Each mutator changes one thing that it can name, and says which check must
fail, at which step, and which causes are right. What it makes goes through the public recorder into a trace
like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xframe.recording.recorder import record
from xframe.testing.faults.bases import changed
from xframe.testing.faults.plans import DROPPED, FOURS, FOURS_CARRIED, KEPT_ORDER, PADDED, PLAN

if TYPE_CHECKING:
    from pathlib import Path

    from xframe.plan.training_plan import TrainingPlan
    from xframe.trace.trace import Trace

# Whose rows are changed. In all of them an epoch is a pass, so that "in the same pass" is plain from the labels.
BASES = (PLAN, DROPPED, changed(PLAN, order="sequential"), KEPT_ORDER, FOURS, FOURS_CARRIED, PADDED)


class Row(NamedTuple):
    """One step: ``updates`` are those applied after it, not since the start. None where the run doesn't say."""

    ids: tuple[int, ...]
    updates: int | None
    loss: float | None
    lr: float | None
    epoch: int | None
    step_in_epoch: int | None
    padding: int | None


Rows = tuple[Row, ...]


def rows_of(trace: Trace) -> Rows:
    """All rows of a trace that has lists of ids."""

    def column(name: str) -> list[Any]:
        values = zip(trace.column(name).tolist(), trace.known(name).tolist(), strict=True)
        return [value if known else None for value, known in values]

    totals = column("updates")
    applied = [
        None if total is None else total - (before or 0) for before, total in zip([0, *totals], totals, strict=False)
    ]
    ids = [tuple(trace.ids(i).tolist()) for i in range(trace.num_rows)]
    names = ("loss", "lr", "epoch", "step_in_epoch", "padding")
    return tuple(Row(*values) for values in zip(ids, applied, *map(column, names), strict=True))


def write(
    path: Path,
    rows: Rows,
    *,
    plan: TrainingPlan | None,
    num_samples: int | None,
    metadata: Mapping[str, Any],
    weights: Mapping[str, Any] | None = None,
) -> None:
    """Records the rows as a run that was not interrupted."""

    def column(name: str) -> list[Any] | None:
        values = [getattr(row, name) for row in rows]
        return None if None in values else values

    applied = column("updates")
    with record(path, plan=plan, num_samples=num_samples, metadata=metadata) as recorder:
        recorder.block(
            ids=np.array([sample for row in rows for sample in row.ids], dtype=np.int64),
            batch_sizes=np.array([len(row.ids) for row in rows], dtype=np.int64),
            updates=None if applied is None else np.cumsum(applied),
            **{name: column(name) for name in ("loss", "lr", "epoch", "step_in_epoch", "padding")},
        )
        if weights is not None:
            recorder.weights(weights)


@dataclass(frozen=True)
class Mutation:
    """Rows with one thing changed, and what is to be reported."""

    rows: Rows
    check: str
    step: int
    causes: tuple[str, ...]


def _places(rows: Rows, fits: Callable[[Row], bool]) -> list[int]:
    return [i for i, row in enumerate(rows) if fits(row)]


def _put(rows: Rows, *new: tuple[int, Row]) -> Rows:
    changed_rows = list(rows)
    for place, row in new:
        changed_rows[place] = row
    return tuple(changed_rows)


def _with_id(row: Row, place: int, sample: int) -> Row:
    return row._replace(ids=(*row.ids[:place], sample, *row.ids[place + 1 :]))


def drop_step(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """A step is not there. Not the last one, of which it is hard to say that it is lost: see ``truncate``."""
    i = draw.randrange(len(rows) - 1)
    if rows[i].ids == rows[i + 1].ids:
        return None
    return Mutation(rows[:i] + rows[i + 1 :], "boundaries", i, ("batch-lost",))


def repeat_step(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """A step is there twice, one after the other. Not the last, whose second would be but a step too many."""
    i = draw.randrange(len(rows) - 1)
    if rows[i].ids == rows[i + 1].ids:
        return None
    return Mutation((*rows[: i + 1], *rows[i:]), "boundaries", i + 1, ("batch-repeated",))


def swap_steps(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """Two batches change places; labels and updates stay where they were."""
    i, j = sorted(draw.sample(range(len(rows)), 2))
    if rows[i].ids == rows[j].ids:
        return None
    mine, other = rows[i], rows[j]
    new = (
        (i, mine._replace(ids=other.ids, loss=other.loss, padding=other.padding)),
        (j, other._replace(ids=mine.ids, loss=mine.loss, padding=mine.padding)),
    )
    return Mutation(_put(rows, *new), "boundaries", i, ("batches-swapped",))


def swap_samples(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """Two samples of one pass change places between its batches; none of the padding."""
    i, j = sorted(draw.sample(range(len(rows)), 2))
    mine, other = rows[i], rows[j]
    if mine.epoch != other.epoch or mine.padding or other.padding:
        return None
    a, b = draw.randrange(len(mine.ids)), draw.randrange(len(other.ids))
    new = (i, _with_id(mine, a, other.ids[b])), (j, _with_id(other, b, mine.ids[a]))
    return Mutation(_put(rows, *new), "boundaries", i, ("samples-swapped",))


def swap_inside(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """Two samples change places inside a batch."""
    i = draw.choice(_places(rows, lambda row: len(row.ids) > 1 and not row.padding))
    ids = list(rows[i].ids)
    a, b = draw.sample(range(len(ids)), 2)
    ids[a], ids[b] = ids[b], ids[a]
    return Mutation(_put(rows, (i, rows[i]._replace(ids=tuple(ids)))), "boundaries", i, ("order-inside-batches",))


def skip_update(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """From a place on there is one update less: the one that belonged there."""
    i = draw.choice(_places(rows, lambda row: bool(row.updates)))
    # At the very end the skipped update of a window may as well be what the end made of the window.
    at_end = ("window-at-training-end", "leftover-dropped", "leftover-leaked", "leftover-carried")
    causes = ("update-skipped", *(at_end if i == len(rows) - 1 and not _every_step(rows) else ()))
    return Mutation(_put(rows, (i, rows[i]._replace(updates=(rows[i].updates or 0) - 1))), "updates", i, causes)


def double_update(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """From a place on there is one update more: a second one of the same step."""
    i = draw.choice(_places(rows, lambda row: bool(row.updates)))
    return Mutation(
        _put(rows, (i, rows[i]._replace(updates=(rows[i].updates or 0) + 1))), "updates", i, ("update-doubled",)
    )


def _every_step(rows: Rows) -> bool:
    return all(row.updates for row in rows)


def lose_sample(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """A batch is one sample short."""
    i = draw.choice(_places(rows, lambda row: len(row.ids) > 1 and not row.padding))
    a = draw.randrange(len(rows[i].ids))
    ids = rows[i].ids[:a] + rows[i].ids[a + 1 :]
    return Mutation(_put(rows, (i, rows[i]._replace(ids=ids))), "boundaries", i, ("sample-lost",))


def repeat_sample(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """One id is another's of the same pass."""
    i, j = draw.sample(range(len(rows)), 2)
    if rows[i].epoch != rows[j].epoch or rows[i].padding or rows[j].padding:
        return None
    a = draw.randrange(len(rows[i].ids))
    new = _with_id(rows[i], a, draw.choice(rows[j].ids))
    return Mutation(_put(rows, (i, new)), "boundaries", i, ("sample-repeated",))


def foreign_sample(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """One id is of no sample of the training set."""
    i = draw.randrange(len(rows))
    new = _with_id(rows[i], draw.randrange(len(rows[i].ids)), num_samples + draw.randrange(1000))
    return Mutation(_put(rows, (i, new)), "boundaries", i, ("validation-in-training",))


def truncate(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """The run ends some steps early, of itself: no sign of an interruption."""
    left = len(rows) - (1 if draw.random() < 0.5 else draw.randrange(2, len(rows) // 2))
    # Several steps less have no name of their own: a limit in another unit, or looked at elsewhere, ends a run so.
    causes = ("one-step-less", "batch-lost") if left == len(rows) - 1 else ("limit-confused", "batch-lost")
    return Mutation(rows[:left], "steps", left, causes)


def rename_epochs(rows: Rows, draw: Random, num_samples: int) -> Mutation | None:
    """From a place on all epochs have the next number."""
    i = draw.randrange(len(rows))
    later = ((j, rows[j]._replace(epoch=(rows[j].epoch or 0) + 1)) for j in range(i, len(rows)))
    return Mutation(_put(rows, *later), "epochs", i, ("epoch-labels",))


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
    while (found := mutator(rows, draw, num_samples)) is None:
        pass
    return found
