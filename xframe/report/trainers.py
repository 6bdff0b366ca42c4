"""Several trainers' plans side by side: where their counts differ, why, and what would make them agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xframe import tables
from xframe.errors import UsageError, Verbatim, counted
from xframe.plan.fields import LIMITS
from xframe.plan.presets import answer, like, preset, put
from xframe.plan.training_plan import TrainingPlan
from xframe.report.reasons import POLICIES, gradients, reasons, shares
from xframe.report.same_steps import all_same, first_difference, same

_ROWS = {
    "num_steps": "steps",
    "num_updates": "updates",
    "num_epochs": "epochs",
    "steps_per_epoch": "steps an epoch",
    "samples_seen": "samples seen",
    "samples_dropped": "samples dropped",
    "samples_padded": "padding rows",
    "last_batch_size": "last batch",
}
_ALWAYS = ("num_steps", "num_updates", "num_epochs", "samples_seen")
PLAN = "plan"


def answers(
    names: Sequence[str], num_samples: int, fields: Mapping[str, Any], *, beside: bool = False
) -> dict[str, TrainingPlan]:
    """The plan that the fields are, or each trainer's answer to them.

    Args:
        names: of trainers; none for the plan alone.
        num_samples: size of the data set.
        fields: of a plan. What a trainer decides itself is not asked; the plan then stands beside the trainers.
        beside: let it in any case.

    Raises:
        UsageError: a trainer is unknown, given twice, or cannot be asked that.
    """
    return answers_to_calls(names, num_samples, fields, {}, beside=beside)[0]


def answers_to_calls(
    names: Sequence[str],
    num_samples: int,
    fields: Mapping[str, Any],
    own: Mapping[str, Mapping[str, Any]],
    *,
    beside: bool = False,
) -> tuple[dict[str, TrainingPlan], int]:
    """The same, and on how many samples all of them train.

    Args:
        own: by trainer, arguments by its own names, in place of what the fields say of the same.
    """
    if not names:
        return {PLAN: TrainingPlan.from_mapping(fields)}, num_samples
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError("a trainer is given twice", got=twice, expected="each once")
    question = _question(fields)
    beside = beside or question != fields
    plans = {PLAN: TrainingPlan.from_mapping(fields)} if beside else {}
    sizes = dict.fromkeys(plans, num_samples)
    refused = []
    for name in names:
        try:
            fields_of_it = like(name, num_samples=num_samples, **{**put(name, question), **own.get(name, {})})
            sizes[name] = fields_of_it.pop("num_samples")
            plans[name] = TrainingPlan.from_mapping(fields_of_it)
        except UsageError as error:
            refused.append(error)
    if len(refused) > 1:
        raise UsageError("some trainers cannot be asked that:" + "".join(f"\n  - {error}" for error in refused))
    if refused:
        raise refused[0]
    if len(set(sizes.values())) > 1:
        got = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        raise UsageError("plans over different numbers of samples", got=Verbatim(got), expected="one number for all")
    return plans, sizes.popitem()[1]


def _question(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What of a plan a trainer can be asked."""
    question = {name: value for name, value in fields.items() if name not in POLICIES}
    if question.get("remainder") in ("pad", "carry", "error"):
        del question["remainder"]
    return question


