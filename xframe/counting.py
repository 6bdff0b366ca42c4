"""Plan × number of samples → counts in closed form, and any step by random access.

n samples, batch b, r = n mod b. A pass has ⌈n/b⌉ steps under ``keep`` (the last of r samples if r > 0)
and ⌊n/b⌋ under ``drop``; under ``error`` r must be 0. Here an epoch is a pass and every step is
followed by its update. Passes repeat until the first limit is reached. The p-th pass begun has the
p-th order. Indices are 0-based, counts are ``num_*``.

This is what runs are held against. Adapters may not use it: what they do must be their own doing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import TYPE_CHECKING

from xframe.errors import PlanError, UsageError
from xframe.plan import LARGEST, TrainingPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of a run, planned or observed. None: not known.

    Attributes:
        num_steps: training-step calls.
        num_updates: applications of the optimizer.
        num_epochs: 1 + the last step's epoch.
        steps_per_epoch: of all completed epochs; None if they differ or none is complete.
        samples_seen: samples trained on, padding not included, repeats counted.
        samples_dropped: remainder samples of the passes whose last full batch was trained.
        samples_padded: padding rows trained on.
        last_batch_size: rows in the last step's batch, padding included.
    """

    num_steps: int
    num_updates: int | None
    num_epochs: int | None
    steps_per_epoch: int | None
    samples_seen: int
    samples_dropped: int | None
    samples_padded: int
    last_batch_size: int | None

    def to_dict(self) -> dict[str, int | None]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Step:
    """One step as planned.

    Attributes:
        index: 0-based, over the whole run.
        epoch: 0-based.
        step_in_epoch: 0-based.
        sample_ids: int64, in the batch's order, padding last.
        padding: how many of them are padding.
        update: updates applied so far, this step's included.
    """

    index: int
    epoch: int
    step_in_epoch: int
    sample_ids: NDArray[np.int64]
    padding: int
    update: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive steps as columns of equal length."""

    epoch: NDArray[np.int64]
    step_in_epoch: NDArray[np.int64]
    batch_size: NDArray[np.int64]
    updates: NDArray[np.int64]


def steps_per_pass(plan: TrainingPlan, num_samples: int) -> int:
    """Steps in one pass.

    Raises:
        PlanError: ``num_samples`` is no count, or the plan does not fit it.
    """
    if not _is_whole(num_samples) or not 1 <= num_samples <= LARGEST:
        raise PlanError("the number of samples", got=num_samples, expected=f"an integer from 1 to {LARGEST}")
    num_samples = int(num_samples)
    full, rest = divmod(num_samples, plan.batch_size)
    if plan.remainder == "keep":
        return full + (rest > 0)
    if plan.remainder == "error" and rest:
        raise PlanError(
            f"remainder 'error' refuses {num_samples:,} samples in batches of {plan.batch_size:,}",
            got=rest,
            expected="0 samples left over",
            remedy="Choose a batch_size that divides the number of samples, or remainder 'keep' or 'drop'.",
        )
    if not full:
        raise PlanError(
            "remainder 'drop' leaves no batch at all: the data set is smaller than one batch",
            got=num_samples,
            expected=f"at least {plan.batch_size:,} samples",
            remedy="Use a smaller batch_size, or remainder 'keep'.",
        )
    return full


def _is_whole(value: object) -> bool:
    """Whether that is an integer, Python's or NumPy's, and not a truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def num_steps(plan: TrainingPlan, num_samples: int) -> int:
    """Steps until the first limit is reached; each step is followed by its update."""
    per_pass = steps_per_pass(plan, num_samples)
    limits = plan.limits
    by_epochs = None if limits.epochs is None else limits.epochs * per_pass
    return min(limit for limit in (by_epochs, limits.steps, limits.updates) if limit is not None)


def counts(plan: TrainingPlan, num_samples: int) -> Counts:
    """All counts, in closed form."""
    per_pass, num_samples = steps_per_pass(plan, num_samples), int(num_samples)
    total = num_steps(plan, num_samples)
    passes, steps_left = divmod(total, per_pass)
    batch, rest = plan.batch_size, num_samples % plan.batch_size
    dropped = rest if plan.remainder == "drop" else 0
    ends_a_pass_short = steps_left == 0 and plan.remainder == "keep" and rest > 0
    return Counts(
        num_steps=total,
        num_updates=total,
        num_epochs=passes + (steps_left > 0),
        steps_per_epoch=per_pass if passes else None,
        samples_seen=passes * (num_samples - dropped) + steps_left * batch,
        samples_dropped=passes * dropped,
        samples_padded=0,
        last_batch_size=rest if ends_a_pass_short else batch,
    )


