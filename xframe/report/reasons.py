"""Why plans of several trainers count differently, or divide gradients differently, in words."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, combinations

from xframe.errors import UsageError, counted
from xframe.plan.cadence import Cadence
from xframe.plan.fields import DEPENDENTS, LIMITS
from xframe.plan.training_plan import TrainingPlan
from xframe.report.same_steps import same

# The fields that can be a reason, together.
_BATCHES = ("batch_size", "remainder")
_EPOCHS, _WINDOWS, _REPLICAS = (
    (name, *(field.name for field in DEPENDENTS[name]))
    for name in ("steps_per_epoch", "gradient_accumulation_steps", "replicas")
)
_GROUPS = (_WINDOWS, _EPOCHS, _BATCHES, _REPLICAS, LIMITS)
POLICIES = (*_WINDOWS[1:], *_EPOCHS[1:], *_REPLICAS[1:])  # what a trainer decides itself


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


def _because(first: str, name: str, plans: Mapping[str, TrainingPlan], num_samples: int) -> list[tuple[str, str]]:
    """The fewest groups of fields that, taken over from the first plan, make this one count alike; in words."""
    reference, candidate = plans[first], plans[name]
    if same(reference, candidate, num_samples):
        return []
    expected, own = reference.to_dict(), candidate.to_dict()
    for groups in chain.from_iterable(combinations(_GROUPS, size) for size in range(1, len(_GROUPS) + 1)):
        taken = {field for group in groups for field in group}
        fields = {key: value for key, value in own.items() if key not in taken}
        fields |= {key: value for key, value in expected.items() if key in taken}
        try:
            if not same(TrainingPlan.from_mapping(fields), reference, num_samples):
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


def shares(plans: Mapping[str, TrainingPlan]) -> list[str]:
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


def gradients(plans: Mapping[str, TrainingPlan], num_samples: int) -> list[str]:
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
