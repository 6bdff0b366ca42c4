"""Plans inferred from rows alone, compared with the plans that made the rows."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sweeps import Result
from sweeps.counting import order_of
from sweeps.simulator import Refused, random_case, simulate
from xframe.errors import PlanError
from xframe.inference.inferring import MORE, Inference, infer
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

Fields = dict[str, Any]
SEEDS = range(8)  # of those that the random plans have, 0, 1 and 7 are among them
ACCUMULATION = (
    "accumulation_boundary",
    "accumulation_remainder",
    "accumulation_at_end",
    "loss_normalization",
)


@dataclass
class Inferences(Result):
    """``refused`` cases made no run.

    ``alike`` of the others have passes that are not the original's, in an order that allows both. ``other_runs`` of the
    corrupted ones are runs of a different plan.
    """

    refused: int = 0
    alike: int = 0
    corrupted: int = 0
    other_runs: int = 0

    @property
    def text(self) -> str:
        return (
            f"{self.cases:,} random plans inferred from their rows, and {self.corrupted:,} runs with a row changed "
            f"({self.other_runs:,} of these follow a different plan)"
        )


class Case(NamedTuple):
    """A run, and how its order was made."""

    plan: TrainingPlan
    num_samples: int
    rows: Rows
    own_order: bool


def run(size: int, seed: int) -> Inferences:
    """That many random plans, each inferred from its rows."""
    rng, result = random.Random(seed), Inferences(cases=size)
    for _ in range(size):
        fields, num_samples = random_case(rng)
        case = _case(rng, fields, num_samples)
        if case is None:
            result.refused += 1
            continue
        try:
            inference = infer(case.rows, num_samples, seeds=SEEDS)
            mismatch, differs = _judged(case, inference)
            result.alike += differs
            if mismatch is None:
                corrupt = _corrupted(rng, case.rows)
                if corrupt is not None:
                    result.corrupted += 1
                    mismatch, other = judge_corrupted(case, *corrupt)
                    result.other_runs += other
        except Exception as error:  # reported with its case
            mismatch = f"{type(error).__name__}: {error}"
        if mismatch is not None:
            result.mismatches.append(f"{num_samples} samples, {fields}, {len(case.rows)} rows: {mismatch}")
    return result


def check_case(fields: Fields, num_samples: int) -> str | None:
    """What is wrong about one plan inferred from its rows, in xframe's order and without labels; None if nothing is."""
    try:
        plan = TrainingPlan.from_mapping(fields)
        rows = walked(fields, num_samples, order_of(plan, num_samples)).only("batch_size", "updates", "ids")
    except (Refused, PlanError):
        return None
    case = Case(plan, num_samples, rows, own_order=True)
    return _judged(case, infer(rows, num_samples, seeds=SEEDS))[0]


def _case(rng: random.Random, fields: Fields, num_samples: int) -> Case | None:
    """The rows of a plan: in xframe's order or any other, with labels or without, whole or not."""
    try:
        plan = TrainingPlan.from_mapping(fields)
        own_order = rng.random() < 0.65
        orders = order_of(plan, num_samples) if own_order else any_order(rng, plan, num_samples)
        rows = walked(fields, num_samples, orders)
    except (Refused, PlanError):
        return None
    if rng.random() < 0.7:
        rows = rows.only("batch_size", "updates", "ids")
    if rng.random() < 0.2 and len(rows) > 1:
        rows = rows.head(rng.randint(1, len(rows) - 1))
    return Case(plan, num_samples, rows, own_order)


def any_order(rng: random.Random, plan: TrainingPlan, num_samples: int) -> Callable[[int], Sequence[int]]:
    """Permutations that are none of xframe's, a new one each pass or always the same."""
    passes: dict[int, list[int]] = {}

    def order(pass_index: int) -> list[int]:
        p = pass_index if plan.reshuffle else 0
        if p not in passes:
            passes[p] = rng.sample(range(num_samples), num_samples)
        return passes[p]

    return (lambda _: range(num_samples)) if plan.order == "sequential" else order


def walked(fields: Fields, num_samples: int, order: Callable[[int], Sequence[int]]) -> Rows:
    """The rows as the simulator makes them."""
    steps = simulate(fields, num_samples, order).steps
    rows = Rows.of_batches([step.sample_ids for step in steps], [step.update for step in steps])

    def column(values: list[int]) -> Any:
        return np.array(values, dtype=np.int64)

    return rows.with_columns(
        epoch=column([step.epoch for step in steps]),
        step_in_epoch=column([step.step_in_epoch for step in steps]),
        padding=column([step.padding for step in steps]),
    )


def _judged(case: Case, inference: Inference) -> tuple[str | None, bool]:
    """What is wrong with the inference, and whether its passes are others than the original's."""
    if inference.first_misfit is not None or inference.plan is None:
        return f"no plan fits from step {inference.first_misfit} on: {inference.odd}", False
    wrong, differs = reproduces(inference.plan, case)
    return wrong or _fields_wrong(case, inference), differs


