"""Several trainers' plans side by side: where their counts differ, why, and what would make them agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import Any

from xframe import tables
from xframe.errors import UsageError, Verbatim, counted
from xframe.plan import counting
from xframe.plan.cadence import Cadence
from xframe.plan.fields import DEPENDENTS, LIMITS
from xframe.plan.presets import answer, like, preset, put
from xframe.plan.training_plan import TrainingPlan

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
_STEPS_IN_FULL = 4096  # steps from the first on that are compared one by one
_ALWAYS = ("num_steps", "num_updates", "num_epochs", "samples_seen")
PLAN = "plan"


# The fields that can be a reason, together.
_BATCHES = ("batch_size", "remainder")
_EPOCHS, _WINDOWS, _REPLICAS = (
    (name, *(field.name for field in DEPENDENTS[name]))
    for name in ("steps_per_epoch", "gradient_accumulation_steps", "replicas")
)
_GROUPS = (_WINDOWS, _EPOCHS, _BATCHES, _REPLICAS, LIMITS)
_POLICIES = (*_WINDOWS[1:], *_EPOCHS[1:], *_REPLICAS[1:])  # what a trainer decides itself


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
    question = {name: value for name, value in fields.items() if name not in _POLICIES}
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
    alike = _all_same(plans, num_samples)
    at: int | None = None
    if not alike and all(each == counts[next(iter(plans))] for each in counts.values()):
        at = min(step for plan in others if (step := _first_difference(plan, first, num_samples)) is not None)
    drops = fields.get("remainder") == "drop" and {"keras", "keras2"} & set(plans)
    return {
        "plans": counts,
        "num_samples": num_samples,
        "asked": dict(fields),
        **({"arguments": own} if own else {}),
        "agree": alike,
        "differ_from_step": at,
        "why": [*reasons(plans, num_samples), *_gradients(plans, num_samples), *_shares(plans)],
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


def reasons(plans: Mapping[str, TrainingPlan], num_samples: int) -> list[str]:
    """Why counts or gradients differ, a sentence each."""
    names = list(plans)
    sides_of: dict[str, dict[str, None]] = {}  # by reason, each once
    for name in names[1:]:
        for side, text in _because(names[0], name, plans, num_samples):
            sides_of.setdefault(text, {})[side] = None
    never = [name for name, plan in plans.items() if not plan.counts(num_samples).num_updates]
    idle = [f"{', '.join(never)}: no update is ever applied, so nothing is trained"] if never else []
    return [*(f"{', '.join(sides)}: {text}" for text, sides in sides_of.items()), *idle]


def settings(plans: Mapping[str, TrainingPlan], num_samples: int, fields: Mapping[str, Any]) -> list[str]:
    """Settings that make the plans agree in steps and updates, each tried out."""
    agreeing, question = [], _question(fields)
    for name in plans:
        for words, arguments in preset(name).switches.items() if name != PLAN else ():
            changed = TrainingPlan.from_mapping(answer(name, num_samples, question, **arguments))
            others = [
                other
                for other, plan in plans.items()
                if other != name and not _same(plans[name], plan, num_samples) and _same(changed, plan, num_samples)
            ]
            if others:
                agreeing.append(f"{name} counts as {', '.join(others)} with {words}")
    names = [name for name in plans if name != PLAN]
    for words, change in _changes(next(iter(plans.values())), num_samples):
        asked_instead = {name: value for name, value in {**fields, **change}.items() if value is not None}
        try:
            changed_plans = answers(names, num_samples, asked_instead, beside=PLAN in plans)
            alike = _all_same(changed_plans, num_samples)
        except UsageError:
            continue
        updates = next(iter(changed_plans.values())).counts(num_samples).num_updates
        if alike and updates:
            though = ", with gradients divided differently" if _gradients(changed_plans, num_samples) else ""
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


def _same(a: TrainingPlan, b: TrainingPlan, num_samples: int) -> bool:
    """Whether both make the same steps, with their updates after the same ones."""
    return a.counts(num_samples) == b.counts(num_samples) and _first_difference(a, b, num_samples) is None


def _first_difference(a: TrainingPlan, b: TrainingPlan, num_samples: int) -> int | None:
    """The first step that differs in its samples or in the number of updates so far.

    Between the ends of passes, epochs and windows both runs are regular, so beyond the first few thousand steps only
    those around such ends are looked at.
    """
    both = [Cadence(plan, num_samples) for plan in (a, b)]
    stop = min(cadence.num_steps for cadence in both)
    around = 64 + min(_STEPS_IN_FULL, 2 * max(cadence.window for cadence in both))
    ends = {stop} | {turn for cadence in both for turn in cadence.turns(3) if turn < stop}
    spans = [(0, min(stop, _STEPS_IN_FULL))]
    for end in sorted(ends):
        begin, until = max(spans[-1][1], end - around), min(stop, end + around)
        if begin < until:
            spans.append((begin, until))
    for begin, until in spans:
        one, other = (counting.rows(plan, num_samples, begin, until) for plan in (a, b))
        columns = ("batch_size", "padding", "pass_index", "position", "updates")
        unequal = [getattr(one, name) != getattr(other, name) for name in columns]
        if firsts := [int(column.argmax()) for column in unequal if column.any()]:
            return begin + min(firsts)
    return None


def _all_same(plans: Mapping[str, TrainingPlan], num_samples: int) -> bool:
    first, *others = plans.values()
    return all(_same(plan, first, num_samples) for plan in others)


def _because(first: str, name: str, plans: Mapping[str, TrainingPlan], num_samples: int) -> list[tuple[str, str]]:
    """The fewest groups of fields that, taken over from the first plan, make this one count alike; in words."""
    reference, candidate = plans[first], plans[name]
    if _same(reference, candidate, num_samples):
        return []
    expected, own = reference.to_dict(), candidate.to_dict()
    for groups in chain.from_iterable(combinations(_GROUPS, size) for size in range(1, len(_GROUPS) + 1)):
        taken = {field for group in groups for field in group}
        fields = {key: value for key, value in own.items() if key not in taken}
        fields |= {key: value for key, value in expected.items() if key in taken}
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
        over = {"repeat": "begins the next one", "short_epoch": "ends the epoch", "stop": "ends training"}
        end = over.get(plan.on_exhaustion or "")
        comes = end and (not cadence.restart or plan.steps_per_epoch > cadence.steps_per_pass)
        ending = f", and the end of a pass {end}" if comes else ""
        return f"each epoch of at most {plan.steps_per_epoch:,} steps {begins}{ending}"
    if group is _BATCHES:
        does = {"keep": "keeps", "drop": "drops", "pad": "fills up", "carry": "carries over", "error": "refuses"}
        return f"{does[plan.remainder]} what is left of a pass in batches of {plan.batch_size:,}"
    if group is _REPLICAS:
        if plan.replicas == 1:
            return "has one replica"
        does = {"uneven": "leaves passes as they are", "pad": "fills passes up", "drop": "leaves samples out of passes"}
        even = "" if plan.replica_remainder == "uneven" else f", to a multiple of {plan.replicas:,}"
        return f"{does[plan.replica_remainder or '']} for {plan.replicas:,} replicas{even}"
    limits = [f"{value:,} {key}" for key, value in zip(LIMITS, plan.limits, strict=True) if value is not None]
    return f"stops after {' or '.join(limits)}"


def _window(plan: TrainingPlan, cadence: Cadence) -> str:
    k, total = plan.gradient_accumulation_steps, cadence.num_steps
    if k == 1:
        return "updates after every step"
    if plan.accumulation_remainder == "carry":
        text = f"carries an unfinished window over epochs: {total:,} steps / {k:,} = {counted(total // k, 'update')}"
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
    if plan.accumulation_boundary == "pass" and cadence.restart and steps < cadence.steps_per_pass:
        made = counted(total // k, "update")
        return f"never comes to the end of a pass, which alone would cut a window: {total:,} steps / {k:,} = {made}"
    if not steps or (plan.accumulation_boundary == "pass" and cadence.restart):
        return f"{does} at the end of each {plan.accumulation_boundary}"
    full, left = divmod(steps, k)
    updates = full + (left > 0 and plan.accumulation_remainder == "flush")
    parts = f"{full:,} x {k:,}" + (f" + {left:,}" if left else "")
    end = plan.accumulation_boundary
    return f"{does} at the end of each {end}: {counted(steps, 'step')} = {parts}, {counted(updates, 'update')} each"


_DEALT = {
    "slices": "in slices",
    "interleaved": "row by row in turn",
    "dealt": "in runs of a full share, so that the last replicas may have none",
    None: "to one process",
}
_MEANS = {"rows": "the mean over all rows", "replicas": "the mean of the replicas' own", None: "that of one process"}


def _shares(plans: Mapping[str, TrainingPlan]) -> list[str]:
    """How replicas share a step, and whose gradient it is, where plans differ in it."""
    lines = []
    for what, words, field in (
        ("a step's rows are dealt", _DEALT, "replica_split"),
        ("a step's gradient is", _MEANS, "replica_gradients"),
    ):
        kinds: dict[str, list[str]] = {}
        for name, plan in plans.items():
            kinds.setdefault(words[getattr(plan, field)], []).append(name)
        if len(kinds) > 1:
            lines.append(f"{what} " + "; ".join(f"{kind} in {', '.join(names)}" for kind, names in kinds.items()))
    return lines


def _gradients(plans: Mapping[str, TrainingPlan], num_samples: int) -> list[str]:
    """What updates' gradients are divided by, where plans differ in it."""
    kinds: dict[str, list[str]] = {}
    for name, plan in plans.items():
        if plan.gradient_accumulation_steps > 1:
            kinds.setdefault(_divided(plan, num_samples), []).append(name)
    if len(kinds) < 2:
        return []
    return ["gradients are divided " + "; ".join(f"{kind} in {', '.join(names)}" for kind, names in kinds.items())]


def _divided(plan: TrainingPlan, num_samples: int) -> str:
    """By what a window's sum of gradients is divided, in the simplest words that are true of this run."""
    k, kind, cadence = plan.gradient_accumulation_steps, plan.loss_normalization, Cadence(plan, num_samples)
    cut_short = cadence.num_updates * k > cadence.num_steps
    leaks = plan.accumulation_remainder == "leak" and cadence.leaves_leftovers
    sizes_differ = cadence.steps_per_pass > 1 and cadence.missing_of_pass > 0
    if kind == "samples" and (sizes_differ or plan.remainder == "carry"):
        words = "by the rows in it"
    elif kind == "sum":
        words = "by nothing"
    elif kind == "window" or not (cut_short or leaks):
        words = f"by {k:,}"
    else:
        words = "by the steps in it"
    return words + (", with what the window before leaked," if leaks else "")
