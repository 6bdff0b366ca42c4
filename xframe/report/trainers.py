"""Several trainers' plans side by side: where their counts differ, why, and what would make them agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import Any

from xframe import counting
from xframe.counting import Cadence, Counts
from xframe.errors import UsageError
from xframe.plan import ACCUMULATION, TrainingPlan
from xframe.presets import PRESETS, asked

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
_LOOKED_AT = 4096  # steps that are held against each other one by one
_DIVISORS = {"sum": "by nothing", "actual": "by its own steps", "samples": "by its own rows"}
# The fields that can be a reason, together.
_LIMITS, _BATCHES = ("epochs", "steps", "updates"), ("batch_size", "remainder")
_EPOCHS = ("steps_per_epoch", "epoch_iterator", "on_exhaustion")
_WINDOWS = ("gradient_accumulation_steps", *ACCUMULATION)
PLAN = "plan"
POLICIES = (*ACCUMULATION, "epoch_iterator", "on_exhaustion")  # what a trainer decides itself
_GROUPS = (_WINDOWS, _EPOCHS, _BATCHES, _LIMITS)


def plans(names: Sequence[str], num_samples: int, fields: Mapping[str, Any]) -> dict[str, TrainingPlan]:
    """The plan that the fields are, or each trainer's answer to them; beside that the plan, if it has policies.

    Raises:
        UsageError: a trainer is unknown, given twice, or cannot be asked that.
    """
    if not names:
        return {PLAN: TrainingPlan.from_mapping(fields)}
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError("a trainer is given twice", got=twice, expected="each once")
    question = {name: value for name, value in fields.items() if name not in POLICIES}
    own = {PLAN: TrainingPlan.from_mapping(fields)} if len(question) < len(fields) else {}
    return own | {name: asked(name, num_samples, question) for name in names}


def side_by_side(plans: Mapping[str, TrainingPlan], num_samples: int, fields: Mapping[str, Any]) -> list[str]:
    """The table, what makes the differences, and what would mend them."""
    question = {name: value for name, value in fields.items() if name not in POLICIES}
    lines = [f"{num_samples:,} samples, " + ", ".join(f"{name} {value}" for name, value in fields.items()), ""]
    lines += table(plans, num_samples)
    why = reasons(plans, num_samples)
    trainers = [name for name in plans if name != PLAN]
    mend = settings(trainers, num_samples, question) if len(trainers) > 1 else []
    alike = _all_same(plans, num_samples)
    if alike:
        lines += ["", "all of them make the same steps and updates"]
    elif len(_distinct(plans, num_samples)) == 1:
        first, *others = plans.values()
        at = min(step for plan in others if (step := _first_apart(plan, first, num_samples)) is not None)
        lines += ["", f"the counts agree, and the steps do not: they part at step {at:,} (index, from 0)"]
    if why:
        lines += ["", "and yet" if alike else "why", *(f"  {text}" for text in why)]
    if mend:
        lines += ["", "what would make them agree", *(f"  {text}" for text in mend)]
    elif not alike:
        lines += ["", "no setting of theirs that xframe knows makes all of them agree"]
    return lines


def table(plans: Mapping[str, TrainingPlan], num_samples: int) -> list[str]:
    """One column a plan; a value that differs from the first column's is marked."""
    counts = {name: plan.counts(num_samples).to_dict() for name, plan in plans.items()}
    first = next(iter(counts.values()))
    rows = [["", *plans]]
    for key, title in _ROWS.items():
        cells = ["-" if found[key] is None else f"{found[key]:,}" for found in counts.values()]
        marked = [
            cell + (" !" if found[key] != first[key] else "")
            for cell, found in zip(cells, counts.values(), strict=True)
        ]
        if any(found[key] for found in counts.values()):
            rows.append([title, *marked])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def reasons(plans: Mapping[str, TrainingPlan], num_samples: int) -> list[str]:
    """Why counts or gradients differ, a sentence each."""
    names = list(plans)
    found: dict[str, list[str]] = {}
    for name in names[1:]:
        for side, text in _because(names[0], name, plans, num_samples):
            if side not in found.setdefault(text, []):
                found[text].append(side)
    return [*(f"{', '.join(sides)}: {text}" for text, sides in found.items()), *_gradients(plans, num_samples)]


