"""What is wrong with a plan, in words: what was got, what is expected, what to do about it.

All that is wrong is reported at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xframe.errors import PlanError, Verbatim, did_you_mean
from xframe.plan.fields import DEPENDENTS, FIELDS, LIMITS, is_set

if TYPE_CHECKING:
    from pydantic import ValidationError

    from xframe.plan.training_plan import TrainingPlan

ELSEWHERE = {  # what trainers call a plan's fields
    "accumulate_grad_batches": "gradient_accumulation_steps",
    "dataloader_drop_last": "remainder, 'drop'",
    "drop_last": "remainder, 'drop'",
    "drop_remainder": "remainder, 'drop'",
    "epoch_length": "steps_per_epoch",
    "limit_train_batches": "steps_per_epoch",
    "max_epochs": "epochs",
    "max_iters": "steps",
    "max_steps": "steps, or updates if optimizer updates are counted",
    "num_epochs": "epochs",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "shuffle": "order",
    "devices": "replicas",
    "world_size": "replicas",
    "num_processes": "replicas",
    "num_replicas": "replicas",
    "num_replicas_in_sync": "replicas",
    "patience": "early_stopping_patience",
    "min_delta": "early_stopping_min_delta",
    "monitor": "early_stopping_monitor",
    "restore_best_weights": "restore_best",
    "validation_freq": "validation_every",
    "check_val_every_n_epoch": "validation_every",
    "val_check_interval": "validation_every, with validation_unit 'steps'",
    "eval_steps": "validation_every, with validation_unit 'updates'",
    "per_device_eval_batch_size": "validation_batch_size",
}
# Of a field that others need: what they are without, why they then mean nothing, and how to set it.
_WITHOUT = {
    "steps_per_epoch": (
        "steps_per_epoch",
        "no such field, for then an epoch is one pass over the samples",
        "steps_per_epoch",
    ),
    "gradient_accumulation_steps": (
        "gradient accumulation",
        "no such field where gradient_accumulation_steps is 1, for every step has its update",
        "gradient_accumulation_steps to 2 or more",
    ),
    "replicas": (
        "replicas",
        "no such field where replicas is 1, for one replica has all rows",
        "replicas to 2 or more",
    ),
    "validation_every": (
        "validation_every",
        "no such field, for without validation_every there is no validation",
        FIELDS["validation_every"].assignment,
    ),
    "early_stopping_patience": (
        "early_stopping_patience",
        "no such field, for without early_stopping_patience there is no early stopping",
        FIELDS["early_stopping_patience"].assignment,
    ),
}


def together(problems: Sequence[PlanError]) -> PlanError:
    """One error that names all of them; at least one is given."""
    if len(problems) == 1:
        return problems[0]
    lines = [str(problem).removeprefix("invalid plan: ") for problem in problems]
    return PlanError("\n  - ".join([f"invalid plan, in {len(lines)} places:", *lines]))


def of_fields(error: ValidationError) -> PlanError:
    """The error of fields that are wrong each by itself."""
    details = error.errors(include_url=False, include_context=False)
    found = [(one["type"], [str(name) for name in one["loc"]], one["input"]) for one in details]
    others = [(location[0], got) for kind, location, got in found if kind == "extra_forbidden"]
    meant = {_meant(name) for name, _ in others}
    table = any(isinstance(got, Mapping) for _, got in others)
    return together([_of_field(*one) for one in found if one[0] != "missing" or not (table or one[1][0] in meant)])


def _meant(name: str) -> str | None:
    """The field that a name that is none stands for."""
    if name in ELSEWHERE:
        return ELSEWHERE[name].partition(",")[0]
    return next(iter(difflib.get_close_matches(name, FIELDS, n=1)), None)


def _of_field(kind: str, location: list[str], got: Any) -> PlanError:
    if not location:
        return PlanError("invalid plan", got=got, expected="fields by name, such as batch_size and epochs")
    name, names = location[0], "one of " + ", ".join(FIELDS)
    if kind == "extra_forbidden" and isinstance(got, Mapping):
        table = f"[{name[:60]}]"
        top = f"the fields at the top level, as {FIELDS['batch_size'].assignment}"
        return PlanError(f"invalid plan: a table {table}", expected=top, remedy=f"Remove the line {table}.")
    if kind == "extra_forbidden":
        hint = f"A plan calls it {ELSEWHERE[name]}." if name in ELSEWHERE else did_you_mean(name, FIELDS)
        return PlanError(
            f"invalid plan: unknown field {name[:60]!r}", got=got, expected=names, remedy=hint or "Remove it."
        )
    if name not in FIELDS:
        return PlanError("invalid plan: a field without a name", got=Verbatim(name), expected=names)
    field = FIELDS[name]
    example = f"Set {field.assignment}, for example."
    if kind == "missing":
        return PlanError(f"invalid plan: {name} is missing", expected=field.expected, remedy=example)
    hint = did_you_mean(got, field.words) if isinstance(got, str) else ""
    got = Verbatim("None") if got is None else got
    return PlanError(f"invalid plan: {name}", got=got, expected=field.expected, remedy=hint or example)


def contradictions(plan: TrainingPlan) -> list[PlanError]:
    """Combinations of valid fields that make no sense together."""
    problems, values = [], vars(plan)
    if plan.limits == (None, None, None):
        problems.append(
            PlanError(
                "invalid plan: no limit",
                got=Verbatim("neither " + " nor ".join(LIMITS)),
                expected="at least one of them, or training never ends",
                remedy=f"Set {FIELDS['epochs'].assignment}, for example.",
            )
        )
    if plan.steps_per_epoch is not None and plan.remainder == "carry" and plan.on_exhaustion is not None:
        problems.append(
            PlanError(
                "invalid plan: on_exhaustion with remainder 'carry'",
                got=plan.on_exhaustion,
                expected="no such field, for under carry passes form one endless stream",
                remedy="Remove on_exhaustion, or choose another remainder.",
            )
        )
    for needed in DEPENDENTS:
        if not is_set(needed, values[needed]):
            problems += _without(values, needed)
    if plan.early_stopping_patience is not None and plan.accumulation_at_end == "flush":
        problems.append(
            PlanError(
                "invalid plan: accumulation_at_end with early stopping",
                got=plan.accumulation_at_end,
                expected="drop, for a validation comes after its step's update, and ends training there",
                remedy="Remove accumulation_at_end, or early_stopping_patience.",
            )
        )
    problems += _of_replicas(plan)
    if not problems and _never_ends(plan):
        problems.append(never_updates(plan, plan.steps_per_epoch or 0))
    return problems


def _without(values: Mapping[str, Any], needed: str) -> Iterator[PlanError]:
    """Fields that are set though the one they need is not."""
    without, expected, setting = _WITHOUT[needed]
    for field in DEPENDENTS[needed]:
        if (value := values[field.name]) is not None:
            yield PlanError(
                f"invalid plan: {field.name} without {without}",
                got=value,
                expected=expected,
                remedy=f"Set {setting}, or remove {field.name}.",
            )


def _of_replicas(plan: TrainingPlan) -> Iterator[PlanError]:
    """A pass made even for replicas, where batches are not."""
    remainder = plan.replica_remainder
    if remainder not in ("pad", "drop"):
        return
    if plan.remainder == "carry":
        yield PlanError(
            f"invalid plan: replica_remainder {remainder!r} with remainder 'carry'",
            got=remainder,
            expected="uneven, for under carry passes form one endless stream",
            remedy="Remove replica_remainder, or choose another remainder.",
        )
    elif plan.batch_size % plan.replicas:
        yield PlanError(
            f"invalid plan: replica_remainder {remainder!r} where replicas have batches of different sizes",
            got=Verbatim(f"batch_size {plan.batch_size:,} over {plan.replicas:,} replicas"),
            expected="a batch_size that replicas divides",
            remedy="Choose another batch_size, or remove replica_remainder.",
        )


def _never_ends(plan: TrainingPlan) -> bool:
    """Whether updates are the only limit, and each epoch ends before a window is full, whatever the data's size."""
    return (
        plan.epochs is None
        and plan.steps is None
        and plan.steps_per_epoch is not None
        and plan.steps_per_epoch < plan.gradient_accumulation_steps
        and plan.accumulation_boundary == "epoch"
        and plan.accumulation_remainder in ("drop", "leak")
        and plan.on_exhaustion != "stop"
    )


def never_updates(plan: TrainingPlan, at_most: int) -> PlanError:
    """The error of a plan whose only limit is updates, and whose windows are cut after at most that many steps."""
    return PlanError(
        "this plan would never end: its only limit is updates, and no update ever comes",
        got=Verbatim(
            f"gradient_accumulation_steps {plan.gradient_accumulation_steps:,}, cut after at most {at_most:,} by the "
            f"end of each {plan.accumulation_boundary} and then not applied "
            f"(accumulation_remainder {plan.accumulation_remainder!r})"
        ),
        expected="a window that fills up, or a limit of epochs or steps",
        remedy="Use accumulation_remainder 'carry' or 'flush', fewer accumulation steps, or set epochs or steps too.",
    )
