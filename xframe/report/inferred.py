"""What was inferred from a run's rows, in words: for the terminal."""

from __future__ import annotations

from typing import Any

from xframe.errors import counted
from xframe.inference.fits import usual_even
from xframe.inference.inferring import MORE, Inference
from xframe.plan.replicas import rows_of_pass
from xframe.plan.training_plan import TrainingPlan
from xframe.tables import plain

Row = list[str]  # what, its value, and how certain that is


def one(inference: Inference, name: str) -> str:
    """The plan that explains a run: what is certain, and what its rows leave open."""
    plan, rows = inference.plan, list[Row]()
    if plan is not None:
        rows = [_batch_size(inference, plan), *_replicas(inference, plan)]
        rows += [_remainder(inference, plan), _order(inference)]
        rows += [*_epochs(inference, plan), *_accumulation(inference, plan), _limits(inference, plan)]
    return "\n".join([_title(inference, name), *plain(rows, indent=2), *_misfit(inference), *inference.notes])


def _title(inference: Inference, name: str) -> str:
    updates = "updates not known" if inference.num_updates is None else counted(inference.num_updates, "update")
    over = "an unknown number of samples" if inference.num_samples is None else counted(inference.num_samples, "sample")
    return f"{name}: {counted(inference.num_steps, 'step')}, {updates} over {over}"


def _misfit(inference: Inference) -> list[str]:
    if inference.first_misfit is None:
        return []
    step = inference.first_misfit
    why = f": {inference.odd}" if inference.odd else ""
    if inference.plan is None:
        return [f"No plan fits, from the first step on{why}."]
    return [f"No plan fits from step {step} on{why}. The above explains the {counted(step, 'step')} before."]


def _batch_size(inference: Inference, plan: TrainingPlan) -> Row:
    known = _certain(inference, "batch_size")
    if not known and "batch_size" in inference.undecided:
        known = "or more: no batch is full"
    return ["batch size", f"{plan.batch_size:,}", known]


def _replicas(inference: Inference, plan: TrainingPlan) -> list[Row]:
    if plan.replicas == 1:
        return []
    remainder, n = str(plan.replica_remainder), inference.num_samples
    split = str(plan.replica_split) if "replica_split" in inference.certain else "how they share a step is not known"
    lines = [["replicas", f"{plan.replicas:,}", split]]
    if n is None or n % plan.replicas == 0:
        return lines
    known = _field(inference, "", "replica_remainder", remainder)[2]
    if "replica_remainder" in inference.certain:
        how = {"pad": "filled up to", "drop": "cut down to"}.get(remainder, "left at")
        known = f"{known}: a pass of {n:,} is {how} {rows_of_pass(plan, n):,}"
    elif plan.replica_split == "interleaved" and remainder == usual_even(plan.to_dict()):
        known = f"likely, as by a DistributedSampler; {known}"
    return [*lines, ["made even", remainder, known]]


def _remainder(inference: Inference, plan: TrainingPlan) -> Row:
    n, b = inference.num_samples, plan.batch_size
    known, value = _certain(inference, "remainder"), plan.remainder
    if n is None:
        return ["remainder", "unknown", "the number of samples is not known"]
    made_even = "replica_remainder" in inference.undecided and n % plan.replicas > 0  # or not
    n = rows_of_pass(plan, n)
    rest = n % b
    division = f"{n:,} mod {b:,} = {rest:,}"
    if "remainder" not in inference.undecided:
        how = {
            "keep": f"and the last batch of a pass has {rest:,}",
            "drop": f"and {rest:,} of each pass are left out",
            "pad": f"and the last batch of a pass is filled up with {b - rest:,} repeated",
            "carry": "and batches go over the end of a pass",
        }.get(value, "")
        return ["remainder", value, f"{known}: {division}" + (f", {how}" if how and rest else "")]
    if not rest and not made_even:
        return ["remainder", value, f"{division}: nothing is ever left, so that the rows can't tell"]
    return ["remainder", value, _others(inference, "remainder", value)]


