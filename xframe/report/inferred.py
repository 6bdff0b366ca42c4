"""What was inferred from a run's rows, in words: for the terminal."""

from __future__ import annotations

from typing import Any

from xframe.errors import counted
from xframe.inference.statement import MORE, Inference
from xframe.plan.training_plan import TrainingPlan

_LABEL = 20  # characters of a line's first column
_VALUE = 22


def one(inference: Inference, name: str) -> str:
    """The plan that explains a run: what is certain, and what its rows leave open."""
    lines = [_title(inference, name)]
    plan = inference.plan
    if plan is None:
        lines += _misfit(inference)
        return "\n".join([*lines, *inference.notes])
    lines.append(_batch_size(inference, plan))
    lines.append(_remainder(inference, plan))
    lines.append(_order(inference))
    lines += _epochs(inference, plan)
    lines += _accumulation(inference, plan)
    lines.append(_limits(inference, plan))
    return "\n".join([*lines, *_misfit(inference), *inference.notes])


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


def _batch_size(inference: Inference, plan: TrainingPlan) -> str:
    known = _certain(inference, "batch_size")
    if known == "certain" or "batch_size" not in inference.undecided:
        return _line("batch size", f"{plan.batch_size:,}", known)
    return _line("batch size", f"{plan.batch_size:,}", "or more: no batch is full")


def _remainder(inference: Inference, plan: TrainingPlan) -> str:
    n, b = inference.num_samples, plan.batch_size
    known, value = _certain(inference, "remainder"), plan.remainder
    if n is None:
        return _line("remainder", "unknown", "the number of samples is not known")
    rest = n % b
    division = f"{n:,} mod {b:,} = {rest:,}"
    if "remainder" not in inference.undecided:
        how = {
            "keep": f"and the last batch of a pass has {rest:,}",
            "drop": f"and {rest:,} of each pass are left out",
            "pad": f"and the last batch of a pass is filled up with {b - rest:,} repeated",
            "carry": "and batches go over the end of a pass",
        }.get(value, "")
        return _line("remainder", value, f"{known}: {division}" + (f", {how}" if how and rest else ""))
    if not rest:
        return _line("remainder", value, f"{division}: nothing is ever left, so that the rows can't tell")
    return _line("remainder", value, _others(inference, "remainder", value))


def _order(inference: Inference) -> str:
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
    return _line("order", value, note)


def _epochs(inference: Inference, plan: TrainingPlan) -> list[str]:
    s, others = plan.steps_per_epoch, inference.undecided
    if inference.num_samples is None:
        return []
    if s is None:
        if "steps_per_epoch" in others:
            return [_line("epoch", "a pass", _others(inference, "steps_per_epoch", None, unit="steps"))]
        return [_line("epoch", "a pass", "")]
    lines = [_line("epoch", counted(s, "step"), _certain_or_others(inference, "steps_per_epoch", s))]
    begins = "begins a new pass" if plan.epoch_iterator == "restart" else "goes on in the pass"
    lines.append(_line("an epoch", begins, _certain_or_others(inference, "epoch_iterator", plan.epoch_iterator)))
    if plan.on_exhaustion is not None:
        value = plan.on_exhaustion
        lines.append(_line("when a pass is over", value, _certain_or_others(inference, "on_exhaustion", value)))
    return lines


def _accumulation(inference: Inference, plan: TrainingPlan) -> list[str]:
    if inference.num_updates is None:
        return [_line("accumulation", "unknown", "the updates are not known")]
    k = plan.gradient_accumulation_steps
    known = _certain_or_others(inference, "gradient_accumulation_steps", k)
    if k == 1:
        return [_line("accumulation", "none", known)]
    lines = [_line("accumulation", counted(k, "step"), known)]
    for field, label in (
        ("accumulation_remainder", "a cut window"),
        ("accumulation_boundary", "cut by the end of"),
        ("accumulation_at_end", "open at the end"),
    ):
        value = getattr(plan, field)
        if field == "accumulation_boundary":
            if plan.accumulation_remainder == "carry" or plan.steps_per_epoch is None:
                continue
            value_text = "an epoch" if value == "epoch" else "a pass"
        else:
            value_text = value
        if field == "accumulation_at_end" and field not in inference.certain and field not in inference.undecided:
            continue  # of a run that goes on
        lines.append(_line(label, value_text, _certain_or_others(inference, field, value)))
    lines.append(_line("loss normalization", "unknown", "rows never show it"))
    return lines


def _limits(inference: Inference, plan: TrainingPlan) -> str:
    limits = {"epochs": plan.epochs, "steps": plan.steps, "updates": plan.updates}
    name, value = next((name, value) for name, value in limits.items() if value is not None)
    if not any(limit in inference.certain or limit in inference.undecided for limit in limits):
        misfit = inference.first_misfit is not None
        return _line("limits", "unknown", "no plan fits to the end" if misfit else "the run is not there to its end")
    others = [
        counted(other, limit[:-1])
        for limit in limits
        for other in inference.undecided.get(limit, ())
        if isinstance(other, int) and (limit, other) != (name, value)
    ]
    if not others:
        return _line("limits", counted(value, name[:-1]), "certain")
    more = f" and {len(others) - 3} others" if len(others) > 4 else ""
    listed = others if len(others) <= 4 else others[:3]
    return _line("limits", counted(value, name[:-1]), f"or {', or '.join(listed)}{more}: the rows can't tell")


def _certain(inference: Inference, field: str) -> str:
    return "certain" if field in inference.certain else ""


def _certain_or_others(inference: Inference, field: str, value: Any) -> str:
    """Certain, or what else it may be."""
    return _certain(inference, field) or (_others(inference, field, value) if field in inference.undecided else "")


def _others(inference: Inference, field: str, value: Any, unit: str = "") -> str:
    others = [other for other in inference.undecided[field] if other != value and other is not None]
    words = ["more" if other == MORE else f"{other:,}" if isinstance(other, int) else str(other) for other in others]
    if field == "steps_per_epoch" and None in inference.undecided[field] and value is not None:
        words.append("a pass")
    if len(words) > 4:
        words = [*words[:3], f"{len(words) - 3} others"]
    return ("or " + ", or ".join(words) + (f" {unit}" if unit else "")) if words else ""


def _line(label: str, value: str, note: str) -> str:
    return f"  {label:{_LABEL}} {value:{_VALUE}} {note}".rstrip()
