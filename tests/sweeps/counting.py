"""Plans in closed form compared with the simulator, which walks them batch by batch."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sweeps import Result
from sweeps.simulator import Refused, Run, random_case, simulate
from xframe.errors import PlanError, UsageError
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan

Fields = dict[str, Any]
# How the simulator begins to say why it refuses a case, and what the plan's own refusal then says.
REFUSALS = {
    "replicas": "fewer samples than replicas",
    "drop": "smaller than one batch",
    "error": "refuses",
    "endless": "would never end",
}


@dataclass
class Counting(Result):
    """``refused``: cases that both sides refuse, with the same reason."""

    refused: int = 0

    @property
    def text(self) -> str:
        return f"{self.cases:,} random plans ({self.refused:,} of them refused by both)"


def order_of(plan: TrainingPlan, num_samples: int) -> Callable[[int], list[int]]:
    """The ids of each pass, as the simulator wants them."""
    order = plan.sample_order(num_samples)
    return cache(lambda pass_index: order.ids(pass_index).tolist())


def check_case(fields: Fields, num_samples: int) -> str | None:
    """What differs between the plan and the simulator; None if nothing does."""
    return _judged(fields, num_samples)[1]


def run(size: int, seed: int, draw: Callable[[random.Random], tuple[Fields, int]] = random_case) -> Counting:
    """That many random cases compared."""
    rng = random.Random(seed)
    result = Counting(cases=size)
    for _ in range(size):
        fields, num_samples = draw(rng)
        refused, mismatch = _judged(fields, num_samples)
        result.refused += refused
        if mismatch is not None:
            result.mismatches.append(f"{num_samples} samples, {fields}: {mismatch}")
    return result


def _judged(fields: Fields, num_samples: int) -> tuple[bool, str | None]:
    """Whether both sides refused the case, and what differs."""
    try:
        return _compared(fields, num_samples)
    except Exception as error:  # reported with its case
        return False, f"{type(error).__name__}: {error}"


def _compared(fields: Fields, num_samples: int) -> tuple[bool, str | None]:
    try:
        plan = TrainingPlan.from_mapping(fields)
    except PlanError as error:
        try:
            simulate(fields, num_samples, lambda _: range(num_samples))
        except Refused:
            return True, None
        return False, f"the plan is refused: {error}"
    try:
        run = simulate(fields, num_samples, order_of(plan, num_samples))
    except Refused as refusal:
        return _both_refuse(plan, num_samples, str(refusal))
    looks = (_counts, _steps, _random_access, _observed)
    return False, next((found for look in looks if (found := look(plan, num_samples, run))), None)


def _both_refuse(plan: TrainingPlan, num_samples: int, why: str) -> tuple[bool, str | None]:
    expected = REFUSALS[why.partition(":")[0]]
    for ask in (plan.counts, lambda n: next(plan.each_step(n)), lambda n: plan.step(0, n)):
        try:
            answer = ask(num_samples)
        except PlanError as error:
            if expected not in str(error):
                return False, f"refused for another reason than {why!r}: {error}"
        else:
            return False, f"not refused, although {why!r}: {answer}"
    return True, None


def _counts(plan: TrainingPlan, num_samples: int, run: Run) -> str | None:
    counts = plan.counts(num_samples).to_dict()
    return None if counts == run.counts else f"counts {counts}, walked {run.counts}"


def _steps(plan: TrainingPlan, num_samples: int, run: Run) -> str | None:
    planned = [_values(step) for step in plan.each_step(num_samples)]
    for step, walked in zip(planned, run.steps, strict=False):
        if step != _values(walked):
            return f"step {step}, walked {walked}"
    return None if len(planned) == len(run.steps) else f"{len(planned)} steps, walked {len(run.steps)}"


def _random_access(plan: TrainingPlan, num_samples: int, run: Run) -> str | None:
    total = len(run.steps)
    for index in {0, total // 3, total // 2, total - 1}:
        step = plan.step(index, num_samples)
        if _values(step) != _values(run.steps[index]):
            return f"alone, step {step}, walked {run.steps[index]}"
    try:
        return f"step {plan.step(total, num_samples)} after the last"
    except UsageError:
        pass
    start, stop = total // 3, total - total // 4
    part, walked = counting.rows(plan, num_samples, start, stop), run.steps[start:stop]
    ids = counting.sample_ids(plan, num_samples, part).tolist()
    columns = {
        "epoch": (part.epoch, [step.epoch for step in walked]),
        "step_in_epoch": (part.step_in_epoch, [step.step_in_epoch for step in walked]),
        "batch_size": (part.batch_size, [len(step.sample_ids) for step in walked]),
        "padding": (part.padding, [step.padding for step in walked]),
        "updates": (part.updates, [step.update for step in walked]),
    }
    for name, (column, expected) in columns.items():
        if column.tolist() != expected:
            return f"{name} of steps {start} to {stop - 1}: {column.tolist()}, walked {expected}"
    return None if ids == [i for step in walked for i in step.sample_ids] else f"ids of steps {start} to {stop - 1}"


def _observed(plan: TrainingPlan, num_samples: int, run: Run) -> str | None:
    """What differs where a run that did as planned is counted by its own labels."""
    labels = np.array([step.epoch for step in run.steps])
    epochs, lengths = np.unique(labels, return_counts=True)
    seen = counting.observed_epochs(plan, num_samples, epochs, lengths, run.counts["samples_seen"] or 0)
    walked = run.counts["steps_per_epoch"], run.counts["samples_dropped"]
    return None if seen == walked else f"observed {seen} steps per epoch and samples dropped, walked {walked}"


def _values(step: Any) -> tuple[Any, ...]:
    """A step, planned or walked, as plain values."""
    ids = step.sample_ids if isinstance(step.sample_ids, list) else step.sample_ids.tolist()
    return step.index, step.epoch, step.step_in_epoch, ids, step.padding, step.update


def check_scaled(fields: Fields, num_samples: int, factor: int) -> str | None:
    """What differs where samples and batches are ``factor`` times as many: by the rules, only their numbers of samples.

    A way to compare huge numbers with the simulator. The plan has to fit the data.
    """
    walked = simulate(fields, num_samples, lambda _: range(num_samples))
    plan = TrainingPlan.from_mapping({**fields, "batch_size": fields["batch_size"] * factor})
    large = num_samples * factor
    rows_of = ("samples_seen", "samples_dropped", "samples_padded", "last_batch_size")
    counts = plan.counts(large).to_dict()
    expected = {name: value * factor if name in rows_of else value for name, value in walked.counts.items()}
    if counts != expected:
        return f"counts {counts}, expected {expected}"
    part = counting.rows(plan, large, 0, len(walked.steps))
    for i, step in enumerate(walked.steps):
        labels = [int(column[i]) for column in (part.epoch, part.step_in_epoch, part.updates)]
        sizes = [int(column[i]) for column in (part.batch_size, part.padding)]
        if labels != [step.epoch, step.step_in_epoch, step.update] or sizes != [
            len(step.sample_ids) * factor,
            step.padding * factor,
        ]:
            return f"step {i}: {labels}, {sizes}, walked {step}"
    return None