def _order(inference: Inference) -> Row:
    words = {
        "sequential": ("as stored", "certain"),
        "same each pass": ("the same each pass", ""),
        "new each pass": ("a new one each pass", ""),
        "none": ("none", "the samples come in no passes"),
        "unknown": ("unknown", "too little to tell"),
    }
    value, note = words.get(inference.order, (inference.order, ""))
    if inference.seed is not None:
        value = "one pass" if inference.order == "unknown" else value
        note = f"xframe's own, seed {inference.seed}"
    return ["order", value, note]


def _epochs(inference: Inference, plan: TrainingPlan) -> list[Row]:
    s = plan.steps_per_epoch
    if inference.num_samples is None:
        return []
    if s is None:
        undecided = "steps_per_epoch" in inference.undecided
        return [["epoch", "a pass", _others(inference, "steps_per_epoch", None, unit="steps") if undecided else ""]]
    begins = "begins a new pass" if plan.epoch_iterator == "restart" else "goes on in the pass"
    lines = [
        _field(inference, "epoch", "steps_per_epoch", counted(s, "step")),
        _field(inference, "an epoch", "epoch_iterator", begins),
    ]
    if plan.on_exhaustion is not None:
        lines.append(_field(inference, "when a pass is over", "on_exhaustion", plan.on_exhaustion))
    return lines


def _accumulation(inference: Inference, plan: TrainingPlan) -> list[Row]:
    if inference.num_updates is None:
        return [["accumulation", "unknown", "the updates are not known"]]
    k, leftover, at_end = plan.gradient_accumulation_steps, plan.accumulation_remainder, "accumulation_at_end"
    lines = [_field(inference, "accumulation", "gradient_accumulation_steps", "none" if k == 1 else counted(k, "step"))]
    if k == 1:
        return lines
    lines.append(_field(inference, "a cut window", "accumulation_remainder", str(leftover)))
    if leftover != "carry" and plan.steps_per_epoch is not None:
        boundary = "an epoch" if plan.accumulation_boundary == "epoch" else "a pass"
        lines.append(_field(inference, "cut by the end of", "accumulation_boundary", boundary))
    if at_end in inference.certain or at_end in inference.undecided:  # else the run goes on
        lines.append(_field(inference, "open at the end", at_end, str(plan.accumulation_at_end)))
    return [*lines, ["loss normalization", "unknown", "rows never show it"]]


def _limits(inference: Inference, plan: TrainingPlan) -> Row:
    limits = {"epochs": plan.epochs, "steps": plan.steps, "updates": plan.updates}
    name, value = next((name, value) for name, value in limits.items() if value is not None)
    if not any(limit in inference.certain or limit in inference.undecided for limit in limits):
        misfit = inference.first_misfit is not None
        return ["limits", "unknown", "no plan fits to the end" if misfit else "the run is not there to its end"]
    others = [
        counted(other, limit[:-1])
        for limit in limits
        for other in inference.undecided.get(limit, ())
        if isinstance(other, int) and (limit, other) != (name, value)
    ]
    if not others:
        return ["limits", counted(value, name[:-1]), "certain"]
    more = f" and {len(others) - 3} others" if len(others) > 4 else ""
    listed = others if len(others) <= 4 else others[:3]
    return ["limits", counted(value, name[:-1]), f"or {', or '.join(listed)}{more}: the rows can't tell"]


def _certain(inference: Inference, field: str) -> str:
    return "certain" if field in inference.certain else ""


def _field(inference: Inference, label: str, field: str, shown: str) -> Row:
    """The line of a field of the plan: certain, or what else it may be."""
    note = _certain(inference, field)
    if not note and field in inference.undecided:
        note = _others(inference, field, getattr(inference.plan, field))
    return [label, shown, note]


def _others(inference: Inference, field: str, value: Any, unit: str = "") -> str:
    others = [other for other in inference.undecided[field] if other != value and other is not None]
    words = ["more" if other == MORE else f"{other:,}" if isinstance(other, int) else str(other) for other in others]
    if field == "steps_per_epoch" and None in inference.undecided[field] and value is not None:
        words.append("a pass")
    if len(words) > 4:
        words = [*words[:3], f"{len(words) - 3} others"]
    return ("or " + ", or ".join(words) + (f" {unit}" if unit else "")) if words else ""