def reproduces(plan: TrainingPlan, case: Case, steps: int | None = None) -> tuple[str | None, bool]:
    """What differs between the rows and those of the plan, and whether its passes are others, though as possible."""
    rows, n = case.rows, case.num_samples
    total = len(rows) if steps is None else steps
    whole = rows.complete and steps is None
    planned = counting.num_steps(plan, n)
    if planned != total if whole else planned < total:
        return f"{plan} has {planned} steps", False
    part = counting.rows(plan, n, 0, total)
    if (part.batch_size != rows.batch_size[:total]).any():
        return f"{plan} has sizes {part.batch_size.tolist()}, not {rows.batch_size.tolist()}", False
    if rows.updates is not None and (part.updates != rows.updates[:total]).any():
        return f"{plan} has updates {part.updates.tolist()}, not {rows.updates.tolist()}", False
    if steps is None:
        original = counting.rows(case.plan, n, 0, total)
        if (part.pass_index == original.pass_index).all() and (part.position == original.position).all():
            return None, False
    return passes_impossible(plan, case.rows, n, total), True


def passes_impossible(plan: TrainingPlan, rows: Rows, num_samples: int, total: int) -> str | None:
    """What in the ids no order allows; walked with sets, sample by sample."""
    part = counting.rows(plan, num_samples, 0, total)
    pass_index, drawn = -1, []
    for step in range(total):
        begins, size = int(part.pass_index[step]), int(part.batch_size[step])
        if begins != pass_index:
            pass_index, drawn = begins, []
        batch = rows.batch(step).tolist()
        for sample in batch[: size - int(part.padding[step])]:
            if len(drawn) == num_samples:
                pass_index, drawn = pass_index + 1, []
            if sample in drawn or not 0 <= sample < num_samples:
                return f"{plan}: in step {step}, sample {sample} is impossible"
            drawn.append(sample)
        padding = int(part.padding[step])
        if batch[size - padding :] != [drawn[i % num_samples] for i in range(padding)]:
            return f"{plan}: in step {step}, padding {batch[size - padding :]}"
        if len(drawn) != (int(part.position[step]) + size - padding - 1) % num_samples + 1:
            return f"{plan}: in step {step}, {len(drawn)} samples of the pass were drawn"
    return None


def _fields_wrong(case: Case, inference: Inference) -> str | None:
    """A field whose original value is not among those told, though it makes a difference."""
    values = {name: (value,) for name, value in inference.certain.items()} | inference.undecided
    original = case.plan
    names = ("gradient_accumulation_steps", *ACCUMULATION, "steps_per_epoch", "epoch_iterator", "on_exhaustion")
    for name in (*names, "batch_size", "remainder", "order", "reshuffle"):
        told, value = values.get(name, (None,)), getattr(case.plan, name)
        if value in told or (name == "reshuffle" and inference.order == "sequential"):
            continue
        # One setting after the other is replaced by one without effect.
        alike = (_same_rows(case, name, other) for other in told if other != MORE)
        if (plan := next(filter(None, alike), None)) is not None:
            case = case._replace(plan=plan)
        elif not _among(value, told):
            return f"{name} is {value!r}, told {told}; {inference.plan}"
    if not case.rows.complete or counting.Cadence(original, case.num_samples).stopped:
        return None  # no limit was reached
    limits = {"epochs": original.epochs, "steps": original.steps, "updates": original.updates}
    # The one that is reached is among those told, where an epoch is told as it is.
    told_any = any(value is not None and _among(value, values.get(name, (None,))) for name, value in limits.items())
    if not told_any and not any(
        _same_rows(case, name, other) or _same_rows(case, name, other, passes=True)
        for name in limits
        for other in values.get(name, ())
        if other not in (None, MORE)
    ):
        return f"limits {limits}, told {[values.get(name) for name in limits]}; {inference.plan}"
    if inference.seed is not None and (original.seed != inference.seed or not case.own_order):
        return f"seed {original.seed}, told {inference.seed}"
    return None


def _among(value: Any, told: tuple[Any, ...]) -> bool:
    if value in told:
        return True
    return MORE in told and isinstance(value, int) and value > max(v for v in told if isinstance(v, int))


def _same_rows(case: Case, name: str, value: Any, *, passes: bool = False) -> TrainingPlan | None:
    """The plan with another value there, and on request with passes for epochs, if that leaves the same rows."""
    fields = {**case.plan.to_dict(), name: value}
    if value is None and name in ("steps_per_epoch", "epoch_iterator", "on_exhaustion"):
        fields |= dict.fromkeys(("steps_per_epoch", "epoch_iterator", "on_exhaustion"))
        # Its epochs may have been what ended the run.
        steps = dict.fromkeys(("epochs", "steps", "updates")) | {"steps": len(case.rows) + (not case.rows.complete)}
        return _if_same(case, name, fields) or _if_same(case, name, fields | steps)
    if name == "gradient_accumulation_steps" and value == 1:
        fields |= dict.fromkeys(ACCUMULATION)
    if name == "remainder" and (value == "carry" or case.plan.remainder == "carry"):
        fields["on_exhaustion"] = None
    if name in ("epochs", "steps", "updates"):
        fields |= {**dict.fromkeys(("epochs", "steps", "updates")), name: value}
    if passes:
        fields |= dict.fromkeys(("steps_per_epoch", "epoch_iterator", "on_exhaustion"))
    return _if_same(case, name, fields)