def step(plan: TrainingPlan, index: int, num_samples: int) -> Step:
    """The step of that index.

    Raises:
        UsageError: the run has no such step.
    """
    total = num_steps(plan, num_samples)
    last = min(total, LARGEST) - 1  # beyond it no trace could number a step
    if not _is_whole(index) or not 0 <= index <= last:
        raise UsageError("no such step", got=index, expected=f"a 0-based index from 0 to {last}")
    index, num_samples = int(index), int(num_samples)
    row = rows(plan, num_samples, index, index + 1)
    ids = sample_ids(plan, num_samples, row)
    return Step(index, int(row.epoch[0]), int(row.step_in_epoch[0]), ids, 0, int(row.updates[0]))


def steps(plan: TrainingPlan, num_samples: int) -> Iterator[Step]:
    """All steps, one after the other, in constant memory."""
    total = num_steps(plan, num_samples)
    block = max(1, 65536 // plan.batch_size)
    for start in range(0, total, block):
        part = rows(plan, num_samples, start, min(start + block, total))
        ids, ends = sample_ids(plan, num_samples, part), part.batch_size.cumsum()
        for i, (end, size) in enumerate(zip(ends, part.batch_size, strict=True)):
            yield Step(
                index=start + i,
                epoch=int(part.epoch[i]),
                step_in_epoch=int(part.step_in_epoch[i]),
                sample_ids=ids[end - size : end],
                padding=0,
                update=int(part.updates[i]),
            )


def rows(plan: TrainingPlan, num_samples: int, start: int, stop: int) -> Rows:
    """Steps ``start`` to ``stop`` (excluded, both within the run) as columns."""
    import numpy as np

    index = np.arange(start, stop, dtype=np.int64)
    epoch, step_in_epoch = np.divmod(index, steps_per_pass(plan, num_samples))
    sizes = np.minimum(plan.batch_size, num_samples - step_in_epoch * plan.batch_size)
    return Rows(epoch, step_in_epoch, sizes, index + 1)


def sample_ids(plan: TrainingPlan, num_samples: int, part: Rows) -> NDArray[np.int64]:
    """The sample ids of consecutive steps, one batch after the other."""
    import numpy as np

    order = plan.sample_order(num_samples)
    first = part.step_in_epoch * plan.batch_size
    pieces = []
    for pass_index in range(int(part.epoch[0]), int(part.epoch[-1]) + 1):
        inside = np.flatnonzero(part.epoch == pass_index)  # one run of steps, so one run of positions
        end = first[inside[-1]] + part.batch_size[inside[-1]]
        pieces.append(order.ids(pass_index, np.arange(first[inside[0]], end, dtype=np.int64)))
    return np.concatenate(pieces)


def arithmetic(plan: TrainingPlan, num_samples: int) -> list[str]:
    """The counts, written out as a person would check them on paper."""
    n, b = num_samples, plan.batch_size
    per_pass, total, result = steps_per_pass(plan, n), num_steps(plan, n), counts(plan, n)
    full, rest = divmod(n, b)
    division = f"{n:,} samples / batches of {b:,} = {full:,} full"
    if not rest:
        lines = [f"{division}, none left -> {_of(per_pass, 'step')} an epoch"]
    elif plan.remainder == "keep":
        lines = [f"{division} + 1 short of {rest:,} (keep) -> {_of(per_pass, 'step')} an epoch"]
    else:
        lines = [f"{division}, {_of(rest, 'sample')} dropped -> {_of(per_pass, 'step')} an epoch"]
    limits = plan.limits
    if limits.epochs is not None:
        product = limits.epochs * per_pass
        lines.append(
            f"epochs  {limits.epochs:,} x {_of(per_pass, 'step')} = {_of(product, 'step')}{_stops(product, total)}"
        )
    for name, limit in (("steps", limits.steps), ("updates", limits.updates)):
        if limit is not None:
            passes, left = divmod(limit, per_pass)
            length = _of(passes, "epoch")
            length += f" + {left:,} of {per_pass:,} steps" if left else " exactly"
            lines.append(f"{name:7} {_of(limit, name[:-1])} / {per_pass:,} an epoch = {length}{_stops(limit, total)}")
    lines.append(
        f"total   {_of(result.num_steps, 'step')}, {_of(total, 'update')}, {_of(result.num_epochs or 0, 'epoch')}"
        + (" (the last one unfinished)" if total % per_pass else "")
    )
    samples = f"samples {result.samples_seen:,} seen"
    if result.samples_dropped:
        samples += f", {result.samples_dropped:,} dropped ({rest:,} in each full pass)"
    lines.append(f"{samples}, last batch {result.last_batch_size:,}")
    return lines


def _of(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _stops(here: int, total: int) -> str:
    return "" if here == total else "  (not reached)"