def compared(
    plans: Mapping[str, TrainingPlan],
    num_samples: int,
    fields: Mapping[str, Any],
    own: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """What is to be said of several plans that answer the same fields, and ``own`` arguments; the JSON form.

    Returns:
        plans: counts by trainer; num_samples, asked: what they answer; agree: whether they make the same steps, and
        their updates after the same ones; differ_from_step: the first at which they do not, where only their counts
        agree; why: a sentence a difference; notes; would_agree: what would remove the differences.
    """
    counts = {name: plan.counts(num_samples).to_dict() for name, plan in plans.items()}
    first, *others = plans.values()
    alike = all_same(plans, num_samples)
    at: int | None = None
    if not alike and all(each == counts[next(iter(plans))] for each in counts.values()):
        at = min(step for plan in others if (step := first_difference(plan, first, num_samples)) is not None)
    drops = fields.get("remainder") == "drop" and {"keras", "keras2"} & set(plans)
    return {
        "plans": counts,
        "num_samples": num_samples,
        "asked": dict(fields),
        **({"arguments": own} if own else {}),
        "agree": alike,
        "differ_from_step": at,
        "why": [*reasons(plans, num_samples), *gradients(plans, num_samples), *shares(plans)],
        "notes": ["keras drops a short batch only of a tf.data, so that is what it is given here"] if drops else [],
        "would_agree": [] if alike or own else settings(plans, num_samples, fields),
    }


def side_by_side(plans: Mapping[str, TrainingPlan], facts: Mapping[str, Any]) -> list[str]:
    """The table, what makes the differences, and what would remove them; ``facts`` as ``compared`` returns them."""
    num_samples, alike = facts["num_samples"], facts["agree"]
    shown = (f"{name} {value:,}" if type(value) is int else f"{name} {value}" for name, value in facts["asked"].items())
    lines = [", ".join([f"{num_samples:,} samples", *shown])]
    for name, arguments in facts.get("arguments", {}).items():
        lines.append(f"{name}: " + ", ".join(f"{key}={value!r}" for key, value in arguments.items()))
    lines += ["", *table(plans, num_samples)]
    if alike:
        lines += ["", "all of them make the same steps, and their updates after the same steps"]
    elif (at := facts["differ_from_step"]) is not None:
        lines += ["", f"the counts agree, and the steps do not: they differ from step {at:,} on (index, from 0)"]
    if facts["why"]:
        lines += ["", "and yet" if alike else "why", *(f"  {text}" for text in facts["why"])]
    if facts["notes"]:
        lines += ["", *facts["notes"]]
    if not alike and "arguments" not in facts:
        fixes = facts["would_agree"] or ["xframe found no setting"]
        lines += ["", "what would make them agree", *(f"  {text}" for text in fixes)]
    return lines


def table(plans: Mapping[str, TrainingPlan], num_samples: int) -> list[str]:
    """One column a plan; a value that differs from the first column's is marked."""
    counts = [plan.counts(num_samples).to_dict() for plan in plans.values()]
    rows = [["", *plans]]
    for key, title in _ROWS.items():
        values = [each[key] for each in counts]
        cells = ["-" if value is None else f"{value:,}" for value in values]
        marked = [cell + (" !" if value != values[0] else "") for cell, value in zip(cells, values, strict=True)]
        if key in _ALWAYS or any(values):
            rows.append([title, *marked])
    return tables.plain(rows)


def settings(plans: Mapping[str, TrainingPlan], num_samples: int, fields: Mapping[str, Any]) -> list[str]:
    """Settings that make the plans agree in steps and updates, each tried out."""
    agreeing, question = [], _question(fields)
    for name in plans:
        for words, arguments in preset(name).switches.items() if name != PLAN else ():
            changed = TrainingPlan.from_mapping(answer(name, num_samples, question, **arguments))
            others = [
                other
                for other, plan in plans.items()
                if other != name and not same(plans[name], plan, num_samples) and same(changed, plan, num_samples)
            ]
            if others:
                agreeing.append(f"{name} counts as {', '.join(others)} with {words}")
    names = [name for name in plans if name != PLAN]
    for words, change in _changes(next(iter(plans.values())), num_samples):
        asked_instead = {name: value for name, value in {**fields, **change}.items() if value is not None}
        try:
            changed_plans = answers(names, num_samples, asked_instead, beside=PLAN in plans)
            alike = all_same(changed_plans, num_samples)
        except UsageError:
            continue
        updates = next(iter(changed_plans.values())).counts(num_samples).num_updates
        if alike and updates:
            though = ", with gradients divided differently" if gradients(changed_plans, num_samples) else ""
            agreeing.append(f"all agree with {words}: {counted(updates, 'update')}{though}")
    return agreeing


def _changes(plan: TrainingPlan, num_samples: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What may be asked instead: no leftover samples, no leftover steps, epochs that are passes, fewer limits."""
    k, b, n = plan.gradient_accumulation_steps, plan.batch_size, num_samples
    drops = plan.remainder == "drop"
    a_pass = n // b if drops else -(-n // b)
    if n % b and n > b and not drops:
        yield "the short last batch dropped", {"remainder": "drop"}
    if k > 1:
        steps = plan.steps_per_epoch or a_pass
        divisors = [d for d in range(2, min(steps, 4 * k) + 1) if steps % d == 0 and d != k]
        if divisors:
            d = min(divisors, key=lambda d: abs(d - k))
            words = f"{d:,} accumulation steps, which divide the {steps:,} of an epoch"
            yield words, {"gradient_accumulation_steps": d}
        yield "no accumulation", {"gradient_accumulation_steps": None}
        sizes = sorted(range(max(1, b - b // 2), b + b // 2 + 1), key=lambda size: (abs(size - b), size))
        for size in sizes:
            steps = n // size if drops else -(-n // size)
            if size != b and steps and steps % k == 0:
                yield f"batches of {size:,}, of which a pass has {steps:,}", {"batch_size": size}
                break
    if plan.steps_per_epoch is not None:
        yield "epochs that are passes, without steps_per_epoch", {"steps_per_epoch": None}
        yield f"steps_per_epoch {a_pass:,}, which is a pass", {"steps_per_epoch": a_pass}
    limits = [name for name, limit in zip(LIMITS, plan.limits, strict=True) if limit is not None]
    if len(limits) > 1:
        for kept in limits:
            yield f"a limit of {kept} alone", dict.fromkeys(limit for limit in limits if limit != kept)
