"""Plan × number of samples → counts in closed form, any step by random access, blocks of steps as columns.

This is what runs are compared with. Adapters may not use it: what they do must be their own doing. The arithmetic is
``xframe.plan.cadence``'s; nothing here holds an array of the data set's size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any

from xframe.errors import UsageError
from xframe.plan.cadence import Cadence
from xframe.plan.fields import LARGEST
from xframe.plan.replicas import shared_padding, shared_rows, with_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xframe.plan.training_plan import TrainingPlan

_MOST_ROWS = 2**28  # of one step whose sample ids are to be written out


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of a run, planned or observed. None: not known.

    Attributes:
        num_steps: training-step calls.
        num_updates: applications of the optimizer.
        num_epochs: 1 + the last step's epoch.
        steps_per_epoch: of all completed epochs; None if they differ or none is complete. Under ``carry``
            with batches beyond the data set's size there are epochs of no step.
        samples_seen: samples trained on, padding not included, repeats counted.
        samples_dropped: remainder samples of the passes whose last full batch was trained.
        samples_padded: padding rows trained on.
        last_batch_size: rows in the last step's batch, padding included.
    """

    num_steps: int
    num_updates: int | None
    num_epochs: int | None
    steps_per_epoch: int | None
    samples_seen: int | None
    samples_dropped: int | None
    samples_padded: int | None
    last_batch_size: int | None

    def to_dict(self) -> dict[str, int | None]:
        """The counts by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """What one of several replicas has of a run's rows; the counts of all add up to those of the run.

    Attributes:
        replica: its index.
        samples_seen, samples_padded: as in ``Counts``, of its own rows.
        steps_without_rows: training-step calls in which others have rows and it has none.
        last_batch_size: its rows in the last step.
    """

    replica: int
    samples_seen: int
    samples_padded: int
    steps_without_rows: int
    last_batch_size: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step as planned; indices are 0-based."""

    index: int  # over the whole run
    epoch: int
    step_in_epoch: int
    sample_ids: NDArray[np.int64]  # in the batch's order, padding last
    padding: int  # how many of them are padding
    update: int  # updates applied so far, this step's included


@dataclass(frozen=True, slots=True)
class PlannedRows:
    """Consecutive steps as columns of equal length; ``pass_index`` and ``position`` are of the first sample."""

    epoch: NDArray[np.int64]
    step_in_epoch: NDArray[np.int64]
    pass_index: NDArray[np.int64]
    position: NDArray[np.int64]
    batch_size: NDArray[np.int64]
    padding: NDArray[np.int64]
    updates: NDArray[np.int64]


def num_steps(plan: TrainingPlan, num_samples: int) -> int:
    """Steps until the run ends."""
    return Cadence(plan, num_samples).num_steps


def counts(plan: TrainingPlan, num_samples: int) -> Counts:
    """All counts, in closed form."""
    cadence = Cadence(plan, num_samples)
    total, ended = cadence.num_steps, cadence.ended_passes()
    epoch, _, _, position = cadence.place(total - 1)
    last, _ = cadence.sizes(total - 1, position)
    return Counts(
        num_steps=total,
        num_updates=cadence.num_updates,
        num_epochs=epoch + 1,
        steps_per_epoch=cadence.steps_of_completed_epochs(),
        samples_seen=cadence.rows(total) - ended * (cadence.missing_of_pass + cadence.padded_of_pass),
        samples_dropped=ended * cadence.dropped_of_pass,
        samples_padded=ended * cadence.padded_of_pass,
        last_batch_size=last,
    )


def of_replicas(plan: TrainingPlan, num_samples: int) -> Iterator[ReplicaCounts]:
    """The counts of each replica, in closed form, one after the other."""
    kinds, last = _kinds(Cadence(plan, num_samples))
    for replica in range(plan.replicas):
        rows = sum(times * shared_rows(plan, size, replica) for size, _, times in kinds)
        padding = sum(times * shared_padding(plan, size, fills, replica) for size, fills, times in kinds)
        without = sum(times for size, _, times in kinds if not shared_rows(plan, size, replica))
        yield ReplicaCounts(replica, rows - padding, padding, without, shared_rows(plan, last, replica))


def _kinds(cadence: Cadence) -> tuple[list[tuple[int, int, int]], int]:
    """The rows and padding of steps, and how many are like that; and the rows of the last step."""
    full, total, ended = cadence.batch_size, cadence.num_steps, cadence.ended_passes()
    last, _ = cadence.sizes(total - 1, cadence.place(total - 1)[3])
    if cadence.carry:
        return [(full, 0, total - 1), (last, 0, 1)], last
    shortest = full - cadence.missing_of_pass
    return [(full, 0, total - ended), (shortest, cadence.padded_of_pass, ended)], last


def idle_replicas(plan: TrainingPlan, num_samples: int) -> int:
    """How many replicas have no row in any step: the last ones."""
    kinds, _ = _kinds(Cadence(plan, num_samples))
    return plan.replicas - max(with_rows(plan, size) for size, _, times in kinds if times)


def step(plan: TrainingPlan, index: int, num_samples: int) -> Step:
    """The step of that index. Raises UsageError: the run has no such step."""
    last = min(num_steps(plan, num_samples), LARGEST) - 1  # beyond it no trace could number a step
    whole = isinstance(index, Integral) and not isinstance(index, bool)
    if not whole or not 0 <= index <= last:
        raise UsageError("no such step", got=index, expected=f"a 0-based index from 0 to {last}")
    index = int(index)
    block = rows(plan, num_samples, index, index + 1)
    return _step(index, block, 0, sample_ids(plan, num_samples, block))