def _if_same(case: Case, name: str, fields: Fields) -> TrainingPlan | None:
    total, rows, n = len(case.rows), case.rows, case.num_samples
    try:
        plan = TrainingPlan.from_mapping({key: given for key, given in fields.items() if given is not None})
        planned = counting.num_steps(plan, n)
    except PlanError:
        return None
    if planned != total if rows.complete else planned < total:
        return None
    part, own = (counting.rows(p, n, 0, total) for p in (plan, case.plan))
    columns = ["batch_size", "padding", "pass_index", "position", "updates"]
    if rows.epoch is not None:
        columns += ["epoch", "step_in_epoch"]
    if any((getattr(part, column) != getattr(own, column)).any() for column in columns):
        return None
    if name in ("order", "reshuffle"):
        given, found = (counting.sample_ids(p, n, part) for p in (plan, case.plan))
        return plan if (given == found).all() else None
    return plan


# Corrupted rows


def _corrupted(rng: random.Random, rows: Rows) -> tuple[str, int, Rows] | None:
    """What was done to a run, where, and the rows of it."""
    assert rows.updates is not None
    rows = rows.only("batch_size", "updates", "ids")
    batches = [rows.batch(step).tolist() for step in range(len(rows))]
    updates = rows.updates.tolist()
    if len(batches) < 3:
        return None
    what = rng.choice(["dropped", "size", "update", "twice", "swapped", "foreign"])
    at = rng.randint(1, len(batches) - 1)
    if what == "dropped":
        batches, updates = batches[:at] + batches[at + 1 :], updates[:at] + updates[at + 1 :]
    elif what == "size":
        batches[at] = batches[at][:-1] if len(batches[at]) > 1 else [*batches[at], batches[at][0]]
    elif what == "update":
        updates = updates[:at] + [count + 1 for count in updates[at:]]
    elif what == "swapped":
        batches[at - 1], batches[at] = batches[at], batches[at - 1]
        at -= 1
    elif what == "twice":
        batches, updates = batches[: at + 1] + batches[at:], [*updates[: at + 1], *updates[at:]]
    else:
        batches[at] = [10**6, *batches[at][1:]]
    return what, at, Rows.of_batches(batches, updates, complete=rows.complete)


def judge_corrupted(case: Case, what: str, at: int, rows: Rows) -> tuple[str | None, bool]:
    """What is wrong about the corrupted rows' inference, and whether they are the run of another plan."""
    inference = infer(rows, case.num_samples, seeds=SEEDS)
    corrupt = case._replace(rows=rows)
    misfit = inference.first_misfit
    if misfit is None:
        assert inference.plan is not None
        wrong = _rows_of(inference.plan, corrupt, None)
        return (f"{what} at {at}, and yet {wrong}" if wrong else None), True
    if misfit and inference.plan is None:
        return f"{what} at {at}: no plan for the {misfit} steps before", False
    wrong = _rows_of(inference.plan, corrupt, misfit) if inference.plan is not None else None
    if wrong:
        return f"{what} at {at}, misfit {misfit}, and yet {wrong}", False
    if misfit < at:
        return f"{what} at {at}, but misfit {misfit}", False
    if what == "foreign" and misfit != at:
        return f"a foreign sample at {at}, misfit {misfit}", False
    if misfit < len(rows) and infer(_part(rows, misfit + 1), case.num_samples, seeds=SEEDS).first_misfit is None:
        # Only where it is the end of the run that no plan has may one step more be explained.
        return (None if misfit == len(rows) - 1 else f"{what} at {at}: misfit {misfit}, but step fits"), False
    return None, False


def _part(rows: Rows, steps: int) -> Rows:
    return rows.head(steps).with_columns(complete=False)


def _rows_of(plan: TrainingPlan, case: Case, steps: int | None) -> str | None:
    total = len(case.rows) if steps is None else steps
    part = _part(case.rows, total) if steps is not None else case.rows
    planned = counting.num_steps(plan, case.num_samples)
    if planned != total if part.complete else planned < total:
        return f"{plan} has {planned} steps, not {total}"
    own = counting.rows(plan, case.num_samples, 0, total)
    if (own.batch_size != part.batch_size).any() or (own.updates != part.updates).any():
        return f"{plan} has other sizes or updates"
    return passes_impossible(plan, part, case.num_samples, total)