def settings(names: list[str], num_samples: int, question: Mapping[str, Any]) -> list[str]:
    """Settings that make the trainers' counts agree, each tried out."""
    plans = {name: asked(name, num_samples, question) for name in names}
    if _all_same(plans, num_samples):
        return []
    found = []
    first = names[0]
    for name in names[1:]:
        if _same(plans[name], plans[first], num_samples):
            continue
        for words, arguments in PRESETS[name].switches.items():
            if _same(asked(name, num_samples, question, **arguments), plans[first], num_samples):
                found.append(f"{name} counts as {first} does with {words}")
    for words, change in _changes(plans[first], num_samples):
        try:
            changed = {name: asked(name, num_samples, {**question, **change}) for name in names}
        except UsageError:
            continue
        if _all_same(changed, num_samples):
            updates = changed[first].counts(num_samples).num_updates
            found.append(f"all agree with {words}: {updates:,} updates")
    return found


def _changes(plan: TrainingPlan, num_samples: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What may be asked instead, the nearest first: no leftover samples, or no leftover steps."""
    k, b = plan.gradient_accumulation_steps, plan.batch_size
    if num_samples % b and num_samples > b and plan.remainder != "drop":
        yield "the short last batch dropped", {"remainder": "drop"}
    if k == 1:
        return
    steps = Cadence(plan, num_samples).steps_per_epoch
    near = sorted(
        (d for d in range(1, min(steps, 4 * k) + 1) if steps % d == 0 and d != k), key=lambda d: (d == 1, abs(d - k))
    )
    for d in near[:1]:
        yield f"{d} accumulation steps, which divide the {steps:,} of an epoch", {"gradient_accumulation_steps": d}
    if plan.steps_per_epoch is None:
        sizes = sorted(range(max(1, b - b // 2), b + b // 2 + 1), key=lambda size: (abs(size - b), size))
        for size in sizes:
            steps = -(-num_samples // size) if plan.remainder == "keep" else num_samples // size
            if size != b and steps and steps % k == 0:
                yield f"batches of {size:,}, of which an epoch has {steps:,}", {"batch_size": size}
                return


def _same(a: TrainingPlan, b: TrainingPlan, num_samples: int) -> bool:
    return a.counts(num_samples) == b.counts(num_samples) and _first_apart(a, b, num_samples) is None


def _first_apart(a: TrainingPlan, b: TrainingPlan, num_samples: int) -> int | None:
    """The first step, of the first few thousand, with other samples or another number of updates so far."""
    stop = min(_LOOKED_AT, *(counting.num_steps(plan, num_samples) for plan in (a, b)))
    mine, theirs = (counting.rows(plan, num_samples, 0, stop) for plan in (a, b))
    columns = ("batch_size", "padding", "pass_index", "position", "updates")
    unequal = [getattr(mine, name) != getattr(theirs, name) for name in columns]
    found = [int(column.argmax()) for column in unequal if column.any()]
    return min(found, default=None)


def _distinct(plans: Mapping[str, TrainingPlan], num_samples: int) -> set[Counts]:
    return {plan.counts(num_samples) for plan in plans.values()}


def _all_same(plans: Mapping[str, TrainingPlan], num_samples: int) -> bool:
    first, *others = plans.values()
    return all(_same(plan, first, num_samples) for plan in others)


def _because(first: str, name: str, plans: Mapping[str, TrainingPlan], num_samples: int) -> list[tuple[str, str]]:
    """The fewest groups of fields that, taken over from the first plan, make this one count alike; in words."""
    reference, candidate = plans[first], plans[name]
    if _same(reference, candidate, num_samples):
        return []
    theirs, own = reference.to_dict(), candidate.to_dict()
    for groups in chain.from_iterable(combinations(_GROUPS, size) for size in range(1, len(_GROUPS) + 1)):
        taken = {field for group in groups for field in group}
        fields = {key: value for key, value in own.items() if key not in taken}
        fields |= {key: value for key, value in theirs.items() if key in taken}
        try:
            if not _same(TrainingPlan.from_mapping(fields), reference, num_samples):
                continue
        except UsageError:
            continue
        return [(side, _words(group, plans[side], num_samples)) for group in groups for side in (first, name)]
    return []


def _words(group: tuple[str, ...], plan: TrainingPlan, num_samples: int) -> str:
    """What one plan does in that respect."""
    cadence = Cadence(plan, num_samples)
    if group is _WINDOWS:
        return _window(plan, cadence)
    if group is _EPOCHS:
        if plan.steps_per_epoch is None:
            return "an epoch is a whole pass"
        begins = "begins a new pass" if cadence.restart else "goes on where the last one ended"
        over = {"repeat": "begins the next one", "short_epoch": "ends the epoch", "stop": "ends training", None: ""}
        end = over[plan.on_exhaustion]
        ending = f", and the end of a pass {end}" if end and plan.steps_per_epoch > cadence.steps_per_pass else ""
        if end and not cadence.restart and not ending:
            ending = f", and the end of a pass {end}"
        return f"each epoch of at most {plan.steps_per_epoch:,} steps {begins}{ending}"
    if group is _BATCHES:
        does = {"keep": "keeps", "drop": "drops", "pad": "fills up", "carry": "carries over", "error": "refuses"}
        return f"{does[plan.remainder]} what is left of a pass in batches of {plan.batch_size:,}"
    limits = [f"{value:,} {key}" for key, value in zip(_LIMITS, plan.limits, strict=True) if value is not None]
    return f"stops after {' or '.join(limits)}"


def _window(plan: TrainingPlan, cadence: Cadence) -> str:
    k, total = plan.gradient_accumulation_steps, cadence.num_steps
    if k == 1:
        return "updates after every step"
    if plan.accumulation_remainder == "carry":
        text = f"carries an unfinished window over epochs: {total:,} steps / {k:,} = {_of(total // k, 'update')}"
        if total % k and plan.accumulation_at_end == "drop":
            text += ", and the last step is" if total % k == 1 else f", and the last {total % k:,} steps are"
            text += " never applied"
        return text
    does = {
        "flush": "updates with what is left",
        "drop": "drops the gradients that are left",
        "leak": "restarts its count, and leaks the gradients that are left into the next update,",
    }[plan.accumulation_remainder or "flush"]
    steps = cadence.restart_after if cadence.restart else cadence.steps_per_epoch
    if not steps or (plan.accumulation_boundary == "pass" and cadence.restart):
        return f"{does} at the end of each {plan.accumulation_boundary}"
    full, left = divmod(steps, k)
    updates = full + (left > 0 and plan.accumulation_remainder == "flush")
    parts = f"{full:,} x {k:,}" + (f" + {left:,}" if left else "")
    end = plan.accumulation_boundary
    return f"{does} at the end of each {end}: {_of(steps, 'step')} = {parts}, {_of(updates, 'update')} each"


def _gradients(plans: Mapping[str, TrainingPlan], num_samples: int) -> list[str]:
    """What an update's gradient is divided by, where trainers differ in it and a window is cut short."""
    cut = {name: plan for name, plan in plans.items() if plan.accumulation_remainder == "flush"}
    kinds: dict[str, list[str]] = {}
    for name, plan in cut.items():
        kinds.setdefault(plan.loss_normalization or "", []).append(name)
    k = max((plan.gradient_accumulation_steps for plan in cut.values()), default=1)
    cadences = [Cadence(plan, num_samples) for plan in cut.values()]
    if len(kinds) < 2 or not any(found.num_updates * k > found.num_steps for found in cadences):
        return []
    parts = [f"{_DIVISORS.get(kind, f'by all {k:,}')} in {' and '.join(names)}" for kind, names in kinds.items()]
    return ["the gradient of a window cut short is divided " + ", ".join(parts)]


def _of(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