def each_step(plan: TrainingPlan, num_samples: int) -> Iterator[Step]:
    """All steps, one after the other, in constant memory."""
    total = num_steps(plan, num_samples)
    length = max(1, 65536 // plan.batch_size)
    for start in range(0, total, length):
        block = rows(plan, num_samples, start, min(start + length, total))
        ids, ends = sample_ids(plan, num_samples, block), block.batch_size.cumsum()
        for i, (end, size) in enumerate(zip(ends, block.batch_size, strict=True)):
            yield _step(start + i, block, i, ids[end - size : end])


def _step(index: int, block: PlannedRows, i: int, ids: NDArray[np.int64]) -> Step:
    """The step in row i of a block."""
    return Step(
        index, int(block.epoch[i]), int(block.step_in_epoch[i]), ids, int(block.padding[i]), int(block.updates[i])
    )


def rows(plan: TrainingPlan, num_samples: int, start: int, stop: int, cadence: Cadence | None = None) -> PlannedRows:
    """Steps ``start`` to ``stop`` (excluded, both within the run) as columns; ``cadence``: the plan's, if at hand.

    Raises:
        UsageError: an epoch or pass has a number that no trace could hold.
    """
    import numpy as np

    cadence = cadence or Cadence(plan, num_samples)
    index: Any = np.arange(start, stop, dtype=np.int64)
    if cadence.largest_product(stop) > LARGEST:
        index = index.astype(object)
    epoch, inside, pass_, position = cadence.place(index)
    sizes, padding = cadence.sizes(index, position)
    updates = cadence.updates(index + 1)
    if stop == cadence.num_steps:
        updates[-1] = cadence.num_updates
    columns = (epoch, inside, pass_, position, sizes, padding, updates)
    try:
        return PlannedRows(*(np.asarray(column).astype(np.int64) for column in columns))
    except OverflowError:
        raise UsageError(
            "steps beyond what can be numbered", got=stop - 1, expected=f"epochs and passes up to {LARGEST}"
        ) from None


def sample_ids(plan: TrainingPlan, num_samples: int, block: PlannedRows) -> NDArray[np.int64]:
    """The sample ids of consecutive steps, one batch after the other.

    Raises:
        UsageError: a batch is too large to be written out.
    """
    import numpy as np

    largest = int(block.batch_size.max())
    if largest > _MOST_ROWS:
        raise UsageError(
            "the step's sample ids cannot be written out",
            got=largest,
            expected=f"at most {_MOST_ROWS:,} rows in a batch",
        )
    n, order = int(num_samples), plan.sample_order(num_samples)
    carry = plan.remainder == "carry"
    # A stretch is read through without a break: the steps of one pass, or of a stream until its next restart.
    follows = block.pass_index[1:] == block.pass_index[:-1]
    if carry:
        positions: Any = block.position
        if n + largest > LARGEST:
            positions = positions.astype(object)
        ends = positions[:-1] + block.batch_size[:-1]
        follows = (block.pass_index[1:] == block.pass_index[:-1] + ends // n) & (block.position[1:] == ends % n)
    breaks = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(block.position)]
    pieces = []
    for first, last in pairwise(breaks):
        begin, pass_ = int(block.position[first]), int(block.pass_index[first])
        left = int(block.batch_size[first:last].sum())
        while left:
            count = min(left, n - begin)
            pieces.append(order.ids(pass_, begin + np.arange(count, dtype=np.int64)))
            begin, pass_, left = 0, pass_ + 1, left - count
            if left and not carry:  # padding
                pieces.append(np.resize(order.ids(pass_ - 1, np.arange(min(left, n), dtype=np.int64)), left))
                left = 0
    return np.concatenate(pieces)


def observed_epochs(
    plan: TrainingPlan, num_samples: int, epochs: NDArray[np.int64], lengths: NDArray[np.int64], rows_seen: int
) -> tuple[int | None, int]:
    """What a run's own epoch labels amount to under its plan: steps of the completed epochs, and samples dropped.

    The plan says when an epoch or pass is complete, not how many there were. ``epochs`` and ``lengths`` are each
    epoch's label in the order of the steps, at least one, and its number of steps; ``rows_seen`` is without padding.
    """
    import numpy as np

    cadence, total = Cadence(plan, num_samples), int(lengths.sum())
    if not cadence.steps_per_epoch:
        complete = rows_seen // cadence.num_samples
        done = lengths[epochs < complete]
        alike = len(done) == complete and len(set(done.tolist())) == 1
    else:
        whole = cadence.restart_after if cadence.restart else cadence.steps_per_epoch
        exhausted = total == cadence.num_steps and cadence.ended_by_exhaustion
        unfinished = total == cadence.num_steps and cadence.leaves_epoch_unfinished
        done = lengths if (lengths[-1] >= whole and not unfinished) or exhausted else lengths[:-1]
        alike = len(set(done.tolist())) == 1
    dropped = 0
    if cadence.dropped_of_pass:
        over = lengths // cadence.steps_per_pass if cadence.restart else np.array([total // cadence.steps_per_pass])
        dropped = int(over.sum()) * cadence.dropped_of_pass
    return (int(done[0]) if alike else None), dropped
